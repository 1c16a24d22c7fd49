package main

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/kubilitics/kubilitics/hub/internal/fleet"
	"github.com/kubilitics/kubilitics/hub/internal/store"
	"github.com/kubilitics/kubilitics/shared/topo"
)

// bytes weighs the tables of history, with indexes and TOAST, before and after the changes.
func (b *bench) bytes(ctx context.Context, o options) error {
	c, err := b.load(ctx, "bytes", 0, o.pods)
	if err != nil {
		return err
	}
	before, err := b.weigh(ctx)
	if err != nil {
		return err
	}
	attrs := 0
	for i := range o.changes / 100 {
		if _, err := b.apply(ctx, c, i/(o.pods/100)+1, i, o.pods/100); err != nil {
			return err
		}
	}
	for _, p := range c.pods[0].Attrs {
		attrs += len(p.Key) + len(p.Value) + 6
	}
	after, err := b.weigh(ctx)
	if err != nil {
		return err
	}
	for _, name := range slices.Sorted(func(yield func(string) bool) {
		for n := range after {
			if !yield(n) {
				return
			}
		}
	}) {
		if grown := after[name] - before[name]; grown > 0 && name != "" {
			note("history.bytes_per_change: %s %.1f", name, float64(grown)/float64(o.changes))
		}
	}
	note("history.bytes_per_change: %d changes of %d pods with %d bytes of attributes", o.changes, o.pods, attrs)
	line("history.bytes_per_change", float64(after[""]-before[""])/float64(o.changes), "B")
	return nil
}

// weigh gives the size of each table and index of history, and under "" that of all.
func (b *bench) weigh(ctx context.Context) (map[string]int64, error) {
	rows, err := b.conn.Query(ctx, `SELECT c.relname, pg_relation_size(c.oid), pg_total_relation_size(c.oid), c.relkind FROM pg_class c
		WHERE c.relname LIKE '%\_history\_%' AND c.relkind IN ('r', 'i')`)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	sizes := map[string]int64{}
	for rows.Next() {
		var name string
		var own, total int64
		var kind rune
		if err := rows.Scan(&name, &own, &total, &kind); err != nil {
			return nil, err
		}
		sizes[name] = own
		if kind == 'r' {
			sizes[""] += total
		}
	}
	return sizes, rows.Err()
}

// at reads namespaces as they are and as they were when half of the changes had been.
func (b *bench) at(ctx context.Context, o options) error {
	var clusters []*cluster
	for n := range o.clusters {
		c, err := b.load(ctx, "at", n+1, o.objects)
		if err != nil {
			return err
		}
		clusters = append(clusters, c)
	}
	var half topo.Position
	for round := 1; round <= o.versions; round++ {
		for i := range o.objects / 100 {
			for _, c := range clusters {
				a, err := b.apply(ctx, c, round, i, o.objects/100)
				if err != nil {
					return err
				}
				if round == o.versions/2 {
					half = a.Position
				}
			}
		}
	}
	if _, err := b.conn.Exec(ctx, `VACUUM ANALYZE`); err != nil {
		return err
	}
	var now, then []time.Duration
	for i := range o.rounds {
		c := clusters[i%len(clusters)]
		name := fmt.Sprintf("team-%d", i/len(clusters)%(o.objects/namespace))
		for j, when := range []store.When{{}, {Position: half}} {
			took, err := b.page(ctx, c.at, when, name)
			if err != nil {
				return err
			}
			if j == 0 {
				now = append(now, took)
			} else {
				then = append(then, took)
			}
		}
	}
	p95 := func(d []time.Duration) time.Duration { slices.Sort(d); return d[len(d)*95/100] }
	a, z := p95(now), p95(then)
	note("store.at.vs_now: %d clusters of %d objects with %d versions; a namespace of %d and its edges: now median %v p95 %v; then median %v p95 %v",
		o.clusters, o.objects, o.versions, namespace, now[len(now)/2], a, then[len(then)/2], z)
	line("store.at.vs_now", z.Seconds()/a.Seconds(), "ratio")
	return b.diffs(ctx, clusters[0].at, half, o)
}

// diffs compares now with when half of the changes had been.
func (b *bench) diffs(ctx context.Context, at store.Scope, half topo.Position, o options) error {
	view := fleet.View{Tenant: at.Tenant, Everything: true}
	one := store.Filter{View: view, Clusters: []fleet.ClusterID{at.Cluster}}
	narrow := one
	narrow.Namespaces = []string{"team-1"}
	for _, c := range []struct {
		name   string
		filter store.Filter
		rows   int
	}{{"namespace", narrow, namespace}, {"cluster", one, 100}, {"fleet", store.Filter{View: view}, 100}} {
		var took []time.Duration
		for range 21 {
			start := time.Now()
			err := b.s.Read(ctx, at.Tenant, func(ctx context.Context, s store.Snapshot) error {
				rows, err := s.RowChanges(ctx, c.filter, half, nil, c.rows)
				if err == nil && len(rows) != c.rows {
					err = fmt.Errorf("%d rows differ, not %d", len(rows), c.rows)
				}
				return err
			})
			if err != nil {
				return err
			}
			took = append(took, time.Since(start))
		}
		slices.Sort(took)
		note("store.diff: the first %d changes in a %s of what changed %d times: median %v", c.rows, c.name, o.versions-o.versions/2, took[len(took)/2])
	}
	return nil
}

// page reads a namespace and all edges of what is in it.
func (b *bench) page(ctx context.Context, at store.Scope, when store.When, name string) (time.Duration, error) {
	start := time.Now()
	err := b.s.ReadAt(ctx, at.Tenant, when, func(ctx context.Context, s store.Snapshot) error {
		view := fleet.View{Tenant: at.Tenant, Everything: true}
		rows, err := s.Resources(ctx, store.Filter{View: view, Clusters: []fleet.ClusterID{at.Cluster}, Namespaces: []string{name}, Placeholders: true}, nil, 1000)
		if err != nil {
			return err
		}
		if len(rows) != namespace {
			return fmt.Errorf("%d rows, not %d", len(rows), namespace)
		}
		ids := make([]topo.ID, len(rows))
		for i := range rows {
			ids[i] = rows[i].ID
		}
		edges := 0
		for part := range slices.Chunk(ids, 200) {
			found, err := s.EdgesOf(ctx, at, part, store.Both, nil, 10000)
			if err != nil {
				return err
			}
			edges += len(found)
		}
		if edges < namespace {
			return fmt.Errorf("only %d edges", edges)
		}
		return nil
	})
	return time.Since(start), err
}
