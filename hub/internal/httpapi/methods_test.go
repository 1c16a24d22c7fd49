package httpapi

import (
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/kubilitics/kubilitics/hub/internal/query/querytest"
	"github.com/kubilitics/kubilitics/shared/topo"
)

func TestHeadIsGetWithoutABody(t *testing.T) {
	r := newRig(t, options{})
	for _, path := range []string{"/healthz", "/api/v1/clusters", "/api/v1/resources?kind=Pod", "/api/v1/clusters/{shop}/topology/export?format=json", "/metrics", "/api/v1/nothing"} {
		get, head := r.get(r.admin, path), r.do(r.admin, http.MethodHead, path, "")
		if head.status != get.status || head.text != "" || head.header.Get("Content-Type") != get.header.Get("Content-Type") || head.header.Get("ETag") != get.header.Get("ETag") {
			t.Errorf("%s: GET is %d %v, HEAD is %d %v with %q", path, get.status, get.header, head.status, head.header, head.text)
		}
	}
	r.do("", http.MethodHead, "/api/v1/clusters", "").expect(t, 401)
	tag := r.get(r.admin, "/api/v1/clusters").header.Get("ETag")
	a := r.do(r.admin, http.MethodHead, "/api/v1/clusters", "", "If-None-Match", tag)
	if a.expect(t, 304); !slices.Equal(a.header.Values("Cache-Control"), []string{"private, no-cache"}) {
		t.Errorf("a 304 may be kept as %q says", a.header.Values("Cache-Control"))
	}
}

func TestWrongMethodsAreToldTheRightOnes(t *testing.T) {
	r := newRig(t, options{})
	for what, allow := range map[string]string{
		"PUT /api/v1/clusters": "GET, HEAD, POST", "POST /healthz": "GET, HEAD", "HEAD /api/v1/stream": "GET", "HEAD /api/v1/clusters/{shop}/logs": "GET",
		"GET /api/v1/clusters/{shop}/verify": "POST", "POST /api/v1/clusters/{shop}": "GET, HEAD, PATCH, DELETE",
	} {
		method, path, _ := strings.Cut(what, " ")
		a := r.do(r.admin, method, path, "")
		if got := a.header.Get("Allow"); a.status != 405 || got != allow {
			t.Errorf("%s: %d, allowed %q, want %q", what, a.status, got, allow)
		}
	}
}

func TestConditionsAreNotIgnored(t *testing.T) {
	r := newRig(t, options{})
	r.do(r.admin, "PATCH", "/api/v1/clusters/{shop}", `{"name":"other"}`, "If-Match", `"1"`).expect(t, 400, `"name":"If-Match"`)
	r.do(r.admin, "DELETE", "/api/v1/clusters/{shop}", "", "If-Match", "*").expect(t, 400, `"name":"If-Match"`)
	r.get(r.admin, "/api/v1/clusters/{shop}").expect(t, 200, `"name":"shop"`)
}

func TestFieldsAreLeftOut(t *testing.T) {
	r := newRig(t, options{})
	a := r.get(r.admin, "/api/v1/resources?kind=Pod&limit=2&fields=name,health")
	a.expect(t, 200, `"items":[{"health":"unknown","name":"vault"},{"health":"ok","name":"web-a"}]`, `"total":{"count":3,"exact":true}`, `"position":`, `"freshness":`)
	next := r.get(r.admin, "/api/v1/resources?kind=Pod&limit=2&fields=name&continue="+a.json["continue"].(string))
	next.expect(t, 200, `"items":[{"name":"web-b"}]`)
	r.get(r.admin, "/api/v1/clusters/{shop}/resources/-/-/pods?fields=status&name=web-b").expect(t, 200, `"items":[{"status":`)
	r.get(r.admin, "/api/v1/resources?fields=nmae").expect(t, 400, `"fields`)
	r.get(r.admin, "/api/v1/resources?fields=name&fields=uid").expect(t, 400, "2 times")
	r.shop.Apply(topo.Delta{Nodes: []topo.Node{querytest.Node("Pod shop/new")}})
	r.get(r.admin, "/api/v1/resources?name=new&fields=created,name").expect(t, 200, `"name":"new"`)
}
