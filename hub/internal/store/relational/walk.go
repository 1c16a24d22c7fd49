package relational

import (
	"context"
	"strings"

	"github.com/kubilitics/kubilitics/hub/internal/store"
	"github.com/kubilitics/kubilitics/shared/fault"
	"github.com/kubilitics/kubilitics/shared/topo"
)

// A page of a list that conditions besides those of its index narrow is found in one of two ways: where few rows fulfil one of the conditions, from
// these; else by walking along the list's order until the page is full. Which is shorter a planner can't know, who doesn't see how the conditions
// depend on each other: it took a second where either way takes 20 ms. So it is tried here, each way with a bound.
const (
	fewLabelled = 3000 // rows with a label that are looked up one by one
	shortWalk   = 3000 // rows walked along first
	longWalk    = 15000
)

// walks tells whether this database and this snapshot are fit for it.
func (s *snapshot) walks() bool { return s.sql.Lateral != "" && s.keeps() }

// quick lists a page of what an access shows, in order, in one of these ways; done is false where none of them is fit.
func (s *snapshot) quick(ctx context.Context, seen *sight, a *access, f *store.Filter, after *store.Key, limit int) (rows []store.Row, done bool, err error) {
	p := &stroll{s, seen, a, f, after, limit}
	switch {
	case !s.walks():
		return nil, false, nil
	case len(f.Kinds) == 0 && len(f.Namespaces) > 0 && len(f.Namespaces) <= 5:
		rows, err = p.eachKind(ctx)
		return rows, true, err
	case len(f.Labels)+len(f.Terms)+len(f.Fields) == 0:
		return nil, false, nil
	}
	if best, err := p.rarest(ctx); err != nil {
		return nil, false, err
	} else if best != nil {
		rows, err = p.labelled(ctx, best)
		return rows, true, err
	}
	for _, budget := range []int{shortWalk, longWalk} {
		if rows, done, err = p.along(ctx, budget); done || err != nil {
			return rows, done, err
		}
	}
	return p.toTheEnd(ctx)
}

// stroll is one page that is looked for.
type stroll struct {
	s     *snapshot
	seen  *sight
	a     *access
	f     *store.Filter
	after *store.Key
	limit int
}

// order begins the conditions that the list's index knows, and gives its order.
func (p *stroll) order() (*where, string) {
	w := p.s.where("r")
	if condition := p.a.in(w, "r.cluster_id", "r.namespace"); condition != "" {
		w.and(condition)
	}
	only, one := p.a.only()
	w.after(p.after, only, one)
	if one {
		return w, " ORDER BY r.api_group, r.kind, r.namespace, r.name"
	}
	return w, " ORDER BY " + keyOrder
}

// among lists the page from what stands for the rows.
func (p *stroll) among(ctx context.Context, table string, w *where) ([]store.Row, error) {
	return p.s.rows(ctx, p.seen, table, w.String()+" ORDER BY "+keyOrder+" LIMIT "+w.param(p.limit), w.args)
}

// apart begins conditions anew that share their arguments with others.
func (w *where) apart() *where {
	return &where{dialect: w.dialect, tables: w.tables, args: w.args, inRow: w.inRow, conditions: []string{"r.tenant_id = $1"}}
}

// along walks along the list for so many rows. It is done when the page is full, or the list is at its end.
func (p *stroll) along(ctx context.Context, budget int) ([]store.Row, bool, error) {
	w, order := p.order()
	w.narrow(p.f)
	steps := " FROM resources r WHERE " + w.String() + order + " LIMIT " + w.param(budget)
	rest := w.apart()
	rest.inRow = true
	if err := rest.filter(p.f); err != nil {
		return nil, false, err
	}
	rows, err := p.among(ctx, "(SELECT r.*"+steps+")", rest)
	if err != nil || len(rows) == p.limit {
		return rows, true, err
	}
	var walked int
	_, err = queryOne(ctx, p.s.conn, "SELECT count(*) FROM (SELECT 1"+steps+") AS steps", w.args, &walked)
	return rows, walked < budget, err
}

// toTheEnd walks to the end.
func (p *stroll) toTheEnd(ctx context.Context) ([]store.Row, bool, error) {
	w, _ := p.order()
	w.inRow = true
	if err := w.filter(p.f); err != nil {
		return nil, false, err
	}
	rows, err := p.among(ctx, "resources", w)
	return rows, true, err
}

// narrow adds the filter's parts that the list's index knows.
func (w *where) narrow(f *store.Filter) {
	if len(f.Kinds) > 0 {
		w.and(w.kinds(f.Kinds))
	}
	if len(f.Namespaces) > 0 {
		w.and(w.strings("r.namespace", f.Namespaces))
	}
}

// rarest gives the requirement on a label that the fewest rows fulfil, if they are few.
func (p *stroll) rarest(ctx context.Context) (best *store.Requirement, err error) {
	least := fewLabelled + 1
	for i := range p.f.Labels {
		q := &p.f.Labels[i]
		if q.Op != store.In && q.Op != store.Exists || q.Op == store.In && len(q.Values) == 0 {
			continue
		}
		w := &where{dialect: p.s.sql, tables: p.s.tables}
		w.and(w.equal("l.tenant_id", int64(p.s.tenant)))
		w.having(q, p.a)
		var n int
		if _, err := queryOne(ctx, p.s.conn, "SELECT count(*) FROM (SELECT 1 FROM labels l WHERE "+w.String()+" LIMIT "+w.param(least)+") AS few", w.args, &n); err != nil {
			return nil, err
		}
		if n < least {
			least, best = n, q
		}
	}
	return best, nil
}

// having adds what a requirement asks of rows l of labels, in the cluster of an access where it is only one.
func (w *where) having(q *store.Requirement, a *access) {
	w.and(w.equal("l.key", q.Key))
	if q.Op == store.In {
		w.and(w.strings("l.value", q.Values))
	}
	if only, one := a.only(); one {
		w.and(w.equal("l.cluster_id", only))
	}
}

// labelled lists the page from the rows that fulfil a requirement.
func (p *stroll) labelled(ctx context.Context, q *store.Requirement) ([]store.Row, error) {
	w, _ := p.order()
	w.inRow = true
	if err := w.filter(p.f); err != nil {
		return nil, err
	}
	l := w.apart()
	l.conditions = []string{"l.tenant_id = $1"}
	l.having(q, p.a)
	w.args = l.args
	return p.among(ctx, `(SELECT r.* FROM (SELECT DISTINCT l.cluster_id, l.id FROM labels l WHERE `+l.String()+`) AS l CROSS JOIN LATERAL (SELECT r.* FROM resources r
		WHERE r.tenant_id = $1 AND r.cluster_id = l.cluster_id AND r.id = l.id LIMIT 1) AS r)`, w)
}

// eachKind lists the page of some namespaces from the beginnings of the kinds that are in them, as the kept counts tell.
func (p *stroll) eachKind(ctx context.Context) ([]store.Row, error) {
	w, order := p.order()
	w.inRow = true
	if err := w.filter(p.f); err != nil {
		return nil, err
	}
	w.and("r.api_group = k.api_group AND r.kind = k.kind")
	part := `SELECT r.* FROM resources r WHERE ` + w.String() + order + ` LIMIT ` + w.param(p.limit)
	k := w.apart()
	k.conditions = []string{"c.tenant_id = $1", k.strings("c.namespace", p.f.Namespaces)}
	if condition := p.a.in(k, "c.cluster_id", "c.namespace"); condition != "" {
		k.and(condition)
	}
	all := k.apart()
	return p.among(ctx, `(SELECT r.* FROM (SELECT DISTINCT c.api_group, c.kind FROM counts c WHERE `+k.String()+`) AS k CROSS JOIN LATERAL (`+part+`) AS r)`, all)
}

// labelInRow asks the row's own column, for a walk that has the row at hand.
func (w *where) labelInRow(q store.Requirement) (string, error) {
	key := string(appendQuoted(nil, q.Key)) + ":"
	has := func(text string) string {
		return "(strpos(r.labels, " + w.param("{"+text) + ") = 1 OR strpos(r.labels, " + w.param(","+text) + ") > 0)"
	}
	var any []string
	switch q.Op {
	case store.In, store.NotIn:
		for _, v := range q.Values {
			any = append(any, has(key+string(appendQuoted(nil, v))))
		}
		if len(any) == 0 {
			return "", fault.New(fault.BadRequest, "a condition on the label %q needs a value", q.Key)
		}
	case store.Exists, store.NotExists:
		any = append(any, has(key))
	default:
		return "", fault.New(fault.BadRequest, "there is no operator %q", q.Op)
	}
	condition := "(" + strings.Join(any, " OR ") + ")"
	if q.Op == store.NotIn || q.Op == store.NotExists {
		condition = "NOT " + condition
	}
	return condition, nil
}

// resolved gives a filter in which terms on kinds are kinds, as far as there are any of them: indexes know these. none tells that there are none.
func (s *snapshot) resolved(ctx context.Context, f *store.Filter) (out *store.Filter, none bool, err error) {
	if len(f.Kinds) > 0 || !s.keeps() {
		return f, false, nil
	}
	for i := range f.Terms {
		t := &f.Terms[i]
		if t.Key != "kind" || t.Op != store.Like || t.Not || len(t.Values) == 0 {
			continue
		}
		w := s.where("r")
		if err := w.term(t); err != nil {
			return nil, false, err
		}
		kinds, err := queryAll(ctx, s.conn, func(rows Rows, k *topo.GroupKind) error { return rows.Scan(&k.Group, &k.Kind) },
			`SELECT DISTINCT r.api_group, r.kind FROM counts r WHERE `+w.String(), w.args...)
		if err != nil {
			return nil, false, err
		}
		if len(kinds) == 0 {
			return f, true, s.where("r").filter(f) // what can't be asked is told all the same
		}
		copied := *f
		copied.Kinds = kinds
		copied.Terms = append(append([]store.Term(nil), f.Terms[:i]...), f.Terms[i+1:]...)
		return &copied, false, nil
	}
	return f, false, nil
}
