package relational

import (
	"context"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/kubilitics/kubilitics/hub/internal/fleet"
	"github.com/kubilitics/kubilitics/hub/internal/store"
	"github.com/kubilitics/kubilitics/shared/fault"
	"github.com/kubilitics/kubilitics/shared/topo"
)

// span is what lies between two positions: a snapshot at each end.
type span struct {
	from, to *snapshot
}

// since gives the span from a position up to the snapshot's own.
func (s *snapshot) since(ctx context.Context, from topo.Position) (*span, error) {
	switch {
	case from < 0 || from > s.pos:
		return nil, fault.New(fault.BadRequest, "changes are asked for from an earlier position up to a later one").
			WithField("from", "%d is not between 0 and %d", from, s.pos)
	case from < s.floor:
		return nil, moment{floor: s.floor}.gone(ctx, s.conn, s.tenant, "from")
	}
	old := &snapshot{sql: s.sql, conn: s.conn, tenant: s.tenant, pos: from, newest: s.newest, floor: s.floor, tables: s.tables}
	if from < s.pos {
		// Without the row, which only a position below all that is kept lacks, the time is zero: no day is left out.
		if _, err := queryOne(ctx, s.conn, `SELECT at FROM feed WHERE tenant_id = $1 AND pos = $2`, []any{int64(s.tenant), int64(from)}, &old.at); err != nil {
			return nil, err
		}
		if err := old.pin(ctx, "from"); err != nil {
			return nil, err
		}
	}
	return &span{from: old, to: s}, nil
}

// within gives the condition that a column's position lies in the span, without its first. The numbers stand in the text: a plan must know how much that is,
// so none may be made for all spans alike.
func (p *span) within(column string) string {
	return column + ` > ` + strconv.FormatInt(int64(p.from.pos), 10) + ` AND ` + column + ` <= ` + strconv.FormatInt(int64(p.to.pos), 10)
}

// ended and closed give the condition that a version x was closed within the span, or after its beginning, where that lets days be left out.
func (p *span) ended() string  { return p.to.sql.Closed("x", p.from.at, p.to.at) }
func (p *span) closed() string { return p.to.sql.Closed("x", p.from.at, p.to.newest) }

// entered are the clusters that were first seen within the span: each row of theirs has come.
func (p *span) entered(seen *sight) (ids []int64) {
	for _, id := range seen.order {
		if seen.first[id] > p.from.pos {
			ids = append(ids, int64(id))
		}
	}
	return ids
}

// touched selects the keys of resources that came, changed or went within the span, maybe some more than once: those with a version that ended in it, and
// those that came in it, whether their first version has ended since or not.
func (p *span) touched(w *where, entered []int64) string {
	const columns = `SELECT x.cluster_id, x.id FROM `
	selects := []string{
		columns + `resources_history x WHERE x.tenant_id = $1 AND ` + p.within("x.valid_to") + p.ended(),
		columns + `resources_history x WHERE x.tenant_id = $1 AND ` + w.dialect.FirstVersion + ` AND x.valid_from > 0 AND ` + p.within("x.valid_from") + p.closed(),
		columns + `resources x WHERE x.tenant_id = $1 AND x.born > 0 AND ` + p.within("x.born"), // indexes of what is above 0
	}
	if len(entered) > 0 {
		selects = append(selects, columns+p.to.tables.resources+` x WHERE x.tenant_id = $1 AND `+w.ints("x.cluster_id", entered))
	}
	return strings.Join(selects, ` UNION `)
}

// place is a resource that may have changed, and where it stands in the order of lists.
type place struct {
	key store.Key
	id  topo.ID
}

// RowChanges implements store.Past: the keys of what was touched, in order, then both ends of each. Without placeholders, one that stands for an object
// which isn't there counts as nothing.
func (s *snapshot) RowChanges(ctx context.Context, f store.Filter, from topo.Position, after *store.Key, limit int) ([]store.RowChange, error) {
	p, err := s.since(ctx, from)
	if err != nil {
		return nil, err
	}
	seen, a, err := s.access(ctx, f.View, f.Clusters)
	if err != nil || a.empty() || limit <= 0 || p.from.pos == p.to.pos {
		return nil, err
	}
	var changes []store.RowChange
	// What was touched may be as before again, or not be meant; the more of that, the more is looked at in one go.
	for page := max(2*limit, 100); ; page *= 4 {
		places, err := p.places(ctx, seen, &a, &f, after, page)
		if err != nil {
			return nil, err
		}
		found, err := p.compare(ctx, &a, &f, places)
		if err != nil {
			return nil, err
		}
		changes = append(changes, found...)
		if len(changes) >= limit || len(places) < page {
			return changes[:min(limit, len(changes))], nil
		}
		after = &places[len(places)-1].key
	}
}

// places lists what was touched, by its identity.
func (p *span) places(ctx context.Context, seen *sight, a *access, f *store.Filter, after *store.Key, limit int) ([]place, error) {
	w := p.to.where("r")
	if condition := a.in(w, "r.cluster_id", "r.namespace"); condition != "" {
		w.and(condition)
	}
	only := *f
	only.Labels, only.Fields, only.Terms, only.Placeholders = nil, nil, nil, true
	if err := w.filter(&only); err != nil {
		return nil, err
	}
	w.after(after, 0, false)
	return queryAll(ctx, p.to.sql.Once(p.to.conn), func(rows Rows, at *place) error {
		r := &at.key.Ref
		return rows.Scan((*int64)(&at.key.Cluster), &at.id, &r.Group, &r.Kind, &r.Namespace, &r.Name)
	}, `SELECT r.cluster_id, r.id, r.api_group, r.kind, r.namespace, r.name FROM (`+p.touched(w, p.entered(seen))+`) t
		JOIN refs r ON r.tenant_id = $1 AND r.cluster_id = t.cluster_id AND r.id = t.id WHERE `+w.String()+`
		ORDER BY r.api_group, r.kind, r.namespace, r.name, r.cluster_id LIMIT `+w.param(limit), w.args...)
}

// compare reads both ends of each place and gives those that differ and of which one end is meant.
func (p *span) compare(ctx context.Context, a *access, f *store.Filter, places []place) ([]store.RowChange, error) {
	before, err := p.from.rowsOf(ctx, a, f, places)
	if err != nil {
		return nil, err
	}
	after, err := p.to.rowsOf(ctx, a, f, places)
	if err != nil {
		return nil, err
	}
	var changes []store.RowChange
	for _, at := range places {
		b, a := before[at.key], after[at.key]
		if (b.meant || a.meant) && b.differs(a) {
			changes = append(changes, store.RowChange{Key: at.key, Before: b.row, After: a.row})
		}
	}
	return changes, nil
}

// end is a resource at one end of a span.
type end struct {
	row   *store.Row
	meant bool
}

func (e end) differs(o end) bool {
	if e.row == nil || o.row == nil {
		return e.row != o.row
	}
	return e.row.Since != o.row.Since && e.row.Node.Hash() != o.row.Node.Hash()
}

// A condition that names rows one by one is cut into so many.
const namedRows = 200

// rowsOf reads the rows at those places, and which of them the filter means.
func (s *snapshot) rowsOf(ctx context.Context, a *access, f *store.Filter, places []place) (map[store.Key]end, error) {
	seen, err := s.sight(ctx)
	if err != nil {
		return nil, err
	}
	ends := map[store.Key]end{}
	named := len(f.Labels)+len(f.Fields)+len(f.Terms) == 0 // by places already
	filters := []*store.Filter{{Placeholders: f.Placeholders}}
	if !named {
		filters = append(filters, f)
	}
	for part := range slices.Chunk(places, namedRows) {
		for i, filter := range filters {
			rows, err := s.named(ctx, seen, a, filter, part)
			if err != nil {
				return nil, err
			}
			for j := range rows {
				ends[store.Key{Ref: rows[j].Node.Ref, Cluster: rows[j].Cluster}] = end{row: &rows[j], meant: named || i > 0}
			}
		}
	}
	return ends, nil
}

// named reads the rows at those places that a filter means.
func (s *snapshot) named(ctx context.Context, seen *sight, a *access, f *store.Filter, places []place) ([]store.Row, error) {
	w, err := s.filtered(a, f)
	if err != nil {
		return nil, err
	}
	ids := map[fleet.ClusterID][]topo.ID{}
	for _, at := range places {
		if _, ok := seen.first[at.key.Cluster]; ok { // not yet seen at the beginning, maybe
			ids[at.key.Cluster] = append(ids[at.key.Cluster], at.id)
		}
	}
	var any []string
	for _, c := range slices.Sorted(maps.Keys(ids)) {
		any = append(any, w.equal("r.cluster_id", int64(c))+" AND "+w.ids("r.id", ids[c]))
	}
	if len(any) == 0 {
		return nil, nil
	}
	w.and(anyOf(any))
	return s.rows(ctx, seen, s.tables.resources, w.String(), w.args)
}
