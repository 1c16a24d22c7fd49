package httpapi

import (
	"context"
	"slices"
	"strings"

	"github.com/kubilitics/kubilitics/hub/internal/fleet"
	"github.com/kubilitics/kubilitics/hub/internal/query"
	"github.com/kubilitics/kubilitics/hub/internal/store"
	"github.com/kubilitics/kubilitics/shared/fault"
	"github.com/kubilitics/kubilitics/shared/topo"
)

// ClusterPath is the cluster in a path.
type ClusterPath struct {
	Cluster string `path:"cluster" doc:"id of the cluster"`
}

// id reads the path. What is no id is told as what isn't there.
func (c ClusterPath) id() (fleet.ClusterID, error) {
	id, err := fleet.ParseClusterID(c.Cluster)
	if err != nil {
		return 0, fault.New(fault.NotFound, "there is no cluster %q", c.Cluster)
	}
	return id, nil
}

// ClustersParam restricts to clusters. Lists are given by repeating the parameter or with commas.
type ClustersParam struct {
	Cluster []string `query:"cluster,explode" doc:"ids of clusters; all that are visible where none is given"`
}

func (c ClustersParam) ids() ([]fleet.ClusterID, error) { return clusterIDs(words(c.Cluster)) }

func clusterIDs(texts []string) ([]fleet.ClusterID, error) {
	var out []fleet.ClusterID
	for _, text := range texts {
		id, err := fleet.ParseClusterID(text)
		if err != nil {
			return nil, fault.New(fault.BadRequest, "a cluster id can't be read").WithField("cluster", "%v", err)
		}
		if !slices.Contains(out, id) {
			out = append(out, id)
		}
	}
	slices.Sort(out)
	return out, nil
}

type SelectParams struct {
	Namespace     []string `query:"namespace,explode" doc:"namespaces"`
	Name          []string `query:"name,explode" doc:"exact names"`
	LabelSelector string   `query:"labelSelector" doc:"as in Kubernetes: app=web,tier!=db,env in (a,b),!canary"`
	FieldSelector string   `query:"fieldSelector" doc:"name, namespace, kind, status, health, presence and uid with =, == or !=" example:"health=error"`
}

func (s SelectParams) where() query.Where {
	return query.Where{Namespaces: words(s.Namespace), Names: words(s.Name), Labels: s.LabelSelector, Fields: s.FieldSelector}
}

type KindParam struct {
	Kind []string `query:"kind,explode" doc:"kinds, in any spelling: Pod, deployments, Deployment.apps"`
}

type PageParams struct {
	Limit    int    `query:"limit" minimum:"1" maximum:"1000" doc:"rows at most; 100 where it isn't given"`
	Continue string `query:"continue" doc:"the token of the page before"`
}

func (p PageParams) page() query.Page { return query.Page{Limit: p.Limit, Continue: p.Continue} }

// words splits at commas, sorts, and drops what is empty or twice there, so that equal questions look equal.
func words(values []string) []string {
	out := listed(values)
	slices.Sort(out)
	return slices.Compact(out)
}

// listed splits at commas and drops what is empty, in the order given.
func listed(values []string) []string {
	var out []string
	for _, v := range values {
		for w := range strings.SplitSeq(v, ",") {
			if w = strings.TrimSpace(w); w != "" {
				out = append(out, w)
			}
		}
	}
	return out
}

// kinds resolves names of kinds among those of one cluster, or of the tenant where it is not about exactly one.
func (a *API) kinds(ctx context.Context, p fleet.Principal, verb fleet.Verb, clusters []fleet.ClusterID, names []string) ([]topo.GroupKind, error) {
	at := store.Scope{Tenant: p.Tenant}
	if len(clusters) == 1 && len(names) > 0 {
		at.Cluster = clusters[0]
		if _, err := a.visible(ctx, p, verb, at.Cluster); err != nil { // which kinds it has is not everybody's to know
			return nil, err
		}
	}
	var out []topo.GroupKind
	for _, name := range names {
		found, err := a.cfg.Resolver.Resolve(ctx, at, name)
		if fault.Is(err, fault.NotFound) {
			found, err = literalKind(name)
		}
		if err != nil {
			return nil, err
		}
		out = append(out, found...)
	}
	slices.SortFunc(out, func(x, y topo.GroupKind) int { return strings.Compare(x.String(), y.String()) })
	return slices.Compact(out), nil
}

// literalKind takes a name spelled as Kubernetes spells kinds for one, even if nothing of it is known yet.
func literalKind(name string) ([]topo.GroupKind, error) {
	kind, group, _ := strings.Cut(name, ".")
	if kind == "" || kind[0] < 'A' || kind[0] > 'Z' {
		return nil, fault.New(fault.BadRequest, "no kind is known by the name %q", name).
			WithField("kind", "%q is not known here; a kind nothing is known of yet can be named as Kind or Kind.group", name)
	}
	return []topo.GroupKind{{Group: group, Kind: kind}}, nil
}

// ref reads "Kind.group/namespace/name" or "Kind/name".
func (a *API) ref(ctx context.Context, p fleet.Principal, clusters []fleet.ClusterID, field, text string) (topo.Ref, error) {
	parts := strings.Split(text, "/")
	if len(parts) < 2 || len(parts) > 3 || parts[0] == "" || parts[len(parts)-1] == "" {
		return topo.Ref{}, fault.New(fault.BadRequest, "a resource's name can't be read").WithField(field, "must be Kind.group/namespace/name or Kind/name")
	}
	kinds, err := a.kinds(ctx, p, fleet.List, clusters, parts[:1])
	if err != nil {
		return topo.Ref{}, err
	}
	if len(kinds) > 1 {
		return topo.Ref{}, fault.New(fault.BadRequest, "a resource's name means several kinds").WithField(field, "its kind may be any of %v", kinds)
	}
	r := topo.Ref{Group: kinds[0].Group, Kind: kinds[0].Kind, Name: parts[len(parts)-1]}
	if len(parts) == 3 {
		r.Namespace = dash(parts[1])
	}
	return r, nil
}

// visible is the cluster, if it may be seen at all; otherwise it isn't there.
func (a *API) visible(ctx context.Context, p fleet.Principal, verb fleet.Verb, id fleet.ClusterID) (fleet.Cluster, error) {
	missing := fault.New(fault.NotFound, "there is no cluster %s", id)
	if _, _, ok := fleet.ViewOf(p, verb).Namespaces(id); !ok {
		return fleet.Cluster{}, missing
	}
	c, err := a.cfg.Store.Cluster(ctx, store.Scope{Tenant: p.Tenant, Cluster: id})
	if fault.Is(err, fault.NotFound) {
		return c, missing
	}
	return c, err
}

// permitted is visible, and the principal may do verb on the whole cluster. What may not even be seen is NotFound rather than Forbidden.
func (a *API) permitted(ctx context.Context, p fleet.Principal, verb fleet.Verb, text ClusterPath) (store.Scope, error) {
	id, err := text.id()
	if err != nil {
		return store.Scope{}, err
	}
	may := fleet.Can(p, verb, fleet.Scope{Tenant: p.Tenant, Cluster: id})
	seenAs := fleet.Get
	if may {
		seenAs = verb
	}
	if _, err := a.visible(ctx, p, seenAs, id); err != nil {
		return store.Scope{}, err
	}
	if !may {
		return store.Scope{}, fault.New(fault.Forbidden, "this needs the verb %q on the cluster and all its namespaces", verb)
	}
	return store.Scope{Tenant: p.Tenant, Cluster: id}, nil
}
