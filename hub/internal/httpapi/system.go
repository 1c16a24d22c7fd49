package httpapi

import (
	"context"
	"net/http"
	"reflect"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/go-chi/chi/v5"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/kubilitics/kubilitics/hub/internal/fleet"
	"github.com/kubilitics/kubilitics/shared/fault"
	"github.com/kubilitics/kubilitics/shared/fault/httpfault"
)

// system is what needs no authentication: it tells nothing of what the hub holds.
func (a *API) system(r chi.Router) {
	r.Get("/healthz", plain(func(context.Context) (any, error) { return statusBody{"ok"}, nil }, a))
	r.Get("/readyz", plain(a.ready, a))
	r.Get("/version", plain(func(context.Context) (any, error) { return versionBody{a.cfg.Version}, nil }, a))
}

type statusBody struct {
	Status string `json:"status"`
}

type versionBody struct {
	Version string `json:"version"`
}

func plain(fn func(context.Context) (any, error), a *API) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		err := checkParameters(r, nil)
		var out any
		if err == nil {
			out, err = fn(r.Context())
		}
		if err != nil {
			a.fail(w, r, err)
			return
		}
		w.Header().Set("Content-Type", "application/json")
		_ = encode(w, out) // the client may be gone; there is nobody to tell
	}
}

const readyTimeout = 3 * time.Second

// ready tells whether requests can be served: the database answers, and changes are followed.
func (a *API) ready(ctx context.Context) (any, error) {
	if a.cfg.Ready != nil {
		if err := a.cfg.Ready(); err != nil {
			return nil, err
		}
	}
	ctx, cancel := context.WithTimeout(ctx, readyTimeout)
	defer cancel()
	if err := a.cfg.Store.Ping(ctx); err != nil {
		return nil, fault.Wrap(err, fault.Unavailable, "the database doesn't answer")
	}
	if err := a.cfg.Live.Healthy(); err != nil {
		return nil, err
	}
	return statusBody{"ready"}, nil
}

// documents are the routes that huma doesn't serve: they are described by hand, and a test holds them against the router.
func (a *API) documents(r chi.Router) {
	r.Get("/metrics", a.metricsHandler())
	r.Get("/api/v1/openapi.json", plain(func(context.Context) (any, error) { return a.huma.OpenAPI(), nil }, a))
	r.Get("/api/v1/stream", a.serveEvents)
	r.Get("/ws/v1/stream", a.serveSocket)

	doc := a.huma.OpenAPI()
	open := []map[string][]string{}
	for path, summary := range map[string]string{"/healthz": "Is the process alive", "/readyz": "Can it serve", "/version": "Version of the hub"} {
		doc.AddOperation(&huma.Operation{
			Method: http.MethodGet, Path: path, OperationID: path[1:], Summary: summary, Tags: []string{"system"}, Security: open,
			Responses: answers("application/json", summary),
		})
	}
	doc.AddOperation(&huma.Operation{
		Method: http.MethodGet, Path: "/metrics", OperationID: "metrics", Summary: "Prometheus metrics; needs the verb metrics or admin in the tenant that the hub was started for", Tags: []string{"system"},
		Responses: answers("text/plain", "Metrics"),
	})
	doc.AddOperation(&huma.Operation{
		Method: http.MethodGet, Path: "/api/v1/openapi.json", OperationID: "openapi", Summary: "This document", Tags: []string{"system"},
		Responses: answers("application/json", "OpenAPI 3.1"),
	})
	doc.AddOperation(chartsOperation())
	doc.AddOperation(a.eventsOperation())
	doc.AddOperation(a.socketOperation())
	documentProblems(doc)
}

// documentProblems adds to every operation the answer that any of them may give.
func documentProblems(doc *huma.OpenAPI) {
	problem := doc.Components.Schemas.Schema(reflect.TypeFor[Problem](), true, "")
	for _, item := range doc.Paths {
		for _, op := range []*huma.Operation{item.Get, item.Post, item.Patch, item.Put, item.Delete} {
			if op != nil {
				op.Responses["default"] = &huma.Response{Description: "What went wrong", Content: map[string]*huma.MediaType{httpfault.ContentType: {Schema: problem}}}
			}
		}
	}
}

func answers(contentType, description string) map[string]*huma.Response {
	return map[string]*huma.Response{"200": {Description: description, Content: map[string]*huma.MediaType{contentType: {}}}}
}

// metricsHandler serves what this process counts, which isn't one tenant's alone: clusters of all of them have their names there.
func (a *API) metricsHandler() http.HandlerFunc {
	serve := promhttp.HandlerFor(a.cfg.Gatherer, promhttp.HandlerOpts{})
	return func(w http.ResponseWriter, r *http.Request) {
		p := principalOf(r.Context())
		if home := (fleet.Scope{Tenant: a.cfg.Home}); !fleet.Can(p, fleet.Metrics, home) && !fleet.Can(p, fleet.Admin, home) {
			a.fail(w, r, fault.New(fault.Forbidden, "metrics need the verb %q on all clusters and namespaces, in the tenant that this hub was started for", fleet.Metrics))
			return
		}
		serve.ServeHTTP(w, r)
	}
}
