// Command querybench measures what answers cost on a large store: 200 clusters, 1,000,000 resources, 2,000,000 edges, on Postgres. Each result is a
// line "bench NAME VALUE UNIT", in milliseconds unless it is a ratio; what was asked and how much came back stands in the notes.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"os/signal"
	"runtime/pprof"
	"slices"
	"syscall"
	"time"

	"github.com/kubilitics/kubilitics/hub/internal/fleet"
	"github.com/kubilitics/kubilitics/hub/internal/query"
	"github.com/kubilitics/kubilitics/hub/internal/store"
	"github.com/kubilitics/kubilitics/hub/internal/store/bigstore"
	"github.com/kubilitics/kubilitics/shared/pgtest"
	"github.com/kubilitics/kubilitics/shared/topo"
)

func main() {
	rounds := flag.Int("rounds", 200, "questions of each kind")
	only := flag.String("only", "", "measure this figure alone")
	profile := flag.String("cpuprofile", "", "write a CPU profile to this file")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := profiled(*profile, func() error { return run(ctx, *rounds, *only) })
	stop()
	if errors.Is(err, pgtest.ErrNone) {
		fmt.Println("# NOTHING WAS MEASURED:", err)
		return
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "querybench:", err)
		os.Exit(1)
	}
}

// profiled runs fn under the profiler, where there is a file to write to.
func profiled(file string, fn func() error) (err error) {
	if file == "" {
		return fn()
	}
	f, err := os.Create(file)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	if err := pprof.StartCPUProfile(f); err != nil {
		return err
	}
	defer pprof.StopCPUProfile()
	return fn()
}

func note(format string, args ...any) { fmt.Printf("# "+format+"\n", args...) }

// bench asks questions of the big store, with the same random choices in each run.
type bench struct {
	*bigstore.Big
	query  *query.Querier
	who    fleet.Principal
	rounds int
	random *rand.Rand
}

func run(ctx context.Context, rounds int, only string) (err error) {
	big, err := bigstore.Open(ctx, note)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, big.Close()) }()
	b := &bench{
		Big: big, query: query.New(big), rounds: rounds, random: rand.New(rand.NewPCG(1, 2)),
		who: fleet.Principal{Tenant: big.Tenant, Name: "bench", Bindings: []fleet.Binding{{Verbs: []string{"*"}, Clusters: []string{"*"}, Namespaces: []string{"*"}}}},
	}
	for _, f := range []struct {
		name string
		fn   func(context.Context) error
	}{
		{"topology.neighbourhood", b.neighbourhood}, {"topology.namespace", b.namespace}, {"topology.cluster.aggregate", b.aggregate},
		{"topology.at", b.past}, {"list.label_page", b.labels}, {"search", b.search},
	} {
		if only != "" && only != f.name {
			continue
		}
		if err := f.fn(ctx); err != nil {
			return fmt.Errorf("%s: %w", f.name, err)
		}
	}
	return nil
}

// sample is the time of some questions and the size of their answers.
type sample struct {
	took  []time.Duration
	size  int
	extra int
}

// measure asks a question several times, after a few that warm the caches up; ask gives two sizes of the answer.
func (b *bench) measure(ctx context.Context, ask func(context.Context) (size, extra int, err error)) (*sample, error) {
	s := &sample{}
	for i := range b.rounds + b.rounds/5 {
		began := time.Now()
		size, extra, err := ask(ctx)
		if err != nil {
			return nil, err
		}
		if i < b.rounds/5 {
			continue
		}
		s.took = append(s.took, time.Since(began))
		s.size, s.extra = s.size+size, s.extra+extra
	}
	return s, nil
}

func (s *sample) quantile(q float64) time.Duration {
	slices.Sort(s.took)
	return s.took[min(len(s.took)-1, int(q*float64(len(s.took))))]
}

func (s *sample) p95(name, what string) {
	fmt.Printf("bench %s %.4g ms\n", name, ms(s.quantile(0.95)))
	note("%s: %d questions, p50 %.4g ms, p99 %.4g ms; an answer has %d %s", name, len(s.took), ms(s.quantile(0.5)), ms(s.quantile(0.99)), s.size/len(s.took), fmt.Sprintf(what, s.extra/len(s.took)))
}

func ms(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }

func (b *bench) cluster() fleet.ClusterID { return b.Clusters[b.random.IntN(len(b.Clusters))].ID }

// named finds a cluster by its number in the shape.
func (b *bench) named(n int) fleet.ClusterID {
	i := slices.IndexFunc(b.Clusters, func(c fleet.Cluster) bool { return c.Name == bigstore.ClusterName(n) })
	return b.Clusters[i].ID
}

func (b *bench) focus() topo.Ref {
	space := b.random.IntN(10)
	app := bigstore.App(space*25 + b.random.IntN(25))
	ref := topo.Ref{Namespace: bigstore.Namespace(space), Name: app}
	switch b.random.IntN(3) {
	case 0:
		ref.Kind = "Service"
	case 1:
		ref.Group, ref.Kind = "apps", "Deployment"
	default:
		ref.Kind, ref.Name = "ConfigMap", app+"-config"
	}
	return ref
}

func (b *bench) neighbourhood(ctx context.Context) error {
	for _, ask := range []struct {
		name  string
		types []topo.EdgeType
	}{{"topology.neighbourhood.d3.p95", nil}, {"topology.neighbourhood.d3.owns_routes.p95", []topo.EdgeType{topo.Owns, topo.Routes, topo.Selects, topo.Mounts}}} {
		s, err := b.measure(ctx, func(ctx context.Context) (int, int, error) {
			g, err := b.query.Around(ctx, b.who, query.Neighbourhood{Cluster: b.cluster(), Focus: b.focus().ID(), Depth: 3, Types: ask.types})
			if err != nil {
				return 0, 0, err
			}
			return len(g.Nodes), len(g.Edges), nil
		})
		if err != nil {
			return err
		}
		s.p95(ask.name, "nodes and %d edges")
	}
	return nil
}

// graphOf asks for the topology of a namespace of 500 objects.
func (b *bench) graphOf(ctx context.Context, cluster fleet.ClusterID, at store.When) (int, int, error) {
	g, err := b.query.Graph(ctx, b.who, query.GraphQuestion{Where: query.Where{
		Clusters: []fleet.ClusterID{cluster}, Namespaces: []string{bigstore.Namespace(b.random.IntN(10))}, At: at,
	}})
	if err != nil {
		return 0, 0, err
	}
	return len(g.Nodes), len(g.Edges), nil
}

func (b *bench) namespace(ctx context.Context) error {
	s, err := b.measure(ctx, func(ctx context.Context) (int, int, error) { return b.graphOf(ctx, b.cluster(), store.When{}) })
	if err == nil {
		s.p95("topology.namespace.p95", "nodes and %d edges")
	}
	return err
}

// past compares a namespace at a past moment, in the clusters with a past, with the same now; the two take turns.
func (b *bench) past(ctx context.Context) error {
	var now, then sample
	for i := range 2*b.rounds + b.rounds/5 {
		cluster := b.named(1 + b.random.IntN(20))
		for _, turn := range []struct {
			s  *sample
			at store.When
		}{{&now, store.When{}}, {&then, store.When{Position: b.Before}}} {
			began := time.Now()
			nodes, edges, err := b.graphOf(ctx, cluster, turn.at)
			if err != nil {
				return err
			}
			if i >= b.rounds/5 {
				turn.s.took = append(turn.s.took, time.Since(began))
				turn.s.size, turn.s.extra = turn.s.size+nodes, turn.s.extra+edges
			}
		}
	}
	fmt.Printf("bench topology.at.vs_now %.4g ratio\n", ms(then.quantile(0.95))/ms(now.quantile(0.95)))
	note("topology.at.vs_now: p95 %.4g ms then, %.4g ms now; p50 %.4g and %.4g; answers have %d nodes then, %d now", ms(then.quantile(0.95)), ms(now.quantile(0.95)),
		ms(then.quantile(0.5)), ms(now.quantile(0.5)), then.size/len(then.took), now.size/len(now.took))
	return nil
}
