package httpapi

import (
	"context"
	"net/http"

	"github.com/kubilitics/kubilitics/hub/internal/fleet"
	"github.com/kubilitics/kubilitics/hub/internal/ops"
)

func (a *API) workloads() {
	handle(a, a.onCluster(http.MethodPost, resourceRoot+"/scale", "scale", "Set the number of replicas of anything that can be scaled"), a.scale)
	handle(a, a.onCluster(http.MethodPost, resourceRoot+"/rollout/restart", "restart-rollout", "Replace a workload's Pods by new ones"), a.restart)
	handle(a, a.onCluster(http.MethodPost, resourceRoot+"/rollout/undo", "undo-rollout", "Bring an earlier revision of a workload back"), a.undo)
	handle(a, a.onCluster(http.MethodPost, resourceRoot+"/rollout/pause", "pause-rollout", "Pause a Deployment"), a.pause("pause", true))
	handle(a, a.onCluster(http.MethodPost, resourceRoot+"/rollout/resume", "resume-rollout", "Resume a Deployment"), a.pause("resume", false))
	handle(a, a.onCluster(http.MethodGet, resourceRoot+"/rollout/history", "get-rollout-history", "The revisions of a workload that the cluster keeps"), a.rolloutHistory)
	handle(a, a.onCluster(http.MethodGet, resourceRoot+"/rollout/status", "get-rollout-status", "How far a rollout is"), a.rolloutStatus)
	trigger := a.onCluster(http.MethodPost, resourceRoot+"/trigger", "trigger-cronjob", "Make a Job of a CronJob now")
	handle(a, trigger, a.trigger)
}

type scaleInput struct {
	ObjectPath
	DryRunParam
	IfMatch string `header:"If-Match" doc:"the tag (resourceVersion) that the object must have; CONFLICT otherwise"`
	Body    struct {
		Replicas int32  `json:"replicas" minimum:"0" doc:"that are wanted"`
		Current  *int32 `json:"currentReplicas,omitempty" minimum:"0" doc:"that must have been wanted until now; CONFLICT otherwise"`
	}
}

func (a *API) scale(ctx context.Context, in *scaleInput) (*body[*ops.Scaled], error) {
	t, err := a.target(ctx, in.ClusterPath, "scale")
	if err != nil {
		return nil, err
	}
	if in.impact() {
		i, err := t.ImpactOfScaling(ctx, in.object(), in.Body.Replicas)
		return &body[*ops.Scaled]{Body: &ops.Scaled{DryRun: "impact", Replicas: in.Body.Replicas, Warnings: []string{}, Impact: i}}, err
	}
	q, err := WriteParams{DryRunParam: in.DryRunParam, IfMatch: in.IfMatch}.query()
	if err != nil {
		return nil, err
	}
	s, err := t.Scale(ctx, in.object(), in.Body.Replicas, in.Body.Current, q)
	return &body[*ops.Scaled]{Body: s}, err
}

// RolloutInput is a workload whose rollout is steered.
type RolloutInput struct {
	ObjectPath
	DryRunParam
	IfMatch string `header:"If-Match" doc:"the tag (resourceVersion) that the object must have; CONFLICT otherwise"`
}

func (in RolloutInput) params() WriteParams {
	return WriteParams{DryRunParam: in.DryRunParam, IfMatch: in.IfMatch}
}

func (a *API) restart(ctx context.Context, in *RolloutInput) (*written, error) {
	return a.change(ctx, in.ObjectPath, in.params(), "restart", fleet.Patch, func(t *ops.Target, q ops.Query) (*ops.Result, error) {
		return t.Restart(ctx, in.object(), q)
	})
}

type undoInput struct {
	RolloutInput
	Revision int64 `query:"toRevision" minimum:"1" doc:"the one before the present one where it isn't given"`
}

func (a *API) undo(ctx context.Context, in *undoInput) (*written, error) {
	return a.change(ctx, in.ObjectPath, in.params(), "undo", fleet.Patch, func(t *ops.Target, q ops.Query) (*ops.Result, error) {
		return t.Undo(ctx, in.object(), in.Revision, q)
	})
}

func (a *API) pause(via string, pause bool) func(context.Context, *RolloutInput) (*written, error) {
	return func(ctx context.Context, in *RolloutInput) (*written, error) {
		return a.change(ctx, in.ObjectPath, in.params(), via, fleet.Patch, func(t *ops.Target, q ops.Query) (*ops.Result, error) {
			return t.Pause(ctx, in.object(), pause, q)
		})
	}
}

type rolloutHistoryInput struct {
	ObjectPath
	Revision int64 `query:"revision" minimum:"1" doc:"one revision alone, with its template"`
}

func (a *API) rolloutHistory(ctx context.Context, in *rolloutHistoryInput) (*body[*ops.RolloutHistory], error) {
	t, err := a.target(ctx, in.ClusterPath, "rollout-history")
	if err != nil {
		return nil, err
	}
	list, err := t.Revisions(ctx, in.object(), in.Revision)
	return &body[*ops.RolloutHistory]{Body: list}, err
}

func (a *API) rolloutStatus(ctx context.Context, in *ObjectPath) (*body[*ops.RolloutStatus], error) {
	t, err := a.target(ctx, in.ClusterPath, "rollout-status")
	if err != nil {
		return nil, err
	}
	s, err := t.RolloutStatus(ctx, in.object())
	return &body[*ops.RolloutStatus]{Body: s}, err
}

type triggerInput struct {
	ObjectPath
	DryRunParam
	Name string `query:"job" maxLength:"63" doc:"name of the Job; one is made up where none is given"`
}

func (a *API) trigger(ctx context.Context, in *triggerInput) (*written, error) {
	t, err := a.target(ctx, in.ClusterPath, "trigger")
	if err != nil {
		return nil, err
	}
	if in.impact() {
		return touches(t.ImpactOfTrigger(ctx, in.object()))
	}
	return answerTo(t.Trigger(ctx, in.object(), in.Name, ops.Query{DryRun: in.DryRun == "All"}))
}
