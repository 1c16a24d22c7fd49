package relational

import (
	"context"
	"maps"
	"slices"

	"github.com/kubilitics/kubilitics/hub/internal/fleet"
	"github.com/kubilitics/kubilitics/hub/internal/store"
	"github.com/kubilitics/kubilitics/shared/topo"
)

const identityColumns = `r.api_group, r.kind, r.namespace, r.name, r.uid, r.version, r.presence, r.health, r.status, r.created, `

// rows reads rows r of resources, or of what stands for them, under the conditions that follow.
func (s *snapshot) rows(ctx context.Context, seen *sight, table, rest string, args []any) ([]store.Row, error) {
	columns := NodeColumns + `, 1`
	if s.tables.closed != "" {
		columns = identityColumns + `r.raw_labels, r.raw_attrs, r.whole`
	}
	type row struct {
		store.Row
		whole int64
	}
	read, err := queryAll(ctx, s.conn, func(rows Rows, r *row) error {
		var cells NodeCells
		var from int64
		if err := rows.Scan(append(cells.Dest((*int64)(&r.Cluster), &r.ID, &from), &r.whole)...); err != nil {
			return err
		}
		_ = cells.Decode() // a damaged column must not hide the row; Verify finds it
		r.Node, r.Since = cells.Node, seen.since(r.Cluster, from)
		return nil
	}, `SELECT r.cluster_id, r.id, r.valid_from, `+columns+` FROM `+table+` r WHERE `+rest, args...)
	if err != nil {
		return nil, err
	}
	var out []store.Row
	lacking := map[fleet.ClusterID]map[topo.ID]*topo.Node{}
	if len(read) > 0 {
		out = make([]store.Row, len(read))
	}
	for i := range read {
		out[i] = read[i].Row
		if read[i].whole == 0 {
			if lacking[out[i].Cluster] == nil {
				lacking[out[i].Cluster] = map[topo.ID]*topo.Node{}
			}
			lacking[out[i].Cluster][out[i].ID] = &out[i].Node
		}
	}
	for c, nodes := range lacking {
		if err := s.inherit(ctx, c, nodes); err != nil {
			return nil, err
		}
	}
	return out, nil
}

// inherit completes closed versions of a cluster's resources that leave out what they have in common with later ones: for all of them at once, which
// costs less than within the query that lists them.
func (s *snapshot) inherit(ctx context.Context, c fleet.ClusterID, nodes map[topo.ID]*topo.Node) error {
	for _, table := range []string{"resources_history", "resources"} {
		if len(nodes) == 0 {
			return nil
		}
		w := s.where("x")
		w.and(w.equal("x.cluster_id", int64(c)))
		w.and(w.ids("x.id", slices.Collect(maps.Keys(nodes))))
		labels, order := "x.labels", ""
		if table == "resources_history" {
			w.and("x.labels <> '' AND x.valid_to > " + w.param(int64(s.pos)) + s.sql.Closed("x", s.at, s.newest))
			labels, order = "CASE WHEN x.labels = '{}' THEN '' ELSE x.labels END", " ORDER BY x.valid_to"
		}
		found, err := queryAll(ctx, s.conn, func(rows Rows, k *kept) error { return rows.Scan(&k.id, &k.labels, &k.attrs) },
			`SELECT x.id, `+labels+`, x.attrs FROM `+table+` x WHERE `+w.String()+order, w.args...)
		if err != nil {
			return err
		}
		for _, k := range found {
			if n, ok := nodes[k.id]; ok { // the first after the version
				k.under(n)
				delete(nodes, k.id)
			}
		}
	}
	return nil
}

// kept is what a later version says.
type kept struct {
	id            topo.ID
	labels, attrs string
}

// under lays what a node has of attributes over those kept, and gives it the labels. What is damaged is left out.
func (k *kept) under(n *topo.Node) {
	n.Labels, _ = DecodePairs(k.labels)
	base, _ := DecodePairs(k.attrs)
	n.Attrs = laid(append(base, n.Attrs...))
}
