package httpapi

import (
	"context"
	"net/http"

	"github.com/kubilitics/kubilitics/shared/obs"
)

// unseen are the paths of those who ask whether this hub is well: as traces, they would bury the others.
var unseen = map[string]bool{"/healthz": true, "/readyz": true}

// trace begins the trace of a request, or goes on with the client's where that is trusted.
func (a *API) trace(r *http.Request) (context.Context, obs.Span) {
	if a.cfg.Tracer == nil || unseen[r.URL.Path] {
		return r.Context(), obs.Span{}
	}
	return a.cfg.Tracer.Request(r, methodLabel(r.Method), a.cfg.TrustTraces)
}

// traced ends it under the name of its route: paths hold names, queries what people look for, and neither belongs there.
func traced(span obs.Span, method, route, request string, status int) {
	if !span.On() {
		return
	}
	method = methodLabel(method)
	span.Name(method + " " + route)
	span.Text("http.request.method", method)
	span.Text("http.route", route)
	span.Text("kubilitics.request", request)
	span.Number("http.response.status_code", int64(status))
	if status >= http.StatusInternalServerError {
		span.Failed(http.StatusText(status))
	}
	span.End(nil)
}
