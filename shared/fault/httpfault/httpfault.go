// Package httpfault is the one table between the codes of faults and the statuses of HTTP, and the problem document
// (RFC 9457) that clients get.
package httpfault

import (
	"encoding/json"
	"math"
	"net/http"
	"strconv"
	"time"

	"github.com/kubilitics/kubilitics/shared/fault"
)

// ContentType is the media type of a Problem.
const ContentType = "application/problem+json"

var statuses = map[fault.Code]int{
	fault.BadRequest:      http.StatusBadRequest,
	fault.Unauthorized:    http.StatusUnauthorized,
	fault.Forbidden:       http.StatusForbidden,
	fault.NotFound:        http.StatusNotFound,
	fault.Conflict:        http.StatusConflict,
	fault.Gone:            http.StatusGone,
	fault.TooManyRequests: http.StatusTooManyRequests,
	fault.Unavailable:     http.StatusServiceUnavailable,
	fault.Internal:        http.StatusInternalServerError,
}

// Status is the status of a code; 500 for one that isn't in the table.
func Status(code fault.Code) int {
	if s, ok := statuses[code]; ok {
		return s
	}
	return http.StatusInternalServerError
}

// near gives statuses that other software answers with to the code that means about the same.
var near = map[int]fault.Code{
	http.StatusUnprocessableEntity:   fault.BadRequest,
	http.StatusMethodNotAllowed:      fault.BadRequest,
	http.StatusNotAcceptable:         fault.BadRequest,
	http.StatusUnsupportedMediaType:  fault.BadRequest,
	http.StatusRequestEntityTooLarge: fault.BadRequest,
	http.StatusRequestTimeout:        fault.BadRequest,
	http.StatusPreconditionFailed:    fault.Conflict,
	http.StatusBadGateway:            fault.Unavailable,
	http.StatusGatewayTimeout:        fault.Unavailable,
}

// Code is the code of a status: that of the table, else the nearest; Internal for any that says nothing.
func Code(status int) fault.Code {
	for code, s := range statuses {
		if s == status {
			return code
		}
	}
	if code, ok := near[status]; ok {
		return code
	}
	if status >= 400 && status < 500 {
		return fault.BadRequest
	}
	return fault.Internal
}

// Problem is the document that tells a client what went wrong. It holds nothing of a fault's cause.
type Problem struct {
	Type       string        `json:"type" doc:"always about:blank: the code says what kind of problem it is"`
	Title      string        `json:"title" doc:"the status in words"`
	Status     int           `json:"status" doc:"the HTTP status"`
	Code       fault.Code    `json:"code" doc:"what kind of failure it is" enum:"BAD_REQUEST,UNAUTHORIZED,FORBIDDEN,NOT_FOUND,CONFLICT,GONE,TOO_MANY_REQUESTS,UNAVAILABLE,INTERNAL_SERVER_ERROR"`
	Message    string        `json:"message" doc:"what happened, in a sentence"`
	RequestID  string        `json:"requestId,omitempty" doc:"finds the request in the hub's log"`
	Fields     []fault.Field `json:"fields,omitempty" doc:"the parts of the input that are wrong"`
	RetryAfter time.Duration `json:"-"`
}

// Of is the problem that err is to somebody outside.
func Of(err error, requestID string) *Problem {
	f := fault.Public(err)
	status := Status(f.Code)
	return &Problem{
		Type: "about:blank", Title: http.StatusText(status), Status: status, Code: f.Code, Message: f.Message,
		RequestID: requestID, Fields: f.Fields, RetryAfter: f.RetryAfter,
	}
}

// Header gives what belongs beside the document: Retry-After, in whole seconds, where the fault names a time, and the
// challenge that must stand beside a 401.
func (p *Problem) Header() http.Header {
	h := http.Header{}
	if p.RetryAfter > 0 {
		h.Set("Retry-After", strconv.Itoa(int(math.Ceil(p.RetryAfter.Seconds()))))
	}
	if p.Status == http.StatusUnauthorized {
		h.Set("WWW-Authenticate", "Bearer")
	}
	return h
}

// Write answers a request with the problem that err is.
func Write(w http.ResponseWriter, requestID string, err error) {
	p := Of(err, requestID)
	for k, v := range p.Header() {
		w.Header()[k] = v
	}
	w.Header().Set("Content-Type", ContentType)
	w.WriteHeader(p.Status)
	_ = json.NewEncoder(w).Encode(p) // the client may be gone; there is nobody to tell
}
