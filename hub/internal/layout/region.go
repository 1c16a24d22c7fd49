package layout

import (
	"math"
	"math/bits"
	"slices"
)

// region is a box: the vertices that are in it directly, and the boxes in it. It has an interval across the layers to itself.
type region struct {
	path      []string
	own       []int
	boxes     []*region
	low, high float32 // across
	area      rect    // across, along; with the boxes' padding
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
	l.across(root, 0)
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

// across places everything of a region across the layers, from low on, boxes first, and gives where it ends.
func (l *layers) across(r *region, low float32) float32 {
	before, after, _, _ := l.pads()
	r.low, r.high = low, low
	next := low
	for i, box := range r.boxes {
		if i > 0 {
			next += partGap
		}
		next = l.across(box, next+before) + after
	}
	if len(r.own) > 0 {
		if len(r.boxes) > 0 {
			next += partGap
		}
		next = l.acrossOwn(r.own, next)
	}
	r.high = next
	return next
}

// acrossOwn places the parts of a region that edges connect side by side, each as near as the ones before it allow in the layers it touches.
// Single nodes fill up where there is most room.
func (l *layers) acrossOwn(own []int, low float32) (high float32) {
	f := newForest(len(l.vs))
	top := 0
	for _, v := range own {
		top = max(top, l.vs[v].rank)
		for _, w := range l.vs[v].down {
			f.join(v, w)
		}
	}
	parts := f.sets(own)
	bySize(parts)
	line := make(skyline, top+1)
	var singles []int
	for _, part := range parts {
		if v := part[0]; len(part) == 1 && len(l.graph.out[v])+len(l.graph.in[v]) == 0 {
			singles = append(singles, v)
			continue
		}
		c := l.component(part)
		c.reduceCrossings()
		c.coordinates()
		line.add(c, low)
	}
	l.fill(&line, singles, low)
	return low + line.end()
}

// bySize sorts sets of vertices by their sizes, roughly, so that a small change keeps the order, the largest first.
func bySize(parts [][]int) {
	slices.SortStableFunc(parts, func(a, b []int) int { return bits.Len(uint(len(b))) - bits.Len(uint(len(a))) })
}

// skyline is how far each layer is taken, by rank; 0 is not at all.
type skyline []float32

func (s skyline) end() float32 {
	var end float32
	for _, x := range s {
		end = max(end, x)
	}
	return end
}

// add places a part behind those that are there.
func (s skyline) add(c *component, low float32) {
	var shift float32
	for _, layer := range c.layers {
		first := c.vertex(layer[0])
		room := s[first.rank]
		if room > 0 {
			room += partGap
		}
		shift = max(shift, room-(first.across-first.breadth/2))
	}
	for _, layer := range c.layers {
		for _, i := range layer {
			v := c.vertex(i)
			v.across += shift
			s[v.rank] = max(s[v.rank], v.across+v.breadth/2)
			v.across += low
		}
	}
}

// fill puts single nodes into the layers that are taken least, or into as many new ones as make about a square.
func (l *layers) fill(line *skyline, singles []int, low float32) {
	if len(singles) == 0 {
		return
	}
	var area float64
	for _, v := range singles {
		area += float64((l.vs[v].breadth + nodeGap) * (l.vs[v].depth + layerGap))
	}
	rows := int(math.Ceil(math.Sqrt(area) / float64(l.vs[singles[0]].depth+layerGap)))
	for len(*line) < min(rows, len(singles)) {
		*line = append(*line, 0)
	}
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
		l.vs[v].across = low + left + l.vs[v].breadth/2
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
