package live

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"github.com/kubilitics/kubilitics/hub/internal/fleet"
	"github.com/kubilitics/kubilitics/hub/internal/store"
	"github.com/kubilitics/kubilitics/shared/fault"
	"github.com/kubilitics/kubilitics/shared/topo"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const (
	tenant  = fleet.TenantID(1)
	cluster = fleet.ClusterID(2)
)

// feed is a store's feed in memory, with what makes a feed hard: entries trimmed away, and no doorbell when it is mute.
type feed struct {
	mu      sync.Mutex
	entries []store.Entry
	trimmed topo.Position
	last    topo.Position
	bells   map[chan fleet.TenantID]bool
	mute    bool
	broken  error
	reads   int
}

func newFeed() *feed { return &feed{bells: map[chan fleet.TenantID]bool{}} }

func (f *feed) FeedBounds(context.Context, fleet.TenantID) (first, last topo.Position, err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.trimmed + 1, f.last, f.broken
}

func (f *feed) Entries(_ context.Context, _ fleet.TenantID, after topo.Position, limit int) ([]store.Entry, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.reads++
	if f.broken != nil {
		return nil, f.broken
	}
	if after < f.trimmed {
		return nil, fault.New(fault.Gone, "trimmed")
	}
	var out []store.Entry
	for _, e := range f.entries {
		if e.Position > after && len(out) < limit {
			out = append(out, e)
		}
	}
	return out, nil
}

func (f *feed) Doorbell(ctx context.Context, ring func(fleet.TenantID)) error {
	bell := make(chan fleet.TenantID, 1000)
	f.mu.Lock()
	f.bells[bell] = true
	f.mu.Unlock()
	for {
		select {
		case t := <-bell:
			ring(t)
		case <-ctx.Done():
			return nil
		}
	}
}

func (f *feed) Cluster(_ context.Context, at store.Scope) (fleet.Cluster, error) {
	return fleet.Cluster{Tenant: at.Tenant, ID: at.Cluster, Name: "c"}, nil
}

func (f *feed) add(e store.Entry) topo.Position {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.last++
	e.Position = f.last
	if e.Cluster == 0 {
		e.Cluster = cluster
	}
	if e.Kind == "" {
		e.Kind = store.EntryDiff
	}
	f.entries = append(f.entries, e)
	for b := range f.bells {
		if !f.mute {
			b <- tenant
		}
	}
	return f.last
}

func (f *feed) trim(to topo.Position) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.trimmed = to
	f.entries = slices.DeleteFunc(f.entries, func(e store.Entry) bool { return e.Position <= to })
}

func node(op topo.Op, kind, namespace, name string, pairs ...string) topo.NodeChange {
	n := topo.Node{Ref: topo.Ref{Kind: kind, Namespace: namespace, Name: name}}
	for i := 0; i+1 < len(pairs); i += 2 {
		n.Labels = append(n.Labels, topo.Pair{Key: pairs[i], Value: pairs[i+1]})
	}
	return topo.NodeChange{Op: op, Node: n}
}

func diff(changes ...topo.NodeChange) store.Entry {
	return store.Entry{Diff: topo.Diff{Nodes: changes}}
}

func pod(n int) store.Entry { return diff(node(topo.Update, "Pod", "shop", fmt.Sprint("p", n))) }

var admin = fleet.Principal{Tenant: tenant, Name: "admin", Token: "t1", Bindings: []fleet.Binding{{Verbs: []string{"*"}, Clusters: []string{"*"}, Namespaces: []string{"*"}}}}

// run runs a Live in a bubble of its own time.
func run(t *testing.T, cfg Config, test func(t *testing.T, l *Live, f *feed)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		f := newFeed()
		cfg.Store = f
		l := New(cfg)
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error, 1)
		go func() { done <- l.Run(ctx) }()
		synctest.Wait()
		test(t, l, f)
		cancel()
		if err := <-done; err != nil {
			t.Errorf("Run: %v", err)
		}
	})
}

func subscribe(t *testing.T, l *Live, r Request) *Subscription {
	t.Helper()
	if r.Principal.Name == "" {
		r.Principal = admin
	}
	if r.What == nil {
		r.What = []What{Topology}
	}
	s, err := l.Subscribe(t.Context(), r)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)
	return s
}

func next(t *testing.T, s *Subscription, kind FrameKind) Frame {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	f, err := s.Next(ctx)
	if err != nil || f.Kind != kind {
		t.Fatalf("got %+v, %v, want a %s", f, err, kind)
	}
	return f
}

func from(p topo.Position) *topo.Position { return &p }

// expect takes change frames of exactly those positions.
func expect(t *testing.T, s *Subscription, first, last topo.Position) {
	t.Helper()
	for p := first; p <= last; p++ {
		if f := next(t, s, Changed); f.Position != p {
			t.Fatalf("got position %d, want %d", f.Position, p)
		}
	}
}

func TestNewsArrivesByDoorbellWithoutDelay(t *testing.T) {
	run(t, Config{}, func(t *testing.T, l *Live, f *feed) {
		f.add(pod(0))
		s := subscribe(t, l, Request{})
		if b := next(t, s, Bookmark); b.Position != 1 {
			t.Errorf("starts at %d, want 1", b.Position)
		}
		began := time.Now()
		f.add(pod(1))
		if c := next(t, s, Changed); c.Position != 2 || c.Changes[0].Node.Ref.Name != "p1" {
			t.Errorf("got %+v", c)
		}
		if took := time.Since(began); took > 0 {
			t.Errorf("waited %v", took)
		}
	})
}

func TestPollingCoversALostDoorbell(t *testing.T) {
	run(t, Config{}, func(t *testing.T, l *Live, f *feed) {
		s := subscribe(t, l, Request{})
		next(t, s, Bookmark)
		f.mu.Lock()
		f.mute = true
		f.mu.Unlock()
		f.add(pod(1))
		began := time.Now()
		next(t, s, Changed)
		if took := time.Since(began); took > 2*time.Second {
			t.Errorf("waited %v", took)
		}
	})
}

func TestResumeHasNoGapAndNothingTwice(t *testing.T) {
	run(t, Config{Page: 7}, func(t *testing.T, l *Live, f *feed) {
		other := subscribe(t, l, Request{}) // keeps the tail going before the late one comes
		next(t, other, Bookmark)
		for n := range 50 {
			f.add(pod(n))
		}
		expect(t, other, 1, 50)
		s := subscribe(t, l, Request{From: from(10)})
		if b := next(t, s, Bookmark); b.Position != 10 {
			t.Errorf("resumes at %d", b.Position)
		}
		for p := topo.Position(11); p <= 100; p++ { // new entries come while it catches up
			if p%2 == 0 && f.last < 100 {
				f.add(pod(int(p)))
				f.add(pod(int(p)))
			}
			if c := next(t, s, Changed); c.Position != p {
				t.Fatalf("got %d, want %d", c.Position, p)
			}
		}
		expect(t, other, 51, 100)
	})
}

func TestSlowSubscriberIsToldAndHarmsNobody(t *testing.T) {
	run(t, Config{Entries: 50}, func(t *testing.T, l *Live, f *feed) {
		slow, quick := subscribe(t, l, Request{}), subscribe(t, l, Request{})
		next(t, slow, Bookmark)
		next(t, quick, Bookmark)
		f.add(pod(0))
		expect(t, slow, 1, 1)
		expect(t, quick, 1, 1)
		for n := topo.Position(2); n <= 300; n++ {
			f.add(pod(int(n)))
			expect(t, quick, n, n)
		}
		for _, tail := range l.all() {
			if len(tail.items) > 50 {
				t.Errorf("%d entries are held for the slow one", len(tail.items))
			}
		}
		at := next(t, slow, Lagged).Position
		if at != 1 {
			t.Errorf("lagged at %d, having been told 1", at)
		}
		if _, err := slow.Next(t.Context()); !fault.Is(err, fault.Gone) {
			t.Errorf("goes on after lagged: %v", err)
		}
		again := subscribe(t, l, Request{From: from(at)})
		next(t, again, Bookmark)
		expect(t, again, at+1, 300)
	})
}

func TestBoundInRows(t *testing.T) {
	run(t, Config{Rows: 100}, func(t *testing.T, l *Live, f *feed) {
		s := subscribe(t, l, Request{})
		next(t, s, Bookmark)
		f.add(pod(0))
		expect(t, s, 1, 1)
		for range 10 {
			big := store.Entry{}
			for n := range 60 {
				big.Diff.Nodes = append(big.Diff.Nodes, node(topo.Update, "Pod", "shop", fmt.Sprint(n)))
			}
			f.add(big)
			synctest.Wait()
		}
		next(t, s, Lagged)
	})
}

func TestResets(t *testing.T) {
	for name, c := range map[string]struct{ from, trim topo.Position }{
		"below the retention": {from: 3, trim: 5},
		"of another history":  {from: 99},
	} {
		t.Run(name, func(t *testing.T) {
			run(t, Config{}, func(t *testing.T, l *Live, f *feed) {
				for n := range 10 {
					f.add(pod(n))
				}
				f.trim(c.trim)
				s := subscribe(t, l, Request{From: from(c.from)})
				next(t, s, Bookmark)
				if r := next(t, s, Reset); r.Position != 10 || r.Reason == "" {
					t.Errorf("got %+v", r)
				}
			})
		})
	}
}

func TestTailerThatFellBelowTheRetentionGoesOn(t *testing.T) {
	run(t, Config{}, func(t *testing.T, l *Live, f *feed) {
		s := subscribe(t, l, Request{})
		next(t, s, Bookmark)
		f.add(pod(0))
		expect(t, s, 1, 1)
		f.mu.Lock()
		f.last, f.trimmed, f.entries = 100, 90, nil // as after a long sleep of the process
		f.mu.Unlock()
		if lag := next(t, s, Lagged); lag.Position != 1 {
			t.Errorf("lagged at %d", lag.Position)
		}
		again := subscribe(t, l, Request{})
		next(t, again, Bookmark)
		f.add(pod(1))
		expect(t, again, 101, 101)
	})
}

func TestQuietSubscriptionsGetBookmarks(t *testing.T) {
	run(t, Config{}, func(t *testing.T, l *Live, f *feed) {
		s := subscribe(t, l, Request{Scope: Scope{Namespaces: []string{"nothing"}}})
		next(t, s, Bookmark)
		for n := range 5 {
			f.add(pod(n))
		}
		if b := next(t, s, Bookmark); b.Position != 5 {
			t.Errorf("bookmark at %d, want 5", b.Position)
		}
	})
}

func TestRevocationEndsASubscriptionWithinSeconds(t *testing.T) {
	var outcome atomic.Pointer[fault.Error]
	recheck := func(_ context.Context, p fleet.Principal) (fleet.Principal, error) {
		if err := outcome.Load(); err != nil {
			return p, err
		}
		return p, nil
	}
	run(t, Config{Recheck: recheck}, func(t *testing.T, l *Live, _ *feed) {
		s := subscribe(t, l, Request{})
		next(t, s, Bookmark)
		began := time.Now()
		outcome.Store(fault.New(fault.Unavailable, "the database is away")) // says nothing about the token
		time.Sleep(10 * time.Second)
		select {
		case <-s.over:
			t.Fatal("ended by a check that could not be made")
		default:
		}
		outcome.Store(fault.New(fault.Unauthorized, "revoked"))
		_, err := s.Next(t.Context())
		if !fault.Is(err, fault.Unauthorized) || time.Since(began) > 15*time.Second {
			t.Errorf("ended with %v after %v", err, time.Since(began))
		}
		if _, err := l.Subscribe(t.Context(), Request{Principal: admin}); !fault.Is(err, fault.Unauthorized) {
			t.Errorf("a revoked token subscribes: %v", err)
		}
	})
}

func TestExpiryAndNarrowedRights(t *testing.T) {
	var narrow atomic.Bool
	recheck := func(_ context.Context, p fleet.Principal) (fleet.Principal, error) {
		if narrow.Load() {
			p.Bindings = []fleet.Binding{{Verbs: []string{"watch"}, Clusters: []string{"*"}, Namespaces: []string{"other"}}}
		}
		return p, nil
	}
	run(t, Config{Recheck: recheck}, func(t *testing.T, l *Live, f *feed) {
		p := admin
		p.Expires = time.Now().Add(time.Minute)
		s := subscribe(t, l, Request{Principal: p})
		next(t, s, Bookmark)
		narrow.Store(true)
		time.Sleep(5 * time.Second)
		f.add(pod(1))
		f.add(diff(node(topo.Add, "Pod", "other", "mine")))
		if c := next(t, s, Changed); c.Position != 2 {
			t.Errorf("told position %d though its namespace is no longer to be seen", c.Position)
		}
		for {
			f, err := s.Next(t.Context())
			if fault.Is(err, fault.Unauthorized) {
				break
			}
			if err != nil || f.Kind != Bookmark {
				t.Fatalf("got %+v, %v", f, err)
			}
		}
	})
}

func TestAnEndingHubTellsItsSubscribers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := New(Config{Store: newFeed()})
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error, 1)
		go func() { done <- l.Run(ctx) }()
		s := subscribe(t, l, Request{})
		next(t, s, Bookmark)
		cancel()
		<-done
		if _, err := s.Next(t.Context()); !fault.Is(err, fault.Unavailable) {
			t.Errorf("ended with %v", err)
		}
		if _, err := l.Subscribe(t.Context(), Request{Principal: admin}); !fault.Is(err, fault.Unavailable) {
			t.Errorf("subscribed to a hub that has ended: %v", err)
		}
	})
}

func TestABrokenDatabaseIsNoticedAndSurvived(t *testing.T) {
	run(t, Config{}, func(t *testing.T, l *Live, f *feed) {
		s := subscribe(t, l, Request{})
		next(t, s, Bookmark)
		f.add(pod(0))
		expect(t, s, 1, 1)
		f.mu.Lock()
		f.broken = fault.New(fault.Unavailable, "away")
		f.mu.Unlock()
		f.add(pod(1))
		time.Sleep(10 * time.Second)
		f.mu.Lock()
		f.broken = nil
		f.mu.Unlock()
		expect(t, s, 2, 2)
		if err := l.Healthy(); err != nil {
			t.Error(err)
		}
	})
}

func TestNothingIsReadForNobody(t *testing.T) {
	run(t, Config{}, func(t *testing.T, l *Live, f *feed) {
		s := subscribe(t, l, Request{})
		next(t, s, Bookmark)
		s.Close()
		synctest.Wait()
		before := f.reads
		f.add(pod(0))
		time.Sleep(time.Minute)
		if f.reads != before || l.Subscriptions() != 0 {
			t.Errorf("%d reads after the last subscription closed", f.reads-before)
		}
	})
}

func TestClusterNews(t *testing.T) {
	run(t, Config{}, func(t *testing.T, l *Live, f *feed) {
		s := subscribe(t, l, Request{What: []What{Clusters}})
		quiet := subscribe(t, l, Request{What: []What{Resources}})
		for _, k := range []store.EntryKind{store.EntryCluster, store.EntryLoaded, store.EntryDeleted} {
			f.add(store.Entry{Kind: k})
		}
		next(t, s, Bookmark)
		next(t, quiet, Bookmark)
		for _, want := range []string{"update c", "loaded c", "deleted "} {
			if got := tell(next(t, s, Changed).Changes); got != want {
				t.Errorf("got %q, want %q", got, want)
			}
		}
		// Whoever follows rows must hear that a cluster's rows came or went as a whole, whatever else he asked for.
		for _, want := range []string{"loaded c", "deleted "} {
			if got := tell(next(t, quiet, Changed).Changes); got != want {
				t.Errorf("got %q, want %q", got, want)
			}
		}
	})
}
