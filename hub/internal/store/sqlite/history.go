package sqlite

import (
	"context"
	"time"

	"github.com/kubilitics/kubilitics/hub/internal/store/relational"
)

// TrimHistory implements relational.Backend: it walks what is kept, which in this body is small. A tenant's floor says up to which position.
func (s *Store) TrimHistory(ctx context.Context, _ time.Time, limit int) (more bool, err error) {
	err = s.Write(ctx, func(ctx context.Context, c relational.Conn) error {
		for _, t := range []struct{ name, key string }{
			{"resources_history", "id"}, {"labels_history", "id, key"}, {"edges_history", "source, id"}, {"manifests_history", "id"},
		} {
			key := `tenant_id, cluster_id, ` + t.key + `, valid_to`
			n, err := c.Exec(ctx, `DELETE FROM `+t.name+` WHERE (`+key+`) IN (SELECT `+key+` FROM `+t.name+` h
				WHERE h.valid_to <= (SELECT history_floor FROM tenant_feed f WHERE f.tenant_id = h.tenant_id) LIMIT $1)`, limit)
			if err != nil {
				return err
			}
			more = more || n >= int64(limit)
		}
		return nil
	})
	return more, err
}
