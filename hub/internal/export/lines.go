package export

import (
	"cmp"
	"math"
	"slices"
)

const (
	arrowLength = 8
	arrowHalf   = 3.4
	portSpan    = markHeight - 18 // of a mark's side that lines begin and end at
)

// end is one end of a link (2 × link is where it begins, 2 × link + 1 where it ends), and where it leads, by which the ends at one side are sorted.
type end struct {
	link   int
	toward point
}

// lines draws the links, each from the side of a mark that faces the other one. Those of a side spread over it, in the order of where they lead.
func (c *composer) lines() {
	starts, ends := c.ports()
	for i := range c.links {
		if c.links[i].from == c.links[i].to {
			c.loop(i)
			continue
		}
		c.link(i, starts[i], ends[i])
	}
}

// corners is the way of a link through the layers: the middles of its marks, and the places it passes.
func (c *composer) corners(i int) []point {
	l := &c.links[i]
	out := []point{c.middle(l.from)}
	if c.placed.Bends != nil {
		for _, b := range c.placed.Bends[i] {
			out = append(out, point{c.dx + float64(b.X), c.dy + float64(b.Y)})
		}
	}
	return append(out, c.middle(l.to))
}

func (c *composer) middle(m int) point {
	return point{c.dx + float64(c.placed.X[m]), c.dy + float64(c.placed.Y[m])}
}

// ports gives the points at which links begin and end.
func (c *composer) ports() (starts, ends []point) {
	type side struct {
		mark  int
		right bool
	}
	sides := map[side][]end{}
	for i := range c.links {
		way := c.corners(i)
		n := len(way)
		if c.links[i].from == c.links[i].to {
			continue
		}
		from, to := side{c.links[i].from, way[1].x >= way[0].x}, side{c.links[i].to, way[n-2].x > way[n-1].x}
		sides[from] = append(sides[from], end{link: 2 * i, toward: way[1]})
		sides[to] = append(sides[to], end{link: 2*i + 1, toward: way[n-2]})
	}
	starts, ends = make([]point, len(c.links)), make([]point, len(c.links))
	for s, list := range sides {
		slices.SortFunc(list, func(a, b end) int { return cmp.Or(cmp.Compare(a.toward.y, b.toward.y), cmp.Compare(a.link, b.link)) })
		at := c.middle(s.mark)
		at.x -= markWidth / 2
		if s.right {
			at.x += markWidth + c.sheet(s.mark)
		}
		step := min(8, portSpan/float64(max(1, len(list)-1)))
		for k, e := range list {
			p := point{at.x, at.y + (float64(k)-float64(len(list)-1)/2)*step}
			if e.link%2 == 0 {
				starts[e.link/2] = p
			} else {
				ends[e.link/2] = p
			}
		}
	}
	return starts, ends
}

// link draws a line that leaves and reaches marks, and passes layers, level.
func (c *composer) link(i int, from, to point) {
	way := c.corners(i)
	ahead := 1.0
	if way[len(way)-1].x < way[0].x {
		ahead = -1
	}
	last := 1.0
	if to.x > way[len(way)-1].x {
		last = -1
	}
	tip := to
	to.x -= last * arrowLength
	path := line(from)
	at := from
	for _, b := range way[1 : len(way)-1] {
		in, out := point{b.x - ahead*markWidth/2, b.y}, point{b.x + ahead*markWidth/2, b.y}
		path = append(path, level(at, in), line(out)[0])
		path[len(path)-1].verb = 'L'
		at = out
	}
	path = append(path, level(at, to))
	c.stroke(i, path, tip, point{last, 0})
}

// level is a curve that begins and ends level.
func level(from, to point) piece {
	reach := (to.x - from.x) / 2
	return curve(point{from.x + reach, from.y}, point{to.x - reach, to.y}, to)
}

// sheet is how far a mark reaches beyond its side, being a group.
func (c *composer) sheet(m int) float64 {
	if c.marks[m].group {
		return sheetOffset
	}
	return 0
}

// loop draws a link from a mark to itself, over its upper side, where neighbours leave room for it.
func (c *composer) loop(i int) {
	m := c.middle(c.links[i].from)
	from, tip := point{m.x + markWidth/2 - 56, m.y - markHeight/2}, point{m.x + markWidth/2 - 30, m.y - markHeight/2}
	to := point{tip.x, tip.y - arrowLength}
	path := append(line(from), curve(point{from.x, from.y - 12}, point{from.x + 4, from.y - 13}, point{(from.x + to.x) / 2, from.y - 13}),
		curve(point{to.x - 4, to.y - 5}, point{to.x, to.y - 4}, to))
	c.stroke(i, path, tip, point{0, 1})
}

// stroke draws a path in the look of a link's type, with an arrow at its tip.
func (c *composer) stroke(i int, path []piece, tip, direction point) {
	l := &c.links[i]
	look := lookOf(l.kind)
	col := hex(look.Colour)
	if c.marks[l.from].outside || c.marks[l.to].outside {
		col = col.faded(outsideShare)
	}
	width := 1.2 + min(3, 0.4*math.Log2(float64(max(1, l.count))))
	title := l.kind + " from " + c.marks[l.from].name + " to " + c.marks[l.to].name
	c.scene.add(&figure{path: path, stroke: &col, width: width, dash: stretched(look.Dash, width/1.2), title: title}, arrow(tip, direction, col, 1+(width-1.2)/3))
}

// stretched makes dashes longer, for wider lines.
func stretched(dash []float64, by float64) []float64 {
	out := make([]float64, len(dash))
	for i, l := range dash {
		out[i] = l * by
	}
	return out
}

func arrow(tip, direction point, col colour, scale float64) *figure {
	back := point{tip.x - direction.x*arrowLength*scale, tip.y - direction.y*arrowLength*scale}
	across := point{-direction.y * arrowHalf * scale, direction.x * arrowHalf * scale}
	return &figure{path: polygon(tip, point{back.x + across.x, back.y + across.y}, point{back.x - across.x, back.y - across.y}), fill: &col}
}
