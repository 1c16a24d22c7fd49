package query

import (
	"context"
	"math"
	"slices"

	"github.com/kubilitics/kubilitics/hub/internal/fleet"
	"github.com/kubilitics/kubilitics/hub/internal/store"
	"github.com/kubilitics/kubilitics/shared/topo"
)

// pageEdges is how many edges a page of a walk has at most, but for those of one node.
const pageEdges = 20_000

// Walk hands the whole graph that is meant to fn, page by page, all of one snapshot: first the nodes that were asked for, in order, then the edges, each
// once, with the nodes outside that they lead to. Nodes are told once, and before or with their first edge. A page belongs to fn; an error of fn ends
// the walk. The limit is of nodes on a page. The snapshot is held as long as fn takes.
func (q *Querier) Walk(ctx context.Context, p fleet.Principal, g GraphQuestion, fn func(*Graph) error) error {
	limit, err := g.limit(DefaultNodes, MaxNodes)
	if err != nil {
		return err
	}
	var stopped error // by fn: no fault of the store
	err = q.read(ctx, "export", scope{p, fleet.List, g.Clusters, g.At}, func(ctx context.Context, r *reading) error {
		f, err := g.filter(r.view)
		if err != nil {
			return err
		}
		f.Placeholders = true
		hand := func(page *Graph) error {
			stopped = fn(page)
			return stopped
		}
		w := &walker{reading: r, ask: g, filter: f, limit: limit, fn: hand, given: map[nodeKey]struct{}{}, asked: map[fleet.ClusterID][]topo.ID{}}
		return w.run(ctx)
	})
	if stopped != nil {
		return stopped
	}
	return err
}

type walker struct {
	*reading
	ask    GraphQuestion
	filter store.Filter
	limit  int
	fn     func(*Graph) error

	asked   map[fleet.ClusterID][]topo.ID // in order
	given   map[nodeKey]struct{}
	outside map[nodeKey]struct{}
}

func (w *walker) run(ctx context.Context) error {
	if err := w.nodes(ctx); err != nil {
		return err
	}
	w.outside = map[nodeKey]struct{}{}
	for _, c := range w.sorted() {
		for ids := range slices.Chunk(w.asked[c.ID], chunkNodes) {
			if err := w.edges(ctx, c.ID, ids); err != nil {
				return err
			}
		}
	}
	return nil
}

// nodes gives the nodes that were asked for.
func (w *walker) nodes(ctx context.Context) error {
	var after *store.Key
	for {
		rows, err := w.Resources(ctx, w.filter, after, w.limit)
		if err != nil {
			return err
		}
		page := &Graph{Nodes: make([]GraphNode, 0, len(rows)), Edges: []Edge{}}
		appear := map[fleet.ClusterID]bool{}
		for i := range rows {
			key := nodeKey{rows[i].Cluster, rows[i].ID}
			w.asked[key.cluster] = append(w.asked[key.cluster], key.id)
			w.given[key] = struct{}{}
			appear[key.cluster] = true
			page.Nodes = append(page.Nodes, GraphNode{Resource: resource(&rows[i])})
		}
		page.Meta = w.meta(appear)
		if err := w.fn(page); err != nil || len(rows) < w.limit {
			return err
		}
		after = new(keyOf(&rows[len(rows)-1]))
	}
}

// edges gives the edges that leave some nodes, and those that come to them from nodes that weren't asked for: so each edge is met once.
func (w *walker) edges(ctx context.Context, c fleet.ClusterID, ids []topo.ID) error {
	for _, dir := range []store.Direction{store.Out, store.Into} {
		if dir == store.Into && w.ask.whole() {
			continue // every edge leaves some node of the whole
		}
		if err := w.edgesIn(ctx, c, ids, dir); err != nil {
			return err
		}
	}
	return nil
}

// edgesIn reads the edges of nodes in one direction, of half of them at a time where they are very many.
func (w *walker) edgesIn(ctx context.Context, c fleet.ClusterID, ids []topo.ID, dir store.Direction) error {
	most := pageEdges
	if len(ids) == 1 {
		most = math.MaxInt32 - 1
	}
	edges, err := w.EdgesOf(ctx, w.scope(c), ids, dir, w.ask.Types, most+1)
	if err != nil {
		return err
	}
	if len(edges) > most {
		half := len(ids) / 2
		if err := w.edgesIn(ctx, c, ids[:half], dir); err != nil {
			return err
		}
		return w.edgesIn(ctx, c, ids[half:], dir)
	}
	return w.give(ctx, c, edges, dir)
}

// give hands on edges, with those of their ends that weren't given yet.
func (w *walker) give(ctx context.Context, c fleet.ClusterID, edges []store.EdgeRow, dir store.Direction) error {
	page := &Graph{Nodes: []GraphNode{}, Edges: make([]Edge, 0, len(edges))}
	var want []topo.ID
	for i := range edges {
		e := &edges[i]
		source, target := nodeKey{c, e.ID.Source}, nodeKey{c, e.Edge.Target.ID()}
		if !w.seesEdge(e) || (dir == store.Into && w.wasAsked(source)) {
			continue
		}
		page.Edges = append(page.Edges, edge(e))
		for _, key := range [2]nodeKey{source, target} {
			if _, ok := w.given[key]; !ok {
				w.given[key], w.outside[key] = struct{}{}, struct{}{}
				want = append(want, key.id)
			}
		}
	}
	if len(page.Edges) == 0 {
		return nil
	}
	rows, err := w.rows(ctx, c, want)
	if err != nil {
		return err
	}
	for _, id := range want {
		if row := rows[id]; row != nil {
			page.Nodes = append(page.Nodes, GraphNode{Resource: resource(row), Outside: true})
		}
	}
	page.Meta = w.meta(map[fleet.ClusterID]bool{c: true})
	return w.fn(page)
}

func (w *walker) wasAsked(key nodeKey) bool {
	_, given := w.given[key]
	_, outside := w.outside[key]
	return given && !outside
}
