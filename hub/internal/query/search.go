package query

import (
	"context"
	"regexp"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/kubilitics/kubilitics/hub/internal/fleet"
	"github.com/kubilitics/kubilitics/hub/internal/store"
	"github.com/kubilitics/kubilitics/shared/topo"
)

// Bounds of a search.
const (
	DefaultHits   = 50
	MaxHits       = 500
	DefaultValues = 20
	MaxValues     = 200
	maxHighlights = 20 // of one row
)

// SearchQuestion asks for the resources that are meant, best first.
type SearchQuestion struct {
	Where
	Limit int // 0: DefaultHits
}

// SearchResult is the best of what was found.
type SearchResult struct {
	Meta
	Items []Found `json:"items" doc:"best first: the text is the name, begins it, is in it, or stands elsewhere"`
	More  bool    `json:"more" doc:"there are others; restrict the query, or list with the same q to have them all page by page"`
	Total Total   `json:"total"`
}

// Found is a resource that was looked for, and why it is one.
type Found struct {
	Resource
	Highlights []Highlight `json:"highlights" doc:"where the query's terms fit"`
}

// Highlight is a part of a field that a term of the query fits.
type Highlight struct {
	Field  string `json:"field" doc:"name, namespace, kind, status, labels.KEY, attrs.KEY …"`
	Start  int    `json:"start" doc:"in characters (Unicode code points) from the field's beginning"`
	Length int    `json:"length"`
}

// Search answers a SearchQuestion.
func (q *Querier) Search(ctx context.Context, p fleet.Principal, s SearchQuestion) (*SearchResult, error) {
	limit, err := (Page{Limit: s.Limit}).limit(DefaultHits, MaxHits)
	if err != nil {
		return nil, err
	}
	var out *SearchResult
	err = q.read(ctx, "search", scope{p, fleet.List, s.Clusters, s.At}, func(ctx context.Context, r *reading) error {
		f, err := s.filter(r.view)
		if err != nil {
			return err
		}
		rows, more, err := r.Snapshot.Search(ctx, f, limit)
		if err != nil {
			return err
		}
		out = &SearchResult{Items: make([]Found, 0, len(rows)), More: more, Total: Total{Count: len(rows), Exact: !more}}
		marker := newMarker(s.Terms)
		appear := map[fleet.ClusterID]bool{}
		for i := range rows {
			appear[rows[i].Cluster] = true
			out.Items = append(out.Items, Found{resource(&rows[i]), marker.mark(&rows[i].Node)})
		}
		out.Meta = r.meta(appear)
		return nil
	})
	return out, err
}

// marker finds where terms fit.
type marker struct {
	terms []markedTerm
}

type markedTerm struct {
	key      string
	patterns []*regexp.Regexp
}

func newMarker(terms []store.Term) *marker {
	m := &marker{}
	for _, t := range terms {
		if t.Op != store.Like || t.Not {
			continue
		}
		marked := markedTerm{key: t.Key}
		for _, v := range t.Values {
			if re := patternOf(v); re != nil {
				marked.patterns = append(marked.patterns, re)
			}
		}
		if len(marked.patterns) > 0 {
			m.terms = append(m.terms, marked)
		}
	}
	return m
}

// patternOf turns a pattern into an expression that finds what it says, without the stars around it; nil where it says nothing but stars.
func patternOf(pattern string) *regexp.Regexp {
	inner := strings.TrimLeft(pattern, "*")
	var b strings.Builder
	b.WriteString("(?is)")
	if inner == pattern {
		b.WriteString("^")
	}
	said, open := false, false
	for rest := []rune(inner); len(rest) > 0; rest = rest[1:] {
		c := rest[0]
		if c == '*' {
			open = true
			continue
		}
		if open {
			b.WriteString(".*?")
			open = false
		}
		switch {
		case c == '?':
			b.WriteString(".")
		case c == '\\' && len(rest) > 1:
			rest = rest[1:]
			b.WriteString(regexp.QuoteMeta(string(rest[0])))
		default:
			b.WriteString(regexp.QuoteMeta(string(c)))
		}
		said = true
	}
	if !said {
		return nil
	}
	if !open {
		b.WriteString("$")
	}
	re, err := regexp.Compile(b.String())
	if err != nil {
		return nil // everything is quoted; a pattern too long for an expression highlights nothing
	}
	return re
}

// mark gives where the terms fit a node, each place once.
func (m *marker) mark(n *topo.Node) []Highlight {
	out := []Highlight{}
	for _, t := range m.terms {
		for _, f := range fieldsOf(n, t.key) {
			for _, re := range t.patterns {
				if h, ok := f.find(re); ok && !slices.Contains(out, h) && len(out) < maxHighlights {
					out = append(out, h)
				}
			}
		}
	}
	return out
}

// field is a text of a node that a term may fit; of a list, one of its words.
type field struct {
	name string
	text string
	at   int // where the word begins, in characters
}

func (f field) find(re *regexp.Regexp) (Highlight, bool) {
	span := re.FindStringIndex(f.text)
	if span == nil || span[0] == span[1] {
		return Highlight{}, false
	}
	return Highlight{
		Field: f.name, Start: f.at + utf8.RuneCountInString(f.text[:span[0]]), Length: utf8.RuneCountInString(f.text[span[0]:span[1]]),
	}, true
}

// fieldsOf gives the texts of a node that a term of that key is about.
func fieldsOf(n *topo.Node, key string) []field {
	if k, ok := strings.CutPrefix(key, store.LabelKey); ok {
		return pairField(nil, "labels.", k, n.Labels)
	}
	if k, ok := strings.CutPrefix(key, store.AttrKey); ok {
		return pairField(nil, "attrs.", k, n.Attrs)
	}
	switch key {
	case "name":
		return []field{{"name", n.Ref.Name, 0}}
	case "namespace":
		return []field{{"namespace", n.Ref.Namespace, 0}}
	case "kind":
		return []field{{"kind", n.Ref.Kind, 0}}
	case "group":
		return []field{{"group", n.Ref.Group, 0}}
	case "status":
		return []field{{"status", n.Status, 0}}
	case "uid":
		return []field{{"uid", n.UID, 0}}
	case "version":
		return []field{{"version", n.Version, 0}}
	case store.AppKey:
		return pairField(nil, "attrs.", "app", n.Attrs)
	case store.ImageKey:
		return wordFields(nil, "images", n)
	case store.IPKey:
		return wordFields(nil, "ip", n)
	case store.TextKey:
		out := []field{{"name", n.Ref.Name, 0}}
		for _, l := range n.Labels {
			out = append(out, field{"labels." + l.Key, l.Value, 0})
		}
		return wordFields(wordFields(out, "images", n), "ip", n)
	}
	return nil
}

func pairField(out []field, prefix, key string, pairs []topo.Pair) []field {
	if v, ok := topo.Value(pairs, key); ok {
		out = append(out, field{prefix + key, v, 0})
	}
	return out
}

// wordFields gives the words of an attribute that is a list.
func wordFields(out []field, attr string, n *topo.Node) []field {
	text, _ := topo.Value(n.Attrs, attr)
	at := 0
	for i, word := range strings.Split(text, " ") {
		if i > 0 {
			at++ // the space
		}
		if word != "" {
			out = append(out, field{"attrs." + attr, word, at})
		}
		at += utf8.RuneCountInString(word)
	}
	return out
}

// ValuesQuestion asks which values a key has, to be typed ahead.
type ValuesQuestion struct {
	Where
	Key    string // of a store's term; store.LabelKey alone asks for the labels' keys
	Prefix string
	Limit  int // 0: DefaultValues
}

// ValueList is values of a key, the most frequent first.
type ValueList struct {
	Meta
	Items []Value `json:"items"`
}

// Value is a value that occurs, and how often.
type Value struct {
	Text   string `json:"text"`
	Number int    `json:"number" doc:"resources that have it; may be an estimate"`
}

// Values answers a ValuesQuestion.
func (q *Querier) Values(ctx context.Context, p fleet.Principal, v ValuesQuestion) (*ValueList, error) {
	limit, err := (Page{Limit: v.Limit}).limit(DefaultValues, MaxValues)
	if err != nil {
		return nil, err
	}
	out := &ValueList{Items: []Value{}}
	err = q.read(ctx, "values", scope{p, fleet.List, v.Clusters, v.At}, func(ctx context.Context, r *reading) error {
		f, err := v.filter(r.view)
		if err != nil {
			return err
		}
		values, err := r.Snapshot.Values(ctx, f, v.Key, v.Prefix, limit)
		for _, x := range values {
			out.Items = append(out.Items, Value(x))
		}
		out.Meta = r.meta(nil)
		return err
	})
	return out, err
}
