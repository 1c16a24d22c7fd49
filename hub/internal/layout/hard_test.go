package layout

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"time"
)

// hard are graphs of the largest size whose layers are many, wide or full of crossings.
func hard() map[string]Graph {
	plain := func() Graph {
		var g Graph
		for i := range MaxLayered {
			g.Nodes = append(g.Nodes, Node{Key: fmt.Sprint(i), Width: 150, Height: 48})
		}
		return g
	}
	r := rand.New(rand.NewPCG(1, 1))
	chain, hubs, dense, sparse := plain(), plain(), plain(), plain()
	for i := range MaxLayered - 1 {
		chain.Edges = append(chain.Edges, [2]int{i, i + 1})
	}
	for range 10 * MaxLayered {
		chain.Edges = append(chain.Edges, [2]int{r.IntN(MaxLayered), r.IntN(MaxLayered)})
		hubs.Edges = append(hubs.Edges, [2]int{r.IntN(20), 20 + r.IntN(MaxLayered-20)})
		dense.Edges = append(dense.Edges, [2]int{r.IntN(MaxLayered), r.IntN(MaxLayered)})
	}
	for range 2 * MaxLayered {
		sparse.Edges = append(sparse.Edges, [2]int{r.IntN(MaxLayered), r.IntN(MaxLayered)})
	}
	return map[string]Graph{"chain": chain, "hubs": hubs, "dense": dense, "sparse": sparse}
}

// However odd the graph, its layout takes seconds at most.
func TestHardGraphsEnd(t *testing.T) {
	for name, g := range hard() {
		start := time.Now()
		p := must(t)(Layered(g))
		took := time.Since(start)
		t.Logf("%s: %v, page %.0f x %.0f", name, took, p.Width, p.Height)
		if took > 5*time.Second {
			t.Errorf("%s took %v", name, took)
		}
	}
}
