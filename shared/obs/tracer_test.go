package obs_test

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"

	"go.uber.org/goleak"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
	"go.uber.org/zap/zaptest/observer"

	"github.com/kubilitics/kubilitics/shared/fault"
	"github.com/kubilitics/kubilitics/shared/obs"
	"github.com/kubilitics/kubilitics/shared/obs/obstest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// client is the trace context of somebody who wants to be recorded.
const client = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"

func tracer(t testing.TB, c obs.TraceConfig) *obs.Tracer {
	t.Helper()
	out, err := obs.NewTracer("kubilitics-test", c, zap.NewNop())
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func request(t testing.TB, traceparent string) *http.Request {
	r := httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/", nil)
	if traceparent != "" {
		r.Header.Set("Traceparent", traceparent)
	}
	return r
}

// One request through two programs is one trace, whose parts stand below each other; what goes to the collector has the headers that were configured.
func TestATraceGoesThroughPrograms(t *testing.T) {
	to := obstest.NewCollector(t)
	hub := tracer(t, obs.TraceConfig{Endpoint: to.URL, Sample: 1, Headers: []string{"Authorization = Bearer x=y"}})
	agent := tracer(t, obs.TraceConfig{Endpoint: to.URL + "/v1/traces", Sample: 0})

	ctx, root := hub.Request(request(t, ""), "GET", false)
	ctx, part := obs.Call(ctx, "forward")
	r := request(t, client)
	obs.Inject(ctx, r.Header)
	_, far := agent.Request(r, "door", true)
	far.Text("k8s.verb", "get")
	far.End(fault.New(fault.Forbidden, "hunter2"))
	part.End(nil)
	root.Name("GET /a/{b}")
	root.End(nil)
	agent.Close(t.Context())
	hub.Close(t.Context())

	var names []string
	spans := to.Spans()
	for i, s := range spans {
		names = append(names, s.Name)
		if i > 0 && (s.Trace != spans[0].Trace || s.Parent != spans[i-1].ID) {
			t.Errorf("%s isn't below %s: %+v", s.Name, spans[i-1].Name, s)
		}
		if strings.Contains(s.TextOfAllThatItHas, "hunter2") {
			t.Errorf("%s tells an error's sentence", s.Name)
		}
	}
	if !slices.Equal(names, []string{"GET /a/{b}", "forward", "door"}) {
		t.Fatalf("spans %v", names)
	}
	if last := spans[2]; !last.Failed || last.Attributes["error.type"] != "FORBIDDEN" || last.Attributes["k8s.verb"] != "get" {
		t.Errorf("the last is %+v", last)
	}
	if got := to.Headers().Get("Authorization"); got != "Bearer x=y" {
		t.Errorf("the collector was shown %q", got)
	}
}

// A client's wish to be recorded counts where clients are trusted; elsewhere its trace is noted, and no more is recorded than was configured.
func TestAClientDecidesNothingUnlessItIsTrusted(t *testing.T) {
	id := strings.Split(client, "-")[1]
	for name, c := range map[string]struct {
		sample  float64
		trusted bool
		spans   int
		in      string // the trace that the span is in; "" for another than the client's
	}{
		"not trusted, nothing is sampled": {0, false, 0, ""},
		"not trusted, all is sampled":     {1, false, 1, ""},
		"trusted, nothing is sampled":     {0, true, 1, id},
	} {
		t.Run(name, func(t *testing.T) {
			to := obstest.NewCollector(t)
			by := tracer(t, obs.TraceConfig{Endpoint: to.URL, Sample: c.sample})
			ctx, span := by.Request(request(t, client), "GET", c.trusted)
			onward := http.Header{"Traceparent": {client}, "Tracestate": {"a=b"}}
			obs.Inject(ctx, onward)
			span.End(nil)
			by.Close(t.Context())
			got := to.Spans()
			if len(got) != c.spans {
				t.Fatalf("%d spans: %+v", len(got), got)
			}
			if recorded := strings.HasSuffix(onward.Get("Traceparent"), "-01"); recorded != (c.spans > 0) {
				t.Errorf("the next program is told %q", onward.Get("Traceparent"))
			}
			if c.spans == 0 {
				return
			}
			if same := got[0].Trace == id; same != (c.in == id) {
				t.Errorf("the trace is %s", got[0].Trace)
			}
			if linked := slices.Contains(got[0].Linked, id); linked == c.trusted {
				t.Errorf("links %v", got[0].Linked)
			}
		})
	}
}

// Without an endpoint nothing is made, nothing is allocated, and no client's trace goes further.
func TestOffCostsNothing(t *testing.T) {
	off := tracer(t, obs.TraceConfig{Sample: 1})
	if off != nil {
		t.Fatal("there is a tracer")
	}
	r := request(t, client)
	failure := errors.New("x")
	cost := testing.AllocsPerRun(100, func() {
		ctx, span := off.Request(r, "GET", true)
		ctx, part := obs.Step(ctx, "part")
		part.Text("key", "value")
		part.End(failure)
		obs.Inject(ctx, r.Header)
		span.End(nil)
	})
	if cost != 0 {
		t.Errorf("%v allocations", cost)
	}
	if len(r.Header) != 0 {
		t.Errorf("headers %v", r.Header)
	}
	off.Close(t.Context())
}

// A collector that refuses is told of once, in the log alone, and once when it takes spans again.
func TestFailuresOfTheCollectorAreToldOnce(t *testing.T) {
	to := obstest.NewCollector(t)
	to.Refuse(true)
	core, lines := observer.New(zapcore.InfoLevel)
	by, err := obs.NewTracer("kubilitics-test", obs.TraceConfig{Endpoint: to.URL, Sample: 1, Headers: []string{"X-Key=hunter2"}}, zap.New(core))
	if err != nil {
		t.Fatal(err)
	}
	send := func() {
		t.Helper()
		_, span := by.Begin(t.Context(), "x", "")
		span.End(nil)
		if err := obs.Flush(t.Context(), by); err != nil {
			t.Fatal(err)
		}
	}
	send()
	send()
	to.Refuse(false)
	send()
	by.Close(t.Context())
	var told []string
	for _, l := range lines.All() {
		told = append(told, l.Message)
		for _, f := range l.Context {
			if strings.Contains(f.String, "hunter2") {
				t.Errorf("the log holds a header: %v", f)
			}
		}
	}
	if want := []string{"traces can't be sent to their collector, and are dropped", "traces are sent again"}; !slices.Equal(told, want) {
		t.Errorf("told %q, want %q", told, want)
	}
}

func TestWhatCannotBeRightIsRefused(t *testing.T) {
	good := obs.TraceConfig{Endpoint: "https://collector.example:4318", Sample: 0.5, Headers: []string{"a=b"}}
	if bad := good.Check("trace"); len(bad) > 0 {
		t.Errorf("refused: %v", bad)
	}
	for key, c := range map[string]obs.TraceConfig{
		"trace.endpoint": {Endpoint: "collector:4318"}, "trace.sample": {Sample: 1.5}, "trace.headers": {Headers: []string{"hunter2"}},
	} {
		bad := c.Check("trace")
		if len(bad) != 1 || bad[0].Name != key || strings.Contains(bad[0].Reason, "hunter2") {
			t.Errorf("%s: %v", key, bad)
		}
	}
	if bad := (obs.TraceConfig{Endpoint: "http://user:hunter2@collector"}).Check("trace"); len(bad) != 1 || strings.Contains(bad[0].Reason, "hunter2") {
		t.Errorf("an endpoint with a password: %v", bad)
	}
}

// A line of the log is found by the request, and by the trace where one is recorded.
func TestLinesNameRequestAndTrace(t *testing.T) {
	to := obstest.NewCollector(t)
	by := tracer(t, obs.TraceConfig{Endpoint: to.URL, Sample: 1})
	defer by.Close(t.Context())
	core, lines := observer.New(zapcore.InfoLevel)
	log := zap.New(core)
	ctx, span := by.Begin(obs.WithRequest(context.WithoutCancel(t.Context()), "r-1"), "x", "")
	defer span.End(nil)
	log.Info("in both", obs.About(ctx))
	log.Info("in neither", obs.About(t.Context()))
	got := lines.All()
	if m := got[0].ContextMap(); m["request"] != "r-1" || m["trace"] == nil || !strings.Contains(obs.Parent(ctx), m["trace"].(string)) {
		t.Errorf("the line has %v", m)
	}
	if m := got[1].ContextMap(); len(m) != 0 {
		t.Errorf("the line has %v", m)
	}
}
