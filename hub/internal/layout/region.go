package layout

import (
	"math"
	"math/bits"
	"slices"
)

// region is a box: the vertices that are in it directly, and the boxes in it. In the layers that it touches it has an interval to itself.
type region struct {
	path      []string
	own       []int
	boxes     []*region
	low, high float32 // across, without its padding
	first     int     // layers, by rank, that it touches
	last      int
	nesting   int  // boxes within each other, itself included
	area      rect // across, along; with the padding
	count     int
}

// arrange gives the vertices of a part their places, from 0, 0 on, and the area they take.
func (l *layers) arrange(part []int) (*region, rect) {
	lowest := math.MaxInt
	for _, v := range part {
		lowest = min(lowest, l.vs[v].rank)
	}
	for _, v := range part {
		l.vs[v].rank -= lowest
	}
	root := l.regions(part)
	l.link(part)
	l.across(root)
	l.along(root)
	l.bound(root)
	return root, root.area
}

// regions makes the tree of a part's boxes.
func (l *layers) regions(part []int) *region {
	root := &region{}
	for _, v := range part {
		r, path := root, l.path(v)
		r.count++
		for k := range path {
			last := len(r.boxes) - 1
			if last < 0 || r.boxes[last].path[k] != path[k] { // nodes come sorted by path
				r.boxes = append(r.boxes, &region{path: path[:k+1]})
				last++
			}
			r = r.boxes[last]
			r.count++
		}
		l.vs[v].region = r
		r.own = append(r.own, v)
	}
	return root
}

// pads are the distances between a box's side and what is in it: across, before and after, and along.
func (l *layers) pads() (before, after, above, below float32) {
	if l.g.Direction == LeftRight {
		return boxPad + titlePad, boxPad, boxPad, boxPad
	}
	return boxPad, boxPad, boxPad + titlePad, boxPad
}

// across places everything of a region across the layers, from 0 on: boxes first, then the parts that edges connect, each as near to 0 as the ones
// before it allow in the layers it touches. Single nodes fill up where there is most room.
func (l *layers) across(r *region) {
	line := skyline{}
	for _, box := range r.boxes {
		l.across(box)
		l.stack(&line, box)
		r.nesting = max(r.nesting, box.nesting)
	}
	r.nesting++
	l.acrossOwn(r.own, &line)
	r.high = line.end()
	r.first = math.MaxInt
	r.each(func(v int) { r.first, r.last = min(r.first, l.vs[v].rank), max(r.last, l.vs[v].rank) })
}

// stack places a box behind what is there already.
func (l *layers) stack(line *skyline, box *region) {
	before, after, above, below := l.pads()
	aside := 0 // layers more that its padding reaches into
	if reach := float32(box.nesting) * (above + below); reach > layerGap-lineGap {
		aside = 1 + int(reach/layerGap)
	}
	first, last := max(0, box.first-aside), box.last+aside
	line.reach(last)
	low := line.room(first, last) + before
	l.shift(box, low)
	for rank := first; rank <= last; rank++ {
		(*line)[rank] = box.high + after
	}
}

func (l *layers) shift(r *region, by float32) {
	r.low, r.high = r.low+by, r.high+by
	for _, v := range r.own {
		l.vs[v].across += by
	}
	for _, box := range r.boxes {
		l.shift(box, by)
	}
}

func (l *layers) acrossOwn(own []int, line *skyline) {
	f := newForest(len(l.vs))
	for _, v := range own {
		line.reach(l.vs[v].rank)
		for _, w := range l.vs[v].down {
			f.join(v, w)
		}
	}
	parts := f.sets(own)
	bySize(parts)
	var singles []int
	for _, part := range parts {
		if v := part[0]; len(part) == 1 && len(l.graph.out[v])+len(l.graph.in[v]) == 0 {
			singles = append(singles, v)
			continue
		}
		c := l.component(part)
		c.reduceCrossings()
		c.coordinates()
		line.add(c)
	}
	l.fill(line, singles)
}

// bySize sorts sets of vertices by their sizes, roughly, so that a small change keeps the order, the largest first.
func bySize(parts [][]int) {
	slices.SortStableFunc(parts, func(a, b []int) int { return bits.Len(uint(len(b))) - bits.Len(uint(len(a))) })
}

// skyline is how far each layer is taken, by rank; 0 is not at all.
type skyline []float32

func (s *skyline) reach(rank int) {
	for len(*s) <= rank {
		*s = append(*s, 0)
	}
}

func (s skyline) end() float32 {
	var end float32
	for _, x := range s {
		end = max(end, x)
	}
	return end
}

// room is where the next part may begin that touches the layers from first to last.
func (s skyline) room(first, last int) float32 {
	if end := s[first : last+1].end(); end > 0 {
		return end + partGap
	}
	return 0
}

// add places a part behind those that are there.
func (s skyline) add(c *component) {
	var shift float32
	for _, layer := range c.layers {
		first := c.vertex(layer[0])
		shift = max(shift, s.room(first.rank, first.rank)-(first.across-first.breadth/2))
	}
	for _, layer := range c.layers {
		for _, i := range layer {
			v := c.vertex(i)
			v.across += shift
			s[v.rank] = max(s[v.rank], v.across+v.breadth/2)
		}
	}
}

// fill puts single nodes into the layers that are taken least, or into as many new ones as make it about as wide as a screen.
func (l *layers) fill(line *skyline, singles []int) {
	if len(singles) == 0 {
		return
	}
	var area float64
	for _, v := range singles {
		area += float64((l.vs[v].breadth + nodeGap) * (l.vs[v].depth + layerGap))
	}
	if l.g.Direction == LeftRight {
		area *= proportion
	} else {
		area /= proportion
	}
	rows := int(math.Ceil(math.Sqrt(area) / float64(l.vs[singles[0]].depth+layerGap)))
	line.reach(min(rows, len(singles)) - 1)
	for _, v := range singles {
		rank := 0
		for r, x := range *line {
			if x < (*line)[rank] {
				rank = r
			}
		}
		l.vs[v].rank = rank
		left := (*line)[rank]
		if left > 0 {
			left += nodeGap
		}
		l.vs[v].across = left + l.vs[v].breadth/2
		(*line)[rank] = left + l.vs[v].breadth
	}
}

// along places the layers one after the other.
func (l *layers) along(root *region) {
	var depths []float32
	root.each(func(v int) {
		for len(depths) <= l.vs[v].rank {
			depths = append(depths, 0)
		}
		depths[l.vs[v].rank] = max(depths[l.vs[v].rank], l.vs[v].depth)
	})
	middles := make([]float32, len(depths))
	var next float32
	for rank, depth := range depths {
		middles[rank] = next + depth/2
		next += depth + layerGap
	}
	root.each(func(v int) { l.vs[v].along = middles[l.vs[v].rank] })
}

func (r *region) each(f func(v int)) {
	for _, v := range r.own {
		f(v)
	}
	for _, box := range r.boxes {
		box.each(f)
	}
}

// bound works the areas of boxes out. Across, a box is what it has to itself; along, what its nodes need.
func (l *layers) bound(r *region) {
	before, after, above, below := l.pads()
	area := rect{}
	for _, v := range r.own {
		x := &l.vs[v]
		area = area.join(rect{x.across - x.breadth/2, x.along - x.depth/2, x.across + x.breadth/2, x.along + x.depth/2})
	}
	for _, box := range r.boxes {
		l.bound(box)
		area = area.join(box.area)
	}
	area.left, area.right = min(area.left, r.low), max(area.right, r.high)
	if len(r.path) > 0 {
		area = rect{area.left - before, area.top - above, area.right + after, area.bottom + below}
	}
	r.area = area
}
