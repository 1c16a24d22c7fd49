package search

import (
	"strings"
	"unicode"
	"unicode/utf8"
)

// operator stands between key and value.
type operator string

const (
	has     operator = ":"
	is      operator = "="
	less    operator = "<"
	greater operator = ">"
	atMost  operator = "<="
	atLeast operator = ">="
)

func (o operator) compares() bool { return o != has && o != is }

// operators in the order in which they are tried: longer ones first. Those that begin with "!" turn the term around.
var operators = []struct {
	text string
	op   operator
	not  bool
}{{"!=", is, true}, {"!:", has, true}, {"<=", atMost, false}, {">=", atLeast, false}, {"<", less, false}, {">", greater, false}, {":", has, false}, {"=", is, false}}

// term is one word of a query.
type term struct {
	at     int    // where it begins, in characters
	raw    string // the key as written
	key    string // in lower case up to the first dot
	op     operator
	values []value
	not    bool
}

type value struct {
	text   string
	quoted bool // * and ? stand for themselves
}

func (t *term) patterns() []string {
	out := make([]string, len(t.values))
	for i, v := range t.values {
		out[i] = pattern(v.text, v.quoted)
	}
	return out
}

// containing gives patterns that fit wherever the value stands; wildcards in it are meant for the whole.
func (t *term) containing() []string {
	out := t.patterns()
	for i, v := range t.values {
		if v.quoted || !strings.ContainsAny(v.text, "*?") {
			out[i] = "*" + out[i] + "*"
		}
	}
	return out
}

var literally = strings.NewReplacer(`\`, `\\`, `*`, `\*`, `?`, `\?`)

func pattern(text string, quoted bool) string {
	if quoted {
		return literally.Replace(text)
	}
	return strings.ReplaceAll(text, `\`, `\\`)
}

// scanner cuts a query into terms.
type scanner struct {
	text string
	pos  int
}

func (s *scanner) next() (*term, error) {
	for s.pos < len(s.text) {
		r, n := utf8.DecodeRuneInString(s.text[s.pos:])
		if !unicode.IsSpace(r) {
			return s.term()
		}
		s.pos += n
	}
	return nil, nil
}

func (s *scanner) term() (*term, error) {
	t := &term{at: utf8.RuneCountInString(s.text[:s.pos])}
	if s.text[s.pos] == '-' && s.pos+1 < len(s.text) && s.text[s.pos+1] != ' ' {
		t.not = true
		s.pos++
	}
	s.key(t)
	if t.raw != "" {
		t.key = lowered(t.raw)
	}
	err := s.values(t)
	return t, err
}

// key reads a key with its operator, if that is what stands there.
func (s *scanner) key(t *term) {
	end := s.pos
	for end < len(s.text) && keyByte(s.text[end]) {
		end++
	}
	if end == s.pos {
		return
	}
	for _, o := range operators {
		if strings.HasPrefix(s.text[end:], o.text) {
			t.raw, t.op = s.text[s.pos:end], o.op
			t.not = t.not != o.not
			s.pos = end + len(o.text)
			return
		}
	}
}

func keyByte(b byte) bool {
	return b >= 'a' && b <= 'z' || b >= 'A' && b <= 'Z' || b >= '0' && b <= '9' || b == '.' || b == '-' || b == '_' || b == '/'
}

// lowered leaves the name of a label or attribute as it is.
func lowered(key string) string {
	head, tail, dotted := strings.Cut(key, ".")
	if dotted {
		return strings.ToLower(head) + "." + tail
	}
	return strings.ToLower(key)
}

func (s *scanner) values(t *term) error {
	for {
		v, err := s.value(t)
		if err != nil {
			return err
		}
		if v.text == "" && !(v.quoted && t.key != "") {
			return t.bad("a value is missing")
		}
		if len(t.values) == maxValues {
			return t.bad("there are more than %d alternatives", maxValues)
		}
		t.values = append(t.values, v)
		if s.pos == len(s.text) || s.text[s.pos] != ',' {
			return nil
		}
		s.pos++
	}
}

func (s *scanner) value(t *term) (value, error) {
	if s.pos < len(s.text) && s.text[s.pos] == '"' {
		return s.quoted(t)
	}
	start := s.pos
	for s.pos < len(s.text) {
		r, n := utf8.DecodeRuneInString(s.text[s.pos:])
		if unicode.IsSpace(r) || r == ',' {
			break
		}
		s.pos += n
	}
	return value{text: s.text[start:s.pos]}, nil
}

// quoted reads up to the closing quote; a backslash takes the next character as it is.
func (s *scanner) quoted(t *term) (value, error) {
	var b strings.Builder
	for i := s.pos + 1; i < len(s.text); i++ {
		switch c := s.text[i]; {
		case c == '\\' && i+1 < len(s.text):
			i++
			b.WriteByte(s.text[i])
		case c == '"':
			s.pos = i + 1
			return value{text: b.String(), quoted: true}, nil
		default:
			b.WriteByte(c)
		}
	}
	return value{}, t.bad("the quote isn't closed")
}

// Match tells whether a pattern fits the whole text: * stands for any text, ? for one character, a backslash before a character for itself; letter case
// doesn't count.
func Match(pattern, text string) bool {
	return match([]rune(strings.ToLower(pattern)), []rune(strings.ToLower(text)))
}

// match goes back to the last star only, so its work is bounded by the product of the lengths.
func match(p, t []rune) bool {
	i, j, star, mark := 0, 0, -1, 0
	for j < len(t) {
		if i < len(p) && p[i] == '*' {
			star, mark = i, j
			i++
			continue
		}
		if width := fits(p, i, t[j]); width > 0 {
			i += width
			j++
			continue
		}
		if star < 0 {
			return false
		}
		mark++
		i, j = star+1, mark
	}
	for i < len(p) && p[i] == '*' {
		i++
	}
	return i == len(p)
}

// fits gives how much of the pattern stands for that character; 0 when it doesn't.
func fits(p []rune, i int, c rune) int {
	switch {
	case i >= len(p):
		return 0
	case p[i] == '\\' && i+1 < len(p):
		if p[i+1] == c {
			return 2
		}
		return 0
	case p[i] == '?' || p[i] == c:
		return 1
	}
	return 0
}
