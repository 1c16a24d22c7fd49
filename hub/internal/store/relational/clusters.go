package relational

import (
	"context"
	"encoding/json"

	"github.com/kubilitics/kubilitics/hub/internal/fleet"
	"github.com/kubilitics/kubilitics/hub/internal/store"
	"github.com/kubilitics/kubilitics/shared/fault"
)

const selectCluster = `SELECT tenant_id, cluster_id, name, labels, created, deleted, kube_uid, version, provider, agent, share,
	epoch, seq, synced, first_seen, state, since, last_heard, generation FROM clusters`

func scanCluster(rows Rows, c *fleet.Cluster) error {
	var labels string
	err := rows.Scan((*int64)(&c.Tenant), (*int64)(&c.ID), &c.Name, &labels, &c.Created, &c.Deleted, &c.KubeUID, &c.Version, &c.Provider, &c.Agent,
		(*string)(&c.Share), &c.Epoch, &c.Seq, &c.Synced, &c.FirstSeen, (*string)(&c.Freshness.State), &c.Freshness.Since, &c.Freshness.LastHeard, &c.Generation)
	if err != nil {
		return err
	}
	return json.Unmarshal([]byte(labels), &c.Labels)
}

func noCluster(at store.Scope) error {
	return fault.New(fault.NotFound, "there is no cluster %s", at.Cluster)
}

// cluster gives one that isn't deleted.
func cluster(ctx context.Context, c Conn, at store.Scope, lock string) (fleet.Cluster, error) {
	found, err := queryAll(ctx, c, scanCluster, selectCluster+` WHERE tenant_id = $1 AND cluster_id = $2 AND deleted IS NULL`+lock,
		int64(at.Tenant), int64(at.Cluster))
	if err != nil {
		return fleet.Cluster{}, err
	}
	if len(found) == 0 {
		return fleet.Cluster{}, noCluster(at)
	}
	return found[0], nil
}

func clusters(ctx context.Context, c Conn, tenant fleet.TenantID) ([]fleet.Cluster, error) {
	return queryAll(ctx, c, scanCluster, selectCluster+` WHERE tenant_id = $1 AND deleted IS NULL ORDER BY name, cluster_id`, int64(tenant))
}

// nameFree refuses a name that another cluster of the tenant has. The tenant's feed row is held by then, so nobody takes it in between.
func nameFree(ctx context.Context, c Conn, at store.Scope, name string) error {
	var other int64
	taken, err := queryOne(ctx, c, `SELECT cluster_id FROM clusters WHERE tenant_id = $1 AND name = $2 AND cluster_id <> $3 AND deleted IS NULL`,
		[]any{int64(at.Tenant), name, int64(at.Cluster)}, &other)
	if err == nil && taken {
		err = fault.New(fault.Conflict, "another cluster is called %q", name)
	}
	return err
}

// CreateCluster implements store.Clusters.
func (b *Base) CreateCluster(ctx context.Context, cl fleet.Cluster) error {
	labels, err := encodeLabels(cl.Labels)
	if err != nil {
		return err
	}
	at := store.Scope{Tenant: cl.Tenant, Cluster: cl.ID}
	created := cl.Created
	if created.IsZero() {
		created = now()
	}
	return b.writeFeed(ctx, cl.Tenant, func(ctx context.Context, c Conn) error {
		if _, _, err := b.announce(ctx, c, at, store.EntryCluster); err != nil {
			return err
		}
		if err := nameFree(ctx, c, at, cl.Name); err != nil {
			return err
		}
		made, err := c.Exec(ctx, `INSERT INTO clusters (tenant_id, cluster_id, name, labels, created, kube_uid, version, provider, agent, share, generation)
			VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11) ON CONFLICT (tenant_id, cluster_id) DO NOTHING`,
			int64(cl.Tenant), int64(cl.ID), cl.Name, labels, created, cl.KubeUID, cl.Version, cl.Provider, cl.Agent, string(cl.Share), cl.Generation)
		if err == nil && made == 0 {
			err = fault.New(fault.Conflict, "the cluster %s exists", cl.ID)
		}
		return err
	})
}

func encodeLabels(labels map[string]string) (string, error) {
	if labels == nil {
		labels = map[string]string{}
	}
	b, err := json.Marshal(labels)
	if err != nil {
		return "", fault.Wrap(err, fault.BadRequest, "the labels have no JSON form")
	}
	return string(b), nil
}

// Cluster implements store.Clusters.
func (b *Base) Cluster(ctx context.Context, at store.Scope) (cl fleet.Cluster, err error) {
	err = b.db.Snapshot(ctx, func(ctx context.Context, c Conn) error {
		cl, err = cluster(ctx, c, at, "")
		return err
	})
	return cl, err
}

// Clusters implements store.Clusters.
func (b *Base) Clusters(ctx context.Context, tenant fleet.TenantID) (list []fleet.Cluster, err error) {
	err = b.db.Snapshot(ctx, func(ctx context.Context, c Conn) error {
		list, err = clusters(ctx, c, tenant)
		return err
	})
	return list, err
}

// UpdateCluster implements store.Clusters.
func (b *Base) UpdateCluster(ctx context.Context, at store.Scope, p store.ClusterPatch) (cl fleet.Cluster, err error) {
	err = b.writeFeed(ctx, at.Tenant, func(ctx context.Context, c Conn) error {
		if cl, err = cluster(ctx, c, at, b.sql.Lock); err != nil {
			return err
		}
		if p.Name != nil {
			cl.Name = *p.Name
		}
		if p.Labels != nil {
			cl.Labels = *p.Labels
		}
		if _, _, err := b.announce(ctx, c, at, store.EntryCluster); err != nil {
			return err
		}
		return rewriteCluster(ctx, c, at, cl)
	})
	return cl, err
}

func rewriteCluster(ctx context.Context, c Conn, at store.Scope, cl fleet.Cluster) error {
	if err := nameFree(ctx, c, at, cl.Name); err != nil {
		return err
	}
	labels, err := encodeLabels(cl.Labels)
	if err != nil {
		return err
	}
	_, err = c.Exec(ctx, `UPDATE clusters SET name = $3, labels = $4 WHERE tenant_id = $1 AND cluster_id = $2`,
		int64(at.Tenant), int64(at.Cluster), cl.Name, labels)
	return err
}

// DeleteCluster implements store.Clusters. Raising the epoch fences the session; Renew and OpenSession pass no deleted cluster.
func (b *Base) DeleteCluster(ctx context.Context, at store.Scope) error {
	return b.writeFeed(ctx, at.Tenant, func(ctx context.Context, c Conn) error {
		if _, err := cluster(ctx, c, at, b.sql.Lock); err != nil {
			return err
		}
		_, instant, err := b.announce(ctx, c, at, store.EntryDeleted)
		if err != nil {
			return err
		}
		args := []any{int64(at.Tenant), int64(at.Cluster)}
		if _, err = c.Exec(ctx, `UPDATE clusters SET deleted = $3, epoch = epoch + 1, session_open = FALSE WHERE tenant_id = $1 AND cluster_id = $2`,
			append(args, instant)...); err != nil {
			return err
		}
		for _, table := range []string{"join_tokens", "certificates"} {
			if _, err := c.Exec(ctx, `DELETE FROM `+table+` WHERE tenant_id = $1 AND cluster_id = $2`, args...); err != nil {
				return err
			}
		}
		return nil
	})
}
