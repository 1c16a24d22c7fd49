package kubeserve

import (
	"encoding/json"
	"maps"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/kubilitics/kubilitics/shared/kube"
)

// statusOf reads an answer as a client of Kubernetes does.
func statusOf(t *testing.T, text string) metav1.Status {
	t.Helper()
	var s metav1.Status
	if err := json.Unmarshal([]byte(text), &s); err != nil || s.Kind != "Status" {
		t.Fatalf("no Status: %q", text)
	}
	return s
}

func TestAccess(t *testing.T) {
	requests := []struct{ method, path, from string }{ // from: the first step of access that lets it pass
		{"GET", "/api/v1/pods?watch=1", "read"},
		{"GET", "/api/v1/namespaces/a/pods/p/log?follow=1", "read"},
		{"GET", "/version", "read"},
		{"POST", "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews", "read"},
		{"GET", "/api/v1/secrets", "operate"},
		{"GET", "/api/v1/watch/secrets", "operate"},
		{"GET", "/api/v1/nodes/n/proxy/metrics", "operate"},
		{"GET", "/api/v1/namespaces/a/pods/p/exec?command=sh", "operate"},
		{"POST", "/api/v1/namespaces/a/serviceaccounts/s/token", "operate"},
		{"POST", "/apis/authorization.k8s.io/v1/subjectaccessreviews", "operate"},
		{"DELETE", "/api/v1/pods", "operate"},
		{"PATCH", "/apis/apps/v1/namespaces/a/deployments/d/scale", "operate"},
	}
	for i, step := range Steps {
		reached := 0
		r := newRig(t, step, func(http.ResponseWriter, *http.Request) { reached++ })
		for _, q := range requests {
			reached = 0
			resp, text := r.ask(t, request(t.Context(), q.method, q.path, ""))
			passes := i >= slices.Index(Steps, Access(q.from))
			if passes && (resp.StatusCode != 200 || reached != 1) || !passes && (resp.StatusCode != 403 || reached != 0) {
				t.Errorf("%s: %s %s: %s, reached %d times", step, q.method, q.path, resp.Status, reached)
			}
			if s := text; !passes && !strings.Contains(statusOf(t, s).Message, `the agent's key "access" is "`+string(step)+`"`) {
				t.Errorf("%s: %s %s: %s", step, q.method, q.path, text)
			}
		}
		r.stop()
	}
}

// personal is what of an API server's request says whose it is.
func personal(h http.Header) http.Header {
	out := http.Header{}
	for name, values := range h {
		if !slices.Contains([]string{"Accept", "Content-Length"}, name) {
			out[name] = values
		}
	}
	return out
}

func TestIdentity(t *testing.T) {
	var seen http.Header
	serve := func(_ http.ResponseWriter, r *http.Request) { seen = personal(r.Header) }
	token := []string{"Bearer the-agents-own"}
	for _, c := range []struct {
		name   string
		access Access
		sent   http.Header
		status int
		seen   http.Header
	}{
		{"as a user", Impersonate, http.Header{"Kubilitics-User": {"ann"}, "Kubilitics-Group": {"ops", "Dev team", ""}, "Kubilitics-Request": {"req-1"}}, 200,
			http.Header{"Authorization": token, "Impersonate-User": {"kubilitics:ann"}, "Impersonate-Group": {"kubilitics:ops", "kubilitics:Dev team"}, "Audit-Id": {"req-1"}}},
		{"as the agent", Operate, http.Header{"Kubilitics-User": {"ann"}, "Kubilitics-Group": {"ops"}}, 200, http.Header{"Authorization": token}},
		{"what a client says of itself", Impersonate, http.Header{
			"Kubilitics-User": {"ann"}, "Authorization": {"Bearer x"}, "Impersonate-User": {"root"}, "Impersonate-Group": {"system:masters"}, "Impersonate-Uid": {"0"},
			"Impersonate-Extra-A": {"b"}, "X-Remote-User": {"root"}, "X-Forwarded-For": {"::1"}, "Cookie": {"a=b"}, "Audit-Id": {"mine"}, "Kubilitics-Request": {"no id"},
		}, 200, http.Header{"Authorization": token, "Impersonate-User": {"kubilitics:ann"}}},
		{"nobody", Operate, http.Header{}, 500, nil},
		{"blank", Impersonate, http.Header{"Kubilitics-User": {" "}}, 500, nil},
		{"two", Impersonate, http.Header{"Kubilitics-User": {"ann", "bob"}}, 500, nil},
		{"a header of the connection", Impersonate, http.Header{"Kubilitics-User": {"ann"}, "Connection": {"Impersonate-User"}}, 400, nil},
		{"an encoded slash", Operate, http.Header{"Kubilitics-User": {"ann"}, "X-Path": {"/api/v1/pods%2Fx"}}, 400, nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := newRig(t, c.access, serve)
			defer r.stop()
			seen = nil
			req := request(t.Context(), "GET", "/api/v1/pods", "")
			if p := c.sent.Get("X-Path"); p != "" {
				req = request(t.Context(), "GET", p, "")
			}
			req.Header = c.sent
			req.Header["User-Agent"] = []string{""}
			resp, text := r.ask(t, req)
			if resp.StatusCode != c.status || !maps.EqualFunc(seen, c.seen, slices.Equal) {
				t.Errorf("%s %s\nseen %v\nwant %v", resp.Status, text, seen, c.seen)
			}
		})
	}
}

func TestNobodyBecomesTheClusterItself(t *testing.T) {
	for prefix, names := range map[string][]string{"": {"system:admin", " System:masters", "system:serviceaccount:kube-system:x"}, "sys": {"tem:masters"}} {
		r := newRigOn(t, Config{REST: restOf(newAPI(t, func(http.ResponseWriter, *http.Request) { t.Error("forwarded") })), Access: Impersonate, Prefix: prefix})
		for _, name := range names {
			for _, header := range []string{kube.UserHeader, kube.GroupHeader} {
				req := request(t.Context(), "GET", "/api/v1/pods", "")
				req.Header.Set(header, name)
				if resp, text := r.ask(t, req); resp.StatusCode != 403 {
					t.Errorf("%q as %s: %s %s", prefix+name, header, resp.Status, text)
				}
			}
		}
		r.stop()
	}
}

func TestAnAPIServerThatCannotBeReached(t *testing.T) {
	api := newAPI(t, nil)
	r := newRigOn(t, Config{REST: restOf(api), Access: Operate})
	api.Close()
	for _, path := range []string{"/api/v1/pods", "/api/v1/pods?watch=1", "/api/v1/namespaces/a/pods/p/exec"} {
		began := time.Now()
		resp, text := r.ask(t, request(t.Context(), "GET", path, ""))
		s := statusOf(t, text)
		if resp.StatusCode != 503 || s.Reason != metav1.StatusReasonServiceUnavailable || !strings.HasPrefix(s.Message, "the agent can't reach its API server: ") ||
			resp.Header.Get("Retry-After") != "" || time.Since(began) > time.Second {
			t.Errorf("%s: %s after %s, %v: %s", path, resp.Status, time.Since(began), resp.Header, text)
		}
	}
}

func TestTheAgentsOwnCredentialsRefused(t *testing.T) {
	r := newRig(t, Operate, func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(401) })
	if resp, text := r.ask(t, request(t.Context(), "GET", "/api", "")); resp.StatusCode != 503 || !strings.Contains(text, "credentials of the cluster's agent") {
		t.Errorf("%s %s", resp.Status, text)
	}
	if resp, _ := r.ask(t, request(t.Context(), "GET", "/api/v1/namespaces/a/services/s/proxy/", "")); resp.StatusCode != 401 {
		t.Errorf("a service's own refusal became %s", resp.Status)
	}
}

// TestBasePath: an API server may stand below a path, as behind another proxy.
func TestBasePath(t *testing.T) {
	var seen string
	api := newAPI(t, func(_ http.ResponseWriter, r *http.Request) { seen = r.RequestURI })
	cfg := restOf(api)
	cfg.Host += "/clusters/one/"
	r := newRigOn(t, Config{REST: cfg, Access: Operate})
	path := "/api/v1/namespaces/a/services/s/proxy/x%2Fy//z?a;b&%zz"
	if r.ask(t, request(t.Context(), "GET", path, "")); seen != "/clusters/one"+path {
		t.Errorf("seen %q", seen)
	}
}
