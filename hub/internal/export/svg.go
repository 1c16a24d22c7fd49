package export

import (
	"bufio"
	"fmt"
	"io"
	"strconv"
	"strings"
)

// writeSVG writes the scene as SVG. Texts stay texts, in the reader's font, pressed into the width they were measured to have.
func writeSVG(out io.Writer, s *scene) error {
	w := bufio.NewWriter(out)
	fmt.Fprintf(w, `<svg xmlns="http://www.w3.org/2000/svg" width="%s" height="%s" viewBox="0 0 %s %s" role="img" font-family="Go, Arial, Helvetica, 'Liberation Sans', sans-serif">`+"\n",
		short(s.width), short(s.height), short(s.width), short(s.height))
	fmt.Fprintf(w, "<title>%s</title>\n<rect width=\"100%%\" height=\"100%%\" fill=\"#ffffff\"/>\n", escapeXML(s.title))
	for _, item := range s.items {
		switch x := item.(type) {
		case *figure:
			svgFigure(w, x)
		case *label:
			svgLabel(w, x)
		}
	}
	fmt.Fprintln(w, "</svg>")
	return w.Flush()
}

// short writes a number with two decimals at most.
func short(x float64) string {
	s := strconv.FormatFloat(x, 'f', 2, 64)
	return strings.TrimRight(strings.TrimRight(s, "0"), ".")
}

func svgFigure(w io.Writer, f *figure) {
	var d strings.Builder
	for i := range f.path {
		d.WriteByte(f.path[i].verb)
		for j, p := range f.path[i].used() {
			if j > 0 {
				d.WriteByte(' ')
			}
			d.WriteString(short(p.x) + " " + short(p.y))
		}
	}
	fmt.Fprintf(w, `<path d="%s"`, d.String())
	if f.fill != nil {
		fmt.Fprintf(w, ` fill="%s"`, f.fill)
	} else {
		fmt.Fprint(w, ` fill="none"`)
	}
	if f.stroke != nil {
		fmt.Fprintf(w, ` stroke="%s" stroke-width="%s"`, f.stroke, short(f.width))
	}
	if len(f.dash) > 0 {
		parts := make([]string, len(f.dash))
		for i, l := range f.dash {
			parts[i] = short(l)
		}
		fmt.Fprintf(w, ` stroke-dasharray="%s"`, strings.Join(parts, " "))
	}
	if f.title == "" {
		fmt.Fprintln(w, "/>")
		return
	}
	fmt.Fprintf(w, "><title>%s</title></path>\n", escapeXML(f.title))
}

func svgLabel(w io.Writer, l *label) {
	weight := ""
	if l.bold {
		weight = ` font-weight="bold"`
	}
	fmt.Fprintf(w, `<text x="%s" y="%s" font-size="%s"%s fill="%s" textLength="%s" lengthAdjust="spacingAndGlyphs">%s</text>`+"\n",
		short(l.x), short(l.y), short(l.size), weight, l.colour, short(l.width), escapeXML(l.text))
}
