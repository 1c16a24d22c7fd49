package export

import (
	"image"
	"image/color"
	"image/draw"
	"image/png"
	"io"
	"math"

	"golang.org/x/image/font"
	"golang.org/x/image/font/opentype"
	"golang.org/x/image/math/fixed"
	"golang.org/x/image/vector"

	"github.com/kubilitics/kubilitics/shared/fault"
)

const (
	pixelsPerUnit = 2 // as screens and print want it
	maxPixels     = 16 << 20
)

// writePNG writes the scene as pixels, two a unit, and fewer where that made more than maxPixels.
func writePNG(w io.Writer, s *scene) error {
	scale, area := pixels(s)
	c := &raster{scale: scale, faces: map[faceKey]font.Face{}, image: image.NewRGBA(area)}
	draw.Draw(c.image, c.image.Bounds(), image.White, image.Point{}, draw.Src)
	for _, item := range s.items {
		switch x := item.(type) {
		case *figure:
			c.figure(x)
		case *label:
			if err := c.label(x); err != nil {
				return err
			}
		}
	}
	if err := (&png.Encoder{CompressionLevel: png.BestSpeed}).Encode(w, c.image); err != nil {
		return fault.Wrap(err, fault.Internal, "the PNG can't be written")
	}
	return nil
}

// pixels are how many a unit has, and all of them.
func pixels(s *scene) (scale float64, area image.Rectangle) {
	scale = min(pixelsPerUnit, math.Sqrt(maxPixels/(s.width*s.height)))
	return scale, image.Rect(0, 0, int(s.width*scale), int(s.height*scale))
}

// raster paints onto an image.
type raster struct {
	image *image.RGBA
	scale float64
	mask  vector.Rasterizer
	faces map[faceKey]font.Face
}

type faceKey struct {
	size float64
	bold bool
}

func (c *raster) figure(f *figure) {
	lines := c.flatten(f.path)
	if f.fill != nil {
		c.fill(lines, *f.fill)
	}
	if f.stroke == nil {
		return
	}
	half := max(f.width*c.scale, 0.7) / 2
	for _, l := range lines {
		for _, d := range dashed(l, f.dash, c.scale) {
			for _, part := range pieces(d) {
				c.fill(outline(part, half), *f.stroke)
			}
		}
	}
}

// fill paints areas that belong together, by the rule of winding numbers.
func (c *raster) fill(areas [][]point, col colour) {
	var box image.Rectangle
	for _, a := range areas {
		for _, p := range a {
			x, y := int(math.Floor(p.x)), int(math.Floor(p.y))
			box = box.Union(image.Rect(x, y, x+2, y+2))
		}
	}
	box = box.Intersect(c.image.Bounds())
	if box.Empty() {
		return
	}
	c.mask.Reset(box.Dx(), box.Dy())
	for _, a := range areas {
		for i, p := range a {
			x, y := float32(p.x-float64(box.Min.X)), float32(p.y-float64(box.Min.Y))
			if i == 0 {
				c.mask.MoveTo(x, y)
			} else {
				c.mask.LineTo(x, y)
			}
		}
		c.mask.ClosePath()
	}
	c.mask.Draw(c.image, box, image.NewUniform(color.RGBA{col[0], col[1], col[2], 255}), image.Point{})
}

// flatten makes lines of a path, in pixels. A closed one ends where it began.
func (c *raster) flatten(path []piece) (out [][]point) {
	at := func(p point) point { return point{p.x * c.scale, p.y * c.scale} }
	var now []point
	for i := range path {
		p := &path[i]
		switch p.verb {
		case 'M':
			if len(now) > 0 {
				out = append(out, now)
			}
			now = []point{at(p.points[0])}
		case 'L':
			now = append(now, at(p.points[0]))
		case 'C':
			now = bezier(now, at(p.points[0]), at(p.points[1]), at(p.points[2]))
		case 'Z':
			now = append(now, now[0])
		}
	}
	return append(out, now)
}

// bezier adds a curve as lines of a few pixels.
func bezier(line []point, c1, c2, end point) []point {
	from := line[len(line)-1]
	length := math.Hypot(c1.x-from.x, c1.y-from.y) + math.Hypot(c2.x-c1.x, c2.y-c1.y) + math.Hypot(end.x-c2.x, end.y-c2.y)
	n := int(min(400, max(4, length/4)))
	for i := 1; i <= n; i++ {
		t := float64(i) / float64(n)
		u := 1 - t
		a, b, d, e := u*u*u, 3*u*u*t, 3*u*t*t, t*t*t
		line = append(line, point{a*from.x + b*c1.x + d*c2.x + e*end.x, a*from.y + b*c1.y + d*c2.y + e*end.y})
	}
	return line
}

// label writes a text with its own font at its own size.
func (c *raster) label(l *label) error {
	key := faceKey{l.size, l.bold}
	if c.faces[key] == nil {
		f, err := opentype.NewFace(face(l.bold).font, &opentype.FaceOptions{Size: l.size * c.scale, DPI: 72, Hinting: font.HintingNone})
		if err != nil {
			return fault.Wrap(err, fault.Internal, "a font can't be used")
		}
		c.faces[key] = f
	}
	d := font.Drawer{
		Dst: c.image, Src: image.NewUniform(color.RGBA{l.colour[0], l.colour[1], l.colour[2], 255}), Face: c.faces[key],
		Dot: fixed.Point26_6{X: fixed.Int26_6(l.x * c.scale * 64), Y: fixed.Int26_6(l.y * c.scale * 64)},
	}
	d.DrawString(face(l.bold).known(l.text))
	return nil
}
