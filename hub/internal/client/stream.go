package client

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"time"

	"github.com/kubilitics/kubilitics/shared/fault"
)

// Body is what is sent with a request, and its media type.
type Body struct {
	Type string
	io.Reader
}

// Open asks, and gives the answer as it comes, however long that takes; only its beginning is waited for no longer than a question may take. The caller
// closes it.
func (c *Client) Open(ctx context.Context, method, path, accept string, in *Body) (io.ReadCloser, error) {
	ctx, cancel := context.WithCancelCause(ctx)
	late := time.AfterFunc(c.cfg.Limit, func() { cancel(context.DeadlineExceeded) })
	resp, err := c.start(ctx, method, path, accept, in)
	if !late.Stop() && err == nil { // it came, and too late
		_ = resp.Body.Close()
		err = context.DeadlineExceeded
	}
	if err != nil {
		if cause := context.Cause(ctx); errors.Is(cause, context.DeadlineExceeded) {
			err = cause
		}
		cancel(nil)
		return nil, c.noAnswer(err)
	}
	if resp.StatusCode/100 == 2 {
		return &opened{resp.Body, cancel, c.cfg.Hub}, nil
	}
	defer cancel(nil)
	defer resp.Body.Close()
	raw, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer))
	if err != nil {
		return nil, c.noAnswer(err)
	}
	return nil, c.refusal(resp, raw)
}

func (c *Client) start(ctx context.Context, method, path, accept string, in *Body) (*http.Response, error) {
	var payload io.Reader
	if in != nil {
		payload = in.Reader
	}
	req, err := http.NewRequestWithContext(ctx, method, c.cfg.Hub+path, payload)
	if err != nil {
		return nil, err
	}
	c.sign(req)
	req.Header.Set("Accept", accept)
	if in != nil {
		req.Header.Set("Content-Type", in.Type)
	}
	return c.http.Do(req)
}

type opened struct {
	io.ReadCloser
	cancel context.CancelCauseFunc
	hub    string
}

// Read tells an end that is none from the end.
func (o *opened) Read(b []byte) (int, error) {
	n, err := o.ReadCloser.Read(b)
	if err == nil || err == io.EOF || errors.Is(err, context.Canceled) { //nolint:errorlint // an end comes bare
		return n, err
	}
	return n, fault.Wrap(&unreachable{err}, fault.Unavailable, "what %s sends has broken off", o.hub)
}

func (o *opened) Close() error {
	o.cancel(nil)
	return o.ReadCloser.Close()
}

// Send sends what isn't JSON of ours, and reads the JSON that is answered.
func (c *Client) Send(ctx context.Context, path string, in Body, out any) error {
	answer, err := c.Open(ctx, http.MethodPost, path, "application/json", &in)
	if err != nil {
		return err
	}
	defer answer.Close()
	if err := json.NewDecoder(io.LimitReader(answer, maxAnswer)).Decode(out); err != nil {
		return fault.Wrap(err, fault.Internal, "%s answers what isn't understood; is it a hub?", c.cfg.Hub)
	}
	return nil
}
