package relational

import (
	"context"
	"reflect"
	"strings"

	"github.com/kubilitics/kubilitics/hub/internal/store"
)

// How many rows are looked at to count those that conditions besides those of the list's index mean: beyond, the number is a lower bound.
const (
	countedLabels = 1000 // looked up one by one
	countedSteps  = 3000 // walked along
)

// noted is how many rows a filter means, as the page before found out.
type noted struct {
	filter store.Filter
	n      int
}

// Number implements store.Snapshot.
func (s *snapshot) Number(ctx context.Context, f store.Filter, limit int) (n int, exact bool, err error) {
	seen, a, err := s.access(ctx, f.View, f.Clusters)
	if err != nil || a.empty() {
		return 0, true, err
	}
	if s.noted != nil && reflect.DeepEqual(s.noted.filter, f) {
		return min(s.noted.n, limit), s.noted.n <= limit, nil
	}
	narrowed := len(f.Names)+len(f.Labels)+len(f.Terms)+len(f.Fields) > 0
	switch {
	case s.keeps() && !narrowed:
		n, err = s.numberKept(ctx, &a, &f)
		exact = true
	case s.walks() && narrowed && len(f.Names) == 0:
		n, exact, err = s.numberAbout(ctx, &stroll{s: s, seen: seen, a: &a, f: &f})
	default:
		return s.numberAll(ctx, &a, &f, limit)
	}
	return min(n, limit), exact && n <= limit, err
}

// numberKept asks the kept counts, which know clusters, kinds and namespaces.
func (s *snapshot) numberKept(ctx context.Context, a *access, f *store.Filter) (n int, err error) {
	w, err := s.counted(a, f)
	if err != nil {
		return 0, err
	}
	columns := stateColumns
	if !f.Placeholders {
		columns = columns[:States-2]
	}
	_, err = queryOne(ctx, s.conn, `SELECT coalesce(sum(r.`+strings.Join(columns, ` + r.`)+`), 0) FROM counts r WHERE `+w.String(), w.args, &n)
	return n, err
}

// numberAbout counts among the first rows of those with the rarest label, or of the list.
func (s *snapshot) numberAbout(ctx context.Context, p *stroll) (n int, exact bool, err error) {
	if err := s.where("r").filter(p.f); err != nil {
		return 0, false, err
	}
	q, labelled, err := p.rarest(ctx)
	if err != nil {
		return 0, false, err
	}
	if q != nil {
		table, w, err := p.withLabel(q, countedLabels)
		if err != nil {
			return 0, false, err
		}
		_, err = queryOne(ctx, s.conn, `SELECT count(*) FROM `+table+` AS r WHERE `+w.String(), w.args, &n)
		return n, labelled <= countedLabels, err
	}
	w, order := p.order()
	if len(p.f.Kinds) == 1 {
		w.narrow(p.f)
	}
	steps := `(SELECT r.* FROM resources r WHERE ` + w.String() + order + ` LIMIT ` + w.param(countedSteps) + `) AS r`
	rest := w.apart()
	rest.inRow = true
	if err := rest.filter(p.f); err != nil {
		return 0, false, err
	}
	var walked int
	_, err = queryOne(ctx, s.conn, `SELECT count(*) FILTER (WHERE `+rest.String()+`), count(*) FROM `+steps, rest.args, &n, &walked)
	return n, walked < countedSteps, err
}

// numberAll counts one by one.
func (s *snapshot) numberAll(ctx context.Context, a *access, f *store.Filter, limit int) (n int, exact bool, err error) {
	w, err := s.filtered(a, f)
	if err != nil {
		return 0, false, err
	}
	sql := `SELECT count(*) FROM (SELECT 1 FROM ` + s.tables.resources + ` r WHERE ` + w.String() + ` LIMIT ` + w.param(limit+1) + `) AS few`
	if _, err := queryOne(ctx, s.conn, sql, w.args, &n); err != nil {
		return 0, false, err
	}
	return min(n, limit), n <= limit, nil
}
