// Package obstest stands for what programs tell of themselves to: a collector of traces, for tests.
package obstest

import (
	"compress/gzip"
	"encoding/hex"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	collector "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	common "go.opentelemetry.io/proto/otlp/common/v1"
	tracev1 "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/protobuf/proto"
)

// Span is one that came, with what tests look at.
type Span struct {
	Service, Name      string
	Trace, ID, Parent  string // hexadecimal
	Linked             []string
	Failed             bool
	Begin, End         time.Time
	Attributes         map[string]string
	TextOfAllThatItHas string // every name and value, for a search
}

// Collector takes traces by OTLP over HTTP.
type Collector struct {
	URL string

	mu      sync.Mutex
	spans   []Span
	headers http.Header
	refuse  bool
}

// NewCollector starts one that ends with the test.
func NewCollector(t testing.TB) *Collector {
	c := &Collector{}
	mux := http.NewServeMux()
	mux.HandleFunc("POST /v1/traces", c.take)
	s := httptest.NewServer(mux)
	t.Cleanup(s.Close)
	c.URL = s.URL
	return c
}

// Refuse makes it refuse everything from now on, or take it again.
func (c *Collector) Refuse(on bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.refuse = on
}

func (c *Collector) take(w http.ResponseWriter, r *http.Request) {
	body := io.Reader(r.Body)
	if r.Header.Get("Content-Encoding") == "gzip" {
		z, err := gzip.NewReader(body)
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		body = z
	}
	raw, err := io.ReadAll(body)
	var req collector.ExportTraceServiceRequest
	if err == nil {
		err = proto.Unmarshal(raw, &req)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if err != nil || c.refuse {
		http.Error(w, "no", http.StatusBadRequest)
		return
	}
	c.headers = r.Header.Clone()
	for _, of := range req.GetResourceSpans() {
		service := texts(of.GetResource().GetAttributes())["service.name"]
		for _, in := range of.GetScopeSpans() {
			for _, s := range in.GetSpans() {
				c.spans = append(c.spans, spanOf(service, s))
			}
		}
	}
	w.Header().Set("Content-Type", "application/x-protobuf")
}

func spanOf(service string, s *tracev1.Span) Span {
	out := Span{
		Service: service, Name: s.GetName(), Trace: hex.EncodeToString(s.GetTraceId()), ID: hex.EncodeToString(s.GetSpanId()), Parent: hex.EncodeToString(s.GetParentSpanId()),
		Begin: time.Unix(0, int64(s.GetStartTimeUnixNano())), End: time.Unix(0, int64(s.GetEndTimeUnixNano())),
		Failed: s.GetStatus().GetCode() == tracev1.Status_STATUS_CODE_ERROR, Attributes: texts(s.GetAttributes()), TextOfAllThatItHas: s.String(),
	}
	for _, l := range s.GetLinks() {
		out.Linked = append(out.Linked, hex.EncodeToString(l.GetTraceId()))
	}
	return out
}

func texts(all []*common.KeyValue) map[string]string {
	out := map[string]string{}
	for _, a := range all {
		if _, text := a.GetValue().GetValue().(*common.AnyValue_StringValue); text {
			out[a.GetKey()] = a.GetValue().GetStringValue()
			continue
		}
		_, number, _ := strings.Cut(a.GetValue().String(), ":")
		out[a.GetKey()] = strings.Trim(number, `" `)
	}
	return out
}

// Spans are those that have come so far, by their beginning.
func (c *Collector) Spans() []Span {
	c.mu.Lock()
	defer c.mu.Unlock()
	out := slices.Clone(c.spans)
	slices.SortStableFunc(out, func(a, b Span) int { return a.Begin.Compare(b.Begin) })
	return out
}

// Trace is the spans of one trace.
func (c *Collector) Trace(id string) []Span {
	return slices.DeleteFunc(c.Spans(), func(s Span) bool { return s.Trace != id })
}

// Headers are those of the last request.
func (c *Collector) Headers() http.Header {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.headers
}
