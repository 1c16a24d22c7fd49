package httpapi

import (
	"context"
	"net/http"

	"github.com/kubilitics/kubilitics/hub/internal/fleet"
	"github.com/kubilitics/kubilitics/hub/internal/query"
	"github.com/kubilitics/kubilitics/hub/internal/store"
	"github.com/kubilitics/kubilitics/shared/fault"
	"github.com/kubilitics/kubilitics/shared/topo"
)

func (a *API) topology() {
	read(a, route(http.MethodGet, "/api/v1/topology", "get-fleet-topology", "The graph of several clusters", "topology"), a.fleetTopology)
	read(a, route(http.MethodGet, clusterRoot+"/topology", "get-topology", "The graph of a cluster, of some of its resources, or around one", "topology"), a.clusterTopology)
}

type GraphParams struct {
	KindParam
	Namespace []string `query:"namespace,explode" doc:"namespaces: their nodes, and the ends of edges that leave them, marked as outside"`
	Selector  string   `query:"selector" doc:"label selector, as in Kubernetes"`
	Type      []string `query:"type,explode" doc:"edge types: owns, selects, mounts, references, routes, runs-on, binds, grants, scales, protects, allows, …"`
	QueryParam
	AtParam
	Auto     bool   `query:"auto" doc:"a graph of more than 2000 nodes is answered in groups, which say how they are expanded"`
	Limit    int    `query:"limit" minimum:"1" maximum:"20000" doc:"nodes at most; 5000 where it isn't given, 1000 around a focus"`
	Continue string `query:"continue" doc:"the token of the page before"`
}

type fleetGraphInput struct {
	ClustersParam
	GraphParams
	LayoutParam
}

func (a *API) fleetTopology(ctx context.Context, p fleet.Principal, in *fleetGraphInput) (*PlacedGraph, error) {
	clusters, err := in.ids()
	if err != nil {
		return nil, err
	}
	return in.placed(a.graph(ctx, p, clusters, in.GraphParams))
}

func (a *API) graph(ctx context.Context, p fleet.Principal, clusters []fleet.ClusterID, in GraphParams) (*query.Graph, error) {
	kinds, err := a.kinds(ctx, p, fleet.List, clusters, words(in.Kind))
	if err != nil {
		return nil, err
	}
	types, err := query.ParseTypes(words(in.Type))
	if err != nil {
		return nil, err
	}
	g := query.GraphQuestion{
		Where: query.Where{Clusters: clusters, Kinds: kinds, Namespaces: words(in.Namespace), Labels: in.Selector},
		Types: types, Auto: in.Auto, Page: query.Page{Limit: in.Limit, Continue: in.Continue},
	}
	if g.At, err = in.when(); err != nil {
		return nil, err
	}
	if p, err = in.narrow(ctx, a, p, &g.Where); err != nil {
		return nil, err
	}
	return a.cfg.Query.Graph(ctx, p, g)
}

type graphInput struct {
	ClusterPath
	GraphParams
	LayoutParam
	Focus     string `query:"focus" doc:"a node, as Kind.group/namespace/name, Kind/name, or by its id; the answer is what is within depth steps of it" example:"Service/shop/web"`
	Depth     int    `query:"depth" minimum:"1" maximum:"10" doc:"steps from the focus; 1 where it isn't given"`
	Direction string `query:"direction" enum:"out,in,both" doc:"how edges are followed from the focus; both where it isn't given"`
	Fan       int    `query:"fan" minimum:"1" maximum:"20000" doc:"edges into one node that are followed; 25 where it isn't given, and eight times as many outwards"`
}

func (a *API) clusterTopology(ctx context.Context, p fleet.Principal, in *graphInput) (*PlacedGraph, error) {
	id, err := in.id()
	if err != nil {
		return nil, err
	}
	if _, err := a.visible(ctx, p, fleet.List, id); err != nil {
		return nil, err
	}
	if err := in.consistent(); err != nil {
		return nil, err
	}
	if in.Focus == "" {
		return in.placed(a.graph(ctx, p, []fleet.ClusterID{id}, in.GraphParams))
	}
	types, err := query.ParseTypes(words(in.Type))
	if err != nil {
		return nil, err
	}
	focus, err := a.focus(ctx, p, id, "focus", in.Focus)
	if err != nil {
		return nil, err
	}
	at, err := in.when()
	if err != nil {
		return nil, err
	}
	return in.placed(a.cfg.Query.Around(ctx, p, query.Neighbourhood{
		Cluster: id, Focus: focus, Depth: in.Depth, Direction: store.Direction(in.Direction), Types: types, Limit: in.Limit, Fan: in.Fan, At: at,
	}))
}

// consistent refuses what would be ignored: a neighbourhood has no filters and no pages, and nothing else has a depth.
func (in *graphInput) consistent() error {
	given := map[string]bool{
		"namespace": len(words(in.Namespace)) > 0, "kind": len(words(in.Kind)) > 0, "selector": in.Selector != "", "q": in.Q != "", "auto": in.Auto, "continue": in.Continue != "",
	}
	why := "can't be combined with focus"
	if in.Focus == "" {
		given = map[string]bool{"depth": in.Depth != 0, "direction": in.Direction != "", "fan": in.Fan != 0}
		why = "is possible together with focus only"
	}
	bad := fault.New(fault.BadRequest, "the query parameters don't go together")
	for _, name := range []string{"namespace", "kind", "selector", "q", "auto", "continue", "depth", "direction", "fan"} {
		if given[name] {
			bad = bad.WithField(name, "%s", why)
		}
	}
	if len(bad.Fields) == 0 {
		return nil
	}
	return bad
}

// focus reads a node's name or id.
func (a *API) focus(ctx context.Context, p fleet.Principal, cluster fleet.ClusterID, field, text string) (topo.ID, error) {
	if id, err := topo.ParseID(text); err == nil {
		return id, nil
	}
	ref, err := a.ref(ctx, p, []fleet.ClusterID{cluster}, field, text)
	return ref.ID(), err
}
