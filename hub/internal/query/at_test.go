package query

import (
	"slices"
	"testing"
	"time"

	"github.com/kubilitics/kubilitics/hub/internal/fleet"
	"github.com/kubilitics/kubilitics/hub/internal/query/querytest"
	"github.com/kubilitics/kubilitics/hub/internal/store"
	"github.com/kubilitics/kubilitics/shared/fault"
	"github.com/kubilitics/kubilitics/shared/topo"
)

// Every question is answered as of the moment it names, and says which that was.
func TestQuestionsOfThePast(t *testing.T) {
	st, p := fresh(t)
	c := querytest.New(t, st, p.Tenant, "c").Load(querytest.Shop())
	q, cluster := New(st), []fleet.ClusterID{c.ID}
	now, err := q.List(t.Context(), p, Where{}, Page{})
	if err != nil {
		t.Fatal(err)
	}
	then := store.When{Position: now.Position}
	healed := querytest.Node("Pod shop/web-b", "app=web")
	c.Apply(topo.Delta{
		Nodes: []topo.Node{healed, querytest.Node("Pod shop/web-c")}, GoneNodes: []topo.ID{querytest.Ref("Pod shop/web-a").ID()},
		GoneEdges: goneEdges(querytest.Shop(), "Pod shop/web-a"),
	})
	c.Leave()
	web := Which{Cluster: c.ID, Ref: querytest.Ref("Pod shop/web-a")}
	focus := querytest.Ref("ReplicaSet.apps shop/web-1").ID()
	for _, x := range []struct {
		at    store.When
		error int // Pods in error
		pods  []string
		state fleet.FreshnessState
	}{{then, 1, []string{"web-a", "web-b"}, fleet.Live}, {store.When{}, 0, []string{"web-b", "web-c"}, fleet.Stale}} {
		list, err := q.List(t.Context(), p, Where{Clusters: cluster, Namespaces: []string{"shop"}, Kinds: []topo.GroupKind{{Kind: "Pod"}}, At: x.at}, Page{})
		if err != nil || !slices.Equal(namesOf(list.Items), x.pods) || list.Total.Count != 2 || list.Freshness[c.ID.String()].State != x.state {
			t.Errorf("at %v: list %v %v", x.at, list, err)
		}
		if !x.at.Now() && (list.Position != then.Position || !list.At.Equal(now.At)) {
			t.Errorf("the list says it is of %d, %v", list.Position, list.At)
		}
		g, err := q.Graph(t.Context(), p, GraphQuestion{Where: Where{Clusters: cluster, At: x.at}})
		if err != nil || len(g.Nodes) != 13 || (len(g.Edges) == 10) != !x.at.Now() {
			t.Errorf("at %v: graph of %d nodes, %d edges, %v", x.at, len(g.Nodes), len(g.Edges), err)
		}
		around, err := q.Around(t.Context(), p, Neighbourhood{Cluster: c.ID, Focus: focus, At: x.at})
		if want := map[bool]int{true: 3, false: 4}[x.at.Now()]; err != nil || len(around.Nodes) != want {
			t.Errorf("at %v: %d nodes around, %v", x.at, len(around.Nodes), err)
		}
		web.At = x.at
		if _, err := q.Get(t.Context(), p, web, false); fault.Is(err, fault.NotFound) != x.at.Now() {
			t.Errorf("at %v: get %v", x.at, err)
		}
		sum, err := q.Summary(t.Context(), p, x.at)
		if err != nil || sum.Health.Error != x.error || sum.Clusters[0].Freshness.State != x.state {
			t.Errorf("at %v: %+v %v", x.at, sum, err)
		}
		info, err := q.Info(t.Context(), p, c.ID, x.at)
		if err != nil || info.Cluster.Health.Error != x.error {
			t.Errorf("at %v: %+v %v", x.at, info, err)
		}
	}
	if _, err := q.List(t.Context(), p, Where{At: store.When{Time: time.Now().Add(time.Hour)}}, Page{}); !fault.Is(err, fault.BadRequest) {
		t.Errorf("of the future: %v", err)
	}
}

// goneEdges gives the edges that touch a node.
func goneEdges(d topo.Delta, node string) (out []topo.EdgeID) {
	for _, e := range d.Edges {
		if e.Source == querytest.Ref(node) || e.Target == querytest.Ref(node) {
			out = append(out, e.Key())
		}
	}
	return out
}

func namesOf(items []Resource) (names []string) {
	for _, r := range items {
		names = append(names, r.Name)
	}
	return names
}

// The pages of a list and of a graph are read at the position of the first, whatever happens in between; once that isn't kept any more, it is said.
func TestPagesAreOfOneMoment(t *testing.T) {
	st, p := fresh(t)
	c := querytest.New(t, st, p.Tenant, "c").Load(hub(20))
	q, w := New(st), Where{Namespaces: []string{"shop"}, Kinds: []topo.GroupKind{{Kind: "Pod"}}}
	list, err := q.List(t.Context(), p, w, Page{Limit: 5})
	if err != nil {
		t.Fatal(err)
	}
	g, err := q.Graph(t.Context(), p, GraphQuestion{Where: w, Page: Page{Limit: 5}})
	if err != nil {
		t.Fatal(err)
	}
	var gone topo.Delta
	for i := range 20 {
		gone.GoneNodes = append(gone.GoneNodes, querytest.Ref(vertexPod(i)).ID())
		gone.GoneEdges = append(gone.GoneEdges, goneEdges(hub(20), vertexPod(i))...)
	}
	c.Apply(gone)
	seen, graphToken := namesOf(list.Items), g.Truncated.Continue
	for token := list.Continue; token != ""; {
		page, err := q.List(t.Context(), p, w, Page{Limit: 5, Continue: token})
		if err != nil || page.Position != list.Position || !page.At.Equal(list.At) || page.Total != list.Total {
			t.Fatalf("a later page: %+v %v", page, err)
		}
		seen, token = append(seen, namesOf(page.Items)...), page.Continue
	}
	if slices.Sort(seen); len(slices.Compact(seen)) != 20 {
		t.Errorf("%d Pods on all pages, want 20", len(seen))
	}
	if g, err = q.Graph(t.Context(), p, GraphQuestion{Where: w, Page: Page{Limit: 5, Continue: graphToken}}); err != nil || len(g.Edges) != 10 {
		t.Errorf("second page of the graph: %v", err)
	}
	for more := true; more; {
		if more, err = st.Trim(t.Context(), store.Keep{Feed: time.Nanosecond, History: time.Nanosecond, Events: time.Hour}, 1000); err != nil {
			t.Fatal(err)
		}
	}
	if _, err = q.List(t.Context(), p, w, Page{Limit: 5, Continue: list.Continue}); !fault.Is(err, fault.Gone) || len(fault.Public(err).Fields) == 0 {
		t.Errorf("a page of what isn't kept any more: %v", err)
	}
}

func vertexPod(i int) string {
	return "Pod shop/p" + string([]byte{'0', '0', '0', '0', byte('0' + i/10), byte('0' + i%10)})
}

// An age is counted from now: the page after may be asked for later, with another instant in the term.
func TestPagesGoOnWhileAgesGrow(t *testing.T) {
	st, p := fresh(t)
	querytest.New(t, st, p.Tenant, "c").Load(querytest.Shop())
	where := func(instant string) Where {
		return Where{Terms: []store.Term{{Key: store.AgeKey, Op: store.Less, Values: []string{instant}}}}
	}
	first, err := New(st).List(t.Context(), p, where("1800000000"), Page{Limit: 3})
	if err != nil || first.Continue == "" {
		t.Fatalf("%+v %v", first, err)
	}
	next, err := New(st).List(t.Context(), p, where("1800000005"), Page{Limit: 3, Continue: first.Continue})
	if err != nil || len(next.Items) != 3 || next.Items[0].ID == first.Items[0].ID {
		t.Errorf("%+v %v", next, err)
	}
	other := where("1800000000")
	other.Terms[0].Op = store.Greater
	if _, err := New(st).List(t.Context(), p, other, Page{Limit: 3, Continue: first.Continue}); !fault.Is(err, fault.BadRequest) {
		t.Errorf("the token serves another question: %v", err)
	}
}
