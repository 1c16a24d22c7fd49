package layout

import (
	"cmp"
	"math"
	"slices"
)

// Packed places any number of nodes in boxes by their paths, without looking at edges. A node's slot in its box follows from its key and from the
// box's capacity, which is rounded up: a node that comes or goes moves a few others of its box at most, and nothing outside, until the box is full
// or a quarter empty. Boxes stand in the order of their names.
func Packed(g Graph) *Placed {
	p := &packing{g: &g, out: newPlaced(&g)}
	root := p.tree()
	root.measure(&g)
	p.place(root, 0, 0)
	slices.SortStableFunc(p.out.Boxes, func(a, b Box) int { return len(a.Path) - len(b.Path) })
	p.out.Width, p.out.Height = root.width, root.height
	return p.out
}

type packing struct {
	g   *Graph
	out *Placed
}

// crate is a box with its nodes in slots, and its boxes below them on shelves.
type crate struct {
	path          []string
	boxes         []*crate
	byName        map[string]*crate
	nodes         []int
	count         int
	cellW, cellH  float32
	columns       int
	slots         int
	corners       []Point // of boxes
	width, height float32
}

func (p *packing) tree() *crate {
	root := &crate{}
	for i := range p.g.Nodes {
		c, path := root, p.g.Nodes[i].Path
		c.count++
		for k, name := range path {
			inner := c.byName[name]
			if inner == nil {
				inner = &crate{path: path[: k+1 : k+1]}
				if c.byName == nil {
					c.byName = map[string]*crate{}
				}
				c.byName[name] = inner
				c.boxes = append(c.boxes, inner)
			}
			c = inner
			c.count++
		}
		c.nodes = append(c.nodes, i)
	}
	return root
}

// capacity rounds up what n nodes need, with a quarter to spare, to one of two steps in each doubling.
func capacity(n int) int {
	if n < 2 {
		return n
	}
	need := n + n/3
	step := 2
	for step*2 <= need {
		step *= 2
	}
	switch {
	case step >= need:
		return step
	case step+step/2 >= need:
		return step + step/2
	}
	return step * 2
}

// measure works sizes out, inner boxes first.
func (c *crate) measure(g *Graph) {
	slices.SortFunc(c.boxes, func(a, b *crate) int { return cmp.Compare(a.path[len(a.path)-1], b.path[len(b.path)-1]) })
	areas := make([]rect, len(c.boxes))
	for i, box := range c.boxes {
		box.measure(g)
		areas[i] = rect{0, 0, box.width, box.height}
	}
	inner := c.measureSlots(g)
	c.corners = shelves(areas)
	below := inner.bottom
	if below > 0 && len(areas) > 0 {
		below += partGap
	}
	for i := range c.corners {
		c.corners[i].Y += below
		inner = inner.join(rect{0, 0, c.corners[i].X + areas[i].right, c.corners[i].Y + areas[i].bottom})
	}
	c.width, c.height = inner.right, inner.bottom
	if len(c.path) > 0 {
		c.width, c.height = c.width+2*boxPad, c.height+2*boxPad+titlePad
	}
}

func (c *crate) measureSlots(g *Graph) rect {
	if len(c.nodes) == 0 {
		return rect{}
	}
	for _, i := range c.nodes {
		c.cellW, c.cellH = max(c.cellW, g.Nodes[i].Width), max(c.cellH, g.Nodes[i].Height)
	}
	c.slots = capacity(len(c.nodes))
	c.columns = columns(c.slots, c.cellW, c.cellH)
	rows := (c.slots + c.columns - 1) / c.columns
	return rect{0, 0, float32(c.columns)*(c.cellW+nodeGap) - nodeGap, float32(rows)*(c.cellH+nodeGap) - nodeGap}
}

// columns is how many columns make n cells about as wide as a screen.
func columns(n int, w, h float32) int {
	return min(n, int(math.Ceil(math.Sqrt(float64(n)*proportion*float64(h+nodeGap)/float64(w+nodeGap)))))
}

func (p *packing) place(c *crate, x, y float32) {
	if len(c.path) > 0 {
		p.out.Boxes = append(p.out.Boxes, Box{c.path, x, y, c.width, c.height, c.count})
		x, y = x+boxPad, y+boxPad+titlePad
	}
	for i, slot := range c.assign(p.g) {
		p.out.X[c.nodes[i]] = x + float32(slot%c.columns)*(c.cellW+nodeGap) + c.cellW/2
		p.out.Y[c.nodes[i]] = y + float32(slot/c.columns)*(c.cellH+nodeGap) + c.cellH/2
	}
	for i, box := range c.boxes {
		p.place(box, x+c.corners[i].X, y+c.corners[i].Y)
	}
}

const choices = 24 // slots that a node asks for before it takes the next free one

// assign gives each node of the box the first free slot of those that it asks for, which follow from its key alone. Who is first follows from
// the keys too, so a node more displaces a chain of few others, whatever their number.
func (c *crate) assign(g *Graph) []int {
	hashes := make([]uint64, len(c.nodes))
	order := make([]int, len(c.nodes))
	for i, n := range c.nodes {
		hashes[i], order[i] = hash(g.Nodes[n].Key), i
	}
	slices.SortFunc(order, func(a, b int) int {
		return cmp.Or(cmp.Compare(hashes[a], hashes[b]), cmp.Compare(g.Nodes[c.nodes[a]].Key, g.Nodes[c.nodes[b]].Key))
	})
	taken := make([]bool, c.slots)
	out := make([]int, len(c.nodes))
	for _, i := range order {
		slot := c.choose(hashes[i], taken)
		taken[slot], out[i] = true, slot
	}
	return out
}

func (c *crate) choose(h uint64, taken []bool) int {
	slot := 0
	for range choices {
		h = mix(h)
		if slot = jump(h, c.slots); !taken[slot] {
			return slot
		}
	}
	for taken[slot] {
		slot = (slot + 1) % c.slots
	}
	return slot
}

// hash is FNV-1a, spread by mix.
func hash(s string) uint64 {
	h := uint64(14695981039346656037)
	for i := range len(s) {
		h = (h ^ uint64(s[i])) * 1099511628211
	}
	return mix(h)
}

// mix is one step of the generator SplitMix64.
func mix(h uint64) uint64 {
	h += 0x9e3779b97f4a7c15
	h = (h ^ h>>30) * 0xbf58476d1ce4e5b9
	h = (h ^ h>>27) * 0x94d049bb133111eb
	return h ^ h>>31
}

// jump is the jump consistent hash of Lamping and Veach (2014): when a box grows, most nodes keep their choice.
func jump(h uint64, slots int) int {
	b, j := int64(-1), int64(0)
	for j < int64(slots) {
		b = j
		h = h*2862933555777941757 + 1
		j = int64(float64(b+1) * (float64(int64(1)<<31) / float64(h>>33+1)))
	}
	return int(b)
}
