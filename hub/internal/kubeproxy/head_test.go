package kubeproxy_test

import (
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"

	"k8s.io/client-go/rest"

	"github.com/kubilitics/kubilitics/hub/internal/store"
)

// said has an agent answer byte by byte.
func said(text string) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		c, _, err := http.NewResponseController(w).Hijack()
		if err != nil {
			return
		}
		_, _ = io.WriteString(c, text)
		_ = c.Close()
	}
}

// What an agent in strange hands says instead of an answer is no answer, and it is on record that there was none.
func TestAnAnswerThatIsNone(t *testing.T) {
	const switched = "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\nbytes"
	for _, text := range []string{"HTTP/1.1 101 Switching Protocols\r\n\r\nbytes", switched, "HTTP/1.1 000 no\r\n\r\n", "HTTP/1.1 042 no\r\n\r\n"} {
		for _, method := range []string{"POST", "GET"} {
			r := newRig(t)
			r.cluster("eu-1", said(text))
			code, body := r.do(method, pods, strings.NewReader("{}"))
			if s := statusOf(t, body); code != 503 || !strings.Contains(s.Message, "answer") {
				t.Errorf("%s, %.15q: %d %s", method, text, code, s.Message)
			}
			eventually(t, "it is on record", func() bool { all := r.audit.all(); return len(all) == 1 && all[0].Outcome != store.AuditOpen })
			if a := r.audit.all()[0]; a.Status != 503 || a.Outcome != store.AuditFailed {
				t.Errorf("%s, %.15q: on record is %+v", method, text, a)
			}
		}
	}
}

// Clients take their token, and a change's body, wherever they are sent: a cluster must not send them to a stranger, nor to another cluster.
func TestNobodyIsSentElsewhere(t *testing.T) {
	r := newRig(t)
	var stolen atomic.Int64
	thief := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { stolen.Add(1) }))
	t.Cleanup(thief.Close)
	r.cluster("eu-1", func(w http.ResponseWriter, req *http.Request) {
		http.Redirect(w, req, thief.URL, http.StatusTemporaryRedirect)
	})
	client, err := rest.HTTPClientFor(&rest.Config{BearerToken: "of the hub"}) // as kubectl has it
	if err != nil {
		t.Fatal(err)
	}
	for _, method := range []string{"GET", "DELETE", "PUT"} {
		req, err := http.NewRequestWithContext(t.Context(), method, r.hub.URL+pods+"/a", strings.NewReader("{}"))
		if err != nil {
			t.Fatal(err)
		}
		resp, err := client.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		text, _ := io.ReadAll(resp.Body)
		_ = resp.Body.Close()
		if s := statusOf(t, string(text)); s.Code != 503 || !strings.Contains(s.Message, "somewhere else") {
			t.Errorf("%s: %+v", method, s)
		}
	}
	client.CloseIdleConnections()
	if stolen.Load() != 0 {
		t.Error("the token went to a stranger")
	}
}

// What a pod, a service or a node serves may lead around within itself, by whatever path the client knows the cluster.
func TestWhereAnAnswerMayLead(t *testing.T) {
	r := newRig(t)
	r.cluster("eu-1", func(w http.ResponseWriter, req *http.Request) {
		w.Header().Set("Location", req.Header.Get("To"))
		w.WriteHeader(http.StatusFound)
	})
	r.client.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	const web = "/api/v1/namespaces/shop/services/http:web:80/proxy"
	for _, c := range []struct{ at, to, want string }{
		{web, web + "/", "./proxy/"},
		{web + "/", web + "/login?next=%2Fa#top", "./login?next=%2Fa#top"},
		{web + "/a/b?x=1", web + "/login", "./../login"},
		{web + "/a/b", "c", "./c"},
		{web + "/a", web + "/x:y/z", "./x:y/z"},
		{web + "/a", web + "/sp%20ace", "./sp%20ace"},
		{web + "/a/b/", web, "./../../../proxy"},
		{"/api/v1/nodes/n/proxy/logs", "/api/v1/nodes/n/proxy/logs/", "./logs/"},

		{web, "https://thief.example/", ""},
		{web, "//thief.example" + web + "/", ""},
		{web, `/\thief.example/`, ""},
		{web, "/api/v1/namespaces/shop/services/other/proxy/", ""},
		{web, "/api/v1/namespaces/shop/pods/http:web:80/proxy/", ""},
		{web, "/api/v1/namespaces/kube-system/services/http:web:80/proxy/", ""},
		{web, web + "/%2e%2e/%2e%2e/x", ""},
		{web, "/k8s/clusters/other/api/v1/secrets", ""},
		{web, "javascript:alert(1)", ""},
		{pods + "/a", pods + "/b", ""},
		{pods + "/a", "b", ""},
		{"/version", "/version/", ""},
		{"/apis/sub.example/v1/namespaces/shop/things/a/proxy", "/apis/sub.example/v1/namespaces/shop/things/a/proxy/", ""},
	} {
		resp, err := r.send(t.Context(), "GET", c.at, nil, "To", c.to)
		if err != nil {
			t.Fatal(err)
		}
		_ = resp.Body.Close()
		if code, got := resp.StatusCode, resp.Header.Get("Location"); got != c.want || (code == 302) != (c.want != "") || code != 302 && code != 503 {
			t.Errorf("%s to %s: %d %q, want %q", c.at, c.to, code, got, c.want)
		}
		there, err := resp.Request.URL.Parse(c.want)
		if want := c.to; c.want != "" && strings.HasPrefix(want, "/") && (err != nil || strings.TrimPrefix(there.String(), r.hub.URL) != want) {
			t.Errorf("%s from %s leads to %s, %v", c.want, c.at, there, err)
		}
	}
}

// A cluster says nothing of the origin that all clusters share.
func TestAClusterSpeaksForItself(t *testing.T) {
	ofOrigins := []string{"Set-Cookie", "Clear-Site-Data", "Strict-Transport-Security", "Alt-Svc"}
	r := newRig(t)
	r.cluster("eu-1", func(w http.ResponseWriter, _ *http.Request) {
		for _, name := range append([]string{"Warning", "Etag"}, ofOrigins...) {
			w.Header()[name] = []string{"a=b", "c=d"}
		}
	})
	resp, err := r.send(t.Context(), "GET", pods, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	for _, name := range ofOrigins {
		if resp.Header.Get(name) != "" {
			t.Errorf("passed on: %s", name)
		}
	}
	if len(resp.Header.Values("Warning")) != 2 || len(resp.Header.Values("Etag")) != 2 {
		t.Errorf("not passed on: %v", resp.Header)
	}
}
