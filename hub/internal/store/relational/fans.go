package relational

import (
	"context"

	"github.com/kubilitics/kubilitics/hub/internal/fleet"
	"github.com/kubilitics/kubilitics/hub/internal/store"
	"github.com/kubilitics/kubilitics/shared/topo"
)

// Fans implements store.Snapshot.
func (s *snapshot) Fans(ctx context.Context, v fleet.View, at store.Scope, ids []topo.ID, d store.Direction, types []topo.EdgeType, each, limit int) ([]store.EdgeRow, error) {
	seen, a, err := s.access(ctx, v, []fleet.ClusterID{at.Cluster})
	if err != nil || a.empty() || len(ids) == 0 {
		return nil, err
	}
	var found []store.EdgeRow
	have := map[topo.EdgeID]bool{}
	for _, end := range endsOf(d) {
		for _, batch := range s.sql.fanBatches(ids) {
			if len(found) >= limit {
				return found, nil
			}
			edges, err := s.fan(ctx, seen, &a, at, batch, end, types, each, limit)
			if err != nil {
				return nil, err
			}
			for i := range edges { // an edge between two of the ids is in the fans of both
				if !have[edges[i].ID] && len(found) < limit {
					have[edges[i].ID] = true
					found = append(found, edges[i])
				}
			}
		}
	}
	return found, nil
}

func endsOf(d store.Direction) []string {
	switch d {
	case store.Out:
		return []string{"source"}
	case store.Into:
		return []string{"target"}
	}
	return []string{"source", "target"}
}

// fanBatches are the ids whose fans one statement reads: all of them, or each by itself where a join can't look sideways.
func (d *Dialect) fanBatches(ids []topo.ID) [][]topo.ID {
	if d.EachID != nil {
		return [][]topo.ID{ids}
	}
	out := make([][]topo.ID, len(ids))
	for i := range ids {
		out[i] = ids[i : i+1]
	}
	return out
}

func (s *snapshot) fan(ctx context.Context, seen *sight, a *access, at store.Scope, ids []topo.ID, end string, types []topo.EdgeType, each, limit int) ([]store.EdgeRow, error) {
	w, ends := s.edgesOf(at, types), ""
	if len(a.partial) > 0 { // what isn't shown takes no place of what is
		w.and(a.in(w, "e.cluster_id", "s.namespace"))
		w.and(a.in(w, "e.cluster_id", "t.namespace"))
		ends = EdgeEnds
	}
	if s.sql.EachID == nil {
		w.and(w.equal("e."+end, ids[0]))
		return s.edges(ctx, seen, at, w, each)
	}
	from := s.sql.EachID(w.arg(ids)) + ` CROSS JOIN LATERAL (SELECT e.* FROM ` + s.tables.edges + ` e` + ends + ` WHERE ` + w.String() + ` AND e.` + end + ` = u.id LIMIT ` + w.param(each) + `) e`
	return s.edgesFrom(ctx, seen, at, from+EdgeEnds+` LIMIT `+w.param(limit), w.args)
}
