package fields

import (
	"bytes"
	"hash/maphash"
	"slices"
	"strings"
	"sync"
	"time"
	"unicode/utf8"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/kubilitics/kubilitics/shared/fault"
	"github.com/kubilitics/kubilitics/shared/topo"
)

// Object is what a pass finds.
type Object struct {
	APIVersion      string
	Kind            string
	Namespace       string
	Name            string
	UID             string
	ResourceVersion string
	Created         int64 // Unix seconds; 0 where there is none
	Labels          []topo.Pair
	Owners          []topo.Owner
	Bookmark        bool // it is the bookmark that ends a streamed list
	Matches         []Match
	Text            []byte // compact JSON without what is left out; nil unless asked for
}

// options accept what people have written: wrong UTF-8 becomes U+FFFD, of an entry that comes twice the last one counts.
var options = []jsontext.Options{jsontext.AllowInvalidUTF8(true), jsontext.AllowDuplicateNames(true)}

var walkers = sync.Pool{New: func() any { return &walker{dec: jsontext.NewDecoder(bytes.NewReader(nil), options...)} }}

// Read makes the pass over one object's JSON. Malformed JSON is a BadRequest.
func (p *Plan) Read(raw []byte, text bool) (Object, error) {
	if !text {
		return p.ReadInto(raw, nil)
	}
	return p.ReadInto(raw, make([]byte, 0, len(raw)))
}

// ReadInto is Read with a buffer that the text is written into, from its start; without one no text is made. The object's Text is the buffer, or
// a larger one if it was too small.
func (p *Plan) ReadInto(raw, text []byte) (Object, error) {
	if text != nil && spread(raw) {
		raw = slices.Clone(raw)
		if err := (*jsontext.Value)(&raw).Compact(options...); err != nil {
			return Object{}, malformed(err)
		}
	}
	w := walkers.Get().(*walker)
	w.begin(p, raw)
	if text != nil {
		w.out = text[:0]
	}
	err := w.value(p.root, p.drops)
	o := w.object()
	w.end()
	if err != nil {
		return Object{}, malformed(err)
	}
	return o, nil
}

func malformed(err error) error {
	return fault.Wrap(err, fault.BadRequest, "the object's JSON is malformed")
}

// spread tells JSON that was written for people. That of an API server has no white space between tokens.
func spread(raw []byte) bool {
	return bytes.IndexByte(raw, '\n') >= 0 || bytes.Contains(raw, []byte(`": `))
}

// walker is one pass.
type walker struct {
	plan    *Plan
	dec     *jsontext.Decoder
	open    []int // by group: its place in matches while the pass is inside
	at      topo.At
	depth   int
	matches []Match
	out     []byte // nil: no text is made

	values  []string  // room for those of the next matches
	inner   []*reader // of values that are walked by themselves, for use again
	unquote []byte
	words   [512]string // that came by, each at the place of its hash
}

// reader is a decoder of a value in memory.
type reader struct {
	dec *jsontext.Decoder
	src bytes.Buffer
}

func (w *walker) begin(p *Plan, raw []byte) {
	w.plan, w.depth, w.at, w.out = p, 0, topo.At{}, nil
	w.open = slices.Grow(w.open[:0], len(p.groups))[:len(p.groups)]
	w.dec.Reset(bytes.NewBuffer(raw), options...)
}

// end gives the walker back. One that panicked doesn't get here, and is lost.
func (w *walker) end() {
	clear(w.matches)
	w.plan, w.out, w.matches = nil, nil, w.matches[:0]
	walkers.Put(w)
}

// within walks by a decoder of its own what the outer one has read. It needs a copy, for the outer one's buffer may move.
func (w *walker) within(raw string, walk func() error) error {
	var r *reader
	if n := len(w.inner); n > 0 {
		r, w.inner = w.inner[n-1], w.inner[:n-1]
	} else {
		r = &reader{dec: jsontext.NewDecoder(bytes.NewReader(nil), options...)}
	}
	r.src.Reset()
	r.src.WriteString(raw)
	r.dec.Reset(&r.src, options...)
	outer := w.dec
	w.dec = r.dec
	err := walk()
	w.dec = outer
	if r.src.Cap() <= keepBuffer {
		w.inner = append(w.inner, r)
	}
	return err
}

// keepBuffer is how large a buffer may be kept for the next object.
const keepBuffer = 32 << 10

// take gives room for the values of a match, many of which share one allocation.
func (w *walker) take(n int) []string {
	if n > len(w.values) {
		w.values = make([]string, max(n, 128))
	}
	out := w.values[:n:n]
	w.values = w.values[n:]
	return out
}

// word is a string of these bytes. Most short ones in objects are the same over and over: those aren't made anew.
func (w *walker) word(b []byte) string {
	if len(b) == 0 || len(b) > maxWord {
		return string(b)
	}
	at := &w.words[maphash.Bytes(wordSeed, b)%uint64(len(w.words))]
	if *at != string(b) {
		*at = string(b)
	}
	return *at
}

const maxWord = 48

var wordSeed = maphash.MakeSeed()

// value walks one value. s is nil where nothing is looked for, d where nothing is left out.
func (w *walker) value(s *step, d *drop) error {
	if s == nil && d == nil {
		raw, err := w.dec.ReadValue()
		w.write(raw)
		return err
	}
	if s != nil && w.dec.PeekKind() != 'n' {
		w.enter(s)
		if slices.ContainsFunc(s.ends, func(e end) bool { return e.raw }) {
			switch w.dec.PeekKind() {
			case '{', '[':
				return w.rawValue(s, d)
			}
		}
	}
	return w.walk(s, d)
}

// enter begins the matches of the groups whose place this is.
func (w *walker) enter(s *step) {
	for _, g := range s.starts {
		w.open[g] = len(w.matches)
		w.matches = append(w.matches, Match{Group: g, At: w.at, Values: w.take(len(w.plan.groups[g].Fields))})
	}
}

// rawValue takes a value as its JSON, and walks it as well.
func (w *walker) rawValue(s *step, d *drop) error {
	raw, err := w.dec.ReadValue()
	if err != nil {
		return err
	}
	text := string(raw)
	for _, e := range s.ends {
		if e.raw {
			w.matches[w.open[e.group]].Values[e.field] = text
		}
	}
	if d == nil && s.names == nil && s.each == nil {
		w.write(raw)
		w.found(s, composite)
		return nil
	}
	return w.within(text, func() error { return w.walk(s, d) })
}

func (w *walker) walk(s *step, d *drop) error {
	switch w.dec.PeekKind() {
	case '{':
		w.found(s, composite)
		return w.entries(s, d)
	case '[':
		w.found(s, composite)
		return w.elements(s, d)
	default:
		raw, err := w.dec.ReadValue()
		if err != nil {
			return err
		}
		w.leaf(s, raw)
		return nil
	}
}

// leaf takes a value that is neither object nor list.
func (w *walker) leaf(s *step, raw jsontext.Value) {
	w.write(raw)
	if s != nil && len(s.ends) > 0 {
		w.found(s, w.scalar(raw))
	}
}

// found gives the value of the fields that end here.
func (w *walker) found(s *step, text string) {
	if s == nil {
		return
	}
	for _, e := range s.ends {
		if !e.raw || text != composite {
			w.matches[w.open[e.group]].Values[e.field] = text
		}
	}
}

// composite is the value of a field that is an object or a list.
const composite = "{}"

// scalar is the text of a string, number or boolean, and "" for null. What no store can hold becomes U+FFFD.
func (w *walker) scalar(raw jsontext.Value) string {
	switch raw.Kind() {
	case 'n':
		return ""
	case '"':
		return w.word(w.unquoted(raw))
	default:
		return w.word(raw)
	}
}

// unquoted is what a JSON string says, good until the next call. Few need more than to be stripped of their quotes.
func (w *walker) unquoted(raw jsontext.Value) []byte {
	if bytes.IndexByte(raw, '\\') < 0 && utf8.Valid(raw) {
		return raw[1 : len(raw)-1]
	}
	text, err := jsontext.AppendUnquote(w.unquote[:0], raw)
	if err != nil {
		text = bytes.ToValidUTF8(text, []byte("\uFFFD"))
	}
	if cap(text) <= keepBuffer {
		w.unquote = text[:0]
	}
	return bytes.ReplaceAll(text, []byte{0}, []byte("\uFFFD"))
}

func (w *walker) write(raw []byte) {
	if w.out != nil {
		w.out = append(w.out, raw...)
	}
}

// entries walks an object.
func (w *walker) entries(s *step, d *drop) error {
	if _, err := w.dec.ReadToken(); err != nil {
		return err
	}
	w.write([]byte{'{'})
	first := true
	for w.dec.PeekKind() != '}' {
		name, err := w.dec.ReadValue()
		if err != nil {
			return err
		}
		kept := len(w.out)
		if !first {
			w.write([]byte{','})
		}
		w.write(name)
		w.write([]byte{':'})
		dropped, err := w.entry(s, d, w.unquoted(name))
		if err != nil {
			return err
		}
		if dropped {
			w.out = w.out[:kept]
		} else {
			first = false
		}
	}
	w.write([]byte{'}'})
	_, err := w.dec.ReadToken()
	return err
}

// entry walks the value of one entry and tells whether the text goes on without it.
func (w *walker) entry(s *step, d *drop, name []byte) (dropped bool, err error) {
	var next *step
	if s != nil {
		next = s.names[string(name)]
	}
	var without *drop
	if d != nil {
		without = d.names[string(name)]
	}
	out := w.out
	switch {
	case d != nil && d.values:
		if err := w.dec.SkipValue(); err != nil {
			return false, err
		}
		w.write([]byte("null"))
		return false, nil
	case without != nil && without.whole:
		w.out = nil
		err = w.value(next, nil)
		w.out = out
		return true, err
	case d != nil && d.unfit != nil:
		return w.fitting(next, d, w.word(name)) // the name lies in the decoder's buffer
	default:
		return false, w.value(next, without)
	}
}

// fitting walks the value of an entry unless it is unfit: then neither text nor fields have it.
func (w *walker) fitting(next *step, d *drop, name string) (dropped bool, err error) {
	raw, err := w.dec.ReadValue()
	if err != nil || d.unfit(name, raw) {
		return true, err
	}
	switch {
	case next == nil:
		w.write(raw)
	case raw.Kind() == '{', raw.Kind() == '[':
		return false, w.within(string(raw), func() error { return w.value(next, nil) })
	default:
		if raw.Kind() != 'n' {
			w.enter(next)
		}
		w.leaf(next, raw)
	}
	return false, nil
}

// elements walks a list.
func (w *walker) elements(s *step, d *drop) error {
	if _, err := w.dec.ReadToken(); err != nil {
		return err
	}
	w.write([]byte{'['})
	var next *step
	if s != nil {
		next = s.each
	}
	var without *drop
	if d != nil {
		without = d.each
	}
	level := w.depth
	if next != nil && level < len(w.at) {
		w.depth++
	}
	for i := 0; w.dec.PeekKind() != ']'; i++ {
		if i > 0 {
			w.write([]byte{','})
		}
		if next != nil && level < len(w.at) {
			w.at[level] = int16(min(i, 1<<15-1))
		}
		if err := w.value(next, without); err != nil {
			return err
		}
	}
	if next != nil && level < len(w.at) {
		w.depth, w.at[level] = level, 0
	}
	w.write([]byte{']'})
	_, err := w.dec.ReadToken()
	return err
}

// object gathers what the built-in groups found and leaves the others as matches.
func (w *walker) object() Object {
	own := len(w.plan.groups) - len(builtin)
	o := Object{Text: w.out}
	rest := w.matches[:0]
	for _, m := range w.matches {
		v := m.Values
		switch m.Group - own {
		case 0:
			o.APIVersion, o.Kind, o.Namespace, o.Name, o.UID, o.ResourceVersion = v[0], v[1], v[2], v[3], v[4], v[5]
			o.Created, o.Bookmark = seconds(v[6]), v[7] == "true"
		case 1:
			o.Labels = w.pairs(v[0])
		case 2:
			group, _, ok := strings.Cut(v[0], "/")
			if !ok {
				group = ""
			}
			o.Owners = append(o.Owners, topo.Owner{Group: group, Kind: v[1], Name: v[2], UID: v[3], Controller: v[4] == "true"})
		default:
			rest = append(rest, m)
		}
	}
	o.Matches = slices.Clone(rest)
	return o
}

func seconds(text string) int64 {
	t, err := time.Parse(time.RFC3339, text)
	if err != nil {
		return 0
	}
	return t.Unix()
}

// pairs reads an object of strings, sorted by key.
func (w *walker) pairs(raw string) (out []topo.Pair) {
	if raw == "" || raw == composite {
		return nil
	}
	_ = w.within(raw, func() error { // it has been read once
		if _, err := w.dec.ReadToken(); err != nil {
			return err
		}
		for w.dec.PeekKind() == '"' {
			name, err := w.dec.ReadValue()
			if err != nil {
				return err
			}
			key := w.scalar(name)
			value, err := w.dec.ReadValue()
			if err != nil {
				return err
			}
			out = append(out, topo.Pair{Key: key, Value: w.scalar(value)})
		}
		return nil
	})
	slices.SortStableFunc(out, func(a, b topo.Pair) int { return strings.Compare(a.Key, b.Key) })
	return slices.CompactFunc(out, func(a, b topo.Pair) bool { return a.Key == b.Key })
}
