package relational

import (
	"cmp"
	"context"
	"slices"
	"strings"

	"github.com/kubilitics/kubilitics/hub/internal/fleet"
	"github.com/kubilitics/kubilitics/hub/internal/store"
	"github.com/kubilitics/kubilitics/shared/fault"
	"github.com/kubilitics/kubilitics/shared/topo"
)

// A page of a list that conditions besides those of its index narrow is found in one of two ways: where few rows fulfil one of the conditions, from
// these; else by walking along the list's order until the page is full. Which is shorter a planner can't know, who doesn't see how the conditions
// depend on each other: it took a second where either way takes 20 ms. So it is tried here, each way with a bound.
const (
	fewLabelled = 6000 // rows with a label that are looked up one by one
	shortWalk   = 3000 // rows walked along first
	longWalk    = 15000
)

// walks tells whether this database and this snapshot are fit for it.
func (s *snapshot) walks() bool { return s.sql.Lateral != "" && s.keeps() }

// quick lists a page of what an access shows, in order, in one of these ways; done is false where none of them is fit.
func (s *snapshot) quick(ctx context.Context, seen *sight, a *access, f *store.Filter, after *store.Key, limit int) (rows []store.Row, done bool, err error) {
	spread := len(f.Kinds) > 1 || len(f.Namespaces) > 0 && len(f.Kinds) == 0 // what is meant lies apart in the index
	if !s.walks() || len(f.Labels)+len(f.Terms)+len(f.Fields) == 0 && !spread {
		return nil, false, nil
	}
	if err := s.where("r").filter(f); err != nil { // what can't be asked is told also where nothing could be found
		return nil, false, err
	}
	p := &stroll{s, seen, a, f, after, limit}
	ways := []func(context.Context) ([]store.Row, bool, error){p.labelled, p.short, p.grouped, p.texts, p.long, p.toTheEnd}
	if spread {
		ways = []func(context.Context) ([]store.Row, bool, error){p.labelled, p.grouped, p.texts, p.short, p.long, p.toTheEnd}
	}
	for _, way := range ways {
		if rows, done, err = way(ctx); done || err != nil {
			return rows, done, err
		}
	}
	return nil, false, nil
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

func (p *stroll) short(ctx context.Context) ([]store.Row, bool, error) {
	return p.along(ctx, shortWalk)
}

func (p *stroll) long(ctx context.Context) ([]store.Row, bool, error) { return p.along(ctx, longWalk) }

// along walks along the list for so many rows. It is done when the page is full, or the list is at its end.
func (p *stroll) along(ctx context.Context, budget int) ([]store.Row, bool, error) {
	w, order := p.order()
	if len(p.f.Kinds) == 1 {
		w.narrow(p.f)
	}
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

// meant begins with all conditions.
func (p *stroll) meant() (w *where, order string, err error) {
	w, order = p.order()
	w.inRow = true
	return w, order, w.filter(p.f)
}

// toTheEnd walks as far as it takes.
func (p *stroll) toTheEnd(ctx context.Context) ([]store.Row, bool, error) {
	w, _, err := p.meant()
	if err != nil {
		return nil, false, err
	}
	rows, err := p.among(ctx, "resources", w)
	return rows, true, err
}

// texts lists the page from what the index of texts finds, if that is little, and from what it has not taken in.
func (p *stroll) texts(ctx context.Context) ([]store.Row, bool, error) {
	t := &where{dialect: p.s.sql, tables: p.s.tables, args: []any{int64(p.s.tenant)}}
	condition := t.inTextsIndex(p.f, byLetters)
	if condition == "" {
		return nil, false, nil
	}
	lag, err := p.s.lag(ctx)
	if err != nil || lag == nil {
		return nil, false, err
	}
	if few, err := p.s.fewHits(ctx, t, condition); err != nil || !few {
		return nil, false, err
	}
	w, _, err := p.meant()
	if err != nil {
		return nil, false, err
	}
	table := lookUp(w.inTextsIndex(p.f, byLetters), w) + ")"
	rows, err := p.among(ctx, table, w.apart())
	if err != nil {
		return nil, false, err
	}
	late, err := p.late(ctx, lag)
	rows = inOrder(append(rows, late...))
	return rows[:min(p.limit, len(rows))], true, err
}

// inOrder sorts rows of a list, each once.
func inOrder(rows []store.Row) []store.Row {
	slices.SortFunc(rows, func(a, b store.Row) int {
		return cmp.Or(a.Node.Ref.Compare(b.Node.Ref), cmp.Compare(a.Cluster, b.Cluster))
	})
	return slices.CompactFunc(rows, func(a, b store.Row) bool { return a.Cluster == b.Cluster && a.ID == b.ID })
}

// late looks at what the index has not taken in.
func (p *stroll) late(ctx context.Context, l *lag) (found []store.Row, err error) {
	for _, a := range p.a.each() {
		c, _ := a.only()
		ids, whole := l.rows[fleet.ClusterID(c)], slices.Contains(l.whole, fleet.ClusterID(c))
		if len(ids) == 0 && !whole {
			continue
		}
		one := *p
		one.a = &a
		w, _, err := one.meant()
		if err != nil {
			return nil, err
		}
		if !whole {
			w.and(w.ids("r.id", ids))
		}
		rows, err := p.among(ctx, "resources", w)
		if err != nil {
			return nil, err
		}
		found = append(found, rows...)
	}
	return found, nil
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

// rarest gives the requirement on a label that the fewest rows fulfil, and their number, if they are few.
func (p *stroll) rarest(ctx context.Context) (best *store.Requirement, least int, err error) {
	least = fewLabelled + 1
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
			return nil, 0, err
		}
		if n < least {
			least, best = n, q
		}
	}
	return best, least, nil
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

// labelled lists the page from the rows that fulfil a requirement, where these are few.
func (p *stroll) labelled(ctx context.Context) ([]store.Row, bool, error) {
	q, _, err := p.rarest(ctx)
	if err != nil || q == nil {
		return nil, false, err
	}
	table, w, err := p.withLabel(q, fewLabelled)
	if err != nil {
		return nil, false, err
	}
	rows, err := p.sorted(ctx, table, w)
	return rows, true, err
}

// spot is where a row is.
type spot struct {
	cluster int64
	id      topo.ID
}

// sorted gives the first rows of a table in the list's order. What is sorted is only what the order goes by; the page's rows are fetched then. How many
// there are in all is found on the way, and noted for who asks next.
func (p *stroll) sorted(ctx context.Context, table string, w *where) ([]store.Row, error) {
	var all int
	places, err := queryAll(ctx, p.s.conn, func(rows Rows, at *spot) error { return rows.Scan(&at.cluster, &at.id, &all) },
		`SELECT r.cluster_id, r.id, count(*) OVER () FROM `+table+` AS r WHERE `+w.String()+` ORDER BY `+keyOrder+` LIMIT `+w.param(p.limit), w.args...)
	if err != nil {
		return nil, err
	}
	if p.after == nil {
		p.s.noted = &noted{filter: *p.f, n: all}
	}
	clusters, ids := make([]int64, len(places)), make([]topo.ID, len(places))
	for i, at := range places {
		clusters[i], ids[i] = at.cluster, at.id
	}
	page := p.s.where("r")
	from := `(SELECT r.* FROM unnest(` + page.param(clusters) + `::bigint[], ` + page.param(ids) + `::uuid[]) AS k(cluster_id, id)
		CROSS JOIN LATERAL (SELECT r.* FROM resources r WHERE r.tenant_id = $1 AND r.cluster_id = k.cluster_id AND r.id = k.id LIMIT 1) AS r)`
	return p.among(ctx, from, page)
}

// withLabel gives a table of rows r that fulfil a requirement on a label, the first so many, and the conditions that are left to ask of them.
func (p *stroll) withLabel(q *store.Requirement, most int) (table string, w *where, err error) {
	if w, _, err = p.besides(q).meant(); err != nil {
		return "", nil, err
	}
	l := w.apart()
	l.conditions = []string{"l.tenant_id = $1"}
	l.having(q, p.a)
	limit := l.param(most)
	w.args = l.args
	each := "SELECT DISTINCT"
	if q.Op == store.In && len(q.Values) == 1 { // that is their key
		each = "SELECT"
	}
	return `(SELECT r.* FROM (` + each + ` l.cluster_id, l.id FROM labels l WHERE ` + l.String() + ` LIMIT ` + limit + `) AS l CROSS JOIN LATERAL (SELECT r.* FROM resources r
		WHERE r.tenant_id = $1 AND r.cluster_id = l.cluster_id AND r.id = l.id LIMIT 1) AS r)`, w, nil
}

// besides is the same page, without one of the requirements on labels.
func (p *stroll) besides(q *store.Requirement) *stroll {
	rest, f := *p, *p.f
	f.Labels = nil
	for i := range p.f.Labels {
		if &p.f.Labels[i] != q {
			f.Labels = append(f.Labels, p.f.Labels[i])
		}
	}
	rest.f = &f
	return &rest
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
