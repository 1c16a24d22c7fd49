package relational

import (
	"context"
	"math"
	"slices"

	"github.com/kubilitics/kubilitics/hub/internal/fleet"
	"github.com/kubilitics/kubilitics/hub/internal/store"
	"github.com/kubilitics/kubilitics/shared/fault"
	"github.com/kubilitics/kubilitics/shared/topo"
)

// stillSo is the valid_to of a fleet row that holds.
const stillSo = math.MaxInt64

// FleetPosition implements store.FleetGraph.
func (b *Base) FleetPosition(ctx context.Context, tenant fleet.TenantID) (pos topo.Position, ok bool, err error) {
	err = b.db.Snapshot(ctx, func(ctx context.Context, c Conn) error {
		ok, err = queryOne(ctx, c, `SELECT pos FROM fleet_state WHERE tenant_id = $1`, []any{int64(tenant)}, (*int64)(&pos))
		return err
	})
	return pos, ok, err
}

// ApplyFleet implements store.FleetGraph.
func (b *Base) ApplyFleet(ctx context.Context, tenant fleet.TenantID, from, to topo.Position, changes []store.FleetChange) error {
	return b.db.Write(ctx, func(ctx context.Context, c Conn) error {
		if err := moveFleet(ctx, c, tenant, from, to); err != nil {
			return err
		}
		for i := range changes {
			if err := applyFleet(ctx, c, tenant, &changes[i]); err != nil {
				return err
			}
		}
		_, err := c.Exec(ctx, `DELETE FROM fleet_edges WHERE tenant_id = $1 AND valid_to <= (SELECT history_floor FROM tenant_feed WHERE tenant_id = $1)`, int64(tenant))
		return err
	})
}

// moveFleet is the fence: of two who follow the feed, one moves the position.
func moveFleet(ctx context.Context, c Conn, tenant fleet.TenantID, from, to topo.Position) error {
	if from == 0 {
		if _, err := c.Exec(ctx, `INSERT INTO fleet_state (tenant_id, pos) VALUES ($1, 0) ON CONFLICT DO NOTHING`, int64(tenant)); err != nil {
			return err
		}
	}
	n, err := c.Exec(ctx, `UPDATE fleet_state SET pos = $3 WHERE tenant_id = $1 AND pos = $2`, int64(tenant), int64(from), int64(to))
	if err == nil && n == 0 {
		err = fault.New(fault.Conflict, "the tenant's fleet rows are past position %d", from)
	}
	return err
}

func applyFleet(ctx context.Context, c Conn, tenant fleet.TenantID, x *store.FleetChange) error {
	if x.Gone {
		return closeFleet(ctx, c, store.Scope{Tenant: tenant, Cluster: x.Cluster}, x.Ref.ID(), x.At)
	}
	_, err := c.Exec(ctx, `INSERT INTO fleet_edges (tenant_id, api_group, kind, namespace, name, cluster_id, id, valid_from, valid_to)
		VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9) ON CONFLICT DO NOTHING`,
		int64(tenant), x.Ref.Group, x.Ref.Kind, x.Ref.Namespace, x.Ref.Name, int64(x.Cluster), x.Ref.ID(), int64(x.At), int64(stillSo))
	return err
}

// closeFleet ends a row; one that began at the same position never was.
func closeFleet(ctx context.Context, c Conn, at store.Scope, id topo.ID, pos topo.Position) error {
	key := []any{int64(at.Tenant), int64(at.Cluster), id, int64(stillSo), int64(pos)}
	if _, err := c.Exec(ctx, `DELETE FROM fleet_edges WHERE tenant_id = $1 AND cluster_id = $2 AND id = $3 AND valid_to = $4 AND valid_from >= $5`, key...); err != nil {
		return err
	}
	_, err := c.Exec(ctx, `UPDATE fleet_edges SET valid_to = $5 WHERE tenant_id = $1 AND cluster_id = $2 AND id = $3 AND valid_to = $4`, key...)
	return err
}

// ReplaceFleet implements store.FleetGraph.
func (b *Base) ReplaceFleet(ctx context.Context, at store.Scope, since topo.Position, refs []topo.Ref) error {
	return b.db.Write(ctx, func(ctx context.Context, c Conn) error {
		had, err := queryAll(ctx, c, func(rows Rows, id *topo.ID) error { return rows.Scan(id) },
			`SELECT id FROM fleet_edges WHERE tenant_id = $1 AND cluster_id = $2 AND valid_to = $3`, int64(at.Tenant), int64(at.Cluster), int64(stillSo))
		if err != nil {
			return err
		}
		has := map[topo.ID]bool{}
		for _, ref := range refs {
			has[ref.ID()] = true
			if err := applyFleet(ctx, c, at.Tenant, &store.FleetChange{Cluster: at.Cluster, Ref: ref, At: since}); err != nil {
				return err
			}
		}
		for _, id := range had {
			if !has[id] {
				if err := closeFleet(ctx, c, at, id, since); err != nil {
					return err
				}
			}
		}
		return nil
	})
}

// Shared implements store.FleetReader.
func (s *snapshot) Shared(ctx context.Context, v fleet.View, clusters []fleet.ClusterID, kinds []topo.GroupKind, after *topo.Ref, limit int) ([]store.Shared, error) {
	w, err := s.fleetRows(ctx, v, clusters)
	if err != nil || w == nil {
		return nil, err
	}
	if len(kinds) > 0 {
		w.and(w.kinds(kinds))
	}
	if after != nil {
		w.and("(r.api_group, r.kind, r.namespace, r.name) > (" + w.param(after.Group) + ", " + w.param(after.Kind) + ", " + w.param(after.Namespace) + ", " + w.param(after.Name) + ")")
	}
	ids, err := queryAll(ctx, s.conn, func(rows Rows, id *topo.ID) error { return rows.Scan(id) },
		`SELECT r.id FROM fleet_edges r WHERE `+w.String()+` GROUP BY r.api_group, r.kind, r.namespace, r.name, r.id HAVING count(DISTINCT r.cluster_id) > 1
		ORDER BY r.api_group, r.kind, r.namespace, r.name LIMIT `+w.param(limit), w.args...)
	if err != nil || len(ids) == 0 {
		return nil, err
	}
	return s.shared(ctx, v, clusters, ids)
}

// SharedAmong implements store.FleetReader.
func (s *snapshot) SharedAmong(ctx context.Context, v fleet.View, ids []topo.ID) ([]store.Shared, error) {
	return s.shared(ctx, v, nil, ids)
}

// fleetRows begins a query of the rows that hold at the snapshot's position, of clusters that the view shows whole; nil when there are none. Now, what
// holds is told by valid_to alone: rows follow the feed, and may be a little behind it.
func (s *snapshot) fleetRows(ctx context.Context, v fleet.View, clusters []fleet.ClusterID) (*where, error) {
	_, a, err := s.access(ctx, v, clusters)
	if err != nil || len(a.whole) < 2 {
		return nil, err
	}
	w := s.where("r")
	if !a.every {
		w.and(w.ints("r.cluster_id", a.whole))
	}
	if s.tables == current {
		w.and(w.equal("r.valid_to", int64(stillSo)))
	} else {
		pos := w.param(int64(s.pos))
		w.and("r.valid_from <= " + pos + " AND r.valid_to > " + pos)
	}
	return w, nil
}

func (s *snapshot) shared(ctx context.Context, v fleet.View, clusters []fleet.ClusterID, ids []topo.ID) ([]store.Shared, error) {
	w, err := s.fleetRows(ctx, v, clusters)
	if err != nil || w == nil || len(ids) == 0 {
		return nil, err
	}
	w.and(w.ids("r.id", ids))
	type row struct {
		ref     topo.Ref
		cluster fleet.ClusterID
	}
	rows, err := queryAll(ctx, s.conn, func(rows Rows, r *row) error {
		return rows.Scan(&r.ref.Group, &r.ref.Kind, &r.ref.Namespace, &r.ref.Name, (*int64)(&r.cluster))
	}, `SELECT DISTINCT r.api_group, r.kind, r.namespace, r.name, r.cluster_id FROM fleet_edges r WHERE `+w.String()+
		` ORDER BY r.api_group, r.kind, r.namespace, r.name, r.cluster_id`, w.args...)
	var out []store.Shared
	for _, r := range rows {
		if n := len(out); n == 0 || out[n-1].Ref != r.ref {
			out = append(out, store.Shared{Ref: r.ref})
		}
		last := &out[len(out)-1]
		last.Clusters = append(last.Clusters, r.cluster)
	}
	return slices.DeleteFunc(out, func(x store.Shared) bool { return len(x.Clusters) < 2 }), err
}
