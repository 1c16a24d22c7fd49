// Package live carries the feed to those who subscribe to it: one reader of each tenant's feed a process, fan-out in memory, what each
// may see and wants to see, and nothing lost silently. Whoever can't keep up is told so, with the position to resume from.
package live

import (
	"context"
	"maps"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/zap"
	"golang.org/x/sync/errgroup"

	"github.com/kubilitics/kubilitics/hub/internal/fleet"
	"github.com/kubilitics/kubilitics/hub/internal/store"
	"github.com/kubilitics/kubilitics/shared/fault"
	"github.com/kubilitics/kubilitics/shared/topo"
)

// Store is what of the store is followed.
type Store interface {
	store.Feed
	Cluster(ctx context.Context, at store.Scope) (fleet.Cluster, error)
}

// Config says what to follow and how. Zero durations and numbers mean the defaults.
type Config struct {
	Store Store
	// Recheck tells whether a principal who was authenticated earlier still is: the principal as it is now, or Unauthorized when
	// it isn't any more. Nil: only Expires ends one.
	Recheck func(context.Context, fleet.Principal) (fleet.Principal, error)
	Log     *zap.Logger

	Registerer prometheus.Registerer // of its metrics; nobody sees them if nil

	Poll    time.Duration // reads the feed without a doorbell; 2 s
	Check   time.Duration // rechecks principals; 3 s
	Quiet   time.Duration // a subscription that has nothing to tell tells its position; 10 s
	Page    int           // entries a read; 256
	Entries int           // entries kept for those who are behind, by tenant; 1024
	Rows    int           // rows in them; 16,384
}

func (c Config) complete() Config {
	c.Poll = or(c.Poll, 2*time.Second)
	c.Check = or(c.Check, 3*time.Second)
	c.Quiet = or(c.Quiet, 10*time.Second)
	c.Page = or(c.Page, 256)
	c.Entries = or(c.Entries, 1024)
	c.Rows = or(c.Rows, 16_384)
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

// readTimeout bounds one read of the feed, so that a database that hangs is noticed.
const readTimeout = 15 * time.Second

// Live follows feeds for subscriptions. Run must run for them to get anything.
type Live struct {
	cfg     Config
	metrics *metrics
	wake    chan struct{} // one place: there is something to read
	beat    atomic.Int64  // Unix nanoseconds of the last round of the tailer

	mu    sync.Mutex
	tails map[fleet.TenantID]*tail
	rung  map[fleet.TenantID]bool
	over  bool // Run has ended
}

// New makes a Live.
func New(cfg Config) *Live {
	l := &Live{cfg: cfg.complete(), wake: make(chan struct{}, 1), tails: map[fleet.TenantID]*tail{}, rung: map[fleet.TenantID]bool{}}
	l.metrics = l.announce(cfg.Registerer)
	return l
}

// Run follows the feeds until ctx ends; it returns when all it started has stopped. Subscriptions end with it.
func (l *Live) Run(ctx context.Context) error {
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error { l.listen(ctx); return nil })
	g.Go(func() error { l.follow(ctx); return nil })
	g.Go(func() error { l.check(ctx); return nil })
	err := g.Wait()
	l.mu.Lock()
	l.over = true
	l.mu.Unlock()
	for _, t := range l.all() {
		t.end(errOver())
	}
	return err
}

func errOver() error {
	return fault.New(fault.Unavailable, "this hub is shutting down").After(time.Second)
}

// Healthy tells whether the tailer makes its rounds.
func (l *Live) Healthy() error {
	if since := time.Since(time.Unix(0, l.beat.Load())); since > 3*l.cfg.Poll+readTimeout {
		return fault.New(fault.Unavailable, "the feed hasn't been read for %v", since.Round(time.Second))
	}
	return nil
}

// Subscriptions is the number of those that are open.
func (l *Live) Subscriptions() int {
	n := 0
	for _, t := range l.all() {
		n += t.size()
	}
	return n
}

func (l *Live) all() []*tail {
	l.mu.Lock()
	defer l.mu.Unlock()
	return slices.Collect(maps.Values(l.tails))
}

// listen waits for doorbells. Without one the polls still find everything, later.
func (l *Live) listen(ctx context.Context) {
	for ctx.Err() == nil {
		if err := l.cfg.Store.Doorbell(ctx, l.ring); err != nil && ctx.Err() == nil {
			l.cfg.Log.Warn("the feed's doorbell is out of order; polling", zap.Error(err))
		}
		wait(ctx, l.cfg.Poll)
	}
}

func wait(ctx context.Context, d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
	case <-t.C:
	}
}

// ring notes that a tenant may have news. Tenants nobody follows are passed over.
func (l *Live) ring(tenant fleet.TenantID) {
	l.mu.Lock()
	_, followed := l.tails[tenant]
	if followed {
		l.rung[tenant] = true
	}
	l.mu.Unlock()
	if followed {
		l.poke()
	}
}

func (l *Live) poke() {
	select {
	case l.wake <- struct{}{}:
	default:
	}
}

func (l *Live) follow(ctx context.Context) {
	poll := time.NewTicker(l.cfg.Poll)
	defer poll.Stop()
	l.beat.Store(time.Now().UnixNano())
	for {
		select {
		case <-ctx.Done():
			return
		case <-l.wake:
			l.read(ctx, l.answer())
		case <-poll.C:
			l.read(ctx, l.all())
		}
		l.beat.Store(time.Now().UnixNano())
	}
}

// answer takes the tails that were rung for.
func (l *Live) answer() []*tail {
	l.mu.Lock()
	defer l.mu.Unlock()
	var out []*tail
	for tenant := range l.rung {
		if t := l.tails[tenant]; t != nil {
			out = append(out, t)
		}
	}
	clear(l.rung)
	return out
}

func (l *Live) read(ctx context.Context, tails []*tail) {
	for _, t := range tails {
		if err := l.drain(ctx, t); err != nil && ctx.Err() == nil {
			l.cfg.Log.Warn("the feed could not be read", zap.Stringer("tenant", t.tenant), zap.Error(err))
		}
	}
}

// drain reads a tenant's feed to its end.
func (l *Live) drain(ctx context.Context, t *tail) error {
	for t.size() > 0 {
		items, err := l.entries(ctx, t.tenant, t.position())
		if fault.Is(err, fault.Gone) {
			return l.skip(ctx, t)
		}
		if err != nil {
			return err
		}
		l.metrics.took(items)
		t.publish(items)
		if len(items) < l.cfg.Page {
			return nil
		}
	}
	return nil
}

// skip goes on at the feed's newest position after what lies between was trimmed unread; subscriptions are reset by it.
func (l *Live) skip(ctx context.Context, t *tail) error {
	_, last, err := l.bounds(ctx, t.tenant)
	if err == nil {
		t.restart(last)
	}
	return err
}

func (l *Live) bounds(ctx context.Context, tenant fleet.TenantID) (first, last topo.Position, err error) {
	ctx, cancel := context.WithTimeout(ctx, readTimeout)
	defer cancel()
	return l.cfg.Store.FeedBounds(ctx, tenant)
}

// item is an entry of the feed, with the cluster as it is now where the entry is about that.
type item struct {
	store.Entry
	cluster *fleet.Cluster
}

func (i *item) rows() int { return i.Diff.Len() + len(i.Events) + len(i.Texts) + 1 }

// entries reads a page. Clusters are looked up here, once for all subscriptions.
func (l *Live) entries(ctx context.Context, tenant fleet.TenantID, after topo.Position) ([]*item, error) {
	ctx, cancel := context.WithTimeout(ctx, readTimeout)
	defer cancel()
	entries, err := l.cfg.Store.Entries(ctx, tenant, after, l.cfg.Page)
	if err != nil {
		return nil, err
	}
	items := make([]*item, len(entries))
	seen := map[fleet.ClusterID]*fleet.Cluster{}
	for i := range entries {
		items[i] = &item{Entry: entries[i]}
		if k := entries[i].Kind; k != store.EntryCluster && k != store.EntryLoaded {
			continue
		}
		if items[i].cluster, err = l.cluster(ctx, store.Scope{Tenant: tenant, Cluster: entries[i].Cluster}, seen); err != nil {
			return nil, err
		}
	}
	return items, nil
}

// cluster gives nil for one that was deleted meanwhile: an entry that says so follows.
func (l *Live) cluster(ctx context.Context, at store.Scope, seen map[fleet.ClusterID]*fleet.Cluster) (*fleet.Cluster, error) {
	if c, ok := seen[at.Cluster]; ok {
		return c, nil
	}
	c, err := l.cfg.Store.Cluster(ctx, at)
	switch {
	case fault.Is(err, fault.NotFound):
		seen[at.Cluster] = nil
	case err != nil:
		return nil, err
	default:
		seen[at.Cluster] = &c
	}
	return seen[at.Cluster], nil
}

// check ends the subscriptions of those who may not have them any more.
func (l *Live) check(ctx context.Context) {
	tick := time.NewTicker(l.cfg.Check)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			l.sweep(ctx)
		}
	}
}

// who tells apart principals for rechecks: subscriptions of one token, or of one ticket, are checked once.
type who struct {
	tenant fleet.TenantID
	token  string
	ticket string
	name   string
}

func (l *Live) sweep(ctx context.Context) {
	byWho := map[who][]*Subscription{}
	for _, t := range l.all() {
		for _, s := range t.members() {
			p := s.principal.Load()
			key := who{p.Tenant, p.Token, p.Ticket, p.Name}
			byWho[key] = append(byWho[key], s)
		}
	}
	for _, subs := range byWho {
		p, err := l.recheck(ctx, *subs[0].principal.Load())
		for _, s := range subs {
			s.checked(p, err)
		}
		if ctx.Err() != nil {
			return
		}
	}
}

func (l *Live) recheck(ctx context.Context, p fleet.Principal) (fleet.Principal, error) {
	if !p.Expires.IsZero() && !time.Now().Before(p.Expires) {
		return p, fault.New(fault.Unauthorized, "the authentication has expired")
	}
	if l.cfg.Recheck == nil {
		return p, nil
	}
	ctx, cancel := context.WithTimeout(ctx, readTimeout)
	defer cancel()
	return l.cfg.Recheck(ctx, p)
}
