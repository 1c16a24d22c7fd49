package layout

import "slices"

// component is vertices that edges connect, by layers, each in its order. Its vertices are numbered anew, from 0.
type component struct {
	l        *layers
	vertices []int // by number
	up, down [][]int
	layers   [][]int
	pos      []int // place in its layer
}

// component gathers the vertices that are connected. In each layer they are in the order in which a walk from the first one, in canonical order, comes
// by, so that neighbours are beside each other from the beginning.
func (l *layers) component(part []int) *component {
	c := &component{l: l, vertices: part, pos: make([]int, len(part))}
	number := l.numbers(part)
	low, high := l.vs[part[0]].rank, l.vs[part[0]].rank
	for _, v := range part {
		x := &l.vs[v]
		low, high = min(low, x.rank), max(high, x.rank)
		c.up = append(c.up, renumbered(x.up, number))
		c.down = append(c.down, renumbered(x.down, number))
	}
	c.layers = make([][]int, high-low+1)
	seen := make([]bool, len(part))
	for v := range part {
		c.visit(v, low, seen)
	}
	c.renumber()
	return c
}

// numbers gives each vertex of a part its number in it; what it says of others means nothing.
func (l *layers) numbers(part []int) []int {
	if len(l.scratch) < len(l.vs) {
		l.scratch = make([]int, len(l.vs))
	}
	for i, v := range part {
		l.scratch[v] = i
	}
	return l.scratch
}

func renumbered(vs, number []int) []int {
	out := make([]int, len(vs))
	for i, v := range vs {
		out[i] = number[v]
	}
	return out
}

func (c *component) vertex(v int) *vertex { return &c.l.vs[c.vertices[v]] }

func (c *component) visit(root, low int, seen []bool) {
	stack := []int{root}
	for len(stack) > 0 {
		v := stack[len(stack)-1]
		stack = stack[:len(stack)-1]
		if seen[v] {
			continue
		}
		seen[v] = true
		layer := c.vertex(v).rank - low
		c.layers[layer] = append(c.layers[layer], v)
		for _, next := range [][]int{c.up[v], c.down[v]} {
			for i := len(next) - 1; i >= 0; i-- {
				stack = append(stack, next[i])
			}
		}
	}
}

// renumber writes the places in the layers down.
func (c *component) renumber() {
	for _, layer := range c.layers {
		for i, v := range layer {
			c.pos[v] = i
		}
	}
}

func (c *component) snapshot() [][]int {
	out := make([][]int, len(c.layers))
	for k, layer := range c.layers {
		out[k] = slices.Clone(layer)
	}
	return out
}

// gap is the distance that the middles of two neighbours keep.
func (c *component) gap(v, w int) float32 {
	a, b := c.vertex(v), c.vertex(w)
	gap := float32(nodeGap)
	if a.node < 0 || b.node < 0 {
		gap = bendGap
	}
	return (a.breadth+b.breadth)/2 + gap
}
