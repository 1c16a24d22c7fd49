package query

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/kubilitics/kubilitics/hub/internal/query/querytest"
	"github.com/kubilitics/kubilitics/hub/internal/store"
	"github.com/kubilitics/kubilitics/shared/topo"
)

// within gives the distance of what is within some steps of a node.
func within(next map[topo.ID][]topo.ID, from topo.ID, depth int) map[topo.ID]int {
	dist, front := map[topo.ID]int{from: 0}, []topo.ID{from}
	for d := 1; d <= depth; d++ {
		var on []topo.ID
		for _, id := range front {
			for _, n := range next[id] {
				if _, seen := dist[n]; !seen {
					dist[n] = d
					on = append(on, n)
				}
			}
		}
		front = on
	}
	return dist
}

func TestNeighbourhoodsAgreeWithANaiveWalk(t *testing.T) {
	st, p := fresh(t)
	rng := rand.New(rand.NewPCG(3, 4))
	q := New(st)
	for i := range 6 {
		d := random(rng, 25, 15+8*i)
		c := querytest.New(t, st, p.Tenant, fmt.Sprint("c", i)).Load(d)
		for range 15 {
			from, depth := querytest.Ref(vertex(rng.IntN(25))).ID(), 1+rng.IntN(4)
			dir := []store.Direction{store.Both, store.Out, store.Into}[rng.IntN(3)]
			types := [][]topo.EdgeType{nil, {topo.Owns}}[rng.IntN(2)]
			g, err := q.Around(t.Context(), p, Neighbourhood{Cluster: c.ID, Focus: from, Depth: depth, Direction: dir, Types: types})
			if err != nil || g.Truncated != nil {
				t.Fatal(g.Truncated, err)
			}
			want := within(naive(d, dir, types...), from, depth)
			compareGraph(t, g, d, want, func(e *topo.Edge) bool {
				s, sok := want[e.Source.ID()]
				o, ook := want[e.Target.ID()]
				switch {
				case !sok || !ook || (len(types) > 0 && !slices.Contains(types, e.Type)):
					return false
				case dir == store.Out:
					return s < depth
				case dir == store.Into:
					return o < depth
				}
				return true
			})
		}
	}
}

// compareGraph looks whether a graph is these nodes at these distances, and just the edges that are meant.
func compareGraph(t *testing.T, g *Graph, d topo.Delta, nodes map[topo.ID]int, meant func(*topo.Edge) bool) {
	t.Helper()
	got := map[topo.ID]int{}
	for _, n := range g.Nodes {
		id, _ := topo.ParseID(n.ID)
		got[id] = *n.Depth
	}
	if !maps.Equal(got, nodes) {
		t.Fatalf("%d nodes %v\nwant %d %v", len(got), got, len(nodes), nodes)
	}
	edges := map[string]bool{}
	for _, e := range g.Edges {
		edges[e.Source.ID+e.ID] = true
	}
	if len(edges) != len(g.Edges) {
		t.Fatal("an edge is there twice")
	}
	for i := range d.Edges {
		key := d.Edges[i].Key()
		if edges[key.Source.String()+key.ID.String()] != meant(&d.Edges[i]) {
			t.Fatalf("%s is in the answer: %t", d.Edges[i].String(), !meant(&d.Edges[i]))
		}
	}
}

// What has too many edges takes its fan and no more, is marked, and takes no place from the others.
func TestAHubTakesItsFan(t *testing.T) {
	st, p := fresh(t)
	d := hub(300)
	for i := range 5 {
		d.Nodes = append(d.Nodes, querytest.Node(fmt.Sprint("Secret shop/s", i)))
		d.Edges = append(d.Edges, querytest.Edge("Pod shop/p000007", topo.Mounts, fmt.Sprint("Secret shop/s", i)))
	}
	c := querytest.New(t, st, p.Tenant, "c").Load(d)
	ask := Neighbourhood{Cluster: c.ID, Focus: querytest.Ref("Pod shop/p000007").ID(), Depth: 2, Fan: 40}
	g, err := New(st).Around(t.Context(), p, ask)
	if err != nil {
		t.Fatal(err)
	}
	kinds := map[string]int{}
	for _, n := range g.Nodes {
		kinds[n.Kind]++
		if n.More != (n.Name == "big") {
			t.Errorf("%s is marked: %t", n.Name, n.More)
		}
	}
	if kinds["Secret"] != 5 || kinds["Node"] != 1 || kinds["Pod"] < 40 || kinds["Pod"] > 70 || g.Truncated == nil || g.Truncated.Hint == "" {
		t.Errorf("%v, %+v", kinds, g.Truncated)
	}
	ask.Focus, ask.Depth = querytest.Ref("Node big").ID(), 1
	if g, err = New(st).Around(t.Context(), p, ask); err != nil || len(g.Nodes) != 301 || g.Truncated != nil {
		t.Errorf("of a focus everything is told: %d nodes, %+v, %v", len(g.Nodes), g.Truncated, err)
	}
}

// Many hubs at the same distance don't starve each other.
func TestManyHubs(t *testing.T) {
	st, p := fresh(t)
	d := topo.Delta{Nodes: []topo.Node{querytest.Node("Service s/all")}}
	for n := range 8 {
		node := fmt.Sprint("Node n", n)
		d.Nodes = append(d.Nodes, querytest.Node(node))
		d.Edges = append(d.Edges, querytest.Edge("Service s/all", topo.Routes, node))
		for i := range 60 {
			pod := fmt.Sprintf("Pod s/p%d-%d", n, i)
			d.Nodes = append(d.Nodes, querytest.Node(pod))
			d.Edges = append(d.Edges, querytest.Edge(pod, topo.RunsOn, node))
		}
	}
	c := querytest.New(t, st, p.Tenant, "c").Load(d)
	g, err := New(st).Around(t.Context(), p, Neighbourhood{Cluster: c.ID, Focus: querytest.Ref("Service s/all").ID(), Depth: 2, Fan: 10})
	if err != nil {
		t.Fatal(err)
	}
	pods, marked := map[string]int{}, 0
	for _, n := range g.Nodes {
		if n.Kind == "Pod" {
			pods[n.Name[:2]]++
		}
		if n.More {
			marked++
		}
	}
	for n := range 8 {
		if got := pods[fmt.Sprint("p", n)]; got < 9 || got > 10 {
			t.Errorf("%d Pods of Node n%d", got, n)
		}
	}
	if marked != 8 || g.Truncated == nil {
		t.Errorf("%d nodes marked, %+v", marked, g.Truncated)
	}
}
