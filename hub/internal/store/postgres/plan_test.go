package postgres

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/kubilitics/kubilitics/hub/internal/store"
	"github.com/kubilitics/kubilitics/hub/internal/store/relational"
	"github.com/kubilitics/kubilitics/hub/internal/store/storetest"
	"github.com/kubilitics/kubilitics/shared/topo"
)

// explained has the database say how it would answer each query before it does.
type explained struct {
	*Store
	tell func(sql, plan string)
}

func (e explained) Snapshot(ctx context.Context, fn func(context.Context, relational.Conn) error) error {
	return e.Store.Snapshot(ctx, func(ctx context.Context, c relational.Conn) error { return fn(ctx, explainedConn{c, e.tell}) })
}

type explainedConn struct {
	relational.Conn
	tell func(sql, plan string)
}

func (c explainedConn) Query(ctx context.Context, sql string, args ...any) (relational.Rows, error) {
	rows, err := c.Conn.Query(ctx, "EXPLAIN "+sql, append([]any(nil), args...)...)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var plan strings.Builder
	for rows.Next() {
		var line string
		if err := rows.Scan(&line); err != nil {
			return nil, err
		}
		plan.WriteString(line + "\n")
	}
	rows.Close()
	c.tell(sql, plan.String())
	return c.Conn.Query(ctx, sql, args...)
}

func TestHotQueriesGoByIndexes(t *testing.T) {
	t.Parallel()
	dsn := database(t)
	s := openTest(t, dsn)
	f := storetest.Fill(t, s, 4, 8000)
	if err := exec(t.Context(), dsn, "ANALYZE"); err != nil {
		t.Fatal(err)
	}
	name := ""
	base := relational.NewBase(explained{s, func(sql, plan string) {
		for _, table := range []string{"resources", "labels", "edges", "events", "refs"} {
			if strings.Contains(plan, "Seq Scan on "+table) || strings.Contains(plan, "Sort Key: r.api_group") && !strings.Contains(name, "rare") {
				t.Errorf("%s:\n%s\n%s", name, sql, plan)
				return
			}
		}
	}}, dialect)
	storetest.HotQueries(t.Context(), t, base, f, func(n string) { name = n })
}

// TestSearchesGoByIndexes: as far as none of them begins with every row.
func TestSearchesGoByIndexes(t *testing.T) {
	t.Parallel()
	dsn := database(t)
	s := openTest(t, dsn)
	f := storetest.Fill(t, s, 4, 8000)
	for more := true; more; {
		var err error
		if more, err = s.Index(t.Context(), 10000); err != nil {
			t.Fatal(err)
		}
	}
	if err := exec(t.Context(), dsn, "ANALYZE"); err != nil {
		t.Fatal(err)
	}
	if err := s.SlowSearch(); err != nil {
		t.Skip("NOTHING OF SEARCHES BY INDEXES WAS TESTED: ", err)
	}
	d := dialect
	d.Texts = true
	name := ""
	base := relational.NewBase(explained{s, func(sql, plan string) {
		for _, table := range []string{"resources", "labels", "edges"} {
			if strings.Contains(plan, "Seq Scan on "+table) {
				t.Errorf("%s:\n%s\n%s", name, sql, plan)
				return
			}
		}
	}}, d)
	storetest.FoundQueries(t.Context(), t, base, f, func(n string) { name = n })
}

// TestIndexFollows: what the feed tells no more is read anew, and what is gone goes.
func TestIndexFollows(t *testing.T) {
	t.Parallel()
	s := openTest(t, database(t))
	ctx := t.Context()
	f := storetest.Fill(t, s, 2, 50)
	texts := func() (n int) {
		for more := true; more; {
			var err error
			if more, err = s.Index(ctx, 30); err != nil {
				t.Fatal(err)
			}
		}
		if err := s.pool.QueryRow(ctx, `SELECT count(*) FROM search_texts`).Scan(&n); err != nil {
			t.Fatal(err)
		}
		return n
	}
	if n := texts(); n != 100 {
		t.Errorf("%d rows", n)
	}
	apply := func(seq int64, d store.Delta) {
		if _, err := s.Apply(ctx, store.Batch{Scope: f.At, Epoch: 1, Seq: seq, Delta: d}); err != nil {
			t.Fatal(err)
		}
	}
	apply(2, store.Delta{Nodes: []topo.Node{storetest.Pod(50)}, GoneNodes: []topo.ID{storetest.Pod(1).Ref.ID(), storetest.Pod(2).Ref.ID()}})
	if n := texts(); n != 99 {
		t.Errorf("%d rows after a change", n)
	}
	apply(3, store.Delta{GoneNodes: []topo.ID{storetest.Pod(3).Ref.ID()}})
	if _, err := s.Trim(ctx, store.Keep{History: time.Hour, Events: time.Hour}, 1000); err != nil {
		t.Fatal(err)
	}
	if n := texts(); n != 98 {
		t.Errorf("%d rows after the feed was trimmed", n)
	}
	if err := s.DeleteCluster(ctx, f.At); err != nil {
		t.Fatal(err)
	}
	if n := texts(); n != 50 {
		t.Errorf("%d rows after the cluster was deleted", n)
	}
}

// TestApplyReadsWhatItTouches: no statement of Apply goes through a cluster, not even while the planner knows nothing.
func TestApplyReadsWhatItTouches(t *testing.T) {
	t.Parallel()
	dsn := database(t)
	s := openTest(t, dsn)
	f := storetest.Fill(t, s, 1, 8000)
	text := func(i int, hash byte) topo.Manifest {
		return topo.Manifest{Ref: storetest.Pod(i).Ref, Hash: topo.ID{hash, byte(i), byte(i >> 8)}, Body: []byte("{}")}
	}
	event := func(i int) topo.Event {
		return topo.Event{UID: fmt.Sprint("e", i), Namespace: "a", Name: fmt.Sprint("e", i), Regarding: storetest.Pod(i).Ref, Last: 1}
	}
	var all store.Delta // after a load's ANALYZE: of these tables the planner believes that they are empty
	for i := range 5000 {
		all.Manifests, all.Events = append(all.Manifests, text(i, 1)), append(all.Events, event(i))
	}
	if _, err := s.Apply(t.Context(), store.Batch{Scope: f.At, Epoch: 1, Seq: 2, Delta: all}); err != nil {
		t.Fatal(err)
	}
	before := touched(t, s)
	for seq := range int64(20) {
		var d store.Delta
		for i := range 50 {
			n := storetest.Pod(i * 100)
			n.Created = seq
			n.Labels = append(n.Labels[:2:2], topo.Pair{Key: "tier", Value: string(rune('a' + seq))})
			d.Nodes = append(d.Nodes, n)
			e := topo.Edge{Source: n.Ref, Target: storetest.Pod(1).Ref, Rule: "r", Type: topo.Owns}
			if seq%2 == 0 {
				d.Edges = append(d.Edges, e)
			} else {
				d.GoneEdges = append(d.GoneEdges, e.Key())
			}
			again := event(i * 100)
			again.Last, again.Count = 2+seq, seq
			d.Events = append(d.Events, again)
			switch m := text(i*100, byte(2+seq)); seq % 4 {
			case 3:
				d.GoneManifests = append(d.GoneManifests, m.Ref.ID())
			default:
				d.Manifests = append(d.Manifests, m)
			}
		}
		a, err := s.Apply(t.Context(), store.Batch{Scope: f.At, Epoch: 1, Seq: seq + 3, Delta: d})
		if err != nil || a.Changed < 150 {
			t.Fatal(a.Changed, err)
		}
	}
	// 200 rows, each met by some statements; one that walks the cluster once a batch would be at 5,000 or 8,000.
	if each := (touched(t, s) - before) / 20; each > 4500 {
		t.Errorf("a batch of 200 changes read %d rows and index entries", each)
	}
}

// touched is how many rows and index entries have been read so far. Backends tell their numbers when they end, or a second after; so it asks
// until nothing has come for longer than that.
func touched(t *testing.T, s *Store) (n int64) {
	t.Helper()
	s.writers.Reset()
	s.pool.Reset()
	calm := time.Now()
	for tick := time.Tick(100 * time.Millisecond); time.Since(calm) < 1500*time.Millisecond; <-tick {
		var now int64
		if err := s.pool.QueryRow(t.Context(), `SELECT sum(seq_tup_read) + (SELECT sum(idx_tup_read) FROM pg_stat_user_indexes)
			FROM pg_stat_user_tables WHERE relname IN ('refs', 'resources', 'labels', 'edges', 'digests', 'manifests', 'events')`).Scan(&now); err != nil {
			t.Fatal(err)
		}
		if now != n {
			n, calm = now, time.Now()
		}
	}
	return n
}
