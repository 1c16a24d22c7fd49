// Package ops does what people ask for with more than one request to a cluster's Kubernetes API: apply documents, scale, roll out, drain.
package ops

import (
	"net/http"

	"go.uber.org/zap"

	"github.com/kubilitics/kubilitics/hub/internal/fleet"
	"github.com/kubilitics/kubilitics/hub/internal/kubeproxy"
	"github.com/kubilitics/kubilitics/hub/internal/query"
)

// Kube reaches clusters' Kubernetes APIs.
type Kube interface {
	Transport(by kubeproxy.Caller, cluster fleet.ClusterID) http.RoundTripper
}

// Config is what the operations stand on.
type Config struct {
	Kube  Kube
	Query *query.Querier // what the topology says an operation touches
	Log   *zap.Logger
}

// Ops does operations.
type Ops struct{ cfg Config }

// New makes it.
func New(cfg Config) *Ops { return &Ops{cfg: cfg} }
