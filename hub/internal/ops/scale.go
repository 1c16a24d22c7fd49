package ops

import (
	"context"
	"encoding/json"
	"net/http"
	"slices"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/kubilitics/kubilitics/shared/fault"
)

// Scaled is what came of scaling.
type Scaled struct {
	Outcome  string   `json:"outcome,omitempty" enum:"configured,unchanged"`
	DryRun   string   `json:"dryRun,omitempty" enum:"All,impact"`
	Before   int32    `json:"before" doc:"replicas that were wanted"`
	Replicas int32    `json:"replicas" doc:"replicas that are wanted now"`
	Running  int32    `json:"running" doc:"replicas that there are, as the cluster counted them last"`
	Selector string   `json:"selector,omitempty" doc:"of the Pods"`
	Warnings []string `json:"warnings"`
	Impact   *Touched `json:"impact,omitempty" doc:"with dryRun=impact: what the topology says this touches"`
}

// Scale sets the number of replicas of anything that has the scale subresource. Where current isn't nil, the number must have been that: Conflict otherwise.
func (t *Target) Scale(ctx context.Context, p Place, replicas int32, current *int32, q Query) (*Scaled, error) {
	f, err := t.scalable(ctx, p)
	if err != nil {
		return nil, err
	}
	c := f.call(http.MethodGet)
	c.subresource = "scale"
	got, err := t.do(ctx, c)
	if err != nil {
		return nil, err
	}
	was, err := read[scaleObject](got.body)
	if err != nil {
		return nil, err
	}
	if current != nil && was.Spec.Replicas != *current {
		return nil, fault.New(fault.Conflict, "%s %s has %d replicas, not %d", f.Kind.Kind, f.name, was.Spec.Replicas, *current)
	}
	if q.Version == "" && current != nil {
		q.Version = was.ResourceVersion
	}
	return t.rescale(ctx, f, was, replicas, q)
}

// scaleObject is a Scale of any group.
type scaleObject struct {
	metav1.ObjectMeta `json:"metadata"`
	Spec              struct {
		Replicas int32 `json:"replicas"`
	} `json:"spec"`
	Status struct {
		Replicas int32  `json:"replicas"`
		Selector string `json:"selector"`
	} `json:"status"`
}

func (t *Target) scalable(ctx context.Context, p Place) (found, error) {
	f, err := t.locate(ctx, p)
	if err == nil && !slices.Contains(f.Subresources, "scale") {
		err = fault.New(fault.BadRequest, "%s can't be scaled: they have no scale", f.Resource())
	}
	return f, err
}

func (t *Target) rescale(ctx context.Context, f found, was *scaleObject, replicas int32, q Query) (*Scaled, error) {
	text, err := json.Marshal(map[string]any{"spec": map[string]any{"replicas": replicas}})
	if err != nil {
		return nil, err
	}
	c := f.call(http.MethodPatch)
	c.subresource, c.query, c.contentType = "scale", q.values(), string(types.MergePatchType)
	if c.body, err = withVersion(text, q.Version); err != nil {
		return nil, err
	}
	got, err := t.do(ctx, c)
	if err != nil {
		return nil, err
	}
	is, err := read[scaleObject](got.body)
	if err != nil {
		return nil, err
	}
	out := &Scaled{
		Outcome: Configured, Before: was.Spec.Replicas, Replicas: is.Spec.Replicas, Running: is.Status.Replicas, Selector: is.Status.Selector, Warnings: notNil(got.warnings),
	}
	if out.Before == out.Replicas {
		out.Outcome = Unchanged
	}
	if q.DryRun {
		out.DryRun = metav1.DryRunAll
	}
	return out, nil
}
