package kubeproxy

import (
	"context"
	"errors"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httputil"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"go.uber.org/zap"

	"github.com/kubilitics/kubilitics/hub/internal/fleet"
	"github.com/kubilitics/kubilitics/hub/internal/store"
	"github.com/kubilitics/kubilitics/shared/fault"
	"github.com/kubilitics/kubilitics/shared/kube"
	"github.com/kubilitics/kubilitics/shared/obs"
	"github.com/kubilitics/kubilitics/shared/tunnel"
)

// The pool of streams: enough of them are kept for a burst of requests to one cluster, and not for long.
const (
	idleEach = 64
	idleAll  = 2048
	idleFor  = 10 * time.Second
	linger   = 5 * time.Second // for what a connection's last bytes need to arrive
)

// pooled speaks HTTP/1.1 on streams, one request after the other.
func (p *Proxy) pooled(orderly bool) *http.Transport {
	var protocols http.Protocols
	protocols.SetHTTP1(true)
	return &http.Transport{
		DialContext: func(ctx context.Context, _, addr string) (net.Conn, error) {
			st, err := p.open(ctx, addr)
			if err != nil {
				return nil, &notOpened{err}
			}
			return &conn{Stream: st, orderly: orderly}, nil
		},
		Protocols: &protocols, DisableCompression: true,
		MaxIdleConns: idleAll, MaxIdleConnsPerHost: idleEach, IdleConnTimeout: idleFor, MaxResponseHeaderBytes: 1 << 20,
	}
}

// single gives each request a stream of its own, for what becomes something else.
func (p *Proxy) single() *http.Transport {
	t := p.pooled(true)
	t.DisableKeepAlives = true
	return t
}

// notOpened is why there is no stream.
type notOpened struct{ error }

func (e *notOpened) Unwrap() error { return e.error }

func (p *Proxy) open(ctx context.Context, addr string) (*tunnel.Stream, error) {
	at, err := scopeOf(addr)
	if err != nil {
		return nil, err
	}
	ctx, opening := obs.Step(ctx, "stream.open")
	st, err := p.cfg.Tunnels.OpenStream(ctx, at)
	opening.End(err)
	return st, err
}

// hostOf names a cluster and its tenant, so that no stream is ever shared between two of either.
func hostOf(at store.Scope) string { return at.Cluster.String() + "." + at.Tenant.String() }

func scopeOf(addr string) (at store.Scope, err error) {
	host, _, _ := strings.Cut(addr, ":")
	c, t, _ := strings.Cut(host, ".")
	if at.Cluster, err = fleet.ParseClusterID(c); err != nil {
		return at, err
	}
	at.Tenant, err = fleet.ParseTenantID(t)
	return at, err
}

// conn is a stream as a connection. To close it in the middle of a request must end that on the other side at once, even where the agent waits
// for room to write; what an upgrade made of it ends in order, for its last bytes count.
type conn struct {
	*tunnel.Stream
	orderly bool
	closed  atomic.Bool
}

// Close ends the stream.
func (c *conn) Close() error {
	if !c.orderly {
		return c.Reset()
	}
	if !c.closed.Swap(true) {
		time.AfterFunc(linger, func() { _ = c.Reset() }) // does nothing when both sides have closed
	}
	return c.Stream.Close()
}

// buffers lends buffers of one size.
type buffers struct {
	size int
	pool *sync.Pool
}

func newBuffers(size int) buffers {
	return buffers{size: size, pool: &sync.Pool{New: func() any { return make([]byte, size) }}}
}

// A watch holds its buffer while nothing happens, so that is small. Lists are copied by what an HTTP/2 frame carries that is one TLS record with its header:
// with more, each frame would be two, the second of a few bytes, and each record is a system call here and another at the client.
var (
	briefBuffers = newBuffers(16<<10 - 9)
	longBuffers  = newBuffers(1 << 10)
)

// Get lends one.
func (b buffers) Get() []byte { return b.pool.Get().([]byte) }

// Put takes it back.
func (b buffers) Put(buf []byte) {
	b.pool.Put(buf) //lint:ignore SA6002 a slice's header is small beside what is saved
}

func (p *Proxy) reverse(lend buffers) *httputil.ReverseProxy {
	flush := time.Duration(0)
	if lend == longBuffers {
		flush = -1
	}
	return &httputil.ReverseProxy{
		Rewrite:   func(r *httputil.ProxyRequest) { passageOf(r.In.Context()).dress(r.Out) },
		Transport: forwarder{p}, BufferPool: lend, FlushInterval: flush,
		ErrorLog: log.New(io.Discard, "", 0), // each of its lines is about a request that is on record, with its end
		ErrorHandler: func(w http.ResponseWriter, r *http.Request, err error) {
			if fault.Is(err, fault.Internal) {
				p.cfg.Log.Warn("an answer could not be passed on", zap.String("request", passageOf(r.Context()).by.Request), obs.Trace(r.Context()), zap.Error(err))
			}
			kube.WriteStatus(w, err)
		},
	}
}

// overrides let some servers take a request for one of another method than was decided on.
var overrides = []string{"X-Http-Method-Override", "X-Http-Method", "X-Method-Override", "Http2-Settings"}

// dress makes of a request, which is a copy already, the one that the agent gets: nothing in it says who sends it but what we say.
func (s *passage) dress(out *http.Request) {
	out.URL.Scheme, out.URL.Host, out.URL.User = "http", hostOf(s.at), nil
	out.Host, out.Trailer = "", nil
	kube.Strip(out.Header)
	for _, name := range overrides {
		out.Header.Del(name)
	}
	h, p := out.Header, s.by.Principal
	if s.request.Upgrades {
		h.Set("Connection", "Upgrade")
	} else {
		h.Del("Connection")
		h.Del("Upgrade")
	}
	h.Set(kube.UserHeader, p.Name)
	h[kube.GroupHeader] = slices.Clone(p.Groups)
	h.Set(kube.RequestHeader, s.by.Request)
	h.Del("X-Request-Id") // the client's; ours comes to the cluster as Audit-Id, which the agent makes of it
	h.Del("Audit-Id")
	obs.Inject(s.ctx, h)
	if out.Method != http.MethodGet && out.Method != http.MethodHead {
		// net/http would send such a request twice, taking their word for it.
		h.Del("Idempotency-Key")
		h.Del("X-Idempotency-Key")
	}
}

// forwarder is the way of requests that were admitted and dressed, whose passage is in their context.
type forwarder struct{ *Proxy }

// RoundTrip forwards. Its error is a fault for people.
func (f forwarder) RoundTrip(out *http.Request) (*http.Response, error) {
	s := passageOf(out.Context())
	resp, err := f.through(s, out).RoundTrip(out)
	if err != nil {
		worded := s.word(err)
		if errors.Is(worded, errLeft) { // nobody was answered
			s.over(errLeft)
			return nil, worded
		}
		return nil, s.unanswered(worded, err)
	}
	if err := s.fit(resp, out.URL); err != nil {
		_ = resp.Body.Close()
		return nil, s.unanswered(err, err)
	}
	return s.answered(resp), nil
}

// unanswered ends the passage with what the client is told in place of an answer.
func (s *passage) unanswered(told, why error) error {
	s.status = int(kube.Status(told).Code)
	s.over(why)
	return told
}

func (f forwarder) through(s *passage, out *http.Request) http.RoundTripper {
	switch p := f.Proxy; {
	case s.request.Upgrades:
		return p.connections
	case out.Body != nil && out.Body != http.NoBody:
		return p.requests
	case s.lasts():
		return alone(f)
	case s.request.Reads() && (out.Method == http.MethodGet || out.Method == http.MethodHead):
		return p.spares
	default:
		return p.requests
	}
}

// word says why there is no answer.
func (s *passage) word(err error) error {
	var dial *notOpened
	var why *fault.Error
	switch {
	case errors.As(context.Cause(s.ctx), &why): // ended from here
		return why
	case s.ctx.Err() != nil:
		return errLeft
	case errors.As(err, &dial) && fault.Is(dial.error, fault.TooManyRequests):
		return fault.Wrap(err, fault.TooManyRequests, "the tunnel of cluster %s carries as much as it can", s.cluster).After(time.Second)
	case errors.As(err, &dial):
		s.proxy.metrics.refused.WithLabelValues("offline").Inc()
		s.proxy.cfg.Log.Debug("no stream", zap.String("request", s.by.Request), obs.Trace(s.ctx), zap.Error(err))
		return s.proxy.offline(s.ctx, s.at)
	case s.request.Reads():
		return fault.Wrap(err, fault.Unavailable, "the connection to cluster %s was lost before it answered%s", s.cluster, because(err))
	default:
		return fault.Wrap(err, fault.Unavailable, "the connection to cluster %s was lost before it answered%s; whether it did what was asked isn't known", s.cluster, because(err))
	}
}

// because gives the sentence of the fault in an error, if there is one.
func because(err error) string {
	var why *fault.Error
	if errors.As(err, &why) {
		return ": " + why.Message
	}
	return ""
}

// answered puts around an answer's body what ends the passage with it.
func (s *passage) answered(resp *http.Response) *http.Response {
	s.status = resp.StatusCode
	if resp.Body == http.NoBody {
		s.over(nil)
		return resp
	}
	inner := body{ReadCloser: resp.Body, pass: s}
	rw, upgraded := resp.Body.(io.ReadWriteCloser)
	switch {
	case resp.StatusCode == http.StatusSwitchingProtocols && upgraded:
		conn := connBody{body: inner, Writer: rw}
		if resp.Body = &conn; s.command(resp) {
			resp.Body = newCommandBody(conn)
			s.speak()
		}
		closes := resp.Body
		context.AfterFunc(s.ctx, func() { _ = closes.Close() }) // nobody else closes it when its passage is ended from here
	case s.request.Verb == "watch" && resp.StatusCode == http.StatusOK:
		resp.Body = &watchBody{body: inner, framing: framingOf(resp.Header)}
	case s.request.Verb == "create" && s.request.Name == "" && resp.StatusCode == http.StatusCreated && isJSON(resp.Header):
		resp.Body = &namingBody{body: inner}
	default:
		resp.Body = &inner
	}
	return resp
}
