package httpapi

import (
	"net/http"
	"net/url"
	"strings"

	"github.com/go-chi/cors"
)

// origins are those of other sites whose pages may call, besides the hub's own.
type origins map[string]bool

func newOrigins(list []string) origins {
	o := origins{}
	for _, s := range list {
		o[strings.ToLower(strings.TrimSuffix(s, "/"))] = true
	}
	return o
}

func (o origins) has(origin string) bool { return o[strings.ToLower(origin)] || o["*"] }

// handler answers CORS. Without configured origins it does nothing, so browsers keep other sites out.
func (o origins) handler() func(http.Handler) http.Handler {
	if len(o) == 0 {
		return func(next http.Handler) http.Handler { return next }
	}
	return cors.Handler(cors.Options{
		AllowOriginFunc: func(_ *http.Request, origin string) bool { return o.has(origin) },
		AllowedMethods:  []string{http.MethodGet, http.MethodHead, http.MethodPost, http.MethodPut, http.MethodPatch, http.MethodDelete},
		AllowedHeaders:  []string{"Authorization", "Content-Type", "If-None-Match", "If-Match", "Idempotency-Key", "Last-Event-ID", requestIDHeader},
		ExposedHeaders:  []string{"ETag", "Location", "Retry-After", "Allow", "Idempotent-Replayed", "RateLimit", "RateLimit-Policy", requestIDHeader},
		MaxAge:          600,
	})
}

// permits tells whether a WebSocket may be opened by a page of the request's origin: CORS doesn't cover them. Callers that are no
// browsers send none.
func (o origins) permits(r *http.Request) bool {
	origin := r.Header.Get("Origin")
	if origin == "" {
		return true
	}
	u, err := url.Parse(origin)
	return err == nil && (strings.EqualFold(u.Host, r.Host) || o.has(origin))
}
