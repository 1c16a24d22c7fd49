package export

import (
	"math"
	"slices"

	"github.com/kubilitics/kubilitics/hub/internal/layout"
	"github.com/kubilitics/kubilitics/shared/topo"
)

// Sizes of what is drawn.
const (
	markWidth   = 216
	markHeight  = 44
	badgeWidth  = 42
	margin      = 28
	sheetOffset = 4   // of the second sheet of a group
	minWidth    = 720 // of a page: what title and legend need
)

var (
	ink    = hex("#111827")
	grey   = hex("#5b6472")
	faint  = hex("#cbd2db")
	paper  = hex("#ffffff")
	veil   = hex("#f6f8fa")
	alarm  = hex("#b45309")
	border = hex("#aab3c0")
)

const outsideShare = 0.5 // of its colours that an outside node keeps

// composer makes a scene of a picture.
type composer struct {
	*picture
	scene  *scene
	placed *layout.Placed
	dx, dy float64 // where the graph begins
}

func compose(p *picture) *scene {
	p.thin()
	c := &composer{picture: p, scene: &scene{title: p.title}, dx: margin}
	c.place()
	c.scene.width = math.Ceil(max(minWidth, float64(c.placed.Width)+2*margin))
	c.header()
	c.boxes()
	c.lines()
	for i := range c.marks {
		c.mark(i)
	}
	c.legend(c.dy + float64(c.placed.Height) + margin)
	return c.scene
}

func (c *composer) place() {
	g := layout.Graph{Direction: layout.LeftRight}
	for i := range c.marks {
		g.Nodes = append(g.Nodes, layout.Node{Key: c.marks[i].key, Width: markWidth, Height: markHeight, Path: c.marks[i].path})
	}
	for _, l := range c.links {
		g.Edges = append(g.Edges, [2]int{l.from, l.to})
	}
	placed, err := layout.Layered(g)
	if err != nil {
		placed = layout.Packed(g) // for numbers of nodes that nobody draws
	}
	c.placed = placed
}

func (c *composer) header() {
	room := c.scene.width - 2*margin
	y := float64(margin) + 16
	c.scene.write(c.title, margin, y, 20, room, true, ink)
	y += 20
	x := float64(margin)
	for i, f := range c.facts {
		if i > 0 {
			x += 7 + c.scene.write("·", x+7, y, 11.5, 10, false, grey) + 7
		}
		x += c.scene.write(f, x, y, 11.5, max(0, margin+room-x), false, grey)
	}
	if c.stale != "" {
		y += 18
		c.sign(healthOf("warning"), margin+6, y-4, 5.5, 1)
		c.scene.write(c.stale, margin+18, y, 11.5, room-18, true, alarm)
	}
	for _, n := range c.notes {
		for _, part := range wrap(n, 11.5, room) {
			y += 17
			c.scene.write(part, margin, y, 11.5, room, false, alarm)
		}
	}
	c.dy = math.Ceil(y + 22)
}

// wrap breaks a text into lines that fit.
func wrap(text string, size, room float64) (lines []string) {
	start, lastSpace := 0, -1
	for i, r := range text {
		if r != ' ' {
			continue
		}
		if lastSpace > start && measure(text[start:i], size, false) > room {
			lines = append(lines, text[start:lastSpace])
			start = lastSpace + 1
		}
		lastSpace = i
	}
	if lastSpace > start && measure(text[start:], size, false) > room {
		lines = append(lines, text[start:lastSpace])
		start = lastSpace + 1
	}
	return append(lines, text[start:])
}

// boxes draws the boxes, each with its name and the sign of the worst health in it.
func (c *composer) boxes() {
	for i := range c.placed.Boxes {
		b := &c.placed.Boxes[i]
		x, y, w, h := c.dx+float64(b.X), c.dy+float64(b.Y), float64(b.Width), float64(b.Height)
		fill := veil
		if len(b.Path)%2 == 0 {
			fill = paper
		}
		name := b.Path[len(b.Path)-1]
		c.scene.add(&figure{path: rounded(x, y, w, h, 10), fill: &fill, stroke: &faint, width: 1, title: name})
		c.scene.write(name, x+14, y+21, 12.5, w-50, true, grey)
		c.sign(c.worst(b.Path), x+w-20, y+17, 5, 1)
	}
}

// worst is the worst health of what is in a box.
func (c *composer) worst(path []string) healthLook {
	var all []topo.Health
	for i := range c.marks {
		if m := &c.marks[i]; len(m.path) >= len(path) && slices.Equal(m.path[:len(path)], path) {
			all = append(all, severity(m.health))
		}
	}
	return healthOf(topo.Worst(all...).String())
}

func severity(word string) topo.Health {
	for h := topo.Unknown; h <= topo.Error; h++ {
		if h.String() == word {
			return h
		}
	}
	return topo.Unknown
}

// mark draws a node: a badge with the kind, the name, what there is to say below it, and the health's sign.
func (c *composer) mark(i int) {
	m := &c.marks[i]
	x, y := c.dx+float64(c.placed.X[i])-markWidth/2, c.dy+float64(c.placed.Y[i])-markHeight/2
	share := 1.0
	if m.outside {
		share = outsideShare
	}
	health := healthOf(m.health)
	edge, width := border, 1.0
	if m.health == "error" || m.health == "warning" {
		edge, width = hex(health.Colour), 1.6
	}
	edge = edge.faded(share)
	frame := &figure{path: rounded(x, y, markWidth, markHeight, 8), fill: &paper, stroke: &edge, width: width, title: m.kind + " " + m.name}
	badge := badgeColour(m.kind).faded(share)
	plate := &figure{path: rounded(x+5, y+5, badgeWidth, markHeight-10, 5), fill: &badge}
	word := paper
	if m.missing {
		frame.dash = dashes
		plate = &figure{path: plate.path, fill: &paper, stroke: &badge, width: 1, dash: dashes}
		word = badge
	}
	if m.group { // a second sheet behind the first
		c.scene.add(&figure{path: rounded(x+sheetOffset, y+sheetOffset, markWidth, markHeight, 8), fill: &veil, stroke: &faint, width: 1})
	}
	c.scene.add(frame, plate)
	short := abbreviate(m.kind)
	size := min(11, 11*(badgeWidth-5)/measure(short, 11, true))
	c.scene.centred(short, x+5+badgeWidth/2, y+markHeight/2+0.36*size, size, badgeWidth, true, word)
	c.words(m, x+badgeWidth+12, y, share)
	c.sign(health, x+markWidth-13, y+14, 5, share)
	if m.group {
		c.bar(m, x+badgeWidth+12, y+markHeight-6)
	}
}

func (c *composer) words(m *mark, x, y, share float64) {
	const room = markWidth - badgeWidth - 12
	shift := 0.0
	if m.group {
		shift = -3
	}
	if m.detail == "" {
		c.scene.write(m.name, x, y+markHeight/2+4+shift, 11.5, room-24, false, ink.faded(share))
		return
	}
	said := grey
	if m.missing || m.health == "error" || m.health == "warning" {
		said = hex(healthOf(m.health).Colour)
	}
	c.scene.write(m.name, x, y+19+shift, 11.5, room-24, false, ink.faded(share))
	c.scene.write(m.detail, x, y+34+shift, 10, room-8, false, said.faded(share))
}

// bar shows a group's healths by their shares.
func (c *composer) bar(m *mark, x, y float64) {
	const whole = markWidth - badgeWidth - 24
	total := m.absent
	for _, n := range m.counts {
		total += n
	}
	for _, h := range healths {
		if n := m.counts[h.Name]; n > 0 {
			w := whole * float64(n) / float64(total)
			fill := hex(h.Colour)
			c.scene.add(&figure{path: polygon(point{x, y - 1.5}, point{x + w, y - 1.5}, point{x + w, y + 1.5}, point{x, y + 1.5}), fill: &fill})
			x += w
		}
	}
}

// sign draws a health's sign around a point.
func (c *composer) sign(h healthLook, x, y, r, share float64) {
	col := hex(h.Colour).faded(share)
	switch h.Shape {
	case dot:
		c.scene.add(&figure{path: circle(x, y, r), fill: &col})
	case ring:
		c.scene.add(&figure{path: circle(x, y, r-0.9), fill: &paper, stroke: &col, width: 2.2})
	case triangle:
		c.scene.add(&figure{path: polygon(point{x, y - 1.1*r}, point{x + 1.15*r, y + 0.95*r}, point{x - 1.15*r, y + 0.95*r}), fill: &col})
	case square:
		c.scene.add(&figure{path: polygon(point{x - r, y - r}, point{x + r, y - r}, point{x + r, y + r}, point{x - r, y + r}), fill: &col})
	case hollow:
		c.scene.add(&figure{path: circle(x, y, r-0.6), fill: &paper, stroke: &col, width: 1.1})
	}
}
