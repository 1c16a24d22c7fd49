package client

import (
	"context"
	"net/http"
	"net/url"
	"time"
)

// Binding is what may be done where; "*" is all.
type Binding struct {
	Verbs      []string `json:"verbs"`
	Clusters   []string `json:"clusters"`
	Namespaces []string `json:"namespaces"`
}

// Me is who asks.
type Me struct {
	Name     string     `json:"name"`
	Groups   []string   `json:"groups"`
	Tenant   string     `json:"tenant"`
	Bindings []Binding  `json:"bindings"`
	Kind     string     `json:"kind"` // "token" or "ticket"
	Token    string     `json:"token"`
	Ticket   string     `json:"ticket,omitempty"`
	Cluster  string     `json:"cluster,omitempty"`
	Expires  *time.Time `json:"expires,omitempty"` // nil: never
}

// Me tells who asks. Unauthorized when the hub doesn't know.
func (c *Client) Me(ctx context.Context) (me Me, err error) {
	err = c.Get(ctx, "/api/v1/me", &me)
	return me, err
}

// Ticket is a token for a short while.
type Ticket struct {
	Token   string    `json:"token"`
	Expires time.Time `json:"expires"`
}

// Ticket has a ticket made, for one cluster or, with "", for all. With 0 it lasts as long as the hub finds usual.
func (c *Client) Ticket(ctx context.Context, cluster string, lasts time.Duration) (t Ticket, err error) {
	in := struct {
		Cluster  string `json:"cluster,omitempty"`
		Lifetime string `json:"lifetime,omitempty"`
	}{Cluster: cluster}
	if lasts != 0 {
		in.Lifetime = lasts.String()
	}
	err = c.Do(ctx, http.MethodPost, "/api/v1/me/ticket", in, &t)
	return t, err
}

// Freshness is how old what is known of a cluster is.
type Freshness struct {
	State     string    `json:"state"` // live, stale or never
	Since     time.Time `json:"since,omitzero"`
	LastHeard time.Time `json:"lastHeard,omitzero"`
}

// Cluster is one in numbers.
type Cluster struct {
	ID        string            `json:"id"`
	Name      string            `json:"name"`
	Labels    map[string]string `json:"labels,omitempty"`
	Version   string            `json:"version,omitempty"`
	Provider  string            `json:"provider,omitempty"`
	Agent     string            `json:"agent,omitempty"`
	Freshness Freshness         `json:"freshness"`
	Resources int               `json:"resources"`
	Edges     int               `json:"edges"`
	Worst     string            `json:"worst,omitempty"`
}

// Clusters lists the visible ones, by name.
func (c *Client) Clusters(ctx context.Context) ([]Cluster, error) {
	var out struct {
		Clusters []Cluster `json:"clusters"`
	}
	err := c.Get(ctx, "/api/v1/clusters/summary", &out)
	return out.Clusters, err
}

// Kubeconfig gives a kubeconfig, YAML: of a cluster, by its id, or, with "", of all. auth is "exec" or "ticket"; a ticket lasts as long as it can if lasts is 0.
func (c *Client) Kubeconfig(ctx context.Context, cluster, auth string, lasts time.Duration) ([]byte, error) {
	path, query := "/api/v1/kubeconfig", url.Values{"auth": {auth}}
	if cluster != "" {
		path = "/api/v1/clusters/" + url.PathEscape(cluster) + "/kubeconfig"
	}
	if lasts != 0 {
		query.Set("lifetime", lasts.String())
	}
	return c.Text(ctx, path+"?"+query.Encode())
}
