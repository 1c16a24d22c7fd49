package kube

import (
	"encoding/json"
	"math"
	"net/http"
	"strconv"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/kubilitics/kubilitics/shared/fault"
	"github.com/kubilitics/kubilitics/shared/fault/httpfault"
)

// reasons are the words of Kubernetes for our codes.
var reasons = map[fault.Code]metav1.StatusReason{
	fault.BadRequest:      metav1.StatusReasonBadRequest,
	fault.Unauthorized:    metav1.StatusReasonUnauthorized,
	fault.Forbidden:       metav1.StatusReasonForbidden,
	fault.NotFound:        metav1.StatusReasonNotFound,
	fault.Conflict:        metav1.StatusReasonConflict,
	fault.Gone:            metav1.StatusReasonExpired,
	fault.TooManyRequests: metav1.StatusReasonTooManyRequests,
	fault.Unavailable:     metav1.StatusReasonServiceUnavailable,
	fault.Internal:        metav1.StatusReasonInternalError,
}

// Status is what an error is to a client of Kubernetes. It holds nothing of the error's cause.
func Status(err error) *metav1.Status {
	f := fault.Public(err)
	s := &metav1.Status{
		TypeMeta: metav1.TypeMeta{Kind: "Status", APIVersion: "v1"},
		Status:   metav1.StatusFailure, Code: int32(httpfault.Status(f.Code)), Reason: reasons[f.Code], Message: f.Message,
	}
	for _, field := range f.Fields {
		if s.Details == nil {
			s.Details = &metav1.StatusDetails{}
		}
		s.Details.Causes = append(s.Details.Causes, metav1.StatusCause{Type: metav1.CauseTypeFieldValueInvalid, Field: field.Name, Message: field.Reason})
	}
	if f.RetryAfter > 0 {
		if s.Details == nil {
			s.Details = &metav1.StatusDetails{}
		}
		s.Details.RetryAfterSeconds = int32(math.Ceil(f.RetryAfter.Seconds()))
	}
	return s
}

// WriteStatus answers a request with the Status that err is.
func WriteStatus(w http.ResponseWriter, err error) {
	s := Status(err)
	h := w.Header()
	if s.Details != nil && s.Details.RetryAfterSeconds > 0 {
		h.Set("Retry-After", strconv.Itoa(int(s.Details.RetryAfterSeconds)))
	}
	if s.Code == http.StatusUnauthorized {
		h.Set("WWW-Authenticate", "Bearer")
	}
	h.Set("Content-Type", "application/json")
	w.WriteHeader(int(s.Code))
	_ = json.NewEncoder(w).Encode(s) // the client may be gone; there is nobody to tell
}
