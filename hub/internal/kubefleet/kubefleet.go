// Package kubefleet answers the Kubernetes API's lists, gets and watches for the whole fleet from the index, for clusters that are offline too.
package kubefleet

import (
	"net/http"
	"slices"
	"sync"
	"time"

	lru "github.com/hashicorp/golang-lru/v2"
	"go.uber.org/zap"
	"golang.org/x/sync/singleflight"

	"github.com/kubilitics/kubilitics/hub/internal/fleet"
	"github.com/kubilitics/kubilitics/hub/internal/live"
	"github.com/kubilitics/kubilitics/hub/internal/query"
	"github.com/kubilitics/kubilitics/shared/kube"
	"github.com/kubilitics/kubilitics/shared/obs"
)

// Config is what the face stands on.
type Config struct {
	Query *query.Querier
	Live  *live.Live
	Log   *zap.Logger
}

// Face is safe for concurrent use.
type Face struct {
	cfg     Config
	kept    *lru.Cache[string, *catalogue]
	defined *lru.Cache[string, *definition]
	flight  singleflight.Group

	quiet time.Duration // after which a watch that has nothing to tell tells where it stands

	mu      sync.Mutex
	watches map[string]int // open ones, by who has them
}

// New makes it.
func New(cfg Config) *Face {
	if cfg.Log == nil {
		cfg.Log = zap.NewNop()
	}
	kept, err := lru.New[string, *catalogue](keptCatalogues)
	if err != nil {
		panic(err) // the size is a constant above zero
	}
	defined, err := lru.New[string, *definition](keptDefinitions)
	if err != nil {
		panic(err)
	}
	return &Face{cfg: cfg, kept: kept, defined: defined, quiet: 10 * time.Second, watches: map[string]int{}}
}

// Serve answers a request whose URL is as an API server would see it, "/api/…", or, to be about one cluster alone, "/clusters/NAME-OR-ID/api/…".
func (f *Face) Serve(w http.ResponseWriter, r *http.Request, p fleet.Principal) {
	a := &answer{ResponseWriter: w, control: http.NewResponseController(w)}
	err := f.serve(a, r, p)
	switch {
	case err == nil || r.Context().Err() != nil:
	case a.begun:
		f.cfg.Log.Warn("a list broke off", obs.About(r.Context()), zap.String("path", r.URL.Path), zap.Error(err))
		panic(http.ErrAbortHandler) // what was sent can't be taken back: the client must see that it isn't whole
	default:
		writeError(w, err)
	}
}

func (f *Face) serve(w *answer, r *http.Request, p fleet.Principal) error {
	at, r, err := f.enter(r, p)
	if err != nil {
		return err
	}
	q, err := kube.Parse(r)
	if err != nil {
		return err
	}
	switch {
	case isReview(&q):
		return review(w, r, at.principal)
	case !q.Reads():
		return readsOnly(&q)
	case q.Resource == "":
		return f.describe(w, r, at)
	}
	a, err := f.ask(r, at, q)
	if err != nil {
		return err
	}
	switch {
	case q.Verb == "watch":
		return f.watch(r.Context(), w, a)
	case a.kind.events() && q.Verb == "get":
		return f.event(r.Context(), w, a)
	case a.kind.events():
		return f.listEvents(r.Context(), w, a)
	case q.Verb == "get":
		return f.get(r.Context(), w, a)
	default:
		return f.list(r.Context(), w, a)
	}
}

// may tells whether there is anything at all on which somebody may do that.
func may(p fleet.Principal, verb fleet.Verb) bool {
	return seesIn(fleet.ViewOf(p, verb), "")
}

// mayRead tells whether there is anything here for somebody.
func mayRead(p fleet.Principal) bool {
	return slices.ContainsFunc(verbs, func(verb string) bool { return may(p, fleet.Verb(verb)) })
}
