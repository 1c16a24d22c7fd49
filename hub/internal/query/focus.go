package query

import (
	"context"
	"fmt"
	"slices"

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
	DefaultFan        = 25
	outwards          = 8 // times the fan of what leads to a node is that of what leads away
)

// Neighbourhood asks for what is within a number of steps of one node.
type Neighbourhood struct {
	Cluster   fleet.ClusterID
	Focus     topo.ID
	Depth     int // 0: DefaultDepth
	Direction store.Direction
	Types     []topo.EdgeType // none: all
	Limit     int             // nodes; 0: DefaultNeighbours
	Fan       int             // edges followed of those that lead to one node, other than the focus, and eight times as many that lead away; 0: DefaultFan
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
	if n.Fan == 0 {
		n.Fan = DefaultFan
	}
	if n.Fan < 0 || n.Fan > MaxNodes {
		return n, fault.New(fault.BadRequest, "the fan is out of range").WithField("fan", "must be from 1 to %d", MaxNodes)
	}
	n.Direction, err = direction(n.Direction)
	return n, err
}

// Around answers a Neighbourhood. It costs what it returns: a query for edges each way and one for nodes a step, of which nodes with very many
// edges, that lead to half of the cluster, take no more than their fan. NotFound when the focus isn't there.
func (q *Querier) Around(ctx context.Context, p fleet.Principal, n Neighbourhood) (*Graph, error) {
	n, err := n.complete()
	if err != nil {
		return nil, err
	}
	var out *Graph
	err = q.read(ctx, "neighbours", scope{p, fleet.Get, []fleet.ClusterID{n.Cluster}, n.At}, func(ctx context.Context, r *reading) error {
		w := &walk{
			builder: newBuilder(r, GraphQuestion{Types: n.Types}, n.Limit), ask: n,
			at: r.scope(n.Cluster), hubs: map[topo.ID]bool{},
		}
		if out, err = w.run(ctx); err == nil {
			err = r.addShared(ctx, out)
		}
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
	ring     []topo.ID        // of the frontier, those whose edges among each other are told
	hubs     map[topo.ID]bool // nodes of which not all edges were followed
	cut      bool             // nodes or edges were left out because the answer is full
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
	w.tell()
	return w.out, nil
}

// tell marks what not everything is known of, and says so.
func (w *walk) tell() {
	w.out.Meta = w.meta(nil)
	for id := range w.hubs {
		w.out.Nodes[w.nodes[nodeKey{w.ask.Cluster, id}]].More = true
	}
	switch {
	case w.cut:
		w.out.Truncated = &Truncation{
			Reason: "there are more nodes or edges within that depth than fit into one answer; the nodes marked \"more\" have some that are left out",
			Hint:   "raise limit, lower depth, restrict by type or direction, or take one of the nodes as focus",
		}
	case len(w.hubs) > 0:
		w.out.Truncated = &Truncation{
			Reason: fmt.Sprintf("the nodes marked \"more\" have very many edges, of which no more than %d that lead there were followed, and %d that lead away; edges among the outermost of these are left out, too", w.ask.Fan, w.ask.Fan*outwards),
			Hint:   "take one of these nodes as focus, or restrict by type or direction",
		}
	}
}

func (w *walk) place(row *store.Row, depth int) {
	w.frontier = append(w.frontier, row.ID)
	w.add(row, GraphNode{Depth: &depth})
}

// step adds what is one step further than the frontier. Edges to nodes that don't fit are left out with them.
func (w *walk) step(ctx context.Context, depth int) error {
	last := w.frontier
	edges, err := w.expand(ctx, last)
	if err != nil {
		return err
	}
	w.frontier = nil
	if err := w.reach(ctx, w.unseen(edges), depth); err != nil {
		return err
	}
	w.join(edges)
	w.ring = w.beside(edges)
	if w.cut {
		for _, id := range last {
			w.hubs[id] = true
		}
	}
	return nil
}

// beside gives the nodes of the frontier that some node leads to which isn't a hub: of a hub's, those that are here are a few of many, and what ties these
// to each other says nothing.
func (w *walk) beside(edges []store.EdgeRow) (ring []topo.ID) {
	near := map[topo.ID]bool{}
	for i := range edges {
		source, target := edges[i].ID.Source, edges[i].Edge.Target.ID()
		near[source], near[target] = near[source] || !w.hubs[target], near[target] || !w.hubs[source]
	}
	for _, id := range w.frontier {
		if near[id] {
			ring = append(ring, id)
		}
	}
	return ring
}

// expand reads the edges of nodes, no more than its fan of each. What leads away from a node is what it consists of or needs; what leads to it may be half of
// the cluster.
func (w *walk) expand(ctx context.Context, ids []topo.ID) (out []store.EdgeRow, err error) {
	for _, way := range []struct {
		dir  store.Direction
		most int
	}{{store.Out, w.ask.Fan * outwards}, {store.Into, w.ask.Fan}} {
		if w.cut || (w.ask.Direction != store.Both && w.ask.Direction != way.dir) {
			continue
		}
		if len(ids) == 1 && ids[0] == w.ask.Focus {
			way.most = max(way.most, w.limit)
		}
		edges, err := w.Fans(ctx, w.view, w.at, ids, way.dir, w.ask.Types, way.most+1, w.budget+1)
		if err != nil {
			return nil, err
		}
		if len(edges) > w.budget {
			edges, w.cut = edges[:w.budget], true
		}
		edges = w.share(edges, way.dir, way.most)
		w.budget -= len(edges)
		out = append(out, edges...)
	}
	return out, nil
}

// share marks the nodes that have more edges of a direction than that, and keeps as many of theirs.
func (w *walk) share(edges []store.EdgeRow, d store.Direction, most int) []store.EdgeRow {
	kept := map[topo.ID]int{}
	return slices.DeleteFunc(edges, func(e store.EdgeRow) bool {
		id := e.ID.Source
		if d == store.Into {
			id = e.Edge.Target.ID()
		}
		kept[id]++
		if kept[id] > most {
			w.hubs[id] = true
		}
		return kept[id] > most
	})
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

// closeRing adds the edges among the outermost nodes, which no step has read. In one direction only there is nothing to close.
func (w *walk) closeRing(ctx context.Context) error {
	if w.ask.Direction != store.Both || w.cut {
		return nil
	}
	if len(w.ring) < 2 {
		return nil
	}
	edges, err := w.EdgesAmong(ctx, w.at, w.ring, w.ask.Types, w.budget+1)
	if len(edges) > w.budget {
		edges, w.cut = edges[:w.budget], true
		for _, id := range w.ring {
			w.hubs[id] = true
		}
	}
	w.join(edges)
	return err
}
