package layout

import "slices"

// placed puts the parts beside each other and writes everything down in the graph's own order.
func (l *layers) placed(roots []*region, areas []rect) *Placed {
	out := newPlaced(l.g)
	turned := l.g.Direction == LeftRight
	if turned {
		for i := range areas {
			areas[i] = areas[i].turned()
		}
	}
	corners := shelves(areas)
	path := []string{}
	if len(l.order) > 0 {
		path = l.node(0).Path[:l.prefix]
	}
	margin := float32(len(path))
	all := rect{}
	for i, root := range roots {
		dx, dy := corners[i].X-areas[i].left+margin*boxPad, corners[i].Y-areas[i].top+margin*(boxPad+titlePad)
		root.each(func(v int) {
			p := Point{l.vs[v].across + dx, l.vs[v].along + dy}
			if turned {
				p = Point{l.vs[v].along + dx, l.vs[v].across + dy}
			}
			l.vs[v].across, l.vs[v].along = p.X, p.Y // from here on: x and y
			if n := l.vs[v].node; n >= 0 {
				out.X[l.order[n]], out.Y[l.order[n]] = p.X, p.Y
			}
		})
		all = all.join(out.boxes(root, path, turned, dx, dy))
	}
	for k := len(path); k > 0; k-- { // boxes around everything
		all = all.padded()
		out.Boxes = append(out.Boxes, all.box(path[:k], len(l.order)))
	}
	slices.SortStableFunc(out.Boxes, func(a, b Box) int { return len(a.Path) - len(b.Path) })
	out.Width, out.Height = all.right, all.bottom
	l.bends(out)
	return out
}

func (r rect) turned() rect { return rect{r.top, r.left, r.bottom, r.right} }

func (r rect) box(path []string, count int) Box {
	return Box{Path: path, X: r.left, Y: r.top, Width: r.right - r.left, Height: r.bottom - r.top, Count: count}
}

// boxes adds a region's boxes and gives the area they take.
func (p *Placed) boxes(r *region, prefix []string, turned bool, dx, dy float32) rect {
	area := r.area
	if turned {
		area = area.turned()
	}
	area = rect{area.left + dx, area.top + dy, area.right + dx, area.bottom + dy}
	if len(r.path) > 0 {
		p.Boxes = append(p.Boxes, area.box(slices.Concat(prefix, r.path), r.count))
	}
	for _, box := range r.boxes {
		p.boxes(box, prefix, turned, dx, dy)
	}
	return area
}

// bends writes down where edges pass layers, for those turned around backwards.
func (l *layers) bends(out *Placed) {
	place := make([]int, len(l.order))
	for i, o := range l.order {
		place[o] = i
	}
	out.Bends = make([][]Point, len(l.g.Edges))
	for i, e := range l.g.Edges {
		v, w := place[e[0]], place[e[1]]
		route, ok := l.routes[[2]int{v, w}]
		if !ok {
			route = slices.Clone(l.routes[[2]int{w, v}])
			slices.Reverse(route)
		}
		for j := 1; j < len(route)-1; j++ {
			out.Bends[i] = append(out.Bends[i], Point{l.vs[route[j]].across, l.vs[route[j]].along})
		}
	}
}

const proportion = 1.6 // of width to height, that of a screen

// shelves puts areas side by side, in rows, and gives their corners. Of the widths that a row may have it takes the one that makes the whole fit best
// on a screen.
func shelves(areas []rect) []Point {
	var widest, all float32
	for _, a := range areas {
		widest = max(widest, a.right-a.left)
		all += a.right - a.left + partGap
	}
	var best []Point
	var least float32
	for i := range shelfWidths {
		wide := widest + (all-widest)*float32(i*i)/(shelfWidths*shelfWidths)
		corners, size := shelve(areas, wide)
		if need := max(size.X, size.Y*proportion); best == nil || need < least {
			best, least = corners, need
		}
	}
	return best
}

const shelfWidths = 24 // that are tried, from that of the widest area on, closer to each other at the beginning

// shelve fills rows of a width, and gives the size of the whole.
func shelve(areas []rect, wide float32) (corners []Point, size Point) {
	corners = make([]Point, len(areas))
	var x, y, tall float32
	for i, a := range areas {
		w, h := a.right-a.left, a.bottom-a.top
		if x > 0 && x+w > wide {
			x, y, tall = 0, y+tall+partGap, 0
		}
		corners[i] = Point{x, y}
		size = Point{max(size.X, x+w), max(size.Y, y+h)}
		x += w + partGap
		tall = max(tall, h)
	}
	return corners, size
}
