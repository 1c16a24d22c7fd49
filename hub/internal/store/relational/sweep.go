package relational

import (
	"context"
	"sync"

	"github.com/kubilitics/kubilitics/hub/internal/fleet"
	"github.com/kubilitics/kubilitics/hub/internal/store"
	"github.com/kubilitics/kubilitics/shared/topo"
)

// sweep is how far the search for identities that nothing needs any more has come; it begins anew when it is through, or the hub was.
type sweep struct {
	mu      sync.Mutex
	tenant  int64
	cluster int64
	id      topo.ID
}

// A page of the sweep holds its cluster's lock, so it is small.
const sweepPage = 500

// The identity of a key is needed while a row, current or past, carries the key.
const unneeded = ` AND NOT EXISTS (SELECT 1 FROM resources x WHERE x.tenant_id = $1 AND x.cluster_id = $2 AND x.id = refs.id)
	AND NOT EXISTS (SELECT 1 FROM edges x WHERE x.tenant_id = $1 AND x.cluster_id = $2 AND x.source = refs.id)
	AND NOT EXISTS (SELECT 1 FROM edges x WHERE x.tenant_id = $1 AND x.cluster_id = $2 AND x.target = refs.id)
	AND NOT EXISTS (SELECT 1 FROM manifests x WHERE x.tenant_id = $1 AND x.cluster_id = $2 AND x.id = refs.id)
	AND NOT EXISTS (SELECT 1 FROM resources_history x WHERE x.tenant_id = $1 AND x.cluster_id = $2 AND x.id = refs.id)
	AND NOT EXISTS (SELECT 1 FROM labels_history x WHERE x.tenant_id = $1 AND x.cluster_id = $2 AND x.id = refs.id)
	AND NOT EXISTS (SELECT 1 FROM edges_history x WHERE x.tenant_id = $1 AND x.cluster_id = $2 AND x.source = refs.id)
	AND NOT EXISTS (SELECT 1 FROM edges_history x WHERE x.tenant_id = $1 AND x.cluster_id = $2 AND x.target = refs.id)
	AND NOT EXISTS (SELECT 1 FROM manifests_history x WHERE x.tenant_id = $1 AND x.cluster_id = $2 AND x.id = refs.id)`

// sweepRefs looks at about limit identities, from where it stopped the last time, and deletes those that nothing needs.
func (b *Base) sweepRefs(ctx context.Context, limit int) error {
	b.sweep.mu.Lock() // over the database's work: only sweeps wait for sweeps
	defer b.sweep.mu.Unlock()
	for seen := 0; seen < limit; {
		n, err := b.sweepOnce(ctx, min(sweepPage, limit))
		if err != nil || n == 0 {
			return err
		}
		seen += n
	}
	return nil
}

// sweepOnce looks at a page of one cluster and gives its length; 0 at the end.
func (b *Base) sweepOnce(ctx context.Context, page int) (n int, err error) {
	s := &b.sweep
	err = b.db.Write(ctx, func(ctx context.Context, c Conn) error {
		var at store.Scope
		found, err := queryOne(ctx, c, `SELECT tenant_id, cluster_id FROM refs WHERE (tenant_id, cluster_id, id) > ($1, $2, $3)
			ORDER BY tenant_id, cluster_id, id LIMIT 1`, []any{s.tenant, s.cluster, s.id}, (*int64)(&at.Tenant), (*int64)(&at.Cluster))
		if err != nil {
			return err
		}
		if !found {
			s.tenant, s.cluster, s.id = 0, 0, topo.ID{}
			return nil
		}
		if at.Tenant != fleet.TenantID(s.tenant) || at.Cluster != fleet.ClusterID(s.cluster) {
			s.tenant, s.cluster, s.id = int64(at.Tenant), int64(at.Cluster), topo.ID{}
		}
		n, err = b.sweepCluster(ctx, c, at, page)
		return err
	})
	return n, err
}

func (b *Base) sweepCluster(ctx context.Context, c Conn, at store.Scope, page int) (int, error) {
	var synced bool
	found, err := queryOne(ctx, c, `SELECT synced FROM clusters WHERE tenant_id = $1 AND cluster_id = $2 AND deleted IS NULL`+b.sql.Lock,
		[]any{int64(at.Tenant), int64(at.Cluster)}, &synced)
	if err != nil {
		return 0, err
	}
	if !found || !synced { // Purge's, or a load's
		for i := range b.sweep.id {
			b.sweep.id[i] = 0xff
		}
		return 1, nil
	}
	if err := dropZeros(ctx, c, at); err != nil {
		return 0, err
	}
	ids, err := queryAll(ctx, c, func(rows Rows, id *topo.ID) error { return rows.Scan(id) },
		`SELECT id FROM refs WHERE tenant_id = $1 AND cluster_id = $2 AND id > $3 ORDER BY id LIMIT $4`, int64(at.Tenant), int64(at.Cluster), b.sweep.id, page)
	if err != nil || len(ids) == 0 {
		return len(ids), err
	}
	if _, err := c.Exec(ctx, `DELETE FROM refs WHERE tenant_id = $1 AND cluster_id = $2 AND `+b.sql.InIDs("id", 3)+unneeded,
		int64(at.Tenant), int64(at.Cluster), ids); err != nil {
		return 0, err
	}
	b.sweep.id = ids[len(ids)-1]
	return len(ids), nil
}
