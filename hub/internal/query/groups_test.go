package query

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/kubilitics/kubilitics/hub/internal/fleet"
	"github.com/kubilitics/kubilitics/hub/internal/query/querytest"
	"github.com/kubilitics/kubilitics/hub/internal/search"
	"github.com/kubilitics/kubilitics/hub/internal/store"
	"github.com/kubilitics/kubilitics/shared/rules"
	"github.com/kubilitics/kubilitics/shared/topo"
)

// Groups count what is in them, and their expansion means just that.
func TestGroupsExpandToWhatTheyCount(t *testing.T) {
	st, p := fresh(t)
	querytest.New(t, st, p.Tenant, "one").Load(querytest.Mall())
	querytest.New(t, st, p.Tenant, "two").Load(querytest.Shop())
	q := New(st)
	all := len(querytest.Mall().Nodes) + len(querytest.Shop().Nodes)
	for _, by := range [][]store.Dimension{
		{store.ByCluster}, {store.ByNamespace}, {store.ByKind}, {store.ByApplication}, {store.ByCluster, store.ByNamespace, store.ByApplication, store.ByKind}, nil,
	} {
		out, err := q.Groups(t.Context(), p, GroupQuestion{By: by})
		if err != nil {
			t.Fatal(by, err)
		}
		sum := 0
		for _, g := range out.Groups {
			sum += g.Count + g.Missing + g.Unobserved
			list, err := q.List(t.Context(), p, expanded(t, g), Page{})
			if err != nil || list.Total.Count != g.Count {
				t.Errorf("by %v: %+v is %d, expands to %d, %v", by, g.Expand, g.Count, list.Total.Count, err)
			}
		}
		if sum != all {
			t.Errorf("by %v: %d in all groups, want %d", by, sum, all)
		}
		for _, e := range out.Edges {
			if e.Source >= len(out.Groups) || e.Target >= len(out.Groups) || e.Number == 0 {
				t.Errorf("by %v: the edge %+v", by, e)
			}
		}
		if (len(by) > 1 || slices.Contains(by, store.ByKind)) && len(out.Edges) == 0 {
			t.Errorf("by %v: no edges", by)
		}
	}
}

// expanded reads a group's parameters as the API does.
func expanded(t *testing.T, g Group) Where {
	t.Helper()
	var w Where
	if c := g.Expand["cluster"]; c != "" {
		id, err := fleet.ParseClusterID(c)
		if err != nil {
			t.Fatal(err)
		}
		w.Clusters = []fleet.ClusterID{id}
	}
	if n, ok := g.Expand["namespace"]; ok {
		w.Namespaces = []string{n}
	}
	if g.Kind != "" {
		w.Kinds = []topo.GroupKind{{Group: g.APIGroup, Kind: g.Kind}}
	}
	terms, err := search.Parse(g.Expand["q"], time.Now())
	if err != nil {
		t.Fatal(err)
	}
	w.Terms = terms.Terms
	return w
}

// A graph that is too big comes in groups where that is left to the hub, and says so; page by page it has everything.
func TestBigGraphsComeInGroups(t *testing.T) {
	st, p := fresh(t)
	c := querytest.New(t, st, p.Tenant, "c").Load(hub(100))
	q, w := New(st), Where{Clusters: []fleet.ClusterID{c.ID}}
	q.auto = 100
	g, err := q.Graph(t.Context(), p, GraphQuestion{Where: w, Auto: true})
	if err != nil || g.Aggregate == nil || len(g.Nodes) != 0 || g.Truncated == nil || g.Truncated.Hint == "" || g.Truncated.Total.Count != 111 {
		t.Fatalf("%+v %v", g, err)
	}
	if n := len(g.Aggregate.Groups); n != 2 || len(g.Aggregate.Edges) == 0 {
		t.Errorf("%d groups, edges %+v", n, g.Aggregate.Edges)
	}
	w.Kinds = []topo.GroupKind{{Kind: "ConfigMap"}}
	if g, err = q.Graph(t.Context(), p, GraphQuestion{Where: w, Auto: true, Page: Page{Limit: 5}}); err != nil || g.Aggregate != nil || len(g.Nodes) < 5 {
		t.Errorf("a small graph: %+v %v", g.Aggregate, err)
	}
}

// A walk gives every node and edge once, each edge's ends before or with it, all of one moment.
func TestWalk(t *testing.T) {
	st, p := fresh(t)
	one := querytest.New(t, st, p.Tenant, "one").Load(hub(700))
	two := querytest.New(t, st, p.Tenant, "two").Load(querytest.Mall())
	q := New(st)
	mall := querytest.Mall()
	for name, ask := range map[string]struct {
		where                 Where
		nodes, outside, edges int
	}{
		"whole":     {Where{}, 711 + len(mall.Nodes), 0, 1400 + len(mall.Edges)},
		"one":       {Where{Clusters: []fleet.ClusterID{one.ID}}, 711, 0, 1400},
		"pods":      {Where{Clusters: []fleet.ClusterID{one.ID}, Kinds: []topo.GroupKind{{Kind: "Pod"}}}, 700, 11, 1400},
		"node":      {Where{Clusters: []fleet.ClusterID{one.ID}, Kinds: []topo.GroupKind{{Kind: "Node"}}}, 1, 700, 700},
		"terms":     {Where{Terms: []store.Term{{Key: "name", Op: store.Like, Values: []string{"p00000*"}}}}, 10, 11, 20},
		"namespace": {Where{Clusters: []fleet.ClusterID{two.ID}, Namespaces: []string{"vault"}}, 2, 1, 1},
	} {
		given, edges, outside := map[string]bool{}, map[string]bool{}, 0
		err := q.Walk(t.Context(), p, GraphQuestion{Where: ask.where, Page: Page{Limit: 300}}, func(g *Graph) error {
			for _, n := range g.Nodes {
				if given[n.Cluster+n.ID] {
					return fmt.Errorf("%s comes twice", n.Name)
				}
				given[n.Cluster+n.ID] = true
				if n.Outside {
					outside++
				}
			}
			for _, e := range g.Edges {
				if key := e.Cluster + e.Source.ID + e.ID; edges[key] || !given[e.Cluster+e.Source.ID] || !given[e.Cluster+e.Target.ID] {
					return fmt.Errorf("the edge %v comes twice, or before its ends", e)
				}
				edges[e.Cluster+e.Source.ID+e.ID] = true
			}
			return nil
		})
		if err != nil || len(given) != ask.nodes+ask.outside || outside != ask.outside || len(edges) != ask.edges {
			t.Errorf("%s: %d nodes, %d outside, %d edges, %v; want %+v", name, len(given), outside, len(edges), err, ask)
		}
	}
	stop := fmt.Errorf("enough")
	if err := q.Walk(t.Context(), p, GraphQuestion{}, func(*Graph) error { return stop }); err != stop {
		t.Errorf("a walk that was to end: %v", err)
	}
}

func TestMembers(t *testing.T) {
	st, p := fresh(t)
	c := querytest.New(t, st, p.Tenant, "c").Load(querytest.Mall())
	q := New(st)
	for set, want := range map[topo.Ref][]string{
		querytest.Ref("PodSet.kubilitics.io mall/app=web"):            {"web-a", "web-b"},
		querytest.Ref("PodSet.kubilitics.io all pods in team=sec"):    {"api-0"},
		{Group: rules.OwnGroup, Kind: "IPBlock", Name: "10.1.0.0/24"}: {"web-a", "web-b"},
	} {
		var got []string
		ask := MembersQuestion{Cluster: c.ID, Set: set.ID(), Page: Page{Limit: 1}}
		for first := true; first || ask.Continue != ""; first = false {
			list, err := q.Members(t.Context(), p, ask)
			if err != nil {
				t.Fatal(set, err)
			}
			got, ask.Continue = append(got, namesOf(list.Items)...), list.Continue
		}
		if !slices.Equal(got, want) {
			t.Errorf("%s: %v, want %v", set, got, want)
		}
	}
	// Who may see one namespace sees the members there, of whatever sets they may see.
	list, err := q.Members(t.Context(), may(p.Tenant, "mall"), MembersQuestion{Cluster: c.ID, Set: querytest.Ref("PodSet.kubilitics.io mall/app=web").ID()})
	if err != nil || len(list.Items) != 2 {
		t.Errorf("%+v %v", list, err)
	}
	if _, err := q.Members(t.Context(), p, MembersQuestion{Cluster: c.ID, Set: querytest.Ref("Node n1").ID()}); err == nil {
		t.Error("a Node has members")
	}
}

func TestBlockPatterns(t *testing.T) {
	for block, want := range map[string]string{"10.1.0.0/16": "10.1.*", "10.1.2.3/32": "10.1.2.3", "0.0.0.0/0": "*", "10.0.0.0/9": "10.*", "2001:db8::/32": "2001:db8:*", "::/0": "*", "2001::/48": "2001:*"} {
		if got := blockPattern(mustPrefix(t, block)); got != want {
			t.Errorf("%s: %s, want %s", block, got, want)
		}
	}
}
