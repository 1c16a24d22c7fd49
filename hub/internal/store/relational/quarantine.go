package relational

import (
	"context"

	"github.com/kubilitics/kubilitics/hub/internal/store"
)

// PutQuarantined records refused rows of a cluster within a transaction.
func PutQuarantined(ctx context.Context, c Conn, rows []store.Quarantined) error {
	for _, q := range rows {
		seen := later(q.Last, q.First)
		if seen.IsZero() {
			seen = now()
		}
		if _, err := c.Exec(ctx, `INSERT INTO quarantine (tenant_id, cluster_id, tbl, row_key, reason, count, first, last)
			VALUES ($1, $2, $3, $4, $5, $6, $7, $7) ON CONFLICT (tenant_id, cluster_id, tbl, row_key)
			DO UPDATE SET reason = excluded.reason, count = quarantine.count + excluded.count, last = excluded.last`,
			int64(q.Scope.Tenant), int64(q.Scope.Cluster), cleaned(q.Table, 100), cleaned(q.Key, 500), cleaned(q.Reason, 500), max(q.Count, 1), seen); err != nil {
			return err
		}
	}
	return nil
}

// Quarantine implements store.Writer.
func (b *Base) Quarantine(ctx context.Context, rows []store.Quarantined) error {
	return b.db.Write(ctx, func(ctx context.Context, c Conn) error { return PutQuarantined(ctx, c, rows) })
}

// Quarantined implements store.Writer.
func (b *Base) Quarantined(ctx context.Context, at store.Scope, limit int) (list []store.Quarantined, err error) {
	err = b.db.Snapshot(ctx, func(ctx context.Context, c Conn) error {
		list, err = queryAll(ctx, c, func(rows Rows, q *store.Quarantined) error {
			q.Scope = at
			return rows.Scan(&q.Table, &q.Key, &q.Reason, &q.Count, &q.First, &q.Last)
		}, `SELECT tbl, row_key, reason, count, first, last FROM quarantine WHERE tenant_id = $1 AND cluster_id = $2
			ORDER BY last DESC, tbl, row_key LIMIT $3`, int64(at.Tenant), int64(at.Cluster), limit)
		return err
	})
	return list, err
}
