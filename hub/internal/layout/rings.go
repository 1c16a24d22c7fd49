package layout

import "math"

// Grid places the nodes in the order of their paths and keys in rows, without boxes.
func Grid(g Graph) *Placed {
	out := newPlaced(&g)
	var w, h float32
	for i := range g.Nodes {
		w, h = max(w, g.Nodes[i].Width), max(h, g.Nodes[i].Height)
	}
	wide := columns(len(g.Nodes), w, h)
	for i, n := range canonical(g.Nodes) {
		x, y := float32(i%wide)*(w+nodeGap)+w/2, float32(i/wide)*(h+nodeGap)+h/2
		out.X[n], out.Y[n] = x, y
		out.Width, out.Height = max(out.Width, x+w/2), max(out.Height, y+h/2)
	}
	return out
}

// Radial places the nodes in rings around a focus, by the number of edges from there, each in the sector of the one it was reached from. Nodes that
// no edge leads to stand in a ring of their own, outside. A focus out of range is the first node in order.
func Radial(g Graph, focus int) (*Placed, error) {
	if err := g.check(); err != nil {
		return nil, err
	}
	out := newPlaced(&g)
	if len(g.Nodes) == 0 {
		return out, nil
	}
	order := canonical(g.Nodes)
	if focus < 0 || focus >= len(g.Nodes) {
		focus = order[0]
	}
	r := &radial{g: &g, out: out}
	rings := r.rings(focus, order)
	size := 0.0
	for i := range g.Nodes {
		size = max(size, math.Hypot(float64(g.Nodes[i].Width), float64(g.Nodes[i].Height))+nodeGap)
	}
	radius := 0.0
	for depth, ring := range rings {
		if depth > 0 { // chords between neighbours are at least a node's diagonal
			radius = max(radius+size, size/(2*math.Sin(math.Pi/float64(max(2, len(ring))))))
		}
		for i, v := range ring {
			sin, cos := math.Sincos(2*math.Pi*float64(i)/float64(len(ring)) - math.Pi/2)
			out.X[v], out.Y[v] = float32(radius*cos), float32(radius*sin)
		}
	}
	r.settle()
	return out, nil
}

type radial struct {
	g   *Graph
	out *Placed
}

// rings are the nodes by their distance from the focus; within a ring in the order of those they were reached from.
func (r *radial) rings(focus int, order []int) [][]int {
	beside := make([][]int, len(order))
	place := make([]int, len(order))
	for i, v := range order {
		place[v] = i
	}
	undirected := make([][2]int, 0, 2*len(r.g.Edges))
	for _, e := range r.g.Edges {
		undirected = append(undirected, [2]int{place[e[0]], place[e[1]]}, [2]int{place[e[1]], place[e[0]]})
	}
	d := newDigraph(len(order), undirected)
	for i, v := range order {
		for _, w := range d.out[i] {
			beside[v] = append(beside[v], order[w])
		}
	}
	seen := make([]bool, len(order))
	seen[focus] = true
	rings := [][]int{{focus}}
	for ring := rings[0]; len(ring) > 0; {
		var next []int
		for _, v := range ring {
			for _, w := range beside[v] {
				if !seen[w] {
					seen[w] = true
					next = append(next, w)
				}
			}
		}
		if ring = next; len(ring) > 0 {
			rings = append(rings, ring)
		}
	}
	var rest []int
	for _, v := range order {
		if !seen[v] {
			rest = append(rest, v)
		}
	}
	if len(rest) > 0 {
		rings = append(rings, rest)
	}
	return rings
}

// settle moves everything so that it begins at 0, 0.
func (r *radial) settle() {
	all := rect{}
	for i := range r.g.Nodes {
		all = all.join(r.g.Nodes[i].at(r.out.X[i], r.out.Y[i]))
	}
	for i := range r.g.Nodes {
		r.out.X[i] -= all.left
		r.out.Y[i] -= all.top
	}
	r.out.Width, r.out.Height = all.right-all.left, all.bottom-all.top
}
