package postgres

import (
	"context"
	"fmt"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/kubilitics/kubilitics/hub/internal/audit"
	"github.com/kubilitics/kubilitics/hub/internal/fleet"
	"github.com/kubilitics/kubilitics/hub/internal/store"
	"github.com/kubilitics/kubilitics/hub/internal/store/relational"
	"github.com/kubilitics/kubilitics/hub/internal/store/storetest"
	"github.com/kubilitics/kubilitics/shared/pgtest"
)

func TestAuditQueriesGoByIndexes(t *testing.T) {
	t.Parallel()
	dsn := database(t)
	s := openTest(t, dsn)
	tenant, err := s.EnsureTenant(t.Context(), "default")
	if err != nil {
		t.Fatal(err)
	}
	f := storetest.Fleet{Tenant: tenant.ID, At: store.Scope{Tenant: tenant.ID, Cluster: 7}, First: 8}
	storetest.HotRecords(t.Context(), t, s, f, 20_000)
	if err := exec(t.Context(), dsn, "ANALYZE"); err != nil {
		t.Fatal(err)
	}
	few := map[string]bool{"a request": true, "who changed an object": true} // sorted when found
	name := ""
	base := relational.NewBase(explained{s, func(sql, plan string) {
		if strings.Contains(sql, "FROM audit_open") {
			return // small, and in the way of no index
		}
		for line := range strings.SplitSeq(plan, "\n") {
			empty := strings.Contains(line, "rows=1 ") // a day to come
			if strings.Contains(line, "Seq Scan on audit") && !empty || strings.Contains(line, "Sort  (") && !few[name] && !empty {
				t.Errorf("%s:\n%s\n%s", name, sql, plan)
				return
			}
		}
	}}, dialect)
	storetest.AuditQueries(t.Context(), t, base, f, func(n string) { name = n })
}

// BenchmarkPutAudit writes what has ended at once, a thousand in a transaction, on a server that flushes to its disk; and alone what must be on record before it is done.
func BenchmarkPutAudit(b *testing.B) {
	server, err := pgtest.Start(b.Context(), true)
	if err != nil {
		b.Skip(err)
	}
	b.Cleanup(func() { _ = server.Stop() })
	s, err := Open(b.Context(), Config{DSN: server.DSN, Migrate: true})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = s.Close() })
	fresh := func(outcome store.AuditOutcome) store.AuditRecord {
		return storetest.Record(1, time.Now(), 1, func(r *store.AuditRecord) {
			r.ID, r.Cluster, r.Outcome, r.Command = uuid.Must(uuid.NewV7()).String(), fleet.ClusterID(time.Now().UnixNano()%7), outcome, nil
			r.Hub, r.Request, r.Agent = "CGJ5FAAQZT3RZ3P6DZYY5IMZ2A", uuid.NewString(), "kubectl/v1.37.2 (linux/amd64) kubernetes/abcdef0"
			if r.Verb = "list"; r.At.UnixNano()%10 == 0 {
				r.Verb = "patch"
			}
		})
	}
	b.Run("ended", func(b *testing.B) {
		page := make([]store.AuditRecord, 0, 1000)
		for i := 0; b.Loop(); i++ {
			if page = append(page, fresh(store.AuditDone)); len(page) == cap(page) {
				if err := s.PutAudit(b.Context(), page); err != nil {
					b.Fatal(err)
				}
				page = page[:0]
			}
		}
		var size, rows float64
		if err := s.pool.QueryRow(b.Context(), `SELECT sum(pg_total_relation_size(inhrelid)), (SELECT count(*) FROM audit) FROM pg_inherits WHERE inhparent = 'audit'::regclass`).Scan(&size, &rows); err != nil {
			b.Fatal(err)
		}
		b.ReportMetric(size/rows, "B/record")
	})
	b.Run("firm, 64 at once", func(b *testing.B) {
		log := audit.New(audit.Config{Store: s})
		ctx, stop := context.WithCancel(b.Context())
		var running sync.WaitGroup
		running.Go(func() { _ = log.Run(ctx) })
		b.SetParallelism(64 / runtime.GOMAXPROCS(0))
		b.RunParallel(func(pb *testing.PB) {
			for pb.Next() {
				e, err := log.Begin(ctx, fresh(store.AuditOpen), true)
				if err != nil {
					b.Error(err)
					return
				}
				e.End(200, "", "", nil)
			}
		})
		stop()
		running.Wait() // until how they ended is written too
	})
	b.Run("alone", func(b *testing.B) {
		for b.Loop() {
			if err := s.PutAudit(b.Context(), []store.AuditRecord{fresh(store.AuditOpen)}); err != nil {
				b.Fatal(err)
			}
		}
	})
}

// TestNothingIsLostWhenConnectionsBreak: also not of what was committed when the answer to it was cut off. What wasn't done is on record as such.
func TestNothingIsLostWhenConnectionsBreak(t *testing.T) {
	t.Parallel()
	s := openTest(t, database(t))
	log := audit.New(audit.Config{Store: s})
	ctx, stop := context.WithCancel(t.Context())
	var running, asking sync.WaitGroup
	running.Go(func() { _ = log.Run(ctx) })
	running.Go(func() {
		for ctx.Err() == nil {
			_, _ = s.pool.Exec(ctx, `SELECT pg_sleep(0.002), pg_terminate_backend(pid) FROM pg_stat_activity
				WHERE datname = current_database() AND pid <> pg_backend_pid() AND query LIKE '%audit%' AND query NOT LIKE '%pg_stat%'`)
		}
	})
	const askers, each = 20, 100
	var refused atomic.Int64
	for i := range askers {
		asking.Go(func() {
			for n := range each {
				e, err := log.Begin(ctx, store.AuditRecord{Tenant: 1, Who: fmt.Sprint(i), Verb: "patch"}, n%2 == 0)
				if err != nil {
					refused.Add(1)
					continue
				}
				e.End(200, "", "", nil)
			}
		})
	}
	asking.Wait()
	stop()
	running.Wait()
	s.pool.Reset() // whose connections were broken too
	var done, failed, open int64
	if err := s.pool.QueryRow(t.Context(), `SELECT count(*) FILTER (WHERE outcome = 'done'), count(*) FILTER (WHERE outcome = 'failed'), (SELECT count(*) FROM audit_open)
		FROM audit`).Scan(&done, &failed, &open); err != nil {
		t.Fatal(err)
	}
	if failed != refused.Load() || done+failed != askers*each || open != 0 {
		t.Errorf("%d done, %d failed, %d open; %d were refused", done, failed, open, refused.Load())
	}
	if failed == 0 {
		t.Error("nothing broke")
	}
}

// TestHubsAbandonAtOnce: each record is told once, by whichever hub.
func TestHubsAbandonAtOnce(t *testing.T) {
	t.Parallel()
	s := openTest(t, database(t))
	tenant, err := s.EnsureTenant(t.Context(), "default")
	if err != nil {
		t.Fatal(err)
	}
	var records []store.AuditRecord
	for i := range 200 {
		records = append(records, storetest.Record(tenant.ID, time.Now().Add(-time.Hour), i, func(r *store.AuditRecord) { r.Outcome = store.AuditOpen }))
	}
	if err := s.PutAudit(t.Context(), records); err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	var told [4]int
	for i := range told {
		wg.Go(func() {
			n, err := s.AbandonAudit(t.Context(), time.Minute, 1000)
			if err != nil {
				t.Error(err)
			}
			told[i] = n
		})
	}
	wg.Wait()
	if sum := told[0] + told[1] + told[2] + told[3]; sum != 200 {
		t.Error(fmt.Sprint(told))
	}
}
