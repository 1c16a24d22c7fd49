package obs

import (
	"context"
	"errors"
	"net/http"
	"net/url"
	"strings"
	"sync/atomic"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracehttp"
	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/sdk/resource"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/trace"
	"go.uber.org/zap"
	"golang.org/x/net/http/httpguts"

	"github.com/kubilitics/kubilitics/shared/fault"
	"github.com/kubilitics/kubilitics/shared/version"
)

// TraceConfig says which traces are made, and for whom.
type TraceConfig struct {
	Endpoint string   // URL of a collector that takes OTLP over HTTP; "" makes no traces
	Sample   float64  // share of what begins here that is traced, 0 to 1
	Headers  []string // of each request to the collector, "name=value"
	Instance string   // tells this process from others of its name
}

// Check finds what can't be right, as fields named key.endpoint and so on.
func (c TraceConfig) Check(key string) []fault.Field {
	var out []fault.Field
	add := func(name, why string) { out = append(out, fault.Field{Name: key + "." + name, Reason: why}) }
	if _, err := c.url(); err != nil {
		add("endpoint", err.Error())
	}
	if !(c.Sample >= 0 && c.Sample <= 1) {
		add("sample", "must be a share from 0 to 1")
	}
	if _, err := c.headers(); err != nil {
		add("headers", err.Error())
	}
	return out
}

// url is where spans are sent: the usual path of the protocol, where the address has none.
func (c TraceConfig) url() (string, error) {
	if c.Endpoint == "" {
		return "", nil
	}
	u, err := url.Parse(c.Endpoint)
	switch {
	case err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "":
		return "", errors.New("is no http:// or https:// URL")
	case u.User != nil || u.RawQuery != "" || u.Fragment != "":
		return "", errors.New("must be an address alone: credentials belong in the headers")
	}
	if strings.Trim(u.Path, "/") == "" {
		u.Path = "/v1/traces"
	}
	return u.String(), nil
}

// headers never says in an error what a header's value is.
func (c TraceConfig) headers() (map[string]string, error) {
	out := map[string]string{}
	for _, text := range c.Headers {
		name, value, ok := strings.Cut(text, "=")
		name, value = strings.TrimSpace(name), strings.TrimSpace(value)
		if !ok || !httpguts.ValidHeaderFieldName(name) || !httpguts.ValidHeaderFieldValue(value) {
			return nil, errors.New("must be name=value, each")
		}
		out[name] = value
	}
	return out, nil
}

// Tracer begins traces. The nil Tracer begins none, at no cost.
type Tracer struct {
	provider *sdktrace.TracerProvider
	tracer   trace.Tracer
	client   *http.Client
	log      *zap.Logger
}

const (
	batchEvery   = 2 * time.Second
	sendWithin   = 10 * time.Second
	closeWithin  = 5 * time.Second
	maxSpanTexts = 512 // characters of an attribute
)

// NewTracer makes the tracer of a program, nil where no endpoint is configured. Nothing is sent before there is a span, and a collector that can't be reached
// delays nothing: spans wait for it in a queue that is bounded, and then are dropped. Close must follow.
func NewTracer(program string, cfg TraceConfig, log *zap.Logger) (*Tracer, error) {
	if cfg.Endpoint == "" {
		return nil, nil
	}
	to, err := cfg.url()
	if err != nil {
		return nil, fault.New(fault.BadRequest, "the address of the collector of traces %s", err)
	}
	headers, err := cfg.headers()
	if err != nil {
		return nil, fault.New(fault.BadRequest, "the headers for the collector of traces %s", err)
	}
	t := &Tracer{client: &http.Client{Transport: http.DefaultTransport.(*http.Transport).Clone(), Timeout: sendWithin}, log: log}
	exporter := otlptracehttp.NewUnstarted(otlptracehttp.WithEndpointURL(to), otlptracehttp.WithHeaders(headers), otlptracehttp.WithHTTPClient(t.client),
		otlptracehttp.WithCompression(otlptracehttp.GzipCompression))
	limits := sdktrace.NewSpanLimits()
	limits.AttributeValueLengthLimit = maxSpanTexts
	t.provider = sdktrace.NewTracerProvider(
		sdktrace.WithBatcher(&told{Exporter: exporter, log: log}, sdktrace.WithBatchTimeout(batchEvery)),
		sdktrace.WithSampler(sdktrace.ParentBased(sdktrace.TraceIDRatioBased(cfg.Sample))),
		sdktrace.WithRawSpanLimits(limits),
		sdktrace.WithResource(resource.NewSchemaless(
			attribute.String("service.name", program), attribute.String("service.version", version.String()), attribute.String("service.instance.id", cfg.Instance),
		)),
	)
	t.tracer = t.provider.Tracer(scope)
	return t, nil
}

// told is an exporter whose failures are in the log: once when they begin, and once when they are over.
type told struct {
	*otlptrace.Exporter
	log     *zap.Logger
	started atomic.Bool
	failing atomic.Bool
}

// ExportSpans sends spans.
func (t *told) ExportSpans(ctx context.Context, spans []sdktrace.ReadOnlySpan) error {
	if !t.started.Swap(true) {
		_ = t.Start(ctx) // sends nothing; one that failed is told by what follows
	}
	err := t.Exporter.ExportSpans(ctx, spans)
	switch was := t.failing.Swap(err != nil); {
	case err != nil && !was:
		t.log.Warn("traces can't be sent to their collector, and are dropped", zap.Error(err))
	case err == nil && was:
		t.log.Info("traces are sent again")
	}
	return nil // else the library would tell it too, on standard error
}

// Close sends what there is, for a moment, whether or not the context has ended.
func (t *Tracer) Close(ctx context.Context) {
	if t == nil {
		return
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), closeWithin)
	defer cancel()
	if err := t.provider.Shutdown(ctx); err != nil {
		t.log.Warn("the last traces were not sent", zap.Error(err))
	}
	t.client.CloseIdleConnections()
}

// Request begins the trace of a request that has come. With trust, its sender says whose part it is and whether it is recorded; without, it only is noted as
// linked, and this tracer alone decides: else anybody could have everything recorded.
func (t *Tracer) Request(r *http.Request, name string, trust bool) (context.Context, Span) {
	if t == nil {
		return r.Context(), Span{}
	}
	ctx := r.Context()
	if from := r.Header[parentHeader]; len(from) == 1 {
		sent := propagation.TraceContext{}.Extract(ctx, propagation.HeaderCarrier(r.Header))
		if trust {
			return t.begin(sent, name, trace.SpanKindServer, trace.SpanContext{})
		}
		return t.begin(ctx, name, trace.SpanKindServer, trace.SpanContextFromContext(sent))
	}
	return t.begin(ctx, name, trace.SpanKindServer, trace.SpanContext{})
}

// Begin begins a trace of what nobody asked for; from is the Parent that another program told of what led to it, and is noted as linked.
func (t *Tracer) Begin(ctx context.Context, name, from string) (context.Context, Span) {
	if t == nil {
		return ctx, Span{}
	}
	return t.begin(ctx, name, trace.SpanKindInternal, parentOf(ctx, from))
}

func (t *Tracer) begin(ctx context.Context, name string, kind trace.SpanKind, linked trace.SpanContext) (context.Context, Span) {
	how := []trace.SpanStartOption{trace.WithSpanKind(kind)}
	if linked.IsValid() {
		how = append(how, trace.WithLinks(trace.Link{SpanContext: linked}))
	}
	ctx, span := t.tracer.Start(ctx, name, how...)
	if !span.IsRecording() {
		return ctx, Span{} // its context goes on all the same: the next program must know that it isn't recorded
	}
	return ctx, Span{span}
}
