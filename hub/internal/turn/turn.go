// Package turn has those who work along a tenant's feed (plugins, notifiers) take turns among the hub's replicas: one process works for each, from where
// the work was left. Whoever works pulls: what it hasn't taken stays in the feed. Work that may
// be begun twice, since its writes fence each other, needs no lease: package follow drives that.
package turn

import (
	"context"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/google/uuid"
	"go.uber.org/zap"
	"golang.org/x/sync/errgroup"

	"github.com/kubilitics/kubilitics/hub/internal/fleet"
	"github.com/kubilitics/kubilitics/hub/internal/store"
	"github.com/kubilitics/kubilitics/shared/fault"
	"github.com/kubilitics/kubilitics/shared/topo"
)

// Store is what of the store is used.
type Store interface {
	store.Feed
	store.Followers
}

// Config says what to follow and how. Zero durations and numbers mean the defaults.
type Config struct {
	Store Store
	Log   *zap.Logger

	Term  time.Duration // of leases, after which another process takes over from one that died; 30 s
	Poll  time.Duration // reads the feed without a doorbell; 10 s
	Calm  time.Duration // between reads of a feed that is at its end, so that changes come in batches; 200 ms
	Note  time.Duration // at most so long passes before progress that nothing depends on is noted; 5 s
	Pause time.Duration // after work that failed, at first; it doubles up to a minute; 1 s
	Page  int           // entries a read; 64
}

func (c Config) complete() Config {
	c.Term, c.Poll, c.Calm = or(c.Term, 30*time.Second), or(c.Poll, 10*time.Second), or(c.Calm, 200*time.Millisecond)
	c.Note, c.Pause, c.Page = or(c.Note, 5*time.Second), or(c.Pause, time.Second), or(c.Page, 64)
	if c.Log == nil {
		c.Log = zap.NewNop()
	}
	return c
}

func or[T comparable](v, usual T) T {
	var zero T
	if v == zero {
		return usual
	}
	return v
}

const (
	callTimeout = 15 * time.Second // of one call to the store
	maxPause    = time.Minute
)

// Feeds wakes those who follow. Run must run for them to hear of news before they look by themselves.
type Feeds struct {
	cfg    Config
	holder string // this process, among all

	mu    sync.Mutex
	bells map[fleet.TenantID]map[chan struct{}]struct{}
}

// New makes a Feeds.
func New(cfg Config) *Feeds {
	return &Feeds{cfg: cfg.complete(), holder: uuid.NewString(), bells: map[fleet.TenantID]map[chan struct{}]struct{}{}}
}

// Run listens for doorbells until ctx ends.
func (f *Feeds) Run(ctx context.Context) error {
	for ctx.Err() == nil {
		if err := f.cfg.Store.Doorbell(ctx, f.ring); err != nil && ctx.Err() == nil {
			f.cfg.Log.Warn("the feed's doorbell is out of order; polling", zap.Error(err))
		}
		sleep(ctx, f.cfg.Poll)
	}
	return nil
}

func (f *Feeds) ring(tenant fleet.TenantID) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for bell := range f.bells[tenant] {
		select {
		case bell <- struct{}{}:
		default:
		}
	}
}

func (f *Feeds) listen(tenant fleet.TenantID) (bell chan struct{}, leave func()) {
	bell = make(chan struct{}, 1)
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.bells[tenant] == nil {
		f.bells[tenant] = map[chan struct{}]struct{}{}
	}
	f.bells[tenant][bell] = struct{}{}
	return bell, func() {
		f.mu.Lock()
		defer f.mu.Unlock()
		delete(f.bells[tenant], bell)
	}
}

// sleep waits; false when ctx has ended.
func sleep(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-t.C:
		return true
	}
}

// Backoff gives how long to wait before the next attempt after so many failures: half to all of first, doubled with each, up to most. The half that is
// drawn keeps those who failed together from coming again together.
func Backoff(failures int, first, most time.Duration) time.Duration {
	d := most
	if failures < 30 && first<<failures < most {
		d = first << failures
	}
	return d/2 + rand.N(d/2+1)
}

// Follow has work done for a follower whenever this process is the one whose turn it is, until ctx ends. Work that fails is begun again.
func (f *Feeds) Follow(ctx context.Context, who store.Follower, work func(context.Context, *Place) error) {
	log := f.cfg.Log.With(zap.String("follower", who.Name), zap.Stringer("tenant", who.Tenant))
	for failures := 0; ctx.Err() == nil; {
		worked, err := f.turn(ctx, who, work)
		switch {
		case ctx.Err() != nil:
			return
		case err != nil:
			log.Warn("following the feed failed", zap.Error(err))
			sleep(ctx, Backoff(failures, f.cfg.Pause, maxPause))
			failures++
		case !worked:
			sleep(ctx, Backoff(0, f.cfg.Term/2, f.cfg.Term/2))
		default:
			failures = 0
		}
	}
}

// turn does work if the lease can be had.
func (f *Feeds) turn(ctx context.Context, who store.Follower, work func(context.Context, *Place) error) (worked bool, err error) {
	p := &Place{feeds: f, lease: store.Lease{Follower: who, Holder: f.holder}}
	if held, err := p.hold(ctx); err != nil || !held {
		return false, err
	}
	var leave func()
	p.bell, leave = f.listen(who.Tenant)
	defer leave()
	defer p.release(ctx)
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error { return p.keep(ctx) })
	g.Go(func() error {
		err := work(ctx, p)
		if err == nil {
			err = errDone
		}
		return err
	})
	if err = g.Wait(); err == errDone {
		err = nil
	}
	return true, err
}

// errDone ends the keeping of a lease when the work is done.
var errDone = fault.New(fault.Unavailable, "the work is done")

// Place is where a follower stands while it is this process's turn. One goroutine uses it.
type Place struct {
	feeds    *Feeds
	lease    store.Lease
	bell     chan struct{}
	progress store.Progress
	noted    time.Time
	unnoted  bool // progress has moved on since
	end      bool // the last read came to the feed's end
}

// Lease proves whose turn it is.
func (p *Place) Lease() store.Lease { return p.lease }

// Progress is where the follower stands.
func (p *Place) Progress() store.Progress { return p.progress }

func (p *Place) hold(ctx context.Context) (held bool, err error) {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	p.progress, held, err = p.feeds.cfg.Store.Hold(ctx, p.lease, p.feeds.cfg.Term)
	return held, err
}

// keep prolongs the lease, and fails when it is lost.
func (p *Place) keep(ctx context.Context) error {
	for good := time.Now(); ; {
		if !sleep(ctx, p.feeds.cfg.Term/3) {
			return nil
		}
		once, cancel := context.WithTimeout(ctx, min(callTimeout, p.feeds.cfg.Term/3))
		_, held, err := p.feeds.cfg.Store.Hold(once, p.lease, p.feeds.cfg.Term)
		cancel()
		switch {
		case err == nil && held:
			good = time.Now()
		case err == nil:
			return fault.New(fault.Conflict, "another process has taken over")
		case time.Since(good) > p.feeds.cfg.Term*2/3:
			return fault.Wrap(err, fault.Unavailable, "the turn could not be kept")
		}
	}
}

func (p *Place) release(ctx context.Context) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), callTimeout)
	defer cancel()
	if err := p.feeds.cfg.Store.Release(ctx, p.lease); err != nil {
		p.feeds.cfg.Log.Info("a turn will end by itself", zap.String("follower", p.lease.Name), zap.Error(err))
	}
}

// Head gives the feed's newest position.
func (p *Place) Head(ctx context.Context) (topo.Position, error) {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	_, last, err := p.feeds.cfg.Store.FeedBounds(ctx, p.lease.Tenant)
	return last, err
}

// Next gives the entries after a position, waiting for some, but not longer than that: then there are none. Gone when some were trimmed unread.
func (p *Place) Next(ctx context.Context, after topo.Position, patience time.Duration) ([]store.Entry, error) {
	deadline := time.NewTimer(patience)
	defer deadline.Stop()
	for {
		if p.end && !sleep(ctx, min(p.feeds.cfg.Calm, patience)) {
			return nil, ctx.Err()
		}
		if err := p.noteDue(ctx); err != nil {
			return nil, err
		}
		entries, err := p.read(ctx, after)
		p.end = len(entries) < p.feeds.cfg.Page
		if err != nil || len(entries) > 0 {
			return entries, err
		}
		poll := time.NewTimer(p.poll())
		select {
		case <-ctx.Done():
			poll.Stop()
			return nil, ctx.Err()
		case <-deadline.C:
			poll.Stop()
			return nil, nil
		case <-p.bell:
		case <-poll.C:
		}
		poll.Stop()
	}
}

// noteDue notes progress that was passed and is due: while nothing new comes nobody else would, and what is level would look as if it were behind.
func (p *Place) noteDue(ctx context.Context) error {
	if !p.unnoted || time.Since(p.noted) < p.feeds.cfg.Note {
		return nil
	}
	return p.Advance(ctx, p.progress)
}

// poll is how long to wait for the doorbell.
func (p *Place) poll() time.Duration {
	if p.unnoted {
		return min(p.feeds.cfg.Poll, p.feeds.cfg.Note-time.Since(p.noted))
	}
	return p.feeds.cfg.Poll
}

func (p *Place) read(ctx context.Context, after topo.Position) ([]store.Entry, error) {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	return p.feeds.cfg.Store.Entries(ctx, p.lease.Tenant, after, p.feeds.cfg.Page)
}

// Advance notes progress now.
func (p *Place) Advance(ctx context.Context, to store.Progress) error {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	err := p.feeds.cfg.Store.Advance(ctx, p.lease, to)
	if err == nil {
		to.Begun = true
		p.progress, p.noted, p.unnoted = to, time.Now(), false
	}
	return err
}

// Pass notes progress whose loss would cost nothing but reading again: now and then, and by Next when nothing more comes.
func (p *Place) Pass(ctx context.Context, to store.Progress) error {
	if time.Since(p.noted) < p.feeds.cfg.Note {
		to.Begun = true
		p.progress, p.unnoted = to, true
		return nil
	}
	return p.Advance(ctx, to)
}
