package kubefleet

import (
	"net/http"
	"slices"
	"strings"
	"testing"

	authentication "k8s.io/api/authentication/v1"
	authorization "k8s.io/api/authorization/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"

	"github.com/kubilitics/kubilitics/hub/internal/fleet"
)

// client is a typed one that speaks as it is told to.
func (r *rig) client(content rest.ContentConfig) *kubernetes.Clientset {
	r.t.Helper()
	transport := http.DefaultTransport.(*http.Transport).Clone()
	r.t.Cleanup(transport.CloseIdleConnections)
	client, err := kubernetes.NewForConfigAndClient(&rest.Config{Host: r.url, QPS: -1, ContentConfig: content}, &http.Client{Transport: transport})
	if err != nil {
		r.t.Fatal(err)
	}
	return client
}

// Programs ask before they read, in either language: what would be answered is permitted, all else isn't, and says why.
func TestReviews(t *testing.T) {
	r := newRig(t)
	tenant := r.eu.Scope.Tenant
	of := func(verb, resource, namespace string) *authorization.ResourceAttributes {
		return &authorization.ResourceAttributes{Verb: verb, Resource: resource, Namespace: namespace}
	}
	status := of("get", "pods", "bank")
	status.Subresource = "log"
	bank := r.may(tenant, "*", r.us.ID.String(), "bank")
	for _, content := range []rest.ContentConfig{{}, {AcceptContentTypes: "application/vnd.kubernetes.protobuf,application/json", ContentType: "application/vnd.kubernetes.protobuf"}} {
		client := r.client(content)
		for _, c := range []struct {
			who  fleet.Principal
			spec authorization.SelfSubjectAccessReviewSpec
			want string // "" for yes, else of the reason
		}{
			{bank, authorization.SelfSubjectAccessReviewSpec{ResourceAttributes: of("list", "pods", "")}, ""},
			{bank, authorization.SelfSubjectAccessReviewSpec{ResourceAttributes: of("watch", "pods", "bank")}, ""},
			{bank, authorization.SelfSubjectAccessReviewSpec{ResourceAttributes: of("list", "pods", "shop")}, "roles"},
			{bank, authorization.SelfSubjectAccessReviewSpec{ResourceAttributes: of("delete", "pods", "bank")}, "only read"},
			{bank, authorization.SelfSubjectAccessReviewSpec{ResourceAttributes: of("*", "*", "")}, "only read"},
			{bank, authorization.SelfSubjectAccessReviewSpec{ResourceAttributes: status}, "only read"},
			{bank, authorization.SelfSubjectAccessReviewSpec{NonResourceAttributes: &authorization.NonResourceAttributes{Verb: "get", Path: "/api"}}, ""},
			{bank, authorization.SelfSubjectAccessReviewSpec{NonResourceAttributes: &authorization.NonResourceAttributes{Verb: "post", Path: "/api"}}, "discovery"},
			{r.may(tenant, "list", "*", "*"), authorization.SelfSubjectAccessReviewSpec{ResourceAttributes: of("get", "pods", "shop")}, "roles"},
			{r.may(tenant, "list", "*", "*"), authorization.SelfSubjectAccessReviewSpec{ResourceAttributes: of("list", "pods", "any")}, ""},
			{fleet.Principal{Tenant: tenant, Name: "eve"}, authorization.SelfSubjectAccessReviewSpec{NonResourceAttributes: &authorization.NonResourceAttributes{Verb: "get"}}, "discovery"},
		} {
			r.become(c.who)
			got, err := client.AuthorizationV1().SelfSubjectAccessReviews().Create(t.Context(), &authorization.SelfSubjectAccessReview{Spec: c.spec}, metav1.CreateOptions{})
			if err != nil {
				t.Fatal(err)
			}
			if got.Status.Allowed != (c.want == "") || !strings.Contains(got.Status.Reason, c.want) {
				t.Errorf("%v: %+v, want %q", c.spec, got.Status, c.want)
			}
		}
		r.become(fleet.Principal{Tenant: tenant, Name: "ada", Groups: []string{"ops"}})
		me, err := client.AuthenticationV1().SelfSubjectReviews().Create(t.Context(), &authentication.SelfSubjectReview{}, metav1.CreateOptions{})
		if err != nil || me.Status.UserInfo.Username != "ada" || !slices.Equal(me.Status.UserInfo.Groups, []string{"ops"}) {
			t.Errorf("whoami: %+v (%v)", me, err)
		}
	}
}

func TestWhatIsNoReview(t *testing.T) {
	r := newRig(t)
	path := "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews"
	for text, says := range map[string]string{
		"": "no review", "{}": "no review", `{"apiVersion":"v1","kind":"Pod"}`: "no review",
		`{"apiVersion":"authorization.k8s.io/v1","kind":"SubjectAccessReview","spec":{"user":"root"}}`: "SubjectAccessReview can't be asked here",
	} {
		r.send("POST", path, "", strings.NewReader(text)).refused(http.StatusBadRequest, metav1.StatusReasonBadRequest, says)
	}
	r.send("POST", path, "", strings.NewReader(strings.Repeat(" ", maxReview+1))).refused(http.StatusRequestEntityTooLarge, metav1.StatusReasonRequestEntityTooLarge, "65536 bytes")
}
