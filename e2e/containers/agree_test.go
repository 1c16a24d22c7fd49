package containers

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/metadata"

	"github.com/kubilitics/kubilitics/e2e/stack"
)

// kinds are those whose objects are compared, one by one.
var kinds = []struct {
	schema.GroupVersionResource
	kind string
}{
	{schema.GroupVersionResource{Version: "v1", Resource: "namespaces"}, "Namespace"},
	{schema.GroupVersionResource{Version: "v1", Resource: "nodes"}, "Node"},
	{schema.GroupVersionResource{Version: "v1", Resource: "pods"}, "Pod"},
	{schema.GroupVersionResource{Version: "v1", Resource: "services"}, "Service"},
	{schema.GroupVersionResource{Version: "v1", Resource: "configmaps"}, "ConfigMap"},
	{schema.GroupVersionResource{Version: "v1", Resource: "secrets"}, "Secret"},
	{schema.GroupVersionResource{Version: "v1", Resource: "serviceaccounts"}, "ServiceAccount"},
	{schema.GroupVersionResource{Group: "apps", Version: "v1", Resource: "deployments"}, "Deployment"},
	{schema.GroupVersionResource{Group: "apps", Version: "v1", Resource: "replicasets"}, "ReplicaSet"},
	{schema.GroupVersionResource{Group: "rbac.authorization.k8s.io", Version: "v1", Resource: "clusterroles"}, "ClusterRole"},
}

// actual is what the cluster itself says: "Kind.group namespace/name" -> UID and labels.
func (c *cluster) actual(ctx context.Context) (map[string]string, error) {
	m, err := metadata.NewForConfigAndClient(c.rest, c.http)
	if err != nil {
		return nil, err
	}
	out := map[string]string{}
	for _, k := range kinds {
		list, err := m.Resource(k.GroupVersionResource).List(ctx, metav1.ListOptions{})
		if err != nil {
			return nil, err
		}
		for _, o := range list.Items {
			out[key(k.Group, k.kind, o.Namespace, o.Name)] = row(string(o.UID), o.Labels)
		}
	}
	return out, nil
}

// known is the same, as the hub tells it.
func (f *fleet) known(ctx context.Context, c *cluster) (map[string]string, error) {
	var graph struct {
		Nodes     []stack.Resource
		Truncated any
	}
	if err := f.client.Get(ctx, "/api/v1/clusters/"+c.id+"/topology?limit=20000", &graph); err != nil {
		return nil, err
	}
	if graph.Truncated != nil {
		return nil, fmt.Errorf("the graph is truncated: %v", graph.Truncated)
	}
	out := map[string]string{}
	for _, n := range graph.Nodes {
		for _, k := range kinds {
			if n.Kind == k.kind && n.Group == k.Group && n.UID != "" { // without a UID: somebody refers to it, and it isn't there
				out[key(n.Group, n.Kind, n.Namespace, n.Name)] = row(n.UID, n.Labels)
			}
		}
	}
	return out, nil
}

func key(group, kind, namespace, name string) string {
	return strings.TrimSuffix(kind+"."+group, ".") + " " + namespace + "/" + name
}

func row(uid string, labels map[string]string) string {
	text := uid
	for _, k := range slices.Sorted(maps.Keys(labels)) {
		text += " " + k + "=" + labels[k]
	}
	return text
}

func (f *fleet) compare(ctx context.Context, c *cluster) error {
	want, err := c.actual(ctx)
	if err != nil {
		return err
	}
	got, err := f.known(ctx, c)
	if err != nil {
		return err
	}
	if len(want) < 100 {
		return fmt.Errorf("the cluster has %d objects only", len(want))
	}
	var wrong []string
	for k, w := range want {
		if got[k] != w {
			wrong = append(wrong, fmt.Sprintf("%s: %q, want %q", k, got[k], w))
		}
	}
	for k, g := range got {
		if want[k] == "" {
			wrong = append(wrong, fmt.Sprintf("%s: %q, which isn't there", k, g))
		}
	}
	if len(wrong) > 0 {
		return fmt.Errorf("%d of %d differ: %s", len(wrong), len(want), strings.Join(wrong[:min(5, len(wrong))], "; "))
	}
	return nil
}

// converges waits until the hub holds the cluster for live, knows of it what it itself says, and finds its own rows right.
func (f *fleet) converges(t *testing.T, c *cluster) {
	t.Helper()
	began := time.Now()
	f.must(t, time.Minute, "hub and cluster say the same", func(ctx context.Context) error {
		about, err := f.client.Cluster(ctx, c.id)
		if err != nil {
			return err
		}
		if about.Freshness.State != "live" {
			return fmt.Errorf("the cluster is %s", about.Freshness.State)
		}
		return f.compare(ctx, c)
	})
	t.Logf("converged within %s", time.Since(began).Round(10*time.Millisecond))
	f.must(t, time.Minute, "the agent compares", func(ctx context.Context) error { // once its session is there again
		var verdict struct {
			Corrected int
			Compared  bool
		}
		err := f.client.Do(ctx, http.MethodPost, "/api/v1/clusters/"+c.id+"/verify", nil, &verdict)
		if verdict.Corrected != 0 {
			t.Errorf("the hub's own look at its rows: %+v", verdict)
		}
		if err == nil && !verdict.Compared {
			err = errors.New("it can't be reached")
		}
		return err
	})
}

// must is await, for a test.
func (f *fleet) must(t *testing.T, limit time.Duration, what string, ok func(context.Context) error) {
	t.Helper()
	if err := f.await(t.Context(), limit, what, ok); err != nil {
		t.Fatalf("%v\n%s", err, f.engine.logs())
	}
}
