package httpapi

import (
	"context"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/coder/websocket"

	"github.com/kubilitics/kubilitics/hub/internal/fleet"
	"github.com/kubilitics/kubilitics/hub/internal/kubeproxy"
	"github.com/kubilitics/kubilitics/hub/internal/ops"
	"github.com/kubilitics/kubilitics/hub/internal/pods"
	"github.com/kubilitics/kubilitics/shared/fault"
	"github.com/kubilitics/kubilitics/shared/kube"
)

func TestFormsOfLogs(t *testing.T) {
	at := time.Date(2026, 3, 1, 10, 0, 0, 5, time.UTC)
	entries := []pods.Entry{
		{Time: at, Pod: "web-1", Container: "app", Text: `<a> "b"`},
		{Time: at.Add(1), Pod: "web-1", Container: "app", Text: "long ", Partial: true},
		{Time: at.Add(1), Pod: "web-1", Container: "app", Text: "line"},
		{Time: at.Add(2), Pod: "web-1", Container: "app", Text: "cut ", Partial: true},
		{Kind: pods.Failed, Time: at.Add(3), Pod: "web-2", Container: "app", Text: "no\nsuch"},
		{Time: at.Add(1), Pod: "web-2", Container: "app", Text: "late"},
		{Kind: pods.Limited, Time: at.Add(3), Text: "60 are meant"},
	}
	for name, c := range map[string]struct {
		o    logWriter
		want string
	}{
		"text":  {logWriter{format: "text", prefix: true}, "web-1 app <a> \"b\"\nweb-1 app long line\nweb-1 app cut \n# web-2 app failed: no such\nweb-2 app late\n# limited: 60 are meant\n"},
		"times": {logWriter{format: "text", times: true}, "2026-03-01T10:00:00.000000005Z <a> \"b\"\n2026-03-01T10:00:00.000000006Z long line\n"},
		"ndjson": {logWriter{format: "ndjson"}, `{"time":"2026-03-01T10:00:00.000000005Z","pod":"web-1","container":"app","line":"<a> \"b\""}
{"time":"2026-03-01T10:00:00.000000006Z","pod":"web-1","container":"app","line":"long ","partial":true}
`},
		"sse": {logWriter{format: "sse"}, `id: 2026-03-01T10:00:00.000000005Z
event: line
data: {"time":"2026-03-01T10:00:00.000000005Z","pod":"web-1","container":"app","line":"<a> \"b\""}

event: line
data: {"time":"2026-03-01T10:00:00.000000006Z","pod":"web-1","container":"app","line":"long ","partial":true}

id: 2026-03-01T10:00:00.000000006Z
`},
	} {
		for _, e := range entries {
			c.o.entry(e)
		}
		if got := c.o.buffer.String(); !strings.HasPrefix(got, c.want) {
			t.Errorf("%s:\n%s\nwant:\n%s", name, got, c.want)
		}
	}
	for accept, want := range map[string]string{"": "text", "*/*": "text", "text/event-stream": "sse", "application/json;q=0.1, application/x-ndjson": "ndjson"} {
		if got := (&logsInput{Accept: accept}).format(); got != want {
			t.Errorf("%q: %s", accept, got)
		}
	}
}

func TestWhatLastsIsKnownByItsPath(t *testing.T) {
	for path, want := range map[string]bool{
		"/api/v1/stream": true, "/ws/v1/stream": true, "/api/v1/clusters/c1/logs": true, "/api/v1/clusters/c1/exec": true, "/api/v1/clusters/c1/portforward": true,
		"/api/v1/clusters/c1/logs/x": false, "/api/v1/clusters/logs": false, "/api/v1/clusters": false, "/api/v1/clusters/c1/resources": false,
	} {
		if lasts(path) != want {
			t.Errorf("%s: %t", path, !want)
		}
	}
}

// cluster answers what pods ask of one.
type cluster func(r *http.Request) (int, string)

func (c cluster) Transport(kubeproxy.Caller, fleet.ClusterID) http.RoundTripper { return c }

func (c cluster) RoundTrip(r *http.Request) (*http.Response, error) {
	w := httptest.NewRecorder()
	status, text := c(r)
	if status >= 400 {
		kube.WriteStatus(w, fault.New(map[int]fault.Code{403: fault.Forbidden, 404: fault.NotFound, 503: fault.Unavailable}[status], "%s", text))
	} else {
		_, _ = w.WriteString(text)
	}
	return w.Result(), nil
}

func TestPodsOverHTTP(t *testing.T) {
	c := cluster(func(r *http.Request) (int, string) {
		switch r.URL.Path {
		case "/api/v1/namespaces/shop/pods/web-a":
			return 200, `{"metadata":{"name":"web-a"},"spec":{"containers":[{"name":"app"}]},"status":{"containerStatuses":[{"name":"app","state":{"running":{}}}]}}`
		case "/api/v1/namespaces/shop/pods/web-a/log":
			return 200, "2026-03-01T10:00:00Z since " + r.URL.Query().Get("sinceSeconds") + " tail " + r.URL.Query().Get("tailLines") + "\n"
		case "/version":
			return 200, "{}"
		case "/apis/metrics.k8s.io/v1beta1/pods":
			return 503, "the server is currently unable to handle the request"
		default:
			return 403, "not that, said the cluster"
		}
	})
	r := newRig(t, options{api: func(cfg *Config) { cfg.Pods, cfg.Ops = pods.New(pods.Config{Kube: c}), ops.New(ops.Config{Kube: c}) }})
	const logs = "/api/v1/clusters/{shop}/logs?namespace=shop&pod="
	r.get(r.admin, logs+"web-a&since=5m&tail=3").expect(t, 200, "web-a app since 300 tail 3\n")
	r.get(r.admin, logs+"web-b").expect(t, 403, "FORBIDDEN", "not that, said the cluster")
	r.get(r.admin, logs+"web-a&since=soon").expect(t, 400, `"name":"since"`)
	r.get(r.admin, logs+"web-a&selector=app").expect(t, 400, "only one")
	r.get(r.admin, logs+"&owner=web").expect(t, 400, "must be Kind/name")
	r.get(r.admin, logs+"web-a&from=x").expect(t, 400, "is no parameter here")
	r.get(r.token("stranger", "get "+fleet.NewClusterID().String()+" *"), logs+"web-a").expect(t, 404, "there is no cluster")
	r.get(r.admin, "/api/v1/clusters/{shop}/metrics/pods").expect(t, 200, `"available":false`, `"cause":"unavailable"`, "unable to handle")
	r.get(r.admin, "/api/v1/clusters/{shop}/metrics/nodes").expect(t, 200, `"cause":"forbidden"`, `"items":[]`)
	r.get(r.admin, "/api/v1/clusters/{shop}/exec?namespace=shop&pod=web-a&command=ls").expect(t, 400, "needs a WebSocket")

	exec := "ws" + strings.TrimPrefix(r.url, "http") + r.expand("/api/v1/clusters/{shop}/exec?namespace=shop&pod=web-a&command=ls")
	header := http.Header{"Authorization": {"Bearer " + r.admin}, "Origin": {r.url}}
	conn, _, err := websocket.Dial(t.Context(), exec, &websocket.DialOptions{HTTPHeader: header})
	if err != nil {
		t.Fatal(err)
	}
	if _, _, err := conn.Read(t.Context()); websocket.CloseStatus(err) != 4403 || !strings.Contains(err.Error(), "not that, said the cluster") {
		t.Error(err)
	}
	header.Set("Origin", "https://elsewhere.example")
	if _, resp, err := websocket.Dial(t.Context(), exec, &websocket.DialOptions{HTTPHeader: header}); err == nil || resp.StatusCode != http.StatusForbidden {
		t.Errorf("a page from elsewhere: %v", err)
	}
}

func TestWhatLastsEndsWithItsPrincipal(t *testing.T) {
	a := &API{closing: make(chan struct{})}
	p := fleet.Principal{Name: "ann", Bindings: []fleet.Binding{{Verbs: []string{"get"}}}}
	now, err := p, error(nil)
	a.cfg.Recheck = func(context.Context, fleet.Principal) (fleet.Principal, error) { return now, err }
	for name, c := range map[string]struct {
		change func()
		ends   bool
	}{
		"nothing changes": {func() {}, false},
		"nobody knows":    {func() { err = fault.New(fault.Unavailable, "the database is away") }, false},
		"revoked":         {func() { err = fault.New(fault.Unauthorized, "revoked") }, true},
		"may do less":     {func() { err, now = nil, fleet.Principal{Name: "ann"} }, true},
	} {
		now, err = p, nil
		c.change()
		if got := a.still(t.Context(), p); (got != nil) != c.ends {
			t.Errorf("%s: %v", name, got)
		}
	}
	close(a.closing)
	ctx, end := a.guarded(t.Context())
	defer end()
	<-ctx.Done()
	if !fault.Is(context.Cause(ctx), fault.Unavailable) {
		t.Error(context.Cause(ctx))
	}
}
