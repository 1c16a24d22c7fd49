package query

import (
	"time"

	"github.com/kubilitics/kubilitics/hub/internal/fleet"
	"github.com/kubilitics/kubilitics/hub/internal/store"
	"github.com/kubilitics/kubilitics/shared/topo"
)

// Ref is what a resource is called, as it stands in JSON; ID is its key within the cluster, in hexadecimal digits.
type Ref struct {
	ID        string `json:"id" doc:"key within the cluster"`
	Group     string `json:"group" doc:"API group; empty for the core group"`
	Kind      string `json:"kind"`
	Namespace string `json:"namespace,omitempty"`
	Name      string `json:"name"`
}

// RefOf gives a Ref its JSON shape.
func RefOf(r topo.Ref) Ref { return refOf(r, r.ID()) }

// refOf spares working the key out where it is known.
func refOf(r topo.Ref, id topo.ID) Ref {
	return Ref{ID: id.String(), Group: r.Group, Kind: r.Kind, Namespace: r.Namespace, Name: r.Name}
}

// Resource is a node as it stands in JSON.
type Resource struct {
	Cluster string `json:"cluster"`
	Ref
	UID      string            `json:"uid,omitempty"`
	Version  string            `json:"version,omitempty" doc:"API version it is watched at"`
	Presence string            `json:"presence" enum:"present,missing,unobserved" doc:"whether the object is known to be there"`
	Created  *time.Time        `json:"created,omitempty"`
	Labels   map[string]string `json:"labels"`
	Health   string            `json:"health" enum:"unknown,ok,progressing,warning,error"`
	Status   string            `json:"status,omitempty" doc:"the word kubectl prints"`
	Attrs    map[string]string `json:"attrs"`
	Since    topo.Position     `json:"since,omitempty" doc:"the position since which it has been so"`
}

// ResourceOf gives a node its JSON shape. Since is 0 where it isn't known.
func ResourceOf(c fleet.ClusterID, n *topo.Node, since topo.Position) Resource {
	return resourceOf(c, n.Ref.ID(), n, since)
}

func resourceOf(c fleet.ClusterID, id topo.ID, n *topo.Node, since topo.Position) Resource {
	r := Resource{
		Cluster: c.String(), Ref: refOf(n.Ref, id), UID: n.UID, Version: n.Version, Presence: n.Presence.String(), Labels: pairs(n.Labels),
		Health: n.Health.String(), Status: n.Status, Attrs: pairs(n.Attrs), Since: since,
	}
	if n.Created != 0 {
		t := time.Unix(n.Created, 0).UTC()
		r.Created = &t
	}
	return r
}

func resource(row *store.Row) Resource { return resourceOf(row.Cluster, row.ID, &row.Node, row.Since) }

// Edge is a relationship as it stands in JSON.
type Edge struct {
	Cluster string            `json:"cluster"`
	ID      string            `json:"id" doc:"key among the edges of its source"`
	Source  Ref               `json:"source"`
	Target  Ref               `json:"target"`
	Type    string            `json:"type"`
	Rule    string            `json:"rule" doc:"the rule that found it"`
	Path    string            `json:"path,omitempty" doc:"the field that says so"`
	Attrs   map[string]string `json:"attrs"`
	Since   topo.Position     `json:"since,omitempty"`
}

// EdgeOf gives an edge its JSON shape.
func EdgeOf(c fleet.ClusterID, e *topo.Edge, since topo.Position) Edge {
	return edgeOf(c, e.Key(), e, since)
}

func edgeOf(c fleet.ClusterID, key topo.EdgeID, e *topo.Edge, since topo.Position) Edge {
	return Edge{
		Cluster: c.String(), ID: key.ID.String(), Source: refOf(e.Source, key.Source), Target: RefOf(e.Target), Type: string(e.Type), Rule: e.Rule,
		Path: e.Path, Attrs: pairs(e.Attrs), Since: since,
	}
}

func edge(row *store.EdgeRow) Edge { return edgeOf(row.Cluster, row.ID, &row.Edge, row.Since) }

// Event is a Kubernetes Event as it stands in JSON.
type Event struct {
	Cluster   string    `json:"cluster"`
	UID       string    `json:"uid"`
	Namespace string    `json:"namespace,omitempty"`
	Name      string    `json:"name"`
	Regarding Ref       `json:"regarding" doc:"what it is about"`
	Type      string    `json:"type" doc:"Normal or Warning"`
	Reason    string    `json:"reason"`
	Message   string    `json:"message"`
	Source    string    `json:"source,omitempty" doc:"the component that reports it"`
	Count     int64     `json:"count"`
	First     time.Time `json:"first" doc:"by the cluster's clock"`
	Last      time.Time `json:"last"`
}

// EventOf gives an event its JSON shape.
func EventOf(c fleet.ClusterID, e *topo.Event) Event {
	return Event{
		Cluster: c.String(), UID: e.UID, Namespace: e.Namespace, Name: e.Name, Regarding: RefOf(e.Regarding), Type: e.Type, Reason: e.Reason,
		Message: e.Message, Source: e.Source, Count: e.Count, First: time.Unix(e.First, 0).UTC(), Last: time.Unix(e.Last, 0).UTC(),
	}
}

// Cluster is a cluster as it stands in JSON.
type Cluster struct {
	ID        string            `json:"id"`
	Name      string            `json:"name"`
	Labels    map[string]string `json:"labels"`
	Created   time.Time         `json:"created"`
	Version   string            `json:"version,omitempty" doc:"of Kubernetes"`
	Provider  string            `json:"provider,omitempty"`
	Agent     string            `json:"agent,omitempty" doc:"version of the agent"`
	Share     string            `json:"share,omitempty" enum:"topology,manifests" doc:"what the cluster's owner lets leave it"`
	Freshness fleet.Freshness   `json:"freshness"`
	Contact   *Contact          `json:"contact,omitempty" doc:"how the hub's own process gets on with the cluster; only on the desktop"`
}

// Contact is how a process that watches a cluster itself gets on with it.
type Contact struct {
	State  string    `json:"state" enum:"connecting,connected,failed,removed" doc:"removed: the kubeconfig names it no more"`
	Code   string    `json:"code,omitempty" enum:"refused,silent,name,certificate,credentials,unauthorized,forbidden,config,other" doc:"of what failed"`
	Reason string    `json:"reason,omitempty" doc:"why it isn't connected, for people"`
	Since  time.Time `json:"since" doc:"when this state began"`
}

// ClusterOf gives a cluster its JSON shape.
func ClusterOf(c fleet.Cluster) Cluster {
	labels := c.Labels
	if labels == nil {
		labels = map[string]string{}
	}
	return Cluster{
		ID: c.ID.String(), Name: c.Name, Labels: labels, Created: c.Created.UTC(), Version: c.Version, Provider: c.Provider, Agent: c.Agent,
		Share: string(c.Share), Freshness: freshness(c),
	}
}

func pairs(ps []topo.Pair) map[string]string {
	m := make(map[string]string, len(ps))
	for _, p := range ps {
		m[p.Key] = p.Value
	}
	return m
}
