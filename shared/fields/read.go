package fields

import (
	"bytes"
	"slices"
	"strings"
	"sync"
	"time"

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
	w := walkers.Get().(*walker)
	defer walkers.Put(w)
	w.begin(p, raw)
	if text {
		if spread(raw) {
			raw = slices.Clone(raw)
			if err := (*jsontext.Value)(&raw).Compact(options...); err != nil {
				return Object{}, malformed(err)
			}
			w.begin(p, raw)
		}
		w.out = make([]byte, 0, len(raw))
	}
	if err := w.value(p.root, p.drops); err != nil {
		return Object{}, malformed(err)
	}
	o, err := w.object()
	w.plan, w.out, w.matches = nil, nil, nil
	return o, err
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
}

func (w *walker) begin(p *Plan, raw []byte) {
	w.plan, w.matches, w.depth, w.at = p, nil, 0, topo.At{}
	w.open = slices.Grow(w.open[:0], len(p.groups))[:len(p.groups)]
	w.dec.Reset(bytes.NewBuffer(raw), options...)
}

// value walks one value. s is nil where nothing is looked for, d where nothing is left out.
func (w *walker) value(s *step, d *drop) error {
	if s == nil && d == nil {
		raw, err := w.dec.ReadValue()
		w.write(raw)
		return err
	}
	if s != nil && w.dec.PeekKind() != 'n' {
		for _, g := range s.starts {
			w.open[g] = len(w.matches)
			w.matches = append(w.matches, Match{Group: g, At: w.at, Values: make([]string, len(w.plan.groups[g].Fields))})
		}
		if slices.ContainsFunc(s.ends, func(e end) bool { return e.raw }) {
			switch w.dec.PeekKind() {
			case '{', '[':
				return w.rawValue(s, d)
			}
		}
	}
	return w.walk(s, d)
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
	outer := w.dec
	w.dec = jsontext.NewDecoder(strings.NewReader(text), options...)
	err = w.walk(s, d)
	w.dec = outer
	return err
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
		w.write(raw)
		w.found(s, scalar(raw))
		return nil
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
func scalar(raw jsontext.Value) string {
	switch raw.Kind() {
	case 'n':
		return ""
	case '"':
		text, err := jsontext.AppendUnquote(nil, raw)
		if err != nil {
			text = bytes.ToValidUTF8(text, []byte("\uFFFD"))
		}
		return strings.ReplaceAll(string(text), "\x00", "\uFFFD")
	default:
		return string(raw)
	}
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
		dropped, err := w.entry(s, d, unquoted(name))
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

// unquoted is an entry's name. Few names need unquoting, and the others need no copy.
func unquoted(name jsontext.Value) []byte {
	if bytes.IndexByte(name, '\\') < 0 {
		return name[1 : len(name)-1]
	}
	return []byte(scalar(name))
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
		return w.fitting(next, d, string(name)) // the name lies in the decoder's buffer
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
	if next == nil {
		w.write(raw)
		return false, nil
	}
	outer := w.dec
	w.dec = jsontext.NewDecoder(strings.NewReader(string(raw)), options...)
	err = w.value(next, nil)
	w.dec = outer
	return false, err
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
func (w *walker) object() (Object, error) {
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
			o.Labels = pairsOf(v[0])
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
	o.Matches = rest
	return o, nil
}

func seconds(text string) int64 {
	t, err := time.Parse(time.RFC3339, text)
	if err != nil {
		return 0
	}
	return t.Unix()
}

// pairsOf reads an object of strings, sorted by key.
func pairsOf(raw string) []topo.Pair {
	if raw == "" || raw == "{}" {
		return nil
	}
	dec := jsontext.NewDecoder(strings.NewReader(raw), options...)
	if _, err := dec.ReadToken(); err != nil {
		return nil
	}
	var out []topo.Pair
	for dec.PeekKind() == '"' {
		name, err := dec.ReadValue()
		if err != nil {
			return out
		}
		key := scalar(name)
		value, err := dec.ReadValue()
		if err != nil {
			return out
		}
		out = append(out, topo.Pair{Key: key, Value: scalar(value)})
	}
	slices.SortStableFunc(out, func(a, b topo.Pair) int { return strings.Compare(a.Key, b.Key) })
	return slices.CompactFunc(out, func(a, b topo.Pair) bool { return a.Key == b.Key })
}
