package main

import (
	"context"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgtype"

	"github.com/kubilitics/kubilitics/hub/internal/store"
	"github.com/kubilitics/kubilitics/hub/internal/store/postgres"
	"github.com/kubilitics/kubilitics/hub/internal/store/relational"
	"github.com/kubilitics/kubilitics/shared/topo"
)

type postgresBody struct {
	s    *postgres.Store
	conn *pgx.Conn
}

func openPostgres(ctx context.Context, dsn string) (*postgresBody, error) {
	s, err := postgres.Open(ctx, postgres.Config{DSN: dsn, Migrate: true})
	if err != nil {
		return nil, err
	}
	conn, err := pgx.Connect(ctx, dsn)
	if err != nil {
		return nil, err
	}
	_, err = conn.Exec(ctx, `SET jit = off`)
	return &postgresBody{s, conn}, err
}

func (b *postgresBody) store() store.Store { return b.s }

func (b *postgresBody) close() error {
	_ = b.conn.Close(context.Background()) // the server is stopped next
	return b.s.Close()
}

func (b *postgresBody) fresh(ctx context.Context) error {
	for _, sql := range []string{
		`TRUNCATE refs, resources, resources_history, labels, labels_history, edges, edges_history, digests, counts, edge_counts, feed, clusters, tenants, tenant_feed`, `CHECKPOINT`,
	} {
		if _, err := b.conn.Exec(ctx, sql); err != nil {
			return err
		}
	}
	return nil
}

// bareLoad is one COPY a table, and what shows the cluster.
func (b *postgresBody) bareLoad(ctx context.Context, at store.Scope, r *loadRows) error {
	tx, err := b.conn.Begin(ctx)
	if err != nil {
		return err
	}
	defer func() { _ = tx.Rollback(ctx) }() // nothing after Commit
	t, c := int64(at.Tenant), int64(at.Cluster)
	nodes, edges := r.keyed.Nodes, r.keyed.Edges
	for _, table := range []struct {
		name    string
		columns []string
		rows    pgx.CopyFromSource
	}{
		{"refs", []string{"tenant_id", "cluster_id", "id", "api_group", "kind", "namespace", "name"}, pgx.CopyFromSlice(len(nodes), func(i int) ([]any, error) {
			r := &nodes[i].Node.Ref
			return []any{t, c, [16]byte(nodes[i].ID), r.Group, r.Kind, r.Namespace, r.Name}, nil
		})},
		{"resources", []string{"tenant_id", "cluster_id", "id", "api_group", "kind", "namespace", "name", "uid", "version", "presence", "health", "status", "created",
			"labels", "attrs", "hash", "origin", "valid_from"}, pgx.CopyFromSlice(len(nodes), func(i int) ([]any, error) {
			n := nodes[i].Node
			return []any{t, c, [16]byte(nodes[i].ID), n.Ref.Group, n.Ref.Kind, n.Ref.Namespace, n.Ref.Name, n.UID, n.Version, int16(n.Presence), int16(n.Health),
				n.Status, n.Created, relational.EncodePairs(n.Labels), relational.EncodePairs(n.Attrs), [16]byte(nodes[i].Hash), "agent", int64(0)}, nil
		})},
		{"labels", []string{"tenant_id", "key", "value", "cluster_id", "id", "valid_from"}, pgx.CopyFromSlice(len(r.labels), func(i int) ([]any, error) {
			return []any{t, r.labels[i].Key, r.labels[i].Value, c, [16]byte(r.labels[i].ID), int64(0)}, nil
		})},
		{"edges", []string{"tenant_id", "cluster_id", "source", "id", "target", "rule", "type", "disc", "path", "attrs", "hash", "origin", "valid_from"},
			pgx.CopyFromSlice(len(edges), func(i int) ([]any, error) {
				x, e := &edges[i], edges[i].Edge
				return []any{t, c, [16]byte(x.Key.Source), [16]byte(x.Key.ID), [16]byte(x.Target), e.Rule, string(e.Type), e.Disc, e.Path,
					relational.EncodePairs(e.Attrs), [16]byte(x.Hash), "agent", int64(0)}, nil
			})},
		{"digests", []string{"tenant_id", "cluster_id", "tbl", "bucket", "s0", "s1", "s2", "s3"}, pgx.CopyFromSlice(len(r.sums), func(i int) ([]any, error) {
			w := r.sums[i].Words()
			return []any{t, c, int16(r.sums[i].Table), int16(r.sums[i].Number), w[0], w[1], w[2], w[3]}, nil
		})},
	} {
		if _, err := tx.CopyFrom(ctx, pgx.Identifier{table.name}, table.columns, table.rows); err != nil {
			return err
		}
	}
	if _, err := tx.Exec(ctx, `UPDATE clusters SET synced = TRUE, first_seen = 1 WHERE tenant_id = $1 AND cluster_id = $2`, t, c); err != nil {
		return err
	}
	return tx.Commit(ctx)
}

// settle gives the planner its statistics, as autovacuum does within a minute.
func (b *postgresBody) settle(ctx context.Context) error {
	_, err := b.conn.Exec(ctx, `ANALYZE`)
	return err
}

func uuids(n int, at func(int) topo.ID) []pgtype.UUID {
	list := make([]pgtype.UUID, n)
	for i := range list {
		list[i] = pgtype.UUID{Bytes: at(i), Valid: true}
	}
	return list
}

func column[T any](n int, at func(int) T) []T {
	list := make([]T, n)
	for i := range list {
		list[i] = at(i)
	}
	return list
}

// bareDelta is one batch of one statement a table and operation, with every value at hand.
func (b *postgresBody) bareDelta(ctx context.Context, at store.Scope, d *deltaRows) error {
	t, c, pos := int64(at.Tenant), int64(at.Cluster), d.pos
	var q pgx.Batch
	q.Queue(`BEGIN`)
	bareNodes(&q, t, c, d)
	bareLabels(&q, t, c, d)
	bareEdges(&q, t, c, d)
	sums := d.sums
	word := func(j int) []int64 { return column(len(sums), func(i int) int64 { return sums[i].Words()[j] }) }
	q.Queue(`INSERT INTO digests (tenant_id, cluster_id, tbl, bucket, s0, s1, s2, s3)
		SELECT $1, $2, u.* FROM unnest($3::smallint[], $4::smallint[], $5::bigint[], $6::bigint[], $7::bigint[], $8::bigint[]) u
		ON CONFLICT (tenant_id, cluster_id, tbl, bucket) DO UPDATE SET s0 = excluded.s0, s1 = excluded.s1, s2 = excluded.s2, s3 = excluded.s3`, t, c,
		column(len(sums), func(i int) int16 { return int16(sums[i].Table) }), column(len(sums), func(i int) int16 { return int16(sums[i].Number) }),
		word(0), word(1), word(2), word(3))
	bareCounts(&q, t, c, d)
	q.Queue(`UPDATE tenant_feed SET pos = $2, at = $3 WHERE tenant_id = $1`, t, pos, time.Now())
	q.Queue(`INSERT INTO feed (tenant_id, pos, at, kind, cluster_id, payload) VALUES ($1, $2, $3, 'diff', $4, $5)`, t, pos+1000, time.Now(), c, d.payload)
	q.Queue(`COMMIT`)
	return b.conn.SendBatch(ctx, &q).Close()
}

func bareCounts(q *pgx.Batch, t, c int64, d *deltaRows) {
	rows, edges := d.plan.Counts, d.plan.EdgeCounts
	args := []any{t, c, column(len(rows), func(i int) string { return rows[i].Kind.Group }), column(len(rows), func(i int) string { return rows[i].Kind.Kind }),
		column(len(rows), func(i int) string { return rows[i].Namespace })}
	for state := range relational.States {
		args = append(args, column(len(rows), func(i int) int64 { return rows[i].Numbers[state] }))
	}
	q.Queue(`INSERT INTO counts (tenant_id, cluster_id, api_group, kind, namespace, `+relational.StateColumns+`) SELECT $1, $2, u.* FROM unnest($3::text[], $4::text[], $5::text[],
		$6::bigint[], $7::bigint[], $8::bigint[], $9::bigint[], $10::bigint[], $11::bigint[], $12::bigint[]) u`+relational.MeetCount, args...)
	q.Queue(`INSERT INTO edge_counts (tenant_id, cluster_id, type, number) SELECT $1, $2, u.* FROM unnest($3::text[], $4::bigint[]) u`+relational.MeetEdgeCount, t, c,
		column(len(edges), func(i int) string { return string(edges[i].Type) }), column(len(edges), func(i int) int64 { return edges[i].Number }))
}

func bareNodes(q *pgx.Batch, t, c int64, d *deltaRows) {
	up, add, old := d.plan.UpdateNodes, d.plan.AddNodes, d.oldNodes
	q.Queue(`UPDATE resources r SET uid = u.uid, version = u.version, presence = u.presence, health = u.health, status = u.status, created = u.created,
		labels = u.labels, attrs = u.attrs, hash = u.hash, origin = 'agent', valid_from = $3
		FROM unnest($4::uuid[], $5::text[], $6::text[], $7::smallint[], $8::smallint[], $9::text[], $10::bigint[], $11::text[], $12::text[], $13::uuid[])
		u(id, uid, version, presence, health, status, created, labels, attrs, hash) WHERE r.tenant_id = $1 AND r.cluster_id = $2 AND r.id = u.id`, t, c, d.pos,
		uuids(len(up), func(i int) topo.ID { return up[i].ID }), column(len(up), func(i int) string { return up[i].Node.UID }),
		column(len(up), func(i int) string { return up[i].Node.Version }), column(len(up), func(i int) int16 { return int16(up[i].Node.Presence) }),
		column(len(up), func(i int) int16 { return int16(up[i].Node.Health) }), column(len(up), func(i int) string { return up[i].Node.Status }),
		column(len(up), func(i int) int64 { return up[i].Node.Created }), column(len(up), func(i int) string { return relational.EncodePairs(up[i].Node.Labels) }),
		column(len(up), func(i int) string { return relational.EncodePairs(up[i].Node.Attrs) }), uuids(len(up), func(i int) topo.ID { return up[i].Hash }))
	q.Queue(`INSERT INTO refs SELECT $1, $2, u.* FROM unnest($3::uuid[], $4::text[], $5::text[], $6::text[], $7::text[]) u ON CONFLICT DO NOTHING`, t, c,
		uuids(len(add), func(i int) topo.ID { return add[i].ID }), column(len(add), func(i int) string { return add[i].Node.Ref.Group }),
		column(len(add), func(i int) string { return add[i].Node.Ref.Kind }), column(len(add), func(i int) string { return add[i].Node.Ref.Namespace }),
		column(len(add), func(i int) string { return add[i].Node.Ref.Name }))
	q.Queue(`INSERT INTO resources (tenant_id, cluster_id, id, api_group, kind, namespace, name, uid, version, presence, health, status, created, labels, attrs, hash,
		origin, valid_from, born) SELECT $1, $2, u.*, 'agent', $17, $17 FROM unnest($3::uuid[], $4::text[], $5::text[], $6::text[], $7::text[], $8::text[], $9::text[],
		$10::smallint[], $11::smallint[], $12::text[], $13::bigint[], $14::text[], $15::text[], $16::uuid[]) u`, t, c,
		uuids(len(add), func(i int) topo.ID { return add[i].ID }), column(len(add), func(i int) string { return add[i].Node.Ref.Group }),
		column(len(add), func(i int) string { return add[i].Node.Ref.Kind }), column(len(add), func(i int) string { return add[i].Node.Ref.Namespace }),
		column(len(add), func(i int) string { return add[i].Node.Ref.Name }), column(len(add), func(i int) string { return add[i].Node.UID }),
		column(len(add), func(i int) string { return add[i].Node.Version }), column(len(add), func(i int) int16 { return int16(add[i].Node.Presence) }),
		column(len(add), func(i int) int16 { return int16(add[i].Node.Health) }), column(len(add), func(i int) string { return add[i].Node.Status }),
		column(len(add), func(i int) int64 { return add[i].Node.Created }), column(len(add), func(i int) string { return relational.EncodePairs(add[i].Node.Labels) }),
		column(len(add), func(i int) string { return relational.EncodePairs(add[i].Node.Attrs) }), uuids(len(add), func(i int) topo.ID { return add[i].Hash }), d.pos)
	q.Queue(`DELETE FROM resources WHERE tenant_id = $1 AND cluster_id = $2 AND id = ANY($3)`, t, c,
		uuids(len(d.plan.GoneNodes), func(i int) topo.ID { return d.plan.GoneNodes[i] }))
	q.Queue(`INSERT INTO resources_history (tenant_id, cluster_id, id, uid, valid_from, created, state, version, odd_uid, status, labels, attrs, valid_to, closed)
		SELECT $1, $2, u.id, u.uid, u.since, u.created, u.state, u.version, '', u.status, u.labels, u.attrs, $12, CURRENT_DATE
		FROM unnest($3::uuid[], $4::uuid[], $5::bigint[], $6::bigint[], $7::smallint[], $8::text[], $9::text[], $10::text[], $11::text[])
		u(id, uid, since, created, state, version, status, labels, attrs)`, t, c,
		uuids(len(old), func(i int) topo.ID { return old[i].node.Ref.ID() }), column(len(old), func(i int) string { return old[i].node.UID }),
		column(len(old), func(i int) int64 { return old[i].since }), column(len(old), func(i int) int64 { return old[i].node.Created }),
		column(len(old), func(i int) int16 { return old[i].state() }), column(len(old), func(i int) string { return old[i].node.Version }),
		column(len(old), func(i int) string { return old[i].node.Status }), column(len(old), func(i int) string { return old[i].labels }),
		column(len(old), func(i int) string { return old[i].attrs }), d.pos)
}

// state is what the column of that name packs.
func (h *held) state() int16 {
	s := int16(h.node.Presence)<<8 | int16(h.node.Health)
	if h.born == h.since {
		s |= 1 << 14
	}
	return s
}

func bareLabels(q *pgx.Batch, t, c int64, d *deltaRows) {
	columns := func(rows []relational.LabelRow) []any {
		return []any{t, c, uuids(len(rows), func(i int) topo.ID { return rows[i].ID }), column(len(rows), func(i int) string { return rows[i].Key }),
			column(len(rows), func(i int) string { return rows[i].Value })}
	}
	q.Queue(`DELETE FROM labels l USING unnest($3::uuid[], $4::text[], $5::text[]) u(id, key, value)
		WHERE l.tenant_id = $1 AND l.key = u.key AND l.value = u.value AND l.cluster_id = $2 AND l.id = u.id`, columns(d.plan.GoneLabels)...)
	q.Queue(`INSERT INTO labels_history (tenant_id, cluster_id, id, key, value, valid_from, valid_to, closed)
		SELECT $1, $2, u.*, $7, CURRENT_DATE FROM unnest($3::uuid[], $4::text[], $5::text[], $6::bigint[]) u`, append(columns(d.plan.GoneLabels), d.oldLabels, d.pos)...)
	q.Queue(`INSERT INTO labels (tenant_id, cluster_id, id, key, value, valid_from) SELECT $1, $2, u.*, $6 FROM unnest($3::uuid[], $4::text[], $5::text[]) u`,
		append(columns(d.plan.AddLabels), d.pos)...)
}

func bareEdges(q *pgx.Batch, t, c int64, d *deltaRows) {
	add, gone, old := d.plan.AddEdges, d.plan.GoneEdges, d.oldEdges
	q.Queue(`INSERT INTO edges (tenant_id, cluster_id, source, id, target, rule, type, disc, path, attrs, hash, origin, valid_from, born) SELECT $1, $2, u.*, 'agent', $12, $12
		FROM unnest($3::uuid[], $4::uuid[], $5::uuid[], $6::text[], $7::text[], $8::text[], $9::text[], $10::text[], $11::uuid[]) u`, t, c,
		uuids(len(add), func(i int) topo.ID { return add[i].Key.Source }), uuids(len(add), func(i int) topo.ID { return add[i].Key.ID }),
		uuids(len(add), func(i int) topo.ID { return add[i].Target }), column(len(add), func(i int) string { return add[i].Edge.Rule }),
		column(len(add), func(i int) string { return string(add[i].Edge.Type) }), column(len(add), func(i int) string { return add[i].Edge.Disc }),
		column(len(add), func(i int) string { return add[i].Edge.Path }), column(len(add), func(i int) string { return relational.EncodePairs(add[i].Edge.Attrs) }),
		uuids(len(add), func(i int) topo.ID { return add[i].Hash }), d.pos)
	q.Queue(`DELETE FROM edges e USING unnest($3::uuid[], $4::uuid[]) u(source, id) WHERE e.tenant_id = $1 AND e.cluster_id = $2 AND e.source = u.source AND e.id = u.id`, t, c,
		uuids(len(gone), func(i int) topo.ID { return gone[i].Source }), uuids(len(gone), func(i int) topo.ID { return gone[i].ID }))
	q.Queue(`INSERT INTO edges_history (tenant_id, cluster_id, source, id, valid_from, target, rule, type, disc, path, attrs, born, valid_to, closed) SELECT $1, $2, u.*, $13, CURRENT_DATE
		FROM unnest($3::uuid[], $4::uuid[], $5::bigint[], $6::uuid[], $7::text[], $8::text[], $9::text[], $10::text[], $11::text[], $12::bigint[]) u`, t, c,
		uuids(len(gone), func(i int) topo.ID { return gone[i].Source }), uuids(len(gone), func(i int) topo.ID { return gone[i].ID }),
		column(len(old), func(i int) int64 { return old[i].since }), uuids(len(old), func(i int) topo.ID { return old[i].edge.Target.ID() }),
		column(len(old), func(i int) string { return old[i].edge.Rule }), column(len(old), func(i int) string { return string(old[i].edge.Type) }),
		column(len(old), func(i int) string { return old[i].edge.Disc }), column(len(old), func(i int) string { return old[i].edge.Path }),
		column(len(old), func(i int) string { return relational.EncodePairs(old[i].edge.Attrs) }), column(len(old), func(i int) int64 { return old[i].born }), d.pos)
}
