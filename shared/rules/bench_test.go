package rules_test

import (
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/kubilitics/kubilitics/shared/reduce"
	"github.com/kubilitics/kubilitics/shared/rules"
	"github.com/kubilitics/kubilitics/shared/topo"
	"github.com/kubilitics/kubilitics/shared/topo/topotest"
)

const (
	large  = 100_000
	medium = 20_000 // enough to see what an object weighs, also under the race detector
)

// cluster is a graph of a large cluster, with what benchmarks change in it.
type cluster struct {
	engine  *topo.Engine
	reducer *reduce.Reducer
	pods    []topo.Resource // without labels and attributes shared with the engine
	service topo.Resource   // picks the pods of hot-0
	bytes   float64         // of heap, an object
}

func heapInUse() uint64 {
	for range 3 {
		runtime.GC()
	}
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}

// build fills an engine. The heap is measured before anything else is kept of the objects.
func build(size int) *cluster {
	table, err := rules.Default()
	if err != nil {
		panic(err)
	}
	c := &cluster{reducer: reduce.New(table)}
	reduced := func(apiVersion, kind string, raw []byte) topo.Resource {
		k := reduce.Kind{GroupKind: topo.GroupKind{Kind: kind}, Version: apiVersion}
		if group, version, ok := strings.Cut(apiVersion, "/"); ok {
			k.Group, k.Version = group, version
		}
		o, err := c.reducer.Reduce(k, raw, false)
		if err != nil {
			panic(err)
		}
		return o.Resource
	}
	before := heapInUse()
	c.engine = topo.NewEngine(table)
	objects := 0
	topotest.Cluster(size, func(apiVersion, kind string, raw []byte) {
		r := reduced(apiVersion, kind, raw)
		c.engine.Apply(topo.Change{Ref: r.Ref, Resource: &r})
		objects++
	})
	c.bytes = float64(heapInUse()-before) / float64(objects)
	topotest.Cluster(size, func(apiVersion, kind string, raw []byte) {
		switch r := reduced(apiVersion, kind, raw); {
		case kind == "Pod" && len(c.pods) < 1000:
			c.pods = append(c.pods, r)
		case kind == "Service" && r.Ref.Name == "hot-0":
			c.service = r
		}
	})
	return c
}

var built = sync.OnceValue(func() *cluster { return build(large) })

// BenchmarkPodUpdate100k is a Pod status change, from Resource to Diff.
func BenchmarkPodUpdate100k(b *testing.B) {
	c := built()
	words := [...]string{"Running", "CrashLoopBackOff"}
	b.ReportMetric(c.bytes, "heap-B/object")
	b.ReportAllocs()
	b.ResetTimer()
	for i := range b.N {
		r := c.pods[i%len(c.pods)]
		r.Status = words[i/len(c.pods)%2]
		r.Attrs = slices.Clone(r.Attrs)
		r.Attrs[len(r.Attrs)-1].Value = words[i/len(c.pods)%2]
		c.engine.Apply(topo.Change{Ref: r.Ref, Resource: &r})
	}
}

// BenchmarkServiceSelector100k is a change of a selector that moves 100 Pods: those of one Deployment go, those of the
// other come.
func BenchmarkServiceSelector100k(b *testing.B) {
	c := built()
	other := c.service
	other.Facts = slices.Clone(c.service.Facts)
	for i := range other.Facts {
		other.Facts[i].Values = slices.Clone(other.Facts[i].Values)
		for j, v := range other.Facts[i].Values {
			other.Facts[i].Values[j] = strings.ReplaceAll(v, "hot-0", "hot-1")
		}
	}
	back := c.service
	c.engine.Apply(topo.Change{Ref: back.Ref, Resource: &back})
	b.ReportAllocs()
	b.ResetTimer()
	for i := range b.N {
		r := []topo.Resource{other, c.service}[i%2]
		d := c.engine.Apply(topo.Change{Ref: r.Ref, Resource: &r})
		if len(d.Edges) != 200 {
			b.Fatalf("%d edges moved", len(d.Edges))
		}
	}
}

// BenchmarkDigests100k sums up the whole graph, as when an agent connects again.
func BenchmarkDigests100k(b *testing.B) {
	c := built()
	b.ReportAllocs()
	b.ResetTimer()
	for range b.N {
		c.engine.Digests()
	}
}

// TestWeight holds what the graph of a realistic cluster may weigh, and that its rows can be read one by one.
func TestWeight(t *testing.T) {
	c := build(medium)
	nodes, edges := c.engine.Len()
	t.Logf("%d nodes, %d edges, %.0f bytes of heap an object", nodes, edges, c.bytes)
	if c.bytes > 800 {
		t.Errorf("%.0f bytes of heap an object, 800 are promised", c.bytes)
	}
	if _, err := topotest.Read(c.engine); err != nil {
		t.Error(err)
	}
}
