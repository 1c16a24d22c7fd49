package export

import (
	"strings"
	"sync"
	"unicode"

	"golang.org/x/image/font"
	"golang.org/x/image/font/gofont/gobold"
	"golang.org/x/image/font/gofont/goregular"
	"golang.org/x/image/font/sfnt"
	"golang.org/x/image/math/fixed"
)

// typeface is one of the two fonts that pictures are written in: the Go fonts, which know Latin, Greek and Cyrillic letters.
type typeface struct {
	data []byte
	font *sfnt.Font

	mu       sync.Mutex
	buffer   sfnt.Buffer
	advances map[rune]float64 // of an em; -1 for what the font doesn't know
}

var regular, bold = load(goregular.TTF), load(gobold.TTF)

func load(data []byte) *typeface {
	f, err := sfnt.Parse(data)
	if err != nil {
		panic("export: " + err.Error()) // the fonts are part of the program
	}
	return &typeface{data: data, font: f, advances: map[rune]float64{}}
}

func face(isBold bool) *typeface {
	if isBold {
		return bold
	}
	return regular
}

const em = 1000 // units in which advances are asked for

// advance is a rune's width as a share of the size; -1 if the font doesn't know it.
func (t *typeface) advance(r rune) float64 {
	t.mu.Lock()
	defer t.mu.Unlock()
	if a, ok := t.advances[r]; ok {
		return a
	}
	a := -1.0
	if i, err := t.font.GlyphIndex(&t.buffer, r); err == nil && i != 0 {
		if w, err := t.font.GlyphAdvance(&t.buffer, i, fixed.I(em), font.HintingNone); err == nil {
			a = float64(w) / 64 / em
		}
	}
	if len(t.advances) < 1<<16 { // texts come from outside: what is kept of them is bounded
		t.advances[r] = a
	}
	return a
}

// replacement stands, visibly, for what the font doesn't know.
const replacement = '□'

// known replaces what the font doesn't know. SVG doesn't need it: there the reader's fonts are used.
func (t *typeface) known(s string) string {
	return strings.Map(func(r rune) rune {
		if t.advance(r) < 0 {
			return replacement
		}
		return r
	}, s)
}

// measure is the width of a text. A rune that the font doesn't know counts as the widest there is.
func measure(s string, size float64, isBold bool) float64 {
	t, sum := face(isBold), 0.0
	for _, r := range s {
		a := t.advance(r)
		if a < 0 {
			a = 1
		}
		sum += a
	}
	return sum * size
}

// plain is a text in one line of printable runes.
func plain(s string) string {
	return strings.Map(func(r rune) rune {
		switch {
		case unicode.IsSpace(r):
			return ' '
		case unicode.IsControl(r) || !unicode.IsGraphic(r) || unicode.In(r, unicode.Bidi_Control):
			return '\uFFFD'
		}
		return r
	}, s)
}

const ellipsis = "…"

// elide cuts a text in its middle, keeping more of its beginning, so that it fits; the end of a pod's name tells it from its siblings.
func elide(s string, size, room float64, isBold bool) string {
	s = plain(s)
	if measure(s, size, isBold) <= room {
		return s
	}
	runes := []rune(s)
	for keep := len(runes) - 1; keep > 0; keep-- {
		head := (keep*3 + 4) / 5
		cut := string(runes[:head]) + ellipsis + string(runes[len(runes)-(keep-head):])
		if measure(cut, size, isBold) <= room {
			return cut
		}
	}
	return ""
}
