package kubeserve

import (
	"net/http"
	"time"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"

	"github.com/kubilitics/kubilitics/shared/kube"
	"github.com/kubilitics/kubilitics/shared/obs"
)

// trace goes on with the trace that the hub has begun, which also says whether it is recorded: nobody else has a way to the door. Without a tracer here the
// hub's own word goes on to the API server.
func (d *Door) trace(r *http.Request) (*http.Request, obs.Span) {
	if d.cfg.Tracer == nil {
		return r, obs.Span{}
	}
	ctx, span := d.cfg.Tracer.Request(r, "door", true)
	return r.WithContext(ctx), span
}

// ask begins what waits for the API server, up to the head of its answer.
func (d *Door) ask(r *http.Request) (*http.Request, obs.Span) {
	ctx, span := obs.Call(r.Context(), "api server")
	if span.On() {
		r = r.WithContext(ctx)
	}
	return r, span
}

// passed ends this program's part of a request.
func (d *Door) passed(r *http.Request, span obs.Span, who identity, q kube.Request, began time.Time) {
	if span.On() {
		span.Text("kubilitics.request", who.request)
		span.Text("k8s.verb", q.Verb)
		span.Text("k8s.group", q.Group)
		span.Text("k8s.resource", q.Resource)
		span.End(nil)
	}
	if e := d.cfg.Log.Check(zapcore.DebugLevel, "request"); e != nil {
		e.Write(zap.String("request", who.request), obs.Trace(r.Context()), zap.String("method", r.Method), zap.String("path", r.URL.Path), zap.Duration("took", time.Since(began)))
	}
}
