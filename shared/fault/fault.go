// Package fault is what an error is in this house: a code that decides how it is treated, a sentence that helps the
// reader, and a cause for the log.
package fault

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// Code says what kind of failure it is; statuses at the rims are derived from it.
type Code string

// The codes, worded as clients of the API see them.
const (
	BadRequest      Code = "BAD_REQUEST"
	Unauthorized    Code = "UNAUTHORIZED"
	Forbidden       Code = "FORBIDDEN"
	NotFound        Code = "NOT_FOUND"
	Conflict        Code = "CONFLICT"
	Gone            Code = "GONE"
	TooManyRequests Code = "TOO_MANY_REQUESTS"
	Unavailable     Code = "UNAVAILABLE"
	Internal        Code = "INTERNAL_SERVER_ERROR"
)

// Field names one part of the input that is wrong, and why.
type Field struct {
	Name   string `json:"name"`
	Reason string `json:"reason"`
}

// Error is a failure with a code. Message is shown to the caller; the cause is for the log only.
type Error struct {
	Code       Code
	Message    string
	Fields     []Field       // with BadRequest: what is wrong where
	RetryAfter time.Duration // with TooManyRequests, Unavailable and Conflict: when to come back; 0 says nothing
	cause      error
}

// New makes an error from a code and a sentence.
func New(code Code, format string, args ...any) *Error {
	return &Error{Code: code, Message: fmt.Sprintf(format, args...)}
}

// Wrap gives a cause a code and a sentence.
func Wrap(cause error, code Code, format string, args ...any) *Error {
	return &Error{Code: code, Message: fmt.Sprintf(format, args...), cause: cause}
}

// WithField adds a part of the input that is wrong.
func (e *Error) WithField(name, format string, args ...any) *Error {
	e.Fields = append(e.Fields, Field{Name: name, Reason: fmt.Sprintf(format, args...)})
	return e
}

// After says when to come back.
func (e *Error) After(d time.Duration) *Error {
	e.RetryAfter = d
	return e
}

// Error gives the sentence and, for the log, its causes.
func (e *Error) Error() string {
	if e.cause == nil {
		return e.Message
	}
	return e.Message + ": " + e.cause.Error()
}

// Unwrap gives the cause.
func (e *Error) Unwrap() error { return e.cause }

// CodeOf is the code of the outermost fault in err's chain; Internal for any other error, Unavailable for a context that ended.
func CodeOf(err error) Code {
	var f *Error
	switch {
	case errors.As(err, &f):
		return f.Code
	case errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded):
		return Unavailable
	default:
		return Internal
	}
}

// Is tells whether err carries the code.
func Is(err error, code Code) bool { return err != nil && CodeOf(err) == code }

// Retryable tells whether the same call may succeed later without any change by the caller.
func Retryable(err error) bool {
	switch CodeOf(err) {
	case TooManyRequests, Unavailable:
		return true
	default:
		return false
	}
}

// RetryAfter is when the failure asks the caller to come back; 0 says nothing.
func RetryAfter(err error) time.Duration {
	var f *Error
	if errors.As(err, &f) {
		return f.RetryAfter
	}
	return 0
}

// Public is the part of err that may leave the process: the code and sentence of a fault, and for any other error no more
// than that something failed here.
func Public(err error) *Error {
	var f *Error
	if errors.As(err, &f) {
		return f
	}
	if CodeOf(err) == Unavailable {
		return New(Unavailable, "the operation was cut off before it finished")
	}
	return New(Internal, "something failed here; the log has the details under this request's id")
}
