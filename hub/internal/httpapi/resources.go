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

func (a *API) resources() {
	read(a, route(http.MethodGet, "/api/v1/resources", "list-resources", "List resources across clusters", "resources"), a.listResources)
	read(a, route(http.MethodGet, clusterRoot+"/resources/{group}/{version}/{plural}", "list-cluster-resources", "List resources of a kind", "resources"), a.listKind)
	read(a, route(http.MethodGet, resourceRoot, "get-resource", "Get a resource", "resources"), a.getResource)
}

type resourcesInput struct {
	ClustersParam
	KindParam
	SelectParams
	QueryParam
	AtParam
	PageParams
	FieldsParam
}

func (a *API) listResources(ctx context.Context, p fleet.Principal, in *resourcesInput) (*query.ResourceList, error) {
	w := in.where()
	var err error
	if w.At, err = in.when(); err != nil {
		return nil, err
	}
	if p, err = in.narrow(ctx, a, p, &w); err != nil {
		return nil, err
	}
	if w.Clusters, err = in.ids(); err != nil {
		return nil, err
	}
	if w.Kinds, err = a.kinds(ctx, p, fleet.List, w.Clusters, words(in.Kind)); err != nil {
		return nil, err
	}
	return a.cfg.Query.List(ctx, p, w, in.page())
}

// KindPath is a kind of a cluster, in the words of Kubernetes.
type KindPath struct {
	ClusterPath
	Group   string `path:"group" doc:"API group; - for the core group" example:"apps"`
	Version string `path:"version" doc:"API version; - for the one it is watched at" example:"-"`
	Plural  string `path:"plural" doc:"plural, singular or kind" example:"deployments"`
}

// resolve finds the kind, once it is certain that the cluster may be seen.
func (a *API) resolve(ctx context.Context, p fleet.Principal, verb fleet.Verb, in KindPath) (at store.Scope, gk topo.GroupKind, err error) {
	id, err := in.id()
	if err != nil {
		return at, gk, err
	}
	if _, err := a.visible(ctx, p, verb, id); err != nil {
		return at, gk, err
	}
	at = store.Scope{Tenant: p.Tenant, Cluster: id}
	gk, err = a.cfg.Resolver.ResolveIn(ctx, at, dash(in.Group), in.Plural)
	return at, gk, err
}

// dash reads "-" as the empty value it stands for.
func dash(s string) string {
	if s == "-" {
		return ""
	}
	return s
}

type kindInput struct {
	KindPath
	SelectParams
	QueryParam
	AtParam
	PageParams
	FieldsParam
}

func (a *API) listKind(ctx context.Context, p fleet.Principal, in *kindInput) (*query.ResourceList, error) {
	at, gk, err := a.resolve(ctx, p, fleet.List, in.KindPath)
	if err != nil {
		return nil, err
	}
	w := in.where()
	if w.At, err = in.when(); err != nil {
		return nil, err
	}
	if p, err = in.narrow(ctx, a, p, &w); err != nil {
		return nil, err
	}
	w.Clusters, w.Kinds = []fleet.ClusterID{at.Cluster}, []topo.GroupKind{gk}
	list, err := a.cfg.Query.List(ctx, p, w, in.page())
	if err == nil && len(list.Items) > 0 {
		err = sameVersion(in.Version, &list.Items[0])
	}
	return list, err
}

// sameVersion refuses a version other than the one the kind is watched at: the index holds no other.
func sameVersion(asked string, r *query.Resource) error {
	if v := dash(asked); v != "" && v != r.Version {
		return fault.New(fault.NotFound, "%s is not held at version %q but at %q; - stands for it", topo.GroupKind{Group: r.Group, Kind: r.Kind}, v, r.Version)
	}
	return nil
}

type resourceInput struct {
	ResourcePath
	Manifest bool `query:"manifest" doc:"the object itself, too"`
	AtParam
}

func (a *API) getResource(ctx context.Context, p fleet.Principal, in *resourceInput) (*query.Detail, error) {
	which, err := a.which(ctx, p, in.ResourcePath, in.AtParam)
	if err != nil {
		return nil, err
	}
	d, err := a.cfg.Query.Get(ctx, p, which, in.Manifest)
	if err == nil {
		err = sameVersion(in.Version, &d.Resource)
	}
	return d, err
}
