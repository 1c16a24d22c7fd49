package httpapi

import (
	"context"
	"net/http"

	"github.com/kubilitics/kubilitics/hub/internal/fleet"
	"github.com/kubilitics/kubilitics/hub/internal/query"
)

func (a *API) events() {
	read(a, route(http.MethodGet, "/api/v1/events", "list-events", "List Kubernetes Events across clusters, newest first", "events"),
		func(ctx context.Context, p fleet.Principal, in *fleetEventsInput) (*query.EventList, error) {
			clusters, err := in.ids()
			if err != nil {
				return nil, err
			}
			return a.listEvents(ctx, p, clusters, in.EventParams)
		})
	read(a, route(http.MethodGet, clusterRoot+"/events", "list-cluster-events", "List Kubernetes Events of a cluster, newest first", "events"),
		func(ctx context.Context, p fleet.Principal, in *clusterEventsInput) (*query.EventList, error) {
			id, err := in.id()
			if err != nil {
				return nil, err
			}
			return a.listEvents(ctx, p, []fleet.ClusterID{id}, in.EventParams)
		})
}

type EventParams struct {
	Namespace []string `query:"namespace,explode" doc:"namespaces"`
	Type      []string `query:"type,explode" doc:"Normal, Warning"`
	Regarding string   `query:"regarding" doc:"what they are about, as Kind.group/namespace/name or Kind/name" example:"Pod/shop/web-1"`
	PageParams
}

type fleetEventsInput struct {
	ClustersParam
	EventParams
}

type clusterEventsInput struct {
	ClusterPath
	EventParams
}

func (a *API) listEvents(ctx context.Context, p fleet.Principal, clusters []fleet.ClusterID, in EventParams) (*query.EventList, error) {
	w := query.WhichEvents{Clusters: clusters, Namespaces: words(in.Namespace), Types: words(in.Type)}
	if in.Regarding != "" {
		ref, err := a.ref(ctx, p, clusters, "regarding", in.Regarding)
		if err != nil {
			return nil, err
		}
		w.Regarding = &ref
	}
	return a.cfg.Query.Events(ctx, p, w, in.page())
}
