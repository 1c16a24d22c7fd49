package query

import (
	"fmt"
	"slices"
	"testing"

	"github.com/kubilitics/kubilitics/hub/internal/fleet"
	"github.com/kubilitics/kubilitics/hub/internal/query/querytest"
	"github.com/kubilitics/kubilitics/hub/internal/store"
)

// Terms that name namespaces in full become a list of these; others stay what they are, and the question isn't changed.
func TestNamespacesOfTerms(t *testing.T) {
	like := func(not bool, values ...string) store.Term {
		return store.Term{Key: "namespace", Op: store.Like, Values: values, Not: not}
	}
	name := store.Term{Key: "name", Op: store.Like, Values: []string{"x"}}
	for _, c := range []struct {
		where  Where
		spaces []string
		terms  int
	}{
		{Where{Terms: []store.Term{name, like(false, "Shop", "bank")}}, []string{"shop", "bank"}, 1},
		{Where{Terms: []store.Term{like(false, "sh*")}}, nil, 1},
		{Where{Terms: []store.Term{like(false, `a\*`)}}, nil, 1},
		{Where{Terms: []store.Term{like(true, "shop")}}, nil, 1},
		{Where{Terms: []store.Term{like(false, "a"), like(false, "b")}}, []string{"a"}, 1},
		{Where{Namespaces: []string{"x"}, Terms: []store.Term{like(false, "shop")}}, []string{"x"}, 1},
	} {
		before := len(c.where.Terms)
		f, err := c.where.filter(fleet.View{})
		if err != nil || !slices.Equal(f.Namespaces, c.spaces) || len(f.Terms) != c.terms || len(c.where.Terms) != before {
			t.Errorf("%+v: %+v %v", c.where, f, err)
		}
	}
}

// Nothing of a namespace that may not be seen shows in what is counted, grouped, rolled up or walked through.
func TestWhatMayNotBeSeenIsNotCounted(t *testing.T) {
	st, p := fresh(t)
	c := querytest.New(t, st, p.Tenant, "c").Load(querytest.Mall())
	q, eyes := New(st), may(p.Tenant, "vault")
	groups, err := q.Groups(t.Context(), eyes, GroupQuestion{By: []store.Dimension{store.ByNamespace, store.ByKind}})
	if err != nil || len(groups.Groups) != 2 || len(groups.Edges) != 0 {
		t.Errorf("groups: %+v %v", groups, err)
	}
	for _, level := range []Level{OfTenant, OfNamespace, OfWorkload} {
		h, err := q.Health(t.Context(), eyes, HealthQuestion{Level: level})
		if err != nil || h.Health.Error != 0 || h.Health.OK > 2 {
			t.Errorf("health of %s: %+v %v", level, h, err)
		}
	}
	var seen []string
	err = q.Walk(t.Context(), eyes, GraphQuestion{}, func(g *Graph) error {
		for _, n := range g.Nodes {
			seen = append(seen, n.Namespace)
		}
		seen = append(seen, fmt.Sprint(len(g.Edges)))
		return nil
	})
	if err != nil || !slices.Equal(seen, []string{"vault", "vault", "0"}) {
		t.Errorf("walk: %v %v", seen, err)
	}
	detail, err := q.Get(t.Context(), may(p.Tenant, "mall"), Which{Cluster: c.ID, Ref: querytest.Ref("HTTPRoute.gateway.networking.k8s.io mall/route")}, false)
	if err != nil || len(detail.Edges) != 0 {
		t.Errorf("edges to the vault: %+v %v", detail, err)
	}
	over, err := q.Impact(t.Context(), may(p.Tenant, "mall"), ImpactQuestion{Cluster: c.ID, Focus: querytest.Ref("ConfigMap mall/web").ID()})
	if err != nil || len(over.Affected) != 6 {
		t.Errorf("impact: %+v %v", over, err)
	}
	other := fleet.Principal{Tenant: p.Tenant, Bindings: []fleet.Binding{{Verbs: []string{"*"}, Clusters: []string{fleet.NewClusterID().String()}, Namespaces: []string{"*"}}}}
	if out, err := q.Groups(t.Context(), other, GroupQuestion{}); err != nil || len(out.Groups) != 0 {
		t.Errorf("groups of a cluster that may not be seen: %+v %v", out, err)
	}
	if out, err := q.Search(t.Context(), other, SearchQuestion{}); err != nil || len(out.Items) != 0 {
		t.Errorf("search: %+v %v", out, err)
	}
}
