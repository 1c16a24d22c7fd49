package obs

import (
	"context"
	"net/http"

	"go.opentelemetry.io/otel/attribute"
	otelcodes "go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/trace"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"

	"github.com/kubilitics/kubilitics/shared/fault"
)

const scope = "github.com/kubilitics/kubilitics"

// Span is a part of a trace while it is under way. The zero Span belongs to no trace and costs nothing. What is set on one leaves the house: names, ids,
// numbers and codes, never what somebody wrote, a query, or an object's contents.
type Span struct{ span trace.Span }

// On tells whether anybody will see what is set, where finding that out costs something.
func (s Span) On() bool { return s.span != nil }

// Text sets an attribute.
func (s Span) Text(key, value string) {
	if s.span != nil && value != "" {
		s.span.SetAttributes(attribute.String(key, value))
	}
}

// Number sets an attribute.
func (s Span) Number(key string, value int64) {
	if s.span != nil {
		s.span.SetAttributes(attribute.Int64(key, value))
	}
}

// Name names the span anew, where only its end knows what it was.
func (s Span) Name(name string) {
	if s.span != nil {
		s.span.SetName(name)
	}
}

// End ends the span; an error marks it with its code, not with its sentence, which may hold what a client wrote.
func (s Span) End(err error) {
	if s.span == nil {
		return
	}
	if err != nil {
		code := string(fault.CodeOf(err))
		s.span.SetStatus(otelcodes.Error, code)
		s.span.SetAttributes(attribute.String("error.type", code))
	}
	s.span.End()
}

// Failed marks the span as one that went wrong for a reason in one word, such as a status.
func (s Span) Failed(why string) {
	if s.span != nil {
		s.span.SetStatus(otelcodes.Error, why)
	}
}

// Step begins a part of what the context is about. Without a trace that is recorded there, it gives the context back and the zero Span, so that whoever works for
// a request needs no tracer of its own.
func Step(ctx context.Context, name string) (context.Context, Span) {
	return step(ctx, name, trace.SpanKindInternal)
}

// Call begins a part that waits for another program.
func Call(ctx context.Context, name string) (context.Context, Span) {
	return step(ctx, name, trace.SpanKindClient)
}

func step(ctx context.Context, name string, kind trace.SpanKind) (context.Context, Span) {
	parent := trace.SpanFromContext(ctx)
	if !parent.IsRecording() {
		return ctx, Span{}
	}
	ctx, span := parent.TracerProvider().Tracer(scope).Start(ctx, name, trace.WithSpanKind(kind))
	return ctx, Span{span}
}

// The headers of W3C's trace context.
const (
	parentHeader = "Traceparent"
	stateHeader  = "Tracestate"
)

// Inject has a request go on with the trace of the context. What the request says itself is dropped: it is that of somebody who may be nobody to trust.
func Inject(ctx context.Context, h http.Header) {
	delete(h, parentHeader)
	delete(h, stateHeader)
	if trace.SpanContextFromContext(ctx).IsValid() {
		propagation.TraceContext{}.Inject(ctx, propagation.HeaderCarrier(h))
	}
}

// Parent is the trace of the context as one text, for messages that aren't HTTP; "" where there is none that is recorded.
func Parent(ctx context.Context) string {
	if !trace.SpanContextFromContext(ctx).IsSampled() {
		return ""
	}
	h := propagation.MapCarrier{}
	propagation.TraceContext{}.Inject(ctx, h)
	return h.Get("traceparent")
}

func parentOf(ctx context.Context, text string) trace.SpanContext {
	if text == "" {
		return trace.SpanContext{}
	}
	ctx = trace.ContextWithSpanContext(ctx, trace.SpanContext{})
	return trace.SpanContextFromContext(propagation.TraceContext{}.Extract(ctx, propagation.MapCarrier{"traceparent": text}))
}

// Trace is the field of a line of the log by which it is found from a trace; nothing where none is recorded.
func Trace(ctx context.Context) zap.Field {
	if at := trace.SpanContextFromContext(ctx); at.IsSampled() {
		return zap.Stringer("trace", at.TraceID())
	}
	return zap.Skip()
}

type requestKey struct{}

// WithRequest has lines of the log that are written for the context carry the request's id.
func WithRequest(ctx context.Context, id string) context.Context {
	return context.WithValue(ctx, requestKey{}, id)
}

// About is the fields of a line of the log by which it is found: the id of the request that the context is for, and of the trace where one is recorded.
func About(ctx context.Context) zap.Field {
	return zap.Inline(zapcore.ObjectMarshalerFunc(func(to zapcore.ObjectEncoder) error {
		if id, ok := ctx.Value(requestKey{}).(string); ok {
			to.AddString("request", id)
		}
		Trace(ctx).AddTo(to)
		return nil
	}))
}

// Current is the span that the context is about.
func Current(ctx context.Context) Span {
	if s := trace.SpanFromContext(ctx); s.IsRecording() {
		return Span{s}
	}
	return Span{}
}
