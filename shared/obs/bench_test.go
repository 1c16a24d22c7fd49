package obs_test

import (
	"testing"

	"go.uber.org/zap"

	"github.com/kubilitics/kubilitics/shared/obs"
	"github.com/kubilitics/kubilitics/shared/obs/obstest"
)

// BenchmarkRequest is all that tracing does for one request on its way through a hub, without what is sent to the collector.
func BenchmarkRequest(b *testing.B) {
	to := obstest.NewCollector(b).URL
	for name, c := range map[string]obs.TraceConfig{"off": {}, "none": {Endpoint: to}, "all": {Endpoint: to, Sample: 1}} {
		b.Run(name, func(b *testing.B) {
			tracer, err := obs.NewTracer("bench", c, zap.NewNop())
			if err != nil {
				b.Fatal(err)
			}
			defer tracer.Close(b.Context())
			r := request(b, "")
			b.ReportAllocs()
			for b.Loop() {
				ctx, root := tracer.Request(r, "GET", false)
				for _, part := range []string{"decide", "record", "forward", "stream.open"} {
					_, span := obs.Call(ctx, part)
					span.Text("kubilitics.cluster", "c1")
					span.End(nil)
				}
				obs.Inject(ctx, r.Header)
				delete(r.Header, "Traceparent")
				root.End(nil)
			}
		})
	}
}
