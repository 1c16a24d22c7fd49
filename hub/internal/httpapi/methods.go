package httpapi

import (
	"net/http"
	"strings"

	"github.com/danielgtaylor/huma/v2"
	"github.com/go-chi/chi/v5"
	"github.com/go-chi/chi/v5/middleware"

	"github.com/kubilitics/kubilitics/shared/fault"
)

// head answers HEAD as GET without its body, but for what lasts, whose answer would have no end.
func head(next http.Handler) http.Handler {
	asGet := middleware.GetHead(next)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if lasts(r.URL.Path) {
			next.ServeHTTP(w, r)
			return
		}
		asGet.ServeHTTP(w, r)
	})
}

// methods are those that a route may have.
var methods = []string{http.MethodGet, http.MethodPost, http.MethodPut, http.MethodPatch, http.MethodDelete}

// wrongMethod tells which methods a path has, where it is asked for with another.
func (a *API) wrongMethod(w http.ResponseWriter, r *http.Request) {
	var has []string
	for _, method := range methods {
		if !a.router.Match(chi.NewRouteContext(), method, r.URL.Path) {
			continue
		}
		if has = append(has, method); method == http.MethodGet && !lasts(r.URL.Path) {
			has = append(has, http.MethodHead)
		}
	}
	w.Header().Set("Allow", strings.Join(has, ", "))
	p := a.problem(r.Context(), fault.New(fault.BadRequest, "%s is not possible here", r.Method))
	p.Status, p.Title = http.StatusMethodNotAllowed, http.StatusText(http.StatusMethodNotAllowed)
	a.write(w, p)
}

// checkPrecondition refuses a condition that the operation would not look at: who sends one must not be told that it held.
func checkPrecondition(r *http.Request, op *huma.Operation) error {
	if _, changes := verbs[r.Method]; !changes || r.Header.Get("If-Match") == "" {
		return nil
	}
	for _, p := range op.Parameters {
		if p.In == "header" && strings.EqualFold(p.Name, "If-Match") {
			return nil
		}
	}
	return fault.New(fault.BadRequest, "this can't be done under a condition").WithField("If-Match", "is taken by what changes one object of a cluster")
}
