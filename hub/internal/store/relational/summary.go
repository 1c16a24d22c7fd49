package relational

import (
	"context"

	"github.com/kubilitics/kubilitics/hub/internal/store"
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
