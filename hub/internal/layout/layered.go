package layout

import (
	"slices"

	"github.com/kubilitics/kubilitics/shared/fault"
)

// Layered places up to MaxLayered nodes in layers, so that edges lead down, or to the right, as far as there are no cycles. Nodes of one box stand
// side by side in all layers and nobody else among them; what neither an edge nor a box connects stands beside it, in rows.
func Layered(g Graph) (*Placed, error) {
	if len(g.Nodes) > MaxLayered {
		return nil, fault.New(fault.BadRequest, "a layered layout has room for %d nodes, and these are %d: choose the packed layout, or fewer nodes", MaxLayered, len(g.Nodes)).
			WithField("layout", "layered holds up to %d nodes", MaxLayered)
	}
	if err := g.check(); err != nil {
		return nil, err
	}
	l := newLayers(&g)
	parts := l.parts()
	boxes := make([]*region, len(parts))
	areas := make([]rect, len(parts))
	for i, part := range parts {
		boxes[i], areas[i] = l.arrange(part)
	}
	return l.placed(boxes, areas), nil
}

// vertex is a node, or a place where an edge passes a layer. Places are given along the layers' axis (low and high rank) and across it.
type vertex struct {
	node          int // in canonical order; -1 where an edge passes
	rank          int
	breadth       float32 // across
	depth         float32 // along
	region        *region
	up, down      []int // vertices of the same region in the layers beside
	across, along float32
}

// layers is a layered layout on its way.
type layers struct {
	g      *Graph
	order  []int // from canonical to given
	graph  *digraph
	vs     []vertex // nodes first
	routes map[[2]int][]int
	prefix int // boxes that are around everything
	room   int // for places where edges pass layers

	scratch []int
}

func newLayers(g *Graph) *layers {
	n := len(g.Nodes)
	l := &layers{g: g, order: canonical(g.Nodes), routes: map[[2]int][]int{}, vs: make([]vertex, n), room: maxBends}
	place := make([]int, n)
	for i, o := range l.order {
		place[o] = i
	}
	edges := make([][2]int, len(g.Edges))
	for i, e := range g.Edges {
		edges[i] = [2]int{place[e[0]], place[e[1]]}
	}
	l.graph = newDigraph(n, edges)
	l.graph.breakCycles()
	for v, rank := range l.graph.ranks() {
		node := l.node(v)
		l.vs[v] = vertex{node: v, rank: rank, breadth: node.Width, depth: node.Height}
		if g.Direction == LeftRight {
			l.vs[v].breadth, l.vs[v].depth = node.Height, node.Width
		}
	}
	l.prefix = l.commonPath()
	return l
}

func (l *layers) node(v int) *Node { return &l.g.Nodes[l.order[v]] }

// path is the boxes of a node, without those that are around everything.
func (l *layers) path(v int) []string { return l.node(v).Path[l.prefix:] }

func (l *layers) commonPath() int {
	if len(l.order) == 0 {
		return 0
	}
	first, last := l.node(0).Path, l.node(len(l.order)-1).Path // paths are sorted
	k := 0
	for k < min(len(first), len(last)) && first[k] == last[k] {
		k++
	}
	return k
}

// parts are the nodes by what connects them: edges and outermost boxes. Nodes that nothing connects are one part together.
func (l *layers) parts() [][]int {
	f := newForest(len(l.order))
	boxed := map[string]int{}
	var loose, bound []int
	for v := range l.order {
		for _, w := range l.graph.out[v] {
			f.join(v, w)
		}
		path := l.path(v)
		if len(path) == 0 && len(l.graph.out[v])+len(l.graph.in[v]) == 0 {
			loose = append(loose, v)
			continue
		}
		bound = append(bound, v)
		if len(path) == 0 {
			continue
		}
		if first, ok := boxed[path[0]]; ok {
			f.join(first, v)
		} else {
			boxed[path[0]] = v
		}
	}
	parts := f.sets(bound)
	bySize(parts)
	if len(loose) > 0 {
		parts = append(parts, loose)
	}
	return parts
}

// maxBends bounds the places where edges pass layers, which in a graph of many layers may be a hundred times the nodes. Where they don't
// suffice the longest edges are straight.
const maxBends = 20_000

// link makes the vertices where the edges of a part pass layers. An edge that leads into another region passes in that of its target, together
// with all others that do.
func (l *layers) link(part []int) {
	for _, e := range l.byLength(part) {
		if long := l.length(e) - 1; l.vs[e[0]].region == l.vs[e[1]].region && long <= l.room {
			l.room -= long
			l.chain(e[0], e[1])
		}
	}
	for _, w := range part {
		shared := map[int]int{} // by rank
		for _, v := range l.graph.in[w] {
			if l.vs[v].region != l.vs[w].region && l.vs[w].rank-l.vs[v].rank <= l.room {
				l.sharedChain(v, w, shared)
			}
		}
		l.room -= len(shared)
	}
}

// length is the layers from one end of an edge to the other.
func (l *layers) length(e [2]int) int { return l.vs[e[1]].rank - l.vs[e[0]].rank }

// byLength lists the edges of a part, short ones first.
func (l *layers) byLength(part []int) [][2]int {
	var edges [][2]int
	for _, v := range part {
		for _, w := range l.graph.out[v] {
			edges = append(edges, [2]int{v, w})
		}
	}
	slices.SortStableFunc(edges, func(a, b [2]int) int { return l.length(a) - l.length(b) })
	return edges
}

func (l *layers) chain(v, w int) {
	route := []int{v}
	for rank := l.vs[v].rank + 1; rank < l.vs[w].rank; rank++ {
		route = append(route, l.pass(rank, l.vs[w].region))
	}
	route = append(route, w)
	for i := 1; i < len(route); i++ {
		l.connect(route[i-1], route[i])
	}
	l.routes[[2]int{v, w}] = route
}

func (l *layers) sharedChain(v, w int, shared map[int]int) {
	route := []int{w}
	for rank := l.vs[w].rank - 1; rank > l.vs[v].rank; rank-- {
		d, ok := shared[rank]
		if !ok {
			d = l.pass(rank, l.vs[w].region)
			shared[rank] = d
			l.connect(d, route[len(route)-1])
		}
		route = append(route, d)
	}
	route = append(route, v)
	slices.Reverse(route)
	l.routes[[2]int{v, w}] = route
}

func (l *layers) pass(rank int, r *region) int {
	l.vs = append(l.vs, vertex{node: -1, rank: rank, region: r})
	r.own = append(r.own, len(l.vs)-1)
	return len(l.vs) - 1
}

func (l *layers) connect(upper, lower int) {
	l.vs[upper].down = append(l.vs[upper].down, lower)
	l.vs[lower].up = append(l.vs[lower].up, upper)
}
