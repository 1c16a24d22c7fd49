package ops

import (
	"cmp"
	"context"
	"encoding/json"
	"maps"
	"net/http"
	"net/url"
	"reflect"
	"slices"
	"strconv"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/kubilitics/kubilitics/shared/fault"
)

const (
	revisionOf  = "deployment.kubernetes.io/revision"
	changeCause = "kubernetes.io/change-cause"
)

// staying are the annotations of a Deployment that say something of it as it is, and don't go back with its template.
var staying = []string{
	lastApplied, revisionOf, "deployment.kubernetes.io/revision-history", "deployment.kubernetes.io/desired-replicas", "deployment.kubernetes.io/max-replicas",
	appsv1.DeprecatedRollbackTo,
}

// RolloutHistory is what a workload was, newest first, as far as the cluster keeps it.
type RolloutHistory struct {
	Items []RolloutRevision `json:"items"`
}

// RolloutRevision is a template that a workload has, or had.
type RolloutRevision struct {
	Revision int64          `json:"revision"`
	Current  bool           `json:"current"`
	Name     string         `json:"name" doc:"of the ReplicaSet or ControllerRevision that keeps it"`
	Created  time.Time      `json:"created"`
	Cause    string         `json:"changeCause,omitempty"`
	Replicas *int32         `json:"replicas,omitempty" doc:"Pods of it that there are; of a Deployment's"`
	Images   []string       `json:"images"`
	Template map[string]any `json:"template,omitempty" doc:"where one revision was asked for"`

	annotations map[string]string
	patch       []byte // which brings it back, of a StatefulSet or DaemonSet
}

// Revisions gives a workload's revisions; number is of the one that is asked for, with its template, or 0. NotFound when there is none of that number.
func (t *Target) Revisions(ctx context.Context, p Place, number int64) (*RolloutHistory, error) {
	f, w, err := t.rolling(ctx, p, "rolled back", rolled...)
	if err != nil {
		return nil, err
	}
	list, err := t.revisions(ctx, f, w)
	if err != nil {
		return nil, err
	}
	if number > 0 {
		one, err := pick(f, list, number)
		if err != nil {
			return nil, err
		}
		return &RolloutHistory{Items: []RolloutRevision{*one}}, nil
	}
	for i := range list {
		list[i].Template = nil
	}
	return &RolloutHistory{Items: list}, nil
}

// revisions lists what a workload's revisions are kept in, newest first.
func (t *Target) revisions(ctx context.Context, f found, w *workload) ([]RolloutRevision, error) {
	keptIn := "ControllerRevision"
	if f.gk() == deploymentKind {
		keptIn = "ReplicaSet"
	}
	k, err := t.of(ctx, "apps/v1", keptIn)
	if err != nil {
		return nil, err
	}
	got, err := t.do(ctx, call{method: http.MethodGet, kind: k, namespace: f.namespace, query: url.Values{"labelSelector": {metav1.FormatLabelSelector(w.Spec.Selector)}}})
	if err != nil {
		return nil, err
	}
	list, err := kept(got.body, f, w)
	if err != nil {
		return nil, err
	}
	slices.SortFunc(list, func(a, b RolloutRevision) int { return cmp.Compare(b.Revision, a.Revision) })
	if f.gk() == daemonSetKind && len(list) > 0 {
		list[0].Current = true // one that is returned to gets the highest number
	}
	return list, nil
}

func kept(text []byte, f found, w *workload) ([]RolloutRevision, error) {
	keepers, err := read[struct{ Items []keeper }](text)
	if err != nil {
		return nil, err
	}
	out := []RolloutRevision{}
	for i := range keepers.Items {
		k := &keepers.Items[i]
		if !metav1.IsControlledBy(k, w) {
			continue
		}
		reading := fromControllerRevision
		if f.gk() == deploymentKind {
			reading = fromReplicaSet
		}
		r, err := reading(k, w)
		if err != nil {
			return nil, err
		}
		if r.Revision > 0 {
			out = append(out, r)
		}
	}
	return out, nil
}

// keeper is a ReplicaSet or a ControllerRevision, as far as it keeps a revision. Templates stay as the cluster words them: it may know fields that aren't
// known here.
type keeper struct {
	metav1.ObjectMeta `json:"metadata"`
	Revision          int64           `json:"revision"`
	Data              json.RawMessage `json:"data"`
	Spec              struct {
		Template json.RawMessage `json:"template"`
	} `json:"spec"`
	Status struct {
		Replicas int32 `json:"replicas"`
	} `json:"status"`
}

// revision reads what is common to both.
func (k *keeper) revision(template json.RawMessage) (RolloutRevision, error) {
	typed, err := read[corev1.PodTemplateSpec](template)
	if err != nil {
		return RolloutRevision{}, err
	}
	r := RolloutRevision{Revision: k.Revision, Name: k.Name, Created: k.CreationTimestamp.UTC(), Cause: k.Annotations[changeCause], Images: images(typed)}
	r.Template, err = decode(template)
	return r, err
}

func fromReplicaSet(k *keeper, w *workload) (RolloutRevision, error) {
	r, err := k.revision(k.Spec.Template)
	if err != nil {
		return r, err
	}
	r.Current, r.Replicas, r.annotations = k.Annotations[revisionOf] == w.Annotations[revisionOf], new(k.Status.Replicas), k.Annotations
	delete(child(child(r.Template, "metadata"), "labels"), appsv1.DefaultDeploymentUniqueLabelKey)
	r.Revision, err = strconv.ParseInt(k.Annotations[revisionOf], 10, 64)
	if err != nil {
		r.Revision = 0 // it hasn't been given one yet
	}
	return r, nil
}

func fromControllerRevision(k *keeper, w *workload) (RolloutRevision, error) {
	data, err := read[keeper](k.Data)
	if err != nil {
		return RolloutRevision{}, err
	}
	r, err := k.revision(data.Spec.Template)
	delete(r.Template, "$patch")
	r.Current, r.patch = k.Name == w.Status.UpdateRevision, k.Data
	return r, err
}

func images(t *corev1.PodTemplateSpec) []string {
	out := []string{}
	for _, c := range slices.Concat(t.Spec.InitContainers, t.Spec.Containers) {
		if !slices.Contains(out, c.Image) {
			out = append(out, c.Image)
		}
	}
	return out
}

// pick gives the revision of that number, or, for 0, the one before the newest.
func pick(f found, list []RolloutRevision, number int64) (*RolloutRevision, error) {
	for i := range list {
		if list[i].Revision == number || number == 0 && i == 1 {
			return &list[i], nil
		}
	}
	if number == 0 {
		return nil, fault.New(fault.NotFound, "%s %s has no revision before the present one", f.Kind.Kind, f.name)
	}
	return nil, fault.New(fault.NotFound, "%s %s has no revision %d", f.Kind.Kind, f.name, number)
}

// Undo brings a workload's earlier revision back; 0 is the one before.
func (t *Target) Undo(ctx context.Context, p Place, number int64, q Query) (*Result, error) {
	f, w, err := t.rolling(ctx, p, "rolled back", rolled...)
	if err != nil {
		return nil, err
	}
	if w.Spec.Paused {
		return nil, paused(f)
	}
	list, err := t.revisions(ctx, f, w)
	if err != nil {
		return nil, err
	}
	to, err := pick(f, list, number)
	if err != nil {
		return nil, err
	}
	if to.patch != nil {
		return t.alter(ctx, f, w, types.StrategicMergePatchType, json.RawMessage(to.patch), q)
	}
	return t.undoDeployment(ctx, f, w, to, q)
}

func (t *Target) undoDeployment(ctx context.Context, f found, w *workload, to *RolloutRevision, q Query) (*Result, error) {
	d, err := decode(w.text)
	if err != nil {
		return nil, err
	}
	if reflect.DeepEqual(child(child(d, "spec"), "template"), to.Template) {
		r, err := result(&reply{body: w.text}, Unchanged)
		if err == nil && q.DryRun {
			r.DryRun = metav1.DryRunAll
		}
		return r, err
	}
	steps := []map[string]any{
		{"op": "replace", "path": "/spec/template", "value": to.Template},
		{"op": "add", "path": "/metadata/annotations", "value": annotationsOf(w.Annotations, to.annotations)},
	}
	return t.alter(ctx, f, w, types.JSONPatchType, steps, q)
}

// annotationsOf gives a Deployment the annotations of an earlier revision, but for those that stay.
func annotationsOf(now, then map[string]string) map[string]string {
	out := maps.Clone(then)
	for _, key := range staying {
		delete(out, key)
		if v, ok := now[key]; ok {
			out[key] = v
		}
	}
	return out
}
