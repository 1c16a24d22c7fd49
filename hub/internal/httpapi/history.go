package httpapi

import (
	"context"
	"net/http"

	"github.com/kubilitics/kubilitics/hub/internal/fleet"
	"github.com/kubilitics/kubilitics/hub/internal/query"
	"github.com/kubilitics/kubilitics/hub/internal/store"
	"github.com/kubilitics/kubilitics/shared/topo"
)

const resourceRoot = clusterRoot + "/resources/{group}/{version}/{plural}/{namespace}/{name}"

func (a *API) history() {
	read(a, route(http.MethodGet, resourceRoot+"/history", "list-revisions", "What a resource was, revision by revision", "history"), a.revisions)
	read(a, route(http.MethodGet, resourceRoot+"/history/{revision}", "get-revision", "The text of a resource's revision", "history"), a.revision)
	read(a, route(http.MethodGet, resourceRoot+"/compare", "compare-revisions", "What differs between two revisions: unified diff and JSON patch", "history"), a.compare)
	read(a, route(http.MethodGet, "/api/v1/topology/diff", "diff-fleet-topology", "What of the graph differs between two moments", "history"), a.diffFleet)
	read(a, route(http.MethodGet, clusterRoot+"/topology/diff", "diff-topology", "What of a cluster's graph differs between two moments", "history"), a.diffCluster)
}

// ResourcePath is a resource of a cluster, in the words of Kubernetes.
type ResourcePath struct {
	KindPath
	Namespace string `path:"namespace" doc:"- for no namespace"`
	Name      string `path:"name"`
}

// which finds what the path names, at a moment.
func (a *API) which(ctx context.Context, p fleet.Principal, in ResourcePath, at AtParam) (query.Which, error) {
	scope, gk, err := a.resolve(ctx, p, fleet.Get, in.KindPath)
	if err != nil {
		return query.Which{}, err
	}
	when, err := at.when()
	ref := topo.Ref{Group: gk.Group, Kind: gk.Kind, Namespace: dash(in.Namespace), Name: in.Name}
	return query.Which{Cluster: scope.Cluster, Ref: ref, At: when}, err
}

type revisionsInput struct {
	ResourcePath
	AtParam
	Limit    int    `query:"limit" minimum:"1" maximum:"500" doc:"revisions at most, newest first; 50 where it isn't given"`
	Continue string `query:"continue" doc:"the token of the page before"`
}

func (a *API) revisions(ctx context.Context, p fleet.Principal, in *revisionsInput) (*query.History, error) {
	which, err := a.which(ctx, p, in.ResourcePath, in.AtParam)
	if err != nil {
		return nil, err
	}
	return a.cfg.Query.History(ctx, p, which, query.Page{Limit: in.Limit, Continue: in.Continue})
}

type revisionInput struct {
	ResourcePath
	Revision int64 `path:"revision" minimum:"1" doc:"the position at which it began, or any at which it held"`
}

func (a *API) revision(ctx context.Context, p fleet.Principal, in *revisionInput) (*query.RevisionText, error) {
	which, err := a.which(ctx, p, in.ResourcePath, AtParam{})
	if err != nil {
		return nil, err
	}
	return a.cfg.Query.Revision(ctx, p, which, topo.Position(in.Revision))
}

type compareInput struct {
	ResourcePath
	From    int64 `query:"from" required:"true" minimum:"1" doc:"a revision, or any position at which it held"`
	To      int64 `query:"to" required:"true" minimum:"1" doc:"another"`
	Context int   `query:"context" minimum:"1" maximum:"1000" doc:"lines of the unified diff around a change; 3 where it isn't given"`
}

func (a *API) compare(ctx context.Context, p fleet.Principal, in *compareInput) (*query.Comparison, error) {
	which, err := a.which(ctx, p, in.ResourcePath, AtParam{})
	if err != nil {
		return nil, err
	}
	return a.cfg.Query.Compare(ctx, p, query.CompareQuestion{Which: which, From: topo.Position(in.From), To: topo.Position(in.To), Context: in.Context})
}

// DiffParams say which two moments are compared, and of what.
type DiffParams struct {
	KindParam
	Namespace []string `query:"namespace,explode" doc:"namespaces"`
	Name      []string `query:"name,explode" doc:"exact names; with kind and namespace, one object"`
	Selector  string   `query:"selector" doc:"label selector, as in Kubernetes"`
	QueryParam
	From     string `query:"from" required:"true" doc:"the earlier moment: a position, a time in RFC 3339, or how long ago, like -2h" example:"-2h"`
	To       string `query:"to" doc:"the later one; the newest where it isn't given"`
	Limit    int    `query:"limit" minimum:"1" maximum:"500" doc:"changes at most, first of resources, then of edges; 100 where it isn't given"`
	Continue string `query:"continue" doc:"the token of the page before"`
}

type diffFleetInput struct {
	ClustersParam
	DiffParams
}

func (a *API) diffFleet(ctx context.Context, p fleet.Principal, in *diffFleetInput) (*query.Diff, error) {
	return a.diff(ctx, p, in.ClustersParam, &in.DiffParams)
}

type diffInput struct {
	ClusterPath
	DiffParams
}

func (a *API) diffCluster(ctx context.Context, p fleet.Principal, in *diffInput) (*query.Diff, error) {
	if _, _, err := a.place(ctx, p, in.ClusterPath, AtParam{}); err != nil {
		return nil, err
	}
	return a.diff(ctx, p, ClustersParam{Cluster: []string{in.Cluster}}, &in.DiffParams)
}

func (a *API) diff(ctx context.Context, p fleet.Principal, clusters ClustersParam, in *DiffParams) (*query.Diff, error) {
	which := WhichParams{ClustersParam: clusters, KindParam: in.KindParam, Namespace: in.Namespace, Selector: in.Selector, QueryParam: in.QueryParam}
	p, where, err := which.where(ctx, a, p)
	if err != nil {
		return nil, err
	}
	where.Names = words(in.Name)
	var from store.When
	if from, err = moment("from", in.From); err != nil {
		return nil, err
	}
	if where.At, err = moment("to", in.To); err != nil {
		return nil, err
	}
	return a.cfg.Query.Diff(ctx, p, query.DiffQuestion{Where: where, From: from, Page: query.Page{Limit: in.Limit, Continue: in.Continue}})
}
