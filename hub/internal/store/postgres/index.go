package postgres

import (
	"context"

	"github.com/kubilitics/kubilitics/hub/internal/fleet"
	"github.com/kubilitics/kubilitics/hub/internal/store"
	"github.com/kubilitics/kubilitics/hub/internal/store/relational"
	"github.com/kubilitics/kubilitics/shared/fault"
	"github.com/kubilitics/kubilitics/shared/topo"
)

// Rows of a cluster are taken into the searches' index in pages.
const indexPage = 1000

const (
	upsertTexts = `INSERT INTO search_texts (tenant_id, cluster_id, id, name, texts) SELECT $1, $2, u.* FROM unnest($3::uuid[], $4::text[], $5::text[]) u
		ON CONFLICT (tenant_id, cluster_id, id) DO UPDATE SET name = excluded.name, texts = excluded.texts WHERE search_texts.texts <> excluded.texts`
	deleteTexts = `DELETE FROM search_texts WHERE tenant_id = $1 AND cluster_id = $2 AND id = ANY($3::uuid[])`
	// What is no row any more within a page of the rows.
	deleteBetween = `DELETE FROM search_texts WHERE tenant_id = $1 AND cluster_id = $2 AND id > $3 AND id <= $4 AND id <> ALL($5::uuid[])`

	pend    = ` ON CONFLICT (tenant_id, cluster_id) DO UPDATE SET after = excluded.after`
	pendOne = `INSERT INTO search_pending (tenant_id, cluster_id, after) VALUES ($1, $2, '00000000-0000-0000-0000-000000000000')` + pend
	pendAll = `INSERT INTO search_pending (tenant_id, cluster_id, after) SELECT tenant_id, cluster_id, '00000000-0000-0000-0000-000000000000' FROM clusters
		WHERE tenant_id = $1 AND synced AND deleted IS NULL` + pend
	dropStrangers = `DELETE FROM search_texts x WHERE x.tenant_id = $1 AND NOT EXISTS (SELECT 1 FROM clusters c WHERE c.tenant_id = $1 AND c.cluster_id = x.cluster_id
		AND c.deleted IS NULL)`
)

// makeLetters makes the index by letters. The migration has done so where it could; since then the extension may have come, or the right to create it.
const makeLetters = `CREATE EXTENSION IF NOT EXISTS pg_trgm;
	CREATE INDEX IF NOT EXISTS search_texts_by_letters ON search_texts USING gin (texts gin_trgm_ops) WITH (gin_pending_list_limit = 2048)`

// letters tells whether searches can go by letters, and why not.
func (s *Store) letters(ctx context.Context, try bool) (there bool, err error) {
	const ask = `SELECT to_regclass('search_texts_by_letters') IS NOT NULL`
	if err := s.pool.QueryRow(ctx, ask).Scan(&there); err != nil || there || !try {
		return there, translate(err)
	}
	if _, s.noLetters = s.pool.Exec(ctx, makeLetters); s.noLetters != nil {
		return false, nil
	}
	return true, nil
}

// SlowSearch gives the reason why searches read all texts instead of an index; nil when they don't.
func (s *Store) SlowSearch() error {
	if s.noLetters == nil {
		return nil
	}
	return fault.Wrap(s.noLetters, fault.Unavailable, "searches are slow: the Postgres extension pg_trgm is not there and could not be created")
}

// Index implements store.Indexer. A transaction takes in what it reads of a tenant's feed, and moves the mark; another hub that is at it is not waited for.
func (s *Store) Index(ctx context.Context, limit int) (more bool, err error) {
	tenants, err := s.Tenants(ctx)
	for _, t := range tenants {
		if limit <= 0 || err != nil {
			return true, err
		}
		var left bool
		err = s.Write(ctx, func(ctx context.Context, c relational.Conn) error {
			x := &indexing{c: c, tenant: t.ID, left: limit}
			defer func() { limit = x.left }()
			left, err = x.run(ctx)
			return err
		})
		more = more || left
	}
	return more, err
}

// indexing is one transaction of Index.
type indexing struct {
	c      relational.Conn
	tenant fleet.TenantID
	left   int // rows that may still be taken in
	pos    int64
}

func (x *indexing) exec(ctx context.Context, text string, args ...any) error {
	_, err := x.c.Exec(ctx, text, append([]any{int64(x.tenant)}, args...)...)
	return err
}

func (x *indexing) one(ctx context.Context, text string, dest ...any) (bool, error) {
	rows, err := x.c.Query(ctx, text, int64(x.tenant))
	if err != nil {
		return false, err
	}
	defer rows.Close()
	if !rows.Next() {
		return false, rows.Err()
	}
	return true, rows.Scan(dest...)
}

func (x *indexing) run(ctx context.Context) (more bool, err error) {
	if err := x.exec(ctx, `INSERT INTO search_state (tenant_id, pos) VALUES ($1, -1) ON CONFLICT DO NOTHING`); err != nil {
		return false, err
	}
	mine, err := x.one(ctx, `SELECT pos FROM search_state WHERE tenant_id = $1 FOR UPDATE SKIP LOCKED`, &x.pos)
	if err != nil || !mine {
		return false, err
	}
	begun := x.pos
	var trimmed, newest int64
	if _, err := x.one(ctx, `SELECT trimmed, pos FROM tenant_feed WHERE tenant_id = $1`, &trimmed, &newest); err != nil {
		return false, err
	}
	if x.pos < trimmed || x.pos < 0 { // what was trimmed can't be followed: all is read
		for _, text := range []string{pendAll, dropStrangers} {
			if err := x.exec(ctx, text); err != nil {
				return false, err
			}
		}
		x.pos = newest
	}
	if err := x.follow(ctx); err != nil {
		return false, err
	}
	more = x.pos < newest
	if x.pos != begun {
		if err := x.exec(ctx, `UPDATE search_state SET pos = $2 WHERE tenant_id = $1`, x.pos); err != nil {
			return false, err
		}
	}
	pending, err := x.readPending(ctx)
	return more || pending, err
}

// follow takes in entries of the feed.
func (x *indexing) follow(ctx context.Context) error {
	for x.left > 0 {
		entries, err := relational.EntriesAfter(ctx, x.c, x.tenant, topo.Position(x.pos), 20)
		if err != nil || len(entries) == 0 {
			return err
		}
		for i := range entries {
			if err := x.entry(ctx, &entries[i]); err != nil {
				return err
			}
			x.pos = int64(entries[i].Position)
			if x.left <= 0 {
				return nil
			}
		}
	}
	return nil
}

func (x *indexing) entry(ctx context.Context, e *store.Entry) error {
	x.left--
	switch e.Kind {
	case store.EntryLoaded:
		return x.exec(ctx, pendOne, int64(e.Cluster))
	case store.EntryDeleted:
		if err := x.exec(ctx, `DELETE FROM search_pending WHERE tenant_id = $1 AND cluster_id = $2`, int64(e.Cluster)); err != nil {
			return err
		}
		return x.exec(ctx, `DELETE FROM search_texts WHERE tenant_id = $1 AND cluster_id = $2`, int64(e.Cluster))
	}
	last := map[topo.ID]*topo.NodeChange{} // of two changes of one name in an entry, the later counts
	for i := range e.Diff.Nodes {
		last[e.Diff.Nodes[i].Node.Ref.ID()] = &e.Diff.Nodes[i]
	}
	var gone []topo.ID
	var page textsPage
	for id, change := range last {
		if change.Op == topo.Remove {
			gone = append(gone, id)
			continue
		}
		page.add(id, &change.Node)
	}
	x.left -= len(last)
	if len(gone) > 0 {
		if err := x.exec(ctx, deleteTexts, int64(e.Cluster), gone); err != nil {
			return err
		}
	}
	return x.put(ctx, e.Cluster, &page)
}

// textsPage is what is written of some rows.
type textsPage struct {
	ids          []topo.ID
	names, texts []string
}

func (p *textsPage) add(id topo.ID, n *topo.Node) {
	name, texts := relational.TextsOf(n)
	p.ids, p.names, p.texts = append(p.ids, id), append(p.names, name), append(p.texts, texts)
}

func (x *indexing) put(ctx context.Context, cluster fleet.ClusterID, p *textsPage) error {
	if len(p.ids) == 0 {
		return nil
	}
	return x.exec(ctx, upsertTexts, int64(cluster), p.ids, p.names, p.texts)
}

// readPending reads clusters as a whole, page by page.
func (x *indexing) readPending(ctx context.Context) (more bool, err error) {
	for {
		var cluster int64
		var after topo.ID
		found, err := x.one(ctx, `SELECT cluster_id, after FROM search_pending WHERE tenant_id = $1 ORDER BY cluster_id LIMIT 1`, &cluster, &after)
		if err != nil || !found || x.left <= 0 {
			return found, err
		}
		if err := x.page(ctx, fleet.ClusterID(cluster), after, min(indexPage, x.left)); err != nil {
			return false, err
		}
	}
}

func (x *indexing) page(ctx context.Context, cluster fleet.ClusterID, after topo.ID, limit int) error {
	p, err := x.rows(ctx, cluster, after, limit)
	if err != nil {
		return err
	}
	x.left -= max(len(p.ids), 1)
	last := topo.ID{}
	for i := range last {
		last[i] = 0xff
	}
	if len(p.ids) == limit {
		last = p.ids[limit-1]
	}
	ids := p.ids
	if ids == nil {
		ids = []topo.ID{}
	}
	if err := x.exec(ctx, deleteBetween, int64(cluster), after, last, ids); err != nil {
		return err
	}
	if err := x.put(ctx, cluster, p); err != nil {
		return err
	}
	if len(p.ids) < limit {
		return x.exec(ctx, `DELETE FROM search_pending WHERE tenant_id = $1 AND cluster_id = $2`, int64(cluster))
	}
	return x.exec(ctx, `UPDATE search_pending SET after = $3 WHERE tenant_id = $1 AND cluster_id = $2`, int64(cluster), last)
}

func (x *indexing) rows(ctx context.Context, cluster fleet.ClusterID, after topo.ID, limit int) (*textsPage, error) {
	rows, err := x.c.Query(ctx, `SELECT r.id, `+relational.NodeColumns+` FROM resources r WHERE r.tenant_id = $1 AND r.cluster_id = $2 AND r.id > $3 ORDER BY r.id LIMIT $4`,
		int64(x.tenant), int64(cluster), after, limit)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	p := &textsPage{}
	for rows.Next() {
		var cells relational.NodeCells
		var id topo.ID
		if err := rows.Scan(cells.Dest(&id)...); err != nil {
			return nil, err
		}
		_ = cells.Decode() // what is damaged is found by its name until it is mended
		p.add(id, &cells.Node)
	}
	return p, rows.Err()
}
