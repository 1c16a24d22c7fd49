package audit

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"go.uber.org/goleak"
	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"

	"github.com/kubilitics/kubilitics/hub/internal/store"
	"github.com/kubilitics/kubilitics/shared/fault"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// book is a database that does what a test says.
type book struct {
	mu        sync.Mutex
	rows      map[string]store.AuditRecord
	puts      []int // rows of each write that succeeded
	refuse    func([]store.AuditRecord) error
	hang      chan struct{} // writes wait until it is closed
	seen      map[string]int
	abandoned []int // what the next calls of AbandonAudit tell
}

func (b *book) PutAudit(ctx context.Context, records []store.AuditRecord) error {
	b.mu.Lock()
	hang := b.hang
	b.mu.Unlock()
	if hang != nil {
		select {
		case <-hang:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.refuse != nil {
		if err := b.refuse(records); err != nil {
			return err
		}
	}
	for _, r := range records {
		if old, ok := b.rows[r.ID]; !ok || old.Outcome == store.AuditOpen {
			b.rows[r.ID] = r
		}
	}
	b.puts = append(b.puts, len(records))
	return nil
}

func (b *book) SeeHub(_ context.Context, hub string) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.seen[hub]++
	return nil
}

func (b *book) AbandonAudit(context.Context, time.Duration, int) (n int, err error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if len(b.abandoned) > 0 {
		n, b.abandoned = b.abandoned[0], b.abandoned[1:]
	}
	return n, nil
}

func (b *book) refusing(f func([]store.AuditRecord) error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.refuse = f
}

// hanging makes writes wait until the function that it gives is called.
func (b *book) hanging() (release func()) {
	gate := make(chan struct{})
	b.mu.Lock()
	defer b.mu.Unlock()
	b.hang = gate
	return func() {
		b.mu.Lock()
		defer b.mu.Unlock()
		b.hang = nil
		close(gate)
	}
}

// told gives the records as "name:outcome:status", in the order of their ids, and how many rows each write had.
func (b *book) told() (string, []int) {
	b.mu.Lock()
	defer b.mu.Unlock()
	var out []string
	for _, id := range slices.Sorted(maps.Keys(b.rows)) {
		r := b.rows[id]
		out = append(out, fmt.Sprintf("%s:%s:%d", r.Name, r.Outcome, r.Status))
	}
	return strings.Join(out, " "), slices.Clone(b.puts)
}

type desk struct {
	*testing.T
	*book
	log  *Log
	logs *observer.ObservedLogs
	stop func()
}

// within runs a test with a log that runs, in a bubble of its own time.
func within(t *testing.T, cfg Config, test func(d *desk)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		core, logs := observer.New(zap.InfoLevel)
		d := &desk{T: t, book: &book{rows: map[string]store.AuditRecord{}, seen: map[string]int{}}, logs: logs}
		cfg.Store, cfg.Log, cfg.Registerer = d.book, zap.New(core), prometheus.NewRegistry()
		d.log = New(cfg)
		ctx, cancel := context.WithCancel(d.Context())
		done := make(chan error, 1)
		go func() { done <- d.log.Run(ctx) }()
		d.stop = sync.OnceFunc(func() {
			cancel()
			if err := <-done; err != nil {
				t.Error(err)
			}
		})
		defer d.stop()
		test(d)
	})
}

func (d *desk) begin(name string, firm bool) *Entry {
	d.Helper()
	e, err := d.log.Begin(d.Context(), store.AuditRecord{Tenant: 1, Who: "ada", Name: name}, firm)
	if err != nil {
		d.Fatal(err)
	}
	return e
}

func (d *desk) expect(rows string, puts ...int) {
	d.Helper()
	if got, n := d.told(); got != rows || puts != nil && !slices.Equal(n, puts) {
		d.Errorf("on record: %s by %v, want %s by %v", got, n, rows, puts)
	}
}

func pass(d time.Duration) {
	time.Sleep(d) // in the bubble's time
	synctest.Wait()
}

func TestAReadIsOneRow(t *testing.T) {
	within(t, Config{}, func(d *desk) {
		a, b := d.begin("a", false), d.begin("b", false)
		pass(100 * time.Millisecond)
		a.End(200, "", "", nil)
		b.End(403, "Forbidden", "", nil)
		b.End(200, "", "", nil)
		d.expect("", []int{}...)
		pass(250 * time.Millisecond)
		d.expect("a:done:200 b:refused:403", 2)
		for _, r := range d.rows {
			if r.Took != 100*time.Millisecond || r.Hub != d.log.hub || r.At.IsZero() {
				t.Errorf("%+v", r)
			}
		}
	})
}

func TestWhatLastsShowsUpAsOpen(t *testing.T) {
	within(t, Config{}, func(d *desk) {
		watch := d.begin("watch", false)
		d.begin("get", false).End(404, "", "", nil)
		pass(time.Second)
		d.expect("watch:open:0 get:failed:404", 1, 1)
		watch.End(200, "", "", nil)
		pass(250 * time.Millisecond)
		d.expect("watch:done:200 get:failed:404", 1, 1, 1)
	})
}

func TestFirmIsOnRecordFirst(t *testing.T) {
	within(t, Config{}, func(d *desk) {
		e := d.begin("", true)
		d.expect(":open:0", 1)
		e.End(201, "", "made-x7", nil)
		pass(250 * time.Millisecond)
		d.expect("made-x7:done:201", 1, 1)

		d.refusing(func([]store.AuditRecord) error { return fault.New(fault.Unavailable, "down") })
		if _, err := d.log.Begin(d.Context(), store.AuditRecord{Name: "b"}, true); !fault.Is(err, fault.Unavailable) {
			t.Fatal(err)
		}
		d.begin("read", false).End(200, "", "", nil)
		pass(10 * time.Second)
		d.expect("made-x7:done:201")
		d.refusing(nil)
		pass(10 * time.Second)
		d.expect("made-x7:done:201 b:failed:503 read:done:200")
		if n := d.logs.Len(); n != 2 { // that it began, and that it was over
			t.Error(n, d.logs.All())
		}
	})
}

// TestParallelMutationsShareATransaction: those that come while one is written go together.
func TestParallelMutationsShareATransaction(t *testing.T) {
	within(t, Config{}, func(d *desk) {
		release := d.hanging()
		var all sync.WaitGroup
		for range 300 {
			all.Go(func() { d.begin("x", true).End(200, "", "", nil) })
		}
		synctest.Wait()
		release()
		all.Wait()
		if _, puts := d.told(); len(puts) > 2 {
			t.Error(puts)
		}
	})
}

func TestAFullRoomMakesWaitAndLosesNothing(t *testing.T) {
	within(t, Config{Room: 3}, func(d *desk) {
		lasting := d.begin("lasting", false)
		pass(time.Second) // it is on record, and has no place any more
		release := d.hanging()
		for range 3 {
			d.begin("a", false).End(200, "", "", nil)
		}
		var waiting sync.WaitGroup
		waiting.Go(func() { lasting.End(200, "", "", nil) })
		waiting.Go(func() { d.begin("patient", false).End(200, "", "", nil) })
		for _, firm := range []bool{true, false} {
			ctx, cancel := context.WithTimeout(d.Context(), time.Second)
			if _, err := d.log.Begin(ctx, store.AuditRecord{Name: "impatient"}, firm); !fault.Is(err, fault.Unavailable) {
				t.Error(err)
			}
			cancel()
		}
		d.expect("lasting:open:0", 1)
		release()
		waiting.Wait()
		pass(time.Second)
		d.expect("lasting:done:200 a:done:200 a:done:200 a:done:200 patient:done:200")
		if n := testutil.ToFloat64(d.log.metrics.waited); n != 3 {
			t.Errorf("%v waited", n)
		}
	})
}

func TestAClientThatLeavesBeforeItIsOnRecord(t *testing.T) {
	within(t, Config{}, func(d *desk) {
		release := d.hanging()
		ctx, cancel := context.WithCancel(d.Context())
		time.AfterFunc(time.Second, cancel)
		if _, err := d.log.Begin(ctx, store.AuditRecord{Name: "left"}, true); !fault.Is(err, fault.Unavailable) {
			t.Error(err)
		}
		release()
		pass(time.Second)
		d.expect("left:failed:0", 1, 1)
	})
}

// TestOneThatNoDatabaseTakes: the others are written, and it is told.
func TestOneThatNoDatabaseTakes(t *testing.T) {
	within(t, Config{}, func(d *desk) {
		d.refusing(func(records []store.AuditRecord) error {
			if slices.ContainsFunc(records, func(r store.AuditRecord) bool { return strings.HasPrefix(r.Name, "bad") }) {
				return fault.New(fault.BadRequest, "refused")
			}
			return nil
		})
		for _, name := range []string{"a", "b", "bad", "c"} {
			d.begin(name, false).End(200, "", "", nil)
		}
		release := d.hanging()
		var firm sync.WaitGroup
		for _, name := range []string{"first", "d", "bad firm"} {
			firm.Go(func() {
				e, err := d.log.Begin(d.Context(), store.AuditRecord{Name: name}, true)
				if (err != nil) != strings.HasPrefix(name, "bad") {
					t.Error(name, err)
				}
				if err == nil {
					e.End(200, "", "", nil)
				}
			})
			synctest.Wait()
		}
		release()
		firm.Wait()
		pass(time.Second)
		d.expect("a:done:200 b:done:200 c:done:200 first:done:200 d:done:200")
		if n := testutil.ToFloat64(d.log.metrics.lost); n != 2 {
			t.Errorf("%v lost", n)
		}
	})
}

// TestNothingIsLostWhileTheDatabaseFailsNowAndThen: whatever is begun is on record in the end, and has ended.
func TestNothingIsLostWhileTheDatabaseFailsNowAndThen(t *testing.T) {
	within(t, Config{Room: 50}, func(d *desk) {
		random := rand.New(rand.NewPCG(1, 2))
		d.refusing(func([]store.AuditRecord) error {
			if random.IntN(3) == 0 {
				return errors.New("down")
			}
			return nil
		})
		var all sync.WaitGroup
		for i := range 60 {
			all.Go(func() {
				r := rand.New(rand.NewPCG(3, uint64(i)))
				for range 30 {
					e, err := d.log.Begin(d.Context(), store.AuditRecord{Name: "x"}, r.IntN(3) == 0)
					if err != nil {
						continue // it is on record that it wasn't done
					}
					time.Sleep(time.Duration(r.IntN(2000)) * time.Millisecond)
					e.End(200, "", "", nil)
				}
			})
		}
		all.Wait()
		d.stop()
		if len(d.rows) != 60*30 {
			t.Errorf("%d on record", len(d.rows))
		}
		for _, r := range d.rows {
			if r.Outcome != store.AuditDone && (r.Outcome != store.AuditFailed || r.Status != 503) {
				t.Fatalf("%+v", r)
			}
		}
	})
}

func TestRunWaitsForWhatWasBegun(t *testing.T) {
	within(t, Config{}, func(d *desk) {
		e := d.begin("slow", false)
		time.AfterFunc(3*time.Second, func() { e.End(200, "", "", nil) })
		d.stop()
		d.expect("slow:done:200")
		if _, err := d.log.Begin(d.Context(), store.AuditRecord{}, false); !fault.Is(err, fault.Unavailable) {
			t.Error(err)
		}
	})
}

func TestRunGivesUpAndSaysSo(t *testing.T) {
	within(t, Config{Drain: 5 * time.Second}, func(d *desk) {
		endless := d.begin("endless", false)
		pass(time.Second)
		d.refusing(func([]store.AuditRecord) error { return errors.New("down") })
		d.begin("a", false).End(200, "", "", nil)
		began := time.Now()
		d.stop()
		if took := time.Since(began); took < 5*time.Second || took > 6*time.Second {
			t.Error(took)
		}
		endless.End(200, "", "", nil) // doesn't wait for anything
		d.expect("endless:open:0")
		if n := testutil.ToFloat64(d.log.metrics.lost); n < 1 {
			t.Errorf("%v lost", n)
		}
		if d.logs.FilterMessageSnippet("hub ended").Len() == 0 {
			t.Error(d.logs.All())
		}
	})
}

func TestHubsTellThatTheyLive(t *testing.T) {
	within(t, Config{}, func(d *desk) {
		d.mu.Lock()
		d.abandoned = []int{batchRows, 3}
		d.mu.Unlock()
		pass(61 * time.Second)
		d.mu.Lock()
		defer d.mu.Unlock()
		if n := d.seen[d.log.hub]; n != 13 || len(d.seen) != 1 {
			t.Error(d.seen)
		}
		if n := d.logs.FilterMessageSnippet("unknown").Len(); n != 2 {
			t.Error(d.logs.All())
		}
	})
}

func TestBounds(t *testing.T) {
	long := strings.Repeat("é", 3000)
	r := store.AuditRecord{Who: "a\x00b\xff", Path: long, Command: []string{"sh", long, "more"}, Groups: slices.Repeat([]string{"g"}, 70)}
	bound(&r)
	if r.Who != "a\uFFFDb\uFFFD" || r.Path != long[:pathLimit]+"…" || len(r.Groups) != groupLimit+1 || r.Groups[groupLimit] != "…" {
		t.Errorf("%+v", r)
	}
	if got := r.Command; len(got) != 3 || got[0] != "sh" || got[1] != long[:commandBytes-2]+"…" || got[2] != "…" {
		t.Errorf("%.20q", got)
	}
	if r.Name != "" || len(clip(long[1:], 5)) > 12 {
		t.Errorf("%q", clip(long[1:], 5))
	}
}

type nowhere struct{}

func (nowhere) PutAudit(context.Context, []store.AuditRecord) error                 { return nil }
func (nowhere) SeeHub(context.Context, string) error                                { return nil }
func (nowhere) AbandonAudit(context.Context, time.Duration, int) (n int, err error) { return 0, nil }

// BenchmarkRead is what a request that reads costs, without the database.
func BenchmarkRead(b *testing.B) {
	l := New(Config{Store: nowhere{}})
	ctx, cancel := context.WithCancel(b.Context())
	var running sync.WaitGroup
	running.Go(func() { _ = l.Run(ctx) })
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			e, err := l.Begin(ctx, store.AuditRecord{Tenant: 1, Who: "ada", Agent: "kubectl", Verb: "get", Resource: "pods", Namespace: "shop", Name: "web"}, false)
			if err != nil {
				b.Error(err)
				return
			}
			e.End(200, "", "", nil)
		}
	})
	cancel()
	running.Wait()
}
