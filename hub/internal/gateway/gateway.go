// Package gateway holds the hub's live tunnels: it knows which session speaks for which cluster, lets one at a time write,
// notes signs of life, and opens streams to agents for those who ask for a cluster.
package gateway

import (
	"context"
	"sync"
	"time"

	"go.uber.org/zap"
	"golang.org/x/sync/errgroup"
	"google.golang.org/grpc"

	"github.com/kubilitics/kubilitics/hub/internal/store"
	tunnelv1 "github.com/kubilitics/kubilitics/proto/tunnel/v1"
	"github.com/kubilitics/kubilitics/shared/fault"
	"github.com/kubilitics/kubilitics/shared/tunnel"
)

// Store is what the gateway reads and notes.
type Store interface {
	MarkHeard(ctx context.Context, heard []store.Heard) error
	ExpireSessions(ctx context.Context, before time.Time) (int, error)
}

// Identify tells which cluster a verified peer is, by its certificate.
type Identify func(tunnel.Peer) (store.Scope, error)

// The times of the gateway.
const (
	noteEvery    = 5 * time.Second // how often signs of life are written down, all sessions at once
	expireAfter  = 20 * time.Second
	pingTimeout  = 3 * time.Second  // an answer within it keeps a session against a newcomer
	conflictWait = 30 * time.Second // when a refused newcomer may ask again
	callTimeout  = 10 * time.Second
	idleFor      = 10 * time.Second // how long a tunnel may be there without a session on it
	maxDrains    = 64               // agents asked to move at a time
	drainLook    = 100 * time.Millisecond
)

// Gateway is the registry of live tunnels. Its methods may be called by many at once.
type Gateway struct {
	store    Store
	identify Identify
	log      *zap.Logger
	metrics  *metrics

	mu     sync.Mutex // never held over I/O
	links  map[*tunnel.Session]*link
	holder map[store.Scope]*link // which link writes the cluster's rows
}

// link is one tunnel and what it has become.
type link struct {
	scope    store.Scope
	session  *tunnel.Session
	instance string
	epoch    int64     // 0 until a sync session was opened on it
	idle     time.Time // since when there is no sync session on it
}

// New makes a gateway without tunnels.
func New(s Store, identify Identify, log *zap.Logger) *Gateway {
	return &Gateway{store: s, identify: identify, log: log, metrics: newMetrics(nil), links: map[*tunnel.Session]*link{}, holder: map[store.Scope]*link{}}
}

// Attach takes a new tunnel in, until it ends: tunnel.ServerConfig.OnSession.
func (g *Gateway) Attach(s *tunnel.Session) {
	at, err := g.identify(s.Peer())
	if err != nil { // asked before the tunnel was admitted
		s.Close(err)
		return
	}
	l := &link{scope: at, session: s, idle: time.Now()}
	g.mu.Lock()
	g.links[s] = l
	g.mu.Unlock()
	g.metrics.attached.Inc()
	context.AfterFunc(s.Context(), func() { g.detach(l) })
}

func (g *Gateway) detach(l *link) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if _, there := g.links[l.session]; there {
		g.metrics.left(l.session)
	}
	delete(g.links, l.session)
	if g.holder[l.scope] == l {
		delete(g.holder, l.scope)
	}
}

// of gives the link that carries a call.
func (g *Gateway) of(ctx context.Context) (*link, error) {
	s, ok := tunnel.SessionOf(ctx)
	if !ok {
		return nil, fault.New(fault.Unauthorized, "this call did not come through a tunnel")
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	l := g.links[s]
	if l == nil {
		return nil, fault.New(fault.Unavailable, "the tunnel of this call has ended")
	}
	return l, nil
}

// Peer tells whose call it is, and gives the clock of that tunnel's signs of life.
func (g *Gateway) Peer(ctx context.Context) (at store.Scope, lastHeard func() time.Time, err error) {
	l, err := g.of(ctx)
	if err != nil {
		return store.Scope{}, nil, err
	}
	return l.scope, l.session.LastHeard, nil
}

// Admit makes the caller's tunnel the one that writes its cluster. An earlier tunnel of the same agent process is superseded at once;
// that of another process only if it is silent: two agents with one identity would undo each other's rows.
func (g *Gateway) Admit(ctx context.Context, instance string) (context.Context, func(), error) {
	l, err := g.of(ctx)
	if err != nil {
		return nil, nil, err
	}
	for {
		before := g.claim(l, instance)
		if before == nil {
			return ctx, func() { g.release(l) }, nil
		}
		if before.instance != instance {
			if err := g.contest(ctx, before); err != nil {
				g.log.Warn("two agents claim one cluster; the newcomer is refused", zap.Stringer("cluster", l.scope.Cluster),
					zap.String("holder", before.instance), zap.Stringer("holderAddress", before.session.Peer().Addr),
					zap.String("newcomer", instance), zap.Stringer("newcomerAddress", l.session.Peer().Addr))
				return nil, nil, err
			}
		}
		before.session.Close(fault.New(fault.Conflict, "another tunnel of this cluster took over"))
		g.detach(before)
	}
}

// claim makes l the holder, unless another tunnel is, which it gives back.
func (g *Gateway) claim(l *link, instance string) *link {
	g.mu.Lock()
	defer g.mu.Unlock()
	if h := g.holder[l.scope]; h != nil && h != l {
		return h
	}
	l.instance = instance
	g.holder[l.scope] = l
	return nil
}

// contest asks the holder for a sign of life; one that gives it stays.
func (g *Gateway) contest(ctx context.Context, holder *link) error {
	ctx, cancel := context.WithTimeout(ctx, pingTimeout)
	defer cancel()
	if _, err := holder.session.Ping(ctx); err != nil {
		return nil // silent: it is superseded
	}
	return fault.New(fault.Conflict, "another agent holds this cluster's session from %s: stop one of them, or enrol the second as a cluster of its own",
		holder.session.Peer().Addr).After(conflictWait)
}

func (g *Gateway) release(l *link) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.holder[l.scope] == l {
		delete(g.holder, l.scope)
	}
	l.epoch, l.idle = 0, time.Now()
}

// Opened notes the epoch under which the caller's tunnel writes.
func (g *Gateway) Opened(ctx context.Context, epoch int64) {
	if l, err := g.of(ctx); err == nil {
		g.mu.Lock()
		l.epoch = epoch
		g.mu.Unlock()
	}
}

// Cut ends a cluster's tunnels, all of them.
func (g *Gateway) Cut(at store.Scope, reason error) {
	g.mu.Lock()
	var cut []*link
	for _, l := range g.links {
		if l.scope == at {
			cut = append(cut, l)
		}
	}
	g.mu.Unlock()
	for _, l := range cut {
		l.session.Close(reason)
	}
}

// Live gives the clusters that have a writing session now.
func (g *Gateway) Live() []store.Scope {
	g.mu.Lock()
	defer g.mu.Unlock()
	out := make([]store.Scope, 0, len(g.holder))
	for at := range g.holder {
		out = append(out, at)
	}
	return out
}

// OpenStream opens a stream to the door that a cluster's agent has to its Kubernetes API; HTTP/1.1 is spoken on it. It is Unavailable at once where
// no session is live. The context bounds the opening alone.
func (g *Gateway) OpenStream(ctx context.Context, at store.Scope) (*tunnel.Stream, error) {
	l, err := g.holding(at)
	if err != nil {
		return nil, err
	}
	return l.session.OpenStream(ctx, tunnel.HTTP)
}

func (g *Gateway) holding(at store.Scope) (*link, error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if l := g.holder[at]; l != nil {
		return l, nil
	}
	return nil, fault.New(fault.Unavailable, "cluster %s has no tunnel to this hub now", at.Cluster)
}

// session is the fields of a line of the log that is about a cluster's session.
func (g *Gateway) session(at store.Scope) []zap.Field {
	out := []zap.Field{zap.Stringer("cluster", at.Cluster)}
	g.mu.Lock()
	defer g.mu.Unlock()
	if l := g.holder[at]; l != nil {
		out = append(out, zap.Int64("epoch", l.epoch), zap.String("instance", l.instance))
	}
	return out
}

// control calls an agent. The client is made for the call: one that stays would cost more than all else of an idle agent.
func (g *Gateway) control(ctx context.Context, at store.Scope, call func(context.Context, tunnelv1.ControlClient) error) error {
	l, err := g.holding(at)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	conn, err := l.session.DialGRPC(grpc.WithDisableRetry())
	if err != nil {
		return fault.Wrap(err, fault.Unavailable, "the agent of cluster %s can't be called", at.Cluster)
	}
	err = call(ctx, tunnelv1.NewControlClient(conn))
	_ = conn.Close() // nothing is under way any more
	if err != nil {
		return fault.Wrap(err, fault.Unavailable, "the agent of cluster %s did not answer", at.Cluster)
	}
	return nil
}

// Ping asks a cluster's agent who it is, and how long that took.
func (g *Gateway) Ping(ctx context.Context, at store.Scope) (reply *tunnelv1.PingReply, took time.Duration, err error) {
	begin := time.Now()
	err = g.control(ctx, at, func(ctx context.Context, c tunnelv1.ControlClient) (err error) {
		reply, err = c.Ping(ctx, &tunnelv1.PingRequest{})
		return err
	})
	return reply, time.Since(begin), err
}

// Resync asks a cluster's agent to compare digests now.
func (g *Gateway) Resync(ctx context.Context, at store.Scope, reason string) error {
	return g.control(ctx, at, func(ctx context.Context, c tunnelv1.ControlClient) error {
		_, err := c.Resync(ctx, &tunnelv1.ResyncRequest{Reason: reason})
		return err
	})
}

// Drain asks every agent to open its next session elsewhere at some moment within a span, and waits until they have gone or the span is over.
func (g *Gateway) Drain(ctx context.Context, within time.Duration) {
	ctx, cancel := context.WithTimeout(ctx, within)
	defer cancel()
	var calls errgroup.Group
	calls.SetLimit(maxDrains)
	for _, at := range g.Live() {
		calls.Go(func() error {
			err := g.control(ctx, at, func(ctx context.Context, c tunnelv1.ControlClient) error {
				_, err := c.Drain(ctx, &tunnelv1.DrainRequest{WithinSeconds: int64(within / time.Second)})
				return err
			})
			if err != nil {
				g.log.Info("an agent could not be asked to move", append(g.session(at), zap.Error(err))...)
			}
			return nil // the others are asked all the same
		})
	}
	_ = calls.Wait()
	tick := time.NewTicker(drainLook)
	defer tick.Stop()
	for len(g.Live()) > 0 {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

// Run notes signs of life until ctx ends, and expires what a hub that died left as live.
func (g *Gateway) Run(ctx context.Context) error {
	tick := time.NewTicker(noteEvery)
	defer tick.Stop()
	for {
		g.note(ctx)
		g.cutIdle()
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
	}
}

func (g *Gateway) note(ctx context.Context) {
	heard := g.heard()
	if len(heard) > 0 {
		if err := g.store.MarkHeard(ctx, heard); err != nil && ctx.Err() == nil {
			g.log.Warn("signs of life were not noted", zap.Error(err))
			return // then nobody may be called silent either
		}
	}
	n, err := g.store.ExpireSessions(ctx, time.Now().Add(-expireAfter))
	switch {
	case err != nil && ctx.Err() == nil:
		g.log.Warn("silent clusters were not marked stale", zap.Error(err))
	case n > 0:
		g.metrics.expired.Add(float64(n))
		g.log.Info("clusters that went silent are stale now", zap.Int("clusters", n))
	}
}

// cutIdle ends tunnels that carry no session: an agent that was refused hangs up by itself, and others have nothing to do here.
func (g *Gateway) cutIdle() {
	g.mu.Lock()
	var idle []*link
	for _, l := range g.links {
		if g.holder[l.scope] != l && time.Since(l.idle) > idleFor {
			idle = append(idle, l)
		}
	}
	g.mu.Unlock()
	for _, l := range idle {
		l.session.Close(fault.New(fault.BadRequest, "a tunnel without a session on it is of no use"))
	}
}

func (g *Gateway) heard() []store.Heard {
	g.mu.Lock()
	defer g.mu.Unlock()
	var out []store.Heard
	for at, l := range g.holder {
		if l.epoch != 0 {
			out = append(out, store.Heard{Scope: at, Epoch: l.epoch, At: l.session.LastHeard()})
		}
	}
	return out
}
