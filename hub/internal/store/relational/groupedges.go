package relational

import (
	"cmp"
	"context"
	"slices"

	"github.com/kubilitics/kubilitics/hub/internal/fleet"
	"github.com/kubilitics/kubilitics/hub/internal/store"
	"github.com/kubilitics/kubilitics/shared/topo"
)

// Of so few resources the edges are looked up one by one; of more, all edges of their cluster are read.
const fewSources = 2000

// groupPlace is what tells a group.
type groupPlace struct {
	cluster    fleet.ClusterID
	space, app string
	kind       topo.GroupKind
}

func placeOf(g *store.Group) groupPlace {
	return groupPlace{g.Cluster, g.Namespace, g.Application, g.Kind}
}

// GroupEdges implements store.Grouped, cluster by cluster. The ends are brought together here: a database without fitting statistics joins tens of
// thousands of edges with as many resources row by row, which took a minute instead of 60 ms.
func (s *snapshot) GroupEdges(ctx context.Context, f store.Filter, by []store.Dimension, groups []store.Group, types []topo.EdgeType) ([]store.GroupEdge, error) {
	dims, err := groupingOf(by)
	if err != nil {
		return nil, err
	}
	_, a, err := s.access(ctx, f.View, f.Clusters)
	if err != nil || a.empty() || len(groups) == 0 {
		return nil, err
	}
	b := bundle{s: s, dims: dims, types: types, places: make(map[groupPlace]int, len(groups)), numbers: map[store.GroupEdge]int{}}
	for i := range groups {
		b.places[placeOf(&groups[i])] = i
	}
	if s.keeps() && b.known(&f, &a) {
		err = b.kept(ctx, &a)
	} else {
		for _, one := range a.each() {
			if err = b.cluster(ctx, &one, &f); err != nil {
				break
			}
		}
	}
	return b.list(), err
}

// each gives one access a cluster.
func (a *access) each() (all []access) {
	for _, c := range a.whole {
		all = append(all, access{whole: []int64{c}})
	}
	for _, p := range a.partial {
		for _, c := range p.clusters {
			all = append(all, access{partial: []spaces{{[]int64{c}, p.namespaces}}})
		}
	}
	return all
}

// bundle counts edges between groups.
type bundle struct {
	s       *snapshot
	dims    grouping
	types   []topo.EdgeType
	places  map[groupPlace]int
	numbers map[store.GroupEdge]int
}

func (b *bundle) list() []store.GroupEdge {
	all := make([]store.GroupEdge, 0, len(b.numbers))
	for e, n := range b.numbers {
		e.Number = n
		all = append(all, e)
	}
	slices.SortFunc(all, func(a, b store.GroupEdge) int {
		return cmp.Or(cmp.Compare(a.Source, b.Source), cmp.Compare(a.Target, b.Target), cmp.Compare(a.Type, b.Type))
	})
	return all
}

// known tells whether the kept counts say it: whole clusters and all that is in them.
func (b *bundle) known(f *store.Filter, a *access) bool {
	return slices.Equal(b.dims, grouping{store.ByCluster}) && f.Placeholders && len(a.partial) == 0 &&
		len(f.Kinds)+len(f.Namespaces)+len(f.Names)+len(f.Labels)+len(f.Fields)+len(f.Terms) == 0
}

func (b *bundle) kept(ctx context.Context, a *access) error {
	w := b.s.where("e")
	conditions := w.edgesWithin(a, b.types)
	rows, err := b.s.conn.Query(ctx, `SELECT e.cluster_id, e.type, e.number FROM edge_counts e WHERE e.number > 0 AND `+conditions, w.args...)
	if err != nil {
		return err
	}
	defer rows.Close()
	for rows.Next() {
		var g groupPlace
		var e store.GroupEdge
		var n int
		if err := rows.Scan((*int64)(&g.cluster), (*string)(&e.Type), &n); err != nil {
			return err
		}
		if i, ok := b.places[g]; ok {
			e.Source, e.Target = i, i
			b.numbers[e] += n
		}
	}
	return rows.Err()
}

// cluster adds the edges of what an access shows of one cluster.
func (b *bundle) cluster(ctx context.Context, a *access, f *store.Filter) error {
	found, err := b.members(ctx, a, f)
	if err != nil || len(found) == 0 {
		return err
	}
	w := b.s.where("e")
	conditions := w.edgesWithin(a, b.types)
	if len(found) <= fewSources {
		ids := make([]topo.ID, 0, len(found))
		for id := range found {
			ids = append(ids, id)
		}
		conditions += " AND " + w.ids("e.source", ids)
	}
	rows, err := b.s.conn.Query(ctx, `SELECT e.source, e.target, e.type FROM `+b.s.tables.edges+` e WHERE `+conditions, w.args...)
	if err != nil {
		return err
	}
	defer rows.Close()
	var source, target topo.ID
	var kind string
	dest := make([]any, 3)
	for rows.Next() {
		dest[0], dest[1], dest[2] = &source, &target, &kind
		if err := rows.Scan(dest...); err != nil {
			return err
		}
		from, known := found[source]
		to, too := found[target]
		if known && too {
			b.numbers[store.GroupEdge{Source: from, Target: to, Type: topo.EdgeType(kind)}]++
		}
	}
	return rows.Err()
}

// members finds the resources of a cluster that are in one of the groups.
func (b *bundle) members(ctx context.Context, a *access, f *store.Filter) (map[topo.ID]int, error) {
	w, err := b.s.filtered(a, f)
	if err != nil {
		return nil, err
	}
	rows, err := b.s.conn.Query(ctx, `SELECT `+listOf("r.id", b.dims.columns("r"))+` FROM `+b.s.tables.resources+` r WHERE `+w.String(), w.args...)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	found := map[topo.ID]int{}
	var id topo.ID
	var g store.Group
	dest := append([]any{&id}, b.dims.dest(&g)...)
	for rows.Next() {
		if err := rows.Scan(slices.Clone(dest)...); err != nil { // a body may put others in their places
			return nil, err
		}
		if i, ok := b.places[placeOf(&g)]; ok {
			found[id] = i
		}
	}
	return found, rows.Err()
}
