package relational

import (
	"context"
	"slices"
	"strings"

	"github.com/kubilitics/kubilitics/hub/internal/store"
	"github.com/kubilitics/kubilitics/shared/topo"
)

// So many pairs of kind and namespace are walked along one by one, and so many of them in one query.
const (
	mostGroups = 600
	groupsEach = 24
)

// group is a kind in a namespace, of all clusters.
type group struct{ group, kind, namespace string }

// grouped walks along the kinds and namespaces in which, as the kept counts tell, there can be rows that the filter means.
func (p *stroll) grouped(ctx context.Context) (found []store.Row, done bool, err error) {
	if !narrows(p.f) {
		return nil, false, nil
	}
	groups, err := p.groups(ctx)
	if err != nil || len(groups) > mostGroups {
		return nil, false, err
	}
	for part := range slices.Chunk(groups, groupsEach) {
		w, order, err := p.meant()
		if err != nil {
			return nil, false, err
		}
		table := each(part, w, w.String(), order, ` LIMIT `+w.param(p.limit))
		rows, err := p.among(ctx, table, w.apart())
		if err != nil {
			return nil, false, err
		}
		if found = append(found, rows...); len(found) >= p.limit {
			return found[:p.limit], true, nil
		}
	}
	return found, true, nil
}

// narrows tells whether the counts know of any condition besides kinds.
func narrows(f *store.Filter) bool {
	for i := range f.Terms {
		if _, _, known := inCounts(&f.Terms[i]); known && f.Terms[i].Key != "kind" {
			return true
		}
	}
	for i := range f.Fields {
		if slices.Contains([]string{"namespace", "health", "presence"}, f.Fields[i].Key) {
			return true
		}
	}
	return len(f.Namespaces) > 0 || len(f.Kinds) > 1
}

// inCounts tells whether the counts know of a term, as a condition on their columns for kind and namespace, or as words of which states is asked.
func inCounts(t *store.Term) (column, states, known bool) {
	switch {
	case t.Op != store.Like || len(t.Values) == 0:
		return false, false, false
	case t.Key == "namespace" || t.Key == "group" || t.Key == "kind":
		return true, false, true
	}
	states = t.Key == "health" || t.Key == "presence"
	return false, states, states
}

// groups lists the pairs, those before the place where the list goes on apart.
func (p *stroll) groups(ctx context.Context) ([]group, error) {
	w, err := p.s.counted(p.a, p.f)
	if err != nil {
		return nil, err
	}
	if a := p.after; a != nil {
		w.and("(r.api_group, r.kind, r.namespace) >= (" + w.param(a.Ref.Group) + ", " + w.param(a.Ref.Kind) + ", " + w.param(a.Ref.Namespace) + ")")
	}
	return queryAll(ctx, p.s.conn, func(rows Rows, g *group) error { return rows.Scan(&g.group, &g.kind, &g.namespace) },
		`SELECT DISTINCT r.api_group, r.kind, r.namespace FROM counts r WHERE `+w.String()+` ORDER BY r.api_group, r.kind, r.namespace LIMIT `+w.param(mostGroups+1), w.args...)
}

// counted begins the conditions on rows of counts, by alias r, in which there can be rows that the filter means.
func (s *snapshot) counted(a *access, f *store.Filter) (*where, error) {
	w := s.where("r")
	if condition := a.in(w, "r.cluster_id", "r.namespace"); condition != "" {
		w.and(condition)
	}
	w.narrow(f)
	for i := range f.Terms {
		t := &f.Terms[i]
		column, states, known := inCounts(t)
		switch {
		case !known:
		case column:
			if err := w.term(t); err != nil {
				return nil, err
			}
		case states:
			w.and(anyState(func(word string) bool { return t.Not != likeOne(t.Values, word) }, t.Key, f.Placeholders))
		}
	}
	for _, q := range f.Fields {
		switch {
		case q.Key == "namespace" || q.Key == "kind":
			if err := w.field(q); err != nil {
				return nil, err
			}
		case q.Key == "health" || q.Key == "presence":
			w.and(anyState(func(word string) bool { return (q.Op == store.NotIn) != slices.Contains(q.Values, word) }, q.Key, f.Placeholders))
		}
	}
	return w, nil
}

// each gives a table of the rows r that a condition means, of each group apart: only the first of it, if there is a limit.
func each(groups []group, w *where, condition, order, limit string) string {
	var columns [3][]string
	for _, g := range groups {
		columns[0], columns[1], columns[2] = append(columns[0], g.group), append(columns[1], g.kind), append(columns[2], g.namespace)
	}
	return `(SELECT r.* FROM unnest(` + w.param(columns[0]) + `::text[], ` + w.param(columns[1]) + `::text[], ` + w.param(columns[2]) + `::text[]) AS k(api_group, kind, namespace)
		CROSS JOIN LATERAL (SELECT r.* FROM resources r WHERE ` + condition + ` AND r.api_group = k.api_group AND r.kind = k.kind AND r.namespace = k.namespace` + order + limit + `) AS r)`
}

// anyState is the condition on a row of counts that it has resources of which the word holds: what isn't there may have any health.
func anyState(holds func(word string) bool, key string, placeholders bool) string {
	sum := []string{"0"}
	for i, word := range stateColumns {
		placeholder := i > int(topo.Error)
		switch {
		case placeholder && !placeholders:
		case key == "health" && placeholder, key == "health" && holds(word):
			sum = append(sum, "r."+word)
		case key == "presence" && !placeholder && holds(topo.Present.String()), key == "presence" && placeholder && holds(word):
			sum = append(sum, "r."+word)
		}
	}
	return strings.Join(sum, " + ") + " > 0"
}

func likeOne(patterns []string, word string) bool {
	return slices.ContainsFunc(patterns, func(p string) bool { return fits(lowered(p), word) })
}
