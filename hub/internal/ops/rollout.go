package ops

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/kubilitics/kubilitics/shared/fault"
	"github.com/kubilitics/kubilitics/shared/topo"
)

// restartedAt is the annotation by which a new time makes new Pods. It is kubectl's own, so that each sees the other's restarts.
const restartedAt = "kubectl.kubernetes.io/restartedAt"

var (
	deploymentKind  = topo.GroupKind{Group: "apps", Kind: "Deployment"}
	statefulSetKind = topo.GroupKind{Group: "apps", Kind: "StatefulSet"}
	daemonSetKind   = topo.GroupKind{Group: "apps", Kind: "DaemonSet"}
	rolled          = []topo.GroupKind{deploymentKind, statefulSetKind, daemonSetKind}
)

// workload is what of a Deployment, StatefulSet or DaemonSet is looked at before something is done to it.
type workload struct {
	object
	Spec struct {
		Paused   bool                  `json:"paused"`
		Selector *metav1.LabelSelector `json:"selector"`
	} `json:"spec"`
	Status struct {
		UpdateRevision string `json:"updateRevision"` // of a StatefulSet
	} `json:"status"`
	text []byte
}

// rolling looks a workload up that is of one of those kinds.
func (t *Target) rolling(ctx context.Context, p Place, what string, kinds ...topo.GroupKind) (found, *workload, error) {
	f, err := t.locateOf(ctx, p, what, kinds...)
	if err != nil {
		return f, nil, err
	}
	got, err := t.do(ctx, f.call(http.MethodGet))
	if err != nil {
		return f, nil, err
	}
	w, err := read[workload](got.body)
	if err == nil {
		w.text = got.body
	}
	return f, w, err
}

func (t *Target) locateOf(ctx context.Context, p Place, what string, kinds ...topo.GroupKind) (found, error) {
	f, err := t.locate(ctx, p)
	if err != nil || slices.Contains(kinds, f.gk()) {
		return f, err
	}
	var names []string
	for _, k := range kinds {
		names = append(names, k.Kind+"s")
	}
	return f, fault.New(fault.BadRequest, "a %s can't be %s; that is possible with %s", f.Kind.Kind, what, strings.Join(names, ", "))
}

// Restart replaces a workload's Pods by new ones, as its strategy says.
func (t *Target) Restart(ctx context.Context, p Place, q Query) (*Result, error) {
	f, w, err := t.rolling(ctx, p, "restarted", rolled...)
	if err != nil {
		return nil, err
	}
	if w.Spec.Paused {
		return nil, paused(f)
	}
	stamp := map[string]any{restartedAt: t.now().UTC().Format(time.RFC3339Nano)}
	return t.alter(ctx, f, w, types.StrategicMergePatchType, nest(stamp, "spec", "template", "metadata", "annotations"), q)
}

func paused(f found) error {
	return fault.New(fault.Conflict, "%s %s is paused; resume it first", f.Kind.Kind, f.name)
}

// Pause pauses or resumes a Deployment.
func (t *Target) Pause(ctx context.Context, p Place, pause bool, q Query) (*Result, error) {
	what := "resumed"
	if pause {
		what = "paused"
	}
	f, w, err := t.rolling(ctx, p, what, deploymentKind)
	if err != nil {
		return nil, err
	}
	return t.alter(ctx, f, w, types.MergePatchType, nest(pause, "spec", "paused"), q)
}

func nest(v any, path ...string) any {
	for _, key := range slices.Backward(path) {
		v = map[string]any{key: v}
	}
	return v
}

// alter patches an object that was looked at before.
func (t *Target) alter(ctx context.Context, f found, was *workload, as types.PatchType, patch any, q Query) (*Result, error) {
	text, err := json.Marshal(patch)
	if err != nil {
		return nil, err
	}
	c := f.call(http.MethodPatch)
	c.query, c.contentType = q.values(), string(as)
	if c.body, err = patchWithVersion(text, string(as), q.Version); err != nil {
		return nil, err
	}
	r, err := t.write(ctx, c, q)
	if err == nil && f.sameText(was.text, r.Object) {
		r.Outcome = Unchanged
	}
	return r, err
}

func (k Kind) sameText(a, b []byte) bool {
	x, errX := decode(a)
	y, errY := decode(b)
	return errX == nil && errY == nil && k.same(x, y)
}

// RolloutStatus is how far a rollout is.
type RolloutStatus struct {
	Done      bool   `json:"done"`
	Failed    bool   `json:"failed" doc:"it won't be done without help"`
	Message   string `json:"message"`
	Paused    bool   `json:"paused"`
	Desired   int32  `json:"desired" doc:"replicas that are wanted"`
	Updated   int32  `json:"updated"`
	Ready     int32  `json:"ready"`
	Available int32  `json:"available"`
}

// RolloutStatus tells how far a rollout is.
func (t *Target) RolloutStatus(ctx context.Context, p Place) (*RolloutStatus, error) {
	f, w, err := t.rolling(ctx, p, "rolled out", rolled...)
	if err != nil {
		return nil, err
	}
	switch f.gk() {
	case deploymentKind:
		return statusFrom(w.text, deploymentStatus)
	case statefulSetKind:
		return statusFrom(w.text, statefulSetStatus)
	default:
		return statusFrom(w.text, daemonSetStatus)
	}
}

func statusFrom[T any](text []byte, judge func(*T) RolloutStatus) (*RolloutStatus, error) {
	o, err := read[T](text)
	if err != nil {
		return nil, err
	}
	return new(judge(o)), nil
}

const notSeen = "the cluster hasn't taken up the change yet"

func replicas(n *int32) int32 {
	if n == nil {
		return 1 // as an API server has it
	}
	return *n
}

func deploymentStatus(d *appsv1.Deployment) RolloutStatus {
	s := RolloutStatus{
		Paused: d.Spec.Paused, Desired: replicas(d.Spec.Replicas), Updated: d.Status.UpdatedReplicas, Ready: d.Status.ReadyReplicas, Available: d.Status.AvailableReplicas,
	}
	late := slices.ContainsFunc(d.Status.Conditions, func(c appsv1.DeploymentCondition) bool {
		return c.Type == appsv1.DeploymentProgressing && c.Reason == "ProgressDeadlineExceeded"
	})
	switch {
	case d.Generation > d.Status.ObservedGeneration:
		s.Message = notSeen
	case late:
		s.Failed, s.Message = true, "the rollout has made no progress within its deadline"
	case s.Updated < s.Desired:
		s.Message = fmt.Sprintf("%d of %d replicas are of the new revision", s.Updated, s.Desired)
	case d.Status.Replicas > s.Updated:
		s.Message = fmt.Sprintf("%d replicas of older revisions are yet to go", d.Status.Replicas-s.Updated)
	case s.Available < s.Updated:
		s.Message = fmt.Sprintf("%d of %d replicas of the new revision are available", s.Available, s.Updated)
	default:
		s.Done, s.Message = true, "rolled out"
	}
	return s
}

func statefulSetStatus(d *appsv1.StatefulSet) RolloutStatus {
	s := RolloutStatus{Desired: replicas(d.Spec.Replicas), Updated: d.Status.UpdatedReplicas, Ready: d.Status.ReadyReplicas, Available: d.Status.AvailableReplicas}
	wanted := s.Desired
	if u := d.Spec.UpdateStrategy.RollingUpdate; u != nil && u.Partition != nil {
		wanted = max(0, s.Desired-*u.Partition)
	}
	switch {
	case d.Generation > d.Status.ObservedGeneration:
		s.Message = notSeen
	case d.Spec.UpdateStrategy.Type == appsv1.OnDeleteStatefulSetStrategyType:
		s.Done, s.Message = true, onDelete
	case s.Ready < s.Desired:
		s.Message = fmt.Sprintf("%d of %d Pods are ready", s.Ready, s.Desired)
	case d.Status.UpdateRevision != d.Status.CurrentRevision && s.Updated < wanted:
		s.Message = fmt.Sprintf("%d of %d Pods are of the new revision", s.Updated, wanted)
	case wanted < s.Desired:
		s.Done, s.Message = true, fmt.Sprintf("rolled out to %d Pods; the partition keeps the others as they are", s.Updated)
	default:
		s.Done, s.Message = true, "rolled out"
	}
	return s
}

const onDelete = "its Pods are replaced only when they are deleted: there is no rollout to wait for"

func daemonSetStatus(d *appsv1.DaemonSet) RolloutStatus {
	s := RolloutStatus{
		Desired: d.Status.DesiredNumberScheduled, Updated: d.Status.UpdatedNumberScheduled, Ready: d.Status.NumberReady, Available: d.Status.NumberAvailable,
	}
	switch {
	case d.Generation > d.Status.ObservedGeneration:
		s.Message = notSeen
	case d.Spec.UpdateStrategy.Type == appsv1.OnDeleteDaemonSetStrategyType:
		s.Done, s.Message = true, onDelete
	case s.Updated < s.Desired:
		s.Message = fmt.Sprintf("%d of %d Pods are of the new revision", s.Updated, s.Desired)
	case s.Available < s.Desired:
		s.Message = fmt.Sprintf("%d of %d Pods are available", s.Available, s.Desired)
	default:
		s.Done, s.Message = true, "rolled out"
	}
	return s
}
