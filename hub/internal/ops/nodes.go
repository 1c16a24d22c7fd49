package ops

import (
	"context"
	"net/http"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/kubilitics/kubilitics/shared/topo"
)

var nodeKind = topo.GroupKind{Kind: "Node"}

func nodePlace(name string) Place { return Place{Version: "v1", Kind: "nodes", Name: name} }

// Cordon keeps new Pods from a node, or lets them come again.
func (t *Target) Cordon(ctx context.Context, node string, cordon bool, q Query) (*Result, error) {
	f, err := t.locate(ctx, nodePlace(node))
	if err != nil {
		return nil, err
	}
	return t.cordon(ctx, f, cordon, q)
}

func (t *Target) cordon(ctx context.Context, f found, cordon bool, q Query) (*Result, error) {
	got, err := t.do(ctx, f.call(http.MethodGet))
	if err != nil {
		return nil, err
	}
	n, err := read[corev1.Node](got.body)
	if err != nil {
		return nil, err
	}
	if n.Spec.Unschedulable == cordon && (q.Version == "" || q.Version == n.ResourceVersion) {
		r, err := result(got, Unchanged)
		if err == nil && q.DryRun {
			r.DryRun = metav1.DryRunAll
		}
		return r, err
	}
	var to any // nothing, which is how an API server words that Pods may come
	if cordon {
		to = true
	}
	return t.alter(ctx, f, &workload{object: object{ObjectMeta: n.ObjectMeta}, text: got.body}, types.MergePatchType, nest(to, "spec", "unschedulable"), q)
}
