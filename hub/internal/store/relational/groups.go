package relational

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/kubilitics/kubilitics/hub/internal/store"
	"github.com/kubilitics/kubilitics/shared/fault"
	"github.com/kubilitics/kubilitics/shared/topo"
)

// dimensions are the columns that resources are grouped by, besides how they are read into a group.
var dimensions = map[store.Dimension]struct {
	columns []string
	dest    func(*store.Group) []any
}{
	store.ByCluster:     {[]string{"cluster_id"}, func(g *store.Group) []any { return []any{(*int64)(&g.Cluster)} }},
	store.ByNamespace:   {[]string{"namespace"}, func(g *store.Group) []any { return []any{&g.Namespace} }},
	store.ByApplication: {[]string{"app"}, func(g *store.Group) []any { return []any{&g.Application} }},
	store.ByKind:        {[]string{"api_group", "kind"}, func(g *store.Group) []any { return []any{&g.Kind.Group, &g.Kind.Kind} }},
}

// grouping is a list of dimensions.
type grouping []store.Dimension

func groupingOf(by []store.Dimension) (grouping, error) {
	for i, d := range by {
		if _, ok := dimensions[d]; !ok {
			return nil, fault.New(fault.BadRequest, "there is no dimension %q", d)
		}
		if slices.Contains(by[:i], d) {
			return nil, fault.New(fault.BadRequest, "the dimension %q is asked for twice", d)
		}
	}
	return by, nil
}

// columns lists them with an alias before each.
func (g grouping) columns(alias string) string {
	var all []string
	for _, d := range g {
		for _, c := range dimensions[d].columns {
			all = append(all, alias+"."+c)
		}
	}
	return strings.Join(all, ", ")
}

func (g grouping) dest(into *store.Group) (all []any) {
	for _, d := range g {
		all = append(all, dimensions[d].dest(into)...)
	}
	return all
}

// listOf joins the parts of a SELECT's list that are there.
func listOf(parts ...string) string {
	return strings.Join(slices.DeleteFunc(parts, func(s string) bool { return s == "" }), ", ")
}

// byState counts the rows r of a group by what they are, in the order of tally's destinations.
var byState = func() string {
	var all []string
	for h := topo.Health(0); h <= topo.Error; h++ {
		all = append(all, fmt.Sprintf("count(CASE WHEN r.presence = %d AND r.health = %d THEN 1 END)", topo.Present, h))
	}
	for _, p := range []topo.Presence{topo.Missing, topo.Unobserved} {
		all = append(all, fmt.Sprintf("count(CASE WHEN r.presence = %d THEN 1 END)", p))
	}
	return strings.Join(all, ", ")
}()

func stateDest(g *store.Group) (all []any) {
	for h := range g.Health {
		all = append(all, &g.Health[h])
	}
	return append(all, &g.Missing, &g.Unobserved)
}

// Groups implements store.Grouped.
func (s *snapshot) Groups(ctx context.Context, f store.Filter, by []store.Dimension, limit int) ([]store.Group, error) {
	dims, err := groupingOf(by)
	if err != nil {
		return nil, err
	}
	_, a, err := s.access(ctx, f.View, f.Clusters)
	if err != nil || a.empty() {
		return nil, err
	}
	if s.keeps() && countable(&f) && !slices.Contains(dims, store.ByApplication) {
		return s.keptGroups(ctx, &a, f, dims, limit)
	}
	w, err := s.filtered(&a, &f)
	if err != nil {
		return nil, err
	}
	sql := `SELECT ` + listOf(dims.columns("r"), byState) + ` FROM ` + s.tables.resources + ` r WHERE ` + w.String()
	if len(dims) > 0 {
		sql += ` GROUP BY ` + dims.columns("r") + ` ORDER BY ` + dims.columns("r")
	} else {
		sql += ` HAVING count(*) > 0`
	}
	return s.groups(ctx, dims, sql+` LIMIT `+w.param(limit), w.args)
}

func (s *snapshot) groups(ctx context.Context, dims grouping, sql string, args []any) ([]store.Group, error) {
	return queryAll(ctx, s.conn, func(rows Rows, g *store.Group) error {
		return rows.Scan(append(dims.dest(g), stateDest(g)...)...)
	}, sql, args...)
}

// edgesWithin gives the conditions on edges e of those types, in the clusters of an access.
func (w *where) edgesWithin(a *access, types []topo.EdgeType) string {
	all := []string{"e.tenant_id = $1"}
	if len(types) > 0 {
		all = append(all, w.edgeTypes(types))
	}
	if !a.every {
		all = append(all, w.ints("e.cluster_id", a.clusters()))
	}
	return strings.Join(all, " AND ")
}

func (w *where) edgeTypes(types []topo.EdgeType) string {
	words := make([]string, len(types))
	for i, t := range types {
		words[i] = string(t)
	}
	return w.strings("e.type", words)
}

// clusters are those of which an access shows anything.
func (a *access) clusters() []int64 {
	all := slices.Clone(a.whole)
	for _, p := range a.partial {
		all = append(all, p.clusters...)
	}
	return all
}
