// Package layout gives the nodes of a graph their places: by layers along the edges, packed into boxes, in a grid or in rings. The same graph is
// always placed in the same way, whatever the order of its nodes and edges, and a small change moves little.
package layout

import (
	"cmp"
	"slices"

	"github.com/kubilitics/kubilitics/shared/fault"
)

// MaxLayered is the number of nodes that Layered places at most.
const MaxLayered = 2000

// Node is a node to be placed. Key is its identity: no other node of the graph has it. Width and Height have any unit, which is the unit of all
// places. Path names the boxes around it, outermost first (cluster, namespace, application). Key and Path alone decide order and slots.
type Node struct {
	Key           string
	Width, Height float32
	Path          []string
}

// Direction is where the edges of a layered layout lead.
type Direction int

// The directions.
const (
	TopDown Direction = iota
	LeftRight
)

// Graph is what is placed. An edge leads from the first to the second of two indices into Nodes.
type Graph struct {
	Nodes     []Node
	Edges     [][2]int
	Direction Direction // of Layered
}

// Point is a place.
type Point struct{ X, Y float32 }

// Box encloses the nodes, and the boxes, whose paths begin with its own. Count is the number of nodes in it.
type Box struct {
	Path                []string
	X, Y, Width, Height float32 // X and Y are those of the corner with the smallest
	Count               int
}

// Placed is where everything is. It begins at 0, 0 and has room for every node and box.
type Placed struct {
	X, Y          []float32 // centres, by node
	Boxes         []Box     // outermost first
	Bends         [][]Point // of Layered, by edge: the places that it passes on its way, from source to target
	Width, Height float32
}

// Distances between things, in the unit of the nodes' sizes, which are about 150 wide and 50 high.
const (
	nodeGap  = 16 // between nodes of a layer or slots of a box
	bendGap  = 10 // between lines that pass a layer
	layerGap = 64
	lineGap  = 8  // of a layer's gap that boxes leave free
	partGap  = 28 // between parts that no edge connects, and between boxes
	boxPad   = 14 // between a box and what is in it
	titlePad = 22 // above that, for the title
)

func newPlaced(g *Graph) *Placed {
	return &Placed{X: make([]float32, len(g.Nodes)), Y: make([]float32, len(g.Nodes))}
}

func (g *Graph) check() error {
	for _, e := range g.Edges {
		if min(e[0], e[1]) < 0 || max(e[0], e[1]) >= len(g.Nodes) {
			return fault.New(fault.Internal, "an edge leads to a node that isn't there")
		}
	}
	return nil
}

// canonical lists the nodes in the order that does not depend on how they were given.
func canonical(nodes []Node) []int {
	order := make([]int, len(nodes))
	for i := range order {
		order[i] = i
	}
	slices.SortStableFunc(order, func(a, b int) int {
		return cmp.Or(slices.Compare(nodes[a].Path, nodes[b].Path), cmp.Compare(nodes[a].Key, nodes[b].Key))
	})
	return order
}

// rect is a rectangle by its sides.
type rect struct{ left, top, right, bottom float32 }

// join gives the smallest rectangle around two, of which an empty one counts for nothing.
func (r rect) join(o rect) rect {
	switch {
	case r == rect{}:
		return o
	case o == rect{}:
		return r
	}
	return rect{min(r.left, o.left), min(r.top, o.top), max(r.right, o.right), max(r.bottom, o.bottom)}
}

func (r rect) padded() rect {
	return rect{r.left - boxPad, r.top - boxPad - titlePad, r.right + boxPad, r.bottom + boxPad}
}

func (n *Node) at(x, y float32) rect {
	return rect{x - n.Width/2, y - n.Height/2, x + n.Width/2, y + n.Height/2}
}
