package query

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/kubilitics/kubilitics/hub/internal/fleet"
	"github.com/kubilitics/kubilitics/hub/internal/store"
	"github.com/kubilitics/kubilitics/shared/fault"
	"github.com/kubilitics/kubilitics/shared/topo"
)

// Bounds of groups.
const (
	DefaultGroups = 1000
	MaxGroups     = 5000
	AutoNodes     = 2000    // a graph of more nodes is answered in groups where that is left to the hub
	maxJoined     = 200_000 // resources between whose groups edges are counted
)

// GroupQuestion asks for resources in groups: those that are alike in the dimensions.
type GroupQuestion struct {
	Where
	By    []store.Dimension // in order; none: the coarsest that says something of what is meant
	Types []topo.EdgeType   // none: all
	Plain bool              // without the edges between groups
	Limit int               // groups; 0: DefaultGroups
}

// Groups is resources in groups, and the edges between these.
type Groups struct {
	Meta
	Grouping
	Truncated *Truncation `json:"truncated,omitempty" doc:"present where something is left out: what, and how to get it"`
}

// Grouping is groups in the order of their dimensions, and the edges between them.
type Grouping struct {
	By     []string    `json:"by" doc:"what is alike in a group: cluster, namespace, application, kind"`
	Groups []Group     `json:"groups"`
	Edges  []GroupEdge `json:"groupEdges"`
}

// Group is resources that are alike. Of the fields that name it, those are set that it was grouped by; one that is empty then means what has none.
type Group struct {
	Cluster     string       `json:"cluster,omitempty"`
	ClusterName string       `json:"clusterName,omitempty"`
	Namespace   string       `json:"namespace,omitempty"`
	Application string       `json:"application,omitempty"`
	APIGroup    string       `json:"group,omitempty"`
	Kind        string       `json:"kind,omitempty"`
	Count       int          `json:"count" doc:"resources in it"`
	Health      HealthCounts `json:"health"`
	Worst       string       `json:"worst" enum:"unknown,ok,progressing,warning,error"`
	Missing     int          `json:"missing,omitempty" doc:"places of objects that are missed"`
	Unobserved  int          `json:"unobserved,omitempty" doc:"places of objects that can't be seen"`
	Stale       bool         `json:"stale,omitempty" doc:"what is known of its cluster, or of one of its clusters, isn't current"`
	Bad         []BadObject  `json:"bad,omitempty" doc:"the first few of those that fare worst; in answers about health"`
	// Expand is what gives the group's contents.
	Expand map[string]string `json:"expand" doc:"query parameters that give the group's contents, in place of those of the question with the same names; q is to be added to the question's"`
}

// GroupEdge is the edges of a type that lead from one group to another, or to itself.
type GroupEdge struct {
	Source int    `json:"source" doc:"place of the group in the list"`
	Target int    `json:"target"`
	Type   string `json:"type"`
	Number int    `json:"number"`
}

// ParseDimensions reads what to group by; an unknown word is a BadRequest that names them all.
func ParseDimensions(words []string) ([]store.Dimension, error) {
	known := []store.Dimension{store.ByCluster, store.ByNamespace, store.ByApplication, store.ByKind}
	var out []store.Dimension
	for _, w := range words {
		d := store.Dimension(w)
		if !slices.Contains(known, d) || slices.Contains(out, d) {
			return nil, fault.New(fault.BadRequest, "that can't be grouped by").WithField("groupBy", "takes each of cluster, namespace, application and kind once, not %q", w)
		}
		out = append(out, d)
	}
	return out, nil
}

// Groups answers a GroupQuestion.
func (q *Querier) Groups(ctx context.Context, p fleet.Principal, g GroupQuestion) (*Groups, error) {
	limit, err := (Page{Limit: g.Limit}).limit(DefaultGroups, MaxGroups)
	if err != nil {
		return nil, err
	}
	var out *Groups
	err = q.read(ctx, "groups", scope{p, fleet.List, g.Clusters, g.At}, func(ctx context.Context, r *reading) error {
		f, err := g.filter(r.view)
		if err != nil {
			return err
		}
		f.Placeholders = true
		if len(g.By) == 0 {
			g.By = r.coarsest(g.Where)
		}
		groups, edges, left, err := r.group(ctx, f, g, limit)
		if err != nil {
			return err
		}
		out = &Groups{Meta: r.meta(r.clustersOf(groups)), Grouping: r.grouping(g.By, groups, edges), Truncated: left}
		return nil
	})
	return out, err
}

// coarsest is what to group by first: clusters where there are several, namespaces where there are, then applications.
func (r *reading) coarsest(w Where) []store.Dimension {
	switch {
	case len(r.known) > 1:
		return []store.Dimension{store.ByCluster}
	case len(w.Namespaces) != 1:
		return []store.Dimension{store.ByNamespace}
	case len(w.Kinds) == 0:
		return []store.Dimension{store.ByApplication, store.ByKind}
	}
	return []store.Dimension{store.ByApplication}
}

// group counts resources, and the edges between groups, and tells what it leaves out. Clusters have no edges between each other, so by these alone
// none are counted.
func (r *reading) group(ctx context.Context, f store.Filter, g GroupQuestion, limit int) (groups []store.Group, edges []store.GroupEdge, left *Truncation, err error) {
	if groups, err = r.Snapshot.Groups(ctx, f, g.By, limit+1); err != nil {
		return nil, nil, nil, err
	}
	if len(groups) > limit {
		groups = groups[:limit]
		left = &Truncation{Reason: "there are more groups than fit into one answer", Hint: "group by less, raise limit, or restrict by cluster, namespace, kind or q"}
	}
	if g.Plain || (len(g.By) == 1 && g.By[0] == store.ByCluster) {
		return groups, nil, left, nil
	}
	if members(groups) > maxJoined && left == nil {
		left = &Truncation{Reason: "between groups of more than 200,000 resources edges aren't counted", Hint: "restrict by cluster, namespace, kind or q"}
	}
	if members(groups) > maxJoined {
		return groups, nil, left, nil
	}
	edges, err = r.GroupEdges(ctx, f, g.By, groups, g.Types)
	return groups, edges, left, err
}

// members is how many nodes are in groups.
func members(groups []store.Group) (n int) {
	for i := range groups {
		n += groups[i].Missing + groups[i].Unobserved
		for _, k := range groups[i].Health {
			n += k
		}
	}
	return n
}

func (r *reading) clustersOf(groups []store.Group) map[fleet.ClusterID]bool {
	appear := map[fleet.ClusterID]bool{}
	for _, g := range groups {
		appear[g.Cluster] = true
	}
	return appear
}

func (r *reading) grouping(by []store.Dimension, groups []store.Group, edges []store.GroupEdge) Grouping {
	out := Grouping{Groups: make([]Group, 0, len(groups)), Edges: make([]GroupEdge, 0, len(edges))}
	for _, d := range by {
		out.By = append(out.By, string(d))
	}
	for i := range groups {
		out.Groups = append(out.Groups, r.groupOf(by, &groups[i]))
	}
	for _, e := range edges {
		out.Edges = append(out.Edges, GroupEdge{Source: e.Source, Target: e.Target, Type: string(e.Type), Number: e.Number})
	}
	return out
}

func (r *reading) groupOf(by []store.Dimension, g *store.Group) Group {
	out := Group{Namespace: g.Namespace, Application: g.Application, APIGroup: g.Kind.Group, Kind: g.Kind.Kind, Missing: g.Missing, Unobserved: g.Unobserved}
	for h, n := range g.Health {
		out.Health.add(topo.Health(h), n)
		out.Count += n
	}
	out.Worst = out.Health.Worst().String()
	if c, ok := r.known[g.Cluster]; ok {
		out.Cluster, out.ClusterName, out.Stale = c.ID.String(), c.Name, freshness(c).State != fleet.Live
	} else if g.Cluster == 0 {
		out.Stale = r.anyStale()
	}
	out.Expand = expansion(by, g)
	return out
}

func (r *reading) anyStale() bool {
	for _, c := range r.known {
		if freshness(c).State != fleet.Live {
			return true
		}
	}
	return false
}

// expansion gives the parameters that mean just the contents of a group.
func expansion(by []store.Dimension, g *store.Group) map[string]string {
	out := map[string]string{}
	var terms []string
	for _, d := range by {
		switch d {
		case store.ByCluster:
			out["cluster"] = g.Cluster.String()
		case store.ByNamespace:
			if out["namespace"] = g.Namespace; g.Namespace == "" {
				delete(out, "namespace")
				terms = append(terms, "-namespace:?*")
			}
		case store.ByKind:
			out["kind"] = g.Kind.String()
			if g.Kind.Group == "" {
				out["kind"] += "." // the core group's alone
			}
		case store.ByApplication:
			if g.Application == "" {
				terms = append(terms, "-app:?*")
			} else {
				terms = append(terms, `app:"`+strings.ReplaceAll(g.Application, `"`, "?")+`"`)
			}
		}
	}
	if len(terms) > 0 {
		out["q"] = strings.Join(terms, " ")
	}
	return out
}

// auto answers a graph in groups where it has more than AutoNodes nodes; nil where it hasn't.
func (b *builder) auto(ctx context.Context) (*Graph, error) {
	f, err := b.ask.filter(b.view)
	if err != nil {
		return nil, err
	}
	f.Placeholders = true
	if n, exact, err := b.Number(ctx, f, b.q.auto); err != nil || (exact && n <= b.q.auto) {
		return nil, err
	}
	ask := GroupQuestion{Where: b.ask.Where, By: b.coarsest(b.ask.Where), Types: b.ask.Types}
	groups, edges, left, err := b.group(ctx, f, ask, DefaultGroups)
	if err != nil {
		return nil, err
	}
	grouping := b.grouping(ask.By, groups, edges)
	b.out.Aggregate, b.out.Meta = &grouping, b.meta(b.clustersOf(groups))
	t := &Truncation{
		Reason: fmt.Sprintf("the graph has more than %d nodes and is answered in groups", b.q.auto),
		Hint:   "expand a group by its parameters, restrict by namespace, kind, selector or q, or ask for the nodes page by page, without auto",
		Total:  &Total{Count: members(groups), Exact: len(groups) < DefaultGroups},
	}
	if left != nil {
		t.Reason += "; " + left.Reason
	}
	b.out.Truncated = t
	return b.out, nil
}
