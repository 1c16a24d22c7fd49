package postgres

import (
	"context"
	"encoding/binary"
	"errors"

	"github.com/jackc/pgx/v5"

	"github.com/kubilitics/kubilitics/hub/internal/store"
	"github.com/kubilitics/kubilitics/hub/internal/store/relational"
	"github.com/kubilitics/kubilitics/shared/topo"
)

// Each key is looked up by itself, whatever the planner believes of the tables' sizes: a LATERAL part with a LIMIT is not turned round. Without
// statistics, right after a first load, a join would begin with all rows of the cluster.
const (
	selectNodesNow = `SELECT r.id, r.hash, r.origin, r.valid_from, ` + relational.NodeColumns + `, r.valid_from = r.born FROM resources r WHERE r.tenant_id = $1 AND r.cluster_id = $2 AND r.id = ANY($3)`

	fromEdgeKeys = ` FROM unnest($3::uuid[], $4::uuid[]) u(source, id) CROSS JOIN LATERAL (SELECT e.*, e.ctid FROM edges e
		WHERE e.tenant_id = $1 AND e.cluster_id = $2 AND e.source = u.source AND e.id = u.id LIMIT 1) e`
	selectEdgesNow     = `SELECT e.source, e.id, e.hash, e.origin, e.type` + fromEdgeKeys
	selectGoneEdgesNow = `SELECT e.source, e.id, e.hash, e.origin, ` + relational.EdgeColumns + fromEdgeKeys + relational.EdgeEnds

	fromManifestKeys = ` FROM unnest($3::uuid[]) u(id) CROSS JOIN LATERAL (SELECT m.*, m.ctid FROM manifests m
		WHERE m.tenant_id = $1 AND m.cluster_id = $2 AND m.id = u.id LIMIT 1) m`
	selectManifestsNow = `SELECT m.id, m.hash` + fromManifestKeys

	// Of the indexes of an events table that it believes to be empty, the planner takes any. Only the key's gives this order.
	selectEventsNow = relational.SelectEvents + ` WHERE v.ctid = ANY(ARRAY(SELECT x.ctid FROM unnest($3::text[]) u(uid) CROSS JOIN LATERAL (SELECT e.ctid, e.uid FROM events e
		WHERE e.tenant_id = $1 AND e.cluster_id = $2 AND e.uid >= u.uid ORDER BY e.uid LIMIT 1) x WHERE x.uid = u.uid))`
)

// reads collects queries, and where their answers go, to be sent in one go.
type reads struct {
	batch pgx.Batch
	scans []func(relational.Rows) error
}

func (r *reads) query(scan func(relational.Rows) error, text string, args ...any) {
	r.batch.Queue(text, args...)
	r.scans = append(r.scans, scan)
}

// send begins a transaction with the queries.
func (r *reads) send(ctx context.Context, conn *pgx.Conn) (err error) {
	results := conn.SendBatch(ctx, &r.batch)
	defer func() { err = errors.Join(err, results.Close()) }()
	for _, scan := range r.scans {
		rows, err := results.Query()
		if err != nil {
			return err
		}
		for rows.Next() {
			if err := scan(answer{rows}); err != nil {
				rows.Close()
				return err
			}
		}
		if err := rows.Err(); err != nil {
			return err
		}
	}
	return nil
}

// current begins a transaction, takes the cluster's lock, and reads what is stored of the rows a delta touches.
func current(ctx context.Context, conn *pgx.Conn, at store.Scope, k *relational.Keyed) (*fence, *relational.Now, error) {
	now := relational.NewNow()
	f := &fence{}
	var r reads
	r.query(func(relational.Rows) error { return nil }, `BEGIN`)
	r.query(func(rows relational.Rows) error {
		f.Found = true
		return rows.Scan(f.dest(&f.Applied.At)...)
	}, selectFence, int64(at.Tenant), int64(at.Cluster))
	r.nodes(at, k, now)
	r.edges(at, k, now)
	r.rest(at, k, now)
	if err := r.send(ctx, conn); err != nil {
		return nil, nil, err
	}
	return f, now, nil
}

func (r *reads) nodes(at store.Scope, k *relational.Keyed, now *relational.Now) {
	ids := k.NodeIDs()
	if len(ids) == 0 {
		return
	}
	r.query(func(rows relational.Rows) error {
		id, n := nodeNow(rows.(answer).RawValues())
		now.Nodes[id] = n
		return nil
	}, selectNodesNow, int64(at.Tenant), int64(at.Cluster), keys(ids))
}

// nodeNow reads a row of selectNodesNow as it came: scanning its columns one by one would take longer than the database took to find it.
// Numbers and keys are big-endian, and texts are texts. What is damaged is written anew, so it need not be told apart.
func nodeNow(raw [][]byte) (id topo.ID, n *relational.NodeNow) {
	n = &relational.NodeNow{Hash: topo.ID(raw[1]), Origin: string(raw[2]), From: int64(binary.BigEndian.Uint64(raw[3]))}
	n.First = raw[16][0] != 0
	x := &n.Node
	x.Ref = topo.Ref{Group: string(raw[4]), Kind: string(raw[5]), Namespace: string(raw[6]), Name: string(raw[7])}
	x.UID, x.Version, x.Status = string(raw[8]), string(raw[9]), string(raw[12])
	x.Presence, x.Health = topo.Presence(small(raw[10])), topo.Health(small(raw[11]))
	x.Created = int64(binary.BigEndian.Uint64(raw[13]))
	x.Labels, _ = relational.DecodePairs(string(raw[14]))
	x.Attrs, _ = relational.DecodePairs(string(raw[15]))
	return topo.ID(raw[0]), n
}

// small keeps a damaged number from passing for one that is valid.
func small(raw []byte) byte {
	if raw[0] != 0 {
		return 255
	}
	return raw[1]
}

func (r *reads) edges(at store.Scope, k *relational.Keyed, now *relational.Now) {
	if len(k.Edges) > 0 {
		sources, ids := halves(k.EdgeIDs())
		r.query(func(rows relational.Rows) error {
			var key topo.EdgeID
			e := new(relational.EdgeNow)
			if err := rows.Scan(&key.Source, &key.ID, &e.Hash, &e.Origin, (*string)(&e.Edge.Type)); err != nil {
				return err
			}
			now.Edges[key] = e
			return nil
		}, selectEdgesNow, int64(at.Tenant), int64(at.Cluster), sources, ids)
	}
	if len(k.GoneEdges) > 0 {
		sources, ids := halves(k.GoneEdges)
		r.query(func(rows relational.Rows) error {
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
		}, selectGoneEdgesNow, int64(at.Tenant), int64(at.Cluster), sources, ids)
	}
}

// halves gives keys of edges as two arrays.
func halves(edges []topo.EdgeID) (sources, ids keys) {
	sources, ids = make(keys, len(edges)), make(keys, len(edges))
	for i := range edges {
		sources[i], ids[i] = edges[i].Source, edges[i].ID
	}
	return sources, ids
}

func (r *reads) rest(at store.Scope, k *relational.Keyed, now *relational.Now) {
	if ids := k.ManifestIDs(); len(ids) > 0 {
		r.query(func(rows relational.Rows) error {
			var id, hash topo.ID
			err := rows.Scan(&id, &hash)
			now.Manifests[id] = hash
			return err
		}, selectManifestsNow, int64(at.Tenant), int64(at.Cluster), keys(ids))
	}
	if len(k.Events) > 0 {
		r.query(func(rows relational.Rows) error {
			var row store.EventRow
			err := relational.ScanEvent(rows, &row)
			now.Events[row.Event.UID] = row.Event
			return err
		}, selectEventsNow, int64(at.Tenant), int64(at.Cluster), k.EventUIDs())
	}
}
