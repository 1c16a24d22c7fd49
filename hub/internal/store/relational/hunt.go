package relational

import (
	"cmp"
	"context"
	"slices"
	"strings"

	"github.com/kubilitics/kubilitics/hub/internal/fleet"
	"github.com/kubilitics/kubilitics/hub/internal/store"
	"github.com/kubilitics/kubilitics/shared/topo"
)

// How a search among many rows goes, cheapest first: names that begin with the word, along an index of names; a look at the beginning of every kind,
// which finds enough of what is common; the index of texts, which finds what is not. What none of them can say is found by looking at every row.
const (
	namesRead  = 3000  // names with the word at their start that are looked at
	sampleRows = 6000  // rows looked at, of all kinds together
	hitsRead   = 5000  // rows that fit and are all looked up
	groupRows  = 50000 // rows of some kinds and namespaces that are looked at rather than the hits of a common word
)

func (h *hunt) find(ctx context.Context) ([]store.Row, error) {
	f, none, err := h.s.resolved(ctx, h.f)
	if err != nil || none {
		return nil, err
	}
	h.f = f
	if len(h.words) == 0 {
		return h.s.list(ctx, h.f, nil, h.want, nil)
	}
	if !h.s.walks() {
		return h.scan(ctx, &h.a)
	}
	if err := h.narrow(ctx); err != nil || h.narrowed && len(h.groups) == 0 {
		return nil, err
	}
	if few, err := h.few(ctx); err != nil || few {
		if err != nil {
			return nil, err
		}
		return h.scan(ctx, &h.a)
	}
	common, err := h.sample(ctx)
	if err != nil {
		return nil, err
	}
	lag, err := h.s.lag(ctx)
	if err != nil {
		return nil, err
	}
	if lag == nil || h.s.where("x").inTextsIndex(h.f, byReading) == "" {
		if len(common) == h.want {
			return common, nil
		}
		return h.scan(ctx, &h.a)
	}
	return h.indexed(ctx, lag, common)
}

// indexed answers from the indexes of names and texts, and from what they have not taken in.
func (h *hunt) indexed(ctx context.Context, lag *lag, common []store.Row) ([]store.Row, error) {
	found, err := h.begins(ctx)
	if err != nil {
		return nil, err
	}
	found = append(found, common...)
	if len(common) < h.want {
		hits, err := h.hits(ctx)
		if err != nil {
			return nil, err
		}
		found = append(found, hits...)
	}
	late, err := h.late(ctx, lag)
	return h.best(append(found, late...)), err
}

// narrow finds the kinds and namespaces in which there can be rows that are meant, where the filter says something of these and they aren't too many.
func (h *hunt) narrow(ctx context.Context) error {
	if !narrows(h.f) {
		return nil
	}
	p := &stroll{s: h.s, seen: h.seen, a: &h.a, f: h.f}
	groups, err := p.groups(ctx)
	if err == nil && len(groups) <= mostGroups {
		h.groups, h.narrowed = groups, true
	}
	return err
}

// few tells whether there are so few rows to look at, as the kept counts say.
func (h *hunt) few(ctx context.Context) (bool, error) {
	n, err := h.s.size(ctx, &h.a, h.f)
	h.size = n
	return n <= int64(h.s.sql.FewRows), err
}

// size is how many rows an access shows, of the kinds and namespaces in which there can be rows that a filter means.
func (s *snapshot) size(ctx context.Context, a *access, f *store.Filter) (n int64, err error) {
	w, err := s.counted(a, f)
	if err != nil {
		return 0, err
	}
	_, err = queryOne(ctx, s.conn, `SELECT CAST(coalesce(sum(r.`+strings.Join(stateColumns, " + r.")+`), 0) AS bigint) FROM counts r WHERE `+w.String(), w.args, &n)
	return n, err
}

// best puts rows found in several ways in order, each once.
func (h *hunt) best(rows []store.Row) []store.Row {
	slices.SortFunc(rows, func(a, b store.Row) int {
		return cmp.Or(cmp.Compare(h.rankOf(a.Node.Ref.Name), h.rankOf(b.Node.Ref.Name)), a.Node.Ref.Compare(b.Node.Ref), cmp.Compare(a.Cluster, b.Cluster))
	})
	rows = slices.CompactFunc(rows, func(a, b store.Row) bool { return a.Cluster == b.Cluster && a.ID == b.ID })
	return rows[:min(h.want, len(rows))]
}

// ranked lists the best rows of what stands for the rows, which fulfil the filter already.
func (h *hunt) ranked(ctx context.Context, table string, w *where) ([]store.Row, error) {
	rest := w.apart()
	rank := h.rank(rest)
	return h.s.rows(ctx, h.seen, table, rest.String()+` ORDER BY `+rank+`, `+keyOrder+` LIMIT `+rest.param(h.want), rest.args)
}

// sample looks at the first rows of each kind, in each of the namespaces where these are known.
func (h *hunt) sample(ctx context.Context) ([]store.Row, error) {
	w, err := h.s.filtered(&h.a, h.f)
	if err != nil {
		return nil, err
	}
	scope := w.apart()
	if condition := h.a.in(scope, "r.cluster_id", "r.namespace"); condition != "" {
		scope.and(condition)
	}
	w.args = scope.args
	const order = ` ORDER BY ` + keyOrder
	if h.narrowed {
		limit := ` LIMIT ` + w.param(max(sampleRows/len(h.groups), 50))
		return h.ranked(ctx, `(SELECT r.* FROM `+each(h.groups, w, scope.String(), order, limit)+` AS r WHERE `+w.String()+`)`, w)
	}
	kinds, err := h.kinds(ctx)
	if err != nil || len(kinds) == 0 {
		return nil, err
	}
	groups, names := make([]string, len(kinds)), make([]string, len(kinds))
	for i, k := range kinds {
		groups[i], names[i] = k.Group, k.Kind
	}
	limit := ` LIMIT ` + w.param(max(sampleRows/len(kinds), 100))
	return h.ranked(ctx, `(SELECT r.* FROM unnest(`+w.param(groups)+`::text[], `+w.param(names)+`::text[]) AS k(api_group, kind) CROSS JOIN LATERAL (SELECT r.* FROM resources r
		WHERE `+scope.String()+` AND r.api_group = k.api_group AND r.kind = k.kind`+order+limit+`) AS r WHERE `+w.String()+`)`, w)
}

// kinds gives those asked for, or all there are: one look into the index each.
func (h *hunt) kinds(ctx context.Context) ([]topo.GroupKind, error) {
	if len(h.f.Kinds) > 0 {
		return h.f.Kinds, nil
	}
	const next = ` ORDER BY r.api_group, r.kind LIMIT 1`
	return queryAll(ctx, h.s.conn, func(rows Rows, k *topo.GroupKind) error { return rows.Scan(&k.Group, &k.Kind) },
		`WITH RECURSIVE k AS ((SELECT r.api_group, r.kind FROM resources r WHERE r.tenant_id = $1`+next+`) UNION ALL SELECT n.api_group, n.kind FROM k CROSS JOIN LATERAL
			(SELECT r.api_group, r.kind FROM resources r WHERE r.tenant_id = $1 AND (r.api_group, r.kind) > (k.api_group, k.kind)`+next+`) AS n)
		SELECT k.api_group, k.kind FROM k`, int64(h.s.tenant))
}

// begins looks at names that begin with the first of the words, in their order: the names that are the word come first.
func (h *hunt) begins(ctx context.Context) ([]store.Row, error) {
	w, err := h.s.filtered(&h.a, h.f)
	if err != nil {
		return nil, err
	}
	var any []string
	for _, v := range h.words[0] {
		prefix := lowered(core(v))
		if i := strings.IndexAny(prefix, `*?\`); i >= 0 {
			prefix = prefix[:i]
		}
		if prefix == "" {
			return nil, nil
		}
		any = append(any, "x.name >= "+w.param(prefix)+" AND x.name < "+w.param(prefix+"\U0010FFFF"))
	}
	return h.looked(ctx, w, anyOf(any)+" ORDER BY x.name LIMIT "+w.param(namesRead), namesRead)
}

// hits looks up what the index of texts finds: all of it, where that is little. Else what is found in the kinds and namespaces that are meant, if there
// are not too many rows in these, or the best of the first that fit.
func (h *hunt) hits(ctx context.Context) ([]store.Row, error) {
	t := h.s.where("x")
	few, err := h.s.fewHits(ctx, t, t.inTextsIndex(h.f, byReading))
	if err != nil {
		return nil, err
	}
	enough := hitsRead
	if !few {
		if h.narrowed && h.size <= groupRows {
			return h.scan(ctx, &h.a)
		}
		enough = 4 * h.want
	}
	w, err := h.s.filtered(&h.a, h.f)
	if err != nil {
		return nil, err
	}
	return h.looked(ctx, w, w.inTextsIndex(h.f, byReading), enough)
}

// fewHits tells whether few rows x of search_texts fulfil a condition.
func (s *snapshot) fewHits(ctx context.Context, w *where, condition string) (bool, error) {
	var n int
	_, err := queryOne(ctx, s.conn, `SELECT count(*) FROM (SELECT 1 FROM search_texts x WHERE x.tenant_id = $1 AND `+condition+` LIMIT `+w.param(hitsRead+1)+`) AS few`, w.args, &n)
	return n <= hitsRead, err
}

// looked reads rows that fulfil the filter, by the rows x of search_texts that fulfil a condition: the best of so many.
func (h *hunt) looked(ctx context.Context, w *where, condition string, enough int) ([]store.Row, error) {
	return h.ranked(ctx, lookUp(condition, w)+` LIMIT `+w.param(enough)+`)`, w)
}

// lookUp begins a table of the rows r that fulfil conditions, by rows x of search_texts, each looked up by its key; it lacks the closing parenthesis.
func lookUp(condition string, w *where) string {
	return `(SELECT r.* FROM (SELECT x.cluster_id, x.id FROM search_texts x WHERE x.tenant_id = $1 AND ` + condition + `) AS x CROSS JOIN LATERAL
		(SELECT r.* FROM resources r WHERE r.cluster_id = x.cluster_id AND r.id = x.id AND ` + w.String() + ` LIMIT 1) AS r`
}

// late looks at what the indexes have not taken in.
func (h *hunt) late(ctx context.Context, l *lag) (found []store.Row, err error) {
	for _, a := range h.a.each() {
		c, _ := a.only()
		ids, whole := l.rows[fleet.ClusterID(c)], slices.Contains(l.whole, fleet.ClusterID(c))
		if len(ids) == 0 && !whole {
			continue
		}
		w, err := h.s.filtered(&a, h.f)
		if err != nil {
			return nil, err
		}
		if !whole {
			w.and(w.ids("r.id", ids))
		}
		rank := h.rank(w)
		rows, err := h.s.rows(ctx, h.seen, "resources", w.String()+` ORDER BY `+rank+`, `+keyOrder+` LIMIT `+w.param(h.want), w.args)
		if err != nil {
			return nil, err
		}
		found = append(found, rows...)
	}
	return found, nil
}

// rankOf is what rank has the database work out.
func (h *hunt) rankOf(name string) int {
	worst := 0
	for _, alternatives := range h.words {
		best := 3
		for _, v := range alternatives {
			v = core(v)
			for i, p := range []string{v, v + "*", "*" + v + "*"} {
				if i < best && fits(lowered(p), lowered(name)) {
					best = i
				}
			}
		}
		worst = max(worst, best)
	}
	return worst
}

// fits tells whether a pattern fits a text, both in lower case. It goes back to the last star only.
func fits(pattern, text string) bool {
	p, t := []rune(pattern), []rune(text)
	i, j, star, mark := 0, 0, -1, 0
	for j < len(t) {
		switch {
		case i < len(p) && p[i] == '*':
			star, mark = i, j
			i++
			continue
		case i+1 < len(p) && p[i] == '\\' && p[i+1] == t[j]:
			i, j = i+2, j+1
			continue
		case i < len(p) && (p[i] == '?' || p[i] == t[j] && (p[i] != '\\' || i+1 == len(p))):
			i, j = i+1, j+1
			continue
		case star < 0:
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
