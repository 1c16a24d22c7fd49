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
	"github.com/kubilitics/kubilitics/shared/fault"
	"github.com/kubilitics/kubilitics/shared/topo"
)

func TestUIDsKeepTheirText(t *testing.T) {
	t.Parallel()
	for text, fits := range map[string]bool{
		"3f0c7a52-0000-4000-8000-00000000000a": true, noUID: false, "": false, "odd": false, "3f0c7a5200004000800000000000000a": false,
		"3F0C7A52-0000-4000-8000-00000000000A": false, "3f0c7a52-0000-4000-8000-00000000000g": false, "3f0c7a52x0000-4000-8000-00000000000a": false,
	} {
		id, ok := parseUID(text)
		if ok != fits {
			t.Errorf("%q: %v", text, ok)
		}
		if back := fmt.Sprintf("%x-%x-%x-%x-%x", id[:4], id[4:6], id[6:8], id[8:10], id[10:]); ok && back != text {
			t.Errorf("%q came back as %q", text, back)
		}
	}
}

// TestDaysAreNotDroppedUnderReaders: whoever began to read a past day reads it to the end, and whoever comes after it was dropped is told so.
func TestDaysAreNotDroppedUnderReaders(t *testing.T) {
	t.Parallel()
	dsn := database(t)
	s := openTest(t, dsn)
	f := storetest.Fill(t, s, 1, 10)
	first, _, err := s.Resolve(t.Context(), f.Tenant, store.When{})
	if err != nil {
		t.Fatal(err)
	}
	n := storetest.Pod(1)
	n.Status = "Other"
	if _, err := s.Apply(t.Context(), store.Batch{Scope: f.At, Epoch: 1, Seq: 2, Delta: store.Delta{Nodes: []topo.Node{n}}}); err != nil {
		t.Fatal(err)
	}
	for _, sql := range []string{ // all of it was long ago
		`CREATE TABLE resources_history_20200101 PARTITION OF resources_history FOR VALUES FROM ('2020-01-01') TO ('2020-01-02')`,
		`UPDATE resources_history SET closed = '2020-01-01'`,
		`UPDATE feed SET at = '2020-01-01'::timestamptz + pos * '1 second'::interval`,
	} {
		if err := exec(t.Context(), dsn, sql); err != nil {
			t.Fatal(err)
		}
	}
	keep := store.Keep{Feed: 24 * time.Hour, History: 24 * time.Hour, Events: time.Hour}
	old := store.When{Position: first}
	status := func(ctx context.Context, snap store.Snapshot) string {
		rows, err := snap.Nodes(ctx, f.At, []topo.ID{n.Ref.ID()})
		if err != nil || len(rows) != 1 {
			t.Fatal(len(rows), err)
		}
		return rows[0].Node.Status
	}
	err = s.ReadAt(t.Context(), f.Tenant, old, func(ctx context.Context, snap store.Snapshot) error {
		if more, err := s.Trim(t.Context(), keep, 100); !more || err != nil {
			t.Error("with a reader in its way, the day is said to be dropped:", more, err)
		}
		if got := status(ctx, snap); got != storetest.Pod(1).Status {
			t.Errorf("the status was %q then, it is said", got)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := s.ReadAt(t.Context(), f.Tenant, old, func(context.Context, store.Snapshot) error { return nil }); !fault.Is(err, fault.Gone) {
		t.Error(err)
	}
	if more, err := s.Trim(t.Context(), keep, 100); more || err != nil {
		t.Error(more, err)
	}
	var left int
	if err := s.pool.QueryRow(t.Context(), `SELECT count(*) FROM resources_history`).Scan(&left); err != nil || left != 0 {
		t.Error(left, err)
	}
}

func TestHotQueriesOfThePastGoByIndexes(t *testing.T) {
	t.Parallel()
	dsn := database(t)
	s := openTest(t, dsn)
	f := storetest.Fill(t, s, 4, 8000)
	middle := storetest.Churn(t, s, f, 4)
	if err := exec(t.Context(), dsn, "ANALYZE"); err != nil {
		t.Fatal(err)
	}
	name, today := "", time.Now().UTC().Format(dayForm)
	base := relational.NewBase(explained{s, func(sql, plan string) {
		for _, table := range []string{"resources ", "labels ", "edges ", "refs ", "feed ", "resources_history_" + today, "labels_history_" + today, "edges_history_" + today} {
			if strings.Contains(plan, "Seq Scan on "+table) {
				t.Errorf("%s:\n%s\n%s", name, sql, plan)
				return
			}
		}
	}}, dialect)
	storetest.HotPast(t.Context(), t, base, f, middle, func(n string) { name = n })
}
