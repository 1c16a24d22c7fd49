// Package pods is what people do with pods that run: read their logs, many at once, run commands in them, reach their ports, see what they use.
package pods

import (
	"net/http"

	"go.uber.org/zap"

	"github.com/kubilitics/kubilitics/hub/internal/fleet"
	"github.com/kubilitics/kubilitics/hub/internal/kubeproxy"
)

// Kube reaches clusters' Kubernetes APIs.
type Kube interface {
	Transport(by kubeproxy.Caller, cluster fleet.ClusterID) http.RoundTripper
}

// Config is what it stands on.
type Config struct {
	Kube Kube
	Log  *zap.Logger
}

// Pods is safe for concurrent use.
type Pods struct{ cfg Config }

// New makes it.
func New(cfg Config) *Pods { return &Pods{cfg: cfg} }
