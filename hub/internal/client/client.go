// Package client speaks to a hub's interface as programs outside it do: typed questions, and faults for what goes wrong.
package client

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"io"
	"mime"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/kubilitics/kubilitics/shared/fault"
	"github.com/kubilitics/kubilitics/shared/fault/httpfault"
)

// Config says which hub, and who asks. Zero durations mean the defaults.
type Config struct {
	Hub   string        // its address, as Address gives it
	Token string        // an API token or a ticket
	CA    []byte        // PEM: whom to trust to be the hub; nil is those whom the system trusts
	Agent string        // User-Agent
	Limit time.Duration // of one question, answer included; 30 s
}

// Client asks one hub. It is safe for concurrent use.
type Client struct {
	cfg  Config
	http *http.Client
}

// maxAnswer bounds what is read of an answer into memory, in bytes.
const maxAnswer = 64 << 20

// Address brings what people call a hub into one form, "https://hub.example:8400": in lower case, without a slash at its end. Without a scheme it is
// https. BadRequest for what is no such address.
func Address(text string) (string, error) {
	if !strings.Contains(text, "://") {
		text = "https://" + text
	}
	u, err := url.Parse(strings.TrimRight(strings.TrimSpace(text), "/"))
	switch {
	case err != nil || u.Host == "" || u.User != nil || u.RawQuery != "" || u.Fragment != "":
		return "", fault.New(fault.BadRequest, "%q is no hub's address; one is like https://hub.example", text)
	case u.Scheme == "tls":
		return "", fault.New(fault.BadRequest, "%q is where agents reach the hub; people reach it at its API's address, https://…", text)
	case u.Scheme != "https" && u.Scheme != "http":
		return "", fault.New(fault.BadRequest, "%q is no hub's address: it must begin with https:// or http://", text)
	}
	u.Host = strings.ToLower(u.Host)
	for scheme, port := range map[string]string{"https": ":443", "http": ":80"} {
		if u.Scheme == scheme {
			u.Host = strings.TrimSuffix(u.Host, port)
		}
	}
	return u.String(), nil
}

// New makes a client. BadRequest when the CA holds no certificate.
func New(cfg Config) (*Client, error) {
	if cfg.Limit == 0 {
		cfg.Limit = 30 * time.Second
	}
	transport := http.DefaultTransport.(*http.Transport).Clone()
	transport.TLSClientConfig = &tls.Config{MinVersion: tls.VersionTLS12}
	if cfg.CA != nil {
		pool := x509.NewCertPool()
		if !pool.AppendCertsFromPEM(cfg.CA) {
			return nil, fault.New(fault.BadRequest, "the CA holds no certificate, PEM")
		}
		transport.TLSClientConfig.RootCAs = pool
	}
	// The token goes to the hub that was named and to nobody it may point to.
	stay := func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	return &Client{cfg: cfg, http: &http.Client{Transport: transport, CheckRedirect: stay}}, nil
}

// Hub is the address that is asked.
func (c *Client) Hub() string { return c.cfg.Hub }

// Close lets go of idle connections.
func (c *Client) Close() { c.http.CloseIdleConnections() }

// unreachable is why nobody answered.
type unreachable struct{ cause error }

func (u *unreachable) Error() string { return plain(u.cause).Error() }
func (u *unreachable) Unwrap() error { return u.cause }

// plain leaves out the method and the URL, which http.Client puts before what happened.
func plain(err error) error {
	var u *url.Error
	if errors.As(err, &u) {
		return u.Err
	}
	return err
}

// Unreachable tells whether err means that no hub answered, as opposed to an answer that was no.
func Unreachable(err error) bool {
	var u *unreachable
	return errors.As(err, &u)
}

// Get asks for a path, "/api/v1/…", and reads the answer into out.
func (c *Client) Get(ctx context.Context, path string, out any) error {
	return c.Do(ctx, http.MethodGet, path, nil, out)
}

// Do sends in as JSON, unless it is nil, and reads the JSON that is answered into out, unless that is nil. What the hub says no to is a fault with its code,
// and with the request's id in the sentence.
func (c *Client) Do(ctx context.Context, method, path string, in, out any) error {
	var payload io.Reader
	if in != nil {
		raw, err := json.Marshal(in)
		if err != nil {
			return fault.Wrap(err, fault.Internal, "the question can't be written")
		}
		payload = bytes.NewReader(raw)
	}
	raw, err := c.send(ctx, method, path, payload)
	if err != nil || out == nil {
		return err
	}
	if err := json.Unmarshal(raw, out); err != nil {
		return fault.Wrap(err, fault.Internal, "%s answers what isn't understood; is it a hub?", c.cfg.Hub)
	}
	return nil
}

// Text asks for a path whose answer isn't JSON.
func (c *Client) Text(ctx context.Context, path string) ([]byte, error) {
	return c.send(ctx, http.MethodGet, path, nil)
}

func (c *Client) send(ctx context.Context, method, path string, payload io.Reader) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, c.cfg.Limit)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, method, c.cfg.Hub+path, payload)
	if err != nil {
		return nil, fault.Wrap(err, fault.BadRequest, "%q is no hub's address", c.cfg.Hub)
	}
	c.sign(req)
	if payload != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	resp, err := c.http.Do(req)
	if err != nil {
		return nil, c.noAnswer(err)
	}
	defer resp.Body.Close()
	raw, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer+1))
	switch {
	case err != nil:
		return nil, c.noAnswer(err)
	case len(raw) > maxAnswer:
		return nil, fault.New(fault.Internal, "%s answers more than %d MiB", c.cfg.Hub, maxAnswer>>20)
	case resp.StatusCode/100 != 2:
		return nil, c.refusal(resp, raw)
	}
	return raw, nil
}

// sign says who asks, and with what.
func (c *Client) sign(req *http.Request) {
	if c.cfg.Token != "" {
		req.Header.Set("Authorization", "Bearer "+c.cfg.Token)
	}
	req.Header.Set("User-Agent", c.cfg.Agent)
}

func (c *Client) noAnswer(err error) error {
	if errors.Is(err, context.Canceled) {
		return err
	}
	return fault.Wrap(&unreachable{err}, fault.Unavailable, "the hub %s can't be reached", c.cfg.Hub)
}

// refusal makes a fault of an answer that isn't what was asked for.
func (c *Client) refusal(resp *http.Response, raw []byte) error {
	if to := resp.Header.Get("Location"); resp.StatusCode/100 == 3 {
		return fault.New(fault.BadRequest, "%s sends its callers to %q; name the hub by the address that it has", c.cfg.Hub, to)
	}
	var p httpfault.Problem
	media, _, _ := mime.ParseMediaType(resp.Header.Get("Content-Type"))
	if media != httpfault.ContentType || json.Unmarshal(raw, &p) != nil || p.Message == "" {
		return c.stranger(resp)
	}
	f := fault.New(p.Code, "%s", p.Message)
	if p.Code == fault.NotFound && strings.HasPrefix(p.Message, "there is nothing at /api/") { // a path of ours that it doesn't know
		f.Message += ": the hub may be older than this program"
	}
	for _, field := range p.Fields {
		f.Message += "; " + strings.TrimSpace(field.Name+" "+field.Reason)
		f.Fields = append(f.Fields, field)
	}
	if p.RequestID != "" {
		f.Message += " (request " + p.RequestID + ")"
	}
	return f
}

// stranger is told of an answer that no hub gives: of something before it, or of something else.
func (c *Client) stranger(resp *http.Response) error {
	said := fault.New(httpfault.Code(resp.StatusCode), "%s answers %s, and not as a hub does", c.cfg.Hub, resp.Status)
	if said.Code == fault.Unavailable { // a proxy, whose hub doesn't answer
		return fault.Wrap(&unreachable{errors.New(resp.Status)}, fault.Unavailable, "the hub %s can't be reached", c.cfg.Hub)
	}
	return said
}
