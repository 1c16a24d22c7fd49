package hub

import (
	"context"
	"net"
	"net/http"

	"github.com/kubilitics/kubilitics/hub/internal/auth"
	"github.com/kubilitics/kubilitics/hub/internal/fleet"
	"github.com/kubilitics/kubilitics/hub/internal/httpapi"
	"github.com/kubilitics/kubilitics/hub/internal/store"
	"github.com/kubilitics/kubilitics/shared/fault"
)

// Embedding is what a program gives a hub that it runs inside itself. All of it may be left out.
type Embedding struct {
	Tunnels  net.Listener                    // where agents come, in place of tunnel.listen; they don't come by WebSocket either then
	Token    string                          // an API token that may do everything for as long as this process lives, and is kept nowhere
	Guard    func(http.Handler) http.Handler // stands before every door of the API
	Contacts httpapi.Contacts                // how the program's own agents fare
}

func (e Embedding) guard(doors http.Handler) http.Handler {
	if e.Guard == nil {
		return doors
	}
	return e.Guard(doors)
}

func (h *Hub) listenForTunnels(ctx context.Context) (net.Listener, error) {
	if h.inside.Tunnels != nil {
		return h.inside.Tunnels, nil
	}
	return listen(ctx, h.cfg.Tunnel.Listen)
}

// tokenStore is where tokens are known from.
func (h *Hub) tokenStore() store.Tokens {
	if h.inside.Token == "" {
		return h.store
	}
	return auth.WithLaunch(h.store, h.tenant.ID, h.inside.Token)
}

// host is who acts where the program that embeds the hub does.
func (h *Hub) host() fleet.Principal {
	return fleet.Principal{Tenant: h.tenant.ID, Name: "this machine", Bindings: auth.Everything()}
}

// Clusters gives every cluster that the hub knows.
func (h *Hub) Clusters(ctx context.Context) ([]fleet.Cluster, error) {
	return h.store.Clusters(ctx, h.tenant.ID)
}

// Invite makes a join token for an agent of that cluster, or, with 0 for it, of a new one with that name and those labels: Conflict when the name is taken.
func (h *Hub) Invite(ctx context.Context, id fleet.ClusterID, name string, labels map[string]string) (at fleet.ClusterID, token string, err error) {
	if id == 0 {
		made, err := h.enroll.Mint(ctx, h.host(), name, labels)
		return made.Cluster.ID, made.Token, err
	}
	made, err := h.enroll.Invite(ctx, h.host(), id)
	return id, made.Token, err
}

// Forget deletes a cluster and what is known of it; one that isn't there is no error.
func (h *Hub) Forget(ctx context.Context, id fleet.ClusterID) error {
	at := store.Scope{Tenant: h.tenant.ID, Cluster: id}
	if err := h.store.DeleteCluster(ctx, at); err != nil && !fault.Is(err, fault.NotFound) {
		return err
	}
	tunnelsOf{h}.Cut(at, fault.New(fault.Gone, "the cluster was deleted"))
	return nil
}
