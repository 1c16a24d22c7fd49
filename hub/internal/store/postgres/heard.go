package postgres

import (
	"context"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/kubilitics/kubilitics/hub/internal/store"
)

// Rows are locked in one order, so that two hubs don't wait for each other.
const markHeard = `WITH h AS (SELECT tenant, cluster, epoch, max(at) AS at FROM unnest($1::bigint[], $2::bigint[], $3::bigint[], $4::timestamptz[]) u(tenant, cluster, epoch, at)
		GROUP BY tenant, cluster, epoch ORDER BY tenant, cluster),
	l AS MATERIALIZED (SELECT c.ctid, h.at FROM h CROSS JOIN LATERAL (SELECT c.ctid FROM clusters c WHERE c.tenant_id = h.tenant AND c.cluster_id = h.cluster
		AND c.epoch = h.epoch AND c.deleted IS NULL AND (c.last_heard IS NULL OR c.last_heard < h.at) FOR UPDATE) c)
	UPDATE clusters c SET last_heard = l.at FROM l WHERE c.ctid = l.ctid`

// MarkHeard implements store.Sessions with one statement for all.
func (s *Store) MarkHeard(ctx context.Context, heard []store.Heard) error {
	if len(heard) == 0 {
		return nil
	}
	n := len(heard)
	tenants, clusters, epochs, at := make([]int64, n), make([]int64, n), make([]int64, n), make([]time.Time, n)
	for i, h := range heard {
		tenants[i], clusters[i], epochs[i], at[i] = int64(h.Scope.Tenant), int64(h.Scope.Cluster), h.Epoch, h.At
	}
	return s.transact(ctx, pgx.TxOptions{}, func(ctx context.Context, tx pgx.Tx) error {
		_, err := tx.Exec(ctx, markHeard, tenants, clusters, epochs, at)
		return err
	})
}
