package query

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/kubilitics/kubilitics/hub/internal/fleet"
	"github.com/kubilitics/kubilitics/hub/internal/query/querytest"
	"github.com/kubilitics/kubilitics/shared/fault"
	"github.com/kubilitics/kubilitics/shared/topo"
)

// findAll gives all findings of a question, by pages of that size.
func findAll(t *testing.T, q *Querier, p fleet.Principal, a FindingQuestion) (all []Finding) {
	t.Helper()
	for first := true; first || a.Continue != ""; first = false {
		out, err := q.Findings(t.Context(), p, a)
		if err != nil {
			t.Fatal(err)
		}
		if a.Limit > 0 && len(out.Items) > a.Limit {
			t.Errorf("%d findings on a page of %d", len(out.Items), a.Limit)
		}
		all, a.Continue = append(all, out.Items...), out.Continue
	}
	return all
}

func findingLines(all []Finding) (lines []string) {
	for _, x := range all {
		lines = append(lines, x.Kind+" "+x.Severity+" "+x.Object.Kind+"/"+x.Object.Name+" "+x.Confidence)
	}
	slices.Sort(lines)
	return lines
}

// A token is nothing but a text, which anybody can make.
func TestFindingsRefuseMadeUpTokens(t *testing.T) {
	st, p := fresh(t)
	querytest.New(t, st, p.Tenant, "c").Load(querytest.Mall())
	var ask FindingQuestion
	at := pinned{Position: 1}
	for _, made := range []findingPlace{
		{pinned: at, Source: -1}, {pinned: at, Source: len(findingSources)}, {pinned: at, Source: 6, Skip: -1}, {pinned: at, Source: 6, Told: -1},
	} {
		ask.Continue = seal(p.Tenant, []any{ask.lasting(), ask.Findings, ask.Severities}, made)
		if _, err := New(st).Findings(t.Context(), p, ask); !fault.Is(err, fault.BadRequest) {
			t.Errorf("%+v: %v", made, err)
		}
	}
}

func TestFindings(t *testing.T) {
	st, p := fresh(t)
	d := querytest.Mall()
	fresh := querytest.Node("ConfigMap mall/new")
	fresh.Created = time.Now().Unix()
	d.Nodes = append(d.Nodes, fresh, querytest.Node("ConfigMap mall/board", "grafana_dashboard=1"), querytest.Node("ConfigMap kube-system/conf"))
	// a Deployment tells what its Pods miss
	d.Nodes = append(d.Nodes, querytest.Missing("Secret mall/gone"))
	for _, who := range []string{"Deployment.apps mall/web", "Pod mall/web-a", "ReplicaSet.apps mall/web-1"} {
		d.Edges = append(d.Edges, querytest.Ruled(who, topo.Mounts, "pod-secret-volume", "Secret mall/gone"))
	}
	// Kubernetes' own bindings may be made before their subjects
	d.Nodes = append(d.Nodes, querytest.Node("RoleBinding.rbac.authorization.k8s.io mall/system:dns"), querytest.Missing("ServiceAccount mall/dns"))
	d.Edges = append(d.Edges, querytest.Ruled("RoleBinding.rbac.authorization.k8s.io mall/system:dns", topo.Grants, "binding-subject", "ServiceAccount mall/dns"))
	c := querytest.New(t, st, p.Tenant, "c").Load(d)
	q := New(st)
	want := []string{
		"dangling-binding warning RoleBinding/ghosts high",
		"missing-target error Deployment/web high",
		"missing-target error Pod/sad high",
		"nothing-to-scale warning HorizontalPodAutoscaler/nothing high",
		"owner-cycle warning Widget/a high",
		"protects-nothing warning PodDisruptionBudget/idle high",
		"selects-nothing warning Service/lonely high",
		"ungranted-reference error HTTPRoute/route high",
		"unused info ConfigMap/board low",
		"unused info ConfigMap/conf low",
		"unused info ConfigMap/forgotten high",
		"unused info ConfigMap/new low",
		"unused info Secret/old high",
		"unused warning PersistentVolumeClaim/left high",
	}
	for _, limit := range []int{0, 1, 2, 5} {
		all := findAll(t, q, p, FindingQuestion{Page: Page{Limit: limit}})
		got := findingLines(all)
		for i := range got { // which of a circle's objects is told first isn't said
			got[i] = strings.Replace(got[i], "Widget/b", "Widget/a", 1)
		}
		if !slices.Equal(got, want) {
			t.Errorf("by %d:\n%s\nwant\n%s", limit, strings.Join(got, "\n"), strings.Join(want, "\n"))
		}
		for _, x := range all {
			if x.Sentence == "" || x.SinceAt == nil || (x.Confidence == ConfidenceHigh) != (len(x.Doubts) == 0) {
				t.Errorf("%+v", x)
			}
		}
	}
	for name, a := range map[string]struct {
		ask  FindingQuestion
		want []string
	}{
		"severity":  {FindingQuestion{Severities: []string{"error"}}, []string{want[1], want[2], want[7]}},
		"kind":      {FindingQuestion{Findings: []string{Unused}, Severities: []string{"warning"}}, want[13:]},
		"object":    {FindingQuestion{Where: Where{Kinds: []topo.GroupKind{{Kind: "Service"}}}}, want[6:7]},
		"namespace": {FindingQuestion{Where: Where{Namespaces: []string{"kube-system"}}}, want[9:10]},
		"cluster":   {FindingQuestion{Where: Where{Clusters: []fleet.ClusterID{c.ID}, Names: []string{"sad"}}}, want[2:3]},
	} {
		if got := findingLines(findAll(t, q, p, a.ask)); !slices.Equal(got, a.want) {
			t.Errorf("%s: %v, want %v", name, got, a.want)
		}
	}
	if got := findingLines(findAll(t, q, may(p.Tenant, "vault"), FindingQuestion{})); got != nil {
		t.Errorf("who sees nothing that is wrong finds %v", got)
	}
	if got := findingLines(findAll(t, q, may(p.Tenant, "mall"), FindingQuestion{Findings: []string{UngrantedRef}})); got != nil {
		t.Errorf("a reference to what may not be seen is told: %v", got)
	}
	for _, bad := range []FindingQuestion{{Findings: []string{"x"}}, {Severities: []string{"x"}}, {Page: Page{Limit: 10_000}}} {
		if _, err := q.Findings(t.Context(), p, bad); !fault.Is(err, fault.BadRequest) || len(fault.Public(err).Fields) != 1 {
			t.Errorf("%+v: %v", bad, err)
		}
	}
}

// A grant in the target's namespace allows the reference, one for another kind or from another namespace doesn't.
func TestGrantedReferencesAreNoFindings(t *testing.T) {
	st, p := fresh(t)
	d := querytest.Mall()
	grant := func(name, from, to, space string) {
		d.Nodes = append(d.Nodes, querytest.Node("ReferenceGrant.gateway.networking.k8s.io vault/"+name))
		d.Edges = append(d.Edges, querytest.Ruled("ReferenceGrant.gateway.networking.k8s.io vault/"+name, topo.Allows, "referencegrant-namespace", "Namespace "+space, "from="+from, "to="+to))
	}
	const route = "HTTPRoute.gateway.networking.k8s.io"
	grant("kind", "TLSRoute.gateway.networking.k8s.io", "Service", "mall")
	grant("space", route, "Service", "vault")
	grant("name", route, "Service/other", "mall")
	c := querytest.New(t, st, p.Tenant, "c").Load(d)
	q, ask := New(st), FindingQuestion{Findings: []string{UngrantedRef}}
	if got := findingLines(findAll(t, q, p, ask)); len(got) != 1 {
		t.Errorf("%v", got)
	}
	c.Apply(topo.Delta{
		Nodes: []topo.Node{querytest.Node("ReferenceGrant.gateway.networking.k8s.io vault/right")},
		Edges: []topo.Edge{querytest.Ruled("ReferenceGrant.gateway.networking.k8s.io vault/right", topo.Allows, "referencegrant-namespace", "Namespace mall", "from="+route, "to=Service/api")},
	})
	if got := findingLines(findAll(t, q, p, ask)); got != nil {
		t.Errorf("%v", got)
	}
}

// What can't be seen may be what uses an object.
func TestConfidenceFallsWithWhatIsSeen(t *testing.T) {
	st, p := fresh(t)
	c := querytest.New(t, st, p.Tenant, "c").Load(querytest.Mall())
	c.Kinds(topo.KindReport{GroupKind: topo.GroupKind{Group: "x.io", Kind: "Reader"}, Reason: "forbidden"})
	all := findAll(t, New(st), p, FindingQuestion{Findings: []string{Unused}, Where: Where{Names: []string{"forgotten"}}})
	if len(all) != 1 || all[0].Confidence != ConfidenceMedium || !strings.Contains(all[0].Doubts[0], "Reader.x.io") {
		t.Errorf("%+v", all)
	}
}

func TestMissingOwners(t *testing.T) {
	st, p := fresh(t)
	d := querytest.Shop()
	d.Nodes = append(d.Nodes, querytest.Missing("Job.batch shop/over"))
	d.Edges = append(d.Edges, querytest.Edge("Job.batch shop/over", topo.Owns, "Pod shop/web-a"), querytest.Edge("Job.batch shop/over", topo.Owns, "Pod shop/web-b"))
	querytest.New(t, st, p.Tenant, "c").Load(d)
	all := findAll(t, New(st), p, FindingQuestion{Findings: []string{MissingOwner}, Page: Page{Limit: 1}})
	if len(all) != 1 || len(all[0].Related) != 2 || all[0].Sentence != "Job over isn't there, and owns Pod web-a and 1 more" {
		t.Errorf("%+v", all)
	}
}
