package relational

import (
	"context"
	"strings"

	"github.com/kubilitics/kubilitics/hub/internal/store"
)

// Search implements store.Found.
func (s *snapshot) Search(ctx context.Context, f store.Filter, limit int) (rows []store.Row, more bool, err error) {
	seen, a, err := s.access(ctx, f.View, f.Clusters)
	if err != nil || a.empty() {
		return nil, false, err
	}
	if err := s.where("r").filter(&f); err != nil {
		return nil, false, err
	}
	h := &hunt{s: s, seen: seen, a: a, f: &f, want: limit + 1}
	for i := range f.Terms {
		if t := &f.Terms[i]; t.Key == store.TextKey && t.Op == store.Like && !t.Not {
			h.words = append(h.words, t.Values)
		}
	}
	if rows, err = h.find(ctx); err != nil {
		return nil, false, err
	}
	return rows[:min(limit, len(rows))], len(rows) > limit, nil
}

// hunt is one search under way. A row is as good as the worst of the words fits it, and a word fits as well as its best alternative.
type hunt struct {
	s     *snapshot
	seen  *sight
	a     access
	f     *store.Filter
	words [][]string // of each word looked for, the alternatives
	want  int

	groups   []group // where narrowed: the only ones in which there can be rows that are meant
	narrowed bool
	size     int64 // rows in them, or in all
}

// scan looks at every row that an access shows.
func (h *hunt) scan(ctx context.Context, a *access) ([]store.Row, error) {
	w, err := h.s.filtered(a, h.f)
	if err != nil {
		return nil, err
	}
	if h.narrowed {
		return h.ranked(ctx, each(h.groups, w, w.String(), "", ""), w)
	}
	rank := h.rank(w)
	return h.s.rows(ctx, h.seen, h.s.tables.resources, w.String()+` ORDER BY `+rank+`, `+keyOrder+` LIMIT `+w.param(h.want), w.args)
}

const keyOrder = `r.api_group, r.kind, r.namespace, r.name, r.cluster_id`

// rank tells how well the words fit a row's name: 0 the whole of it, 1 its start, 2 somewhere in it, 3 not at all.
func (h *hunt) rank(w *where) string {
	b := strings.Builder{}
	b.WriteString("CASE")
	for i, ends := range [][2]string{{"", ""}, {"", "%"}, {"%", "%"}} {
		b.WriteString(" WHEN " + h.named(w, ends) + " THEN " + string(rune('0'+i)))
	}
	return b.String() + " ELSE 3 END"
}

// named is the condition that every word stands in the name, with that before and behind it.
func (h *hunt) named(w *where, ends [2]string) string {
	all := make([]string, len(h.words))
	for i, alternatives := range h.words {
		any := make([]string, len(alternatives))
		for j, v := range alternatives {
			any[j] = w.dialect.Like("r.name", w.arg(ends[0]+likePattern(core(v))+ends[1]))
		}
		all[i] = anyOf(any)
	}
	return strings.Join(all, " AND ")
}

// core is a pattern without the stars around it.
func core(pattern string) string {
	pattern = strings.TrimLeft(pattern, "*")
	for strings.HasSuffix(pattern, "*") && !strings.HasSuffix(pattern, `\*`) {
		pattern = strings.TrimSuffix(pattern, "*")
	}
	return pattern
}
