// Command layoutbench measures what places cost: a layered layout of 1,000 nodes and a packed one of 50,000. It prints lines "bench NAME VALUE
// UNIT", and "# …" with what stands behind them.
package main

import (
	"fmt"
	"os"
	"runtime"
	"slices"
	"strconv"
	"time"

	"github.com/kubilitics/kubilitics/hub/internal/layout"
)

const rounds = 15

func main() {
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, "layoutbench:", err)
		os.Exit(1)
	}
}

func run() error {
	g := cluster(1000)
	var failed error
	report("layout.layered.1k", &g, func() {
		if _, err := layout.Layered(g); err != nil {
			failed = err
		}
	})
	if failed != nil {
		return failed
	}
	big := cluster(50_000)
	report("layout.packed.50k", &big, func() { layout.Packed(big) })
	return nil
}

// report measures f some times, after once unmeasured, and prints the median.
func report(name string, g *layout.Graph, f func()) {
	f()
	times := make([]time.Duration, rounds)
	for i := range times {
		runtime.GC()
		start := time.Now()
		f()
		times[i] = time.Since(start)
	}
	slices.Sort(times)
	ms := float64(times[rounds/2].Microseconds()) / 1000
	fmt.Printf("bench %s %s ms\n", name, strconv.FormatFloat(ms, 'g', 5, 64))
	fmt.Printf("# %d nodes, %d edges, median of %d, slowest %v\n", len(g.Nodes), len(g.Edges), rounds, times[rounds-1])
}

// cluster makes n nodes: applications of 20, ten in a namespace, each a deployment, its replica set, a service, an ingress, two of configuration, and
// the pods that they own, select and are mounted by; a hundred pods share a machine.
func cluster(n int) layout.Graph {
	g := layout.Graph{Nodes: make([]layout.Node, 0, n), Edges: make([][2]int, 0, 4*n)}
	add := func(key string, path ...string) int {
		g.Nodes = append(g.Nodes, layout.Node{Key: key, Width: 150, Height: 48, Path: path})
		return len(g.Nodes) - 1
	}
	link := func(from, to int) { g.Edges = append(g.Edges, [2]int{from, to}) }
	machines := n / 100
	for i := range machines {
		add("Node/"+strconv.Itoa(i), "cluster")
	}
	for app := 0; len(g.Nodes) < n; app++ {
		name := "app-" + strconv.Itoa(app)
		path := []string{"cluster", "team-" + strconv.Itoa(app/10), name}
		deployment, set, service := add("Deployment/"+name, path...), add("ReplicaSet/"+name, path...), add("Service/"+name, path...)
		ingress, config, secret := add("Ingress/"+name, path...), add("ConfigMap/"+name, path...), add("Secret/"+name, path...)
		link(deployment, set)
		link(ingress, service)
		for pod := 0; pod < 14 && len(g.Nodes) < n; pod++ {
			p := add("Pod/"+name+"-"+strconv.Itoa(pod), path...)
			for _, from := range []int{set, service} {
				link(from, p)
			}
			for _, to := range []int{config, secret, (app*7 + pod) % machines} {
				link(p, to)
			}
		}
	}
	return g
}
