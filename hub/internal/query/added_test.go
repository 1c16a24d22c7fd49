package query

import (
	"testing"
	"time"

	"github.com/kubilitics/kubilitics/hub/internal/query/querytest"
	"github.com/kubilitics/kubilitics/hub/internal/store"
	"github.com/kubilitics/kubilitics/shared/fault"
	"github.com/kubilitics/kubilitics/shared/topo"
)

// What plugins add stands beside what agents tell, and their findings among the others.
func TestWhatPluginsAdd(t *testing.T) {
	st, p := fresh(t)
	c := querytest.New(t, st, p.Tenant, "c").Load(querytest.Shop())
	web := querytest.Ref("Pod shop/web-a")
	lease := store.Lease{Follower: store.Follower{Tenant: p.Tenant, Name: "plugin:cost"}, Holder: "me"}
	if _, held, err := st.Hold(t.Context(), lease, time.Minute); err != nil || !held {
		t.Fatal(held, err)
	}
	err := st.Enrich(t.Context(), lease, c.ID, "cost", []store.Addition{{
		Ref: web, UID: "uid-Pod shop/web-a", Attrs: []topo.Pair{{Key: "monthly", Value: "12"}},
		Edges:    []store.AddedEdge{{Source: web.ID(), Target: querytest.Ref("ConfigMap shop/web").ID(), Type: topo.References, Reason: "billing"}},
		Findings: []store.Finding{{Code: "dear", Severity: store.Warning, Sentence: "web-a is dear", Confidence: 0.5}, {Code: "odd", Severity: store.Info, Sentence: "odd", Confidence: 1}},
	}})
	if err != nil {
		t.Fatal(err)
	}
	q := New(st)
	out, err := q.Added(t.Context(), p, Which{Cluster: c.ID, Ref: web})
	if err != nil || len(out.Plugins) != 1 || out.More {
		t.Fatalf("%+v %v", out, err)
	}
	a := out.Plugins[0]
	if a.Plugin != "cost" || a.Attrs["monthly"] != "12" || len(a.Edges) != 1 || len(a.Findings) != 2 || a.Edges[0].Target.Name != "web" {
		t.Errorf("%+v", a)
	}
	for _, limit := range []int{0, 1} {
		all := findAll(t, q, p, FindingQuestion{Findings: []string{PluginFinding}, Page: Page{Limit: limit}})
		if len(all) != 2 || all[0].Plugin != "cost" || all[0].Sentence != "web-a is dear" || all[0].Confidence != ConfidenceMedium || all[1].Severity != SeverityInfo {
			t.Errorf("by %d: %+v", limit, all)
		}
	}
	if all := findAll(t, q, may(p.Tenant, "bank"), FindingQuestion{Findings: []string{PluginFinding}}); len(all) != 0 {
		t.Errorf("of what may not be seen: %+v", all)
	}
	if _, err := q.Added(t.Context(), may(p.Tenant, "bank"), Which{Cluster: c.ID, Ref: web}); !fault.Is(err, fault.NotFound) {
		t.Errorf("of what may not be seen: %v", err)
	}
}
