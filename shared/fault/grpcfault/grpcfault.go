// Package grpcfault carries faults over gRPC: one table from codes to statuses and one back, with the code itself, the
// fields and the time to come back as details, so that a fault arrives as it left.
package grpcfault

import (
	"context"
	"errors"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/protoadapt"
	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/kubilitics/kubilitics/shared/fault"
)

// domain marks details as ours; the code stands in them as the reason.
const domain = "kubilitics"

var toStatus = map[fault.Code]codes.Code{
	fault.BadRequest:      codes.InvalidArgument,
	fault.Unauthorized:    codes.Unauthenticated,
	fault.Forbidden:       codes.PermissionDenied,
	fault.NotFound:        codes.NotFound,
	fault.Conflict:        codes.Aborted,
	fault.Gone:            codes.OutOfRange,
	fault.TooManyRequests: codes.ResourceExhausted,
	fault.Unavailable:     codes.Unavailable,
	fault.Internal:        codes.Internal,
}

// fromStatus is for statuses without our details: those that gRPC itself made, or something between the two ends.
var fromStatus = map[codes.Code]fault.Code{
	codes.InvalidArgument:  fault.BadRequest,
	codes.Unauthenticated:  fault.Unauthorized,
	codes.PermissionDenied: fault.Forbidden,
	codes.NotFound:         fault.NotFound,
	codes.AlreadyExists:    fault.Conflict,
	codes.Aborted:          fault.Conflict,
	codes.OutOfRange:       fault.Gone,
	codes.Unavailable:      fault.Unavailable,
	codes.Canceled:         fault.Unavailable,
	codes.DeadlineExceeded: fault.Unavailable,
	// From gRPC itself this is a message above the limit, which no repetition makes smaller.
	codes.ResourceExhausted: fault.BadRequest,
}

// To is err as gRPC sends it: the public part only. nil stays nil, and what is a status already stays as it is.
func To(err error) error {
	if err == nil {
		return nil
	}
	var f *fault.Error
	if _, ok := status.FromError(err); ok && !errors.As(err, &f) {
		return err
	}
	public := fault.Public(err)
	code, ok := toStatus[public.Code]
	if !ok {
		code = codes.Internal
	}
	s := status.New(code, public.Message)
	if detailed, err := s.WithDetails(details(public)...); err == nil {
		s = detailed
	}
	return s.Err()
}

func details(f *fault.Error) []protoadapt.MessageV1 {
	all := []protoadapt.MessageV1{&errdetails.ErrorInfo{Reason: string(f.Code), Domain: domain}}
	if f.RetryAfter > 0 {
		all = append(all, &errdetails.RetryInfo{RetryDelay: durationpb.New(f.RetryAfter)})
	}
	if len(f.Fields) > 0 {
		bad := &errdetails.BadRequest{}
		for _, field := range f.Fields {
			bad.FieldViolations = append(bad.FieldViolations, &errdetails.BadRequest_FieldViolation{Field: field.Name, Description: field.Reason})
		}
		all = append(all, bad)
	}
	return all
}

// From is the fault that arrived as a gRPC error. nil stays nil, and what is no status stays as it is.
func From(err error) error {
	s, ok := status.FromError(err)
	if err == nil || !ok {
		return err
	}
	f := fault.New(codeOf(s.Code()), "%s", s.Message())
	for _, d := range s.Details() {
		switch d := d.(type) {
		case *errdetails.ErrorInfo:
			if _, known := toStatus[fault.Code(d.Reason)]; known && d.Domain == domain {
				f.Code = fault.Code(d.Reason)
			}
		case *errdetails.RetryInfo:
			f.RetryAfter = d.RetryDelay.AsDuration()
		case *errdetails.BadRequest:
			for _, v := range d.FieldViolations {
				f.Fields = append(f.Fields, fault.Field{Name: v.Field, Reason: v.Description})
			}
		}
	}
	return f
}

func codeOf(c codes.Code) fault.Code {
	if code, ok := fromStatus[c]; ok {
		return code
	}
	return fault.Internal
}

// Unary makes a server answer with To of what its handlers return. log is told the errors whose cause the caller doesn't see.
func Unary(log func(ctx context.Context, method string, err error)) grpc.UnaryServerInterceptor {
	return func(ctx context.Context, req any, info *grpc.UnaryServerInfo, next grpc.UnaryHandler) (any, error) {
		reply, err := next(ctx, req)
		if fault.Is(err, fault.Internal) {
			log(ctx, info.FullMethod, err)
		}
		return reply, To(err)
	}
}

// Stream does for streams what Unary does for calls.
func Stream(log func(ctx context.Context, method string, err error)) grpc.StreamServerInterceptor {
	return func(srv any, stream grpc.ServerStream, info *grpc.StreamServerInfo, next grpc.StreamHandler) error {
		err := next(srv, stream)
		if fault.Is(err, fault.Internal) {
			log(stream.Context(), info.FullMethod, err)
		}
		return To(err)
	}
}
