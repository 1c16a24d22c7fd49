package httpapi

import (
	"fmt"
	"net/http"
	"time"

	"github.com/kubilitics/kubilitics/hub/internal/fleet"
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
		left, err := a.asks(p)
		// As in the draft of RateLimit header fields for HTTP: a quota of requests at a time has no window.
		w.Header().Set("RateLimit-Policy", fmt.Sprintf(`"user";q=%d;qu="concurrent-requests"`, a.cfg.RequestsEach))
		w.Header().Set("RateLimit", fmt.Sprintf(`"user";r=%d`, left))
		if err != nil {
			a.fail(w, r, err)
			return
		}
		defer a.answered(p)
		next.ServeHTTP(w, r)
	})
}

// asks counts a request of a user in, and tells how many more there may be. answered must follow where there is no error.
func (a *API) asks(p fleet.Principal) (left int, err error) {
	who := owner{tenant: p.Tenant, name: p.Name}
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.asking[who] >= a.cfg.RequestsEach {
		return 0, fault.New(fault.TooManyRequests, "%q has %d requests under way already", p.Name, a.cfg.RequestsEach).After(time.Second)
	}
	a.asking[who]++
	return a.cfg.RequestsEach - a.asking[who], nil
}

func (a *API) answered(p fleet.Principal) {
	who := owner{tenant: p.Tenant, name: p.Name}
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.asking[who]--; a.asking[who] == 0 {
		delete(a.asking, who)
	}
}
