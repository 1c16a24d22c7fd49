package postgres

import (
	"context"
	"strconv"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/kubilitics/kubilitics/hub/internal/fleet"
)

const (
	channel = "kubilitics_feed"
	// Other hubs hear of this one's writes at most so often: a notification takes a lock that all of the database's share.
	heraldPause = 50 * time.Millisecond
	// Notifications may be lost with their connection, so the feeds are looked at now and then.
	poll = 5 * time.Second
)

// herald tells other hubs which tenants' feeds have grown. Its goroutine ends with close.
type herald struct {
	mu      sync.Mutex
	tenants map[fleet.TenantID]struct{}
	wake    chan struct{}
	stop    context.CancelFunc
	done    chan struct{}
}

func newHerald(ctx context.Context, pool *pgxpool.Pool) *herald {
	ctx, stop := context.WithCancel(ctx)
	h := &herald{tenants: map[fleet.TenantID]struct{}{}, wake: make(chan struct{}, 1), stop: stop, done: make(chan struct{})}
	go func() {
		defer close(h.done)
		h.run(ctx, pool)
	}()
	return h
}

func (h *herald) close() {
	h.stop()
	<-h.done
}

func (h *herald) tell(tenant fleet.TenantID) {
	h.mu.Lock()
	h.tenants[tenant] = struct{}{}
	h.mu.Unlock()
	select {
	case h.wake <- struct{}{}:
	default:
	}
}

func (h *herald) take() (names []string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for t := range h.tenants {
		names = append(names, strconv.FormatInt(int64(t), 10))
	}
	clear(h.tenants)
	return names
}

func (h *herald) run(ctx context.Context, pool *pgxpool.Pool) {
	pause := time.NewTimer(0)
	defer pause.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-pause.C:
		}
		select {
		case <-ctx.Done():
			return
		case <-h.wake:
		}
		// A notification that fails is lost: those who listen also look by themselves.
		_, _ = pool.Exec(ctx, `SELECT pg_notify($1, t) FROM unnest($2::text[]) t`, channel, h.take())
		pause.Reset(heraldPause)
	}
}

// Doorbell implements store.Feed. A connection that breaks, or a database that is away, is no reason to end: it is tried again.
func (s *Store) Doorbell(ctx context.Context, ring func(fleet.TenantID)) error {
	defer s.bells.Add(ring)()
	seen := map[fleet.TenantID]int64{}
	for ctx.Err() == nil {
		_ = s.listen(ctx, seen, ring) // the reason is of no use to those who listen: they are rung when it is over
		select {
		case <-ctx.Done():
		case <-time.After(time.Second):
		}
	}
	return nil
}

// listen rings for notifications, and looks at the feeds now and then, until the connection breaks.
func (s *Store) listen(ctx context.Context, seen map[fleet.TenantID]int64, ring func(fleet.TenantID)) error {
	pooled, err := s.pool.Acquire(ctx)
	if err != nil {
		return err
	}
	// It listens, and a wait that was cut off closes it: so it never goes back to the pool.
	conn := pooled.Hijack()
	defer func() { _ = conn.Close(context.WithoutCancel(ctx)) }()
	if _, err := conn.Exec(ctx, `LISTEN `+channel); err != nil {
		return err
	}
	heard, broken := make(chan fleet.TenantID, 64), make(chan error, 1)
	ctx, cancel := context.WithCancel(ctx)
	var wg sync.WaitGroup
	defer wg.Wait()
	defer cancel()
	wg.Go(func() { broken <- receive(ctx, conn, heard) })
	look := time.NewTicker(poll)
	defer look.Stop()
	for {
		if err := s.Moved(ctx, seen, ring); err != nil {
			return err
		}
		if err := wait(ctx, heard, broken, look.C, ring); err != nil {
			return err
		}
	}
}

// wait rings for what is heard until it is time to look.
func wait(ctx context.Context, heard <-chan fleet.TenantID, broken <-chan error, look <-chan time.Time, ring func(fleet.TenantID)) error {
	for {
		select {
		case tenant := <-heard:
			ring(tenant)
		case err := <-broken:
			return err
		case <-look:
			return nil
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// receive passes notifications on.
func receive(ctx context.Context, conn *pgx.Conn, heard chan<- fleet.TenantID) error {
	for {
		n, err := conn.WaitForNotification(ctx)
		if err != nil {
			return err
		}
		tenant, err := strconv.ParseInt(n.Payload, 10, 64)
		if err != nil {
			continue // not from a hub
		}
		select {
		case heard <- fleet.TenantID(tenant):
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}
