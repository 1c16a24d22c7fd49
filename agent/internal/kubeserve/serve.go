package kubeserve

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httputil"
	"time"

	"go.uber.org/zap"

	"github.com/kubilitics/kubilitics/shared/fault"
	"github.com/kubilitics/kubilitics/shared/kube"
	"github.com/kubilitics/kubilitics/shared/obs"
)

// flushShort is how long a piece of an answer that has an end may wait for the next, so that many small ones go together.
const flushShort = 5 * time.Millisecond

var longAgo = time.Unix(1, 0)

// ServeHTTP decides on a request and passes it on.
func (d *Door) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if !d.enter() {
		kube.WriteStatus(w, fault.New(fault.Unavailable, "the cluster's agent is stopping"))
		return
	}
	defer d.requests.Done()
	r, span := d.trace(r)
	who, q, err := d.admit(r)
	defer d.passed(r, span, who, q, time.Now())
	if err != nil {
		d.metrics.refused(err)
		d.cfg.Log.Debug("refused", zap.String("request", who.request), obs.Trace(r.Context()), zap.String("method", r.Method), zap.String("path", r.URL.Path), zap.Error(err))
		span.Failed("refused")
		kube.WriteStatus(w, err)
		return
	}
	defer d.metrics.began(q)()
	if q.Lasts() {
		ctx, cancel := context.WithCancel(r.Context())
		defer cancel()
		defer context.AfterFunc(d.draining, cancel)()
		r = r.WithContext(ctx)
	}
	conn := http.NewResponseController(w)
	// Who has gone reads no more: what is being written to him must not wait for it.
	defer context.AfterFunc(r.Context(), func() { _ = conn.SetWriteDeadline(longAgo) })()
	if r.ContentLength != 0 {
		_ = conn.EnableFullDuplex() // an answer that comes before the end of the body must not wait for it
	}
	d.pass(w, r, q, who)
}

// admit reads a request and whose it is, takes out of it what says who somebody is, and refuses what may not pass.
func (d *Door) admit(r *http.Request) (identity, kube.Request, error) {
	who := vouched(r.Header)
	if err := kube.CheckConnection(r.Header); err != nil {
		return who, kube.Request{}, err
	}
	kube.Strip(r.Header)
	q, err := kube.Parse(r)
	if err == nil {
		err = d.cfg.Access.permit(q)
	}
	if err == nil {
		err = who.check(d.cfg.Access, d.cfg.Prefix)
	}
	return who, q, err
}

// pass forwards a request and its answer, of which nothing is changed.
func (d *Door) pass(w http.ResponseWriter, r *http.Request, q kube.Request, who identity) {
	began := time.Now()
	r, asking := d.ask(r)
	p := httputil.ReverseProxy{
		Transport: d.upstream.of(q), BufferPool: &large, ErrorLog: d.errors,
		ErrorHandler: func(w http.ResponseWriter, r *http.Request, err error) {
			asking.End(err)
			d.metrics.answered(q, 0, began)
			d.failed(w, r, who, err)
		},
		Rewrite: func(p *httputil.ProxyRequest) {
			p.SetURL(d.upstream.base)
			p.Out.URL.RawQuery = p.In.URL.RawQuery // which the proxy words anew where it can't be read
			who.write(p.Out.Header, d.cfg.Access, d.cfg.Prefix)
			if d.cfg.Tracer != nil {
				obs.Inject(p.In.Context(), p.Out.Header)
			}
		},
		FlushInterval: flushShort,
	}
	if q.Lasts() {
		p.BufferPool, p.FlushInterval = &small, -1
	} else if !q.Upgrades {
		defer join(r)()
	}
	p.ModifyResponse = func(a *http.Response) error {
		if !q.Lasts() && a.ContentLength >= 0 && a.ContentLength <= int64(small.size) {
			p.BufferPool, p.FlushInterval = &small, 0 // it comes whole: nothing is to be flushed before its end, and no timer to be kept for that
		}
		err := judge(a, q)
		if err == nil {
			d.metrics.answered(q, a.StatusCode, began)
			asking.Number("http.response.status_code", int64(a.StatusCode))
			asking.End(nil)
		}
		return err
	}
	p.ServeHTTP(w, r)
}

// judge looks at the head of an answer.
func judge(a *http.Response, q kube.Request) error {
	switch body, ok := a.Body.(io.ReadWriteCloser); {
	case a.StatusCode == http.StatusUnauthorized && q.Verb != "proxy" && q.Subresource != "proxy":
		// The user has shown the agent no credential and can do nothing about it; a client would fetch another from the hub and try again.
		return fault.New(fault.Unavailable, "the API server doesn't accept the credentials of the cluster's agent")
	case a.StatusCode == http.StatusSwitchingProtocols && ok:
		// A stream of the tunnel is closed in both directions at once, and with it the connection that it was spliced with.
		a.Body = struct{ io.ReadWriteCloser }{body}
	case !q.Lasts():
		a.ContentLength = max(a.ContentLength, 0) // of a length that isn't known the proxy would flush each piece
		a.Body = &ahead{body: a.Body}
	}
	return nil
}

// failed answers where there is no answer to pass on.
func (d *Door) failed(w http.ResponseWriter, r *http.Request, who identity, err error) {
	var f *fault.Error
	switch {
	case errors.As(err, &f):
	case d.draining.Err() != nil:
		f = fault.Wrap(err, fault.Unavailable, "the cluster's agent is stopping")
	case r.Context().Err() != nil:
		panic(http.ErrAbortHandler) // nobody waits for an answer any more
	default:
		f = fault.Wrap(err, fault.Unavailable, "the agent can't reach its API server: %v", err)
	}
	d.cfg.Log.Debug("failed", zap.String("request", who.request), obs.Trace(r.Context()), zap.String("method", r.Method), zap.String("path", r.URL.Path), zap.Error(f))
	kube.WriteStatus(w, f)
}
