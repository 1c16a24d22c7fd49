package httpapi

import (
	"context"
	"net/http"

	"github.com/kubilitics/kubilitics/hub/internal/fleet"
	"github.com/kubilitics/kubilitics/hub/internal/query"
	"github.com/kubilitics/kubilitics/hub/internal/store"
	"github.com/kubilitics/kubilitics/shared/rules"
	"github.com/kubilitics/kubilitics/shared/topo"
)

func (a *API) relations() {
	read(a, route(http.MethodGet, clusterRoot+"/topology/paths", "get-paths", "How two resources are connected", "topology"), a.paths)
	read(a, route(http.MethodGet, clusterRoot+"/topology/impact", "get-impact", "What stops working if a resource goes", "topology"), a.impact)
	fresh(a, route(http.MethodGet, "/api/v1/topology/shared", "list-shared", "What ties clusters together: host names, images, Git sources, exported services", "topology"), a.shared)
}

type pathsInput struct {
	ClusterPath
	AtParam
	From      string   `query:"from" required:"true" doc:"a node, as Kind.group/namespace/name, Kind/name, or by its id" example:"Ingress/shop/web"`
	To        string   `query:"to" required:"true" doc:"another" example:"Node/n1"`
	Direction string   `query:"direction" enum:"out,in,both" doc:"out: along the edges; in: against them; both where it isn't given"`
	Type      []string `query:"type,explode" doc:"edge types"`
	MaxLength int      `query:"maxLength" minimum:"1" maximum:"12" doc:"edges of a path at most; 8 where it isn't given"`
	Limit     int      `query:"limit" minimum:"1" maximum:"200" doc:"paths at most; 20 where it isn't given"`
}

func (a *API) paths(ctx context.Context, p fleet.Principal, in *pathsInput) (*query.Paths, error) {
	q := query.PathQuestion{Direction: store.Direction(in.Direction), MaxLength: in.MaxLength, Limit: in.Limit}
	var err error
	if q.Cluster, q.At, err = a.place(ctx, p, in.ClusterPath, in.AtParam); err != nil {
		return nil, err
	}
	if q.Types, err = query.ParseTypes(words(in.Type)); err != nil {
		return nil, err
	}
	if q.From, err = a.focus(ctx, p, q.Cluster, "from", in.From); err != nil {
		return nil, err
	}
	if q.To, err = a.focus(ctx, p, q.Cluster, "to", in.To); err != nil {
		return nil, err
	}
	return a.cfg.Query.Paths(ctx, p, q)
}

// place reads which cluster is meant, and which moment, once it is certain that the cluster may be seen.
func (a *API) place(ctx context.Context, p fleet.Principal, c ClusterPath, at AtParam) (id fleet.ClusterID, when store.When, err error) {
	if id, err = c.id(); err != nil {
		return id, when, err
	}
	if _, err = a.visible(ctx, p, fleet.Get, id); err != nil {
		return id, when, err
	}
	when, err = at.when()
	return id, when, err
}

type impactInput struct {
	ClusterPath
	AtParam
	Focus string `query:"focus" required:"true" doc:"the node that goes, as Kind.group/namespace/name, Kind/name, or by its id" example:"ConfigMap/shop/web"`
	Depth int    `query:"depth" minimum:"1" maximum:"20" doc:"steps from the focus; 20 where it isn't given"`
	Limit int    `query:"limit" minimum:"1" maximum:"10000" doc:"affected nodes at most; 1000 where it isn't given"`
}

func (a *API) impact(ctx context.Context, p fleet.Principal, in *impactInput) (*query.Impact, error) {
	q := query.ImpactQuestion{Depth: in.Depth, Limit: in.Limit}
	var err error
	if q.Cluster, q.At, err = a.place(ctx, p, in.ClusterPath, in.AtParam); err != nil {
		return nil, err
	}
	if q.Focus, err = a.focus(ctx, p, q.Cluster, "focus", in.Focus); err != nil {
		return nil, err
	}
	return a.cfg.Query.Impact(ctx, p, q)
}

type sharedInput struct {
	ClustersParam
	AtParam
	Kind     []string `query:"kind,explode" enum:"Host,Image,GitSource,ClusterSetService" doc:"kinds of what is shared; all where none is given"`
	Limit    int      `query:"limit" minimum:"1" maximum:"500" doc:"50 where it isn't given"`
	Continue string   `query:"continue" doc:"the token of the page before"`
}

func (a *API) shared(ctx context.Context, p fleet.Principal, in *sharedInput) (*query.SharedList, error) {
	q := query.SharedQuestion{Page: query.Page{Limit: in.Limit, Continue: in.Continue}}
	var err error
	if q.Clusters, err = in.ids(); err != nil {
		return nil, err
	}
	if q.At, err = in.when(); err != nil {
		return nil, err
	}
	for _, kind := range words(in.Kind) {
		q.Kinds = append(q.Kinds, topo.GroupKind{Group: rules.OwnGroup, Kind: kind})
	}
	return a.cfg.Query.Shared(ctx, p, q)
}
