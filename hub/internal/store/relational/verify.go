package relational

import (
	"context"
	"crypto/sha256"

	"github.com/kubilitics/kubilitics/hub/internal/store"
	"github.com/kubilitics/kubilitics/shared/fault"
	"github.com/kubilitics/kubilitics/shared/topo"
)

// Rows are walked in pages of their key, so that memory doesn't grow with the table.
const verifyPage = 5000

// audit is what the stored columns of one table say. The hash of a row that stands under a key which isn't its own is that key: no row hashes to it,
// so the comparison with the agent takes such a row out.
type audit struct {
	sums   topo.Digest
	wrong  []topo.RowHash // rows whose hash isn't that of their columns, with the right one
	refs   []RefRow       // resources whose identity the table refs doesn't tell
	off    []SumRow       // sums that aren't those of the rows
	broken []topo.ID      // resources that can't be read
	// resources whose labels aren't all in the index
	unlabelled []topo.ID
	apps       []topo.ID // resources whose column for the application doesn't tell what their attributes do
	tally      *tally
	miscounted int // 1 when the kept counts aren't those of the rows
}

func (a *audit) corrected() int {
	return len(a.wrong) + len(a.refs) + len(a.off) + len(a.broken) + len(a.unlabelled) + len(a.apps) + a.miscounted
}

func (a *audit) count(key topo.EdgeID, stored, right topo.ID, origin string) {
	if stored != right {
		a.wrong = append(a.wrong, topo.RowHash{Key: key, Hash: right})
	}
	if origin == OriginAgent {
		a.sums[key.Source.Bucket()].Add(right)
	}
}

// Verify implements store.Digests. A first look takes no lock; only when something is wrong are the cluster's writers kept waiting.
func (b *Base) Verify(ctx context.Context, at store.Scope, table topo.Table) (corrected int, err error) {
	if int(table) >= len(hashTables) {
		return 0, fault.New(fault.BadRequest, "there is no table %d", table)
	}
	var found *audit
	err = b.db.Snapshot(ctx, func(ctx context.Context, c Conn) error {
		found, err = b.audit(ctx, c, at, table, "")
		return err
	})
	if err != nil || found.corrected() == 0 {
		return 0, err
	}
	err = b.db.Write(ctx, func(ctx context.Context, c Conn) error {
		found, err := b.audit(ctx, c, at, table, b.sql.Lock)
		if err != nil {
			return err
		}
		corrected = found.corrected()
		return b.correct(ctx, c, at, table, found)
	})
	return corrected, err
}

func (b *Base) audit(ctx context.Context, c Conn, at store.Scope, table topo.Table, lock string) (*audit, error) {
	cl, err := cluster(ctx, c, at, lock)
	if err != nil {
		return nil, err
	}
	a := &audit{tally: newTally()}
	if !cl.Synced {
		return a, nil // a first load keeps its sums to itself until it is complete
	}
	switch table {
	case topo.Nodes:
		err = b.auditNodes(ctx, c, at, a)
	case topo.Edges:
		err = auditEdges(ctx, c, at, a)
	case topo.Manifests:
		err = auditManifests(ctx, c, at, a)
	}
	if err != nil {
		return nil, err
	}
	if off, err := a.tally.differ(ctx, c, at, table); err != nil {
		return nil, err
	} else if off {
		a.miscounted = 1
	}
	kept, err := readDigest(ctx, c, at, table)
	if err != nil {
		return nil, err
	}
	for i := range kept {
		if kept[i] != a.sums[i] {
			a.off = append(a.off, SumRow{Bucket: Bucket{table, i}, Sum: a.sums[i]})
		}
	}
	return a, nil
}

// walk calls each for the rows of a query, page by page: the query takes $3, a key to start after, and $4, a limit, and each gives the row's key.
func walk[K topo.ID | topo.EdgeID](ctx context.Context, c Conn, at store.Scope, sql string, args func(K) []any, each func(Rows) (K, error)) error {
	var last K
	for {
		rows, err := c.Query(ctx, sql, append([]any{int64(at.Tenant), int64(at.Cluster)}, append(args(last), verifyPage)...)...)
		if err != nil {
			return err
		}
		n := 0
		for rows.Next() {
			if last, err = each(rows); err != nil {
				rows.Close()
				return err
			}
			n++
		}
		rows.Close()
		if err := rows.Err(); err != nil || n < verifyPage {
			return err
		}
	}
}

const auditNodesSQL = `SELECT r.id, r.hash, r.origin, r.app, coalesce(f.api_group, ''), coalesce(f.kind, ''), coalesce(f.namespace, ''), coalesce(f.name, ''), ` + NodeColumns + `
	FROM resources r LEFT JOIN refs f ON f.tenant_id = r.tenant_id AND f.cluster_id = r.cluster_id AND f.id = r.id
	WHERE r.tenant_id = $1 AND r.cluster_id = $2 AND r.id > $3 ORDER BY r.id LIMIT $4`

func oneKey(id topo.ID) []any { return []any{id} }

func (b *Base) auditNodes(ctx context.Context, c Conn, at store.Scope, a *audit) error {
	err := walk(ctx, c, at, auditNodesSQL, oneKey, func(rows Rows) (id topo.ID, err error) {
		var cells NodeCells
		var hash topo.ID
		var origin, app string
		var ref topo.Ref
		if err := rows.Scan(cells.Dest(&id, &hash, &origin, &app, &ref.Group, &ref.Kind, &ref.Namespace, &ref.Name)...); err != nil {
			return id, err
		}
		if cells.Decode() != nil {
			a.broken = append(a.broken, id)
			return id, nil
		}
		a.tally.node(&cells.Node, 1)
		if app != AppOf(&cells.Node) {
			a.apps = append(a.apps, id)
		}
		if ref != cells.Node.Ref {
			a.refs = append(a.refs, RefRow{ID: id, Ref: cells.Node.Ref})
		}
		right := cells.Node.Hash()
		if cells.Node.Ref.ID() != id {
			right = id
		}
		a.count(topo.EdgeID{Source: id}, hash, right, origin)
		return id, nil
	})
	if err != nil || len(a.broken) > 0 {
		return err // what can't be read would fail the next query too; the rows are sent again, and the next call looks at labels
	}
	a.unlabelled, err = queryAll(ctx, c, func(rows Rows, id *topo.ID) error { return rows.Scan(id) },
		`SELECT DISTINCT r.id FROM resources r `+b.sql.EachLabel+` WHERE r.tenant_id = $1 AND r.cluster_id = $2 AND NOT EXISTS (SELECT 1 FROM labels l
		WHERE l.tenant_id = r.tenant_id AND l.key = kv.key AND l.value = kv.value AND l.cluster_id = r.cluster_id AND l.id = r.id)`,
		int64(at.Tenant), int64(at.Cluster))
	return err
}

func auditEdges(ctx context.Context, c Conn, at store.Scope, a *audit) error {
	const sql = `SELECT source, id, hash, origin, target, rule, type, disc, path, attrs FROM edges
		WHERE tenant_id = $1 AND cluster_id = $2 AND (source, id) > ($3, $4) ORDER BY source, id LIMIT $5`
	return walk(ctx, c, at, sql, func(k topo.EdgeID) []any { return []any{k.Source, k.ID} }, func(rows Rows) (key topo.EdgeID, err error) {
		var hash, target topo.ID
		var origin, rule, kind, disc, path, text string
		if err := rows.Scan(&key.Source, &key.ID, &hash, &origin, &target, &rule, &kind, &disc, &path, &text); err != nil {
			return key, err
		}
		attrs, damaged := DecodePairs(text)
		if damaged != nil {
			attrs = []topo.Pair{{Value: text}} // no edge hashes to this, so the agent sends it again
		}
		right := topo.EdgeHash(key.Source, target, rule, topo.EdgeType(kind), disc, path, attrs)
		if topo.EdgeKey(key.Source, target, rule, disc) != key {
			right = key.ID
		}
		a.tally.edge(topo.EdgeType(kind), 1)
		a.count(key, hash, right, origin)
		return key, nil
	})
}

func auditManifests(ctx context.Context, c Conn, at store.Scope, a *audit) error {
	const sql = `SELECT id, hash, body FROM manifests WHERE tenant_id = $1 AND cluster_id = $2 AND id > $3 ORDER BY id LIMIT $4`
	return walk(ctx, c, at, sql, oneKey, func(rows Rows) (id topo.ID, err error) {
		var hash topo.ID
		var body []byte
		if err := rows.Scan(&id, &hash, &body); err != nil {
			return id, err
		}
		right, err := manifestHash(body)
		if err != nil {
			return id, err
		}
		a.count(topo.EdgeID{Source: id}, hash, right, OriginAgent)
		return id, nil
	})
}

// manifestHash is that of the text; of the body itself, which no text has, when it can't be unpacked.
func manifestHash(body []byte) (topo.ID, error) {
	dec, err := unpacker()
	if err != nil {
		return topo.ID{}, fault.Wrap(err, fault.Internal, "the decompressor did not start")
	}
	text, damaged := dec.DecodeAll(body, nil)
	if damaged != nil {
		text = body
	}
	sum := sha256.Sum256(text)
	return topo.ID(sum[:16]), nil
}

// correct writes what an audit found.
func (b *Base) correct(ctx context.Context, c Conn, at store.Scope, table topo.Table, a *audit) error {
	t := hashTables[table]
	sql := `UPDATE ` + t.name + ` SET hash = $4 WHERE tenant_id = $1 AND cluster_id = $2 AND ` + t.key + ` = $3`
	for _, w := range a.wrong {
		args := []any{int64(at.Tenant), int64(at.Cluster), w.Key.Source, w.Hash}
		q := sql
		if table == topo.Edges {
			q, args = q+` AND id = $5`, append(args, w.Key.ID)
		}
		if _, err := c.Exec(ctx, q, args...); err != nil {
			return err
		}
	}
	if err := correctRefs(ctx, c, at, a.refs); err != nil {
		return err
	}
	for _, s := range a.off {
		w := s.Words()
		if _, err := c.Exec(ctx, setSum, int64(at.Tenant), int64(at.Cluster), int64(s.Table), int64(s.Number), w[0], w[1], w[2], w[3]); err != nil {
			return err
		}
	}
	if err := b.relabel(ctx, c, at, a.unlabelled); err != nil {
		return err
	}
	if err := b.reapply(ctx, c, at, a.apps); err != nil {
		return err
	}
	if err := b.dropBroken(ctx, c, at, a.broken); err != nil || a.miscounted+len(a.broken) == 0 {
		return err
	}
	return recount(ctx, c, at)
}

// reapply writes the applications of resources into their column anew.
func (b *Base) reapply(ctx context.Context, c Conn, at store.Scope, ids []topo.ID) error {
	if len(ids) == 0 {
		return nil
	}
	_, err := c.Exec(ctx, `UPDATE resources SET app = coalesce(`+b.sql.Pair("attrs", "'app'")+`, '') WHERE tenant_id = $1 AND cluster_id = $2 AND `+b.sql.InIDs("id", 3),
		int64(at.Tenant), int64(at.Cluster), ids)
	return err
}

func correctRefs(ctx context.Context, c Conn, at store.Scope, refs []RefRow) error {
	for _, r := range refs {
		// Where the resource's own columns don't fit its key either, its wrong hash has it sent again first.
		if r.Ref.ID() != r.ID {
			continue
		}
		if _, err := c.Exec(ctx, `INSERT INTO refs (tenant_id, cluster_id, id, api_group, kind, namespace, name) VALUES ($1, $2, $3, $4, $5, $6, $7)
			ON CONFLICT (tenant_id, cluster_id, id) DO UPDATE SET api_group = excluded.api_group, kind = excluded.kind, namespace = excluded.namespace, name = excluded.name`,
			int64(at.Tenant), int64(at.Cluster), r.ID, r.Ref.Group, r.Ref.Kind, r.Ref.Namespace, r.Ref.Name); err != nil {
			return err
		}
	}
	return nil
}

// dropBroken removes resources that can't be read, with their labels; the comparison with the agent brings them back.
func (b *Base) dropBroken(ctx context.Context, c Conn, at store.Scope, broken []topo.ID) error {
	if len(broken) == 0 {
		return nil
	}
	for _, table := range []string{"labels", "resources"} {
		if _, err := c.Exec(ctx, `DELETE FROM `+table+` WHERE tenant_id = $1 AND cluster_id = $2 AND `+b.sql.InIDs("id", 3),
			int64(at.Tenant), int64(at.Cluster), broken); err != nil {
			return err
		}
	}
	return nil
}

// relabel writes the labels of resources into their index anew. Those that are right stay, since they know since when; of the others no more is known
// than when some label changed last, or when the resource came.
func (b *Base) relabel(ctx context.Context, c Conn, at store.Scope, ids []topo.ID) error {
	if len(ids) == 0 {
		return nil
	}
	for _, sql := range []string{
		`DELETE FROM labels WHERE tenant_id = $1 AND cluster_id = $2 AND ` + b.sql.InIDs("id", 3) + ` AND NOT EXISTS (SELECT 1 FROM resources r ` + b.sql.EachLabel + `
			WHERE r.tenant_id = $1 AND r.cluster_id = $2 AND r.id = labels.id AND kv.key = labels.key AND kv.value = labels.value)`,
		`INSERT INTO labels (tenant_id, key, value, cluster_id, id, valid_from) SELECT r.tenant_id, kv.key, kv.value, r.cluster_id, r.id,
			coalesce((SELECT max(h.valid_to) FROM resources_history h WHERE h.tenant_id = r.tenant_id AND h.cluster_id = r.cluster_id AND h.id = r.id AND h.labels <> ''), r.born)
			FROM resources r ` + b.sql.EachLabel + ` WHERE r.tenant_id = $1 AND r.cluster_id = $2 AND ` + b.sql.InIDs("r.id", 3) + ` ON CONFLICT DO NOTHING`,
	} {
		if _, err := c.Exec(ctx, sql, int64(at.Tenant), int64(at.Cluster), ids); err != nil {
			return err
		}
	}
	return nil
}
