package relational

import (
	"context"

	"github.com/kubilitics/kubilitics/hub/internal/store"
	"github.com/kubilitics/kubilitics/shared/topo"
)

// Texts implements store.Past. At a past position, a text that ended later is still so.
func (s *snapshot) Texts(ctx context.Context, at store.Scope, id topo.ID, before topo.Position, limit int) ([]store.Text, error) {
	seen, ok, err := s.shows(ctx, at)
	if err != nil || !ok || limit <= 0 {
		return nil, err
	}
	if before <= 0 || before > s.pos {
		before = s.pos + 1
	}
	if before <= seen.first[at.Cluster] {
		return nil, nil // rows of the first load say 0
	}
	const of = ` m WHERE m.tenant_id = $1 AND m.cluster_id = $2 AND m.id = $3 AND m.valid_from < $4`
	return queryAll(ctx, s.conn, func(rows Rows, t *store.Text) error {
		var from int64
		if err := rows.Scan(&t.Hash, &from, (*int64)(&t.To)); err != nil {
			return err
		}
		if t.Since = seen.since(at.Cluster, from); t.To > s.pos {
			t.To = 0
		}
		return nil
	}, `SELECT m.hash, m.valid_from, 0 AS valid_to FROM manifests`+of+` UNION ALL SELECT m.hash, m.valid_from, m.valid_to FROM manifests_history`+of+` AND m.valid_to > $5
		ORDER BY valid_from DESC LIMIT $6`, int64(at.Tenant), int64(at.Cluster), id, int64(before), int64(s.floor), limit)
}

// TextAt implements store.Past.
func (s *snapshot) TextAt(ctx context.Context, at store.Scope, id topo.ID, pos topo.Position) (m topo.Manifest, err error) {
	_, ok, err := s.shows(ctx, at)
	if err != nil || !ok || pos <= 0 || pos > s.pos {
		return m, orNoManifest(err, at)
	}
	return s.manifest(ctx, at, id, pastManifests, int64(pos))
}
