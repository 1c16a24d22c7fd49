package query

import (
	"net/netip"
	"testing"

	"github.com/kubilitics/kubilitics/hub/internal/query/querytest"
	"github.com/kubilitics/kubilitics/shared/fault"
)

func mustPrefix(t *testing.T, text string) netip.Prefix {
	t.Helper()
	p, err := netip.ParsePrefix(text)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func TestHealthRollsUp(t *testing.T) {
	st, p := fresh(t)
	c := querytest.New(t, st, p.Tenant, "c").Load(querytest.Mall())
	q := New(st)
	for level, groups := range map[Level]int{OfTenant: 1, OfCluster: 1, OfNamespace: 3, "": 1} {
		h, err := q.Health(t.Context(), p, HealthQuestion{Level: level})
		if err != nil || h.Worst != "error" || h.Health.Error != 1 || len(h.Groups) != groups || h.Stale {
			t.Fatalf("%s: %+v %v", level, h, err)
		}
		found := 0
		for _, g := range h.Groups {
			for _, b := range g.Bad {
				found++
				if b.Name != "sad" || b.Why != "CreateContainerConfigError, 0/1 ready" || g.Worst != "error" {
					t.Errorf("%s: bad %+v", level, b)
				}
			}
		}
		if found != 1 {
			t.Errorf("%s: %d bad objects", level, found)
		}
	}
	apps, err := q.Health(t.Context(), p, HealthQuestion{Level: OfApplication})
	if err != nil {
		t.Fatal(err)
	}
	worst := map[string]string{}
	for _, g := range apps.Groups {
		if g.Namespace == "mall" {
			worst[g.Application] = g.Worst
		}
	}
	if worst["web"] != "ok" || worst["sad"] != "error" || worst["db"] != "ok" {
		t.Errorf("applications: %v", worst)
	}
	c.Leave()
	if h, err := q.Health(t.Context(), p, HealthQuestion{Level: OfTenant}); err != nil || !h.Stale || !h.Groups[0].Stale || h.Worst != "error" {
		t.Errorf("stale: %+v %v", h, err)
	}
	if _, err := q.Health(t.Context(), p, HealthQuestion{Level: "galaxy"}); !fault.Is(err, fault.BadRequest) {
		t.Errorf("a level that doesn't exist: %v", err)
	}
}

// A workload fares as badly as the worst of what it owns; what is owned is no workload of its own.
func TestWorkloadsRollUpAlongOwnership(t *testing.T) {
	st, p := fresh(t)
	d := querytest.Mall()
	for i := range d.Nodes {
		if d.Nodes[i].Ref == querytest.Ref("Pod mall/web-b") {
			d.Nodes[i] = querytest.With(d.Nodes[i], "health=warning", "status=Running", "restarts=9")
		}
	}
	c := querytest.New(t, st, p.Tenant, "c").Load(d)
	q := New(st)
	got, token := map[string]string{}, ""
	for first := true; first || token != ""; first = false {
		h, err := q.Health(t.Context(), p, HealthQuestion{Level: OfWorkload, Page: Page{Limit: 2, Continue: token}})
		if err != nil {
			t.Fatal(err)
		}
		for _, w := range h.Workloads {
			got[w.Kind+"/"+w.Name] = w.Rollup.Worst
			if w.Name == "web" && (w.Rollup.Owned.OK != 3 || w.Rollup.Owned.Warning != 1 || len(w.Rollup.Bad) != 1 || w.Rollup.Bad[0].Why != "Running, 1/1 ready, 9 restarts") {
				t.Errorf("web: %+v", w.Rollup)
			}
		}
		token = h.Continue
	}
	if len(got) != 4 || got["Deployment/web"] != "warning" || got["StatefulSet/db"] != "ok" || got["Pod/sad"] != "error" || got["Pod/api-0"] != "ok" {
		t.Errorf("workloads: %v", got)
	}
	detail, err := q.Get(t.Context(), p, Which{Cluster: c.ID, Ref: querytest.Ref("Deployment.apps mall/web")}, false)
	if err != nil || detail.Resource.Health != "ok" || detail.Rollup.Worst != "warning" {
		t.Errorf("detail: %+v %v", detail, err)
	}
	// owners in a circle end too
	circle, err := q.Get(t.Context(), p, Which{Cluster: c.ID, Ref: querytest.Ref("Widget.example.com mall/a")}, false)
	if err != nil || circle.Rollup.Worst != "ok" || circle.Rollup.Owned.OK != 1 {
		t.Errorf("circle: %+v %v", circle.Rollup, err)
	}
}
