package kubefleet

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/kubilitics/kubilitics/shared/kube"
	"github.com/kubilitics/kubilitics/shared/topo"
)

// writeTime is how long a client may take for a piece of an answer. Who takes nothing for so long is gone.
const writeTime = 30 * time.Second

// answer is a response, and whether any of it was sent.
type answer struct {
	http.ResponseWriter
	control *http.ResponseController
	begun   bool
}

// Write sends a piece, with time enough for a slow client and not for one that is gone.
func (a *answer) Write(b []byte) (int, error) {
	a.begun = true
	_ = a.control.SetWriteDeadline(time.Now().Add(writeTime)) // where there are no deadlines the server's own hold
	return a.ResponseWriter.Write(b)
}

func (a *answer) json(v any) error {
	a.Header().Set("Content-Type", "application/json")
	return json.NewEncoder(a).Encode(v)
}

// statusOf is the Status that an error is. What is wrong in which field stands in the sentence, since kubectl shows nothing but that.
func statusOf(err error) *metav1.Status {
	var known apierrors.APIStatus
	if errors.As(err, &known) {
		s := known.Status()
		s.TypeMeta = metav1.TypeMeta{Kind: "Status", APIVersion: "v1"}
		return &s
	}
	s := kube.Status(err)
	if s.Details == nil {
		return s
	}
	var why []string
	for _, c := range s.Details.Causes {
		why = append(why, c.Field+" "+c.Message)
	}
	if len(why) > 0 {
		s.Message += ": " + strings.Join(why, "; ")
	}
	return s
}

func writeError(w http.ResponseWriter, err error) {
	s := statusOf(err)
	h := w.Header()
	if s.Details != nil && s.Details.RetryAfterSeconds > 0 {
		h.Set("Retry-After", fmt.Sprint(s.Details.RetryAfterSeconds))
	}
	h.Set("Content-Type", "application/json")
	w.WriteHeader(int(s.Code))
	_ = json.NewEncoder(w).Encode(s) // the client may be gone; there is nobody to tell
}

func failure(code int, reason metav1.StatusReason, format string, args ...any) error {
	return &apierrors.StatusError{ErrStatus: metav1.Status{Status: metav1.StatusFailure, Code: int32(code), Reason: reason, Message: fmt.Sprintf(format, args...)}}
}

func badRequest(format string, args ...any) error {
	return failure(http.StatusBadRequest, metav1.StatusReasonBadRequest, format, args...)
}

// readsOnly says where to go with what isn't a read.
func readsOnly(q *kube.Request) error {
	what := q.Verb
	if q.Resource != "" {
		what += " of " + q.Resource
	}
	return failure(http.StatusMethodNotAllowed, metav1.StatusReasonMethodNotAllowed,
		"%s isn't possible here: the fleet is read from what the hub knows of its clusters, by get, list and watch; a cluster's own API, for everything else, is at /k8s/clusters/{id}", what)
}

func noSuchPath() error {
	return failure(http.StatusNotFound, metav1.StatusReasonNotFound, "the server could not find the requested resource")
}

// expired has a client begin anew.
func expired(format string, args ...any) error {
	return failure(http.StatusGone, metav1.StatusReasonExpired, format, args...)
}

// ahead is for a version that the hub hasn't come to, which clients take for one to wait for.
func ahead(asked, newest topo.Position) error {
	err := failure(http.StatusGatewayTimeout, metav1.StatusReasonTimeout, "Too large resource version: %d, current: %d", asked, newest)
	var s *apierrors.StatusError
	if errors.As(err, &s) {
		s.ErrStatus.Details = &metav1.StatusDetails{Causes: []metav1.StatusCause{{Type: metav1.CauseTypeResourceVersionTooLarge, Message: "Too large resource version"}}, RetryAfterSeconds: 1}
	}
	return err
}
