package kubefleet

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/kubilitics/kubilitics/hub/internal/fleet"
	"github.com/kubilitics/kubilitics/hub/internal/live"
	"github.com/kubilitics/kubilitics/hub/internal/query"
	"github.com/kubilitics/kubilitics/hub/internal/query/querytest"
	"github.com/kubilitics/kubilitics/hub/internal/store"
	"github.com/kubilitics/kubilitics/hub/internal/store/sqlite"
	"github.com/kubilitics/kubilitics/shared/fault"
	"github.com/kubilitics/kubilitics/shared/topo"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// rig is the face over a real store, served on loopback to whoever is the principal at the time: two clusters of one shop, of which us-1 is offline.
type rig struct {
	t      testing.TB
	store  store.Store
	live   *live.Live
	url    string
	eu, us *querytest.Cluster
	close  context.CancelCauseFunc // ends what is being answered, as a hub that goes does

	mu   sync.Mutex
	who  fleet.Principal
	gone error // why the principal's authentication has ended
}

func newRig(t testing.TB) *rig {
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
	face.quiet = 100 * time.Millisecond
	var closing context.Context
	closing, r.close = context.WithCancelCause(ctx)
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		within, end := context.WithCancelCause(req.Context())
		defer end(nil)
		defer context.AfterFunc(closing, func() { end(context.Cause(closing)) })()
		face.Serve(w, req.WithContext(within), r.principal())
	}))
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

func (r *rig) revoked() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.gone
}

// revoke ends everybody's authentication.
func (r *rig) revoke() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.gone = fault.New(fault.Unauthorized, "the token was revoked")
}

// reply is an answer, read to its end.
type reply struct {
	t      testing.TB
	status int
	header http.Header
	text   string
	json   map[string]any
}

const (
	tableType = "application/json;as=Table;v=v1;g=meta.k8s.io"
	metaType  = "application/json;as=PartialObjectMetadataList;v=v1;g=meta.k8s.io"
)

// do sends a request; {eu} stands for the cluster's id.
func (r *rig) do(method, path, accept string) reply {
	r.t.Helper()
	return r.send(method, path, accept, nil)
}

func (r *rig) send(method, path, accept string, body io.Reader) reply {
	r.t.Helper()
	req, err := http.NewRequestWithContext(r.t.Context(), method, r.url+strings.ReplaceAll(path, "{eu}", r.eu.ID.String()), body)
	if err != nil {
		r.t.Fatal(err)
	}
	if accept != "" {
		req.Header.Set("Accept", accept)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		r.t.Fatal(err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		r.t.Fatal(err)
	}
	out := reply{t: r.t, status: resp.StatusCode, header: resp.Header, text: string(text)}
	_ = json.Unmarshal(text, &out.json) // not every answer is a document
	return out
}

func (r *rig) get(path string) reply { r.t.Helper(); return r.do(http.MethodGet, path, "") }

// names are what a list holds, "cluster/name" each.
func (p reply) names() string {
	p.t.Helper()
	var out []string
	items, ok := p.json["items"].([]any)
	if !ok {
		p.t.Fatalf("no list: %d %s", p.status, p.text)
	}
	for _, i := range items {
		out = append(out, nameOf(i))
	}
	return strings.Join(out, " ")
}

func nameOf(object any) string {
	meta := object.(map[string]any)["metadata"].(map[string]any)
	notes, _ := meta["annotations"].(map[string]any)
	return fmt.Sprint(notes[ClusterNameKey], "/", meta["name"])
}

// at looks a value up, as in "metadata.continue".
func (p reply) at(path string) any {
	var v any = p.json
	for _, key := range strings.Split(path, ".") {
		m, _ := v.(map[string]any)
		v = m[key]
	}
	return v
}

// refused reports an answer that isn't that Status, or doesn't say that.
func (p reply) refused(code int, reason metav1.StatusReason, says string) {
	p.t.Helper()
	if p.status != code || p.at("kind") != "Status" || p.at("reason") != string(reason) || !strings.Contains(fmt.Sprint(p.at("message")), says) {
		p.t.Errorf("%d %s, want %d %s that says %q", p.status, p.text, code, reason, says)
	}
}
