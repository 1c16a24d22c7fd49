package httpapi

import (
	"context"
	"net/http"

	"github.com/kubilitics/kubilitics/hub/internal/fleet"
	"github.com/kubilitics/kubilitics/hub/internal/query"
)

func (a *API) groups() {
	read(a, route(http.MethodGet, "/api/v1/topology/groups", "get-groups", "Resources in groups, with their health and the edges between them", "topology"), a.groupsOf)
	read(a, route(http.MethodGet, "/api/v1/health", "get-health", "How resources fare, rolled up to workloads, applications, namespaces, clusters or the tenant", "health"), a.health)
	read(a, route(http.MethodGet, clusterRoot+"/topology/members", "list-members", "What a set of a network policy or webhook stands for", "topology"), a.members)
}

// WhichParams say which resources a question is about.
type WhichParams struct {
	ClustersParam
	KindParam
	Namespace []string `query:"namespace,explode" doc:"namespaces"`
	Selector  string   `query:"selector" doc:"label selector, as in Kubernetes"`
	QueryParam
	AtParam
}

// where reads them, and gives the principal as the query narrows it.
func (in *WhichParams) where(ctx context.Context, a *API, p fleet.Principal) (fleet.Principal, query.Where, error) {
	w := query.Where{Namespaces: words(in.Namespace), Labels: in.Selector}
	var err error
	if w.Clusters, err = in.ids(); err != nil {
		return p, w, err
	}
	if w.Kinds, err = a.kinds(ctx, p, fleet.List, w.Clusters, words(in.Kind)); err != nil {
		return p, w, err
	}
	if w.At, err = in.when(); err != nil {
		return p, w, err
	}
	p, err = in.narrow(ctx, a, p, &w)
	return p, w, err
}

type groupsInput struct {
	WhichParams
	GroupBy []string `query:"groupBy,explode" doc:"cluster, namespace, application, kind, in order; the coarsest that says something where none is given" example:"namespace"`
	Type    []string `query:"type,explode" doc:"types of the edges between groups"`
	Plain   bool     `query:"plain" doc:"without the edges between groups"`
	Limit   int      `query:"limit" minimum:"1" maximum:"5000" doc:"groups at most; 1000 where it isn't given"`
}

func (a *API) groupsOf(ctx context.Context, p fleet.Principal, in *groupsInput) (*query.Groups, error) {
	p, where, err := in.where(ctx, a, p)
	if err != nil {
		return nil, err
	}
	g := query.GroupQuestion{Where: where, Plain: in.Plain, Limit: in.Limit}
	if g.By, err = query.ParseDimensions(listed(in.GroupBy)); err != nil {
		return nil, err
	}
	if g.Types, err = query.ParseTypes(words(in.Type)); err != nil {
		return nil, err
	}
	return a.cfg.Query.Groups(ctx, p, g)
}

type healthInput struct {
	WhichParams
	Level    string `query:"level" enum:"tenant,cluster,namespace,application,workload" doc:"how far it is rolled up; to clusters where it isn't given"`
	Bad      int    `query:"bad" minimum:"-1" maximum:"20" doc:"objects told with each group, the worst first; 3 where it isn't given, none with -1"`
	Limit    int    `query:"limit" minimum:"1" maximum:"5000" doc:"groups or workloads at most"`
	Continue string `query:"continue" doc:"the token of the page of workloads before"`
}

func (a *API) health(ctx context.Context, p fleet.Principal, in *healthInput) (*query.Health, error) {
	p, where, err := in.WhichParams.where(ctx, a, p)
	if err != nil {
		return nil, err
	}
	return a.cfg.Query.Health(ctx, p, query.HealthQuestion{
		Where: where, Level: query.Level(in.Level), Bad: in.Bad, Page: query.Page{Limit: in.Limit, Continue: in.Continue},
	})
}

type membersInput struct {
	ClusterPath
	AtParam
	PageParams
	Set string `query:"set" required:"true" doc:"the set, as PodSet.kubilitics.io/namespace/name or by its id"`
}

func (a *API) members(ctx context.Context, p fleet.Principal, in *membersInput) (*query.ResourceList, error) {
	m := query.MembersQuestion{Page: in.page()}
	var err error
	if m.Cluster, m.At, err = a.place(ctx, p, in.ClusterPath, in.AtParam); err != nil {
		return nil, err
	}
	if m.Set, err = a.focus(ctx, p, m.Cluster, "set", in.Set); err != nil {
		return nil, err
	}
	return a.cfg.Query.Members(ctx, p, m)
}
