package kube

import (
	"bufio"
	"bytes"
	"net/http"
	"net/url"
	"path"
	"reflect"
	"slices"
	"strings"
	"testing"

	"k8s.io/apiserver/pkg/endpoints/request"

	"github.com/kubilitics/kubilitics/shared/fault"
)

// line reads a request from its first line, as a server does.
func line(t testing.TB, method, target string, header ...string) *http.Request {
	text := method + " " + target + " HTTP/1.1\r\nHost: cluster\r\n" + strings.Join(append(header, "\r\n"), "\r\n")
	r, err := http.ReadRequest(bufio.NewReader(strings.NewReader(text)))
	if err != nil {
		t.Skipf("no server would read it: %v", err)
	}
	return r
}

// is writes what a Request tells of itself, shortly.
func is(q Request) string {
	var words []string
	for word, holds := range map[string]bool{
		"reads": q.Reads(), "connects": q.Connects(), "secret": q.Secret(), "lasts": q.Lasts(), "self": q.AsksOfSelf(), "describes": q.Describes(),
	} {
		if holds {
			words = append(words, word)
		}
	}
	slices.Sort(words)
	return strings.Join(words, " ")
}

func TestParse(t *testing.T) {
	ws := []string{"Connection: keep-alive, Upgrade", "Upgrade: websocket"}
	for _, c := range []struct {
		method, target string
		header         []string
		want           string // verb group/version resource/subresource namespace name
		is             string
	}{
		{"GET", "/api/v1/pods?limit=500", nil, "list /v1 pods/  ", "reads"},
		{"GET", "/api/v1/pods/?watch=true", nil, "watch /v1 pods/  ", "lasts reads"},
		{"GET", "/api/v1/pods?watch", nil, "watch /v1 pods/  ", "lasts reads"},
		{"GET", "/api/v1/pods?watch=0", nil, "list /v1 pods/  ", "reads"},
		{"GET", "/api/v1/watch/namespaces/a/secrets/s", nil, "watch /v1 secrets/ a s", "lasts reads secret"},
		{"GET", "/api/v1/namespaces/a/pods/p", nil, "get /v1 pods/ a p", "reads"},
		{"HEAD", "/api/v1/namespaces/a/pods/p", nil, "get /v1 pods/ a p", "reads"},
		{"GET", "/api/v1/namespaces/a/pods?fieldSelector=metadata.name%3Dp", nil, "list /v1 pods/ a p", "reads"},
		{"GET", "/api/v1/namespaces/a/pods/p/log?follow=true", nil, "get /v1 pods/log a p", "lasts reads"},
		{"GET", "/api/v1/namespaces/a/pods/p/log?follow=", nil, "get /v1 pods/log a p", "lasts reads"},
		{"GET", "/api/v1/namespaces/a/pods/p/log?follow=false", nil, "get /v1 pods/log a p", "reads"},
		{"GET", "/api/v1/namespaces/a/pods/p/log", ws, "get /v1 pods/log a p", "reads"},
		{"GET", "/api/v1/pods?watch=1", ws, "watch /v1 pods/  ", "lasts reads"},
		{"GET", "/api/v1/namespaces/a/pods/p/exec?command=sh", ws, "get /v1 pods/exec a p", "connects lasts"},
		{"POST", "/api/v1/namespaces/a/pods/p/portforward", []string{"Connection: upgrade", "Upgrade: SPDY/3.1"}, "create /v1 pods/portforward a p", "connects lasts"},
		{"GET", "/api/v1/nodes/n/proxy/metrics", nil, "get /v1 nodes/proxy  n", "connects lasts"},
		{"OPTIONS", "/api/v1/namespaces/a/services/https:s:443/proxy/x%2Fy//z?a;b", nil, "options /v1 services/proxy a https:s:443", "connects lasts"},
		{"GET", "/api/v1/proxy/namespaces/a/pods/p", nil, "proxy /v1 pods/ a p", "connects lasts"},
		{"GET", "/apis/subresources.kubevirt.io/v1/namespaces/a/virtualmachineinstances/v/console", ws, "get subresources.kubevirt.io/v1 virtualmachineinstances/console a v", "connects lasts"},
		{"POST", "/api/v1/namespaces/a/serviceaccounts/s/token", nil, "create /v1 serviceaccounts/token a s", "secret"},
		{"GET", "/apis/example.com/v1/secrets", nil, "list example.com/v1 secrets/  ", "reads"},
		{"POST", "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews", nil, "create authorization.k8s.io/v1 selfsubjectaccessreviews/  ", "self"},
		{"POST", "/apis/authorization.k8s.io/v1/subjectaccessreviews", nil, "create authorization.k8s.io/v1 subjectaccessreviews/  ", ""},
		{"DELETE", "/apis/apps/v1/namespaces/a/deployments", nil, "deletecollection apps/v1 deployments/ a ", ""},
		{"PATCH", "/api/v1/namespaces/a/status", nil, "patch /v1 namespaces/status a a", ""},
		{"GET", "/apis/rbac.authorization.k8s.io/v1/clusterroles/system:node", nil, "get rbac.authorization.k8s.io/v1 clusterroles/  system:node", "reads"},
		{"GET", "/", nil, "get / /  ", "describes reads"},
		{"GET", "/openapi/v3/apis/apps/v1?hash=1", nil, "get / /  ", "describes reads"},
		{"GET", "/livez/etcd", nil, "get / /  ", "describes reads"},
		{"GET", "/metrics", nil, "get / /  ", "reads"},
		{"POST", "/apis", nil, "post / /  ", ""},
	} {
		q, err := Parse(line(t, c.method, c.target, c.header...))
		got := q.Verb + " " + q.Group + "/" + q.Version + " " + q.Resource + "/" + q.Subresource + " " + q.Namespace + " " + q.Name
		if err != nil || got != c.want || is(q) != c.is {
			t.Errorf("%s %s: %q, it %q (%v); want %q, it %q", c.method, c.target, got, is(q), err, c.want, c.is)
		}
	}
}

func TestParseRefuses(t *testing.T) {
	for target, says := range map[string]string{
		"/api/v1/namespaces/a/pods/../secrets":                    "dots",
		"/api/v1/namespaces/a/pods/%2e%2E/secrets":                "dots",
		"/api/v1/namespaces/a/pods/.":                             "dots",
		"/api/v1/namespaces/a%2Fsecrets":                          "encoded slash",
		"/api/v1/namespaces/a%252fsecrets":                        "encoded slash",
		"/%2Fapi/v1/pods":                                         "encoded slash",
		"//api/v1/pods":                                           "empty segment",
		"/api/v1//pods":                                           "empty segment",
		"/api/v1/pods//":                                          "empty segment",
		"/api/v1/namespaces/proxy/pods/a%2Fb":                     "encoded slash",
		"/apis/x/v1/namespaces/a/services/s/proxy/a%2Fb":          "encoded slash",
		"/api/v1/namespaces/a/services/s/proxy/../../pods":        "dots",
		"/api/v1/namespaces/a/services/s/proxy/x%2f..%2F..%2Fy":   "dots",
		"/api/v1/namespaces/a/services/s/proxy/%252e%252e/secret": "dots",
		"/api/v1/namespaces/a/services/s/proxy/..%252f..":         "dots",
		"/api/v1/namespaces/a/services/s/proxy/..%5c..":           "character",
		"/api/v1/pods%00":                                         "character",
		"*":                                                       "",
		"/api/v1/watch/":                                          "can't be read",
	} {
		if _, err := Parse(line(t, "OPTIONS", target)); !fault.Is(err, fault.BadRequest) || !strings.Contains(err.Error(), says) {
			t.Errorf("%s: %v, want a refusal that speaks of %q", target, err, says)
		}
	}
	for _, r := range []*http.Request{
		line(t, "CONNECT", "cluster:443"), line(t, "TRACE", "/api"), line(t, "POST", "/api/v1/watch/pods"),
		line(t, "GET", "/api", "Connection: Upgrade, HTTP2-Settings", "Upgrade: h2c", "HTTP2-Settings: AAMAAABk"),
		line(t, "GET", "/api", "Connection: upgrade", "Upgrade: websocket", "Upgrade: h2c"),
		line(t, "GET", "/api", "Connection: upgrade"),
	} {
		if _, err := Parse(r); !fault.Is(err, fault.BadRequest) {
			t.Errorf("%s %s %v: %v", r.Method, r.URL, r.Header, err)
		}
	}
}

// FuzzParse: what is accepted is read in the same way by the API server from what is forwarded, stays where it was, and says of itself what the API
// server would do.
func FuzzParse(f *testing.F) {
	for _, target := range []string{
		"/api/v1/pods?watch=1&fieldSelector=metadata.name%3Dx", "/api/v1/namespaces/a/services/s/proxy/a%2Fb//c%2e", "/api/v1/watch/namespaces/a/secrets/b",
		"/apis/apps/v1/namespaces/a/deployments/d/scale", "/a%2fb/../c//d;e", "/openapi/v2", "/api/v1/namespaces/proxy/pods/%2e%2e", "/api/v1/nodes/n/proxy/%252e%252e",
		"http://other/api/v1/secrets", "/api/v1/%73ecrets", "/api/v1/pods/p/log?follow=&follow=0", "/api/v1/proxy/nodes/n", "/api/v1/pods?a;b&%zz=1", "//api/v1/x",
	} {
		for _, method := range []string{"GET", "DELETE"} {
			f.Add(method, target)
		}
	}
	f.Fuzz(func(t *testing.T, method, target string) {
		if strings.ContainsAny(method+target, "\r\n ") {
			t.Skip("not one request line")
		}
		r := line(t, method, target)
		q, err := Parse(r)
		if err != nil {
			if !fault.Is(err, fault.BadRequest) {
				t.Fatalf("%q is refused by %v", target, err)
			}
			return
		}
		theirs := forwarded(t, r)
		info, err := reader.NewRequestInfo(theirs)
		if err != nil {
			t.Fatalf("%q: the API server can't read what is forwarded: %v", target, err)
		}
		if got := requestOf(info, q); !reflect.DeepEqual(got, q) {
			t.Fatalf("%q: decided on %+v, the API server reads %+v", target, q, got)
		}
		if again, err := Parse(theirs); err != nil || again != q {
			t.Fatalf("%q: read again it is %+v, %v", target, again, err)
		}
		if cleaned := path.Clean(q.Path); q.Resource != "" && !q.Connects() && strings.TrimSuffix(q.Path, "/") != cleaned {
			t.Fatalf("%q: the path %q is another one to whoever cleans it", target, q.Path)
		}
		if !stays(q.Path, theirs.URL) {
			t.Fatalf("%q leads out of the path that was decided on", target)
		}
	})
}

// forwarded sends a request over the wire as a proxy does.
func forwarded(t *testing.T, r *http.Request) *http.Request {
	out := r.Clone(t.Context())
	out.URL.Scheme, out.URL.Host, out.RequestURI, out.Body = "https", "api", "", nil
	var wire bytes.Buffer
	if err := out.Write(&wire); err != nil {
		t.Fatal(err)
	}
	theirs, err := http.ReadRequest(bufio.NewReader(&wire))
	if err != nil {
		t.Fatalf("what is forwarded can't be read: %v", err)
	}
	return theirs
}

// requestOf takes over what Parse itself adds.
func requestOf(i *request.RequestInfo, q Request) Request {
	out := Request{Verb: i.Verb, Path: i.Path, Follows: q.Follows, Makes: q.Makes, Upgrades: q.Upgrades}
	if i.Verb == "" {
		out.Verb = "options"
	}
	if i.IsResourceRequest {
		out.Group, out.Version, out.Resource, out.Subresource, out.Namespace, out.Name = i.APIGroup, i.APIVersion, i.Resource, i.Subresource, i.Namespace, i.Name
	}
	return out
}

// stays tells whether a path means the same place to one who decodes twice and cleans.
func stays(decided string, u *url.URL) bool {
	twice, err := url.PathUnescape(u.Path)
	if err != nil {
		twice = u.Path
	}
	prefix, _, proxied := strings.Cut(decided, "/proxy/")
	if !proxied {
		prefix = strings.TrimSuffix(decided, "/")
	}
	prefix = path.Clean("/" + prefix)
	return prefix == "/" || strings.HasPrefix(path.Clean(twice)+"/", prefix+"/")
}
