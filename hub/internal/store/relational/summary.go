package relational

import (
	"context"

	"github.com/kubilitics/kubilitics/hub/internal/fleet"
	"github.com/kubilitics/kubilitics/hub/internal/store"
	"github.com/kubilitics/kubilitics/shared/topo"
)

// Events implements store.Snapshot.
func (s *snapshot) Events(ctx context.Context, f store.EventFilter) ([]store.EventRow, error) {
	_, a, err := s.access(ctx, f.View, f.Clusters)
	if err != nil || a.empty() {
		return nil, err
	}
	w := s.where("v")
	if condition := a.in(w, "v.cluster_id", "v.namespace"); condition != "" {
		w.and(condition)
	}
	if len(f.Namespaces) > 0 {
		w.and(w.strings("v.namespace", f.Namespaces))
	}
	if len(f.Types) > 0 {
		w.and(w.strings("v.type", f.Types))
	}
	if f.Regarding != nil {
		w.and(w.equal("v.regarding", f.Regarding.ID()))
	}
	if b := f.Before; b != nil {
		last := w.param(b.Last)
		w.and("v.last <= " + last + " AND (v.last < " + last + " OR (v.cluster_id, v.uid) > (" + w.param(int64(b.Cluster)) + ", " + w.param(b.UID) + "))")
	}
	return queryAll(ctx, s.conn, ScanEvent, SelectEvents+` WHERE `+w.String()+` ORDER BY v.last DESC, v.cluster_id, v.uid LIMIT `+w.param(f.Limit), w.args...)
}

// SelectEvents begins a query of events v, whose rows ScanEvent reads.
const SelectEvents = `SELECT v.cluster_id, v.uid, v.namespace, v.name, v.about_group, v.about_kind, v.about_ns, v.about_name, v.type, v.reason, v.message,
	v.source, v.count, v.first, v.last FROM events v`

// ScanEvent reads one row of SelectEvents.
func ScanEvent(rows Rows, r *store.EventRow) error {
	e := &r.Event
	return rows.Scan((*int64)(&r.Cluster), &e.UID, &e.Namespace, &e.Name, &e.Regarding.Group, &e.Regarding.Kind, &e.Regarding.Namespace, &e.Regarding.Name,
		&e.Type, &e.Reason, &e.Message, &e.Source, &e.Count, &e.First, &e.Last)
}

// Counts implements store.Snapshot.
func (s *snapshot) Counts(ctx context.Context, v fleet.View, clusters []fleet.ClusterID) ([]store.Count, error) {
	_, a, err := s.access(ctx, v, clusters)
	if err != nil || a.empty() {
		return nil, err
	}
	w := s.where("r")
	if condition := a.in(w, "r.cluster_id", "r.namespace"); condition != "" {
		w.and(condition)
	}
	return queryAll(ctx, s.conn, func(rows Rows, c *store.Count) error {
		var health int64
		err := rows.Scan((*int64)(&c.Cluster), &c.Kind.Group, &c.Kind.Kind, &health, &c.Number)
		c.Health = topo.Health(narrow(health))
		return err
	}, `SELECT r.cluster_id, r.api_group, r.kind, r.health, count(*) FROM `+s.tables.resources+` r WHERE `+w.String()+` AND r.presence = 0
		GROUP BY r.cluster_id, r.api_group, r.kind, r.health ORDER BY r.cluster_id, r.api_group, r.kind, r.health`, w.args...)
}

// EdgeCounts implements store.Snapshot: an edge is seen where both its ends are.
func (s *snapshot) EdgeCounts(ctx context.Context, v fleet.View, clusters []fleet.ClusterID) (map[fleet.ClusterID]int, error) {
	_, a, err := s.access(ctx, v, clusters)
	counts := map[fleet.ClusterID]int{}
	if err != nil || a.empty() {
		return counts, err
	}
	w := s.where("e")
	ends := ""
	switch {
	case len(a.partial) > 0:
		ends = EdgeEnds
		w.and(a.in(w, "e.cluster_id", "s.namespace"))
		w.and(a.in(w, "e.cluster_id", "t.namespace"))
	case !a.every:
		w.and(w.ints("e.cluster_id", a.whole))
	}
	rows, err := s.conn.Query(ctx, `SELECT e.cluster_id, count(*) FROM `+s.tables.edges+` e`+ends+` WHERE `+w.String()+` GROUP BY e.cluster_id`, w.args...)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	for rows.Next() {
		var id int64
		var n int
		if err := rows.Scan(&id, &n); err != nil {
			return nil, err
		}
		counts[fleet.ClusterID(id)] = n
	}
	return counts, rows.Err()
}
