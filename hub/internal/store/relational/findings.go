package relational

import (
	"cmp"
	"context"
	"slices"

	"github.com/kubilitics/kubilitics/hub/internal/store"
	"github.com/kubilitics/kubilitics/shared/fault"
	"github.com/kubilitics/kubilitics/shared/topo"
)

// Unlinked implements store.Found.
func (s *snapshot) Unlinked(ctx context.Context, f store.Filter, d store.Direction, types []topo.EdgeType, after *store.Key, limit int) ([]store.Row, error) {
	var ends []string
	switch d {
	case store.Out:
		ends = []string{"e.source"}
	case store.Into:
		ends = []string{"e.target"}
	case store.Both:
		ends = []string{"e.source", "e.target"}
	default:
		return nil, fault.New(fault.BadRequest, "there is no direction %q", d)
	}
	return s.list(ctx, &f, after, limit, func(w *where) {
		for _, end := range ends {
			w.and(w.untouched(end, types))
		}
	})
}

// untouched is the condition that no edge of those types has the row r at that end. As a scalar it is asked row by row, along the edges' index: a
// planner that takes it for a join may begin with all edges of the tenant.
func (w *where) untouched(end string, types []topo.EdgeType) string {
	condition := "e.tenant_id = $1 AND e.cluster_id = r.cluster_id AND " + end + " = r.id"
	if len(types) > 0 {
		condition += " AND " + w.edgeTypes(types)
	}
	return "(SELECT 1 FROM " + w.tables.edges + " e WHERE " + condition + " LIMIT 1) IS NULL"
}

// Dangling implements store.Found: what is missing is little, so it begins there. As everywhere, an edge is seen where both its ends are.
func (s *snapshot) Dangling(ctx context.Context, f store.Filter, after *store.EdgePlace, limit int) ([]store.EdgeRow, error) {
	seen, a, err := s.access(ctx, f.View, f.Clusters)
	if err != nil || a.empty() {
		return nil, err
	}
	w, err := s.filtered(&a, &f)
	if err != nil {
		return nil, err
	}
	w.and("m.tenant_id = $1 AND m.presence = 1") // the number itself: an index knows only these
	w.and("e.tenant_id = $1 AND e.cluster_id = m.cluster_id AND e.target = m.id")
	w.and("r.cluster_id = e.cluster_id AND r.id = e.source")
	if condition := a.in(w, "m.cluster_id", "m.namespace"); condition != "" {
		w.and(condition)
	}
	if after != nil {
		w.and("(e.cluster_id, e.source, e.id) > (" + w.param(int64(after.Cluster)) + ", " + w.param(after.ID.Source) + ", " + w.param(after.ID.ID) + ")")
	}
	return s.edgeRows(ctx, seen, `SELECT e.cluster_id, e.source, e.id, e.valid_from, `+EdgeColumns+` FROM `+s.tables.resources+` m, `+s.tables.resources+` r, `+s.tables.edges+` e`+EdgeEnds+
		` WHERE `+w.String()+` ORDER BY e.cluster_id, e.source, e.id LIMIT `+w.param(limit), w.args)
}

func (s *snapshot) edgeRows(ctx context.Context, seen *sight, sql string, args []any) ([]store.EdgeRow, error) {
	return queryAll(ctx, s.conn, func(rows Rows, r *store.EdgeRow) error {
		var cells EdgeCells
		var from int64
		if err := rows.Scan(cells.Dest((*int64)(&r.Cluster), &r.ID.Source, &r.ID.ID, &from)...); err != nil {
			return err
		}
		_ = cells.Decode() // a damaged column must not hide the edge; Verify finds it
		r.Edge, r.Since = cells.Edge, seen.since(r.Cluster, from)
		return nil
	}, sql, args...)
}

// OwnerCycles implements store.Found. Who owns whom is read at once: 16 bytes an end, and most owners have owners only a few steps up.
func (s *snapshot) OwnerCycles(ctx context.Context, at store.Scope, limit int) ([][]store.Row, error) {
	_, ok, err := s.shows(ctx, at)
	if err != nil || !ok {
		return nil, err
	}
	w := s.edgesOf(at, []topo.EdgeType{topo.Owns})
	pairs, err := queryAll(ctx, s.conn, func(rows Rows, p *[2]topo.ID) error { return rows.Scan(&p[0], &p[1]) },
		`SELECT e.source, e.target FROM `+s.tables.edges+` e WHERE `+w.String(), w.args...)
	if err != nil {
		return nil, err
	}
	var cycles [][]store.Row
	for _, ids := range ownerCycles(pairs) {
		if len(cycles) == limit {
			break
		}
		rows, err := s.Nodes(ctx, at, ids)
		if err != nil {
			return nil, err
		}
		slices.SortFunc(rows, func(a, b store.Row) int { return cmp.Compare(slices.Index(ids, a.ID), slices.Index(ids, b.ID)) })
		cycles = append(cycles, rows)
	}
	return cycles, nil
}

// ownerCycles gives one cycle of each group of nodes that reach each other, the shortest through its first node, in the order of these.
func ownerCycles(pairs [][2]topo.ID) (cycles [][]topo.ID) {
	owned := map[topo.ID][]topo.ID{}
	for _, p := range pairs {
		owned[p[0]] = append(owned[p[0]], p[1])
	}
	prune(owned)
	starts := make([]topo.ID, 0, len(owned))
	for id := range owned {
		starts = append(starts, id)
	}
	slices.SortFunc(starts, topo.ID.Compare)
	seen := map[topo.ID]bool{}
	for _, start := range starts {
		if seen[start] {
			continue
		}
		way := shortestCycle(owned, start)
		for _, id := range way {
			seen[id] = true
		}
		if way != nil {
			cycles = append(cycles, way)
		}
	}
	return cycles
}

// prune takes away, again and again, what owns nothing: only cycles and what leads to them are left.
func prune(owned map[topo.ID][]topo.ID) {
	for gone := true; gone; {
		gone = false
		for id, below := range owned {
			below = slices.DeleteFunc(below, func(b topo.ID) bool { _, owner := owned[b]; return !owner })
			owned[id] = below
			if len(below) == 0 {
				delete(owned, id)
				gone = true
			}
		}
	}
}

// shortestCycle walks down from a node until it comes back to it.
func shortestCycle(owned map[topo.ID][]topo.ID, start topo.ID) []topo.ID {
	from := map[topo.ID]topo.ID{}
	for queue := []topo.ID{start}; len(queue) > 0; queue = queue[1:] {
		for _, next := range owned[queue[0]] {
			if next == start {
				way := []topo.ID{queue[0]}
				for way[0] != start {
					way = slices.Insert(way, 0, from[way[0]])
				}
				return way
			}
			if _, met := from[next]; !met {
				from[next] = queue[0]
				queue = append(queue, next)
			}
		}
	}
	return nil
}
