package relational

import (
	"context"
	"strings"

	"github.com/kubilitics/kubilitics/hub/internal/store"
	"github.com/kubilitics/kubilitics/shared/topo"
)

// EdgeChanges implements store.Past, in the manner of RowChanges. An edge is seen where both its ends are.
func (s *snapshot) EdgeChanges(ctx context.Context, f store.Filter, from topo.Position, after *store.EdgePlace, limit int) ([]store.EdgeChange, error) {
	p, err := s.since(ctx, from)
	if err != nil {
		return nil, err
	}
	seen, a, err := s.access(ctx, f.View, f.Clusters)
	if err != nil || a.empty() || limit <= 0 || p.from.pos == p.to.pos {
		return nil, err
	}
	var changes []store.EdgeChange
	for page := max(2*limit, 100); ; page *= 4 {
		places, err := p.edgePlaces(ctx, seen, &a, &f, after, page)
		if err != nil {
			return nil, err
		}
		found, err := p.compareEdges(ctx, places)
		if err != nil {
			return nil, err
		}
		changes = append(changes, found...)
		if len(changes) >= limit || len(places) < page {
			return changes[:min(limit, len(changes))], nil
		}
		after = &places[len(places)-1]
	}
}

// touchedEdges is to edges what touched is to resources.
func (p *span) touchedEdges(w *where, entered []int64) string {
	const columns = `SELECT x.cluster_id, x.source, x.id, x.target FROM `
	selects := []string{
		columns + `edges_history x WHERE x.tenant_id = $1 AND ` + p.within("x.valid_to") + p.ended(),
		columns + `edges_history x WHERE x.tenant_id = $1 AND x.born = x.valid_from AND x.valid_from > 0 AND ` + p.within("x.valid_from") + p.closed(),
		columns + `edges x WHERE x.tenant_id = $1 AND x.born > 0 AND ` + p.within("x.born"),
	}
	if len(entered) > 0 {
		selects = append(selects, columns+p.to.tables.edges+` x WHERE x.tenant_id = $1 AND `+w.ints("x.cluster_id", entered))
	}
	return strings.Join(selects, ` UNION `)
}

// edgePlaces lists the keys of edges that were touched.
func (p *span) edgePlaces(ctx context.Context, seen *sight, a *access, f *store.Filter, after *store.EdgePlace, limit int) ([]store.EdgePlace, error) {
	w := p.to.where("s")
	for _, namespace := range []string{"s.namespace", "t.namespace"} {
		if condition := a.in(w, "e.cluster_id", namespace); condition != "" {
			w.and(condition)
		}
	}
	if len(f.Namespaces) > 0 {
		w.and(anyOf([]string{w.strings("s.namespace", f.Namespaces), w.strings("t.namespace", f.Namespaces)}))
	}
	if after != nil {
		w.and(`(e.cluster_id, e.source, e.id) > (` + w.param(int64(after.Cluster)) + `, ` + w.param(after.ID.Source) + `, ` + w.param(after.ID.ID) + `)`)
	}
	return queryAll(ctx, p.to.sql.Once(p.to.conn), func(rows Rows, at *store.EdgePlace) error {
		return rows.Scan((*int64)(&at.Cluster), &at.ID.Source, &at.ID.ID)
	}, `SELECT e.cluster_id, e.source, e.id FROM (`+p.touchedEdges(w, p.entered(seen))+`) e
		JOIN refs s ON s.tenant_id = $1 AND s.cluster_id = e.cluster_id AND s.id = e.source
		JOIN refs t ON t.tenant_id = $1 AND t.cluster_id = e.cluster_id AND t.id = e.target
		WHERE `+w.String()+` ORDER BY e.cluster_id, e.source, e.id LIMIT `+w.param(limit), w.args...)
}

func (p *span) compareEdges(ctx context.Context, places []store.EdgePlace) ([]store.EdgeChange, error) {
	before, err := p.from.edgesAt(ctx, places)
	if err != nil {
		return nil, err
	}
	after, err := p.to.edgesAt(ctx, places)
	if err != nil {
		return nil, err
	}
	var changes []store.EdgeChange
	for _, at := range places {
		b, a := before[at], after[at]
		if b == nil && a == nil || b != nil && a != nil && (b.Since == a.Since || b.Edge.Hash() == a.Edge.Hash()) {
			continue
		}
		changes = append(changes, store.EdgeChange{Cluster: at.Cluster, ID: at.ID, Before: b, After: a})
	}
	return changes, nil
}

// edgesAt reads the edges of those keys, which are sorted.
func (s *snapshot) edgesAt(ctx context.Context, places []store.EdgePlace) (map[store.EdgePlace]*store.EdgeRow, error) {
	found := map[store.EdgePlace]*store.EdgeRow{}
	for len(places) > 0 {
		n := 1
		for n < len(places) && n < namedRows && places[n].Cluster == places[0].Cluster {
			n++
		}
		rows, err := s.namedEdges(ctx, places[:n])
		if err != nil {
			return nil, err
		}
		for i := range rows {
			found[store.EdgePlace{Cluster: rows[i].Cluster, ID: rows[i].ID}] = &rows[i]
		}
		places = places[n:]
	}
	return found, nil
}

// namedEdges reads edges of one cluster.
func (s *snapshot) namedEdges(ctx context.Context, places []store.EdgePlace) ([]store.EdgeRow, error) {
	at := store.Scope{Tenant: s.tenant, Cluster: places[0].Cluster}
	seen, ok, err := s.shows(ctx, at)
	if err != nil || !ok {
		return nil, err
	}
	w := s.edgesOf(at, nil)
	any := make([]string, len(places))
	for i := range places {
		any[i] = w.equal("e.source", places[i].ID.Source) + " AND " + w.equal("e.id", places[i].ID.ID)
	}
	w.and(anyOf(any))
	return s.edges(ctx, seen, at, w, len(places))
}
