package kubefleet

import (
	"net/http"
	"strings"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/kubilitics/kubilitics/hub/internal/fleet"
	"github.com/kubilitics/kubilitics/hub/internal/query/querytest"
)

// Everybody sees what the hub's roles let them see, by the verb they use, and nothing tells of the rest.
func TestRights(t *testing.T) {
	r := newRig(t)
	tenant := r.eu.Scope.Tenant
	other, err := r.store.EnsureTenant(t.Context(), "other")
	if err != nil {
		t.Fatal(err)
	}
	querytest.New(t, r.store, other.ID, "theirs").Load(stock()).Kinds(reports()...)

	r.become(r.may(tenant, "*", r.us.ID.String(), "bank"))
	for path, want := range map[string]string{
		"/api/v1/pods": "us-1/vault", "/api/v1/namespaces/shop/pods": "", "/api/v1/nodes": "", "/api/v1/events": "us-1/vault.1", "/clusters/us-1/api/v1/pods": "us-1/vault",
		"/api/v1/namespaces": "",
	} {
		if got := r.get(path).names(); got != want {
			t.Errorf("%s: %q, want %q", path, got, want)
		}
	}
	for _, root := range []string{"/clusters/eu-1", "/clusters/{eu}", "/clusters/theirs", "/clusters/none"} {
		r.get(root+"/api/v1/pods").refused(http.StatusNotFound, metav1.StatusReasonNotFound, "there is no cluster")
	}
	r.get("/api/v1/namespaces/shop/pods/web-a").refused(http.StatusNotFound, metav1.StatusReasonNotFound, "not found")
	if p := r.do("GET", "/api/v1/namespaces/bank/pods/vault", tableType); strings.Contains(p.text, "eu-1") || len(p.json["rows"].([]any)) != 1 {
		t.Errorf("%s", p.text)
	}
	r.become(r.may(tenant, "list", "*", "*"))
	r.get("/api/v1/namespaces/shop/pods/web-a").refused(http.StatusForbidden, metav1.StatusReasonForbidden, "may not get anything")
	r.get("/api/v1/pods?watch=1").refused(http.StatusForbidden, metav1.StatusReasonForbidden, "may not watch anything")
	if p := r.get("/apis"); !strings.Contains(p.text, "example.com") {
		t.Errorf("discovery: %s", p.text)
	}
	r.become(fleet.Principal{Tenant: tenant, Name: "eve"})
	for _, path := range []string{"/api", "/apis", "/api/v1/pods"} {
		r.get(path).refused(http.StatusForbidden, metav1.StatusReasonForbidden, "eve may not")
	}
	r.become(r.may(other.ID, "*", "*", "*"))
	if got := r.get("/api/v1/pods?fieldSelector=metadata.name=vault").names(); got != "theirs/vault" {
		t.Errorf("another tenant sees %s", got)
	}
}

// What changes something, what connects, and what is asked for in a way that can't be answered, is told why not.
func TestRefusals(t *testing.T) {
	r := newRig(t)
	for _, c := range []struct{ method, path, accept, says string }{
		{"POST", "/api/v1/namespaces/shop/pods", "", "create of pods isn't possible here"},
		{"PATCH", "/apis/apps/v1/namespaces/shop/deployments/web", "", "/k8s/clusters/{id}"},
		{"DELETE", "/api/v1/namespaces/shop/pods", "", "deletecollection of pods"},
		{"GET", "/api/v1/namespaces/shop/pods/web-a/log", "", "pods/log"},
		{"GET", "/api/v1/namespaces/shop/pods/web-a/exec", "", "isn't possible here"},
		{"POST", "/apis/authorization.k8s.io/v1/subjectaccessreviews", "", "isn't possible here"},
	} {
		r.do(c.method, c.path, c.accept).refused(http.StatusMethodNotAllowed, metav1.StatusReasonMethodNotAllowed, c.says)
	}
	for path, says := range map[string]string{
		"/api/v1/pods?labelSelector=a=b=c": "labelSelector", "/api/v1/pods?fieldSelector=a": "fieldSelector", "/api/v1/pods?limit=-1": "limit",
		"/api/v1/pods?resourceVersion=x": "is no position", "/api/v1/pods?at=yesterday": "at:", "/api/v1//pods": "empty segment", "/clusters/eu-1/api/../api": "segment",
		"/api/v1/pods?fieldSelector=health=odd": "health",
	} {
		r.get(path).refused(http.StatusBadRequest, metav1.StatusReasonBadRequest, says)
	}
	for _, path := range []string{"/api/v1/unicorns", "/api/v2/pods", "/api/v1/namespaces/shop/nodes"} {
		r.get(path).refused(http.StatusNotFound, metav1.StatusReasonNotFound, "could not find")
	}
	for _, accept := range []string{"application/vnd.kubernetes.protobuf", "application/json;as=Table;v=v3;g=meta.k8s.io", "text/html"} {
		r.do("GET", "/api/v1/pods", accept).refused(http.StatusNotAcceptable, metav1.StatusReasonNotAcceptable, "application/json")
	}
}

func TestForms(t *testing.T) {
	for accept, want := range map[string]form{
		"":    {},
		"*/*": {},
		"application/vnd.kubernetes.protobuf,application/json;q=0.5":                                   {},
		tableType + ",application/json":                                                                {asTable, "v1"},
		"application/json;as=Table;v=v1beta1;g=meta.k8s.io,application/json":                           {asTable, "v1beta1"},
		"application/json;as=Table;v=v9;g=meta.k8s.io,application/json;as=Table;v=v1;g=x,*/*":          {},
		"application/vnd.kubernetes.protobuf;as=PartialObjectMetadata;v=v1;g=meta.k8s.io, " + metaType: {asMetadata, "v1"},
		"application/json;stream=watch":                                                                {},
	} {
		if got, err := formOf(accept); err != nil || got != want {
			t.Errorf("%s: %v (%v)", accept, got, err)
		}
	}
}
