package command

import (
	"fmt"
	"io"
	"os"
	"strings"
	"unicode"

	"golang.org/x/term"
)

// screen is where people read. Its colours are none where nobody sees them.
type screen struct {
	io.Writer
	colour bool
}

// paint is a way to write: SGR parameters, or "" for the usual one.
type paint string

const (
	plain  paint = ""
	bold   paint = "1"
	faint  paint = "2"
	red    paint = "31"
	green  paint = "32"
	yellow paint = "33"
	cyan   paint = "36"
)

// screenOf tells whether an output is somebody's terminal that can show colours, unless NO_COLOR (no-color.org) says that they aren't wanted.
func screenOf(out io.Writer) screen {
	return screen{out, isTerminal(out) && os.Getenv("NO_COLOR") == "" && os.Getenv("TERM") != "dumb"}
}

func isTerminal(w io.Writer) bool {
	f, ok := w.(*os.File)
	return ok && term.IsTerminal(int(f.Fd()))
}

// in gives a text in a colour.
func (s screen) in(p paint, text string) string {
	if !s.colour || p == plain || text == "" {
		return text
	}
	return "\x1b[" + string(p) + "m" + text + "\x1b[0m"
}

func (s screen) line(format string, args ...any) error {
	_, err := fmt.Fprintf(s, format+"\n", args...)
	return err
}

// plainly makes one line of a text that came from a cluster: what it holds must not be able to move a terminal's cursor.
func plainly(text string) string {
	return strings.Map(func(r rune) rune {
		switch {
		case r == '\n' || r == '\t' || r == '\r':
			return ' '
		case unicode.IsControl(r) || unicode.Is(unicode.Bidi_Control, r):
			return '\uFFFD'
		}
		return r
	}, text)
}

// sign is how something shows how it fares: by shape as well as by colour, for those who can't tell these.
type sign struct {
	mark string
	paint
}

var signs = map[string]sign{
	"ok": {"●", green}, "progressing": {"◐", cyan}, "warning": {"▲", yellow}, "error": {"✖", red}, "unknown": {"○", faint},
	"missing": {"∅", red}, "unobserved": {"◌", faint}, "info": {"·", faint},
	"added": {"+", green}, "removed": {"-", red}, "changed": {"~", yellow},
	"breaks": {"✖", red}, "degrades": {"▲", yellow}, "blocked": {"■", yellow},
}

// fares is the word about a resource: what isn't there has no health.
func fares(presence, health string) string {
	if presence != "" && presence != "present" {
		return presence
	}
	return health
}
