package query

import (
	"testing"

	"github.com/kubilitics/kubilitics/hub/internal/fleet"
	"github.com/kubilitics/kubilitics/hub/internal/query/querytest"
	"github.com/kubilitics/kubilitics/hub/internal/store"
	"github.com/kubilitics/kubilitics/shared/topo"
)

// Each cluster's own relationships to what is shared come with it: an Ingress in one, the Service that names its host in the other.
func TestSharedTellsBothSides(t *testing.T) {
	st, p := fresh(t)
	const host, other = "Host.kubilitics.io a.example.com", "Host.kubilitics.io b.example.com"
	eu := querytest.New(t, st, p.Tenant, "eu").Load(topo.Delta{
		Nodes: []topo.Node{querytest.Node(host), querytest.Node(other), querytest.Node("Ingress.networking.k8s.io shop/web")},
		Edges: []topo.Edge{querytest.Edge("Ingress.networking.k8s.io shop/web", topo.Routes, host)},
	})
	us := querytest.New(t, st, p.Tenant, "us").Load(topo.Delta{
		Nodes: []topo.Node{querytest.Node(host), querytest.Node(other), querytest.Node("Service shop/eu")},
		Edges: []topo.Edge{querytest.Edge("Service shop/eu", topo.Routes, host)},
	})
	for _, c := range []*querytest.Cluster{eu, us} {
		if err := st.ReplaceFleet(t.Context(), c.Scope, 1, []topo.Ref{querytest.Ref(host), querytest.Ref(other)}); err != nil {
			t.Fatal(err)
		}
	}
	q := New(st)
	first, err := q.Shared(t.Context(), p, SharedQuestion{Page: Page{Limit: 1}})
	if err != nil || len(first.Items) != 1 || first.Continue == "" || len(first.Freshness) != 2 {
		t.Fatalf("%+v %v", first, err)
	}
	var sources []string
	for _, in := range first.Items[0].Clusters {
		for _, e := range in.Edges {
			sources = append(sources, e.Source.Kind)
		}
	}
	if first.Items[0].Name != "a.example.com" || len(sources) != 2 {
		t.Errorf("%+v has edges from %v", first.Items[0], sources)
	}
	rest, err := q.Shared(t.Context(), p, SharedQuestion{Page: Page{Limit: 1, Continue: first.Continue}})
	if err != nil || len(rest.Items) != 1 || rest.Items[0].Name != "b.example.com" || rest.Continue != "" {
		t.Errorf("%+v %v", rest, err)
	}
	past, err := q.Shared(t.Context(), p, SharedQuestion{At: store.When{Position: 1}})
	if err != nil || len(past.Items) != 0 {
		t.Errorf("before the second cluster came, %+v %v", past, err)
	}
}

// Where a neighbourhood leads to a host that another cluster has too, it says so: to those who may see that cluster.
func TestGraphsTellWhatLeadsToOtherClusters(t *testing.T) {
	st, p := fresh(t)
	const host = "Host.kubilitics.io a.example.com"
	var clusters []*querytest.Cluster
	for _, name := range []string{"eu", "us"} {
		c := querytest.New(t, st, p.Tenant, name).Load(topo.Delta{
			Nodes: []topo.Node{querytest.Node(host), querytest.Node("Ingress.networking.k8s.io shop/web")},
			Edges: []topo.Edge{querytest.Edge(host, topo.Routes, "Ingress.networking.k8s.io shop/web")},
		})
		if err := st.ReplaceFleet(t.Context(), c.Scope, 1, []topo.Ref{querytest.Ref(host)}); err != nil {
			t.Fatal(err)
		}
		clusters = append(clusters, c)
	}
	around := Neighbourhood{Cluster: clusters[0].ID, Focus: querytest.Ref("Ingress.networking.k8s.io shop/web").ID()}
	got, err := New(st).Around(t.Context(), p, around)
	if err != nil || len(got.Shared) != 1 || len(got.Shared[0].Clusters) != 2 || got.Shared[0].Name != "a.example.com" {
		t.Errorf("%+v %v", got.Shared, err)
	}
	alone, err := New(st).Around(t.Context(), p.Within([]fleet.ClusterID{clusters[0].ID}), around)
	if err != nil || len(alone.Shared) != 0 {
		t.Errorf("who sees one cluster is told of another: %+v %v", alone.Shared, err)
	}
}
