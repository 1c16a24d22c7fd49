package httpapi

import (
	"context"
	"net/http"
	"reflect"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humachi"

	"github.com/kubilitics/kubilitics/hub/internal/fleet"
	"github.com/kubilitics/kubilitics/hub/internal/pods"
	"github.com/kubilitics/kubilitics/shared/fault"
)

// podStreams is what is done with running pods.
func (a *API) podStreams() {
	a.logs()
	a.sockets()
	handle(a, route(http.MethodGet, clusterRoot+"/metrics/nodes", "node-metrics", "What nodes use, as metrics.k8s.io has it", "pods"), a.nodeMetrics)
	handle(a, route(http.MethodGet, clusterRoot+"/metrics/pods", "pod-metrics", "What pods use, as metrics.k8s.io has it", "pods"), a.podMetrics)
}

// at is a caller's way to a cluster that he may see.
func (a *API) at(ctx context.Context, path ClusterPath, via string) (pods.At, error) {
	id, err := path.id()
	if err != nil {
		return pods.At{}, err
	}
	if _, err := a.visible(ctx, principalOf(ctx), fleet.Get, id); err != nil {
		return pods.At{}, err
	}
	return pods.At{By: callerOf(ctx, via), Cluster: id}, nil
}

// streaming registers a stream, whose handler answers by itself.
func streaming[I any](a *API, op huma.Operation, responses map[string]*huma.Response, serve func(http.ResponseWriter, *http.Request, *I)) {
	op.Responses = responses
	huma.Register(a.huma, op, func(_ context.Context, in *I) (*huma.StreamResponse, error) {
		return &huma.StreamResponse{Body: func(out huma.Context) {
			r, w := humachi.Unwrap(out)
			serve(w, r, in)
		}}, nil
	})
}

const (
	recheckEvery = 3 * time.Second
	slowest      = time.Minute // for a client to take what it is sent
)

// guarded is the context of what lasts: it ends, with the reason as cause, when the hub closes, or when the principal is no more who he was. end waits
// for who watches over it.
func (a *API) guarded(ctx context.Context) (_ context.Context, end func()) {
	p := principalOf(ctx)
	ctx, cancel := context.WithCancelCause(ctx)
	done := make(chan struct{})
	go func() {
		defer close(done)
		cancel(a.guard(ctx, p))
	}()
	return ctx, func() {
		cancel(nil)
		<-done
	}
}

// guard returns why something must end, or nil when it has.
func (a *API) guard(ctx context.Context, p fleet.Principal) error {
	tick := time.NewTicker(recheckEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-a.closing:
			return errClosing()
		case <-tick.C:
		}
		if err := a.still(ctx, p); err != nil {
			return err
		}
	}
}

// because is why something that lasts broke off: because its principal may have it no more, if that is so, since the cluster's side may hear of it first.
func (a *API) because(ctx context.Context, err error) error {
	within, cancel := context.WithTimeout(context.WithoutCancel(ctx), recheckEvery)
	defer cancel()
	if gone := a.still(within, principalOf(ctx)); gone != nil {
		return gone
	}
	return err
}

// still tells whether a principal is who he was. What can't be found out changes nothing.
func (a *API) still(ctx context.Context, p fleet.Principal) error {
	if !p.Expires.IsZero() && !time.Now().Before(p.Expires) {
		return fault.New(fault.Unauthorized, "the authentication has expired")
	}
	if a.cfg.Recheck == nil {
		return nil
	}
	now, err := a.cfg.Recheck(ctx, p)
	switch {
	case fault.Is(err, fault.Unauthorized):
		return err
	case err == nil && !reflect.DeepEqual(now.Bindings, p.Bindings):
		return fault.New(fault.Unauthorized, "what this token may do has changed; what was opened with it must be opened again")
	default:
		return nil
	}
}

// MetricsState tells whether there are figures.
type MetricsState struct {
	Available bool       `json:"available"`
	Cause     pods.Cause `json:"cause,omitempty" enum:"not-installed,unavailable,forbidden,offline" doc:"why there are none"`
	Reason    string     `json:"reason,omitempty" doc:"the same in a sentence"`
}

func stateOf(absent *pods.Absence) MetricsState {
	if absent == nil {
		return MetricsState{Available: true}
	}
	return MetricsState{Cause: absent.Cause, Reason: absent.Reason}
}

type metricsAnswer[T any] struct {
	Body struct {
		MetricsState
		Items []T `json:"items"`
	}
}

func metricsOf[T any](items []T, absent *pods.Absence) *metricsAnswer[T] {
	out := &metricsAnswer[T]{}
	out.Body.MetricsState, out.Body.Items = stateOf(absent), items
	if items == nil {
		out.Body.Items = []T{}
	}
	return out
}

type nodeMetricsInput struct {
	ClusterPath
	Allocatable bool `query:"allocatable" doc:"also what pods can have of each node; it costs the cluster a list of its nodes"`
}

func (a *API) nodeMetrics(ctx context.Context, in *nodeMetricsInput) (*metricsAnswer[pods.NodeUsage], error) {
	at, err := a.at(ctx, in.ClusterPath, "metrics")
	if err != nil {
		return nil, err
	}
	items, absent, err := a.cfg.Pods.NodeMetrics(ctx, at, in.Allocatable)
	return metricsOf(items, absent), err
}

type podMetricsInput struct {
	ClusterPath
	Namespace string `query:"namespace" doc:"all where none is given"`
	Selector  string `query:"selector" doc:"of the pods' labels"`
}

func (a *API) podMetrics(ctx context.Context, in *podMetricsInput) (*metricsAnswer[pods.PodUsage], error) {
	at, err := a.at(ctx, in.ClusterPath, "metrics")
	if err != nil {
		return nil, err
	}
	items, absent, err := a.cfg.Pods.PodMetrics(ctx, at, in.Namespace, in.Selector)
	return metricsOf(items, absent), err
}
