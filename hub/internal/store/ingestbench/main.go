// Command ingestbench measures how near the store's writers come to what the bare database can do: the same rows into the same tables with the
// same indexes and durability, in the same run, in turns. Each result is a line "bench NAME VALUE UNIT".
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"runtime/pprof"
	"slices"
	"syscall"
	"time"

	"github.com/kubilitics/kubilitics/hub/internal/fleet"
	"github.com/kubilitics/kubilitics/hub/internal/store"
	"github.com/kubilitics/kubilitics/shared/pgtest"
	"github.com/kubilitics/kubilitics/shared/topo"
)

type options struct {
	bodies  string
	objects int
	rounds  int
	batches int
	chunk   int
	profile string
	only    string

	unsettled bool
}

func main() {
	var o options
	flag.StringVar(&o.bodies, "bodies", "both", "postgres, sqlite or both")
	flag.IntVar(&o.objects, "objects", 100_000, "resources of the first sync; edges are twice as many")
	flag.IntVar(&o.rounds, "rounds", 5, "first syncs measured")
	flag.IntVar(&o.batches, "batches", 300, "diffs measured, of 100 changes each")
	flag.IntVar(&o.chunk, "chunk", 8192, "rows handed to the store at once in a first sync")
	flag.StringVar(&o.profile, "cpuprofile", "", "write a CPU profile to this file")
	flag.BoolVar(&o.unsettled, "unsettled", false, "measure diffs without the planner's statistics, as right after a first load")
	flag.StringVar(&o.only, "only", "", "snapshot or delta")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := run(ctx, o)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "ingestbench:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, o options) error {
	if o.profile != "" {
		f, err := os.Create(o.profile)
		if err != nil {
			return err
		}
		defer f.Close()
		if err := pprof.StartCPUProfile(f); err != nil {
			return err
		}
		defer pprof.StopCPUProfile()
	}
	if o.bodies != "sqlite" {
		if err := runPostgres(ctx, o); err != nil {
			return err
		}
	}
	if o.bodies != "postgres" {
		return runSQLite(ctx, o)
	}
	return nil
}

func runPostgres(ctx context.Context, o options) (err error) {
	server, err := pgtest.Start(ctx, true)
	if errors.Is(err, pgtest.ErrNone) {
		fmt.Println("# NOTHING OF POSTGRES WAS MEASURED:", err)
		return nil
	}
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, server.Stop()) }()
	b, err := openPostgres(ctx, server.DSN)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, b.close()) }()
	return measure(ctx, "postgres", b, o)
}

func runSQLite(ctx context.Context, o options) (err error) {
	dir, err := os.MkdirTemp("", "ingestbench-")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	b, err := openSQLite(ctx, dir)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, b.close()) }()
	return measure(ctx, "sqlite", b, o)
}

// body is a database with both ways to write to it.
type body interface {
	store() store.Store
	// bareLoad writes the rows of a first load in one transaction, as fast as the driver can.
	bareLoad(ctx context.Context, at store.Scope, r *loadRows) error
	// bareDelta writes what one diff changes in one transaction.
	bareDelta(ctx context.Context, at store.Scope, d *deltaRows) error
	// fresh empties the database and brings it to rest.
	fresh(ctx context.Context) error
	// settle brings the database to the state it has some time after a first load.
	settle(ctx context.Context) error
	close() error
}

func measure(ctx context.Context, name string, b body, o options) error {
	if o.only != "delta" {
		if err := measureLoad(ctx, name, b, o); err != nil {
			return err
		}
	}
	if o.only != "snapshot" {
		return measureDeltas(ctx, name, b, o)
	}
	return nil
}

func measureLoad(ctx context.Context, name string, b body, o options) error {
	graph := newGraph(o.objects)
	rows := bareRows(graph)
	var ours, bare []time.Duration
	for i := range o.rounds + 1 {
		for _, step := range turns(i, func() error {
			d, err := timeLoad(ctx, b, graph, o.chunk)
			ours = append(ours, d)
			return err
		}, func() error {
			d, err := timeBareLoad(ctx, b, rows)
			bare = append(bare, d)
			return err
		}) {
			if err := b.fresh(ctx); err != nil {
				return err
			}
			if err := step(); err != nil {
				return err
			}
		}
	}
	ours, bare = ours[1:], bare[1:] // the first round warms up
	note("ingest.snapshot.%s: %d resources, %d edges, %d labels, %d refs, %d sums: %d rows; %d rounds in turns; ours median %v %v; bare median %v %v",
		name, len(graph.Nodes), len(graph.Edges), len(rows.labels), len(graph.Nodes), len(rows.sums), rows.count(), o.rounds, median(ours), ours, median(bare), bare)
	line("ingest.snapshot."+name+".vs_copy", ratio(bare, ours), "ratio")
	line("ingest.snapshot."+name+".rows_per_s", float64(rows.count())/median(ours).Seconds(), "rows/s")
	return nil
}

// turns gives both steps, each first every other time.
func turns(i int, a, b func() error) []func() error {
	if i%2 == 0 {
		return []func() error{a, b}
	}
	return []func() error{b, a}
}

func newScope(ctx context.Context, s store.Store, tenant string) (store.Scope, error) {
	t, err := s.EnsureTenant(ctx, tenant)
	if err != nil {
		return store.Scope{}, err
	}
	at := store.Scope{Tenant: t.ID, Cluster: fleet.NewClusterID()}
	return at, s.CreateCluster(ctx, fleet.Cluster{Tenant: t.ID, ID: at.Cluster, Name: at.Cluster.String(), Created: time.Now()})
}

// timeLoad measures a first sync until its rows can be read.
func timeLoad(ctx context.Context, b body, d *topo.Delta, chunk int) (time.Duration, error) {
	at, err := newScope(ctx, b.store(), "bench")
	if err != nil {
		return 0, err
	}
	c, err := b.store().OpenSession(ctx, at, store.Hello{KubeUID: "u", Share: fleet.ShareManifests})
	if err != nil {
		return 0, err
	}
	start := time.Now()
	l, err := b.store().BeginLoad(ctx, at, c.Epoch)
	if err != nil {
		return 0, err
	}
	for nodes := range slices.Chunk(d.Nodes, chunk) {
		if bad, err := l.Add(ctx, topo.Delta{Nodes: nodes}); err != nil || len(bad) > 0 {
			return 0, errors.Join(err, refusedAny(bad))
		}
	}
	for edges := range slices.Chunk(d.Edges, chunk) {
		if bad, err := l.Add(ctx, topo.Delta{Edges: edges}); err != nil || len(bad) > 0 {
			return 0, errors.Join(err, refusedAny(bad))
		}
	}
	if _, err := l.Commit(ctx, 1, topo.Delta{}); err != nil {
		return 0, err
	}
	err = b.store().Read(ctx, at.Tenant, func(ctx context.Context, s store.Snapshot) error {
		rows, err := s.Resources(ctx, store.Filter{View: fleet.View{Tenant: at.Tenant, Everything: true}}, nil, 10)
		if err == nil && len(rows) != 10 {
			err = errors.New("the rows can't be read")
		}
		return err
	})
	return time.Since(start), err
}

func refusedAny(bad []store.Quarantined) error {
	if len(bad) == 0 {
		return nil
	}
	return fmt.Errorf("%d rows were refused, the first: %s", len(bad), bad[0].Reason)
}

func timeBareLoad(ctx context.Context, b body, rows *loadRows) (time.Duration, error) {
	at, err := newScope(ctx, b.store(), "bare")
	if err != nil {
		return 0, err
	}
	start := time.Now()
	err = b.bareLoad(ctx, at, rows)
	return time.Since(start), err
}

// measureDeltas loads the same cluster twice, and has the store and the bare statements apply the same diffs in turns, each to its own.
func measureDeltas(ctx context.Context, name string, b body, o options) error {
	if err := b.fresh(ctx); err != nil {
		return err
	}
	graph := newGraph(o.objects)
	var scopes [2]store.Scope
	for i, tenant := range []string{"bench", "bare"} {
		at, err := newScope(ctx, b.store(), tenant)
		if err != nil {
			return err
		}
		scopes[i] = at
		if err := b.bareLoad(ctx, at, bareRows(graph)); err != nil {
			return err
		}
	}
	if !o.unsettled {
		if err := b.settle(ctx); err != nil {
			return err
		}
	}
	c, err := b.store().OpenSession(ctx, scopes[0], store.Hello{KubeUID: "u", Share: fleet.ShareManifests})
	if err != nil {
		return err
	}
	m := newModel(graph)
	var ours, bare []time.Duration
	warm := o.batches / 10
	for i := range o.batches + warm {
		d := m.delta(i)
		rows, err := m.rows(d)
		if err != nil {
			return err
		}
		for _, step := range turns(i, func() error {
			start := time.Now()
			a, err := b.store().Apply(ctx, store.Batch{Scope: scopes[0], Epoch: c.Epoch, Seq: int64(i + 1), Delta: *d})
			ours = append(ours, time.Since(start))
			if err == nil && a.Changed != 100 {
				err = fmt.Errorf("%d rows changed, not 100", a.Changed)
			}
			return err
		}, func() error {
			start := time.Now()
			err := b.bareDelta(ctx, scopes[1], rows)
			bare = append(bare, time.Since(start))
			return err
		}) {
			if err := step(); err != nil {
				return err
			}
		}
	}
	ours, bare = ours[warm:], bare[warm:]
	note("ingest.delta.%s: %d diffs of 100 changes in turns, on %d resources; ours median %v p95 %v; bare median %v p95 %v",
		name, o.batches, o.objects, median(ours), quantile(ours, 0.95), median(bare), quantile(bare, 0.95))
	line("ingest.delta."+name+".vs_upsert", ratio(bare, ours), "ratio")
	line("ingest.delta."+name+".changes_per_s", 100/median(ours).Seconds(), "changes/s")
	return nil
}

func quantile(d []time.Duration, q float64) time.Duration {
	sorted := slices.Sorted(slices.Values(d))
	return sorted[min(len(sorted)-1, int(q*float64(len(sorted))))]
}

func median(d []time.Duration) time.Duration { return quantile(d, 0.5) }

func ratio(num, den []time.Duration) float64 { return median(num).Seconds() / median(den).Seconds() }

func line(name string, value float64, unit string) {
	fmt.Printf("bench %s %.4g %s\n", name, value, unit)
}

func note(format string, args ...any) { fmt.Printf("# "+format+"\n", args...) }
