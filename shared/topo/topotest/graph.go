package topotest

import (
	"fmt"
	"maps"
	"slices"

	"github.com/kubilitics/kubilitics/shared/topo"
)

// Graph is a graph as plain maps.
type Graph struct {
	Nodes map[topo.ID]topo.Node
	Edges map[topo.EdgeID]topo.Edge
}

// NewGraph gives an empty graph.
func NewGraph() Graph {
	return Graph{Nodes: map[topo.ID]topo.Node{}, Edges: map[topo.EdgeID]topo.Edge{}}
}

// Apply makes the changes, and fails on one that doesn't fit: what is added must not be there, the rest must.
func (g Graph) Apply(d topo.Diff) error {
	for _, c := range d.Nodes {
		if err := change(g.Nodes, c.Op, c.Node.Ref.ID(), c.Node); err != nil {
			return fmt.Errorf("%s: %w", c.Node.Ref, err)
		}
	}
	for _, c := range d.Edges {
		if err := change(g.Edges, c.Op, c.Edge.Key(), c.Edge); err != nil {
			return fmt.Errorf("%s: %w", c.Edge.String(), err)
		}
	}
	return g.closed()
}

func change[K comparable, V any](rows map[K]V, op topo.Op, key K, row V) error {
	_, there := rows[key]
	if there == (op == topo.Add) {
		return fmt.Errorf("%s, but there before: %t", op, there)
	}
	if rows[key] = row; op == topo.Remove {
		delete(rows, key)
	}
	return nil
}

// closed tells whether every edge has both its ends.
func (g Graph) closed() error {
	for _, e := range g.Edges {
		for _, end := range [...]topo.Ref{e.Source, e.Target} {
			if _, ok := g.Nodes[end.ID()]; !ok {
				return fmt.Errorf("edge %s lacks its end %s", e.String(), end)
			}
		}
	}
	return nil
}

// Lines lists the rows as the scenario language writes them, sorted.
func (g Graph) Lines() []string {
	var lines []string
	for _, n := range g.Nodes {
		lines = append(lines, "node "+NodeLine(&n))
	}
	for _, e := range g.Edges {
		lines = append(lines, "edge "+EdgeLine(&e))
	}
	slices.Sort(lines)
	return lines
}

// Read takes the whole graph out of an engine, row by row, and fails if its lists, digests and buckets disagree.
func Read(e *topo.Engine) (Graph, error) {
	g := NewGraph()
	var nodes, edges topo.Digest
	for _, id := range e.NodeIDs() {
		n, ok := e.Node(id)
		if !ok {
			return g, fmt.Errorf("no node %s", id)
		}
		g.Nodes[id] = n
		nodes[id.Bucket()].Add(n.Hash())
	}
	for _, id := range e.EdgeIDs() {
		edge, ok := e.Edge(id)
		if !ok || edge.Key() != id {
			return g, fmt.Errorf("edge %v read as %s", id, edge.String())
		}
		g.Edges[id] = edge
		edges[id.Source.Bucket()].Add(edge.Hash())
	}
	n, m := e.Len()
	if n != len(g.Nodes) || m != len(g.Edges) {
		return g, fmt.Errorf("it counts %d nodes and %d edges, and lists %d and %d", n, m, len(g.Nodes), len(g.Edges))
	}
	if gotNodes, gotEdges := e.Digests(); gotNodes != nodes || gotEdges != edges {
		return g, fmt.Errorf("its digests aren't those of its rows")
	}
	return g, buckets(e, nodes, edges)
}

func buckets(e *topo.Engine, nodes, edges topo.Digest) error {
	for i := range topo.Buckets {
		for table, want := range map[topo.Table]topo.Sum{topo.Nodes: nodes[i], topo.Edges: edges[i]} {
			var sum topo.Sum
			for _, row := range e.Rows(table, i) {
				sum.Add(row.Hash)
			}
			if sum != want {
				return fmt.Errorf("bucket %d of %s lists other rows than it sums", i, table)
			}
		}
	}
	return nil
}

// Compare says how two graphs differ; "" when they don't.
func Compare(got, want Graph) string {
	a, b := got.Lines(), want.Lines()
	if slices.Equal(a, b) {
		return ""
	}
	in := maps.Collect(func(yield func(string, bool) bool) {
		for _, l := range b {
			if !yield(l, true) {
				return
			}
		}
	})
	var out string
	for _, l := range a {
		if !in[l] {
			out += "  too much: " + l + "\n"
		}
		delete(in, l)
	}
	for _, l := range slices.Sorted(maps.Keys(in)) {
		out += "  lacks:    " + l + "\n"
	}
	return out
}
