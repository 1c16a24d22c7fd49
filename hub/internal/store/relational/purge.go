package relational

import (
	"context"
	"strings"

	"github.com/kubilitics/kubilitics/hub/internal/store"
	"github.com/kubilitics/kubilitics/shared/topo"
)

// clusterTables are the tables with rows of a cluster that go by their key alone, and those keys.
var clusterTables = []struct{ name, key string }{
	{"edges", "source, id"},
	{"manifests", "id"},
	{"refs", "id"},
	{"digests", "tbl, bucket"},
	{"events", "uid"},
	{"resources_history", "id, valid_to"},
	{"labels_history", "id, key, valid_to"},
	{"edges_history", "source, id, valid_to"},
	{"manifests_history", "id, valid_to"},
	{"counts", "api_group, kind, namespace"},
	{"edge_counts", "type"},
	{"quarantine", "tbl, row_key"},
	{"freshness", "since"},
	{"kinds", "api_group, kind"},
	{"join_tokens", "id"},
	{"certificates", "serial"},
	{"fleet_edges", "id, valid_to"},
	{"plugin_attrs", "id, plugin"},
	{"plugin_edges", "about, plugin, id"},
	{"plugin_findings", "id, plugin, code"},
}

// Purge implements store.Clusters.
func (b *Base) Purge(ctx context.Context, limit int) (more bool, err error) {
	var doomed []store.Scope
	err = b.db.Snapshot(ctx, func(ctx context.Context, c Conn) error {
		doomed, err = queryAll(ctx, c, scanScope, `SELECT tenant_id, cluster_id FROM clusters
			WHERE deleted IS NOT NULL OR (NOT synced AND load_epoch <> 0 AND (load_epoch <> epoch OR NOT session_open)) ORDER BY tenant_id, cluster_id LIMIT 100`)
		return err
	})
	for _, at := range doomed {
		if limit <= 0 || err != nil {
			return true, err
		}
		err = b.db.Write(ctx, func(ctx context.Context, c Conn) error {
			n, err := b.purgeCluster(ctx, c, at, limit)
			limit -= n
			return err
		})
	}
	return limit <= 0 || len(doomed) == 100, err
}

// purgeCluster deletes rows of a cluster that is deleted or whose load was abandoned, which is looked at again under the lock. The record of a
// deleted cluster goes last.
func (b *Base) purgeCluster(ctx context.Context, c Conn, at store.Scope, limit int) (int, error) {
	var deleted bool
	found, err := queryOne(ctx, c, `SELECT deleted IS NOT NULL FROM clusters WHERE tenant_id = $1 AND cluster_id = $2
		AND (deleted IS NOT NULL OR (NOT synced AND load_epoch <> 0 AND (load_epoch <> epoch OR NOT session_open)))`+b.sql.Lock,
		[]any{int64(at.Tenant), int64(at.Cluster)}, &deleted)
	if err != nil || !found {
		return 0, err
	}
	n, err := b.PurgeRows(ctx, c, at, limit, deleted)
	if err != nil || n >= limit {
		return n, err
	}
	sql := `UPDATE clusters SET load_epoch = 0 WHERE tenant_id = $1 AND cluster_id = $2`
	if deleted {
		sql = `DELETE FROM clusters WHERE tenant_id = $1 AND cluster_id = $2`
	}
	_, err = c.Exec(ctx, sql, int64(at.Tenant), int64(at.Cluster))
	return n + 1, err
}

// PurgeRows deletes at most limit rows of a cluster; everything there is of it, or only what a load writes.
func (b *Base) PurgeRows(ctx context.Context, c Conn, at store.Scope, limit int, everything bool) (n int, err error) {
	if n, err = b.purgeResources(ctx, c, at, limit); err != nil {
		return n, err
	}
	for i, t := range clusterTables {
		if n >= limit || (!everything && i >= loadTables) {
			return n, nil
		}
		gone, err := c.Exec(ctx, purgeSQL(t.name, t.key), int64(at.Tenant), int64(at.Cluster), limit-n)
		if err != nil {
			return n, err
		}
		n += int(gone)
	}
	return n, nil
}

// purgeSQL deletes the first rows of a cluster by their key, up to the last of so many: a list of their keys instead would be compared with every
// row, where a planner without statistics takes both for short.
func purgeSQL(table, key string) string {
	backwards := strings.ReplaceAll(key, ",", " DESC,") + " DESC"
	return `DELETE FROM ` + table + ` WHERE tenant_id = $1 AND cluster_id = $2 AND (` + key + `) <= (SELECT ` + key + ` FROM
		(SELECT ` + key + ` FROM ` + table + ` WHERE tenant_id = $1 AND cluster_id = $2 ORDER BY ` + key + ` LIMIT $3) AS page ORDER BY ` + backwards + ` LIMIT 1)`
}

// loadTables is how many of clusterTables a first load writes.
const loadTables = 5

// purgeResources deletes resources together with their labels, which are found by value: that is how their table is ordered.
func (b *Base) purgeResources(ctx context.Context, c Conn, at store.Scope, limit int) (n int, err error) {
	const page = 1000
	for n < limit {
		m, err := b.purgePage(ctx, c, at, min(page, limit-n))
		n += m
		if err != nil || m == 0 {
			return n, err
		}
	}
	return n, nil
}

type labelled struct {
	id     topo.ID
	labels string
}

func (b *Base) purgePage(ctx context.Context, c Conn, at store.Scope, limit int) (int, error) {
	rows, err := queryAll(ctx, c, func(rows Rows, l *labelled) error { return rows.Scan(&l.id, &l.labels) },
		`SELECT id, labels FROM resources WHERE tenant_id = $1 AND cluster_id = $2 ORDER BY id LIMIT $3`, int64(at.Tenant), int64(at.Cluster), limit)
	if err != nil || len(rows) == 0 {
		return 0, err
	}
	ids := make([]topo.ID, len(rows))
	byPair := map[topo.Pair][]topo.ID{}
	for i, r := range rows {
		ids[i] = r.id
		pairs, _ := DecodePairs(r.labels) // damaged: its labels stay behind, and no query meets them
		for _, p := range pairs {
			byPair[p] = append(byPair[p], r.id)
		}
	}
	for p, of := range byPair {
		if _, err := c.Exec(ctx, `DELETE FROM labels WHERE tenant_id = $1 AND key = $2 AND value = $3 AND cluster_id = $4 AND `+b.sql.InIDs("id", 5),
			int64(at.Tenant), p.Key, p.Value, int64(at.Cluster), of); err != nil {
			return 0, err
		}
	}
	_, err = c.Exec(ctx, `DELETE FROM resources WHERE tenant_id = $1 AND cluster_id = $2 AND `+b.sql.InIDs("id", 3), int64(at.Tenant), int64(at.Cluster), ids)
	return len(rows), err
}
