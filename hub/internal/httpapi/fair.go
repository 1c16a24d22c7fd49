package httpapi

import (
	"fmt"
	"net/http"
	"time"

	"github.com/kubilitics/kubilitics/shared/fault"
)

// fair bounds what one user, by all tokens of the name, has under way: the database's connections are for all. Streams are counted by themselves.
func (a *API) fair(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if lasts(r.URL.Path) {
			next.ServeHTTP(w, r)
			return
		}
		p := principalOf(r.Context())
		who := owner{tenant: p.Tenant, name: p.Name}
		a.mu.Lock()
		left := a.cfg.RequestsEach - a.asking[who]
		if left > 0 {
			a.asking[who]++
		}
		a.mu.Unlock()
		// As in the draft of RateLimit header fields for HTTP: a quota of requests at a time has no window.
		w.Header().Set("RateLimit-Policy", fmt.Sprintf(`"user";q=%d;qu="concurrent-requests"`, a.cfg.RequestsEach))
		w.Header().Set("RateLimit", fmt.Sprintf(`"user";r=%d`, max(0, left-1)))
		if left <= 0 {
			a.fail(w, r, fault.New(fault.TooManyRequests, "%q has %d requests under way already", p.Name, a.cfg.RequestsEach).After(time.Second))
			return
		}
		defer a.answered(who)
		next.ServeHTTP(w, r)
	})
}

func (a *API) answered(who owner) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.asking[who]--; a.asking[who] == 0 {
		delete(a.asking, who)
	}
}
