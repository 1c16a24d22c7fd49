package pods

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"math"
	"time"
	"unicode/utf8"
)

// pieceBytes is how much of a line is passed on at once, and what a source reads ahead.
const pieceBytes = 16 << 10

// piece is a line as a kubelet gives it, or a part of one that is very long.
type piece struct {
	at     time.Time // zero where the kubelet says no time
	text   []byte    // valid until the next is read
	goesOn bool      // the next piece is of the same line
	size   int       // bytes as they came, with the time and the end of the line
}

// lineReader reads a log that was asked for with timestamps.
type lineReader struct {
	r      *bufio.Reader
	inside bool // a line that has begun
	at     time.Time
	rest   []byte // of a character that a piece would cut in two
}

func newLineReader(r io.Reader) *lineReader {
	return &lineReader{r: bufio.NewReaderSize(r, pieceBytes)}
}

// next gives a piece. Of a line that breaks off, what there is isn't given: it is read again with the rest. One that ends with the log is whole.
func (l *lineReader) next() (piece, error) {
	raw, err := l.r.ReadSlice('\n')
	full := errors.Is(err, bufio.ErrBufferFull)
	switch {
	case err == nil || full:
	case errors.Is(err, io.EOF) && len(raw) > 0:
	default:
		return piece{}, err
	}
	p := piece{at: l.at, text: bytes.TrimSuffix(raw, []byte("\n")), goesOn: full, size: len(raw)}
	if !l.inside {
		p.at, p.text = stamped(p.text)
		l.at = p.at
	}
	l.inside = full
	p.text = l.whole(p.text, full)
	return p, nil
}

// whole moves what there is of a character that a piece would cut in two to the next piece.
func (l *lineReader) whole(text []byte, goesOn bool) []byte {
	if len(l.rest) > 0 {
		text = append(l.rest, text...)
		l.rest = nil
	}
	if !goesOn {
		return text
	}
	for back := 1; back < utf8.UTFMax && back <= len(text); back++ {
		if at := len(text) - back; utf8.RuneStart(text[at]) {
			if !utf8.FullRune(text[at:]) {
				l.rest = bytes.Clone(text[at:])
				return text[:at]
			}
			break
		}
	}
	return text
}

// waiting tells whether a whole line can be read without waiting for the cluster.
func (l *lineReader) waiting() bool {
	ahead, _ := l.r.Peek(l.r.Buffered()) // never more than there is
	return bytes.IndexByte(ahead, '\n') >= 0
}

// stamped takes the time off a line's front.
func stamped(line []byte) (time.Time, []byte) {
	stamp, text, _ := bytes.Cut(line, []byte(" "))
	t, err := time.Parse(time.RFC3339Nano, string(stamp))
	if err != nil {
		return time.Time{}, line
	}
	return t, text
}

// mark is how far a log was passed on: the newest instant, and how many whole lines bear it.
type mark struct {
	at    time.Time
	lines int
}

// until is the mark of who had everything up to t.
func until(t time.Time) mark { return mark{at: t, lines: math.MaxInt} }

// passed moves the mark. Lines of two outputs may be a little out of order; one that is much earlier tells that the clock was set back.
func (m *mark) passed(t time.Time) {
	switch {
	case t.After(m.at), t.Before(m.at.Add(-time.Second)):
		*m = mark{at: t, lines: 1}
	case t.Equal(m.at) && m.lines < math.MaxInt:
		m.lines++
	}
}

// sieve keeps back what was passed on before: a log is opened again from a whole second on, because Kubernetes counts no finer. Lines of one
// instant are told apart by their number, since their order in the log doesn't change.
type sieve struct {
	had  mark
	seen int // lines of that very instant that came again
	drop bool
}

// holds tells whether a piece was had. The rest of a line goes where its beginning went.
func (s *sieve) holds(p piece, begins bool) bool {
	if !begins {
		return s.drop
	}
	s.drop = false
	switch {
	case s.had.at.IsZero() || p.at.IsZero():
	case p.at.Before(s.had.at):
		s.drop = true
	case p.at.Equal(s.had.at) && s.seen < s.had.lines:
		s.seen++
		s.drop = true
	case p.at.After(s.had.at):
		s.had = mark{} // all that follows is new, even where a clock goes back a little
	}
	return s.drop
}
