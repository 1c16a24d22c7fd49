package query

import (
	"fmt"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/kubilitics/kubilitics/hub/internal/fleet"
	"github.com/kubilitics/kubilitics/hub/internal/query/querytest"
	"github.com/kubilitics/kubilitics/hub/internal/store"
	"github.com/kubilitics/kubilitics/hub/internal/store/sqlite"
	"github.com/kubilitics/kubilitics/shared/fault"
	"github.com/kubilitics/kubilitics/shared/topo"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func fresh(t testing.TB) (store.Store, fleet.Principal) {
	t.Helper()
	st, err := sqlite.Open(t.Context(), sqlite.Config{Path: filepath.Join(t.TempDir(), "hub.db"), Migrate: true})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = st.Close() })
	tenant, err := st.EnsureTenant(t.Context(), "default")
	if err != nil {
		t.Fatal(err)
	}
	return st, may(tenant.ID, "*")
}

func may(tenant fleet.TenantID, namespaces ...string) fleet.Principal {
	return fleet.Principal{Tenant: tenant, Name: "p", Bindings: []fleet.Binding{{Verbs: []string{"*"}, Clusters: []string{"*"}, Namespaces: namespaces}}}
}

// hub is a graph in which one node has many edges: n Pods on one Node, each mounting one of a few ConfigMaps.
func hub(n int) topo.Delta {
	d := topo.Delta{Nodes: []topo.Node{querytest.Node("Node big")}}
	for i := range 10 {
		d.Nodes = append(d.Nodes, querytest.Node(fmt.Sprint("ConfigMap shop/c", i)))
	}
	for i := range n {
		pod := fmt.Sprintf("Pod shop/p%06d", i)
		d.Nodes = append(d.Nodes, querytest.Node(pod, "app=web", fmt.Sprint("n=", i)))
		d.Edges = append(d.Edges, querytest.Edge(pod, topo.RunsOn, "Node big"), querytest.Edge(pod, topo.Mounts, fmt.Sprint("ConfigMap shop/c", i%10)))
	}
	return d
}

// However a graph is asked for and wherever its pages are cut, by nodes or by edges, the pages together hold every node and every edge.
func TestPagesOfAGraphHoldAllOfIt(t *testing.T) {
	st, p := fresh(t)
	c := querytest.New(t, st, p.Tenant, "c").Load(hub(200))
	q := New(st)
	q.edges = 50
	for name, ask := range map[string]struct {
		where        Where
		nodes, edges int
	}{
		"whole":      {Where{}, 211, 400},
		"namespace":  {Where{Namespaces: []string{"shop"}}, 211, 400},
		"configmaps": {Where{Kinds: []topo.GroupKind{{Kind: "ConfigMap"}}}, 210, 200},
		"selector":   {Where{Labels: "app"}, 211, 400},
	} {
		for _, limit := range []int{3, 10, 190} {
			ask.where.Clusters = []fleet.ClusterID{c.ID}
			nodes, edges := walkPages(t, q, p, GraphQuestion{Where: ask.where, Page: Page{Limit: limit}})
			if nodes != ask.nodes || edges != ask.edges {
				t.Errorf("%s by %d: %d nodes, %d edges, want %d, %d", name, limit, nodes, edges, ask.nodes, ask.edges)
			}
		}
	}
}

// walkPages counts the distinct nodes and edges of a graph.
func walkPages(t *testing.T, q *Querier, p fleet.Principal, ask GraphQuestion) (int, int) {
	t.Helper()
	nodes, edges := map[string]bool{}, map[string]bool{}
	for {
		g, err := q.Graph(t.Context(), p, ask)
		if err != nil {
			t.Fatal(err)
		}
		for _, n := range g.Nodes {
			nodes[n.ID] = true
			if n.More {
				t.Errorf("%s lost edges", n.Name)
			}
		}
		for _, e := range g.Edges {
			edges[e.Source.ID+e.ID] = true
			if !nodes[e.Source.ID] || !nodes[e.Target.ID] {
				t.Fatalf("the edge %v has an end that isn't there", e)
			}
		}
		if g.Truncated == nil {
			return len(nodes), len(edges)
		}
		ask.Continue = g.Truncated.Continue
	}
}

// What can't be told in one answer is said, never dropped without a word.
func TestMoreEdgesThanFit(t *testing.T) {
	st, p := fresh(t)
	c := querytest.New(t, st, p.Tenant, "c").Load(hub(300))
	q := New(st)
	q.edges = 50
	g, err := q.Graph(t.Context(), p, GraphQuestion{Where: Where{Clusters: []fleet.ClusterID{c.ID}, Kinds: []topo.GroupKind{{Kind: "Node"}}}, Page: Page{Limit: 10}})
	if err != nil {
		t.Fatal(err)
	}
	if i := slices.IndexFunc(g.Nodes, func(n GraphNode) bool { return n.Name == "big" }); i < 0 || !g.Nodes[i].More || g.Truncated == nil || g.Truncated.Hint == "" {
		t.Errorf("a node with %d of 300 edges in the answer isn't marked: %+v", len(g.Edges), g.Truncated)
	}
	around, err := q.Around(t.Context(), p, Neighbourhood{Cluster: c.ID, Focus: querytest.Ref("Node big").ID(), Depth: 2, Limit: 100})
	if err != nil {
		t.Fatal(err)
	}
	if len(around.Nodes) != 100 || len(around.Edges) != 99 || !around.Nodes[0].More || around.Truncated == nil {
		t.Errorf("%d nodes and %d edges around, focus marked %t, %+v", len(around.Nodes), len(around.Edges), around.Nodes[0].More, around.Truncated)
	}
}

func TestDepths(t *testing.T) {
	st, p := fresh(t)
	c := querytest.New(t, st, p.Tenant, "c").Load(querytest.Shop())
	g, err := New(st).Around(t.Context(), p, Neighbourhood{Cluster: c.ID, Focus: querytest.Ref("Deployment.apps shop/web").ID(), Depth: 3})
	if err != nil {
		t.Fatal(err)
	}
	depths := map[string]int{}
	for _, n := range g.Nodes {
		depths[n.Kind+"/"+n.Name] = *n.Depth
	}
	want := map[string]int{
		"Deployment/web": 0, "ReplicaSet/web-1": 1, "Pod/web-a": 2, "Pod/web-b": 2, "Service/web": 3, "Node/n1": 3, "ConfigMap/web": 3, "ConfigMap/absent": 3,
	}
	if fmt.Sprint(depths) != fmt.Sprint(want) {
		t.Errorf("depths %v\nwant   %v", depths, want)
	}
}

// A graph doesn't lead out of what may be seen, nor around through it: a path through a hidden node is no path.
func TestHiddenNodesAreNoWay(t *testing.T) {
	st, p := fresh(t)
	c := querytest.New(t, st, p.Tenant, "c").Load(topo.Delta{
		Nodes: []topo.Node{querytest.Node("Pod a/x"), querytest.Node("Pod hidden/y"), querytest.Node("Pod b/z"), querytest.Node("Node n")},
		Edges: []topo.Edge{
			querytest.Edge("Pod a/x", topo.References, "Pod hidden/y"), querytest.Edge("Pod hidden/y", topo.References, "Pod b/z"),
			querytest.Edge("Pod a/x", topo.RunsOn, "Node n"), querytest.Edge("Pod b/z", topo.RunsOn, "Node n"),
		},
	})
	q, eyes := New(st), may(p.Tenant, "a", "b")
	g, err := q.Around(t.Context(), eyes, Neighbourhood{Cluster: c.ID, Focus: querytest.Ref("Pod a/x").ID(), Depth: 5})
	if err != nil || len(g.Nodes) != 1 || len(g.Edges) != 0 {
		t.Errorf("around: %+v %v", g, err)
	}
	g, err = q.Graph(t.Context(), eyes, GraphQuestion{})
	if err != nil || len(g.Nodes) != 2 || len(g.Edges) != 0 {
		t.Errorf("whole: %+v %v", g, err)
	}
	d, err := q.Get(t.Context(), eyes, Which{Cluster: c.ID, Ref: querytest.Ref("Pod a/x")}, false)
	if err != nil || len(d.Edges) != 0 {
		t.Errorf("edges of a/x: %+v %v", d, err)
	}
	_, err = q.Get(t.Context(), eyes, Which{Cluster: c.ID, Ref: querytest.Ref("Pod hidden/y")}, false)
	if !fault.Is(err, fault.NotFound) {
		t.Errorf("hidden: %v", err)
	}
}

func TestWorstHealth(t *testing.T) {
	for _, c := range []struct {
		counts HealthCounts
		want   topo.Health
	}{
		{HealthCounts{}, topo.Unknown}, {HealthCounts{OK: 3}, topo.OK}, {HealthCounts{OK: 3, Unknown: 1}, topo.Unknown},
		{HealthCounts{OK: 3, Unknown: 1, Progressing: 1}, topo.Progressing}, {HealthCounts{Warning: 1, Progressing: 1}, topo.Warning},
		{HealthCounts{OK: 9, Error: 1}, topo.Error},
	} {
		if got := c.counts.Worst(); got != c.want {
			t.Errorf("%+v is %s, want %s", c.counts, got, c.want)
		}
	}
}

func TestKindsByAnyName(t *testing.T) {
	st, p := fresh(t)
	c := querytest.New(t, st, p.Tenant, "c").Load(querytest.Shop())
	c.Kinds(
		topo.KindReport{GroupKind: topo.GroupKind{Group: "networking.k8s.io", Kind: "Ingress"}, Plural: "ingresses", Observed: true},
		topo.KindReport{GroupKind: topo.GroupKind{Group: "config.example.com", Kind: "Ingress"}, Plural: "ingresses", Observed: true},
		topo.KindReport{GroupKind: topo.GroupKind{Group: "example.com", Kind: "Octopus"}, Plural: "octopodes", Observed: true},
		topo.KindReport{GroupKind: topo.GroupKind{Kind: "Secret"}, Plural: "secrets", Reason: "forbidden"},
	)
	k := New(st).Resolver()
	for name, want := range map[string]int{
		"ingress": 2, "Ingresses": 2, "INGRESS.networking.k8s.io": 1, "octopodes": 1, "octopus.example.com": 1, "secrets": 1, "pods": 0, "ingress.": 0,
	} {
		found, err := k.Resolve(t.Context(), c.Scope, name)
		if len(found) != want || fault.Is(err, fault.NotFound) != (want == 0) {
			t.Errorf("%s: %v, %v", name, found, err)
		}
	}
	if _, err := k.ResolveIn(t.Context(), c.Scope, "networking.k8s.io", "ingresses"); err != nil {
		t.Error(err)
	}
	// A tenant's kinds are those that there are objects of.
	if found, err := k.Resolve(t.Context(), store.Scope{Tenant: p.Tenant}, "deployments"); err != nil || len(found) != 1 || found[0].Group != "apps" {
		t.Errorf("deployments in the tenant: %v, %v", found, err)
	}
}

// A name that is known in one group may have come to another: that is looked for as soon as a name that isn't known at all.
func TestKindThatComesToAnotherGroup(t *testing.T) {
	st, p := fresh(t)
	c := querytest.New(t, st, p.Tenant, "c").Load(querytest.Shop())
	old := topo.KindReport{GroupKind: topo.GroupKind{Group: "old.example", Kind: "Lantern"}, Plural: "lanterns", Observed: true}
	c.Kinds(old)
	k := New(st).Resolver()
	now := time.Now()
	k.now = func() time.Time { return now }
	if _, err := k.ResolveIn(t.Context(), c.Scope, "new.example", "lanterns"); !fault.Is(err, fault.NotFound) {
		t.Errorf("before it came: %v", err)
	}
	c.Kinds(old, topo.KindReport{GroupKind: topo.GroupKind{Group: "new.example", Kind: "Lantern"}, Plural: "lanterns", Observed: true})
	now = now.Add(kindsRetry)
	if gk, err := k.ResolveIn(t.Context(), c.Scope, "new.example", "lanterns"); err != nil || gk.Group != "new.example" {
		t.Errorf("after it came: %v, %v", gk, err)
	}
}

func FuzzContinueTokens(f *testing.F) {
	question := Where{Namespaces: []string{"shop"}}
	good := seal(1, question, listPlace{pinned: pinned{7}, After: store.Key{Ref: querytest.Ref("Pod shop/x"), Cluster: 3}})
	f.Add(good)
	f.Add("")
	f.Add(good[:len(good)-1])
	f.Add("AAAAAAAAAAAAAAAAAAAA")
	f.Fuzz(func(t *testing.T, token string) {
		var place listPlace
		err := open(1, question, token, &place)
		if (err == nil) != (token == good) {
			t.Errorf("%q: %v", token, err)
		}
		if err != nil && !fault.Is(err, fault.BadRequest) {
			t.Errorf("%q: %v", token, err)
		}
		if open(2, question, token, &place) == nil || open(1, Where{}, token, &place) == nil {
			t.Errorf("%q passes for another tenant or question", token)
		}
	})
}

func BenchmarkQueries(b *testing.B) {
	st, p := fresh(b)
	c := querytest.New(b, st, p.Tenant, "c").Load(hub(100_000))
	q := New(st)
	clusters := []fleet.ClusterID{c.ID}
	for name, fn := range map[string]func() error{
		"list": func() error {
			_, err := q.List(b.Context(), p, Where{Clusters: clusters, Kinds: []topo.GroupKind{{Kind: "Pod"}}}, Page{})
			return err
		},
		"list.label": func() error {
			_, err := q.List(b.Context(), p, Where{Clusters: clusters, Labels: "n=77"}, Page{})
			return err
		},
		"get": func() error {
			_, err := q.Get(b.Context(), p, Which{Cluster: c.ID, Ref: querytest.Ref("Pod shop/p000077")}, false)
			return err
		},
		"around": func() error {
			_, err := q.Around(b.Context(), p, Neighbourhood{Cluster: c.ID, Focus: querytest.Ref("Pod shop/p000077").ID()})
			return err
		},
		"graph.5000": func() error {
			_, err := q.Graph(b.Context(), p, GraphQuestion{Where: Where{Clusters: clusters}})
			return err
		},
		"info":    func() error { _, err := q.Info(b.Context(), p, c.ID, store.When{}); return err },
		"summary": func() error { _, err := q.Summary(b.Context(), p, store.When{}); return err },
	} {
		b.Run(name, func(b *testing.B) {
			for b.Loop() {
				if err := fn(); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
