package ops

import (
	"slices"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/kubilitics/kubilitics/hub/internal/query"
	"github.com/kubilitics/kubilitics/shared/topo"
)

// What a drain does with a Pod.
const (
	ActionEvict  = "evict"
	ActionSkip   = "skip"
	ActionRefuse = "refuse"
)

// PodPlan is what a drain does with a Pod, and why.
type PodPlan struct {
	query.Ref
	UID    string      `json:"uid,omitempty"`
	Action string      `json:"action" enum:"evict,skip,refuse" doc:"refuse: the whole drain is refused because of it"`
	Reason string      `json:"reason,omitempty"`
	Owner  *query.Ref  `json:"owner,omitempty" doc:"what makes it again elsewhere"`
	Hits   []query.Hit `json:"hits,omitempty" doc:"with dryRun=impact: budgets that refuse, workloads and Services that have no other Pod"`
}

// plan decides on a Pod. One that has come to its end goes in any case.
func (o *DrainOptions) plan(pod *corev1.Pod) PodPlan {
	p := PodPlan{Ref: query.RefOf(topo.Ref{Kind: "Pod", Namespace: pod.Namespace, Name: pod.Name}), UID: string(pod.UID), Action: ActionEvict}
	owner := metav1.GetControllerOf(pod)
	if owner != nil {
		p.Owner = new(ownerRef(owner, pod.Namespace))
	}
	if _, mirror := pod.Annotations[corev1.MirrorPodAnnotationKey]; mirror {
		p.Action, p.Reason = ActionSkip, "it is made by a file on the node, and goes with that"
		return p
	}
	if pod.Status.Phase == corev1.PodSucceeded || pod.Status.Phase == corev1.PodFailed {
		p.Reason = "it has come to its end"
		return p
	}
	p.Action, p.Reason = o.judge(p.Owner, slices.ContainsFunc(pod.Spec.Volumes, func(v corev1.Volume) bool { return v.EmptyDir != nil }))
	return p
}

// judge decides on a Pod that runs.
func (o *DrainOptions) judge(owner *query.Ref, emptyDir bool) (action, reason string) {
	daemon := owner != nil && owner.Group == daemonSetKind.Group && owner.Kind == daemonSetKind.Kind
	switch {
	case daemon && o.IgnoreDaemonSets:
		return ActionSkip, "its DaemonSet would only make it again here"
	case daemon:
		return ActionRefuse, "its DaemonSet would only make it again here; ignoreDaemonSets leaves it"
	case emptyDir && !o.DeleteEmptyDirData:
		return ActionRefuse, "it has an emptyDir, whose data would be lost; deleteEmptyDirData permits that"
	case owner == nil && !o.Force:
		return ActionRefuse, "nothing would make it again; force permits that"
	case owner == nil:
		return ActionEvict, "nothing makes it again"
	case emptyDir:
		return ActionEvict, "the data of its emptyDir are lost"
	default:
		return ActionEvict, ""
	}
}

func ownerRef(o *metav1.OwnerReference, namespace string) query.Ref {
	r := topo.Ref{Kind: o.Kind, Namespace: namespace, Name: o.Name}
	if gv, err := groupOf(o.APIVersion); err == nil {
		r.Group = gv
	}
	if r.GroupKind() == nodeKind {
		r.Namespace = ""
	}
	return query.RefOf(r)
}
