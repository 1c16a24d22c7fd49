package query

import (
	"context"

	"github.com/kubilitics/kubilitics/hub/internal/fleet"
	"github.com/kubilitics/kubilitics/hub/internal/store"
	"github.com/kubilitics/kubilitics/shared/fault"
	"github.com/kubilitics/kubilitics/shared/topo"
)

// Bounds of a graph's answer.
const (
	DefaultNodes = 5000
	MaxNodes     = 20_000
	edgesPerNode = 8 // edges read at most, by nodes asked for
	minEdges     = 2000
	chunkNodes   = 500 // nodes whose edges are read by one query
)

// Graph is nodes and the edges between them. What is not in it although it was asked for is told in Truncated.
type Graph struct {
	Meta
	Nodes     []GraphNode `json:"nodes"`
	Edges     []Edge      `json:"edges"`
	Aggregate *Grouping   `json:"aggregate,omitempty" doc:"in place of nodes and edges, where the graph is too big for these and may be answered in groups"`
	// Shared are the edges of fleet scope: nodes of the answer that are the same thing in several clusters.
	Shared    []SharedRef `json:"shared,omitempty" doc:"nodes of the answer that other clusters have too, and are tied to by them: hosts, images, Git sources, exported services. It follows changes by moments"`
	Truncated *Truncation `json:"truncated,omitempty" doc:"present where something is left out: what, and how to get it"`
}

// GraphNode is a node of a graph, with its place in it.
type GraphNode struct {
	Resource
	Outside bool `json:"outside,omitempty" doc:"not asked for, or not on this page: the other end of an edge"`
	Depth   *int `json:"depth,omitempty" doc:"steps from the focus"`
	More    bool `json:"more,omitempty" doc:"edges of this node may have been left out"`
}

// Truncation tells what an answer leaves out and how to get it.
type Truncation struct {
	Reason   string      `json:"reason"`
	Hint     string      `json:"hint" doc:"how to get the rest"`
	Continue string      `json:"continue,omitempty" doc:"gives the next page; join pages by cluster and id"`
	Total    *Total      `json:"total,omitempty" doc:"nodes asked for, on all pages"`
	ByKind   []KindCount `json:"byKind,omitempty" doc:"nodes asked for, by kind: on the first page of a whole graph"`
}

// GraphQuestion asks for the graph of the resources that are meant: all their edges, and the nodes at the other ends, marked as
// outside. Without kinds, namespaces, names and selectors it is the whole graph of the clusters.
type GraphQuestion struct {
	Where
	Types []topo.EdgeType // none: all
	Page
	// Auto leaves it to the hub to answer a graph of more than AutoNodes nodes in groups. A continue token asks for nodes.
	Auto bool
}

func (w Where) whole() bool {
	return len(w.Kinds)+len(w.Namespaces)+len(w.Names)+len(w.Terms) == 0 && w.Labels == "" && w.Fields == ""
}

type graphPlace struct {
	pinned
	Total *Total // as the first page counted, which pages after it don't repeat
	After store.Key
}

// Graph answers a GraphQuestion. A page holds its nodes with all their edges; one that ends early says so.
func (q *Querier) Graph(ctx context.Context, p fleet.Principal, g GraphQuestion) (*Graph, error) {
	limit, err := g.limit(DefaultNodes, MaxNodes)
	if err != nil {
		return nil, err
	}
	var place graphPlace
	at, err := pin(p.Tenant, g.lasting(), g.Continue, g.At, &place)
	if err != nil {
		return nil, err
	}
	var out *Graph
	err = q.read(ctx, "graph", scope{p, fleet.List, g.Clusters, at}, func(ctx context.Context, r *reading) error {
		b := newBuilder(r, g, limit)
		if g.Auto && g.Continue == "" {
			if out, err = b.auto(ctx); out != nil || err != nil {
				return err
			}
		}
		if out, err = b.build(ctx, place); err == nil {
			err = r.addShared(ctx, out)
		}
		return err
	})
	return out, late(g.Continue, err)
}

// lasting is what a continue token is bound to.
func (g GraphQuestion) lasting() any { return []any{g.Where.lasting(), g.Types} }

// builder gathers one page of a graph.
type builder struct {
	*reading
	ask    GraphQuestion
	filter store.Filter
	limit  int // nodes
	budget int // edges that may still be read
	dir    store.Direction

	nodes map[nodeKey]int // place in out.Nodes
	edges map[edgeKey]bool
	ends  map[fleet.ClusterID][]topo.ID // of edges, not among the nodes yet
	out   *Graph
}

type nodeKey struct {
	cluster fleet.ClusterID
	id      topo.ID
}

type edgeKey struct {
	cluster fleet.ClusterID
	id      topo.EdgeID
}

func newBuilder(r *reading, g GraphQuestion, limit int) *builder {
	b := &builder{
		reading: r, ask: g, limit: limit, budget: max(r.q.edges, limit*edgesPerNode), dir: store.Both,
		nodes: map[nodeKey]int{}, edges: map[edgeKey]bool{}, ends: map[fleet.ClusterID][]topo.ID{},
		out: &Graph{Nodes: []GraphNode{}, Edges: []Edge{}},
	}
	if g.whole() { // every edge leaves some node of the whole
		b.dir = store.Out
	}
	return b
}

func (b *builder) build(ctx context.Context, place graphPlace) (*Graph, error) {
	rows, more, err := b.page(ctx, &place)
	if err != nil {
		return nil, err
	}
	kept, err := b.gather(ctx, rows)
	if err != nil {
		return nil, err
	}
	if kept < len(rows) {
		rows, more = rows[:kept], true
	}
	if err := b.addEnds(ctx); err != nil {
		return nil, err
	}
	return b.out, b.finish(ctx, place, rows, more)
}

// gather keeps nodes with their edges, some at a time, as long as the edges fit, and gives the number of nodes kept. The first node is kept
// even if its edges don't fit, and marked: a page is never empty.
func (b *builder) gather(ctx context.Context, rows []store.Row) (kept int, err error) {
	for size := chunkNodes; kept < len(rows); {
		chunk := rows[kept:min(kept+size, len(rows))]
		whole, err := b.chunk(ctx, chunk)
		if err != nil {
			return 0, err
		}
		switch {
		case whole:
			b.keep(chunk, false)
			kept += len(chunk)
		case len(chunk) > 1:
			size = len(chunk) / 2
		case kept == 0:
			b.keep(chunk, true)
			return 1, nil
		default:
			return kept, nil
		}
	}
	return kept, nil
}

// page reads the nodes that are meant, from where the question goes on.
func (b *builder) page(ctx context.Context, place *graphPlace) (rows []store.Row, more bool, err error) {
	if b.filter, err = b.ask.filter(b.view); err != nil {
		return nil, false, err
	}
	b.filter.Placeholders = true
	after := &place.After
	if place.Position == 0 {
		after, place.Position = nil, b.Position()
	}
	rows, err = b.Resources(ctx, b.filter, after, b.limit+1)
	if more = len(rows) > b.limit; more {
		rows = rows[:b.limit]
	}
	return rows, more, err
}

// chunk reads the edges of some nodes and keeps them, if they fit; those of the page's first node as far as they do.
func (b *builder) chunk(ctx context.Context, rows []store.Row) (whole bool, err error) {
	var all []store.EdgeRow
	for cluster, ids := range idsByCluster(rows) {
		edges, err := b.EdgesOf(ctx, store.Scope{Tenant: b.view.Tenant, Cluster: cluster}, ids, b.dir, b.ask.Types, b.budget-len(all)+1)
		if err != nil {
			return false, err
		}
		if all = append(all, edges...); len(all) > b.budget {
			if len(rows) == 1 && len(b.out.Nodes) == 0 {
				b.takeEdges(all[:b.budget])
			}
			return false, nil
		}
	}
	b.budget -= len(all)
	b.takeEdges(all)
	return true, nil
}

func idsByCluster(rows []store.Row) map[fleet.ClusterID][]topo.ID {
	ids := map[fleet.ClusterID][]topo.ID{}
	for i := range rows {
		ids[rows[i].Cluster] = append(ids[rows[i].Cluster], rows[i].ID)
	}
	return ids
}

// takeEdges keeps the edges both of whose ends may be seen.
func (b *builder) takeEdges(edges []store.EdgeRow) {
	for i := range edges {
		e := &edges[i]
		key := edgeKey{e.Cluster, e.ID}
		if b.edges[key] || !b.seesEdge(e) {
			continue
		}
		b.edges[key] = true
		b.out.Edges = append(b.out.Edges, edge(e))
		b.ends[e.Cluster] = append(b.ends[e.Cluster], e.ID.Source, e.Edge.Target.ID())
	}
}

func (b *builder) keep(rows []store.Row, more bool) {
	for i := range rows {
		b.add(&rows[i], GraphNode{More: more})
	}
}

func (b *builder) add(row *store.Row, n GraphNode) {
	key := nodeKey{row.Cluster, row.ID}
	if _, ok := b.nodes[key]; ok {
		return
	}
	n.Resource = resource(row)
	b.nodes[key] = len(b.out.Nodes)
	b.out.Nodes = append(b.out.Nodes, n)
}

// addEnds fetches the nodes at the far ends of edges.
func (b *builder) addEnds(ctx context.Context) error {
	for cluster, ids := range b.ends {
		var want []topo.ID
		asked := map[topo.ID]bool{}
		for _, id := range ids {
			if _, ok := b.nodes[nodeKey{cluster, id}]; !ok && !asked[id] {
				asked[id] = true
				want = append(want, id)
			}
		}
		if len(want) == 0 {
			continue
		}
		rows, err := b.Snapshot.Nodes(ctx, store.Scope{Tenant: b.view.Tenant, Cluster: cluster}, want)
		if err != nil {
			return err
		}
		for i := range rows {
			b.add(&rows[i], GraphNode{Outside: !b.ask.whole()})
		}
	}
	return nil
}

// finish describes the page, and tells what it leaves out.
func (b *builder) finish(ctx context.Context, place graphPlace, rows []store.Row, more bool) error {
	appear := map[fleet.ClusterID]bool{}
	cut := false
	for i := range rows {
		appear[rows[i].Cluster] = true
	}
	for i := range b.out.Nodes {
		cut = cut || b.out.Nodes[i].More
	}
	b.out.Meta = b.meta(appear)
	if !more && !cut {
		return nil
	}
	t := &Truncation{Reason: "there are more nodes than fit into one answer", Hint: "ask again with continue, raise limit, or restrict by namespace, kind, selector or focus"}
	if cut {
		t.Reason = "a few nodes have more edges than fit into one answer"
		t.Hint = "restrict by type, or use these nodes as focus with a direction"
	}
	b.out.Truncated = t
	if place.Total == nil {
		if err := b.total(ctx, t); err != nil {
			return err
		}
		place.Total = t.Total
	}
	t.Total = place.Total
	if more {
		place.After = keyOf(&rows[len(rows)-1])
		t.Continue = seal(b.view.Tenant, b.ask.lasting(), place)
	}
	return nil
}

const maxGraphTotal = 100_000

func (b *builder) total(ctx context.Context, t *Truncation) error {
	n, exact, err := b.Number(ctx, b.filter, maxGraphTotal)
	if err != nil {
		return err
	}
	t.Total = &Total{Count: n, Exact: exact}
	if !b.ask.whole() {
		return nil
	}
	counts, err := b.Counts(ctx, b.view, b.named)
	t.ByKind = kindCounts(counts)
	return err
}

// ParseTypes reads edge types; an unknown one is a BadRequest that names them all.
func ParseTypes(words []string) ([]topo.EdgeType, error) {
	var out []topo.EdgeType
	for _, w := range words {
		t := topo.EdgeType(w)
		if !knownType(t) {
			return nil, fault.New(fault.BadRequest, "there is no edge type %q", w).WithField("type", "must be one of %v", topo.EdgeTypes)
		}
		out = append(out, t)
	}
	return out, nil
}

func knownType(t topo.EdgeType) bool {
	for _, k := range topo.EdgeTypes {
		if k == t {
			return true
		}
	}
	return false
}
