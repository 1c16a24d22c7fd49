package pods

import (
	"context"
	"encoding/json"
	"net/url"
	"slices"
	"strconv"
	"strings"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/kubilitics/kubilitics/shared/fault"
)

// Owner is an object that says which pods are its own: a workload, a Service, anything with a selector. Its kind is as the cluster serves it.
type Owner struct {
	Group   string
	Version string
	Plural  string
	Kind    string
	Name    string
}

func (o *Owner) place(namespace string) []string {
	if o.Group == "" {
		return core(namespace, o.Plural, o.Name)
	}
	return append(api(o.Group, o.Version), "namespaces", namespace, o.Plural, o.Name)
}

// selectorOf is the selector of an owner's pods.
func (c client) selectorOf(ctx context.Context, namespace string, owner *Owner) (string, error) {
	if owner.Group == "batch" && owner.Kind == "CronJob" {
		return c.selectorOfJobs(ctx, namespace, owner)
	}
	var object struct {
		Spec struct {
			Selector json.RawMessage `json:"selector"`
		} `json:"spec"`
	}
	if err := c.get(ctx, &object, nil, owner.place(namespace)...); err != nil {
		return "", err
	}
	selector, ok := selects(object.Spec.Selector)
	if !ok {
		return "", fault.New(fault.BadRequest, "%s %s doesn't say by a selector which pods are its own", owner.Kind, owner.Name).
			WithField("owner", "must be a workload or a Service, such as Deployment/web")
	}
	return selector, nil
}

// selects reads a selector of either form: the older has labels only.
func selects(raw json.RawMessage) (string, bool) {
	var s metav1.LabelSelector
	var old map[string]string
	if json.Unmarshal(raw, &old) == nil {
		s.MatchLabels = old
	} else if json.Unmarshal(raw, &s) != nil {
		return "", false
	}
	parsed, err := metav1.LabelSelectorAsSelector(&s)
	if err != nil || parsed.Empty() {
		return "", false
	}
	return parsed.String(), true
}

// selectorOfJobs is that of the Jobs which a CronJob has made so far.
func (c client) selectorOfJobs(ctx context.Context, namespace string, cron *Owner) (string, error) {
	var owner metav1.PartialObjectMetadata
	if err := c.get(ctx, &owner, nil, cron.place(namespace)...); err != nil {
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
		return "", fault.New(fault.NotFound, "CronJob %s has no Jobs at present", cron.Name)
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
