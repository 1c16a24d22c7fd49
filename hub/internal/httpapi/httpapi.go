// Package httpapi is the product's REST interface and its streams: it authenticates, decides by fleet.Can, asks the rooms
// below, and gives answers and faults their shape in HTTP. Its OpenAPI document is generated from the types that the handlers take and give.
package httpapi

import (
	"context"
	"net/http"
	"net/netip"
	"sync"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humachi"
	"github.com/go-chi/chi/v5"
	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/zap"

	"github.com/kubilitics/kubilitics/hub/internal/audit"
	"github.com/kubilitics/kubilitics/hub/internal/auth"
	"github.com/kubilitics/kubilitics/hub/internal/chartrepo"
	"github.com/kubilitics/kubilitics/hub/internal/enroll"
	"github.com/kubilitics/kubilitics/hub/internal/fleet"
	"github.com/kubilitics/kubilitics/hub/internal/kubefleet"
	"github.com/kubilitics/kubilitics/hub/internal/kubeproxy"
	"github.com/kubilitics/kubilitics/hub/internal/live"
	"github.com/kubilitics/kubilitics/hub/internal/ops"
	"github.com/kubilitics/kubilitics/hub/internal/pods"
	"github.com/kubilitics/kubilitics/hub/internal/query"
	"github.com/kubilitics/kubilitics/hub/internal/store"
	"github.com/kubilitics/kubilitics/shared/fault"
	"github.com/kubilitics/kubilitics/shared/obs"
	"github.com/kubilitics/kubilitics/shared/topo"
)

// Authenticator tells who sends a request: Unauthorized when nobody who is known, TooManyRequests when too many such came.
type Authenticator interface {
	Authenticate(r *http.Request) (fleet.Principal, error)
}

// Enroller mints clusters, and join tokens for their agents. Conflict when the name is taken.
type Enroller interface {
	Mint(ctx context.Context, by fleet.Principal, name string, labels map[string]string) (enroll.Invitation, error)
	Invite(ctx context.Context, by fleet.Principal, id fleet.ClusterID) (enroll.Invitation, error)
}

// Tokens issues, lists and revokes API tokens of a tenant. The secret is shown once, by Issue.
type Tokens interface {
	Issue(ctx context.Context, by fleet.Principal, t auth.NewToken) (made store.Token, secret string, err error)
	Tokens(ctx context.Context, tenant fleet.TenantID) ([]store.Token, error)
	Revoke(ctx context.Context, tenant fleet.TenantID, id string) error
	// Ticket makes a short-lived credential of by's, for one cluster or, with 0, for all. It lasts as long as asked: the usual time for 0, the longest
	// possible for less than 0.
	Ticket(ctx context.Context, by fleet.Principal, lasts time.Duration, cluster fleet.ClusterID) (text string, expires time.Time, err error)
}

// Pong is what an agent answers to a ping.
type Pong struct {
	Agent     string // version of the agent
	Version   string // of the cluster's Kubernetes
	RoundTrip time.Duration
}

// Tunnels reaches the agents. Ping is Unavailable at once where no session is live.
type Tunnels interface {
	Ping(ctx context.Context, at store.Scope) (Pong, error)
	// Cut ends a cluster's session, if one is live.
	Cut(at store.Scope, why error)
}

// Verifier recomputes a cluster's digests from its stored rows and corrects those that don't tell what the columns say. compared tells that the
// agent was asked to compare its rows with them, so that what was damaged is sent again; it isn't where no session is live.
type Verifier interface {
	Verify(ctx context.Context, at store.Scope) (corrected int, compared bool, err error)
}

// Store is what of the store is changed or asked here, beside what the Querier answers.
type Store interface {
	Cluster(ctx context.Context, at store.Scope) (fleet.Cluster, error)
	UpdateCluster(ctx context.Context, at store.Scope, p store.ClusterPatch) (fleet.Cluster, error)
	DeleteCluster(ctx context.Context, at store.Scope) error
	Quarantined(ctx context.Context, at store.Scope, limit int) ([]store.Quarantined, error)
	Check(ctx context.Context, at store.Scope, limit int) ([]store.Violation, error)
	Ping(ctx context.Context) error
	Tenants(ctx context.Context) ([]fleet.Tenant, error)
	DeadLetters(ctx context.Context, tenant fleet.TenantID, before string, limit int) ([]store.DeadLetter, error)
	DeadLetter(ctx context.Context, tenant fleet.TenantID, id string) (store.DeadLetter, error)
	DeleteDeadLetter(ctx context.Context, tenant fleet.TenantID, id string) error
	Audit(ctx context.Context, tenant fleet.TenantID, f store.AuditFilter, before string, limit int) ([]store.AuditRecord, error)
}

// Resolver turns what people call kinds into kinds. NotFound when none is known by the name. Cluster 0 is the whole tenant.
type Resolver interface {
	Resolve(ctx context.Context, at store.Scope, name string) ([]topo.GroupKind, error)
	ResolveIn(ctx context.Context, at store.Scope, group, name string) (topo.GroupKind, error)
}

// Config is what the interface stands on. Zero durations and numbers mean the defaults.
type Config struct {
	Version       string
	Home          fleet.TenantID // the tenant that this hub was started for, whose people may see what is of the hub itself
	Authenticator Authenticator
	Enroller      Enroller
	Pin           string                         // of the hub's root certificate, as agents are given it
	Install       func(enroll.Invitation) string // the one command that installs an agent
	HelmInstall   HelmInstall                    // the same by Helm; nil: it isn't told
	Charts        *chartrepo.Repository          // nil: none is served
	Tokens        Tokens
	Recheck       func(context.Context, fleet.Principal) (fleet.Principal, error) // whether one who was authenticated earlier still is; nil: only the time ends one
	Tunnels       Tunnels
	Verifier      Verifier
	Store         Store
	Query         *query.Querier
	Live          *live.Live
	Plugins       Plugins
	Notify        Notify
	Audit         *audit.Log
	Kube          *kubeproxy.Proxy
	Fleet         *kubefleet.Face
	Ops           *ops.Ops
	Pods          *pods.Pods
	Bundle        Bundle        // nil: none is made
	Public        func() Public // asked each time: certificates are renewed
	Contacts      Contacts      // nil: this process watches no cluster itself
	Resolver      Resolver      // nil: the Querier's
	Ready         func() error  // says why new callers should go elsewhere, beside what is asked here; nil: nothing does
	Gatherer      prometheus.Gatherer
	Registerer    prometheus.Registerer
	Log           *zap.Logger
	Tracer        *obs.Tracer // nil: no traces
	TrustTraces   bool        // clients say whose part their requests are, and whether that is recorded

	// AllowedOrigins are the origins ("https://portal.example") of other sites whose pages may call; none by default.
	AllowedOrigins []string
	// TrustedProxies are the peers whose X-Forwarded-For is believed, for the log; none by default.
	TrustedProxies []netip.Prefix

	RequestTimeout time.Duration // of everything but streams and exports; 30 s
	ExportTimeout  time.Duration // 10 min
	WriteTimeout   time.Duration // of one frame of a stream; 10 s
	PingEvery      time.Duration // on idle streams; 20 s
	Streams        int           // open at once; 10,000
	StreamsEach    int           // of one principal; 1,000
	RequestsEach   int           // of one user's that are under way, streams apart; 200
	Subscriptions  int           // of one WebSocket; 64
	Strangers      int           // requests being authenticated at once; 256
}

func (c Config) complete() Config {
	c.RequestTimeout = or(c.RequestTimeout, 30*time.Second)
	c.ExportTimeout = or(c.ExportTimeout, 10*time.Minute)
	c.WriteTimeout = or(c.WriteTimeout, 10*time.Second)
	c.PingEvery = or(c.PingEvery, 20*time.Second)
	c.Streams = or(c.Streams, 10_000)
	c.StreamsEach = or(c.StreamsEach, 1000)
	c.RequestsEach = or(c.RequestsEach, 200)
	c.Subscriptions = or(c.Subscriptions, 64)
	c.Strangers = or(c.Strangers, 256)
	if c.Public == nil {
		c.Public = func() Public { return Public{} }
	}
	if c.Resolver == nil {
		c.Resolver = c.Query.Resolver()
	}
	if c.Log == nil {
		c.Log = zap.NewNop()
	}
	if c.Registerer == nil || c.Gatherer == nil {
		own := prometheus.NewRegistry()
		c.Registerer, c.Gatherer = own, own
	}
	return c
}

// maxPainters is how many pictures are drawn at once: each takes some tens of megabytes meanwhile.
const maxPainters = 2

func or[T comparable](v, usual T) T {
	var zero T
	if v == zero {
		return usual
	}
	return v
}

// API is the handler of everything below "/". Close ends its streams.
type API struct {
	cfg       Config
	router    chi.Router
	huma      huma.API
	origins   origins
	strangers chan struct{}
	painters  chan struct{}
	replays   *replays
	metrics   metrics

	mu      sync.Mutex
	closing chan struct{}
	streams sync.WaitGroup
	open    int
	each    map[owner]int // open streams by principal
	asking  map[owner]int // requests under way by user
}

// New makes the handler.
func New(cfg Config) *API {
	cfg = cfg.complete()
	a := &API{
		cfg: cfg, router: chi.NewRouter(), origins: newOrigins(cfg.AllowedOrigins), strangers: make(chan struct{}, cfg.Strangers),
		painters: make(chan struct{}, maxPainters),
		replays:  newReplays(), metrics: newMetrics(cfg.Registerer), closing: make(chan struct{}), each: map[owner]int{}, asking: map[owner]int{},
	}
	a.router.Use(a.observe, a.recoverPanics, secureHeaders, a.origins.handler(), a.deadline, plainPath, head)
	a.router.NotFound(func(w http.ResponseWriter, r *http.Request) {
		a.fail(w, r, fault.New(fault.NotFound, "there is nothing at %s", r.URL.Path))
	})
	a.router.MethodNotAllowed(a.wrongMethod)
	a.system(a.router)
	a.charts(a.router)
	a.router.Group(func(r chi.Router) {
		r.Use(bearerFromProtocol, a.authenticate, a.fair, a.recorded, a.idempotent)
		a.huma = humachi.New(r, a.humaConfig())
		a.huma.UseMiddleware(a.rejectUnknown)
		a.clusters()
		a.resources()
		a.topology()
		a.relations()
		a.groups()
		a.history()
		a.exports()
		a.search()
		a.events()
		a.tokens()
		a.plugins()
		a.notifications()
		a.operations()
		a.podStreams()
		a.auditing()
		a.kubeconfig()
		a.debug()
		a.documents(r)
	})
	return a
}

// ServeHTTP answers a request.
func (a *API) ServeHTTP(w http.ResponseWriter, r *http.Request) { a.router.ServeHTTP(w, r) }

// Close ends every stream with a word to its client, waits for them, and refuses new ones.
func (a *API) Close() {
	a.mu.Lock()
	select {
	case <-a.closing:
	default:
		close(a.closing)
	}
	a.mu.Unlock()
	a.streams.Wait()
}

// begin counts a stream in; the function it gives counts it out.
func (a *API) begin(p fleet.Principal) (end func(), err error) {
	who := ownerOf(p)
	a.mu.Lock()
	defer a.mu.Unlock()
	select {
	case <-a.closing:
		return nil, errClosing()
	default:
	}
	if a.open >= a.cfg.Streams {
		return nil, fault.New(fault.Unavailable, "this hub serves as many streams as it can").After(5 * time.Second)
	}
	if a.each[who] >= a.cfg.StreamsEach {
		return nil, fault.New(fault.TooManyRequests, "%d streams are open for %q already", a.each[who], p.Name).After(5 * time.Second)
	}
	a.open++
	a.each[who]++
	a.streams.Add(1)
	a.metrics.streams.Inc()
	return func() {
		a.mu.Lock()
		a.open--
		if a.each[who]--; a.each[who] == 0 {
			delete(a.each, who)
		}
		a.mu.Unlock()
		a.metrics.streams.Dec()
		a.streams.Done()
	}, nil
}

func errClosing() error {
	return fault.New(fault.Unavailable, "this hub is shutting down").After(time.Second)
}
