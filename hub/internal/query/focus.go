package query

import (
	"context"

	"github.com/kubilitics/kubilitics/hub/internal/fleet"
	"github.com/kubilitics/kubilitics/hub/internal/store"
	"github.com/kubilitics/kubilitics/shared/fault"
	"github.com/kubilitics/kubilitics/shared/topo"
)

// Bounds of a neighbourhood.
const (
	DefaultDepth      = 1
	MaxDepth          = 10
	DefaultNeighbours = 1000
)

// Neighbourhood asks for what is within a number of steps of one node.
type Neighbourhood struct {
	Cluster   fleet.ClusterID
	Focus     topo.ID
	Depth     int // 0: DefaultDepth
	Direction store.Direction
	Types     []topo.EdgeType // none: all
	Limit     int             // nodes; 0: DefaultNeighbours
	At        store.When
}

func (n Neighbourhood) complete() (Neighbourhood, error) {
	var err error
	if n.Limit, err = (Page{Limit: n.Limit}).limit(DefaultNeighbours, MaxNodes); err != nil {
		return n, err
	}
	if n.Depth == 0 {
		n.Depth = DefaultDepth
	}
	if n.Depth < 0 || n.Depth > MaxDepth {
		return n, fault.New(fault.BadRequest, "the depth is out of range").WithField("depth", "must be from 1 to %d", MaxDepth)
	}
	if n.Direction == "" {
		n.Direction = store.Both
	}
	return n, nil
}

// Around answers a Neighbourhood: it costs what it returns, one query for edges and one for nodes a step. NotFound when the focus isn't there.
func (q *Querier) Around(ctx context.Context, p fleet.Principal, n Neighbourhood) (*Graph, error) {
	n, err := n.complete()
	if err != nil {
		return nil, err
	}
	var out *Graph
	err = q.read(ctx, scope{p, fleet.Get, []fleet.ClusterID{n.Cluster}, n.At}, func(ctx context.Context, r *reading) error {
		w := &walk{
			builder: newBuilder(r, GraphQuestion{Types: n.Types}, n.Limit), ask: n,
			at: store.Scope{Tenant: p.Tenant, Cluster: n.Cluster},
		}
		out, err = w.run(ctx)
		return err
	})
	return out, err
}

// walk goes outwards from the focus, a step at a time.
type walk struct {
	*builder
	ask      Neighbourhood
	at       store.Scope
	frontier []topo.ID
	cut      bool
}

func (w *walk) run(ctx context.Context) (*Graph, error) {
	row, err := w.one(ctx, w.at, w.ask.Focus)
	if err != nil {
		return nil, err
	}
	if row == nil {
		return nil, fault.New(fault.NotFound, "the focus isn't in the graph")
	}
	w.place(row, 0)
	for depth := 1; depth <= w.ask.Depth && len(w.frontier) > 0 && !w.cut; depth++ {
		if err := w.step(ctx, depth); err != nil {
			return nil, err
		}
	}
	if err := w.closeRing(ctx); err != nil {
		return nil, err
	}
	w.out.Meta = w.meta(nil)
	if w.cut {
		w.out.Truncated = &Truncation{
			Reason: "there are more nodes or edges within that depth than fit into one answer; the nodes marked \"more\" have some that are left out",
			Hint:   "raise limit, lower depth, restrict by type or direction, or take one of the nodes as focus",
		}
	}
	return w.out, nil
}

func (w *walk) place(row *store.Row, depth int) {
	w.frontier = append(w.frontier, row.ID)
	w.add(row, GraphNode{Depth: &depth})
}

// step adds what is one step further than the frontier. Where not all of it fits, the frontier's nodes are marked, and edges to nodes that
// were left out are left out too.
func (w *walk) step(ctx context.Context, depth int) error {
	edges, err := w.EdgesOf(ctx, w.at, w.frontier, w.ask.Direction, w.ask.Types, w.budget+1)
	if err != nil {
		return err
	}
	if len(edges) > w.budget {
		edges, w.cut = edges[:w.budget], true
	}
	w.budget -= len(edges)
	last := w.frontier
	w.frontier = nil
	if err := w.reach(ctx, w.unseen(edges), depth); err != nil {
		return err
	}
	w.join(edges)
	if w.cut {
		for _, id := range last {
			w.out.Nodes[w.nodes[nodeKey{w.ask.Cluster, id}]].More = true
		}
	}
	return nil
}

// unseen gives the ends that aren't in the graph yet, as many as fit into it, in the order they were found.
func (w *walk) unseen(edges []store.EdgeRow) []topo.ID {
	var out []topo.ID
	found := map[topo.ID]bool{}
	for i := range edges {
		if !w.seesEdge(&edges[i]) {
			continue
		}
		for _, id := range [2]topo.ID{edges[i].ID.Source, edges[i].Edge.Target.ID()} {
			if _, have := w.nodes[nodeKey{w.ask.Cluster, id}]; have || found[id] {
				continue
			}
			if len(w.out.Nodes)+len(out) >= w.limit {
				w.cut = true
				return out
			}
			found[id] = true
			out = append(out, id)
		}
	}
	return out
}

func (w *walk) reach(ctx context.Context, ids []topo.ID, depth int) error {
	if len(ids) == 0 {
		return nil
	}
	rows, err := w.Snapshot.Nodes(ctx, w.at, ids)
	for i := range rows {
		w.place(&rows[i], depth)
	}
	return err
}

// join keeps the edges both of whose ends are in the graph.
func (w *walk) join(edges []store.EdgeRow) {
	for i := range edges {
		_, source := w.nodes[nodeKey{w.ask.Cluster, edges[i].ID.Source}]
		_, target := w.nodes[nodeKey{w.ask.Cluster, edges[i].Edge.Target.ID()}]
		if source && target {
			w.takeEdges(edges[i : i+1])
		}
	}
}

// closeRing adds the edges among the outermost nodes, which no step has followed. In one direction only there is nothing to close.
func (w *walk) closeRing(ctx context.Context) error {
	if w.ask.Direction != store.Both || len(w.frontier) < 2 || w.cut {
		return nil
	}
	edges, err := w.EdgesAmong(ctx, w.at, w.frontier, w.ask.Types, w.budget+1)
	if len(edges) > w.budget {
		edges, w.cut = edges[:w.budget], true
	}
	w.join(edges)
	return err
}
