package uplink

import (
	"context"
	"errors"
	"io"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/zap"
	"golang.org/x/sync/errgroup"
	"google.golang.org/grpc"

	tunnelv1 "github.com/kubilitics/kubilitics/proto/tunnel/v1"
	"github.com/kubilitics/kubilitics/shared/fault"
	"github.com/kubilitics/kubilitics/shared/fault/grpcfault"
	"github.com/kubilitics/kubilitics/shared/obs"
	"github.com/kubilitics/kubilitics/shared/topo"
	"github.com/kubilitics/kubilitics/shared/tunnel"
)

// Source tells what happens in the cluster.
type Source interface {
	// Next waits for news.
	Next(ctx context.Context) (News, error)
	// Read gets texts of objects again and gives each as it comes, in any order, for so long as give, which may block, returns no error. Objects that
	// are gone are passed over. An error means that those not given by then could not be had; it takes its time before it says so, so that failures
	// don't come back at once.
	Read(ctx context.Context, refs []topo.Ref, give func(topo.Manifest) error) error
	// Events lists events again that happened at or after a Unix second, oldest first. It, too, takes its time before it gives up.
	Events(ctx context.Context, since int64) ([]topo.Event, error)
}

// Config is what a link needs. All of it is required, but for Registerer.
type Config struct {
	Source  Source
	Ledger  *Ledger
	Dial    func(ctx context.Context, streams map[tunnel.Kind]*tunnel.Listener) (*tunnel.Session, error)
	Hello   func() *tunnelv1.Hello
	Version func() string // of Kubernetes, as last heard
	Backoff tunnel.Backoff
	Log     *zap.Logger
	Tracer  *obs.Tracer // nil: no traces
	// OnSession is told of each session that the hub has welcomed. It must not block; what lasts belongs under the session's context.
	OnSession func(*tunnel.Session, tunnelv1.SyncClient)
	// Registerer is of its metrics; nobody sees them if nil.
	Registerer prometheus.Registerer
}

// Link keeps the hub informed for as long as Run runs, over as many sessions as that takes.
type Link struct {
	cfg      Config
	listener *tunnel.Listener
	events   chan event
	reads    chan request
	texts    chan texts
	compare  chan struct{}
	stats    atomic.Pointer[Stats]
	metrics  *metrics

	news  int64 // of the loop, as what follows
	waits waits
}

// Stats is where a link stands, as of its last turn.
type Stats struct {
	Connected bool
	Synced    bool  // everything known is told and acknowledged
	Position  int64 // of the hub's newest commit from this agent
	Nodes     int
	Edges     int
	News      int64 // pieces of news taken in
}

// conversation is one sync stream and the session below it.
type conversation struct {
	session *tunnel.Session
	stream  grpc.BidiStreamingClient[tunnelv1.AgentFrame, tunnelv1.HubFrame]
	log     *zap.Logger
	settled bool   // it has been so once; only the loop asks
	traces  traces // of the loop
}

// event is what a conversation tells the loop: that it was opened, a frame, or, with err, that it has ended.
type event struct {
	from    *conversation
	welcome *tunnelv1.Welcome
	frame   *tunnelv1.HubFrame
	err     error
}

// request is what must be read again: texts of objects for a conversation, and, with a time, events.
type request struct {
	from  *conversation
	refs  []topo.Ref
	since int64
}

func (r *request) empty() bool { return len(r.refs) == 0 && r.since == 0 }

// texts is a part of what came of a request, the last one if it names what was asked for.
type texts struct {
	from   *conversation
	found  []topo.Manifest
	asked  []topo.Ref
	failed bool // those asked for and never found may still be there
	events []topo.Event
	missed int64
}

// portion is how many bytes of texts that are read again are passed on at once.
const portion = 256 << 10

// NewLink makes a link; nothing happens before Run.
func NewLink(cfg Config) *Link {
	l := &Link{
		cfg: cfg, listener: tunnel.NewListener("agent"), events: make(chan event), reads: make(chan request), texts: make(chan texts),
		compare: make(chan struct{}, 1), // a wish that waits
		metrics: newMetrics(cfg.Registerer),
	}
	l.stats.Store(&Stats{})
	return l
}

// Stats tells where the link stands. It may be called by anyone.
func (l *Link) Stats() Stats { return *l.stats.Load() }

// Run keeps the hub informed until ctx ends, or until it fails for good: a hub that refuses this agent is asked again, a source that
// ends is not.
func (l *Link) Run(ctx context.Context) error {
	server := grpc.NewServer(tunnel.ServerOptions()...)
	tunnelv1.RegisterControlServer(server, &control{link: l})
	l.cfg.Ledger.took = l.metrics.took
	g, ctx := errgroup.WithContext(ctx)
	news := make(chan News)
	g.Go(func() error { return l.serveControl(ctx, server) })
	g.Go(func() error { return l.follow(ctx, news) })
	g.Go(func() error { l.read(ctx); return nil })
	g.Go(func() error { l.keepDialling(ctx); return nil })
	g.Go(func() error { return l.loop(ctx, news) })
	err := g.Wait()
	if errors.Is(err, context.Canceled) {
		return nil
	}
	return err
}

func (l *Link) serveControl(ctx context.Context, server *grpc.Server) error {
	stop := context.AfterFunc(ctx, server.Stop)
	defer stop()
	if err := server.Serve(l.listener); err != nil && ctx.Err() == nil {
		return fault.Wrap(err, fault.Internal, "the agent's control service failed")
	}
	return nil
}

// follow hands the source's news to the loop.
func (l *Link) follow(ctx context.Context, out chan<- News) error {
	for {
		n, err := l.cfg.Source.Next(ctx)
		if err != nil {
			return err
		}
		select {
		case out <- n:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// read fetches what the loop has asked for.
func (l *Link) read(ctx context.Context) {
	for {
		select {
		case r := <-l.reads:
			t := texts{from: r.from, asked: r.refs}
			if len(r.refs) > 0 {
				t.found, t.failed = l.reread(ctx, &r)
			}
			l.relist(ctx, &r, &t)
			_ = l.hand(ctx, t) // else all ends
		case <-ctx.Done():
			return
		}
	}
}

// reread passes texts on in portions and gives the last of them. The loop takes no more than it has room for, and so the reading waits for the
// hub. It is for one conversation: what another one lacks it will ask for itself.
func (l *Link) reread(ctx context.Context, r *request) (rest []topo.Manifest, failed bool) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(r.from.session.Context(), cancel)()
	size := 0
	err := l.cfg.Source.Read(ctx, r.refs, func(m topo.Manifest) error {
		rest, size = append(rest, m), size+len(m.Body)
		if size < portion {
			return nil
		}
		part := texts{from: r.from, found: rest}
		rest, size = nil, 0
		return l.hand(ctx, part)
	})
	return rest, err != nil
}

func (l *Link) relist(ctx context.Context, r *request, t *texts) {
	if r.since == 0 {
		return
	}
	var err error
	if t.events, err = l.cfg.Source.Events(ctx, r.since); err != nil {
		log := l.cfg.Log
		if r.from != nil {
			log = r.from.log
		}
		log.Warn("events were missed and can't be listed now; the next session tries again", zap.Error(err))
		t.missed = r.since
	}
}

func (l *Link) hand(ctx context.Context, t texts) error {
	select {
	case l.texts <- t:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// loop is the one goroutine that touches the ledger.
func (l *Link) loop(ctx context.Context, news <-chan News) error {
	ledger := l.cfg.Ledger
	var now *conversation
	var want request
	for {
		now = l.say(ctx, now)
		l.wish(&want, now)
		l.note(now)
		reads, texts := l.reads, l.texts
		if want.empty() {
			reads = nil
		}
		if !ledger.Room() {
			texts = nil
		}
		select {
		case n := <-news:
			ledger.Absorb(n)
			l.news++
			if ledger.pending() {
				l.waits.heard(n.Since)
			}
		case e := <-l.events:
			now = l.hear(now, e)
		case reads <- want:
			want = request{}
		case t := <-texts:
			l.provide(now, &t)
		case <-l.compare:
			ledger.Compare()
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// wish adds what the ledger wants to what is going to be asked for. What an earlier conversation wanted, nobody waits for.
func (l *Link) wish(want *request, now *conversation) {
	if want.from != now {
		want.from, want.refs = now, nil
	}
	want.refs = append(want.refs, l.cfg.Ledger.Wanted()...)
	if since, some := l.cfg.Ledger.Missed(); some {
		want.since = since
	}
}

func (l *Link) provide(now *conversation, t *texts) {
	if t.from == now {
		l.cfg.Ledger.Provide(t.found)
		l.cfg.Ledger.Provided(t.asked, t.failed)
	}
	l.cfg.Ledger.Relisted(t.events)
	l.cfg.Ledger.Absorb(News{EventsMissed: t.missed})
}

// say sends whatever may be sent now.
func (l *Link) say(ctx context.Context, now *conversation) *conversation {
	for now != nil {
		frame, err := l.cfg.Ledger.Next()
		if err == nil && frame == nil {
			return now
		}
		if err == nil {
			l.metrics.frame(frame, &l.waits)
			now.traces.told(ctx, l.cfg.Tracer, frame.GetDelta())
			err = now.stream.Send(frame)
		}
		if err != nil {
			now = l.hangUp(now, err)
		}
	}
	return nil
}

// hear takes what a conversation tells; what an earlier one still had to say counts no more.
func (l *Link) hear(now *conversation, e event) *conversation {
	switch {
	case e.welcome != nil:
		l.cfg.Ledger.Open(e.welcome)
		return e.from
	case e.from != now:
		return now
	case e.err != nil:
		return l.hangUp(now, e.err)
	}
	unequal, under := l.cfg.Ledger.unequal, len(l.cfg.Ledger.unacked)
	answer, err := l.cfg.Ledger.Receive(e.frame)
	l.metrics.unequal.Add(float64(l.cfg.Ledger.unequal - unequal))
	if ack := e.frame.GetAck(); ack != nil && err == nil {
		l.metrics.acks.Add(float64(under - len(l.cfg.Ledger.unacked)))
		l.waits.acknowledged(ack.GetSeq(), l.metrics.lag.Observe)
		now.traces.acknowledged(ack)
	}
	if err == nil && answer != nil {
		err = now.stream.Send(answer)
	}
	if err != nil {
		return l.hangUp(now, err)
	}
	return now
}

func (l *Link) hangUp(c *conversation, reason error) *conversation {
	c.session.Close(fault.Wrap(reason, fault.Unavailable, "the sync stream ended"))
	l.cfg.Ledger.Lost()
	l.waits.lost()
	c.traces.lost(reason)
	return nil
}

func (l *Link) note(now *conversation) {
	nodes, edges := l.cfg.Ledger.Len()
	position, settled := l.cfg.Ledger.Settled()
	stats := Stats{Connected: now != nil, Synced: settled, Position: position, Nodes: nodes, Edges: edges, News: l.news}
	l.stats.Store(&stats)
	l.metrics.note(l.cfg.Ledger, stats)
	if !l.cfg.Ledger.pending() {
		l.waits.empty()
	}
	if now != nil && settled && !now.settled {
		now.settled = true
		now.log.Info("everything is told and acknowledged", zap.Int64("position", position), zap.Int("nodes", nodes), zap.Int("edges", edges))
	}
}

// keepDialling holds one conversation after the other.
func (l *Link) keepDialling(ctx context.Context) {
	backoff := l.cfg.Backoff
	for ctx.Err() == nil {
		began := time.Now()
		epoch, err := l.converse(ctx)
		if ctx.Err() != nil {
			return
		}
		l.metrics.failed(err)
		l.cfg.Log.Warn("no session with the hub", zap.Bool("hadOne", epoch != 0), zap.Int64("epoch", epoch), zap.Error(err), zap.Duration("after", time.Since(began).Round(time.Millisecond)))
		if again := fault.RetryAfter(err); fault.Is(err, fault.Gone) && again > 0 {
			l.cfg.Log.Error("the hub doesn't know this cluster any more: uninstall the agent, or give it a new join token; until then it asks again now and then",
				zap.Duration("after", again), zap.Error(err))
		}
		if epoch != 0 {
			backoff.Reset()
		}
		if backoff.Wait(ctx, err) != nil {
			return
		}
	}
}

// converse dials, says hello and passes on what the hub says until the session ends. It gives the session's epoch, 0 when the hub didn't welcome it.
func (l *Link) converse(ctx context.Context) (epoch int64, err error) {
	session, err := l.cfg.Dial(ctx, map[tunnel.Kind]*tunnel.Listener{tunnel.GRPC: l.listener})
	if err != nil {
		return 0, err
	}
	defer func() {
		session.Close(err)
		_ = session.Wait(context.WithoutCancel(ctx)) // bounded: a closed session's goroutines end
	}()
	stop := context.AfterFunc(ctx, func() { session.Close(fault.New(fault.Unavailable, "the agent is stopping")) })
	defer stop()
	conn, err := session.DialGRPC()
	if err != nil {
		return 0, fault.Wrap(err, fault.Internal, "gRPC over the tunnel can't be set up")
	}
	defer func() { _ = conn.Close() }()
	return l.talk(ctx, session, tunnelv1.NewSyncClient(conn))
}

// talk holds the sync stream of one session; run is the context of the link as a whole.
func (l *Link) talk(run context.Context, session *tunnel.Session, client tunnelv1.SyncClient) (epoch int64, err error) {
	ctx := session.Context()
	stream, err := client.Session(ctx)
	if err != nil {
		return 0, grpcfault.From(err)
	}
	c := &conversation{session: session, stream: stream}
	welcome, err := greet(stream, l.cfg.Hello())
	if err != nil {
		return 0, err
	}
	c.log = l.cfg.Log.With(zap.Int64("epoch", welcome.GetEpoch()))
	if !l.tell(ctx, event{from: c, welcome: welcome}) {
		return 0, session.Err()
	}
	c.log.Info("the hub welcomed this agent")
	l.metrics.sessions.Inc()
	if l.cfg.OnSession != nil {
		l.cfg.OnSession(session, client)
	}
	err = l.listen(ctx, c)
	if why := session.Err(); why != nil {
		err = why // that the stream was cancelled says less
	}
	session.Close(err) // before the farewell: the loop may be waiting in a Send
	l.tell(run, event{from: c, err: err})
	return welcome.GetEpoch(), err
}

func greet(stream grpc.BidiStreamingClient[tunnelv1.AgentFrame, tunnelv1.HubFrame], h *tunnelv1.Hello) (*tunnelv1.Welcome, error) {
	if err := stream.Send(&tunnelv1.AgentFrame{Frame: &tunnelv1.AgentFrame_Hello{Hello: h}}); err != nil && !errors.Is(err, io.EOF) {
		return nil, grpcfault.From(err)
	}
	first, err := stream.Recv()
	if err != nil {
		return nil, grpcfault.From(err)
	}
	if w := first.GetWelcome(); w.GetEpoch() > 0 && w.GetCredit() > 0 {
		return w, nil
	}
	return nil, fault.New(fault.BadRequest, "the hub's first frame is no welcome with an epoch and a credit")
}

// listen passes frames to the loop until the stream or the session ends.
func (l *Link) listen(ctx context.Context, c *conversation) error {
	for {
		frame, err := c.stream.Recv()
		if err != nil {
			return grpcfault.From(err)
		}
		if !l.tell(ctx, event{from: c, frame: frame}) {
			return c.session.Err()
		}
	}
}

func (l *Link) tell(ctx context.Context, e event) bool {
	select {
	case l.events <- e:
		return true
	case <-ctx.Done():
		return false
	}
}
