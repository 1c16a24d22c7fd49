package kubeproxy

import (
	"net/http/httptest"
	"testing"

	"github.com/kubilitics/kubilitics/hub/internal/fleet"
	"github.com/kubilitics/kubilitics/shared/fault"
	"github.com/kubilitics/kubilitics/shared/kube"
)

// The roles of the table, in its order.
var roles = []struct {
	name     string
	bindings []fleet.Binding
}{
	{"everything", []fleet.Binding{{Verbs: []string{"*"}, Clusters: []string{"*"}, Namespaces: []string{"*"}}}},
	{"reader", []fleet.Binding{{Verbs: []string{"get", "list", "watch"}, Clusters: []string{"*"}, Namespaces: []string{"*"}}}},
	{"reader of shop", []fleet.Binding{{Verbs: []string{"get", "list", "watch"}, Clusters: []string{"{here}"}, Namespaces: []string{"shop"}}}},
	{"operator of shop", []fleet.Binding{{Verbs: []string{"get", "list", "watch", "create", "update", "patch", "delete", "exec"}, Clusters: []string{"{here}"}, Namespaces: []string{"shop"}}}},
	{"keeper of secrets", []fleet.Binding{{Verbs: []string{"get", "secrets"}, Clusters: []string{"{here}"}, Namespaces: []string{"shop"}}}},
	{"secrets alone", []fleet.Binding{{Verbs: []string{"secrets"}, Clusters: []string{"{here}"}, Namespaces: []string{"*"}}}},
	{"exec alone", []fleet.Binding{{Verbs: []string{"exec"}, Clusters: []string{"{here}"}, Namespaces: []string{"*"}}}},
	{"elsewhere", []fleet.Binding{{Verbs: []string{"*"}, Clusters: []string{"{there}"}, Namespaces: []string{"*"}}}},
}

func TestWhoMayWhat(t *testing.T) {
	// y passes, n is Forbidden, ? is NotFound: he who has nothing in a cluster may not know of it.
	for _, c := range []struct{ request, want string }{
		{"GET /api/v1/namespaces/shop/pods/a", "yyyyynn?"},
		{"GET /api/v1/namespaces/shop/pods", "yyyynnn?"},
		{"GET /api/v1/namespaces/shop/pods?watch=1", "yyyynnn?"},
		{"GET /api/v1/pods", "yynnnnn?"},
		{"GET /api/v1/namespaces/other/pods", "yynnnnn?"},
		{"GET /api/v1/nodes/a", "yynnnnn?"},
		{"GET /api/v1/namespaces/shop", "yyyyynn?"},
		{"GET /api/v1/namespaces/shop/pods/a/log?follow=true", "yyyyynn?"},
		{"POST /api/v1/namespaces/shop/pods", "ynnynnn?"},
		{"PUT /apis/apps/v1/namespaces/shop/deployments/a", "ynnynnn?"},
		{"PATCH /apis/apps/v1/namespaces/shop/deployments/a/scale", "ynnynnn?"},
		{"DELETE /api/v1/namespaces/shop/pods/a", "ynnynnn?"},
		{"DELETE /api/v1/namespaces/shop/pods", "ynnynnn?"},
		{"DELETE /api/v1/nodes/a", "ynnnnnn?"},
		{"POST /api/v1/namespaces/shop/pods/a/eviction", "ynnynnn?"},
		{"OPTIONS /api/v1/namespaces/shop/pods", "yyyyynn?"},

		{"POST /api/v1/namespaces/shop/pods/a/exec", "ynnynny?"},
		{"GET /api/v1/namespaces/shop/pods/a/exec", "ynnynny?"},
		{"GET /api/v1/namespaces/shop/pods/a/attach", "ynnynny?"},
		{"POST /api/v1/namespaces/shop/pods/a/portforward", "ynnynny?"},
		{"GET /api/v1/namespaces/shop/services/a/proxy/x", "ynnynny?"},
		{"GET /api/v1/nodes/a/proxy/metrics", "ynnnnny?"},

		{"GET /api/v1/namespaces/shop/secrets/a", "ynnnynn?"},
		{"GET /api/v1/namespaces/shop/secrets", "ynnnnnn?"},
		{"GET /api/v1/secrets", "ynnnnnn?"},
		{"POST /api/v1/namespaces/shop/secrets", "ynnnnnn?"},
		{"POST /api/v1/namespaces/shop/serviceaccounts/a/token", "ynnnnnn?"},

		{"GET /version", "yyyyynn?"},
		{"GET /", "yyyyynn?"},
		{"GET /apis", "yyyyynn?"},
		{"GET /openapi/v3/apis/apps/v1", "yyyyynn?"},
		{"GET /readyz", "yyyyynn?"},
		{"GET /metrics", "yynnnnn?"},
		{"GET /logs/kube-apiserver.log", "yynnnnn?"},
		{"POST /version", "ynnnnnn?"},
		{"POST /apis/authorization.k8s.io/v1/selfsubjectaccessreviews", "yyyyynn?"},
		{"POST /apis/authentication.k8s.io/v1/selfsubjectreviews", "yyyyynn?"},
		{"POST /apis/authorization.k8s.io/v1/subjectaccessreviews", "ynnnnnn?"},
	} {
		got := ""
		for _, role := range roles {
			got += verdict(t, c.request, role.bindings)
		}
		if got != c.want {
			t.Errorf("%-60s %s, want %s", c.request, got, c.want)
		}
	}
}

func verdict(t *testing.T, request string, bindings []fleet.Binding) string {
	t.Helper()
	here, there := fleet.ClusterID(11), fleet.ClusterID(12)
	p := fleet.Principal{Tenant: 1, Name: "ann"}
	for _, b := range bindings {
		switch b.Clusters[0] {
		case "{here}":
			b.Clusters = []string{here.String()}
		case "{there}":
			b.Clusters = []string{there.String()}
		}
		p.Bindings = append(p.Bindings, b)
	}
	method, target := "", ""
	for i, c := range request {
		if c == ' ' {
			method, target = request[:i], request[i+1:]
			break
		}
	}
	q, err := kube.Parse(httptest.NewRequest(method, target, nil))
	if err != nil {
		t.Fatal(request, err)
	}
	switch err := decide(p, here, q); {
	case err == nil:
		return "y"
	case fault.Is(err, fault.NotFound):
		return "?"
	default:
		return "n"
	}
}

func TestFraming(t *testing.T) {
	sizedEvents := "\x00\x00\x00\x03abc\x00\x00\x00\x00\x00\x00\x01\x00" + string(make([]byte, 256))
	for name, c := range map[string]struct {
		kind    int
		bytes   string
		between []int // after so many bytes
	}{
		"lines":   {lines, "{}\n{\"a\":1}\n", []int{0, 3, 11}},
		"sized":   {sized, sizedEvents, []int{0, 7, 11, len(sizedEvents)}},
		"unknown": {unknown, "anything\n", nil},
	} {
		for _, step := range []int{1, 2, 5, 1000} {
			f, at, want := framing{kind: c.kind}, 0, map[int]bool{}
			for _, n := range c.between {
				want[n] = true
			}
			for {
				if f.between() != want[at] {
					t.Errorf("%s by %d: after %d bytes between is %v", name, step, at, f.between())
				}
				if at == len(c.bytes) {
					break
				}
				next := min(len(c.bytes), at+step)
				f.pass([]byte(c.bytes[at:next]))
				at = next
			}
		}
	}
}

func TestNameIn(t *testing.T) {
	for head, want := range map[string]string{
		`{"kind":"Pod","apiVersion":"v1","metadata":{"name":"a-x7","namesp`:                 "a-x7",
		`{"metadata":{"creationTimestamp":null,"labels":{"name":"no"},"name":"b"}}`:         "b",
		`{"spec":{"metadata":{"name":"no"}},"metadata":{"generateName":"c-","name":"c-1"}}`: "c-1",
		`{"spec":{"metadata":{"name":"no"}},"metadata":{"generateName":"c-"`:                "",
		`{"metadata":{"name":`: "", `{"metadata":"name"}`: "", `[{"metadata":{"name":"no"}}]`: "", "": "", "k8s\x00": "",
	} {
		if got := nameIn([]byte(head)); got != want {
			t.Errorf("%s: %q, want %q", head, got, want)
		}
	}
}
