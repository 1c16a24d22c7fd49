package relational

import (
	"context"

	"github.com/kubilitics/kubilitics/hub/internal/store"
	"github.com/kubilitics/kubilitics/shared/fault"
	"github.com/kubilitics/kubilitics/shared/topo"
)

// manifestBy gives the hash of the manifest there was just before a position; $1 to $3 are tenant, cluster and key, $4 stands for none.
func manifestBy(till string) string {
	const of = ` m WHERE m.tenant_id = $1 AND m.cluster_id = $2 AND m.id = $3 AND m.valid_from < `
	return `coalesce((SELECT m.hash FROM manifests_history` + of + till + ` AND m.valid_to >= ` + till + ` ORDER BY m.valid_to LIMIT 1),
		(SELECT m.hash FROM manifests` + of + till + `), $4)`
}

// History implements store.Past. At a past position, a version that ended later is still so.
func (s *snapshot) History(ctx context.Context, at store.Scope, id topo.ID, before topo.Position, limit int) ([]store.Version, error) {
	seen, ok, err := s.shows(ctx, at)
	if err != nil || !ok || limit <= 0 {
		return nil, err
	}
	if before <= 0 || before > s.pos {
		before = s.pos + 1
	}
	if before <= seen.first[at.Cluster] {
		return nil, nil // rows of the first load say 0
	}
	list, err := s.versions(ctx, seen, at, id, before, limit)
	if err != nil {
		return nil, err
	}
	return list, s.date(ctx, list)
}

// versions reads the current row and closed ones.
func (s *snapshot) versions(ctx context.Context, seen *sight, at store.Scope, id topo.ID, before topo.Position, limit int) ([]store.Version, error) {
	scan := func(rows Rows, v *store.Version) error {
		var cells NodeCells
		var from int64
		if err := rows.Scan(cells.Dest(&from, (*int64)(&v.To), &v.Manifest)...); err != nil {
			return err
		}
		_ = cells.Decode() // as with rows
		cells.Node.Attrs = laid(cells.Node.Attrs)
		v.Row = store.Row{Cluster: at.Cluster, ID: id, Node: cells.Node, Since: seen.since(at.Cluster, from)}
		return nil
	}
	args := []any{int64(at.Tenant), int64(at.Cluster), id, topo.ID{}, int64(before), limit, int64(s.pos)}
	const next = `CAST($7 AS bigint) + 1`
	list, err := queryAll(ctx, s.conn, scan, `SELECT r.valid_from, 0, `+manifestBy(next)+`, `+NodeColumns+` FROM resources r
		WHERE r.tenant_id = $1 AND r.cluster_id = $2 AND r.id = $3 AND r.valid_from < $5 LIMIT $6`, args...)
	if err != nil || len(list) >= limit {
		return list, err
	}
	args[5] = limit - len(list)
	const later = `CASE WHEN h.valid_to > CAST($7 AS bigint) THEN `
	closed, err := queryAll(ctx, s.conn, scan, `SELECT h.valid_from, `+later+`0 ELSE h.valid_to END, `+manifestBy(later+next+` ELSE h.valid_to END`)+`, `+s.sql.closedCells(days{})+closedNodes+`
		WHERE h.tenant_id = $1 AND h.cluster_id = $2 AND h.id = $3 AND h.valid_from < $5 AND h.valid_to > $8 ORDER BY h.valid_to DESC LIMIT $6`, append(args, int64(s.floor))...)
	return append(list, closed...), err
}

// date looks up the instants at which versions began and ended. Those of positions before all that is kept are not known any more.
func (s *snapshot) date(ctx context.Context, list []store.Version) error {
	var wanted []topo.Position
	for i := range list {
		wanted = append(wanted, list[i].Since, list[i].To)
	}
	marks, err := s.Instants(ctx, wanted)
	for i := range list {
		v := &list[i]
		v.Began, v.GapSince, v.Ended = marks[v.Since].At, marks[v.Since].GapSince, marks[v.To].At
	}
	return err
}

// ManifestAt implements store.Past.
func (s *snapshot) ManifestAt(ctx context.Context, at store.Scope, id topo.ID, since topo.Position) (m topo.Manifest, err error) {
	seen, ok, err := s.shows(ctx, at)
	if err != nil || !ok || since <= 0 {
		return m, orNoManifest(err, at)
	}
	list, err := s.versions(ctx, seen, at, id, since+1, 1)
	if err != nil || len(list) == 0 || list[0].Since != since || list[0].Manifest == (topo.ID{}) {
		return m, orNoManifest(err, at)
	}
	return s.manifestThen(ctx, at, id, list[0].To)
}

func orNoManifest(err error, at store.Scope) error {
	if err == nil {
		err = fault.New(fault.NotFound, "cluster %s has no manifest of that object here", at.Cluster)
	}
	return err
}

// manifestThen gives the manifest there was just before a position; 0 stands for the snapshot's end.
func (s *snapshot) manifestThen(ctx context.Context, at store.Scope, id topo.ID, till topo.Position) (topo.Manifest, error) {
	if till == 0 {
		till = s.pos + 1
	}
	return s.manifest(ctx, at, id, pastManifests, int64(till-1))
}
