package query

import (
	"cmp"
	"context"
	"slices"

	"github.com/kubilitics/kubilitics/hub/internal/fleet"
	"github.com/kubilitics/kubilitics/hub/internal/store"
	"github.com/kubilitics/kubilitics/shared/topo"
)

// rows gives the nodes of a cluster that are there and visible, by id.
func (r *reading) rows(ctx context.Context, c fleet.ClusterID, ids []topo.ID) (map[topo.ID]*store.Row, error) {
	out := make(map[topo.ID]*store.Row, len(ids))
	for chunk := range slices.Chunk(ids, chunkNodes) {
		rows, err := r.Nodes(ctx, r.scope(c), chunk)
		if err != nil {
			return nil, err
		}
		for i := range rows {
			if r.view.Sees(c, rows[i].Node.Ref.Namespace) {
				out[rows[i].ID] = &rows[i]
			}
		}
	}
	return out, nil
}

// visibleEdges leaves out the edges that lead to what may not be seen.
func (r *reading) visibleEdges(edges []store.EdgeRow) []store.EdgeRow {
	return slices.DeleteFunc(edges, func(e store.EdgeRow) bool { return !r.seesEdge(&e) })
}

// compareEdges is the order of answers: by their ends, then by rule.
func compareEdges(a, b store.EdgeRow) int {
	return cmp.Or(a.Edge.Source.Compare(b.Edge.Source), a.Edge.Target.Compare(b.Edge.Target), cmp.Compare(a.Edge.Rule, b.Edge.Rule), a.ID.ID.Compare(b.ID.ID))
}
