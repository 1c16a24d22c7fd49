package relational

import (
	"context"

	"github.com/kubilitics/kubilitics/hub/internal/fleet"
	"github.com/kubilitics/kubilitics/hub/internal/store"
	"github.com/kubilitics/kubilitics/shared/topo"
)

// PutKinds implements store.Sessions.
func (b *Base) PutKinds(ctx context.Context, at store.Scope, epoch int64, kinds []topo.KindReport) error {
	return b.db.Write(ctx, func(ctx context.Context, c Conn) error {
		cl, err := cluster(ctx, c, at, b.sql.Lock)
		if err != nil {
			return err
		}
		if cl.Epoch != epoch {
			return Fenced(at, epoch)
		}
		if _, err := c.Exec(ctx, `DELETE FROM kinds WHERE tenant_id = $1 AND cluster_id = $2`, int64(at.Tenant), int64(at.Cluster)); err != nil {
			return err
		}
		for _, k := range kinds {
			if _, err := c.Exec(ctx, `INSERT INTO kinds (tenant_id, cluster_id, api_group, kind, version, plural, namespaced, observed, reason)
				VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9) ON CONFLICT DO NOTHING`,
				int64(at.Tenant), int64(at.Cluster), cleaned(k.Group, 500), cleaned(k.Kind, 500), cleaned(k.Version, 500), cleaned(k.Plural, 500),
				k.Namespaced, k.Observed, cleaned(k.Reason, 500)); err != nil {
				return err
			}
		}
		return nil
	})
}

// Kinds implements store.Sessions.
func (b *Base) Kinds(ctx context.Context, at store.Scope) (kinds []topo.KindReport, err error) {
	err = b.db.Snapshot(ctx, func(ctx context.Context, c Conn) error {
		if _, err := cluster(ctx, c, at, ""); err != nil {
			return err
		}
		kinds, err = queryAll(ctx, c, func(rows Rows, k *topo.KindReport) error {
			return rows.Scan(&k.Group, &k.Kind, &k.Version, &k.Plural, &k.Namespaced, &k.Observed, &k.Reason)
		}, `SELECT api_group, kind, version, plural, namespaced, observed, reason FROM kinds WHERE tenant_id = $1 AND cluster_id = $2 ORDER BY api_group, kind`,
			int64(at.Tenant), int64(at.Cluster))
		return err
	})
	return kinds, err
}

// FleetKinds implements store.Sessions.
func (b *Base) FleetKinds(ctx context.Context, tenant fleet.TenantID, clusters []fleet.ClusterID) (uses []store.KindUse, err error) {
	args, among := []any{int64(tenant)}, ""
	if len(clusters) > 0 {
		ids := make([]int64, len(clusters))
		for i, c := range clusters {
			ids[i] = int64(c)
		}
		args, among = append(args, ids), " AND "+b.sql.InInts("k.cluster_id", 2)
	}
	err = b.db.Snapshot(ctx, func(ctx context.Context, c Conn) error {
		uses, err = queryAll(ctx, c, func(rows Rows, u *store.KindUse) error {
			return rows.Scan(&u.Group, &u.Kind, &u.Version, &u.Plural, &u.Namespaced, &u.Observed, &u.Clusters)
		}, `SELECT k.api_group, k.kind, k.version, k.plural, k.namespaced, k.observed, COUNT(*) FROM kinds k
			JOIN clusters c ON c.tenant_id = k.tenant_id AND c.cluster_id = k.cluster_id AND c.deleted IS NULL
			WHERE k.tenant_id = $1`+among+`
			GROUP BY k.api_group, k.kind, k.version, k.plural, k.namespaced, k.observed
			ORDER BY k.api_group, k.kind, k.version, k.plural, k.namespaced, k.observed`, args...)
		return err
	})
	return uses, err
}

// EventsThrough implements store.Sessions.
func (b *Base) EventsThrough(ctx context.Context, at store.Scope) (last int64, err error) {
	err = b.db.Snapshot(ctx, func(ctx context.Context, c Conn) error {
		_, err := queryOne(ctx, c, `SELECT last FROM events WHERE tenant_id = $1 AND cluster_id = $2 ORDER BY last DESC LIMIT 1`,
			[]any{int64(at.Tenant), int64(at.Cluster)}, &last)
		return err
	})
	return last, err
}
