// Package agent is the composition root of the agent: it watches one cluster, keeps its graph, and keeps a hub informed of it.
package agent

import (
	"context"
	"crypto/rand"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/zap"
	"golang.org/x/sync/errgroup"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"

	"github.com/kubilitics/kubilitics/agent/internal/enroll"
	"github.com/kubilitics/kubilitics/agent/internal/kubeserve"
	"github.com/kubilitics/kubilitics/agent/internal/uplink"
	"github.com/kubilitics/kubilitics/agent/internal/watch"
	tunnelv1 "github.com/kubilitics/kubilitics/proto/tunnel/v1"
	"github.com/kubilitics/kubilitics/shared/fault"
	"github.com/kubilitics/kubilitics/shared/obs"
	"github.com/kubilitics/kubilitics/shared/reduce"
	"github.com/kubilitics/kubilitics/shared/rules"
	"github.com/kubilitics/kubilitics/shared/topo"
	"github.com/kubilitics/kubilitics/shared/tunnel"
	"github.com/kubilitics/kubilitics/shared/version"
	"github.com/kubilitics/kubilitics/shared/wire"
)

// Agent is an agent that has read its configuration, and works once it runs.
type Agent struct {
	cfg      Config
	log      *zap.Logger
	rest     *rest.Config
	endpoint tunnel.Endpoint
	table    *rules.Table
	source   *watch.Source
	door     *kubeserve.Door
	instance string
	tracer   *obs.Tracer // nil: no traces
	inside   Embedding   // zero for an agent that is a program of its own
	metrics  *prometheus.Registry
	member   atomic.Pointer[enroll.Member] // nil until it is enrolled

	mu   sync.Mutex
	info watch.ClusterInfo // as last asked
}

// New makes an agent. Nothing is reached before Run.
func New(cfg Config, log *zap.Logger) (a *Agent, err error) {
	if err := cfg.check(); err != nil {
		return nil, err
	}
	a = &Agent{cfg: cfg, instance: rand.Text()}
	a.log = log.With(zap.String("instance", a.instance))
	if a.rest, err = restConfig(cfg); err != nil {
		return nil, err
	}
	if a.endpoint, err = endpoint(cfg, log.Named("tls")); err != nil {
		return nil, err
	}
	if a.table, err = cfg.ruleTable(); err != nil {
		return nil, err
	}
	return a, a.furnish()
}

// furnish makes the parts that stand on the connection to the cluster.
func (a *Agent) furnish() (err error) {
	cfg, log := a.cfg, a.log
	a.metrics = a.newRegistry()
	if a.tracer, err = obs.NewTracer("kubilitics-agent", cfg.Trace.of(a.instance), log.Named("trace")); err != nil {
		return err
	}
	a.door, err = kubeserve.New(kubeserve.Config{REST: a.rest, Access: kubeserve.Access(cfg.Access), Prefix: cfg.UserPrefix, Log: log.Named("kube"), Tracer: a.tracer, Registerer: a.metrics})
	if err != nil {
		return err
	}
	a.source, err = watch.New(watch.Config{
		RESTConfig: a.rest,
		Decoder:    decoder{reduce.New(a.table)},
		Log:        log.Named("watch"),
		Manifests:  cfg.Share == shareManifests,
		Exclude:    cfg.excluded(),
		Namespaces: cfg.Namespaces,

		ExcludeNamespaces: cfg.Without,
		Registerer:        a.metrics,
	})
	return err
}

// restConfig says how to reach the cluster: by the file named, else as the pod that the agent runs in, else as kubectl would.
func restConfig(cfg Config) (*rest.Config, error) {
	if cfg.Kubeconfig == "" {
		if own, err := rest.InClusterConfig(); err == nil {
			return own, nil
		}
	}
	loading := clientcmd.NewDefaultClientConfigLoadingRules()
	loading.ExplicitPath = cfg.Kubeconfig
	out, err := clientcmd.NewNonInteractiveDeferredLoadingClientConfig(loading, &clientcmd.ConfigOverrides{CurrentContext: cfg.Context}).ClientConfig()
	if clientcmd.IsEmptyConfig(err) {
		return nil, fault.New(fault.BadRequest, "this is no pod, and no kubeconfig says how the cluster is reached").WithField("kubeconfig", "must name one")
	}
	if err != nil {
		return nil, fault.Wrap(err, fault.BadRequest, "the cluster's address and credentials can't be found").WithField("kubeconfig", "%v", err)
	}
	return out, nil
}

func endpoint(cfg Config, log *zap.Logger) (tunnel.Endpoint, error) {
	e := tunnel.Endpoint{URL: cfg.Hub}
	if cfg.Proxy != "" {
		u, err := url.Parse(cfg.Proxy)
		if err != nil {
			return e, fault.Wrap(err, fault.BadRequest, "the proxy's address is no URL").WithField("proxy", "is no URL")
		}
		e.Proxy = u
	}
	if cfg.HubCA == "" {
		return e, nil
	}
	r := &roots{file: cfg.HubCA, log: log}
	if err := r.read(); err != nil {
		return e, err
	}
	e.OuterRoots = r.latest
	return e, nil
}

// Run watches and tells until ctx ends or something fails for good, and returns when all of it has stopped. The watch starts at once: by the
// time the hub has answered, the cluster is mostly known.
func (a *Agent) Run(ctx context.Context) error {
	defer a.tracer.Close(ctx)
	g, running := errgroup.WithContext(ctx)
	g.Go(func() error { return a.source.Run(running) })
	g.Go(func() error { return a.door.Run(running) })
	g.Go(func() error { return a.tell(running, g) })
	g.Go(func() error { return face{a.ready, a.metrics, a.log.Named("face")}.serve(running, a.cfg.Listen) })
	err := g.Wait()
	if ctx.Err() != nil && fault.Is(err, fault.Unavailable) {
		return nil // cut off because it was to end
	}
	return err
}

// tell becomes a member of the hub and keeps the hub informed.
func (a *Agent) tell(ctx context.Context, g *errgroup.Group) error {
	keep, err := a.keep()
	if err != nil {
		return err
	}
	member, err := enroll.Ensure(ctx, enroll.Config{
		Endpoint: a.endpoint, Token: a.cfg.Token, KubeUID: a.kubeUID, Keep: keep, Log: a.log.Named("enroll"),
	})
	if err != nil {
		return err
	}
	a.member.Store(member)
	a.log.Info("this cluster is known to the hub", zap.String("cluster", member.Cluster()), zap.Time("certificateEnds", member.NotAfter()))
	link := uplink.NewLink(uplink.Config{
		Source:  watched{a.source, a.log.Named("watch"), a.reached},
		Ledger:  uplink.NewLedger(a.engine(), a.cfg.Share == shareManifests),
		Dial:    a.dial(member),
		Hello:   a.hello,
		Version: func() string { return a.known().Version },
		Backoff: tunnel.Backoff{First: reconnectAfter},
		Log:     a.log.Named("uplink").With(zap.String("cluster", member.Cluster())),
		Tracer:  a.tracer,
		OnSession: func(s *tunnel.Session, c tunnelv1.SyncClient) {
			member.Attach(s, c)
		},
		Registerer: a.metrics,
	})
	g.Go(func() error { return member.Run(ctx) })
	return link.Run(ctx)
}

// engine makes an empty graph that knows where nobody looks.
func (a *Agent) engine() *topo.Engine {
	e := topo.NewEngine(a.table)
	if len(a.cfg.Namespaces)+len(a.cfg.Without) > 0 {
		e.Sees(a.cfg.sees)
	}
	return e
}

func (a *Agent) keep() (enroll.Keep, error) {
	if a.inside.Dial != nil {
		return enroll.Memory(), nil
	}
	if a.cfg.Secret == "" {
		return enroll.Dir(a.cfg.StateDir), nil
	}
	namespace, name, _ := strings.Cut(a.cfg.Secret, "/")
	return enroll.Secret(a.rest, namespace, name)
}

// dial asks the cluster who it is before each session, because it may have been upgraded meanwhile. When it can't be asked, what it said last
// holds; without that there is nothing to tell a hub.
func (a *Agent) dial(m *enroll.Member) func(context.Context, map[tunnel.Kind]*tunnel.Listener) (*tunnel.Session, error) {
	return func(ctx context.Context, streams map[tunnel.Kind]*tunnel.Listener) (*tunnel.Session, error) {
		if _, err := a.ask(ctx); err != nil && a.known().UID == "" {
			return nil, err
		}
		streams[tunnel.HTTP] = a.door.Listener()
		return m.Dial(ctx, streams)
	}
}

func (a *Agent) ask(ctx context.Context) (watch.ClusterInfo, error) {
	info, err := a.source.Info(ctx)
	if info, err = a.identified(info, err); err != nil {
		return info, err
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	a.info = info
	return info, nil
}

func (a *Agent) known() watch.ClusterInfo {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.info
}

// kubeUID waits until the cluster can be asked: an agent may start before its API server.
func (a *Agent) kubeUID(ctx context.Context) (string, error) {
	backoff := tunnel.Backoff{First: time.Second, Cap: 15 * time.Second}
	for {
		info, err := a.ask(ctx)
		if err == nil {
			return info.UID, nil
		}
		a.log.Warn("the cluster can't be asked who it is", zap.Error(err))
		if err := backoff.Wait(ctx, err); err != nil {
			return "", err
		}
	}
}

func (a *Agent) hello() *tunnelv1.Hello {
	info := a.known()
	share := tunnelv1.Share_SHARE_TOPOLOGY
	if a.cfg.Share == shareManifests {
		share = tunnelv1.Share_SHARE_MANIFESTS
	}
	return &tunnelv1.Hello{
		Capability: wire.Capability, Instance: a.instance, AgentVersion: version.String(), DigestVersions: []int32{topo.DigestVersion},
		KubeSystemUid: info.UID, KubernetesVersion: info.Version, Provider: info.Provider, Share: share,
	}
}

// decoder shows the reducer to the watch.
type decoder struct{ *reduce.Reducer }

func (d decoder) Decode(k watch.Kind, raw, text []byte) (watch.Object, error) {
	o, err := d.ReduceInto(reduce.Kind{GroupKind: k.GroupKind, Version: k.Version}, raw, text)
	if err != nil {
		return watch.Object{}, err
	}
	return watch.Object{Resource: &o.Resource, Text: o.Text, ResourceVersion: o.ResourceVersion}, nil
}
