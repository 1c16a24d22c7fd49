package httpapi

import (
	"context"
	"net"
	"net/http"
	"net/netip"
	"regexp"
	"runtime/debug"
	"strings"
	"sync/atomic"
	"time"

	"github.com/go-chi/chi/v5"
	"github.com/go-chi/chi/v5/middleware"
	"github.com/google/uuid"
	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/zap"

	"github.com/kubilitics/kubilitics/hub/internal/fleet"
	"github.com/kubilitics/kubilitics/hub/internal/kubeproxy"
	"github.com/kubilitics/kubilitics/shared/fault"
	"github.com/kubilitics/kubilitics/shared/obs"
)

// info is what handlers know of a request beside their input.
type info struct {
	id        string
	uri       string
	method    string
	match     string // If-None-Match
	from      string // address
	agent     string // User-Agent
	answer    http.Header
	principal fleet.Principal
	wrote     atomic.Bool // something was put on record that it changes in a cluster
}

type infoKey struct{}

func infoOf(ctx context.Context) *info {
	if i, ok := ctx.Value(infoKey{}).(*info); ok {
		return i
	}
	return &info{}
}

func principalOf(ctx context.Context) fleet.Principal { return infoOf(ctx).principal }

// callerOf is who asks, for requests to a cluster; via is the operation that they are made for.
func callerOf(ctx context.Context, via string) kubeproxy.Caller {
	i := infoOf(ctx)
	return kubeproxy.Caller{Principal: i.principal, From: i.from, Agent: i.agent, Request: i.id, Via: via, Wrote: &i.wrote}
}

const requestIDHeader = "X-Request-Id"

// goodRequestID is what is taken over from a client; it ends up in logs.
var goodRequestID = regexp.MustCompile(`^[A-Za-z0-9._:/+=-]{1,64}$`)

// newRequestID makes an id that is later than those made before: the record of requests has an index by it, and what is added to an index at its end costs
// a fraction of what is added all over it.
func newRequestID() string { return uuid.Must(uuid.NewV7()).String() }

// observe gives a request its id, and counts and logs how it went.
func (a *API) observe(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		began := time.Now()
		i := &info{id: r.Header.Get(requestIDHeader), uri: r.URL.Path, method: r.Method, match: r.Header.Get("If-None-Match"), from: a.clientOf(r), agent: r.UserAgent(), answer: w.Header()}
		if !goodRequestID.MatchString(i.id) {
			i.id = newRequestID()
		}
		if r.URL.RawQuery != "" {
			i.uri += "?" + r.URL.RawQuery
		}
		w.Header().Set(requestIDHeader, i.id)
		ww := middleware.NewWrapResponseWriter(w, r.ProtoMajor)
		ctx, span := a.trace(r)
		r = r.WithContext(context.WithValue(obs.WithRequest(ctx, i.id), infoKey{}, i))
		defer func() { a.note(r, i, span, ww.Status(), time.Since(began)) }()
		next.ServeHTTP(ww, r)
	})
}

func (a *API) note(r *http.Request, i *info, span obs.Span, status int, took time.Duration) {
	route := chi.RouteContext(r.Context()).RoutePattern()
	if route == "" { // the label must not be the client's to choose; nor the method, where there is no such route
		route = "none"
	}
	if !lasting[route] {
		a.metrics.requests.WithLabelValues(methodLabel(r.Method), route, statusClass(status)).Observe(took.Seconds())
	}
	traced(span, r.Method, route, i.id, status)
	a.cfg.Log.Debug("request", obs.About(r.Context()), zap.String("method", r.Method), zap.String("route", route), zap.Int("status", status),
		zap.Duration("took", took), zap.String("principal", i.principal.Name), zap.String("from", a.clientOf(r)))
}

func methodLabel(method string) string {
	switch method {
	case http.MethodGet, http.MethodHead, http.MethodPost, http.MethodPut, http.MethodPatch, http.MethodDelete, http.MethodOptions:
		return method
	default:
		return "other"
	}
}

func statusClass(status int) string {
	if status < 100 || status > 599 {
		return "other"
	}
	return string(rune('0'+status/100)) + "xx"
}

// clientOf is the address a request came from: the peer's, or, where that is a trusted proxy, the last that no trusted proxy has.
func (a *API) clientOf(r *http.Request) string {
	host, _, err := net.SplitHostPort(r.RemoteAddr)
	if err != nil {
		host = r.RemoteAddr
	}
	forwarded := strings.Split(r.Header.Get("X-Forwarded-For"), ",")
	for n := len(forwarded) - 1; n >= 0 && a.trusted(host); n-- {
		if hop := strings.TrimSpace(forwarded[n]); hop != "" {
			host = hop
		}
	}
	return host
}

func (a *API) trusted(host string) bool {
	ip, err := netip.ParseAddr(host)
	if err != nil {
		return false
	}
	for _, p := range a.cfg.TrustedProxies {
		if p.Contains(ip.Unmap()) {
			return true
		}
	}
	return false
}

type metrics struct {
	requests *prometheus.HistogramVec
	streams  prometheus.Gauge
	frames   *prometheus.CounterVec
}

func newMetrics(reg prometheus.Registerer) metrics {
	m := metrics{
		requests: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "kubilitics_hub_http_request_seconds", Help: "Requests by method, route and class of status.",
			Buckets: []float64{.002, .01, .05, .25, 1, 5, 30},
		}, []string{"method", "route", "status"}),
		streams: prometheus.NewGauge(prometheus.GaugeOpts{Name: "kubilitics_hub_streams", Help: "Streams that are open."}),
		frames:  prometheus.NewCounterVec(prometheus.CounterOpts{Name: "kubilitics_hub_stream_frames_total", Help: "Frames sent on streams, by type."}, []string{"type"}),
	}
	for _, kind := range []string{"change", "bookmark", "lagged", "reset", "error"} {
		m.frames.WithLabelValues(kind)
	}
	reg.MustRegister(m.requests, m.streams, m.frames)
	return m
}

// recoverPanics answers what a bug leaves unanswered, and logs where it is.
func (a *API) recoverPanics(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		defer func() {
			p := recover()
			if p == nil {
				return
			}
			if p == http.ErrAbortHandler { //nolint:errorlint // the server compares it in this way too
				panic(p)
			}
			id := obs.About(r.Context())
			if ww, ok := w.(middleware.WrapResponseWriter); ok && ww.Status() != 0 {
				// An answer has begun: only cutting it off tells that it isn't whole. Mostly it is the client who doesn't take it.
				a.cfg.Log.Warn("an answer was cut off", id, zap.Any("cause", p))
				panic(http.ErrAbortHandler)
			}
			a.cfg.Log.Error("a handler panicked", id, zap.Any("panic", p), zap.ByteString("stack", debug.Stack()))
			a.write(w, a.problem(r.Context(), fault.New(fault.Internal, "something failed here; the log has the details under this request's id")))
		}()
		next.ServeHTTP(w, r)
	})
}

func secureHeaders(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		h.Set("X-Content-Type-Options", "nosniff")
		h.Set("X-Frame-Options", "DENY")
		h.Set("Referrer-Policy", "no-referrer")
		h.Set("Content-Security-Policy", "default-src 'none'; frame-ancestors 'none'")
		h.Set("Cache-Control", "no-store")
		h.Add("Vary", "Authorization")
		next.ServeHTTP(w, r)
	})
}

// lasting are the routes that have no deadline of the whole; each of their frames has one. Those of a cluster are named with its parameter.
var lasting = map[string]bool{
	"/api/v1/stream": true, "/ws/v1/stream": true,
	clusterRoot + "/logs": true, clusterRoot + "/exec": true, clusterRoot + "/portforward": true, drainRoute: true,
}

// lasts is asked before there is a route.
func lasts(path string) bool {
	if below, ok := strings.CutPrefix(path, "/api/v1/clusters/"); ok {
		_, rest, _ := strings.Cut(below, "/")
		if of, what, ok := strings.Cut(strings.TrimPrefix(rest, "nodes/"), "/"); ok && rest == "nodes/"+of+"/"+what {
			rest = "nodes/{node}/" + what
		}
		path = clusterRoot + "/" + rest
	}
	return lasting[path]
}

// deadline bounds a request: its context, the reading of its body and the writing of its answer, whatever the server's own timeouts are.
func (a *API) deadline(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		c := http.NewResponseController(w)
		if lasts(r.URL.Path) {
			_ = c.SetReadDeadline(time.Time{}) // not every writer can; then it has no deadlines either
			_ = c.SetWriteDeadline(time.Time{})
			next.ServeHTTP(w, r)
			return
		}
		limit := a.cfg.RequestTimeout
		if strings.HasSuffix(r.URL.Path, "/export") || strings.HasSuffix(r.URL.Path, "/debug/bundle") || applies(r.URL.Path) {
			limit = a.cfg.ExportTimeout
		}
		ctx, cancel := context.WithTimeout(r.Context(), limit)
		defer cancel()
		_ = c.SetReadDeadline(time.Now().Add(limit))
		_ = c.SetWriteDeadline(time.Now().Add(2 * limit))
		next.ServeHTTP(w, r.WithContext(ctx))
	})
}

// plainPath makes the router see paths as they are meant: "%2F" and "/" are the same here, so an id can't hide a slash in itself.
func plainPath(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		r.URL.RawPath = ""
		next.ServeHTTP(w, r)
	})
}
