// Package kubeproxy serves the Kubernetes API of every cluster through its tunnel: it decides by the hub's roles what may pass, bounds how much of
// it, keeps the record, says whose request it is, and otherwise changes nothing.
package kubeproxy

import (
	"context"
	"net/http"

	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/zap"

	"github.com/kubilitics/kubilitics/hub/internal/audit"
	"github.com/kubilitics/kubilitics/hub/internal/fleet"
	"github.com/kubilitics/kubilitics/hub/internal/store"
	"github.com/kubilitics/kubilitics/shared/fault"
	"github.com/kubilitics/kubilitics/shared/kube"
	"github.com/kubilitics/kubilitics/shared/tunnel"
)

// Tunnels opens streams to agents' doors. It is Unavailable at once where no session is live.
type Tunnels interface {
	OpenStream(ctx context.Context, at store.Scope) (*tunnel.Stream, error)
}

// Clusters tells of a cluster; NotFound when the tenant has none with that id.
type Clusters interface {
	Cluster(ctx context.Context, at store.Scope) (fleet.Cluster, error)
}

// Config is what a proxy stands on.
type Config struct {
	Tunnels    Tunnels
	Clusters   Clusters
	Audit      *audit.Log
	Log        *zap.Logger
	Registerer prometheus.Registerer
}

// Caller is who asks, and how the request came.
type Caller struct {
	Principal fleet.Principal
	From      string // address
	Agent     string // User-Agent
	Request   string // the request's id
	Via       string // "kubernetes", or the operation that it is done for, such as "drain"
}

// Proxy is safe for concurrent use.
type Proxy struct{ cfg Config }

// New makes a proxy.
func New(cfg Config) *Proxy { return &Proxy{cfg: cfg} }

// Serve answers a request whose URL is as the cluster's API server will see it, "/api/…".
func (p *Proxy) Serve(w http.ResponseWriter, r *http.Request, by Caller, cluster fleet.ClusterID) {
	kube.WriteStatus(w, fault.New(fault.Unavailable, "not served yet"))
}

// Transport reaches a cluster's API for a caller: what goes through it is decided on, recorded and bounded as what comes from outside. The host in
// the requests' URLs doesn't matter. What is refused is answered with a Status, as an API server would.
func (p *Proxy) Transport(by Caller, cluster fleet.ClusterID) http.RoundTripper { return nil }
