// Package hub is the composition root of the hub: it opens what there is to open, wires the rooms to each other, runs them, and
// stops them in the reverse order. It is the only room that sees every other.
package hub

import (
	"context"
	"crypto/rand"
	"crypto/tls"
	"encoding/hex"
	"errors"
	"net"
	"net/http"
	"os"
	"strings"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/zap"
	"golang.org/x/sync/errgroup"
	"google.golang.org/grpc"

	"github.com/kubilitics/kubilitics/charts"
	"github.com/kubilitics/kubilitics/hub/internal/audit"
	"github.com/kubilitics/kubilitics/hub/internal/auth"
	"github.com/kubilitics/kubilitics/hub/internal/chartrepo"
	"github.com/kubilitics/kubilitics/hub/internal/enroll"
	"github.com/kubilitics/kubilitics/hub/internal/fleet"
	"github.com/kubilitics/kubilitics/hub/internal/fleetgraph"
	"github.com/kubilitics/kubilitics/hub/internal/follow"
	"github.com/kubilitics/kubilitics/hub/internal/gateway"
	"github.com/kubilitics/kubilitics/hub/internal/httpapi"
	"github.com/kubilitics/kubilitics/hub/internal/ingest"
	"github.com/kubilitics/kubilitics/hub/internal/kubefleet"
	"github.com/kubilitics/kubilitics/hub/internal/kubeproxy"
	"github.com/kubilitics/kubilitics/hub/internal/live"
	"github.com/kubilitics/kubilitics/hub/internal/notify"
	"github.com/kubilitics/kubilitics/hub/internal/ops"
	"github.com/kubilitics/kubilitics/hub/internal/plugin"
	"github.com/kubilitics/kubilitics/hub/internal/pods"
	"github.com/kubilitics/kubilitics/hub/internal/query"
	"github.com/kubilitics/kubilitics/hub/internal/store"
	"github.com/kubilitics/kubilitics/hub/internal/turn"
	"github.com/kubilitics/kubilitics/shared/fault"
	"github.com/kubilitics/kubilitics/shared/obs"
	"github.com/kubilitics/kubilitics/shared/tunnel"
	"github.com/kubilitics/kubilitics/shared/version"
)

// tunnelPath is where the API's listener takes tunnels over WebSockets, for agents behind what lets only HTTP through.
const tunnelPath = "/tunnel/v1"

// drainTime is how long requests under way may take to end when the hub stops.
const drainTime = 10 * time.Second

// Hub is a hub that has opened its database and its listeners, and serves once it runs.
type Hub struct {
	cfg       Config
	log       *zap.Logger
	store     store.Store
	tenant    fleet.Tenant
	bootstrap string

	apiListener    net.Listener
	tunnelListener net.Listener

	api      *httpapi.API
	http     *http.Server
	tunnels  *tunnel.Server
	calls    *tunnel.Listener // of agents, on their tunnels
	contacts *tunnel.Listener // of agents that enrol
	grpc     *grpc.Server
	gateway  *gateway.Gateway
	enroll   *enroll.Service
	tokens   *auth.Tokens
	live     *live.Live
	shared   *fleetgraph.Keeper
	turns    *turn.Feeds
	plugins  *plugin.Host
	notify   *notify.Service
	audit    *audit.Log
	kube     *kubeproxy.Proxy
	janitor  *janitor
	census   *census
	metrics  *prometheus.Registry
	tracer   *obs.Tracer   // nil: no traces
	ring     *obs.Ring     // of the log
	bundling chan struct{} // has room for one
	face     *face
	inside   Embedding // zero for a hub that is a program of its own
	draining atomic.Bool
}

// New opens a hub: its database, migrated to this program's schema, its CA and its listeners. Close or Run must follow.
func New(ctx context.Context, cfg Config, log *zap.Logger) (*Hub, error) {
	return Embed(ctx, cfg, Embedding{}, log)
}

// Embed opens a hub, as New does, inside a program that gives it some of what it stands on.
func Embed(ctx context.Context, cfg Config, e Embedding, log *zap.Logger) (*Hub, error) {
	if err := cfg.check(); err != nil {
		return nil, err
	}
	if err := os.MkdirAll(cfg.DataDir, 0o700); err != nil {
		return nil, fault.Wrap(err, fault.BadRequest, "the data directory %s can't be made", cfg.DataDir)
	}
	h := &Hub{cfg: cfg, ring: obs.NewRing(keptLog), bundling: make(chan struct{}, 1), inside: e, metrics: obs.NewRegistry("kubilitics-hub")}
	h.log = h.ring.Keep(log)
	if err := h.open(ctx); err != nil {
		h.tracer.Close(ctx)
		return nil, errors.Join(err, h.Close())
	}
	return h, nil
}

func (h *Hub) open(ctx context.Context) (err error) {
	if h.tracer, err = obs.NewTracer("kubilitics-hub", h.cfg.Trace.of(rand.Text()), h.log.Named("trace")); err != nil {
		return err
	}
	if h.store, err = openStore(ctx, h.cfg, h.metrics, h.log); err != nil {
		return err
	}
	if h.tenant, err = h.store.EnsureTenant(ctx, h.cfg.Tenant); err != nil {
		return err
	}
	authority, err := openAuthority(h.cfg)
	if err != nil {
		return err
	}
	tickets, err := authority.Derive(auth.TicketPurpose)
	if err != nil {
		return err
	}
	h.tokens = auth.New(h.tokenStore(), auth.Config{TicketKey: tickets, MaxTicket: h.cfg.TicketLifetime}, h.log.Named("auth"))
	if h.bootstrap, err = h.tokens.Bootstrap(ctx, h.tenant.ID); err != nil {
		return err
	}
	if h.apiListener, err = listen(ctx, h.cfg.Listen); err != nil {
		return err
	}
	if h.tunnelListener, err = h.listenForTunnels(ctx); err != nil {
		return err
	}
	return h.wire(authority)
}

func listen(ctx context.Context, at string) (net.Listener, error) {
	var cfg net.ListenConfig
	l, err := cfg.Listen(ctx, "tcp", at)
	if err != nil {
		return nil, fault.Wrap(err, fault.Unavailable, "the address %s can't be listened on", at)
	}
	return l, nil
}

// wire makes the rooms and shows them to each other. Nothing runs yet.
func (h *Hub) wire(authority *enroll.Authority) error {
	var err error
	if h.face, err = openFace(h.cfg, authority.RootPEM(), h.log.Named("tls")); err != nil {
		return err
	}
	repository, err := chartrepo.New(charts.Agent, "kubilitics-agent")
	if err != nil {
		return err
	}
	if h.cfg.TLSCert == "" {
		h.apiListener = h.either(h.apiListener, authority)
	}
	reg := h.metrics
	h.enroll = enroll.New(h.store, authority, enroll.Config{
		TrustDomain: h.cfg.CA.Domain, Lifetime: h.cfg.CA.Lifetime, TokenLifetime: h.cfg.CA.TokenLife,
		Enrolled: func(at store.Scope) {
			h.gateway.Cut(at, fault.New(fault.Forbidden, "the cluster's agent was enrolled anew"))
		},
	}, h.log.Named("enroll"))
	h.gateway = gateway.New(h.store, h.identify, h.log.Named("gateway"))
	h.gateway.Announce(reg)
	h.live = live.New(live.Config{Store: h.store, Recheck: h.tokens.Recheck, Log: h.log.Named("live"), Registerer: reg})
	h.shared = fleetgraph.New(h.store, h.log.Named("fleetgraph"))
	h.wirePlugins(reg)
	h.wireTunnels(authority, reg)
	h.wireKube(reg)
	h.wireAPI(authority, repository, reg)
	h.janitor = newJanitor(h, reg)
	h.census = newCensus(h, reg)
	return nil
}

func (h *Hub) wirePlugins(reg prometheus.Registerer) {
	h.turns = turn.New(turn.Config{Store: h.store, Log: h.log.Named("turn")})
	h.plugins = plugin.New(plugin.Config{
		Plugins: h.cfg.Plugins, Store: h.store, Turns: h.turns, Log: h.log.Named("plugin"), Registerer: reg, HubVersion: version.String(),
	})
	h.notify = notify.New(notify.Config{
		Targets: h.cfg.Notify.Targets, Rules: h.cfg.Notify.Rules, Store: h.store, Turns: h.turns, Plugins: h.plugins,
		Log: h.log.Named("notify"), Registerer: reg, HubVersion: version.String(),
	})
}

func (h *Hub) wireKube(reg prometheus.Registerer) {
	h.audit = audit.New(audit.Config{Store: h.store, Log: h.log.Named("audit"), Registerer: reg})
	h.kube = kubeproxy.New(kubeproxy.Config{
		Tunnels: h.gateway, Clusters: h.store, Audit: h.audit, Limits: h.cfg.Kube.limits(), Recheck: h.tokens.Recheck,
		Log: h.log.Named("kube"), Registerer: reg,
	})
}

func (h *Hub) identify(p tunnel.Peer) (store.Scope, error) {
	at, _, err := h.enroll.Verify(p.Certificate)
	return at, err
}

func (h *Hub) wireTunnels(authority *enroll.Authority, reg prometheus.Registerer) {
	h.calls, h.contacts = tunnel.NewListener("agents"), tunnel.NewListener("first contacts")
	h.grpc = grpc.NewServer(tunnel.ServerOptions()...)
	ingest.Register(h.grpc, h.store, h.gateway, h.enroll, h.log.Named("ingest"), reg, h.tracer)
	h.tunnels = tunnel.NewServer(tunnel.ServerConfig{
		Credentials: authority.Credentials,
		Admit:       h.enroll.Admit,
		OnSession:   h.gateway.Attach,
		Streams:     map[tunnel.Kind]*tunnel.Listener{tunnel.GRPC: h.calls},
		Enroll:      h.contacts,
		Refused: func(from net.Addr, err error) {
			h.gateway.Refused(err)
			h.log.Info("a connection to the tunnels came to nothing", zap.Stringer("from", from), zap.Error(err))
		},
	})
}

func (h *Hub) wireAPI(authority *enroll.Authority, repository *chartrepo.Repository, reg *prometheus.Registry) {
	proxies, _ := h.cfg.proxies() // checked at the start
	pin := authority.Pin()
	asks := query.New(h.store).Announce(reg)
	h.api = httpapi.New(httpapi.Config{
		Version:        version.String(),
		Authenticator:  h.tokens,
		Enroller:       h.enroll,
		Pin:            hex.EncodeToString(pin[:]),
		Install:        h.install,
		Home:           h.tenant.ID,
		HelmInstall:    h.helm,
		Charts:         repository,
		Tokens:         h.tokens,
		Recheck:        h.tokens.Recheck,
		Tunnels:        tunnelsOf{h},
		Verifier:       h,
		Ready:          h.ready,
		Store:          h.store,
		Query:          asks,
		Live:           h.live,
		Plugins:        h.plugins,
		Notify:         h.notify,
		Audit:          h.audit,
		Kube:           h.kube,
		Fleet:          kubefleet.New(kubefleet.Config{Query: asks, Live: h.live, Log: h.log.Named("fleet")}),
		Ops:            ops.New(ops.Config{Kube: h.kube, Query: asks, Log: h.log.Named("ops")}),
		Pods:           pods.New(pods.Config{Kube: h.kube, Log: h.log.Named("pods")}),
		Public:         h.face.public,
		Contacts:       h.inside.Contacts,
		Bundle:         h.bundle,
		Gatherer:       reg,
		Registerer:     reg,
		Log:            h.log.Named("api"),
		Tracer:         h.tracer,
		TrustTraces:    h.cfg.Trace.Trust,
		AllowedOrigins: h.cfg.CORSOrigins,
		TrustedProxies: proxies,
	})
	// Headers are bounded in time here; bodies and answers are bounded by the API itself, route by route, because streams have no end.
	h.http = &http.Server{Handler: h.doors(), ReadHeaderTimeout: 10 * time.Second, ConnContext: tuned, IdleTimeout: 2 * time.Minute, MaxHeaderBytes: 64 << 10, ErrorLog: zap.NewStdLog(h.log.Named("http"))}
}

// doors shows each request to who serves it. It is no http.ServeMux, which would send clients elsewhere when their path isn't to its taste: the paths
// of Kubernetes are judged where they are understood.
func (h *Hub) doors() http.Handler {
	kube := h.api.Kube()
	return h.inside.guard(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch {
		case r.URL.Path == tunnelPath && h.inside.Tunnels == nil:
			h.tunnels.ServeHTTP(w, r)
		case strings.HasPrefix(r.URL.Path, httpapi.KubeRoot):
			kube.ServeHTTP(w, r)
		default:
			h.api.ServeHTTP(w, r)
		}
	}))
}

// tuned gives connections the tunnel's socket options: any of them may become one.
func tuned(ctx context.Context, c net.Conn) context.Context {
	if secure, ok := c.(*tls.Conn); ok {
		c = secure.NetConn()
	}
	tunnel.Tune(c)
	return ctx
}

// install is the command that starts a cluster's agent as a program. The token is in a variable, since everybody on a machine sees the words of commands.
func (h *Hub) install(i enroll.Invitation) string {
	return "KUBILITICS_TOKEN=" + i.Token + " kubilitics-agent run --hub " + h.TunnelAddress()
}

// helm is the command that installs the agent into a cluster, from this hub's own repository of charts.
func (h *Hub) helm(i enroll.Invitation, repository, caFile string) string {
	address := h.TunnelAddress()
	line := "helm install kubilitics-agent kubilitics-agent --repo " + repository
	if caFile != "" {
		line += " --ca-file " + caFile
	}
	line += " --namespace kubilitics --create-namespace --set hub.address=" + address + " --set token=" + i.Token
	if caFile != "" && strings.HasPrefix(address, "wss://") {
		line += " --set-file hub.ca.inline=" + caFile
	}
	return line
}

// APIURL is where the API is.
func (h *Hub) APIURL() string {
	scheme := "http://"
	if h.cfg.TLSCert != "" {
		scheme = "https://"
	}
	return scheme + h.apiListener.Addr().String()
}

// TunnelAddress is how agents reach this hub.
func (h *Hub) TunnelAddress() string { return h.cfg.tunnelAddress(h.tunnelListener.Addr()) }

// BootstrapToken is the first administrator's token, made when the tenant had none; "" otherwise. Whoever asks shows it once.
func (h *Hub) BootstrapToken() string { return h.bootstrap }

// Run serves until ctx ends or something fails for good, and returns when all of it has stopped. The database, which everything else
// needs to the last, is closed after.
//
// When ctx ends and there is time to drain, agents are asked to move first, while everything still serves.
func (h *Hub) Run(ctx context.Context) error {
	serving, stop := context.WithCancelCause(context.WithoutCancel(ctx))
	defer stop(nil)
	unwatch := context.AfterFunc(ctx, func() {
		if h.cfg.Drain > 0 {
			h.draining.Store(true)
			h.log.Info("draining", zap.Duration("within", h.cfg.Drain))
			h.gateway.Drain(serving, h.cfg.Drain)
		}
		stop(context.Cause(ctx))
	})
	defer unwatch()
	return h.run(serving)
}

// ready sends new callers elsewhere while the hub drains.
func (h *Hub) ready() error {
	if h.draining.Load() {
		return fault.New(fault.Unavailable, "this hub is about to stop")
	}
	return nil
}

func (h *Hub) run(ctx context.Context) error {
	defer h.tracer.Close(ctx)
	unrecord := h.record(ctx)
	g, ctx := errgroup.WithContext(ctx)
	// What requests to clusters stand on ends after the last of them.
	under, end := context.WithCancel(context.WithoutCancel(ctx))
	defer end()
	g.Go(func() error { return h.live.Run(ctx) })
	g.Go(func() error { return h.shared.Run(ctx) })
	g.Go(func() error {
		return follow.Run(ctx, follow.Any(h.store), "the index of searches", h.index, h.log.Named("search"))
	})
	// These run also when nothing is configured: they forget what plugins and rules that are no longer left behind.
	g.Go(func() error { return h.turns.Run(ctx) })
	g.Go(func() error { return h.plugins.Run(ctx) })
	g.Go(func() error { return h.notify.Run(ctx) })
	g.Go(func() error { return h.tokens.Run(ctx) })
	g.Go(func() error { return h.kube.Run(under) })
	g.Go(func() error { return h.gateway.Run(under) })
	g.Go(func() error { return h.janitor.run(ctx) })
	g.Go(func() error { return h.census.run(ctx) })
	g.Go(func() error { return h.superseded(ctx) })
	g.Go(func() error { return h.face.run(ctx) })
	g.Go(func() error { return h.enroll.Serve(ctx, h.contacts) })
	g.Go(func() error { return h.serveCalls(under) })
	g.Go(func() error { return h.tunnels.Serve(under, h.tunnelListener) })
	g.Go(func() error {
		defer end()
		return h.serveAPI(ctx)
	})
	h.log.Info("the hub serves", zap.String("api", h.APIURL()), zap.String("tunnels", h.TunnelAddress()), zap.String("version", version.String()))
	err := g.Wait()
	return errors.Join(err, unrecord(), h.Close())
}

// superseded ends this hub when another program brings the database's schema to a version of its own, which waits until this one has let go.
func (h *Hub) superseded(ctx context.Context) error {
	s, ok := h.store.(interface{ Superseded() <-chan struct{} })
	if !ok {
		return nil
	}
	select {
	case <-s.Superseded():
		return fault.New(fault.Conflict, "another program migrates the database's schema: this hub stops, and one of that version can take its place")
	case <-ctx.Done():
		return nil
	}
}

// record writes who does what until the function that it gives is called: after everything that takes requests has stopped, so that how they ended is on
// record too.
func (h *Hub) record(ctx context.Context) (stop func() error) {
	ctx, cancel := context.WithCancel(context.WithoutCancel(ctx))
	done := make(chan error, 1)
	go func() { done <- h.audit.Run(ctx) }()
	return func() error {
		cancel()
		return <-done
	}
}

// index takes changed rows into what searches go by, of whichever tenant.
func (h *Hub) index(ctx context.Context, _ fleet.TenantID) (more bool, err error) {
	return h.store.Index(ctx, sweepRows)
}

func (h *Hub) serveCalls(ctx context.Context) error {
	stop := context.AfterFunc(ctx, h.grpc.Stop)
	defer stop()
	if err := h.grpc.Serve(h.calls); err != nil && ctx.Err() == nil {
		return fault.Wrap(err, fault.Internal, "the agents' service failed")
	}
	h.grpc.Stop() // also waits for the handlers
	return nil
}

func (h *Hub) serveAPI(ctx context.Context) error {
	drained := make(chan error, 1)
	stop := context.AfterFunc(ctx, func() {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), drainTime)
		defer cancel()
		h.kube.Drain()
		h.api.Close()
		err := h.http.Shutdown(ctx)
		h.kube.Close(ctx) // its connections aren't the server's any more
		drained <- err
	})
	err := h.serveHTTP()
	if !stop() {
		err = errors.Join(<-drained, h.http.Close())
	}
	if err != nil && !errors.Is(err, http.ErrServerClosed) {
		return fault.Wrap(err, fault.Internal, "the API's listener failed")
	}
	return nil
}

func (h *Hub) serveHTTP() error {
	if h.cfg.TLSCert == "" {
		return h.http.Serve(h.apiListener)
	}
	h.http.TLSConfig = &tls.Config{MinVersion: tls.VersionTLS12, GetCertificate: h.face.certificate}
	return h.http.ServeTLS(h.apiListener, "", "")
}

// Close lets go of what New opened. Run does it too.
func (h *Hub) Close() error {
	for _, l := range []net.Listener{h.apiListener, h.tunnelListener} {
		if l != nil {
			_ = l.Close() // closed already after Run
		}
	}
	if h.store == nil {
		return nil
	}
	return h.store.Close()
}
