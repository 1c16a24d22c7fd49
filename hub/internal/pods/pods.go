// Package pods is what people do with pods that run: read their logs, many at once, run commands in them, reach their ports, see what they use.
// Everything goes to the cluster's own API, as its caller.
package pods

import (
	"net/http"
	"time"

	"go.uber.org/zap"

	"github.com/kubilitics/kubilitics/hub/internal/fleet"
	"github.com/kubilitics/kubilitics/hub/internal/kubeproxy"
)

// Kube reaches clusters' Kubernetes APIs.
type Kube interface {
	Transport(by kubeproxy.Caller, cluster fleet.ClusterID) http.RoundTripper
}

// Config is what it stands on. Zero durations and numbers mean the defaults.
type Config struct {
	Kube Kube
	Log  *zap.Logger

	Sources int           // containers whose logs one stream reads at once; 50
	Window  time.Duration // within which followed lines are put in order; 250 ms
	Pause   time.Duration // before a log that broke off is opened again, doubled up to 20 times itself; 500 ms
}

// Pods is safe for concurrent use.
type Pods struct{ cfg Config }

// New makes it.
func New(cfg Config) *Pods {
	if cfg.Sources == 0 {
		cfg.Sources = 50
	}
	if cfg.Window == 0 {
		cfg.Window = 250 * time.Millisecond
	}
	if cfg.Pause == 0 {
		cfg.Pause = 500 * time.Millisecond
	}
	if cfg.Log == nil {
		cfg.Log = zap.NewNop()
	}
	return &Pods{cfg: cfg}
}

// At is the caller's way to a cluster.
type At struct {
	By      kubeproxy.Caller
	Cluster fleet.ClusterID
}

func (p *Pods) client(at At, via string) client {
	at.By.Via = via
	return client{http: &http.Client{
		Transport:     p.cfg.Kube.Transport(at.By, at.Cluster),
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }, // an API server doesn't; who else answers may not lead astray
	}}
}
