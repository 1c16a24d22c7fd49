package relational

import (
	"math"
	"strconv"
	"strings"

	"github.com/kubilitics/kubilitics/hub/internal/store"
	"github.com/kubilitics/kubilitics/shared/fault"
	"github.com/kubilitics/kubilitics/shared/topo"
)

// A pattern may be as long as this, in bytes: SQLite refuses much longer ones.
const patternLimit = 4000

// Keys of terms that are columns of a row r of resources. They are there on every row, though some are empty on some.
var termColumns = map[string]string{
	"name": "r.name", "namespace": "r.namespace", "status": "r.status", "uid": "r.uid", "version": "r.version", "group": "r.api_group", store.AppKey: "r.app",
	"health": wordsOf("r.health", healthWords()), "presence": wordsOf("r.presence", presenceWords()),
}

func healthWords() (words []string) {
	for h := topo.Health(0); h <= topo.Error; h++ {
		words = append(words, h.String())
	}
	return words
}

func presenceWords() (words []string) {
	for p := topo.Present; p <= topo.Unobserved; p++ {
		words = append(words, p.String())
	}
	return words
}

// wordsOf gives an expression that words a column's number.
func wordsOf(column string, words []string) string {
	var b strings.Builder
	b.WriteString("CASE " + column)
	for i, word := range words {
		b.WriteString(" WHEN " + strconv.Itoa(i) + " THEN '" + word + "'")
	}
	return b.String() + " END"
}

// Attributes that are lists, their members parted by spaces.
var listed = map[string]string{store.ImageKey: "images", store.IPKey: "ip"}

// term adds a condition of the query language.
func (w *where) term(t *store.Term) error {
	if len(t.Values) == 0 {
		return fault.New(fault.BadRequest, "a term with the key %q needs a value", t.Key)
	}
	condition, err := w.termIs(t)
	if err != nil {
		return err
	}
	if t.Not {
		condition = "NOT coalesce(" + condition + ", FALSE)"
	}
	w.and(condition)
	return nil
}

func (w *where) termIs(t *store.Term) (string, error) {
	switch t.Op {
	case store.Like:
		for _, v := range t.Values {
			if len(v) > patternLimit {
				return "", fault.New(fault.BadRequest, "a value of the key %q is longer than %d bytes", t.Key, patternLimit)
			}
		}
		return w.likeness(t)
	case store.Less, store.Greater:
		return w.comparison(t)
	}
	return "", fault.New(fault.BadRequest, "there is no operator %q", t.Op)
}

func noKey(key string) error { return fault.New(fault.BadRequest, "there is no key %q", key) }

func (w *where) likeness(t *store.Term) (string, error) {
	if expression, ok := termColumns[t.Key]; ok {
		return w.likeAny(expression, t.Values), nil
	}
	if key, ok := strings.CutPrefix(t.Key, store.LabelKey); ok && key != "" {
		return w.labelled(key, func(value string) string { return w.likeAny(value, t.Values) }), nil
	}
	if key, ok := strings.CutPrefix(t.Key, store.AttrKey); ok && key != "" {
		return w.likeAny(w.dialect.Pair("r.attrs", w.param(key)), t.Values), nil
	}
	if attr, ok := listed[t.Key]; ok {
		return w.eachValue(t.Values, func(p *pattern) string { return w.inList(p, attr) }), nil
	}
	switch t.Key {
	case "kind":
		return w.eachValue(t.Values, w.likeKind), nil
	case store.TextKey:
		return w.eachValue(t.Values, w.inTexts), nil
	case store.AgeKey:
		return "", fault.New(fault.BadRequest, "the key %q is compared as a number", t.Key)
	}
	return "", noKey(t.Key)
}

// pattern is one value of a term, with the number of the argument that holds it as LIKE takes it.
type pattern struct {
	text string
	arg  int
}

func (w *where) pattern(text string) *pattern {
	return &pattern{text, w.arg(likePattern(text))}
}

func (w *where) eachValue(values []string, condition func(*pattern) string) string {
	any := make([]string, len(values))
	for i, v := range values {
		any[i] = condition(w.pattern(v))
	}
	return anyOf(any)
}

func (w *where) likeAny(expression string, values []string) string {
	return w.eachValue(values, func(p *pattern) string { return w.dialect.Like(expression, p.arg) })
}

// labelled is the condition that a row's label of that key fulfils a condition.
func (w *where) labelled(key string, condition func(value string) string) string {
	if w.inRow {
		pair := string(appendQuoted(nil, key)) + ":"
		return "(strpos(r.labels, " + w.param(pair) + ") > 0 AND EXISTS (SELECT 1 FROM " + w.dialect.Pairs("r.labels") + " WHERE " + w.equal("kv.key", key) + " AND " + condition("kv.value") + "))"
	}
	return "(r.cluster_id, r.id) IN (SELECT l.cluster_id, l.id FROM " + w.tables.labels + " l WHERE l.tenant_id = $1 AND " + w.equal("l.key", key) + " AND " + condition("l.value") + ")"
}

// likeKind takes a pattern as GroupKind words it; without a group, a kind of any group is meant.
func (w *where) likeKind(p *pattern) string {
	kind, group, grouped := strings.Cut(p.text, ".")
	if !grouped {
		return w.dialect.Like("r.kind", p.arg)
	}
	w.args[p.arg-1] = likePattern(kind)
	return w.dialect.Like("r.kind", p.arg) + " AND " + w.dialect.Like("r.api_group", w.arg(likePattern(group)))
}

// inList finds the pattern among the members of an attribute that is a list.
func (w *where) inList(p *pattern, attr string) string {
	key := w.param(attr)
	return "(" + w.hint("r.attrs", p) + "EXISTS (SELECT 1 FROM " + w.dialect.Words(w.dialect.Pair("r.attrs", key)) + " WHERE " + w.dialect.Like("x.value", p.arg) + "))"
}

func (w *where) inTexts(p *pattern) string {
	return anyOf([]string{
		w.dialect.Like("r.name", p.arg),
		"(" + w.hint("r.labels", p) + "EXISTS (SELECT 1 FROM " + w.dialect.Pairs("r.labels") + " WHERE " + w.dialect.Like("kv.value", p.arg) + "))",
		w.inList(p, listed[store.ImageKey]),
		w.inList(p, listed[store.IPKey]),
	})
}

// hint is a condition, with AND behind it, that every row fulfils in whose column the pattern fits one of the values: it spares most rows the reading of
// JSON. A text that JSON would write otherwise has none.
func (w *where) hint(column string, p *pattern) string {
	if strings.ContainsFunc(p.text, func(c rune) bool { return c < ' ' || strings.ContainsRune("\"\\<>&\u2028\u2029\ufffd", c) }) {
		return ""
	}
	return w.dialect.Like(column, w.arg("%"+likePattern(strings.Trim(p.text, "*"))+"%")) + " AND "
}

// likePattern gives a pattern the form of LIKE with a backslash for escape.
func likePattern(text string) string {
	var b strings.Builder
	for i := 0; i < len(text); i++ {
		c := text[i]
		if c == '\\' && i+1 < len(text) {
			i++
			literally(&b, text[i])
			continue
		}
		switch c {
		case '*':
			b.WriteByte('%')
		case '?':
			b.WriteByte('_')
		default:
			literally(&b, c)
		}
	}
	return b.String()
}

func literally(b *strings.Builder, c byte) {
	if c == '%' || c == '_' || c == '\\' {
		b.WriteByte('\\')
	}
	b.WriteByte(c)
}

// comparison takes the first value for a number. Where a row has no number, it is neither less nor greater.
func (w *where) comparison(t *store.Term) (string, error) {
	n, err := strconv.ParseFloat(t.Values[0], 64)
	if err != nil || math.IsInf(n, 0) || math.IsNaN(n) {
		return "", fault.New(fault.BadRequest, "the key %q is compared with a number, not with %q", t.Key, t.Values[0])
	}
	compare, whole := " < ", math.Ceil(n)
	if t.Op == store.Greater {
		compare, whole = " > ", math.Floor(n)
	}
	if t.Key == store.AgeKey { // whole seconds; 0 is that of what was never created
		return "(r.created <> 0 AND r.created" + compare + w.param(int64(max(min(whole, 1<<60), -1<<60))) + ")", nil
	}
	if key, ok := strings.CutPrefix(t.Key, store.LabelKey); ok && key != "" {
		return w.labelled(key, func(value string) string { return w.dialect.Number(value) + compare + w.param(n) }), nil
	}
	if key, ok := strings.CutPrefix(t.Key, store.AttrKey); ok && key != "" {
		return w.dialect.Number(w.dialect.Pair("r.attrs", w.param(key))) + compare + w.param(n), nil
	}
	if _, known := termColumns[t.Key]; known || listed[t.Key] != "" || t.Key == "kind" || t.Key == store.TextKey {
		return "", fault.New(fault.BadRequest, "the key %q is no number", t.Key)
	}
	return "", noKey(t.Key)
}
