package notify

import (
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/hex"
	"encoding/json"
	"errors"
	"io"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"os"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/kubilitics/kubilitics/shared/fault"
)

// Headers of webhooks. The signature is "v1=" and the HMAC-SHA256, in hexadecimal digits, of the timestamp's text, a dot and the body.
const (
	headerTimestamp = "Kubilitics-Timestamp" // Unix seconds at the sending
	headerSignature = "Kubilitics-Signature"
	headerKey       = "Idempotency-Key"
)

// newClient makes a client that goes where it is told and nowhere else.
func newClient(t Target) *http.Client {
	dialer := &net.Dialer{Timeout: 10 * time.Second, KeepAlive: 30 * time.Second}
	transport := &http.Transport{
		Proxy:       http.ProxyFromEnvironment,
		DialContext: dialer.DialContext,
		// A certificate file that can't be read is told by each attempt.
		TLSClientConfig:     &tls.Config{MinVersion: tls.VersionTLS12, RootCAs: roots(t.CAFile)},
		TLSHandshakeTimeout: 10 * time.Second,
		IdleConnTimeout:     time.Minute,
		MaxIdleConns:        2,
		ForceAttemptHTTP2:   true,
	}
	if t.PublicOnly {
		// What a name stands for is looked at when the connection is made, so that no name can stand for something else by then. A proxy would connect
		// in our place.
		dialer.Control = publicOnly
		transport.Proxy = nil
	}
	return &http.Client{Transport: transport, CheckRedirect: sameHost}
}

// roots gives those of a file: none at all where it can't be read, so that nothing is believed; nil, the system's, without a file.
func roots(file string) *x509.CertPool {
	if file == "" {
		return nil
	}
	pool := x509.NewCertPool()
	if pem, err := os.ReadFile(file); err == nil {
		pool.AppendCertsFromPEM(pem)
	}
	return pool
}

var errPrivate = errors.New("the address is none of the public ones, and only those are permitted")

// notPublic are the ranges beside those that netip names.
var notPublic = []netip.Prefix{
	netip.MustParsePrefix("0.0.0.0/8"), netip.MustParsePrefix("100.64.0.0/10"), netip.MustParsePrefix("192.0.0.0/24"), netip.MustParsePrefix("198.18.0.0/15"),
	netip.MustParsePrefix("240.0.0.0/4"), netip.MustParsePrefix("64:ff9b::/96"), netip.MustParsePrefix("64:ff9b:1::/48"), netip.MustParsePrefix("2002::/16"),
}

func publicOnly(_, address string, _ syscall.RawConn) error {
	to, err := netip.ParseAddrPort(address)
	if err != nil {
		return errPrivate
	}
	ip := to.Addr().Unmap()
	if !ip.IsGlobalUnicast() || ip.IsPrivate() {
		return errPrivate
	}
	for _, p := range notPublic {
		if p.Contains(ip) {
			return errPrivate
		}
	}
	return nil
}

// sameHost follows redirects that keep the method, on the host that was configured.
func sameHost(next *http.Request, before []*http.Request) error {
	first := before[0]
	if len(before) > 3 || next.Method != first.Method || next.URL.Scheme != first.URL.Scheme || next.URL.Host != first.URL.Host {
		return http.ErrUseLastResponse
	}
	return nil
}

// secret gives a value or what its file holds now, so that a secret may be changed while the hub runs.
func secret(value, file string) (string, error) {
	if value != "" || file == "" {
		return value, nil
	}
	text, err := os.ReadFile(file)
	if err != nil {
		return "", fault.Wrap(err, fault.Unavailable, "a file with a secret can't be read")
	}
	return strings.TrimSpace(string(text)), nil
}

func (t *target) webhook(ctx context.Context, n *Notification) error {
	body, err := json.Marshal(n)
	if err != nil {
		return fault.Wrap(err, fault.Internal, "a notification has no JSON form")
	}
	key, err := secret(t.Secret, t.SecretFile)
	if err != nil {
		return err
	}
	header := http.Header{headerKey: {n.Key}, headerTimestamp: {strconv.FormatInt(time.Now().Unix(), 10)}}
	if key != "" {
		header.Set(headerSignature, sign(key, header.Get(headerTimestamp), body))
	}
	return t.post(ctx, header, body)
}

func sign(key, timestamp string, body []byte) string {
	mac := hmac.New(sha256.New, []byte(key))
	mac.Write([]byte(timestamp + "."))
	mac.Write(body)
	return "v1=" + hex.EncodeToString(mac.Sum(nil))
}

// post sends JSON. What it fails with never holds the URL, which may be a secret.
func (t *target) post(ctx context.Context, header http.Header, body []byte) error {
	to, err := secret(t.URL, t.URLFile)
	if err != nil {
		return err
	}
	if wrong := checkURL(to, t.As == Slack); wrong != "" {
		return fault.New(fault.Unavailable, "the target's url %s", wrong)
	}
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, to, bytes.NewReader(body))
	if err != nil {
		return fault.New(fault.BadRequest, "the target's url can't be used")
	}
	for k, v := range header {
		r.Header[http.CanonicalHeaderKey(k)] = v
	}
	r.Header.Set("Content-Type", "application/json")
	r.Header.Set("User-Agent", "kubilitics-hub/"+t.cfg.HubVersion)
	answer, err := t.client.Do(r)
	if err != nil {
		var told *url.Error
		if errors.As(err, &told) {
			err = told.Err
		}
		if errors.Is(err, errPrivate) {
			return fault.Wrap(err, fault.Forbidden, "the target can't be called")
		}
		return fault.Wrap(err, fault.Unavailable, "the target can't be reached")
	}
	defer answer.Body.Close()
	_, _ = io.Copy(io.Discard, io.LimitReader(answer.Body, 64<<10)) // so that the connection can be used again
	return verdict(answer)
}

// verdict says what an answer means.
func verdict(a *http.Response) error {
	switch code := a.StatusCode; {
	case code >= 200 && code < 300:
		return nil
	case code == http.StatusTooManyRequests:
		return fault.New(fault.TooManyRequests, "the target answers %d", code).After(retryAfter(a))
	case code >= 500 || code == http.StatusRequestTimeout || code == http.StatusTooEarly:
		return fault.New(fault.Unavailable, "the target answers %d", code).After(retryAfter(a))
	case code >= 300 && code < 400:
		return fault.New(fault.BadRequest, "the target answers %d and sends us elsewhere", code)
	default:
		return fault.New(fault.BadRequest, "the target answers %d", code)
	}
}

// retryAfter reads seconds or a date.
func retryAfter(a *http.Response) time.Duration {
	text := a.Header.Get("Retry-After")
	if seconds, err := strconv.Atoi(text); err == nil && seconds > 0 && seconds < 1<<20 {
		return time.Duration(seconds) * time.Second
	}
	if at, err := http.ParseTime(text); err == nil {
		return max(time.Until(at), 0)
	}
	return 0
}
