package live

import (
	"context"
	"sync"
	"sync/atomic"
	"time"

	"github.com/kubilitics/kubilitics/hub/internal/fleet"
	"github.com/kubilitics/kubilitics/shared/fault"
	"github.com/kubilitics/kubilitics/shared/topo"
)

// Request says who wants to hear what. From is the position whose news, and all before, are known already; nil is now.
type Request struct {
	Principal fleet.Principal
	Scope     Scope
	What      []What
	From      *topo.Position
}

// FrameKind says what a frame tells.
type FrameKind string

// The kinds of frames. After Lagged and Reset a subscription is over.
const (
	Changed  FrameKind = "change"   // the news of one position
	Bookmark FrameKind = "bookmark" // everything up to the position was told; the first frame of every subscription
	Lagged   FrameKind = "lagged"   // too slow: resume from the position, up to which everything was told
	Reset    FrameKind = "reset"    // what was asked for is no longer in the feed: read anew, then subscribe
)

// Frame is what a subscriber gets next.
type Frame struct {
	Kind     FrameKind
	Position topo.Position
	At       time.Time // of Changed: when it was committed
	Cluster  fleet.ClusterID
	GapSince time.Time // set where the change was found late: when the gap began in which it happened
	Changes  []Change  // never empty in Changed
	Reason   string    // of Reset
}

// Subscription is one subscriber's place in a feed. One goroutine calls Next; Close may be called by another.
type Subscription struct {
	live *Live
	tail *tail
	wake chan struct{}

	principal atomic.Pointer[fleet.Principal]
	view      atomic.Pointer[fleet.View]

	ending sync.Once
	over   chan struct{}
	why    error // read after over is closed

	// under the tail's mutex
	taken     topo.Position // up to here its items were taken from the tail
	following bool          // the tail keeps what wasn't taken; otherwise it is catching up from the store

	// the caller's of Next
	sieve  *sieve
	items  []*item
	at     topo.Position // everything up to here was told, or was not for this subscriber
	told   topo.Position // of the last frame
	last   time.Time     // when that was
	until  topo.Position // when pinned: catching up ends here
	pinned bool
	joined bool // has caught up
}

// Subscribe starts a subscription. It must be closed.
func (l *Live) Subscribe(ctx context.Context, r Request) (*Subscription, error) {
	p, err := l.recheck(ctx, r.Principal)
	if err != nil {
		return nil, err
	}
	_, last, err := l.bounds(ctx, p.Tenant)
	if err != nil {
		return nil, err
	}
	s := &Subscription{live: l, wake: make(chan struct{}, 1), over: make(chan struct{}), sieve: newSieve(r.Scope, r.What), at: last}
	s.admit(p)
	if r.From != nil {
		s.at = *r.From
	}
	if err := l.enter(s, p.Tenant, last); err != nil {
		return nil, err
	}
	l.metrics.begun.Inc()
	return s, nil
}

// enter puts a subscription beside the others of its tenant.
func (l *Live) enter(s *Subscription, tenant fleet.TenantID, last topo.Position) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.over {
		return errOver()
	}
	t := l.tails[tenant]
	if t == nil {
		t = newTail(tenant, last, l.cfg)
		l.tails[tenant] = t
	}
	s.tail = t
	t.mu.Lock()
	t.subs[s] = struct{}{}
	t.mu.Unlock()
	l.rung[tenant] = true
	l.poke()
	return nil
}

// Close ends the subscription.
func (s *Subscription) Close() {
	s.end(fault.New(fault.Gone, "the subscription was closed"))
	l := s.live
	l.mu.Lock()
	defer l.mu.Unlock()
	s.tail.mu.Lock()
	defer s.tail.mu.Unlock()
	delete(s.tail.subs, s)
	if len(s.tail.subs) == 0 && l.tails[s.tail.tenant] == s.tail {
		delete(l.tails, s.tail.tenant)
	}
}

func (s *Subscription) end(why error) {
	s.ending.Do(func() {
		s.why = why
		close(s.over)
	})
}

func (s *Subscription) poke() {
	select {
	case s.wake <- struct{}{}:
	default:
	}
}

func (s *Subscription) admit(p fleet.Principal) {
	view := fleet.ViewOf(p, fleet.Watch)
	s.principal.Store(&p)
	s.view.Store(&view)
}

// checked takes the outcome of a recheck. A check that could not be made changes nothing.
func (s *Subscription) checked(p fleet.Principal, err error) {
	switch {
	case err == nil:
		s.admit(p)
	case fault.Is(err, fault.Unauthorized), fault.Is(err, fault.Forbidden), fault.Is(err, fault.NotFound):
		s.live.metrics.dismissed.Inc()
		s.end(fault.Wrap(err, fault.Unauthorized, "the authentication behind this subscription has ended"))
	}
}

// Next waits for the next frame. An error ends the subscription: Unauthorized when its principal lost the right, Unavailable when the hub
// stops or its database can't be read, Gone after Close, Lagged or Reset.
func (s *Subscription) Next(ctx context.Context) (Frame, error) {
	if s.last.IsZero() {
		return s.tell(Frame{Kind: Bookmark, Position: s.at}), nil
	}
	for {
		select {
		case <-s.over:
			return Frame{}, s.why
		default:
		}
		if f, ok := s.news(); ok {
			return f, nil
		}
		if s.at > s.told && time.Since(s.last) >= s.live.cfg.Quiet {
			return s.tell(Frame{Kind: Bookmark, Position: s.at}), nil
		}
		f, err := s.fetch(ctx)
		if err != nil || f.Kind != "" {
			return f, err
		}
	}
}

func (s *Subscription) tell(f Frame) Frame {
	s.told, s.last = f.Position, time.Now()
	return f
}

// farewell is the last frame.
func (s *Subscription) farewell(f Frame) Frame {
	s.end(fault.New(fault.Gone, "the subscription is over"))
	return s.tell(f)
}

// news gives a frame of the next item in hand that holds something for this subscriber.
func (s *Subscription) news() (Frame, bool) {
	view := s.view.Load()
	for len(s.items) > 0 {
		i := s.items[0]
		s.items[0] = nil
		s.items = s.items[1:]
		s.at = i.Position
		if changes := s.sieve.sift(view, i); len(changes) > 0 {
			return s.tell(Frame{Kind: Changed, Position: i.Position, At: i.At, Cluster: i.Cluster, GapSince: i.GapSince, Changes: changes}), true
		}
	}
	return Frame{}, false
}

// fetch gets more items in hand, or waits for them; a frame that it gives is to be told first.
func (s *Subscription) fetch(ctx context.Context) (Frame, error) {
	if !s.joined {
		return s.catchUp(ctx)
	}
	items, ok := s.tail.take(s)
	if !ok {
		s.live.metrics.lagged.Inc()
		return s.farewell(Frame{Kind: Lagged, Position: s.at}), nil
	}
	if s.items = items; len(items) > 0 {
		return Frame{}, nil
	}
	return Frame{}, s.wait(ctx)
}

func (s *Subscription) wait(ctx context.Context) error {
	t := time.NewTimer(s.live.cfg.Quiet)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-s.over:
	case <-s.wake:
	case <-t.C:
	}
	return nil
}

// catchUp reads the feed from the store, outside the tailer, until nothing lies between this subscriber and the tail. It is then pinned
// to the tail's head and reads up to there, so that the two join without a gap, and without anything twice.
func (s *Subscription) catchUp(ctx context.Context) (Frame, error) {
	if s.pinned && s.at >= s.until {
		s.tail.advance(s, s.at)
		s.joined = true
		return Frame{}, nil
	}
	items, err := s.live.entries(ctx, s.tail.tenant, s.at)
	if fault.Is(err, fault.Gone) {
		return s.reset(ctx, "the feed no longer goes back that far")
	}
	if err != nil {
		return Frame{}, err
	}
	if len(items) == 0 && !s.pinned {
		if _, last, err := s.live.bounds(ctx, s.tail.tenant); err != nil || s.at > last {
			if err != nil {
				return Frame{}, err
			}
			return s.reset(ctx, "the feed hasn't come that far")
		}
	}
	if len(items) == 0 && s.pinned { // nothing lies between
		s.at = max(s.at, s.until)
	}
	if s.items = items; len(items) < s.live.cfg.Page && !s.pinned {
		s.until, s.pinned = s.tail.pin(s), true
	}
	return Frame{}, nil
}

func (s *Subscription) reset(ctx context.Context, reason string) (Frame, error) {
	_, last, err := s.live.bounds(ctx, s.tail.tenant)
	if err != nil {
		return Frame{}, err
	}
	s.live.metrics.reset.Inc()
	return s.farewell(Frame{Kind: Reset, Position: last, Reason: reason}), nil
}
