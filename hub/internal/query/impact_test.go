package query

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/kubilitics/kubilitics/hub/internal/query/querytest"
	"github.com/kubilitics/kubilitics/shared/rules"
	"github.com/kubilitics/kubilitics/shared/topo"
)

// words gives an impact in lines: severity, kind and name, reason.
func words(out *Impact) string {
	var lines []string
	for _, a := range out.Affected {
		severity := a.Severity
		if a.Gone {
			severity = "goes"
		}
		lines = append(lines, fmt.Sprintf("%s %s/%s %s", severity, a.Kind, a.Name, a.Reason))
	}
	slices.Sort(lines)
	return strings.Join(lines, "\n")
}

func TestImpact(t *testing.T) {
	st, p := fresh(t)
	c := querytest.New(t, st, p.Tenant, "c").Load(querytest.Mall())
	q := New(st)
	for focus, want := range map[string]string{
		"ConfigMap mall/web": `
breaks Deployment/web mounts ConfigMap web, and doesn't start without it
breaks Ingress/web loses its only backend, Service web
breaks Pod/web-a mounts ConfigMap web, and doesn't start without it
breaks Pod/web-b mounts ConfigMap web, and doesn't start without it
breaks ReplicaSet/web-1 loses all its 2 replicas, among them Pod web-a
breaks Service/web loses all its 2 ready Pods, among them Pod web-a`,
		"ConfigMap mall/extras": `
degrades Pod/web-a names ConfigMap extras as optional, and goes without it`,
		"Pod mall/web-a": `
blocked PodDisruptionBudget/web allows no disruption: the eviction of Pod web-a is refused
degrades Deployment/web has its Pods by way of ReplicaSet web-1, which lacks some
degrades ReplicaSet/web-1 is left with 1 of 2 replicas, without Pod web-a
degrades Service/web is left with 1 of 2 ready Pods, without Pod web-a`,
		"Node n1": `
blocked PodDisruptionBudget/web allows no disruption: the eviction of Pod web-a is refused
breaks Service/db loses its only ready Pod, Pod db-0
breaks StatefulSet/db loses its only replica, Pod db-0
degrades Deployment/web has its Pods by way of ReplicaSet web-1, which lacks some
degrades ReplicaSet/web-1 is left with 1 of 2 replicas, without Pod web-a
degrades Service/web is left with 1 of 2 ready Pods, without Pod web-a
goes Pod/db-0 runs on Node n1
goes Pod/web-a runs on Node n1`,
		"Deployment.apps mall/web": `
breaks HorizontalPodAutoscaler/web has nothing to scale without Deployment web
breaks Ingress/web loses its only backend, Service web
breaks Service/web loses all its 2 ready Pods, among them Pod web-a
goes Pod/web-a is deleted with its owner, ReplicaSet web-1
goes Pod/web-b is deleted with its owner, ReplicaSet web-1
goes ReplicaSet/web-0 is deleted with its owner, Deployment web
goes ReplicaSet/web-1 is deleted with its owner, Deployment web`,
		"PersistentVolume pv-1": `
breaks PersistentVolumeClaim/data-db-0 has its data on PersistentVolume pv-1
breaks Pod/db-0 mounts PersistentVolumeClaim data-db-0, and doesn't start without it
breaks Service/db loses its only ready Pod, Pod db-0
breaks StatefulSet/db keeps the data of one of its Pods in PersistentVolumeClaim data-db-0`,
		"PodDisruptionBudget.policy mall/web": "",
	} {
		out, err := q.Impact(t.Context(), p, ImpactQuestion{Cluster: c.ID, Focus: querytest.Ref(focus).ID()})
		if err != nil {
			t.Fatal(err)
		}
		if got := words(out); got != strings.TrimSpace(want) {
			t.Errorf("%s goes:\n%s\nwant:\n%s", focus, got, strings.TrimSpace(want))
		}
		if n := out.Counts.Breaks + out.Counts.Degrades + out.Counts.Blocked; n != len(out.Affected) {
			t.Errorf("%s: %d counted of %d", focus, n, len(out.Affected))
		}
	}
}

func TestImpactHits(t *testing.T) {
	st, p := fresh(t)
	c := querytest.New(t, st, p.Tenant, "c").Load(querytest.Mall())
	hits := func() (got []string) {
		out, err := New(st).Impact(t.Context(), p, ImpactQuestion{Cluster: c.ID, Focus: querytest.Ref("Node n1").ID()})
		if err != nil {
			t.Fatal(err)
		}
		for _, h := range out.Hits {
			got = append(got, h.Kind+" "+h.Resource.Kind+"/"+h.Resource.Name+": "+h.Sentence)
		}
		slices.Sort(got)
		return got
	}
	want := []string{
		"budget PodDisruptionBudget/web: PodDisruptionBudget web allows no disruption: the eviction of Pod web-a is refused",
		"last-endpoint Service/db: Service db loses its only ready Pod, Pod db-0",
		"single-replica StatefulSet/db: StatefulSet db loses its only replica, Pod db-0",
	}
	if got := hits(); !slices.Equal(got, want) {
		t.Errorf("hits %v, want %v", got, want)
	}
	// of a ReplicaSet the Deployment is told, which people know
	c.Apply(topo.Delta{GoneNodes: []topo.ID{querytest.Ref("Pod mall/web-b").ID()}, GoneEdges: goneEdges(querytest.Mall(), "Pod mall/web-b")})
	want = slices.Insert(want, 2, "last-endpoint Service/web: Service web loses its only ready Pod, Pod web-a", "single-replica Deployment/web: Deployment web loses its only replica, Pod web-a")
	if got := hits(); !slices.Equal(got, want) {
		t.Errorf("hits %v, want %v", got, want)
	}
}

// Rules that the tables name exist, of the type that they are named for.
func TestTablesNameRulesThatExist(t *testing.T) {
	table, err := rules.Default()
	if err != nil {
		t.Fatal(err)
	}
	types := map[string]topo.EdgeType{}
	for _, r := range table.Rows() {
		types[r.Name] = r.Type
	}
	for _, e := range effects {
		for _, name := range e.Rules {
			if types[name] != e.Type {
				t.Errorf("the rule %s is of the type %q, not %q", name, types[name], e.Type)
			}
		}
		if e.Then > none && e.Of == "" && strings.Count(e.Why, "%s") != 1 {
			t.Errorf("%+v doesn't say why", e)
		}
	}
	for _, name := range mayDangle {
		if types[name] == "" {
			t.Errorf("there is no rule %s", name)
		}
	}
	for _, typ := range topo.EdgeTypes {
		if verbs[typ] == "" {
			t.Errorf("there is no verb for %s", typ)
		}
	}
}

// A namespace takes with it what is in it; what doesn't fit is said.
func TestImpactOfANamespace(t *testing.T) {
	st, p := fresh(t)
	c := querytest.New(t, st, p.Tenant, "c").Load(hub(60))
	q := New(st)
	ask := ImpactQuestion{Cluster: c.ID, Focus: querytest.Ref("Node big").ID(), Limit: 20}
	out, err := q.Impact(t.Context(), p, ask)
	if err != nil || len(out.Affected) != 20 || out.Truncated == nil {
		t.Errorf("%d affected, %+v, %v", len(out.Affected), out.Truncated, err)
	}
	c.Apply(topo.Delta{Nodes: []topo.Node{querytest.Node("Namespace shop")}})
	out, err = q.Impact(t.Context(), p, ImpactQuestion{Cluster: c.ID, Focus: querytest.Ref("Namespace shop").ID()})
	if err != nil || len(out.Affected) != 70 || out.Truncated != nil || out.Affected[0].Edge != nil || !out.Affected[0].Gone || out.Affected[0].Via.Name != "shop" {
		t.Errorf("%d affected, %+v, %v", len(out.Affected), out.Truncated, err)
	}
}

// What may not be seen is neither affected nor counted on.
func TestImpactKeepsToWhatMayBeSeen(t *testing.T) {
	st, p := fresh(t)
	c := querytest.New(t, st, p.Tenant, "c").Load(topo.Delta{
		Nodes: []topo.Node{querytest.Node("Service hidden/api"), querytest.Node("Service a/api"), querytest.Node("HTTPRoute.g a/r"), querytest.Node("HTTPRoute.g hidden/r")},
		Edges: []topo.Edge{
			querytest.Edge("HTTPRoute.g a/r", topo.Routes, "Service a/api"), querytest.Edge("HTTPRoute.g a/r", topo.Routes, "Service hidden/api"),
			querytest.Edge("HTTPRoute.g hidden/r", topo.Routes, "Service a/api"),
		},
	})
	for want, eyes := range map[string][]string{
		"breaks HTTPRoute/r loses its only backend, Service api":                                                                         {"a"},
		"breaks HTTPRoute/r loses its only backend, Service api\ndegrades HTTPRoute/r is left with 1 of 2 backends, without Service api": {"*"},
	} {
		out, err := New(st).Impact(t.Context(), may(p.Tenant, eyes...), ImpactQuestion{Cluster: c.ID, Focus: querytest.Ref("Service a/api").ID()})
		if err != nil || words(out) != want {
			t.Errorf("%v see %v %v", eyes, words(out), err)
		}
	}
}
