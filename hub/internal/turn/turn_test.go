package turn

import (
	"context"
	"errors"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/kubilitics/kubilitics/hub/internal/fleet"
	"github.com/kubilitics/kubilitics/hub/internal/query/querytest"
	"github.com/kubilitics/kubilitics/hub/internal/store"
	"github.com/kubilitics/kubilitics/hub/internal/store/sqlite"
	"github.com/kubilitics/kubilitics/shared/fault"
	"github.com/kubilitics/kubilitics/shared/topo"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func open(t *testing.T) (*sqlite.Store, fleet.TenantID) {
	t.Helper()
	st, err := sqlite.Open(t.Context(), sqlite.Config{Path: filepath.Join(t.TempDir(), "hub.db"), Migrate: true})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = st.Close() })
	tenant, err := st.EnsureTenant(t.Context(), "default")
	if err != nil {
		t.Fatal(err)
	}
	return st, tenant.ID
}

// replica is a process that follows as "work"; what it saw goes to seen.
type replica struct {
	feeds *Feeds
	seen  chan topo.Position
	stop  func()
}

func start(t *testing.T, s Store, tenant fleet.TenantID, fail func(topo.Position) error) *replica {
	r := &replica{feeds: New(Config{Store: s, Term: 300 * time.Millisecond, Poll: 20 * time.Millisecond, Calm: time.Millisecond, Pause: time.Millisecond}), seen: make(chan topo.Position, 1000)}
	ctx, cancel := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	wg.Go(func() { _ = r.feeds.Run(ctx) })
	wg.Go(func() {
		r.feeds.Follow(ctx, store.Follower{Tenant: tenant, Name: "work"}, func(ctx context.Context, p *Place) error {
			at := p.Progress().Position
			for ctx.Err() == nil {
				entries, err := p.Next(ctx, at, time.Hour)
				if err != nil {
					return err
				}
				for _, e := range entries {
					if err := fail(e.Position); err != nil {
						return err
					}
					r.seen <- e.Position
					at = e.Position
				}
				if err := p.Advance(ctx, store.Progress{Position: at}); err != nil {
					return err
				}
			}
			return nil
		})
	})
	r.stop = sync.OnceFunc(func() { cancel(); wg.Wait() })
	t.Cleanup(r.stop)
	return r
}

func never(topo.Position) error { return nil }

func take(t *testing.T, from <-chan topo.Position, n int) (out []topo.Position) {
	t.Helper()
	for range n {
		select {
		case p := <-from:
			out = append(out, p)
		case <-time.After(20 * time.Second):
			t.Fatalf("after %v nothing came", out)
		}
	}
	return out
}

// Two replicas share the work of one: nothing is lost or done twice when one hands over.
func TestOneReplicaAtATime(t *testing.T) {
	st, tenant := open(t)
	c := querytest.New(t, st, tenant, "c").Load(topo.Delta{})
	a := start(t, st, tenant, never)
	_, last, err := st.FeedBounds(t.Context(), tenant)
	if err != nil {
		t.Fatal(err)
	}
	take(t, a.seen, int(last))
	b := start(t, st, tenant, never)
	want := c.Apply(topo.Delta{Nodes: []topo.Node{querytest.Node("Pod shop/a")}})
	if got := take(t, a.seen, 1); got[0] != want {
		t.Errorf("the first saw %v, want %d", got, want)
	}
	for noted := (store.Progress{}); noted.Position != want; time.Sleep(time.Millisecond) {
		all, err := st.Progress(t.Context(), tenant)
		if err != nil {
			t.Fatal(err)
		}
		noted = all["work"]
	}
	a.stop()
	want = c.Apply(topo.Delta{Nodes: []topo.Node{querytest.Node("Pod shop/b")}})
	if got := take(t, b.seen, 1); got[0] != want {
		t.Errorf("the second saw %v, want %d only", got, want)
	}
	if len(a.seen)+len(b.seen) != 0 {
		t.Error("something was seen twice")
	}
}

// Work that fails begins again where it was left.
func TestFailedWorkIsBegunAgain(t *testing.T) {
	st, tenant := open(t)
	querytest.New(t, st, tenant, "c").Load(topo.Delta{})
	failures := 3
	r := start(t, st, tenant, func(p topo.Position) error {
		if p == 2 && failures > 0 {
			failures--
			return errors.New("not yet")
		}
		return nil
	})
	var got []topo.Position
	for len(got) == 0 || got[len(got)-1] != 2 {
		got = append(got, take(t, r.seen, 1)...)
	}
	if !slices.Equal(got, []topo.Position{1, 1, 1, 1, 2}) {
		t.Errorf("saw %v", got)
	}
}

// What is passed is noted in the end, also when nothing more comes; not each step of it is.
func TestProgressThatIsPassed(t *testing.T) {
	st, tenant := open(t)
	c := querytest.New(t, st, tenant, "c").Load(topo.Delta{})
	f := New(Config{Store: st, Poll: 10 * time.Millisecond, Calm: time.Millisecond, Note: 500 * time.Millisecond, Page: 1})
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	var wg sync.WaitGroup
	defer wg.Wait()
	_, last, err := st.FeedBounds(t.Context(), tenant)
	if err != nil {
		t.Fatal(err)
	}
	passed := make(chan topo.Position, 100)
	wg.Go(func() {
		f.Follow(ctx, store.Follower{Tenant: tenant, Name: "work"}, func(ctx context.Context, p *Place) error {
			for at := topo.Position(0); ; {
				entries, err := p.Next(ctx, at, time.Hour)
				if err != nil || len(entries) == 0 {
					return err
				}
				at = entries[0].Position
				if err := p.Pass(ctx, store.Progress{Position: at}); err != nil {
					return err
				}
				passed <- at
			}
		})
	})
	take(t, passed, int(last)) // the first is noted at once
	last = c.Apply(topo.Delta{Nodes: []topo.Node{querytest.Node("Pod shop/a")}})
	take(t, passed, 1)
	for noted := topo.Position(0); noted != last; time.Sleep(time.Millisecond) {
		all, err := st.Progress(t.Context(), tenant)
		if err != nil || ctx.Err() != nil {
			t.Fatal(err)
		}
		noted = all["work"].Position
	}
	cancel()
}

// deaf is a store whose leases can be taken away, as another process would after a long pause.
type deaf struct {
	Store
	mu   sync.Mutex
	lost bool
}

func (d *deaf) Hold(ctx context.Context, l store.Lease, term time.Duration) (store.Progress, bool, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.lost {
		return store.Progress{}, false, nil
	}
	return d.Store.Hold(ctx, l, term)
}

func TestWorkEndsWithTheLease(t *testing.T) {
	st, tenant := open(t)
	d := &deaf{Store: st}
	f := New(Config{Store: d, Term: 30 * time.Millisecond})
	began := make(chan struct{})
	go func() {
		<-began
		d.mu.Lock()
		d.lost = true
		d.mu.Unlock()
	}()
	_, err := f.turn(t.Context(), store.Follower{Tenant: tenant, Name: "work"}, func(ctx context.Context, p *Place) error {
		close(began)
		<-ctx.Done()
		return ctx.Err()
	})
	if !fault.Is(err, fault.Conflict) {
		t.Errorf("got %v", err)
	}
}

func TestBackoff(t *testing.T) {
	for failures, most := range map[int]time.Duration{0: time.Second, 3: 8 * time.Second, 10: time.Minute, 100: time.Minute} {
		if d := Backoff(failures, time.Second, time.Minute); d < most/2 || d > most {
			t.Errorf("after %d failures: %v", failures, d)
		}
	}
}
