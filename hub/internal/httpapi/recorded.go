package httpapi

import (
	"context"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/go-chi/chi/v5"
	"github.com/go-chi/chi/v5/middleware"
	"go.uber.org/zap"

	"github.com/kubilitics/kubilitics/hub/internal/fleet"
	"github.com/kubilitics/kubilitics/hub/internal/store"
	"github.com/kubilitics/kubilitics/shared/obs"
)

// verbs are what methods mean in the record; what isn't here only reads.
var verbs = map[string]string{http.MethodPost: "create", http.MethodPut: "update", http.MethodPatch: "patch", http.MethodDelete: "delete"}

// recordedBelow is the tag of operations that change clusters: each of the requests that they make there is on record, under this request's id.
const recordedBelow = "operations"

// recorded puts on record what changes something here, before it is done.
func (a *API) recorded(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		verb, changes := verbs[r.Method]
		if !changes {
			next.ServeHTTP(w, r)
			return
		}
		if op := a.operation(r); op != nil && slices.Contains(op.Tags, recordedBelow) {
			a.operates(next, w, r, verb)
			return
		}
		entry, err := a.cfg.Audit.Begin(r.Context(), a.recordOf(r, verb), true)
		if err != nil {
			a.fail(w, r, err)
			return
		}
		ww := middleware.NewWrapResponseWriter(w, r.ProtoMajor)
		answered, made := false, ""
		defer func() {
			status := ww.Status()
			if !answered { // it panicked, which is answered above
				status = http.StatusInternalServerError
			}
			entry.End(status, "", made, nil)
		}()
		next.ServeHTTP(ww, r.WithContext(context.WithValue(r.Context(), madeKey{}, &made)))
		answered = true
	})
}

// operates puts an operation on record that came to an end before it asked for a change of the cluster: its input is wrong, its object isn't there, or it only
// wanted to know what it touches.
func (a *API) operates(next http.Handler, w http.ResponseWriter, r *http.Request, verb string) {
	began, status, ww := time.Now(), http.StatusInternalServerError, middleware.NewWrapResponseWriter(w, r.ProtoMajor)
	defer func() {
		if infoOf(r.Context()).wrote.Load() {
			return
		}
		if err := a.cfg.Audit.Over(r.Context(), a.recordOfOperation(r, verb), began, status); err != nil {
			a.cfg.Log.Warn("an operation is not on record", obs.About(r.Context()), zap.Error(err))
		}
	}()
	next.ServeHTTP(ww, r)
	status = ww.Status()
}

// operation is what the request's route leads to; nil where that is no operation.
func (a *API) operation(r *http.Request) *huma.Operation {
	path := a.huma.OpenAPI().Paths[chi.RouteContext(r.Context()).RoutePattern()]
	if path == nil {
		return nil
	}
	switch r.Method {
	case http.MethodPost:
		return path.Post
	case http.MethodPut:
		return path.Put
	case http.MethodPatch:
		return path.Patch
	case http.MethodDelete:
		return path.Delete
	}
	return nil
}

func (a *API) recordOf(r *http.Request, verb string) store.AuditRecord {
	i, route := infoOf(r.Context()), chi.RouteContext(r.Context())
	p := i.principal
	out := store.AuditRecord{
		Tenant: p.Tenant, Request: i.id, Who: p.Name, Groups: p.Groups, Token: p.Token, From: a.clientOf(r), Agent: r.UserAgent(), Via: "api", Verb: verb,
		Resource: collection(route.RoutePattern()), Path: r.URL.Path,
	}
	for n, key := range route.URLParams.Keys {
		if key == "*" {
			continue
		}
		value := route.URLParams.Values[n]
		if key == "cluster" {
			out.Cluster, _ = fleet.ParseClusterID(value) // what is none is about none
		}
		if key == "namespace" {
			out.Namespace = dash(value)
		}
		out.Name = value
	}
	return out
}

// recordOfOperation names what it is about as requests to the cluster would.
func (a *API) recordOfOperation(r *http.Request, verb string) store.AuditRecord {
	out, route := a.recordOf(r, verb), chi.RouteContext(r.Context())
	out.Name = or(route.URLParam("name"), route.URLParam("node"))
	out.Group, out.Version = dash(route.URLParam("group")), dash(route.URLParam("version"))
	out.Resource = or(route.URLParam("plural"), out.Resource)
	out.DryRun = r.URL.Query().Get("dryRun") != ""
	return out
}

// collection is what of a route doesn't change from request to request.
func collection(pattern string) string {
	var parts []string
	for part := range strings.SplitSeq(strings.TrimPrefix(pattern, "/api/v1/"), "/") {
		if part != "" && !strings.HasPrefix(part, "{") {
			parts = append(parts, part)
		}
	}
	return strings.Join(parts, "/")
}

type madeKey struct{}

// named tells the record the id of what a request made.
func named(ctx context.Context, id string) {
	if made, ok := ctx.Value(madeKey{}).(*string); ok {
		*made = id
	}
}
