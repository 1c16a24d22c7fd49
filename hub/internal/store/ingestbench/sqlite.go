package main

import (
	"context"
	"database/sql"
	"path/filepath"
	"strings"
	"time"

	"github.com/kubilitics/kubilitics/hub/internal/store"
	"github.com/kubilitics/kubilitics/hub/internal/store/relational"
	"github.com/kubilitics/kubilitics/hub/internal/store/sqlite"
)

type sqliteBody struct {
	s     *sqlite.Store
	db    *sql.DB
	conn  *sql.Conn
	stmts map[string]*sql.Stmt
}

func openSQLite(ctx context.Context, dir string) (*sqliteBody, error) {
	path := filepath.Join(dir, "bench.db")
	s, err := sqlite.Open(ctx, sqlite.Config{Path: path, Migrate: true})
	if err != nil {
		return nil, err
	}
	// As the store's own connection is set up.
	db, err := sql.Open("sqlite", "file:"+path+"?_pragma=busy_timeout(10000)&_pragma=journal_mode(WAL)&_pragma=synchronous(NORMAL)&_pragma=temp_store(MEMORY)"+
		"&_pragma=cache_size(-65536)&_pragma=wal_autocheckpoint(16384)")
	if err != nil {
		return nil, err
	}
	conn, err := db.Conn(ctx)
	return &sqliteBody{s: s, db: db, conn: conn, stmts: map[string]*sql.Stmt{}}, err
}

func (b *sqliteBody) store() store.Store { return b.s }

func (b *sqliteBody) close() error {
	_ = b.db.Close() // the file goes next
	return b.s.Close()
}

func (b *sqliteBody) fresh(ctx context.Context) error {
	for _, table := range []string{"refs", "resources", "resources_history", "labels", "labels_history", "edges", "edges_history", "digests", "counts", "edge_counts", "feed", "clusters", "tenants", "tenant_feed"} {
		if _, err := b.conn.ExecContext(ctx, `DELETE FROM `+table); err != nil {
			return err
		}
	}
	_, err := b.conn.ExecContext(ctx, `PRAGMA wal_checkpoint(TRUNCATE)`)
	return err
}

// settle has nothing to do: every statement goes by a key.
func (b *sqliteBody) settle(context.Context) error { return nil }

// writer runs prepared statements until one fails.
type writer struct {
	b   *sqliteBody
	err error
}

// run doesn't pass a context on that may end: it would cost each statement a goroutine.
func (w *writer) run(text string, args ...any) {
	if w.err != nil {
		return
	}
	s := w.b.stmts[text]
	if s == nil {
		if s, w.err = w.b.conn.PrepareContext(context.Background(), text); w.err != nil {
			return
		}
		w.b.stmts[text] = s
	}
	_, w.err = s.Exec(args...)
}

func (b *sqliteBody) transact(fn func(*writer)) error {
	w := &writer{b: b}
	w.run(`BEGIN IMMEDIATE`)
	fn(w)
	if w.err != nil {
		_, _ = b.conn.ExecContext(context.Background(), `ROLLBACK`) // the failure is what is told
		return w.err
	}
	w.run(`COMMIT`)
	return w.err
}

func values(n int) string { return `(` + strings.Repeat(`?, `, n-1) + `?)` }

var (
	sqlRef      = `INSERT INTO refs (tenant_id, cluster_id, id, api_group, kind, namespace, name) VALUES ` + values(7)
	sqlResource = `INSERT INTO resources (tenant_id, cluster_id, id, api_group, kind, namespace, name, uid, version, presence, health, status, created, labels, attrs, hash,
		origin, valid_from, born) VALUES ` + values(19)
	sqlLabel = `INSERT INTO labels (tenant_id, key, value, cluster_id, id, valid_from) VALUES ` + values(6)
	sqlEdge  = `INSERT INTO edges (tenant_id, cluster_id, source, id, target, rule, type, disc, path, attrs, hash, origin, valid_from, born) VALUES ` + values(14)
	sqlSum   = `INSERT INTO digests (tenant_id, cluster_id, tbl, bucket, s0, s1, s2, s3) VALUES ` + values(8)
)

func (b *sqliteBody) bareLoad(_ context.Context, at store.Scope, r *loadRows) error {
	t, c := int64(at.Tenant), int64(at.Cluster)
	return b.transact(func(w *writer) {
		for i := range r.keyed.Nodes {
			x := &r.keyed.Nodes[i]
			w.run(sqlRef, t, c, x.ID[:], x.Node.Ref.Group, x.Node.Ref.Kind, x.Node.Ref.Namespace, x.Node.Ref.Name)
		}
		w.nodes(t, c, 0, r.keyed.Nodes)
		for i := range r.labels {
			l := &r.labels[i]
			w.run(sqlLabel, t, l.Key, l.Value, c, l.ID[:], int64(0))
		}
		w.edges(t, c, 0, r.keyed.Edges)
		for i := range r.sums {
			s := r.sums[i].Words()
			w.run(sqlSum, t, c, int64(r.sums[i].Table), int64(r.sums[i].Number), s[0], s[1], s[2], s[3])
		}
		w.run(`UPDATE clusters SET synced = TRUE, first_seen = 1 WHERE tenant_id = ? AND cluster_id = ?`, t, c)
	})
}

func (w *writer) nodes(t, c, pos int64, rows []relational.NodeRow) {
	for i := range rows {
		n := rows[i].Node
		w.run(sqlResource, t, c, rows[i].ID[:], n.Ref.Group, n.Ref.Kind, n.Ref.Namespace, n.Ref.Name, n.UID, n.Version, int64(n.Presence), int64(n.Health), n.Status,
			n.Created, relational.EncodePairs(n.Labels), relational.EncodePairs(n.Attrs), rows[i].Hash[:], "agent", pos, pos)
	}
}

func (w *writer) edges(t, c, pos int64, rows []relational.EdgeRow) {
	for i := range rows {
		x, e := &rows[i], rows[i].Edge
		w.run(sqlEdge, t, c, x.Key.Source[:], x.Key.ID[:], x.Target[:], e.Rule, string(e.Type), e.Disc, e.Path, relational.EncodePairs(e.Attrs), x.Hash[:], "agent", pos, pos)
	}
}

func (b *sqliteBody) bareDelta(_ context.Context, at store.Scope, d *deltaRows) error {
	t, c, pos, p := int64(at.Tenant), int64(at.Cluster), d.pos, d.plan
	return b.transact(func(w *writer) {
		for i := range p.UpdateNodes {
			x, n := &p.UpdateNodes[i], p.UpdateNodes[i].Node
			w.run(`UPDATE resources SET uid = ?, version = ?, presence = ?, health = ?, status = ?, created = ?, labels = ?, attrs = ?, hash = ?, valid_from = ?
				WHERE tenant_id = ? AND cluster_id = ? AND id = ?`, n.UID, n.Version, int64(n.Presence), int64(n.Health), n.Status, n.Created,
				relational.EncodePairs(n.Labels), relational.EncodePairs(n.Attrs), x.Hash[:], pos, t, c, x.ID[:])
		}
		for i := range p.Refs {
			r := &p.Refs[i]
			w.run(sqlRef, t, c, r.ID[:], r.Ref.Group, r.Ref.Kind, r.Ref.Namespace, r.Ref.Name)
		}
		w.nodes(t, c, pos, p.AddNodes)
		for i := range p.GoneNodes {
			w.run(`DELETE FROM resources WHERE tenant_id = ? AND cluster_id = ? AND id = ?`, t, c, p.GoneNodes[i][:])
		}
		w.history(t, c, d)
		w.edges(t, c, pos, p.AddEdges)
		for i := range p.GoneEdges {
			w.run(`DELETE FROM edges WHERE tenant_id = ? AND cluster_id = ? AND source = ? AND id = ?`, t, c, p.GoneEdges[i].Source[:], p.GoneEdges[i].ID[:])
		}
		for i := range d.sums {
			s := d.sums[i].Words()
			w.run(sqlSum+` ON CONFLICT DO UPDATE SET s0 = excluded.s0, s1 = excluded.s1, s2 = excluded.s2, s3 = excluded.s3`,
				t, c, int64(d.sums[i].Table), int64(d.sums[i].Number), s[0], s[1], s[2], s[3])
		}
		for i := range p.Counts {
			n := &p.Counts[i]
			args := []any{t, c, n.Kind.Group, n.Kind.Kind, n.Namespace}
			for _, number := range n.Numbers {
				args = append(args, number)
			}
			w.run(relational.AddCount, args...)
		}
		for _, e := range p.EdgeCounts {
			w.run(relational.AddEdgeCount, t, c, string(e.Type), e.Number)
		}
		at := time.Now().UnixMicro()
		w.run(`UPDATE tenant_feed SET pos = ?, at = ? WHERE tenant_id = ?`, pos, at, t)
		w.run(`INSERT INTO feed (tenant_id, pos, at, kind, cluster_id, payload) VALUES `+values(6), t, pos+1000, at, "diff", c, d.payload)
	})
}

// history writes closed versions, and the labels that changed.
func (w *writer) history(t, c int64, d *deltaRows) {
	for i := range d.oldNodes {
		n := &d.oldNodes[i].node
		id := n.Ref.ID()
		w.run(`INSERT INTO resources_history (tenant_id, cluster_id, id, valid_to, valid_from, uid, version, presence, health, status, created, attrs, born, labels) VALUES `+values(14),
			t, c, id[:], d.pos, d.oldNodes[i].since, n.UID, n.Version, int64(n.Presence), int64(n.Health), n.Status, n.Created, relational.EncodePairs(n.Attrs),
			d.oldNodes[i].born, d.oldNodes[i].labels)
	}
	for i := range d.plan.GoneLabels {
		l := &d.plan.GoneLabels[i]
		w.run(`DELETE FROM labels WHERE tenant_id = ? AND key = ? AND value = ? AND cluster_id = ? AND id = ?`, t, l.Key, l.Value, c, l.ID[:])
		w.run(`INSERT INTO labels_history (tenant_id, cluster_id, id, key, valid_to, valid_from, value) VALUES `+values(7), t, c, l.ID[:], l.Key, d.pos, d.oldLabels[i], l.Value)
	}
	for i := range d.plan.AddLabels {
		l := &d.plan.AddLabels[i]
		w.run(sqlLabel, t, l.Key, l.Value, c, l.ID[:], d.pos)
	}
	for i := range d.oldEdges {
		e, key := &d.oldEdges[i].edge, d.plan.GoneEdges[i]
		target := e.Target.ID()
		w.run(`INSERT INTO edges_history (tenant_id, cluster_id, source, id, valid_to, valid_from, target, rule, type, disc, path, attrs, born) VALUES `+values(13),
			t, c, key.Source[:], key.ID[:], d.pos, d.oldEdges[i].since, target[:], e.Rule, string(e.Type), e.Disc, e.Path, relational.EncodePairs(e.Attrs), d.oldEdges[i].born)
	}
}
