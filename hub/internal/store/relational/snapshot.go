package relational

import (
	"cmp"
	"context"
	"slices"
	"time"

	"github.com/kubilitics/kubilitics/hub/internal/fleet"
	"github.com/kubilitics/kubilitics/hub/internal/store"
	"github.com/kubilitics/kubilitics/shared/fault"
	"github.com/kubilitics/kubilitics/shared/topo"
)

// snapshot answers queries within one transaction.
type snapshot struct {
	sql    *Dialect
	conn   Conn
	tenant fleet.TenantID
	pos    topo.Position
	at     time.Time
	newest time.Time     // the instant of the tenant's newest position
	floor  topo.Position // the earliest whose rows are all kept
	asked  time.Time     // the instant that freshness is of; zero: now
	seen   *sight        // read when first needed
	noted  *noted        // what the list before found out
	tables sources
}

// sight is which clusters readers see, and since which position.
type sight struct {
	first  map[fleet.ClusterID]topo.Position
	order  []fleet.ClusterID
	hidden bool // some clusters have rows that nobody sees: loading, or deleted and not purged yet
}

// Read implements store.Reader.
func (b *Base) Read(ctx context.Context, tenant fleet.TenantID, fn func(context.Context, store.Snapshot) error) error {
	return b.db.Snapshot(ctx, func(ctx context.Context, c Conn) error {
		s := &snapshot{sql: &b.sql, conn: c, tenant: tenant, tables: current}
		found, err := queryOne(ctx, c, `SELECT pos, at, history_floor FROM tenant_feed WHERE tenant_id = $1`, []any{int64(tenant)}, (*int64)(&s.pos), &s.at, (*int64)(&s.floor))
		s.newest = s.at
		if err != nil {
			return err
		}
		if !found {
			return fault.New(fault.NotFound, "there is no tenant %s", tenant)
		}
		return fn(ctx, s)
	})
}

// Position implements store.Snapshot.
func (s *snapshot) Position() topo.Position { return s.pos }

// At implements store.Snapshot.
func (s *snapshot) At() time.Time { return s.at }

// Clusters implements store.Snapshot.
func (s *snapshot) Clusters(ctx context.Context) ([]fleet.Cluster, error) {
	list, err := clusters(ctx, s.conn, s.tenant)
	if err != nil || s.asked.IsZero() {
		return list, err
	}
	return s.clustersThen(ctx, list)
}

func (s *snapshot) sight(ctx context.Context) (*sight, error) {
	if s.seen != nil {
		return s.seen, nil
	}
	seen := &sight{first: map[fleet.ClusterID]topo.Position{}}
	rows, err := s.conn.Query(ctx, `SELECT cluster_id, first_seen, synced AND deleted IS NULL, synced OR load_epoch <> 0 FROM clusters WHERE tenant_id = $1`, int64(s.tenant))
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	for rows.Next() {
		var id, first int64
		var shown, written bool
		if err := rows.Scan(&id, &first, &shown, &written); err != nil {
			return nil, err
		}
		if shown && topo.Position(first) <= s.pos {
			seen.first[fleet.ClusterID(id)] = topo.Position(first)
			seen.order = append(seen.order, fleet.ClusterID(id))
		}
		seen.hidden = seen.hidden || (written && (!shown || topo.Position(first) > s.pos))
	}
	s.seen = seen
	return seen, rows.Err()
}

// since is a row's effective valid_from: rows of the first load carry 0.
func (s *sight) since(c fleet.ClusterID, validFrom int64) topo.Position {
	return max(topo.Position(validFrom), s.first[c])
}

// shows tells whether readers may see a cluster of this tenant; asking for another's is a fault.
func (s *snapshot) shows(ctx context.Context, at store.Scope) (*sight, bool, error) {
	if at.Tenant != s.tenant {
		return nil, false, fault.New(fault.Forbidden, "the snapshot is another tenant's")
	}
	seen, err := s.sight(ctx)
	if err != nil {
		return nil, false, err
	}
	_, ok := seen.first[at.Cluster]
	return seen, ok, nil
}

// access works out what a view shows; nothing at all is no fault.
func (s *snapshot) access(ctx context.Context, v fleet.View, wanted []fleet.ClusterID) (*sight, access, error) {
	if v.Tenant != s.tenant {
		return nil, access{}, fault.New(fault.Forbidden, "the view is another tenant's")
	}
	seen, err := s.sight(ctx)
	if err != nil {
		return nil, access{}, err
	}
	return seen, accessTo(seen, v, wanted), nil
}

// where begins the conditions of a query; the tenant is always $1.
func (s *snapshot) where(alias string) *where {
	w := &where{dialect: s.sql, tables: s.tables}
	w.and(w.equal(alias+".tenant_id", int64(s.tenant)))
	return w
}

func (s *snapshot) filtered(a *access, f *store.Filter) (*where, error) {
	w := s.where("r")
	if condition := a.in(w, "r.cluster_id", "r.namespace"); condition != "" {
		w.and(condition)
	}
	return w, w.filter(f)
}

// Resources implements store.Snapshot.
func (s *snapshot) Resources(ctx context.Context, f store.Filter, after *store.Key, limit int) ([]store.Row, error) {
	return s.list(ctx, &f, after, limit, nil)
}

// list gives rows in order; also, where it isn't nil, adds conditions to the filter's.
func (s *snapshot) list(ctx context.Context, f *store.Filter, after *store.Key, limit int, also func(*where)) ([]store.Row, error) {
	seen, a, err := s.access(ctx, f.View, f.Clusters)
	if err != nil || a.empty() {
		return nil, err
	}
	f, none, err := s.resolved(ctx, f)
	if err != nil || none {
		return nil, err
	}
	each := a.split()
	if each == nil {
		each = []access{a}
	}
	parts := s.tables.parts()
	if len(each) == 1 && len(parts) == 1 {
		return s.page(ctx, seen, &each[0], f, parts[0], after, limit, also)
	}
	var all []store.Row
	for i := range each {
		for _, part := range parts {
			page, err := s.page(ctx, seen, &each[i], f, part, after, limit, also)
			if err != nil {
				return nil, err
			}
			all = append(all, page...)
		}
	}
	slices.SortFunc(all, func(x, y store.Row) int {
		return cmp.Or(x.Node.Ref.Compare(y.Node.Ref), cmp.Compare(x.Cluster, y.Cluster))
	})
	return all[:min(limit, len(all))], nil
}

// page lists rows of what an access shows of a table, or of what stands for it.
func (s *snapshot) page(ctx context.Context, seen *sight, a *access, f *store.Filter, table string, after *store.Key, limit int, also func(*where)) ([]store.Row, error) {
	if also == nil {
		if rows, done, err := s.quick(ctx, seen, a, f, after, limit); done || err != nil {
			return rows, err
		}
	}
	w, err := s.filtered(a, f)
	if err != nil {
		return nil, err
	}
	if also != nil {
		also(w)
	}
	only, one := a.only()
	w.after(after, only, one)
	order := " ORDER BY r.api_group, r.kind, r.namespace, r.name"
	if !one {
		order += ", r.cluster_id"
	}
	return s.rows(ctx, seen, table, w.String()+order+` LIMIT `+w.param(limit), w.args)
}

// Nodes implements store.Snapshot.
func (s *snapshot) Nodes(ctx context.Context, at store.Scope, ids []topo.ID) ([]store.Row, error) {
	seen, ok, err := s.shows(ctx, at)
	if err != nil || !ok || len(ids) == 0 {
		return nil, err
	}
	w := s.where("r")
	w.and(w.equal("r.cluster_id", int64(at.Cluster)))
	w.and(w.ids("r.id", ids))
	return s.rows(ctx, seen, s.tables.resources, w.String(), w.args)
}

// edgesOf begins the conditions on edges e of one cluster, of those types.
func (s *snapshot) edgesOf(at store.Scope, types []topo.EdgeType) *where {
	w := s.where("e")
	w.and(w.equal("e.cluster_id", int64(at.Cluster)))
	if len(types) > 0 {
		words := make([]string, len(types))
		for i, t := range types {
			words[i] = string(t)
		}
		w.and(w.strings("e.type", words))
	}
	return w
}

func (s *snapshot) edges(ctx context.Context, seen *sight, at store.Scope, w *where, limit int) ([]store.EdgeRow, error) {
	return s.edgesFrom(ctx, seen, at, s.tables.edges+` e`+EdgeEnds+` WHERE `+w.String()+` LIMIT `+w.param(limit), w.args)
}

// edgesFrom reads the edges e of one cluster that a FROM clause, and what follows it, gives.
func (s *snapshot) edgesFrom(ctx context.Context, seen *sight, at store.Scope, from string, args []any) ([]store.EdgeRow, error) {
	return queryAll(ctx, s.conn, func(rows Rows, r *store.EdgeRow) error {
		var cells EdgeCells
		var since int64
		if err := rows.Scan(cells.Dest(&r.ID.Source, &r.ID.ID, &since)...); err != nil {
			return err
		}
		_ = cells.Decode() // as with rows
		r.Cluster, r.Edge, r.Since = at.Cluster, cells.Edge, seen.since(at.Cluster, since)
		return nil
	}, `SELECT e.source, e.id, e.valid_from, `+EdgeColumns+` FROM `+from, args...)
}

// EdgesOf implements store.Snapshot. Both directions are two queries, each along its own index; an edge between two of the ids comes with
// the first.
func (s *snapshot) EdgesOf(ctx context.Context, at store.Scope, ids []topo.ID, d store.Direction, types []topo.EdgeType, limit int) ([]store.EdgeRow, error) {
	seen, ok, err := s.shows(ctx, at)
	if err != nil || !ok || len(ids) == 0 {
		return nil, err
	}
	var found []store.EdgeRow
	if d == store.Out || d == store.Both {
		w := s.edgesOf(at, types)
		w.and(w.ids("e.source", ids))
		if found, err = s.edges(ctx, seen, at, w, limit); err != nil || len(found) >= limit {
			return found, err
		}
	}
	if d == store.Into || d == store.Both {
		w := s.edgesOf(at, types)
		w.and(w.ids("e.target", ids))
		if d == store.Both {
			w.and("NOT (" + w.ids("e.source", ids) + ")")
		}
		into, err := s.edges(ctx, seen, at, w, limit-len(found))
		return append(found, into...), err
	}
	if d != store.Out {
		return nil, fault.New(fault.BadRequest, "there is no direction %q", d)
	}
	return found, nil
}

// EdgesAmong implements store.Snapshot.
func (s *snapshot) EdgesAmong(ctx context.Context, at store.Scope, ids []topo.ID, types []topo.EdgeType, limit int) ([]store.EdgeRow, error) {
	seen, ok, err := s.shows(ctx, at)
	if err != nil || !ok || len(ids) == 0 {
		return nil, err
	}
	w := s.edgesOf(at, types)
	w.and(w.ids("e.source", ids))
	w.and(w.ids("e.target", ids))
	return s.edges(ctx, seen, at, w, limit)
}

// Manifest implements store.Snapshot.
func (s *snapshot) Manifest(ctx context.Context, at store.Scope, id topo.ID) (m topo.Manifest, err error) {
	_, ok, err := s.shows(ctx, at)
	if err != nil || !ok {
		return m, orNoManifest(err, at)
	}
	if s.tables == current {
		return s.manifest(ctx, at, id, s.tables.manifests)
	}
	return s.manifest(ctx, at, id, s.tables.manifests, int64(s.pos))
}

// manifest reads one from the table, or from what stands for it at a position.
func (s *snapshot) manifest(ctx context.Context, at store.Scope, id topo.ID, table string, pos ...any) (m topo.Manifest, err error) {
	found, err := queryOne(ctx, s.conn, `SELECT f.api_group, f.kind, f.namespace, f.name, m.hash, m.body FROM `+table+` m
		JOIN refs f ON f.tenant_id = m.tenant_id AND f.cluster_id = m.cluster_id AND f.id = m.id
		WHERE m.tenant_id = $1 AND m.cluster_id = $2 AND m.id = $3`, append([]any{int64(at.Tenant), int64(at.Cluster), id}, pos...),
		&m.Ref.Group, &m.Ref.Kind, &m.Ref.Namespace, &m.Ref.Name, &m.Hash, &m.Body)
	if !found {
		err = orNoManifest(err, at)
	}
	return m, err
}

// Bodies implements store.Snapshot.
func (s *snapshot) Bodies(ctx context.Context, at store.Scope, ids []topo.ID) (map[topo.ID][]byte, error) {
	_, ok, err := s.shows(ctx, at)
	if err != nil || !ok || len(ids) == 0 {
		return nil, err
	}
	args := []any{int64(at.Tenant), int64(at.Cluster), ids}
	if s.tables != current {
		args = append(args, int64(s.pos)) // what stands for the table names it
	}
	type body struct {
		id   topo.ID
		text []byte
	}
	found, err := queryAll(ctx, s.conn, func(rows Rows, b *body) error { return rows.Scan(&b.id, &b.text) },
		`SELECT m.id, m.body FROM `+s.tables.manifests+` m WHERE m.tenant_id = $1 AND m.cluster_id = $2 AND `+s.sql.InIDs("m.id", 3), args...)
	bodies := make(map[topo.ID][]byte, len(found))
	for _, b := range found {
		bodies[b.id] = b.text
	}
	return bodies, err
}
