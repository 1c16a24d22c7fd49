package pods

import (
	"context"
	"net/url"
	"slices"
	"strconv"
	"strings"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"

	"github.com/kubilitics/kubilitics/shared/fault"
	"github.com/kubilitics/kubilitics/shared/topo"
)

// workloads are the kinds that say by a selector which pods are theirs, and where they are.
var workloads = map[topo.GroupKind][]string{
	{Group: "apps", Kind: "Deployment"}:  {"v1", "deployments"},
	{Group: "apps", Kind: "StatefulSet"}: {"v1", "statefulsets"},
	{Group: "apps", Kind: "DaemonSet"}:   {"v1", "daemonsets"},
	{Group: "apps", Kind: "ReplicaSet"}:  {"v1", "replicasets"},
	{Group: "batch", Kind: "Job"}:        {"v1", "jobs"},
	{Group: "batch", Kind: "CronJob"}:    {"v1", "cronjobs"},
	{Kind: "ReplicationController"}:      {"v1", "replicationcontrollers"},
	{Kind: "Service"}:                    {"v1", "services"},
}

// selectorOf is the selector of an owner's pods.
func (c client) selectorOf(ctx context.Context, namespace string, owner topo.Ref) (string, error) {
	kind := topo.GroupKind{Group: owner.Group, Kind: owner.Kind}
	place, ok := workloads[kind]
	if !ok {
		return "", fault.New(fault.BadRequest, "%s doesn't say which pods are its own", owner.Kind).
			WithField("owner", "must be a Deployment, StatefulSet, DaemonSet, ReplicaSet, Job, CronJob, ReplicationController or Service")
	}
	path := append(api(owner.Group, place[0]), "namespaces", namespace, place[1], owner.Name)
	if owner.Group == "" {
		path = core(namespace, place[1], owner.Name)
	}
	if kind.Kind == "CronJob" {
		return c.selectorOfJobs(ctx, namespace, path)
	}
	if kind.Group == "" { // their selectors are of the old form
		var old struct {
			Spec struct{ Selector map[string]string } `json:"spec"`
		}
		if err := c.get(ctx, &old, nil, path...); err != nil {
			return "", err
		}
		return selecting(&metav1.LabelSelector{MatchLabels: old.Spec.Selector}, owner)
	}
	var w struct {
		Spec struct{ Selector *metav1.LabelSelector } `json:"spec"`
	}
	if err := c.get(ctx, &w, nil, path...); err != nil {
		return "", err
	}
	return selecting(w.Spec.Selector, owner)
}

func selecting(s *metav1.LabelSelector, owner topo.Ref) (string, error) {
	parsed, err := metav1.LabelSelectorAsSelector(s)
	if err != nil || parsed.Empty() || parsed.String() == labels.Nothing().String() {
		return "", fault.Wrap(err, fault.NotFound, "%s %s selects no pods", owner.Kind, owner.Name)
	}
	return parsed.String(), nil
}

// selectorOfJobs is that of the Jobs which a CronJob has made so far.
func (c client) selectorOfJobs(ctx context.Context, namespace string, path []string) (string, error) {
	var owner metav1.PartialObjectMetadata
	if err := c.get(ctx, &owner, nil, path...); err != nil {
		return "", err
	}
	var jobs metav1.PartialObjectMetadataList
	if err := c.get(ctx, &jobs, nil, append(api("batch", "v1"), "namespaces", namespace, "jobs")...); err != nil {
		return "", err
	}
	var made []string
	for _, j := range jobs.Items {
		if slices.ContainsFunc(j.OwnerReferences, func(o metav1.OwnerReference) bool { return o.UID == owner.UID }) {
			made = append(made, j.Name)
		}
	}
	if len(made) == 0 {
		return "", fault.New(fault.NotFound, "CronJob %s has no Jobs at present", owner.Name)
	}
	return "batch.kubernetes.io/job-name in (" + strings.Join(made, ",") + ")", nil
}

// maxPods is how many pods are looked at to choose among their containers.
const maxPods = 500

// found are the pods that a selector is about.
type found struct {
	pods    []corev1.Pod
	more    bool   // than maxPods
	version string // to watch from
}

func (c client) list(ctx context.Context, namespace, selector string) (found, error) {
	var l corev1.PodList
	err := c.get(ctx, &l, url.Values{"labelSelector": {selector}, "limit": {strconv.Itoa(maxPods)}}, core(namespace, "pods")...)
	return found{pods: l.Items, more: l.Continue != "", version: l.ResourceVersion}, err
}

func (c client) pod(ctx context.Context, namespace, name string) (*corev1.Pod, error) {
	var p corev1.Pod
	if err := c.get(ctx, &p, nil, core(namespace, "pods", name)...); err != nil {
		return nil, err
	}
	return &p, nil
}
