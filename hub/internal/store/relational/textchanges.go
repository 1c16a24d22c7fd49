package relational

import (
	"context"
	"slices"
	"strconv"

	"github.com/kubilitics/kubilitics/hub/internal/store"
	"github.com/kubilitics/kubilitics/shared/topo"
)

// TextChanges implements store.Past, in the manner of RowChanges. A text that changed left one that ended within the span.
func (s *snapshot) TextChanges(ctx context.Context, f store.Filter, from topo.Position, after *store.Key, limit int) ([]store.TextChange, error) {
	p, err := s.since(ctx, from)
	if err != nil {
		return nil, err
	}
	_, a, err := s.access(ctx, f.View, f.Clusters)
	if err != nil || a.empty() || limit <= 0 || p.from.pos == p.to.pos {
		return nil, err
	}
	var changes []store.TextChange
	for page := max(2*limit, 100); ; page *= 4 {
		ended, err := p.endedTexts(ctx, &a, &f, after, page)
		if err != nil {
			return nil, err
		}
		found, err := p.textChanges(ctx, &a, &f, ended)
		if err != nil {
			return nil, err
		}
		changes = append(changes, found...)
		if len(changes) >= limit || len(ended) < page {
			return changes[:min(limit, len(changes))], nil
		}
		after = &ended[len(ended)-1].key
	}
}

// endedText is a resource one of whose texts ended within a span, and those that it had at its ends; zero for none.
type endedText struct {
	place
	before, after topo.ID
	since         int64
}

func (p *span) endedTexts(ctx context.Context, a *access, f *store.Filter, after *store.Key, limit int) ([]endedText, error) {
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
	ended := `x.tenant_id = $1 AND ` + p.within("x.valid_to") + p.ended()
	if !a.every {
		ended += ` AND ` + w.ints("x.cluster_id", a.clusters())
	}
	none := w.param(topo.ID{})
	return queryAll(ctx, p.to.sql.Once(p.to.conn), func(rows Rows, t *endedText) error {
		r := &t.key.Ref
		return rows.Scan((*int64)(&t.key.Cluster), &t.id, &r.Group, &r.Kind, &r.Namespace, &r.Name, &t.before, &t.after, &t.since)
	}, `SELECT r.cluster_id, r.id, r.api_group, r.kind, r.namespace, r.name, coalesce(`+textAt("hash", p.from.pos)+`, `+none+`), coalesce(`+textAt("hash", p.to.pos)+`, `+none+`),
		coalesce(`+textAt("valid_from", p.to.pos)+`, 0)
		FROM (SELECT DISTINCT x.cluster_id, x.id FROM manifests_history x WHERE `+ended+`) t
		JOIN refs r ON r.tenant_id = $1 AND r.cluster_id = t.cluster_id AND r.id = t.id WHERE `+w.String()+`
		ORDER BY r.api_group, r.kind, r.namespace, r.name, r.cluster_id LIMIT `+w.param(limit), w.args...)
}

// textAt is a column of the manifest that a row r had at a position.
func textAt(column string, pos topo.Position) string {
	at := strconv.FormatInt(int64(pos), 10)
	of := ` m WHERE m.tenant_id = $1 AND m.cluster_id = r.cluster_id AND m.id = r.id AND m.valid_from <= ` + at
	return `coalesce((SELECT m.` + column + ` FROM manifests_history` + of + ` AND m.valid_to > ` + at + ` LIMIT 1), (SELECT m.` + column + ` FROM manifests` + of + `))`
}

// textChanges gives those that differ, and whose resource is meant.
func (p *span) textChanges(ctx context.Context, a *access, f *store.Filter, ended []endedText) ([]store.TextChange, error) {
	ended = slices.DeleteFunc(ended, func(t endedText) bool { return t.before == t.after || t.before.IsZero() || t.after.IsZero() })
	places := make([]place, len(ended))
	for i := range ended {
		places[i] = ended[i].place
	}
	rows, err := p.to.rowsOf(ctx, a, f, places)
	if err != nil {
		return nil, err
	}
	seen, err := p.to.sight(ctx)
	if err != nil {
		return nil, err
	}
	var changes []store.TextChange
	for _, t := range ended {
		if now := rows[t.key]; now.row != nil && now.meant {
			changes = append(changes, store.TextChange{Key: t.key, Row: *now.row, Before: t.before, After: t.after, Since: seen.since(t.key.Cluster, t.since)})
		}
	}
	return changes, nil
}
