package grpcfault

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/kubilitics/kubilitics/shared/fault"
)

// Every code comes back as itself, with its sentence and details, and without its cause.
func TestRoundTrip(t *testing.T) {
	for code := range toStatus {
		cause := errors.New("password=hunter2")
		sent := fault.Wrap(cause, code, "it is %s", "so").WithField("name", "is taken").After(90 * time.Second)
		wire := To(fmt.Errorf("handler: %w", sent))
		if strings.Contains(wire.Error(), "hunter2") {
			t.Errorf("%s: the cause went over the wire: %v", code, wire)
		}
		got := From(wire)
		if !fault.Is(got, code) || fault.RetryAfter(got) != 90*time.Second || got.Error() != "it is so" {
			t.Errorf("%s: got %q (%s, %s)", code, got, fault.CodeOf(got), fault.RetryAfter(got))
		}
		if f := fault.Public(got); len(f.Fields) != 1 || f.Fields[0] != (fault.Field{Name: "name", Reason: "is taken"}) {
			t.Errorf("%s: fields %v", code, f.Fields)
		}
		if fault.Retryable(got) != fault.Retryable(sent) {
			t.Errorf("%s: retryable changed on the way", code)
		}
	}
}

func TestForeignErrors(t *testing.T) {
	if To(nil) != nil || From(nil) != nil {
		t.Error("nil must stay nil")
	}
	hidden := To(errors.New("dial tcp 10.0.0.7: refused"))
	if status.Code(hidden) != codes.Internal || strings.Contains(hidden.Error(), "10.0.0.7") {
		t.Errorf("an error that is no fault must be hidden, got %v", hidden)
	}
	if got := status.Code(To(context.Canceled)); got != codes.Unavailable {
		t.Errorf("a cancelled context became %s", got)
	}
	if s := status.Error(codes.Unimplemented, "no such method"); To(s) != s {
		t.Error("a status must stay as it is")
	}
	for code, want := range map[codes.Code]fault.Code{
		codes.Unavailable:       fault.Unavailable,
		codes.DeadlineExceeded:  fault.Unavailable,
		codes.ResourceExhausted: fault.BadRequest,
		codes.AlreadyExists:     fault.Conflict,
		codes.Unimplemented:     fault.Internal,
		codes.Unknown:           fault.Internal,
	} {
		if got := fault.CodeOf(From(status.Error(code, "x"))); got != want {
			t.Errorf("%s became %s, want %s", code, got, want)
		}
	}
	plain := errors.New("plain")
	if From(plain) != plain {
		t.Error("what is no status must stay as it is")
	}
}

func TestInterceptorsLogOnlyWhatIsHidden(t *testing.T) {
	var logged []string
	log := func(_ context.Context, method string, _ error) { logged = append(logged, method) }
	fail := func(err error) codes.Code {
		_, got := Unary(log)(t.Context(), nil, &grpc.UnaryServerInfo{FullMethod: "/a"}, func(context.Context, any) (any, error) { return nil, err })
		return status.Code(got)
	}
	if fail(nil) != codes.OK || fail(fault.New(fault.NotFound, "no")) != codes.NotFound || fail(errors.New("boom")) != codes.Internal {
		t.Error("the interceptor's statuses are wrong")
	}
	if len(logged) != 1 {
		t.Errorf("logged %v, want the one internal error", logged)
	}
	err := Stream(log)(nil, stream{ctx: t.Context()}, &grpc.StreamServerInfo{FullMethod: "/b"}, func(any, grpc.ServerStream) error { return errors.New("boom") })
	if status.Code(err) != codes.Internal || len(logged) != 2 {
		t.Errorf("stream: %v, logged %v", err, logged)
	}
}

type stream struct {
	grpc.ServerStream
	ctx context.Context
}

func (s stream) Context() context.Context { return s.ctx }
