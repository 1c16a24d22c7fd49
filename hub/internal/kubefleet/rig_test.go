package kubefleet

import (
	"context"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/kubilitics/kubilitics/hub/internal/fleet"
	"github.com/kubilitics/kubilitics/hub/internal/live"
	"github.com/kubilitics/kubilitics/hub/internal/query"
	"github.com/kubilitics/kubilitics/hub/internal/query/querytest"
	"github.com/kubilitics/kubilitics/hub/internal/store"
	"github.com/kubilitics/kubilitics/hub/internal/store/sqlite"
	"github.com/kubilitics/kubilitics/shared/topo"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// rig is the face over a real store, served on loopback to whoever is the principal at the time: two clusters of one shop, of which us-1 is offline.
type rig struct {
	t      *testing.T
	store  store.Store
	live   *live.Live
	url    string
	eu, us *querytest.Cluster

	mu  sync.Mutex
	who fleet.Principal
}

func newRig(t *testing.T) *rig {
	t.Helper()
	st, err := sqlite.Open(t.Context(), sqlite.Config{Path: filepath.Join(t.TempDir(), "hub.db"), Migrate: true})
	if err != nil {
		t.Fatal(err)
	}
	tenant, err := st.EnsureTenant(t.Context(), "default")
	if err != nil {
		t.Fatal(err)
	}
	r := &rig{t: t, store: st}
	r.who = r.may(tenant.ID, "*", "*", "*")
	r.eu = querytest.New(t, st, tenant.ID, "eu-1").Load(stock())
	r.us = querytest.New(t, st, tenant.ID, "us-1").Load(stock())
	r.eu.Kinds(reports()...)
	r.us.Kinds(reports()...)
	r.us.Leave()
	r.live = live.New(live.Config{Store: st, Poll: 50 * time.Millisecond, Quiet: 200 * time.Millisecond, Check: 20 * time.Millisecond,
		Recheck: func(context.Context, fleet.Principal) (fleet.Principal, error) { return r.principal(), r.revoked() }})
	ctx, cancel := context.WithCancel(context.WithoutCancel(t.Context()))
	done := make(chan error, 1)
	go func() { done <- r.live.Run(ctx) }()
	face := New(Config{Query: query.New(st), Live: r.live})
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) { face.Serve(w, req, r.principal()) }))
	r.url = srv.URL
	t.Cleanup(func() {
		srv.CloseClientConnections()
		srv.Close()
		cancel()
		<-done
		http.DefaultClient.CloseIdleConnections()
		if err := st.Close(); err != nil {
			t.Error(err)
		}
	})
	return r
}

// stock is the shop, with what pods show and a custom kind whose definition says how it is printed.
func stock() topo.Delta {
	d := querytest.Shop()
	for i := range d.Nodes {
		if n := &d.Nodes[i]; n.Ref.Kind == "Pod" {
			*n = querytest.With(*n, "ready=1/1", "restarts=3", "node=n1", "ip=10.1.0.7 fd00::7", "images=nginx:1.27")
			if n.Health == topo.OK {
				n.Status = "Running"
			}
		}
	}
	d.Nodes = append(d.Nodes, querytest.Node("CustomResourceDefinition.apiextensions.k8s.io widgets.example.com"), querytest.Node("Widget.example.com shop/a"))
	d.Manifests = append(d.Manifests,
		querytest.Manifest("CustomResourceDefinition.apiextensions.k8s.io widgets.example.com", `{"kind":"CustomResourceDefinition","metadata":{"name":"widgets.example.com"},
			"spec":{"names":{"singular":"widget","shortNames":["wd"],"categories":["all"]},"versions":[{"name":"v1","additionalPrinterColumns":[
			{"name":"Size","type":"integer","jsonPath":".spec.size"},{"name":"Made","type":"date","jsonPath":".metadata.creationTimestamp"}]}]}}`),
		querytest.Manifest("Widget.example.com shop/a", `{"apiVersion":"example.com/v1","kind":"Widget","metadata":{"name":"a","namespace":"shop","creationTimestamp":"2026-01-01T00:00:00Z"},"spec":{"size":7}}`),
		querytest.Manifest("Pod shop/web-b", `{"apiVersion":"v1","kind":"Pod","metadata":{"name":"web-b","namespace":"shop","uid":"uid-Pod shop/web-b","labels":{"app":"web","tier":"front"},
			"annotations":{"own":"kept"}},"spec":{"nodeName":"n1"},"status":{"phase":"Pending"}}`))
	return d
}

func reports() []topo.KindReport {
	seen := func(group, version, kind, plural string, namespaced bool) topo.KindReport {
		return topo.KindReport{GroupKind: topo.GroupKind{Group: group, Kind: kind}, Version: version, Plural: plural, Namespaced: namespaced, Observed: true}
	}
	hidden := seen("", "v1", "Secret", "secrets", true)
	hidden.Observed, hidden.Reason = false, "forbidden"
	return []topo.KindReport{
		seen("", "v1", "Pod", "pods", true), seen("", "v1", "Service", "services", true), seen("", "v1", "ConfigMap", "configmaps", true),
		seen("", "v1", "Namespace", "namespaces", false), seen("", "v1", "Node", "nodes", false), seen("", "v1", "ServiceAccount", "serviceaccounts", true),
		seen("apps", "v1", "Deployment", "deployments", true), seen("apps", "v1", "ReplicaSet", "replicasets", true),
		seen("rbac.authorization.k8s.io", "v1", "RoleBinding", "rolebindings", true),
		seen("apiextensions.k8s.io", "v1", "CustomResourceDefinition", "customresourcedefinitions", false), seen("example.com", "v1", "Widget", "widgets", true), hidden,
	}
}

func (r *rig) may(tenant fleet.TenantID, verbs, clusters, namespaces string) fleet.Principal {
	return fleet.Principal{Tenant: tenant, Name: "ada", Bindings: []fleet.Binding{{Verbs: []string{verbs}, Clusters: []string{clusters}, Namespaces: []string{namespaces}}}}
}

func (r *rig) principal() fleet.Principal {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.who
}

// become makes all that follows somebody else's.
func (r *rig) become(p fleet.Principal) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.who = p
}
func (r *rig) revoked() error { return nil }
