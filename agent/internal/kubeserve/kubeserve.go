// Package kubeserve is the agent's door to its Kubernetes API: what comes through the tunnel is let in so far as the cluster's owner permits, under the
// identity of the user whom the hub vouches for, and otherwise passes untouched.
package kubeserve

import (
	"context"

	"go.uber.org/zap"
	"k8s.io/client-go/rest"

	"github.com/kubilitics/kubilitics/shared/tunnel"
)

// Access is how far the cluster's owner opens the door.
type Access string

// The steps of access.
const (
	None        Access = "none"        // nobody comes in
	Read        Access = "read"        // reads, as the agent's own account; no Secrets
	Operate     Access = "operate"     // everything that the agent's own account may do
	Impersonate Access = "impersonate" // everything that the user may do, who is impersonated
)

// Config is what a door stands on.
type Config struct {
	REST   *rest.Config
	Access Access
	Prefix string // of impersonated users and groups
	Log    *zap.Logger
}

// Door serves requests from the hub.
type Door struct {
	cfg      Config
	listener *tunnel.Listener
}

// New makes a door.
func New(cfg Config) (*Door, error) {
	return &Door{cfg: cfg, listener: tunnel.NewListener("kubernetes")}, nil
}

// Listener takes the streams of kind tunnel.HTTP that the hub opens.
func (d *Door) Listener() *tunnel.Listener { return d.listener }

// Run serves until ctx ends, and returns when nothing is under way any more.
func (d *Door) Run(ctx context.Context) error {
	<-ctx.Done()
	return d.listener.Close()
}
