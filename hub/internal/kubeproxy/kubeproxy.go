// Package kubeproxy serves the Kubernetes API of every cluster through its tunnel: it decides by the hub's roles what may pass, bounds how much of
// it, keeps the record, says whose request it is, and otherwise changes nothing.
package kubeproxy

import (
	"context"
	"net/http"
	"net/http/httputil"
	"sync"
	"sync/atomic"
	"time"

	lru "github.com/hashicorp/golang-lru/v2"
	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/zap"

	"github.com/kubilitics/kubilitics/hub/internal/audit"
	"github.com/kubilitics/kubilitics/hub/internal/fleet"
	"github.com/kubilitics/kubilitics/hub/internal/store"
	"github.com/kubilitics/kubilitics/shared/kube"
	"github.com/kubilitics/kubilitics/shared/tunnel"
)

// Tunnels opens streams to agents' doors. It is Unavailable at once where no session is live.
type Tunnels interface {
	OpenStream(ctx context.Context, at store.Scope) (*tunnel.Stream, error)
}

// Clusters tells of a cluster; NotFound when the tenant has none with that id.
type Clusters interface {
	Cluster(ctx context.Context, at store.Scope) (fleet.Cluster, error)
}

// Config is what a proxy stands on.
type Config struct {
	Tunnels  Tunnels
	Clusters Clusters
	Audit    *audit.Log
	Limits   Limits
	// Recheck tells whether a principal who was authenticated earlier still is: the principal as it is now, or Unauthorized. Nil believes.
	Recheck    func(context.Context, fleet.Principal) (fleet.Principal, error)
	Log        *zap.Logger           // nil: none
	Registerer prometheus.Registerer // nil: none

	Check time.Duration // between rechecks of what lasts; 3 s
	Stall time.Duration // how long a client may take nothing before it is cut; 60 s
}

func (c Config) complete() Config {
	if c.Log == nil {
		c.Log = zap.NewNop()
	}
	if c.Registerer == nil {
		c.Registerer = prometheus.NewRegistry()
	}
	if c.Check == 0 {
		c.Check = 3 * time.Second
	}
	if c.Stall == 0 {
		c.Stall = time.Minute
	}
	return c
}

// Caller is who asks, and how the request came.
type Caller struct {
	Principal fleet.Principal
	From      string // address
	Agent     string // User-Agent
	Request   string // the request's id
	Via       string // "kubernetes", or the operation that it is done for, such as "drain"

	Wrote *atomic.Bool // set when something that doesn't only read goes on record, also as refused; may be nil
}

func (c Caller) writes(q kube.Request) {
	if c.Wrote != nil && !q.Reads() {
		c.Wrote.Store(true)
	}
}

// Proxy is safe for concurrent use.
type Proxy struct {
	cfg     Config
	metrics metrics
	limits  *limits
	known   *lru.Cache[store.Scope, cached]

	spares      *spares         // for what reads and ends by itself
	requests    *http.Transport // for what else ends by itself
	connections *http.Transport // for what leaves HTTP
	brief       *httputil.ReverseProxy
	long        *httputil.ReverseProxy

	mu       sync.Mutex
	lasting  map[*passage]struct{}
	draining bool
	idle     chan struct{} // closed when draining and nothing lasts any more
}

// New makes a proxy. Run must be running for what lasts to end with its caller's rights.
func New(cfg Config) *Proxy {
	cfg = cfg.complete()
	p := &Proxy{
		cfg: cfg, metrics: newMetrics(cfg.Registerer), limits: newLimits(cfg.Limits),
		lasting: map[*passage]struct{}{}, idle: make(chan struct{}),
	}
	p.known, _ = lru.New[store.Scope, cached](remembered) // fails on a size below 1 only
	p.spares, p.requests, p.connections = newSpares(p), p.pooled(false), p.single()
	p.brief, p.long = p.reverse(briefBuffers), p.reverse(longBuffers)
	return p
}

// Serve answers a request whose URL is as the cluster's API server will see it, "/api/…".
func (p *Proxy) Serve(w http.ResponseWriter, r *http.Request, by Caller, cluster fleet.ClusterID) {
	s, err := p.admit(r, by, cluster)
	if err != nil {
		kube.WriteStatus(w, err)
		return
	}
	defer s.served() // whatever ends it, a panic included; mostly it is over by then
	through := p.brief
	if s.lasts() {
		through = p.long
	}
	ww := &writer{ResponseWriter: w, control: http.NewResponseController(w), stall: p.cfg.Stall, pass: s}
	defer ww.done()
	through.ServeHTTP(ww, r.WithContext(context.WithValue(s.ctx, passageKey{}, s)))
}

// Transport reaches a cluster's API for a caller: what goes through it is decided on, recorded and bounded as what comes from outside. The host in
// the requests' URLs doesn't matter. What is refused is answered with a Status, as an API server would. The Body of a 101 answer is an
// io.ReadWriteCloser, as net/http's own.
func (p *Proxy) Transport(by Caller, cluster fleet.ClusterID) http.RoundTripper {
	return inside{proxy: p, by: by, cluster: cluster}
}

type passageKey struct{}

func passageOf(ctx context.Context) *passage {
	s, _ := ctx.Value(passageKey{}).(*passage)
	return s
}
