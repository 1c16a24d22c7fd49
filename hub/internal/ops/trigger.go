package ops

import (
	"context"
	"encoding/json"
	"net/http"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/rand"

	"github.com/kubilitics/kubilitics/shared/topo"
)

var cronJobKind = topo.GroupKind{Group: "batch", Kind: "CronJob"}

// maxJobName is how long a Job's name may be for its Pods to have it in their labels.
const maxJobName = 63

// Trigger makes a Job from a CronJob's template now; name is the Job's, or "".
func (t *Target) Trigger(ctx context.Context, p Place, name string, q Query) (*Result, error) {
	f, err := t.locateOf(ctx, p, "triggered", cronJobKind)
	if err != nil {
		return nil, err
	}
	got, err := t.do(ctx, f.call(http.MethodGet))
	if err != nil {
		return nil, err
	}
	job, err := jobFrom(got.body, name)
	if err != nil {
		return nil, err
	}
	k, err := t.of(ctx, "batch/v1", "Job")
	if err != nil {
		return nil, err
	}
	return t.write(ctx, call{method: http.MethodPost, kind: k, namespace: f.namespace, query: q.values(), contentType: "application/json", body: job}, q)
}

// jobFrom writes a Job. The template's own text goes into it, so that nothing that isn't known here is lost.
func jobFrom(cronJob []byte, name string) ([]byte, error) {
	c, err := read[struct {
		object
		Spec struct {
			JobTemplate struct {
				metav1.ObjectMeta `json:"metadata"`
				Spec              json.RawMessage `json:"spec"`
			} `json:"jobTemplate"`
		} `json:"spec"`
	}](cronJob)
	if err != nil {
		return nil, err
	}
	if name == "" {
		end := "-manual-" + rand.String(5)
		name = c.Name[:min(len(c.Name), maxJobName-len(end))] + end
	}
	template := c.Spec.JobTemplate
	annotations := map[string]string{"cronjob.kubernetes.io/instantiate": "manual"} // as the cluster's own tools mark such a Job
	for k, v := range template.Annotations {
		annotations[k] = v
	}
	job := map[string]any{
		"apiVersion": "batch/v1", "kind": "Job", "spec": template.Spec,
		"metadata": map[string]any{
			"name": name, "namespace": c.Namespace, "labels": template.Labels, "annotations": annotations,
			// A reference that blocks the owner's deletion would need the right to set finalizers.
			"ownerReferences": []any{map[string]any{"apiVersion": "batch/v1", "kind": "CronJob", "name": c.Name, "uid": c.UID, "controller": true}},
		},
	}
	return json.Marshal(job)
}
