package sqlite

import (
	"context"
	"encoding/hex"

	"github.com/kubilitics/kubilitics/hub/internal/store"
	"github.com/kubilitics/kubilitics/hub/internal/store/relational"
	"github.com/kubilitics/kubilitics/shared/topo"
)

// current reads what is stored of the rows a delta touches.
func (w *writer) current(ctx context.Context, at store.Scope, k *relational.Keyed) (*relational.Now, error) {
	now := relational.NewNow()
	for _, read := range []func(context.Context, store.Scope, *relational.Keyed, *relational.Now) error{
		w.nodesNow, w.edgesNow, w.goneEdgesNow, w.manifestsNow, w.eventsNow,
	} {
		if err := read(ctx, at, k, now); err != nil {
			return nil, err
		}
	}
	return now, nil
}

// each runs a query and calls scan for every row of its answer.
func (w *writer) each(ctx context.Context, scan func(relational.Rows) error, text string, args ...any) error {
	rows, err := w.Query(ctx, text, args...)
	if err != nil {
		return err
	}
	defer rows.Close()
	for rows.Next() {
		if err := scan(rows); err != nil {
			return err
		}
	}
	return rows.Err()
}

const selectNodesNow = `SELECT r.id, r.hash, r.origin, ` + relational.NodeColumns + ` FROM json_each($3) j
	CROSS JOIN resources r ON r.tenant_id = $1 AND r.cluster_id = $2 AND r.id = unhex(j.value)`

func (w *writer) nodesNow(ctx context.Context, at store.Scope, k *relational.Keyed, now *relational.Now) error {
	ids := k.NodeIDs()
	if len(ids) == 0 {
		return nil
	}
	return w.each(ctx, func(rows relational.Rows) error {
		var cells relational.NodeCells
		var id topo.ID
		n := new(relational.NodeNow)
		if err := rows.Scan(cells.Dest(&id, &n.Hash, &n.Origin)...); err != nil {
			return err
		}
		_ = cells.Decode() // what is damaged is written anew
		n.Node = cells.Node
		now.Nodes[id] = n
		return nil
	}, selectNodesNow, int64(at.Tenant), int64(at.Cluster), ids)
}

// edgeList is a JSON list of keys of edges, each the source's and its own in one.
func edgeList(ids []topo.EdgeID) string {
	buf := make([]byte, 0, len(ids)*67+2)
	buf = append(buf, '[')
	for i := range ids {
		if i > 0 {
			buf = append(buf, ',')
		}
		buf = append(buf, '"')
		buf = hex.AppendEncode(buf, ids[i].Source[:])
		buf = hex.AppendEncode(buf, ids[i].ID[:])
		buf = append(buf, '"')
	}
	return string(append(buf, ']'))
}

const fromEdgeList = ` FROM json_each($3) j
	CROSS JOIN edges e ON e.tenant_id = $1 AND e.cluster_id = $2 AND e.source = unhex(substr(j.value, 1, 32)) AND e.id = unhex(substr(j.value, 33))`

func (w *writer) edgesNow(ctx context.Context, at store.Scope, k *relational.Keyed, now *relational.Now) error {
	if len(k.Edges) == 0 {
		return nil
	}
	return w.each(ctx, func(rows relational.Rows) error {
		var key topo.EdgeID
		e := new(relational.EdgeNow)
		if err := rows.Scan(&key.Source, &key.ID, &e.Hash, &e.Origin, (*string)(&e.Edge.Type)); err != nil {
			return err
		}
		now.Edges[key] = e
		return nil
	}, `SELECT e.source, e.id, e.hash, e.origin, e.type`+fromEdgeList, int64(at.Tenant), int64(at.Cluster), edgeList(k.EdgeIDs()))
}

func (w *writer) goneEdgesNow(ctx context.Context, at store.Scope, k *relational.Keyed, now *relational.Now) error {
	if len(k.GoneEdges) == 0 {
		return nil
	}
	return w.each(ctx, func(rows relational.Rows) error {
		var cells relational.EdgeCells
		var key topo.EdgeID
		e := new(relational.EdgeNow)
		if err := rows.Scan(cells.Dest(&key.Source, &key.ID, &e.Hash, &e.Origin)...); err != nil {
			return err
		}
		_ = cells.Decode() // it goes, whatever it was
		e.Edge = cells.Edge
		now.Edges[key] = e
		return nil
	}, `SELECT e.source, e.id, e.hash, e.origin, `+relational.EdgeColumns+fromEdgeList+relational.EdgeEnds, int64(at.Tenant), int64(at.Cluster), edgeList(k.GoneEdges))
}

func (w *writer) manifestsNow(ctx context.Context, at store.Scope, k *relational.Keyed, now *relational.Now) error {
	ids := k.ManifestIDs()
	if len(ids) == 0 {
		return nil
	}
	return w.each(ctx, func(rows relational.Rows) error {
		var id, hash topo.ID
		err := rows.Scan(&id, &hash)
		now.Manifests[id] = hash
		return err
	}, `SELECT m.id, m.hash FROM json_each($3) j CROSS JOIN manifests m ON m.tenant_id = $1 AND m.cluster_id = $2 AND m.id = unhex(j.value)`,
		int64(at.Tenant), int64(at.Cluster), ids)
}

func (w *writer) eventsNow(ctx context.Context, at store.Scope, k *relational.Keyed, now *relational.Now) error {
	if len(k.Events) == 0 {
		return nil
	}
	return w.each(ctx, func(rows relational.Rows) error {
		var row store.EventRow
		err := relational.ScanEvent(rows, &row)
		now.Events[row.Event.UID] = row.Event
		return err
	}, relational.SelectEvents+` WHERE v.tenant_id = $1 AND v.cluster_id = $2 AND v.uid IN (SELECT value FROM json_each($3))`,
		int64(at.Tenant), int64(at.Cluster), k.EventUIDs())
}
