// Command engine measures what a change costs in the graph of a cluster with 100,000 objects, and what such a graph weighs.
package main

import (
	"fmt"
	"os"
	"runtime"
	"slices"
	"strings"
	"time"

	"github.com/kubilitics/kubilitics/e2e/bench/measure"
	"github.com/kubilitics/kubilitics/shared/reduce"
	"github.com/kubilitics/kubilitics/shared/rules"
	"github.com/kubilitics/kubilitics/shared/topo"
	"github.com/kubilitics/kubilitics/shared/topo/topotest"
)

const (
	objects   = 100_000
	podRounds = 200_000
	svcRounds = 5_000
)

func main() {
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, "engine:", err)
		os.Exit(1)
	}
}

// bench is the graph, and the objects that are changed in it.
type bench struct {
	reducer *reduce.Reducer
	engine  *topo.Engine
	pods    []topo.Resource
	service topo.Resource
}

func run() error {
	table, err := rules.Default()
	if err != nil {
		return err
	}
	b := &bench{reducer: reduce.New(table)}
	before := heap()
	b.engine = topo.NewEngine(table)
	count := 0
	err = b.each(func(r *topo.Resource) {
		count++
		b.engine.Apply(topo.Change{Ref: r.Ref, Resource: r})
	})
	if err != nil {
		return err
	}
	weight := heap() - before
	nodes, edges := b.engine.Len()
	measure.Note("graph of %d objects: %d nodes, %d edges, %d bytes of heap", count, nodes, edges, weight)
	measure.Line("engine.heap_bytes_per_object", float64(weight)/float64(count), "B")
	if err := b.pick(); err != nil {
		return err
	}
	b.podUpdates()
	if err := b.selectorChanges(); err != nil {
		return err
	}
	return b.fullRowSet()
}

// heap is what is reachable, in bytes.
func heap() uint64 {
	for range 3 {
		runtime.GC()
	}
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}

// each reduces every object of the cluster.
func (b *bench) each(visit func(*topo.Resource)) (failed error) {
	topotest.Cluster(objects, func(apiVersion, kind string, raw []byte) {
		o, err := b.reducer.Reduce(kindOf(apiVersion, kind), raw, false)
		if err != nil {
			failed = err
			return
		}
		visit(&o.Resource)
	})
	return failed
}

// pick takes Pods from all over the cluster, and the Service hot-0.
func (b *bench) pick() error {
	n := 0
	return b.each(func(r *topo.Resource) {
		switch {
		case r.Ref.Kind == "Pod":
			if n++; n%50 == 0 {
				b.pods = append(b.pods, *r)
			}
		case r.Ref.Kind == "Service" && r.Ref.Name == "hot-0":
			b.service = *r
		}
	})
}

// podUpdates changes the status of one Pod after the other.
func (b *bench) podUpdates() {
	words := [...]string{"CrashLoopBackOff", "Running"}
	samples := make([]float64, podRounds)
	for i := range samples {
		r := b.pods[i%len(b.pods)]
		r.Status = words[i/len(b.pods)%2]
		r.Attrs = slices.Clone(r.Attrs)
		started := time.Now()
		b.engine.Apply(topo.Change{Ref: r.Ref, Resource: &r})
		samples[i] = micros(started)
	}
	report("engine.pod_update.100k", samples)
}

// selectorChanges makes the Service pick the hundred Pods of the other Deployment, and back.
func (b *bench) selectorChanges() error {
	other := b.service
	other.Facts = slices.Clone(other.Facts)
	for i, f := range other.Facts {
		other.Facts[i].Values = slices.Clone(f.Values)
		for j, v := range f.Values {
			other.Facts[i].Values[j] = strings.ReplaceAll(v, "hot-0", "hot-1")
		}
	}
	samples := make([]float64, svcRounds)
	for i := range samples {
		r := [...]topo.Resource{other, b.service}[i%2]
		started := time.Now()
		d := b.engine.Apply(topo.Change{Ref: r.Ref, Resource: &r})
		samples[i] = micros(started)
		if len(d.Edges) != 200 {
			return fmt.Errorf("the selector's change made %d changes of edges, not 100 out and 100 in", len(d.Edges))
		}
	}
	report("engine.service_selector.100k", samples)
	return nil
}

func micros(started time.Time) float64 { return float64(time.Since(started).Nanoseconds()) / 1e3 }

func report(name string, samples []float64) {
	measure.Note("%s: %d samples, p99 %.2f us", name, len(samples), measure.Quantile(samples, 0.99))
	measure.Line(name, measure.Quantile(samples, 0.5), "us")
}
