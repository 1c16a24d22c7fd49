package ops

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"
	"go.uber.org/zap"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/kubilitics/kubilitics/hub/internal/fleet"
	"github.com/kubilitics/kubilitics/hub/internal/kubeproxy"
	"github.com/kubilitics/kubilitics/hub/internal/query"
	"github.com/kubilitics/kubilitics/hub/internal/query/querytest"
	"github.com/kubilitics/kubilitics/hub/internal/store"
	"github.com/kubilitics/kubilitics/hub/internal/store/sqlite"
	"github.com/kubilitics/kubilitics/shared/fault"
	"github.com/kubilitics/kubilitics/shared/kube"
)

var rewrite = flag.Bool("rewrite", false, "write the golden files anew")

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// served is an API server that answers what a test puts into it, and keeps what it was asked. It knows discovery.
type served struct {
	mu      sync.Mutex
	asked   []string // "METHOD path"
	answers map[string]http.HandlerFunc
	away    bool
}

func (s *served) Transport(kubeproxy.Caller, fleet.ClusterID) http.RoundTripper { return s }

func (s *served) RoundTrip(r *http.Request) (*http.Response, error) {
	key := r.Method + " " + r.URL.Path
	s.mu.Lock()
	s.asked = append(s.asked, key)
	answer, away := s.answers[key], s.away
	s.mu.Unlock()
	w := httptest.NewRecorder()
	switch {
	case away:
		kube.WriteStatus(w, fault.New(fault.Unavailable, "cluster shop isn't connected to this hub; it was last heard at noon"))
	case answer != nil:
		answer(w, r)
	default:
		kube.WriteStatus(w, fault.New(fault.NotFound, "%s isn't served", key))
	}
	if err := r.Context().Err(); err != nil {
		return nil, err
	}
	return w.Result(), nil
}

// on gives the answer to requests from now on.
func (s *served) on(key string, answer http.HandlerFunc) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.answers[key] = answer
}

func (s *served) count(key string) (n int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, k := range s.asked {
		if k == key {
			n++
		}
	}
	return n
}

func says(v any) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		_ = json.NewEncoder(w).Encode(v)
	}
}

func list(gv string, resources ...metav1.APIResource) http.HandlerFunc {
	return says(metav1.APIResourceList{TypeMeta: metav1.TypeMeta{Kind: "APIResourceList", APIVersion: "v1"}, GroupVersion: gv, APIResources: resources})
}

func resource(name, singular, kind string, namespaced bool, short ...string) metav1.APIResource {
	return metav1.APIResource{Name: name, SingularName: singular, Kind: kind, Namespaced: namespaced, ShortNames: short, Verbs: metav1.Verbs{"get"}}
}

// serve is an API server with a few kinds; it tells of them in the old way, which takes a request for each group version.
func serve() *served {
	group := func(name string, versions ...string) metav1.APIGroup {
		g := metav1.APIGroup{Name: name}
		for _, v := range versions {
			g.Versions = append(g.Versions, metav1.GroupVersionForDiscovery{GroupVersion: name + "/" + v, Version: v})
		}
		g.PreferredVersion = g.Versions[0]
		return g
	}
	s := &served{answers: map[string]http.HandlerFunc{}}
	s.on("GET /version", says(map[string]string{"major": "1"}))
	s.on("GET /api", says(metav1.APIVersions{TypeMeta: metav1.TypeMeta{Kind: "APIVersions"}, Versions: []string{"v1"}}))
	s.on("GET /apis", says(metav1.APIGroupList{TypeMeta: metav1.TypeMeta{Kind: "APIGroupList", APIVersion: "v1"}, Groups: []metav1.APIGroup{
		group("apps", "v1"), group("events.k8s.io", "v1"), group("red.example", "v2", "v1"), group("blue.example", "v1"), group("gone.example", "v1"), group("batch", "v1"),
	}}))
	s.on("GET /api/v1", list("v1", resource("pods", "pod", "Pod", true, "po"), resource("pods/status", "", "Pod", true), resource("nodes", "node", "Node", false, "no"),
		resource("secrets", "secret", "Secret", true), resource("events", "event", "Event", true, "ev"), resource("configmaps", "configmap", "ConfigMap", true, "cm")))
	s.on("GET /apis/apps/v1", list("apps/v1", resource("deployments", "deployment", "Deployment", true, "deploy"), resource("deployments/scale", "", "Scale", true)))
	s.on("GET /apis/events.k8s.io/v1", list("events.k8s.io/v1", resource("events", "event", "Event", true, "ev")))
	s.on("GET /apis/red.example/v2", list("red.example/v2", resource("boats", "", "Boat", true, "bt")))
	s.on("GET /apis/red.example/v1", list("red.example/v1", resource("boats", "", "Boat", true, "bt"), resource("oars", "oar", "Oar", true)))
	s.on("GET /apis/blue.example/v1", list("blue.example/v1", resource("boats", "boat", "Boat", true), resource("pos", "po", "PO", true)))
	s.on("GET /apis/batch/v1", list("batch/v1", resource("cronjobs", "cronjob", "CronJob", true, "cj"), resource("jobs", "job", "Job", true)))
	return s
}

var everything = []fleet.Binding{{Verbs: []string{"*"}, Clusters: []string{"*"}, Namespaces: []string{"*"}}}

// rig is the operations on a cluster of that content, whose API server is the test's.
type rig struct {
	*Ops
	served  *served
	cluster *querytest.Cluster
	tenant  fleet.TenantID
}

func newRig(t *testing.T) *rig {
	t.Helper()
	st, err := sqlite.Open(t.Context(), sqlite.Config{Path: filepath.Join(t.TempDir(), "hub.db"), Migrate: true})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := st.Close(); err != nil {
			t.Error(err)
		}
	})
	return rigOn(t, st)
}

func rigOn(t *testing.T, st store.Store) *rig {
	t.Helper()
	tenant, err := st.EnsureTenant(t.Context(), "default")
	if err != nil {
		t.Fatal(err)
	}
	s := serve()
	return &rig{Ops: New(Config{Kube: s, Query: query.New(st), Log: zap.NewNop()}), served: s, tenant: tenant.ID, cluster: querytest.New(t, st, tenant.ID, "mall").Load(querytest.Mall())}
}

// as gives the operations for somebody with those bindings.
func (r *rig) as(t *testing.T, bindings ...fleet.Binding) *Target {
	t.Helper()
	target, err := r.On(kubeproxy.Caller{Principal: fleet.Principal{Tenant: r.tenant, Name: "tester", Bindings: bindings}}, r.cluster.ID)
	if err != nil {
		t.Fatal(err)
	}
	return target
}

// bare is the operations on an API server alone.
func bare(t *testing.T, s *served) *Target {
	t.Helper()
	target, err := New(Config{Kube: s, Log: zap.NewNop()}).On(kubeproxy.Caller{Principal: fleet.Principal{Tenant: 1, Bindings: everything}}, 7)
	if err != nil {
		t.Fatal(err)
	}
	return target
}

func TestNamesMeanKinds(t *testing.T) {
	s := serve()
	target := bare(t, s)
	for _, c := range []struct {
		group, version, name string
		want                 string // or the code of the fault
	}{
		{"-", "-", "pods", "pods v1"}, {"-", "-", "POD", "pods v1"}, {"", "", "Pod", "pods v1"},
		{"-", "-", "po", "pos.blue.example v1"}, // a name comes before another's short name
		{"-", "-", "deploy", "deployments.apps v1"}, {"apps", "v1", "Deployments", "deployments.apps v1"}, {"APPS", "-", "deployment", "deployments.apps v1"},
		{"-", "-", "events", "events v1"}, {"events.k8s.io", "-", "ev", "events.events.k8s.io v1"}, {"-", "-", "SECRETS", "secrets v1"},
		{"-", "-", "boats", "BAD_REQUEST"}, {"red.example", "-", "boat", "boats.red.example v2"}, {"red.example", "v1", "boats", "boats.red.example v1"},
		{"-", "-", "bt", "boats.red.example v2"}, {"-", "-", "oars", "oars.red.example v1"}, {"red.example", "v3", "boats", "NOT_FOUND"},
		{"-", "-", "nothing", "NOT_FOUND"}, {"gone.example", "-", "anything", "UNAVAILABLE"}, {"-", "-", "pods/status", "NOT_FOUND"},
	} {
		k, err := target.Resolve(t.Context(), c.group, c.version, c.name)
		got := k.Resource() + " " + k.Version
		if err != nil {
			got = string(fault.CodeOf(err))
		}
		if got != c.want {
			t.Errorf("%s/%s/%s is %s (%v), want %s", c.group, c.version, c.name, got, err, c.want)
		}
	}
	if k, err := target.Resolve(t.Context(), "apps", "v1", "deploy"); err != nil || !slices.Equal(k.Subresources, []string{"scale"}) {
		t.Errorf("got %+v, %v", k, err)
	}
}

// Kinds are kept for a while; a name that isn't among them is looked for anew, but not at every request.
func TestKindsAreKept(t *testing.T) {
	s := serve()
	target := bare(t, s)
	now := time.Now()
	target.Ops.now = func() time.Time { return now }
	resolve := func(name, want string) {
		t.Helper()
		k, err := target.Resolve(t.Context(), "-", "-", name)
		if want == "" && !fault.Is(err, fault.NotFound) || want != "" && (err != nil || k.Plural != want) {
			t.Errorf("%s: %+v, %v", name, k, err)
		}
	}
	resolve("pods", "pods")
	resolve("nodes", "nodes")
	resolve("newcomer", "")
	if n := s.count("GET /api/v1"); n != 1 {
		t.Errorf("the cluster was asked %d times for what was just heard", n)
	}
	s.on("GET /apis/blue.example/v1", list("blue.example/v1", resource("newcomers", "newcomer", "Newcomer", true)))
	now = now.Add(kindsRetry)
	resolve("newcomer", "newcomers")
	if n := s.count("GET /api/v1"); n != 2 {
		t.Errorf("the cluster was asked %d times", n)
	}
	now = now.Add(kindsGappy) // one of the groups never answers
	resolve("pods", "pods")
	if n := s.count("GET /api/v1"); n != 3 {
		t.Errorf("what is old was told: asked %d times", n)
	}
	other, err := target.On(kubeproxy.Caller{Principal: fleet.Principal{Tenant: 1, Bindings: nil}}, 7)
	if err != nil {
		t.Fatal(err)
	}
	s.away = true
	if _, err := other.Resolve(t.Context(), "-", "-", "pods"); !fault.Is(err, fault.Unavailable) {
		t.Errorf("one who may nothing was told from memory: %v", err)
	}
}

func TestStatusesBecomeFaults(t *testing.T) {
	s := serve()
	target := bare(t, s)
	place := Place{Kind: "cm", Namespace: "ns", Name: "a"}
	for status, want := range map[*metav1.Status]fault.Code{
		{Code: 422, Message: "it is invalid", Details: &metav1.StatusDetails{Causes: []metav1.StatusCause{{Field: "data", Message: "is odd"}}}}: fault.BadRequest,
		{Code: 403, Message: "no"}:    fault.Forbidden,
		{Code: 409, Message: "other"}: fault.Conflict,
		{Code: 503, Message: "away"}:  fault.Unavailable,
		{Code: 500, Message: "failed to create typed patch object (ns/a): .x: field not declared"}: fault.BadRequest,
		{Code: 500, Message: "broken"}: fault.Internal,
	} {
		status.Status, status.Kind, status.APIVersion = metav1.StatusFailure, "Status", "v1"
		s.on("GET /api/v1/namespaces/ns/configmaps/a", func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Type", "application/json")
			w.WriteHeader(int(status.Code))
			_ = json.NewEncoder(w).Encode(status)
		})
		_, err := target.Live(t.Context(), place)
		var f *fault.Error
		if !errors.As(err, &f) || f.Code != want || f.Message != status.Message || status.Code == 422 && (len(f.Fields) != 1 || f.Fields[0].Reason != "is odd") {
			t.Errorf("%d became %v %+v", status.Code, err, f)
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	s.on("GET /api/v1/namespaces/ns/configmaps/a", func(http.ResponseWriter, *http.Request) { cancel() })
	if _, err := target.Live(ctx, place); !fault.Is(err, fault.Unavailable) || !strings.Contains(err.Error(), "may have been done") {
		t.Errorf("got %v", err)
	}
}

func TestVersionsAreWrittenIntoWhatIsSent(t *testing.T) {
	for _, c := range []struct{ media, text, want string }{
		{"application/merge-patch+json", `{"data":{"n":12345678901234567890}}`, `{"data":{"n":12345678901234567890},"metadata":{"resourceVersion":"7"}}`},
		{"application/strategic-merge-patch+json", `{"metadata":{"labels":{"a":"b"}}}`, `{"metadata":{"labels":{"a":"b"},"resourceVersion":"7"}}`},
		{"application/json-patch+json", `[{"op":"remove","path":"/a"}]`, `[{"op":"replace","path":"/metadata/resourceVersion","value":"7"},{"op":"remove","path":"/a"}]`},
		{"application/apply-patch+yaml", "kind: A\nmetadata:\n", `{"kind":"A","metadata":{"resourceVersion":"7"}}`},
		{"application/merge-patch+json", `[]`, ""}, {"application/json-patch+json", `{}`, ""}, {"application/merge-patch+json", `null`, ""},
	} {
		got, err := patchWithVersion([]byte(c.text), c.media, "7")
		if string(got) != c.want || (c.want == "") != fault.Is(err, fault.BadRequest) {
			t.Errorf("%s %s: got %s, %v", c.media, c.text, got, err)
		}
		if same, err := patchWithVersion([]byte(c.text), c.media, ""); err != nil || string(same) != c.text {
			t.Errorf("%s was changed: %s, %v", c.text, same, err)
		}
	}
}
