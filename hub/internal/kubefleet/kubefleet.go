// Package kubefleet answers the Kubernetes API's lists and watches for the whole fleet from the index, for clusters that are offline too.
package kubefleet

import (
	"net/http"

	"go.uber.org/zap"

	"github.com/kubilitics/kubilitics/hub/internal/fleet"
	"github.com/kubilitics/kubilitics/hub/internal/live"
	"github.com/kubilitics/kubilitics/hub/internal/query"
	"github.com/kubilitics/kubilitics/shared/fault"
	"github.com/kubilitics/kubilitics/shared/kube"
)

// Config is what the face stands on.
type Config struct {
	Query *query.Querier
	Live  *live.Live
	Log   *zap.Logger
}

// Face is safe for concurrent use.
type Face struct{ cfg Config }

// New makes it.
func New(cfg Config) *Face { return &Face{cfg: cfg} }

// Serve answers a request whose URL is as an API server would see it, "/api/…".
func (f *Face) Serve(w http.ResponseWriter, r *http.Request, p fleet.Principal) {
	kube.WriteStatus(w, fault.New(fault.Unavailable, "not served yet"))
}
