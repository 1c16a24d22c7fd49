package export

import (
	"fmt"
	"math"
	"strconv"
)

// colour is red, green and blue.
type colour [3]uint8

// hex reads "#rrggbb", as written in this package.
func hex(s string) colour {
	v, err := strconv.ParseUint(s[1:], 16, 32)
	if err != nil {
		panic("export: " + err.Error())
	}
	return colour{uint8(v >> 16), uint8(v >> 8), uint8(v)}
}

func (c colour) String() string { return fmt.Sprintf("#%02x%02x%02x", c[0], c[1], c[2]) }

// faded is the colour at that share, on white.
func (c colour) faded(share float64) colour {
	for i := range c {
		c[i] = uint8(math.Round(255 - share*float64(255-c[i])))
	}
	return c
}

// scene is a picture as shapes and texts, painted in their order. Lengths are in units of 1/96 inch; y grows downwards.
type scene struct {
	width, height float64
	title         string
	items         []any // *figure or *label
}

// figure is a path that is filled, stroked or both.
type figure struct {
	path   []piece
	fill   *colour
	stroke *colour
	width  float64 // of the stroke
	dash   []float64
	title  string // what it is, for those who point at it
}

// piece is a part of a path: a beginning, a line, a cubic curve whose last point is its end, or the closing.
type piece struct {
	verb   byte // 'M', 'L', 'C', 'Z'
	points [3]point
}

type point struct{ x, y float64 }

// label is a line of text. x is its left end, y its baseline, width what it was measured to take.
type label struct {
	x, y, size, width float64
	bold              bool
	colour            colour
	text              string
}

// box is the rectangle a label takes, from its ascenders to its descenders.
func (l *label) box() (left, top, right, bottom float64) {
	return l.x, l.y - 0.78*l.size, l.x + l.width, l.y + 0.22*l.size
}

func (s *scene) add(items ...any) { s.items = append(s.items, items...) }

// write adds a text whose left end is at x, cut in the middle to fit, and gives what width it takes.
func (s *scene) write(text string, x, y, size, room float64, bold bool, c colour) float64 {
	text = elide(text, size, room, bold)
	if text == "" {
		return 0
	}
	l := &label{x: x, y: y, size: size, bold: bold, colour: c, text: text, width: measure(text, size, bold)}
	s.add(l)
	return l.width
}

// centred adds a text whose middle is at x.
func (s *scene) centred(text string, x, y, size, room float64, bold bool, c colour) {
	text = elide(text, size, room, bold)
	s.write(text, x-measure(text, size, bold)/2, y, size, room+1, bold, c)
}

func line(points ...point) []piece {
	out := make([]piece, len(points))
	for i, p := range points {
		out[i] = piece{'L', [3]point{p}}
	}
	out[0].verb = 'M'
	return out
}

func polygon(points ...point) []piece { return append(line(points...), piece{verb: 'Z'}) }

func curve(c1, c2, end point) piece { return piece{'C', [3]point{c1, c2, end}} }

const arc = 0.5523 // of a radius: where the control points of a quarter of a circle are

// rounded is a rectangle with round corners.
func rounded(x, y, w, h, r float64) []piece {
	k := r * (1 - arc)
	return []piece{
		{'M', [3]point{{x + r, y}}}, {'L', [3]point{{x + w - r, y}}}, curve(point{x + w - k, y}, point{x + w, y + k}, point{x + w, y + r}),
		{'L', [3]point{{x + w, y + h - r}}}, curve(point{x + w, y + h - k}, point{x + w - k, y + h}, point{x + w - r, y + h}),
		{'L', [3]point{{x + r, y + h}}}, curve(point{x + k, y + h}, point{x, y + h - k}, point{x, y + h - r}),
		{'L', [3]point{{x, y + r}}}, curve(point{x, y + k}, point{x + k, y}, point{x + r, y}), {verb: 'Z'},
	}
}

func circle(x, y, r float64) []piece { return rounded(x-r, y-r, 2*r, 2*r, r) }

// bounds is the rectangle around a path's points.
func bounds(path []piece) (left, top, right, bottom float64) {
	left, top, right, bottom = math.Inf(1), math.Inf(1), math.Inf(-1), math.Inf(-1)
	for _, p := range path {
		for _, q := range p.used() {
			left, top, right, bottom = min(left, q.x), min(top, q.y), max(right, q.x), max(bottom, q.y)
		}
	}
	return left, top, right, bottom
}

func (p *piece) used() []point {
	switch p.verb {
	case 'C':
		return p.points[:]
	case 'Z':
		return nil
	}
	return p.points[:1]
}
