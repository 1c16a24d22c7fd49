// Package follow drives those who keep something that is derived from the feed: it calls them for each tenant whose feed has grown, one call at a
// time, and again until they are level with it. They keep their own position, so nothing is lost over a restart. Every
// replica does it, and whoever writes first wins, so nobody waits for one that died; what mustn't be begun twice, or needs its position kept for it, takes
// turns by package turn instead.
package follow

import (
	"context"
	"sync"
	"time"

	"go.uber.org/zap"
	"golang.org/x/sync/errgroup"

	"github.com/kubilitics/kubilitics/hub/internal/fleet"
	"github.com/kubilitics/kubilitics/shared/fault"
)

// Store is what tells that there is something to do.
type Store interface {
	Tenants(ctx context.Context) ([]fleet.Tenant, error)
	Doorbell(ctx context.Context, ring func(fleet.TenantID)) error
}

// Step does some of what is due for a tenant; more tells that it should be called again.
type Step func(ctx context.Context, tenant fleet.TenantID) (more bool, err error)

const (
	poll        = 30 * time.Second // covers a ring that was missed; each asks for every tenant
	retry       = 5 * time.Second  // after the doorbell was out of order
	stepTimeout = time.Minute
)

// Run calls step whenever a tenant's feed has grown, and for every tenant now and then, until ctx ends; it returns when all it started has stopped.
// A step that fails is logged and comes again with the next round: nothing it keeps moves on by failing. A Conflict means that another replica was
// faster, and is no failure.
func Run(ctx context.Context, s Store, name string, step Step, log *zap.Logger) error {
	f := &follower{store: s, step: step, log: log.With(zap.String("of", name)), rung: map[fleet.TenantID]bool{}, wake: make(chan struct{}, 1)}
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error { f.listen(ctx); return nil })
	g.Go(func() error { f.work(ctx); return nil })
	return g.Wait()
}

// Any is a store that stands for one tenant, 0, of whichever tenant something is told: for a step that looks after all of them at once.
func Any(s Store) Store { return anyTenant{s} }

type anyTenant struct{ Store }

func (anyTenant) Tenants(context.Context) ([]fleet.Tenant, error) { return []fleet.Tenant{{}}, nil }

func (a anyTenant) Doorbell(ctx context.Context, ring func(fleet.TenantID)) error {
	return a.Store.Doorbell(ctx, func(fleet.TenantID) { ring(0) })
}

type follower struct {
	store Store
	step  Step
	log   *zap.Logger
	wake  chan struct{}

	mu   sync.Mutex
	rung map[fleet.TenantID]bool
}

func (f *follower) listen(ctx context.Context) {
	for ctx.Err() == nil {
		if err := f.store.Doorbell(ctx, f.ring); err != nil && ctx.Err() == nil {
			f.log.Warn("the feed's doorbell is out of order; polling", zap.Error(err))
		}
		wait := time.NewTimer(retry)
		select {
		case <-ctx.Done():
		case <-wait.C:
		}
		wait.Stop()
	}
}

func (f *follower) ring(tenant fleet.TenantID) {
	f.mu.Lock()
	f.rung[tenant] = true
	f.mu.Unlock()
	select {
	case f.wake <- struct{}{}:
	default:
	}
}

func (f *follower) work(ctx context.Context) {
	tick := time.NewTicker(poll)
	defer tick.Stop()
	f.all(ctx)
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			f.all(ctx)
		case <-f.wake:
			for _, tenant := range f.answer() {
				f.level(ctx, tenant)
			}
		}
	}
}

func (f *follower) answer() []fleet.TenantID {
	f.mu.Lock()
	defer f.mu.Unlock()
	tenants := make([]fleet.TenantID, 0, len(f.rung))
	for t := range f.rung {
		tenants = append(tenants, t)
	}
	clear(f.rung)
	return tenants
}

func (f *follower) all(ctx context.Context) {
	tenants, err := f.store.Tenants(ctx)
	if err != nil {
		f.failed(ctx, err)
		return
	}
	for _, t := range tenants {
		f.level(ctx, t.ID)
	}
}

// level steps until the tenant has nothing due.
func (f *follower) level(ctx context.Context, tenant fleet.TenantID) {
	for ctx.Err() == nil {
		more, err := f.once(ctx, tenant)
		if err != nil {
			f.failed(ctx, err)
		}
		if err != nil || !more {
			return
		}
	}
}

func (f *follower) once(ctx context.Context, tenant fleet.TenantID) (bool, error) {
	ctx, cancel := context.WithTimeout(ctx, stepTimeout)
	defer cancel()
	return f.step(ctx, tenant)
}

func (f *follower) failed(ctx context.Context, err error) {
	if ctx.Err() == nil && !fault.Is(err, fault.Conflict) {
		f.log.Warn("the feed is not followed for now", zap.Error(err))
	}
}
