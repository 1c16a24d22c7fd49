// Package agenttest is an agent whose cluster is made up: enrolment, tunnel, ledger and graph are the real ones, so that loads and
// faults reach a hub as they would from a real cluster, at sizes for which no cluster is at hand.
package agenttest

import (
	"cmp"
	"context"
	"crypto/rand"
	"fmt"
	"sync"
	"time"

	"go.uber.org/zap"
	"golang.org/x/sync/errgroup"
	"k8s.io/client-go/rest"

	"github.com/kubilitics/kubilitics/agent/internal/enroll"
	"github.com/kubilitics/kubilitics/agent/internal/kubeserve"
	"github.com/kubilitics/kubilitics/agent/internal/uplink"
	tunnelv1 "github.com/kubilitics/kubilitics/proto/tunnel/v1"
	"github.com/kubilitics/kubilitics/shared/fault"
	"github.com/kubilitics/kubilitics/shared/reduce"
	"github.com/kubilitics/kubilitics/shared/rules"
	"github.com/kubilitics/kubilitics/shared/topo"
	"github.com/kubilitics/kubilitics/shared/tunnel"
	"github.com/kubilitics/kubilitics/shared/wire"
)

// Config says which hub to join, and what cluster to make up. Hub, Token and Dir are required.
type Config struct {
	Hub     string // address of the tunnels
	Token   string // join token
	Dir     string // of the agent's keys; a second agent with the same one has the same identity
	KubeUID string // of the kube-system namespace; one made of Seed if empty

	Seed     uint64 // equal seeds and sizes make equal clusters
	Objects  int    // at the start
	Filler   int    // bytes of noise in each ConfigMap, which hardly compress
	Topology bool   // share no manifests

	Kube   *rest.Config // an API server behind the agent's door to it, such as an httptest.Server; no door if nil
	Access string       // of the door, as in an agent's configuration; "operate" if empty
	Prefix string       // of whom it impersonates

	Backoff tunnel.Backoff // between sessions; by default from 50 ms to 2 s
	Log     *zap.Logger    // nobody hears it if nil
}

// Stats is where the agent stands with its hub.
type Stats = uplink.Stats

// Agent is an agent of a made-up cluster. Its methods may be called by many at once, while it runs.
type Agent struct {
	cfg     Config
	cluster *cluster
	link    *uplink.Link
	door    *kubeserve.Door // nil without an API server

	mu      sync.Mutex
	member  *enroll.Member
	session *tunnel.Session // the newest
	dialled time.Time       // when it was begun
	greeted *tunnel.Session // the newest that the hub has welcomed
	held    chan struct{}   // closed when dialling may go on; nil when it may
}

// ruleTable is the same for every agent of a process: it never changes.
var ruleTable = sync.OnceValues(func() (*rules.Table, error) { return rules.Default() })

// New makes an agent with its cluster. Nothing is reached before Run.
func New(cfg Config) (*Agent, error) {
	if cfg.Log == nil {
		cfg.Log = zap.NewNop()
	}
	if cfg.KubeUID == "" {
		cfg.KubeUID = fmt.Sprintf("00000000-0000-4000-8000-%012x", cfg.Seed&(1<<48-1))
	}
	if cfg.Backoff.First == 0 {
		cfg.Backoff = tunnel.Backoff{First: 50 * time.Millisecond, Cap: 2 * time.Second}
	}
	table, err := ruleTable()
	if err != nil {
		return nil, err
	}
	a := &Agent{cfg: cfg, cluster: newCluster(cfg.Seed, cfg.Objects, cfg.Filler, !cfg.Topology, reduce.New(table))}
	if cfg.Kube != nil {
		access := kubeserve.Access(cmp.Or(cfg.Access, string(kubeserve.Operate)))
		if a.door, err = kubeserve.New(kubeserve.Config{REST: cfg.Kube, Access: access, Prefix: cfg.Prefix, Log: cfg.Log.Named("kube")}); err != nil {
			return nil, err
		}
	}
	instance := rand.Text()
	a.link = uplink.NewLink(uplink.Config{
		Source: a.cluster, Ledger: uplink.NewLedger(topo.NewEngine(table), !cfg.Topology), Dial: a.dial,
		Hello:   func() *tunnelv1.Hello { return a.hello(instance) },
		Version: func() string { return kubernetesVersion },
		Backoff: cfg.Backoff, Log: cfg.Log.Named("uplink"), OnSession: a.welcomed,
	})
	return a, nil
}

const kubernetesVersion = "v1.37.2"

func (a *Agent) hello(instance string) *tunnelv1.Hello {
	share := tunnelv1.Share_SHARE_MANIFESTS
	if a.cfg.Topology {
		share = tunnelv1.Share_SHARE_TOPOLOGY
	}
	return &tunnelv1.Hello{
		Capability: wire.Capability, Instance: instance, AgentVersion: "synthetic", DigestVersions: []int32{topo.DigestVersion},
		KubeSystemUid: a.cfg.KubeUID, KubernetesVersion: kubernetesVersion, Provider: "synthetic", Share: share,
	}
}

// Run joins the hub, if that hasn't happened yet, and keeps it informed until ctx ends or something fails for good.
func (a *Agent) Run(ctx context.Context) error {
	member, err := enroll.Ensure(ctx, enroll.Config{
		Endpoint: tunnel.Endpoint{URL: a.cfg.Hub}, Token: a.cfg.Token, Keep: enroll.Dir(a.cfg.Dir), Log: a.cfg.Log.Named("enroll"),
		KubeUID: func(context.Context) (string, error) { return a.cfg.KubeUID, nil },
	})
	if err != nil {
		if ctx.Err() != nil {
			return nil
		}
		return err
	}
	a.mu.Lock()
	a.member = member
	a.mu.Unlock()
	g, ctx := errgroup.WithContext(ctx)
	if a.door != nil {
		g.Go(func() error { return a.door.Run(ctx) })
	}
	g.Go(func() error { return member.Run(ctx) })
	g.Go(func() error { return a.link.Run(ctx) })
	if err := g.Wait(); ctx.Err() == nil || !fault.Is(err, fault.Unavailable) {
		return err
	}
	return nil
}

// dial waits while the agent is paused.
func (a *Agent) dial(ctx context.Context, streams map[tunnel.Kind]*tunnel.Listener) (*tunnel.Session, error) {
	a.mu.Lock()
	held, member := a.held, a.member
	a.mu.Unlock()
	if held != nil {
		select {
		case <-held:
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		}
	}
	if a.door != nil {
		streams[tunnel.HTTP] = a.door.Listener()
	}
	began := time.Now()
	s, err := member.Dial(ctx, streams)
	if err == nil {
		a.mu.Lock()
		a.session, a.dialled = s, began
		a.mu.Unlock()
	}
	return s, err
}

func (a *Agent) welcomed(s *tunnel.Session, c tunnelv1.SyncClient) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.greeted = s
	a.member.Attach(s, c)
}

// Cluster is the id of the cluster at the hub; "" before it has joined.
func (a *Agent) Cluster() string {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.member == nil {
		return ""
	}
	return a.member.Cluster()
}

// Stats tells where the agent stands, as of the last turn of its loop.
func (a *Agent) Stats() Stats { return a.link.Stats() }

// Session tells of the newest session: when its dialling began, and the bytes that it has taken so far below TLS, handshake included.
// All of it is zero before the first.
func (a *Agent) Session() (dialled time.Time, in, out uint64) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.session != nil {
		in, out = a.session.Bytes()
	}
	return a.dialled, in, out
}

// Disconnect cuts the session, as a network does; the agent dials again.
func (a *Agent) Disconnect() {
	a.mu.Lock()
	s := a.session
	a.mu.Unlock()
	if s != nil {
		s.Close(fault.New(fault.Unavailable, "the connection was cut"))
	}
}

// Pause cuts the session and keeps the agent from dialling until resume is called. The cluster goes on.
func (a *Agent) Pause() (resume func()) {
	held := make(chan struct{})
	a.mu.Lock()
	a.held = held
	a.mu.Unlock()
	a.Disconnect()
	return sync.OnceFunc(func() {
		a.mu.Lock()
		defer a.mu.Unlock()
		if a.held == held {
			a.held = nil
		}
		close(held)
	})
}

// pollEvery is how often what the link tells is looked at.
const pollEvery = time.Millisecond

// Settle waits until everything that happened in the cluster before the call is told to the hub and acknowledged.
func (a *Agent) Settle(ctx context.Context) error {
	return a.await(ctx, func(s Stats) bool { return a.met() && s.Connected && s.Synced && a.cluster.told(s.News) })
}

// met tells whether the newest session lives and was welcomed: after a cut, the link still believes in the one before for a moment.
func (a *Agent) met() bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.session != nil && a.greeted == a.session && a.session.Err() == nil
}

// Absorbed waits until the agent has taken everything in that happened in the cluster before the call, told or not.
func (a *Agent) Absorbed(ctx context.Context) error {
	return a.await(ctx, func(s Stats) bool { return a.cluster.told(s.News) })
}

func (a *Agent) await(ctx context.Context, done func(Stats) bool) error {
	tick := time.NewTicker(pollEvery)
	defer tick.Stop()
	for !done(a.link.Stats()) {
		select {
		case <-tick.C:
		case <-ctx.Done():
			return fault.Wrap(context.Cause(ctx), fault.Unavailable, "the agent did not get there: %+v", a.link.Stats())
		}
	}
	return nil
}

// Touch changes the status of n pods, others each time until all had their turn.
func (a *Agent) Touch(n int) { a.cluster.touch(n) }

// Add makes n more objects.
func (a *Agent) Add(n int) { a.cluster.add(n) }

// Remove takes n objects away, of any kind.
func (a *Agent) Remove(n int) { a.cluster.remove(n) }

// Replace makes n objects anew: the same names, other UIDs.
func (a *Agent) Replace(n int) { a.cluster.replace(n) }

// Len is the number of objects in the cluster now.
func (a *Agent) Len() int { return a.cluster.len() }
