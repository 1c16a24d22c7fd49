package kubeproxy

import (
	"net/http/httptest"
	"strings"
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
	{"changer of shop", []fleet.Binding{{Verbs: []string{"get", "update", "patch"}, Clusters: []string{"{here}"}, Namespaces: []string{"shop"}}}},
	{"elsewhere", []fleet.Binding{{Verbs: []string{"*"}, Clusters: []string{"{there}"}, Namespaces: []string{"*"}}}},
}

func TestWhoMayWhat(t *testing.T) {
	// y passes, n is Forbidden, ? is NotFound: he who has nothing in a cluster may not know of it.
	for _, c := range []struct{ request, want string }{
		{"GET /api/v1/namespaces/shop/pods/a", "yyyyynny?"},
		{"GET /api/v1/namespaces/shop/pods", "yyyynnnn?"},
		{"GET /api/v1/namespaces/shop/pods?watch=1", "yyyynnnn?"},
		{"GET /api/v1/pods", "yynnnnnn?"},
		{"GET /api/v1/namespaces/other/pods", "yynnnnnn?"},
		{"GET /api/v1/nodes/a", "yynnnnnn?"},
		{"GET /api/v1/namespaces/shop", "yyyyynny?"},
		{"GET /api/v1/namespaces/shop/pods/a/log?follow=true", "yyyyynny?"},
		{"POST /api/v1/namespaces/shop/pods", "ynnynnnn?"},
		{"PUT /apis/apps/v1/namespaces/shop/deployments/a", "ynnynnny?"},
		{"PATCH /apis/apps/v1/namespaces/shop/deployments/a application/merge-patch+json", "ynnynnny?"},
		{"PATCH /apis/apps/v1/namespaces/shop/deployments/a application/apply-patch+yaml", "ynnynnnn?"},
		{"PATCH /apis/apps/v1/namespaces/shop/deployments/a Application/Apply-Patch+CBOR;x=y", "ynnynnnn?"},
		{"PATCH /apis/apps/v1/namespaces/shop/deployments/a/status application/apply-patch+yaml", "ynnynnny?"},
		{"PUT /apis/rbac.authorization.k8s.io/v1/namespaces/shop/rolebindings/a", "ynnynnnn?"},
		{"PUT /api/v1/namespaces/shop/services/a", "ynnynnnn?"},
		{"PUT /api/v1/namespaces/shop/services/a/status", "ynnynnny?"},
		{"PATCH /apis/apps/v1/namespaces/shop/deployments/a/scale", "ynnynnny?"},
		{"DELETE /api/v1/namespaces/shop/pods/a", "ynnynnnn?"},
		{"DELETE /api/v1/namespaces/shop/pods", "ynnynnnn?"},
		{"DELETE /api/v1/nodes/a", "ynnnnnnn?"},
		{"POST /api/v1/namespaces/shop/pods/a/eviction", "ynnynnnn?"},
		{"OPTIONS /api/v1/namespaces/shop/pods", "yyyyynny?"},

		{"POST /api/v1/namespaces/shop/pods/a/exec", "ynnynnyn?"},
		{"GET /api/v1/namespaces/shop/pods/a/exec", "ynnynnyn?"},
		{"GET /api/v1/namespaces/shop/pods/a/attach", "ynnynnyn?"},
		{"POST /api/v1/namespaces/shop/pods/a/portforward", "ynnynnyn?"},
		{"GET /api/v1/namespaces/shop/services/a/proxy/x", "ynnynnyn?"},
		{"GET /api/v1/nodes/a/proxy/metrics", "ynnnnnyn?"},

		{"GET /api/v1/namespaces/shop/secrets/a", "ynnnynnn?"},
		{"GET /api/v1/namespaces/shop/secrets", "ynnnnnnn?"},
		{"GET /api/v1/secrets", "ynnnnnnn?"},
		{"POST /api/v1/namespaces/shop/secrets", "ynnnnnnn?"},
		{"POST /api/v1/namespaces/shop/serviceaccounts/a/token", "ynnnnnnn?"},

		{"GET /version", "yyyyynny?"},
		{"GET /", "yyyyynny?"},
		{"GET /apis", "yyyyynny?"},
		{"GET /openapi/v3/apis/apps/v1", "yyyyynny?"},
		{"GET /readyz", "yyyyynny?"},
		{"GET /metrics", "yynnnnnn?"},
		{"GET /logs/kube-apiserver.log", "yynnnnnn?"},
		{"POST /version", "ynnnnnnn?"},
		{"POST /apis/authorization.k8s.io/v1/selfsubjectaccessreviews", "yyyyynny?"},
		{"POST /apis/authentication.k8s.io/v1/selfsubjectreviews", "yyyyynny?"},
		{"POST /apis/authorization.k8s.io/v1/subjectaccessreviews", "ynnnnnnn?"},
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
	words := append(strings.Fields(request), "application/json")
	r := httptest.NewRequest(words[0], words[1], nil)
	r.Header.Set("Content-Type", words[2])
	q, err := kube.Parse(r)
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
