package kubefleet

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"

	authentication "k8s.io/api/authentication/v1"
	authorization "k8s.io/api/authorization/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/serializer"
	utilruntime "k8s.io/apimachinery/pkg/util/runtime"

	"github.com/kubilitics/kubilitics/hub/internal/fleet"
	"github.com/kubilitics/kubilitics/shared/kube"
)

// maxReview bounds a question about oneself.
const maxReview = 64 << 10

// reviewed are the questions about oneself that programs ask before they read: kubectl auth can-i and whoami, k9s before each view.
var reviewed = func() runtime.Decoder {
	s := runtime.NewScheme()
	utilruntime.Must(authentication.AddToScheme(s))
	utilruntime.Must(authorization.AddToScheme(s))
	return serializer.NewCodecFactory(s).UniversalDeserializer()
}()

// isReview tells of a question about oneself that is answered here. There are no rules to list: roles are the hub's.
func isReview(q *kube.Request) bool {
	return q.AsksOfSelf() && q.Version == "v1" && q.Resource != "selfsubjectrulesreviews"
}

func review(w *answer, r *http.Request, p fleet.Principal) error {
	text, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxReview))
	var large *http.MaxBytesError
	if errors.As(err, &large) {
		return failure(http.StatusRequestEntityTooLarge, metav1.StatusReasonRequestEntityTooLarge, "a review is at most %d bytes long", maxReview)
	}
	if err != nil {
		return badRequest("the review can't be read: %v", err)
	}
	asked, _, err := reviewed.Decode(text, nil, nil)
	if err != nil {
		return badRequest("this is no review: %v", err)
	}
	switch asked := asked.(type) {
	case *authorization.SelfSubjectAccessReview:
		asked.Status = permitted(p, &asked.Spec)
	case *authentication.SelfSubjectReview:
		asked.Status.UserInfo = authentication.UserInfo{Username: p.Name, Groups: p.Groups}
	default:
		return badRequest("%s can't be asked here", asked.GetObjectKind().GroupVersionKind().Kind)
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(http.StatusCreated)
	return w.json(asked)
}

// permitted says what a request of that kind would meet: a read is answered with what one may see, if that is anything at all; all else is refused.
func permitted(p fleet.Principal, spec *authorization.SelfSubjectAccessReviewSpec) authorization.SubjectAccessReviewStatus {
	no := func(format string, args ...any) authorization.SubjectAccessReviewStatus {
		return authorization.SubjectAccessReviewStatus{Reason: fmt.Sprintf(format, args...)}
	}
	yes := authorization.SubjectAccessReviewStatus{Allowed: true}
	a := spec.ResourceAttributes
	if a == nil {
		if n := spec.NonResourceAttributes; n == nil || n.Verb != "get" || !mayRead(p) {
			return no("nothing but discovery is here besides objects, and only to be read")
		}
		return yes
	}
	switch {
	case !slices.Contains(verbs, a.Verb) || !objectItself[a.Subresource]:
		return no("the fleet is only read, by get, list and watch; a cluster's own API, for everything else, is at /k8s/clusters/{id}")
	case !seesIn(fleet.ViewOf(p, fleet.Verb(a.Verb)), a.Namespace):
		return no("the hub's roles don't let %s %s anything there", p.Name, a.Verb)
	default:
		return yes
	}
}

// seesIn tells whether there is anything to see in a namespace, of whichever cluster; "" for all of them.
func seesIn(v fleet.View, namespace string) bool {
	if v.Everything {
		return true
	}
	for _, spaces := range v.Clusters {
		if spaces == nil || namespace == "" || slices.Contains(spaces, namespace) {
			return true
		}
	}
	return false
}
