package e2e

import (
	"context"
	"fmt"
	"net/url"
	"slices"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/metadata"

	"github.com/kubilitics/kubilitics/e2e/stack"
)

// objects lists everything in the cluster that an agent watches, as the API server itself tells it: each object under its name, with its UID
// and labels.
func (c *cluster) objects(ctx context.Context) (map[string]string, error) {
	lists, err := c.client.Discovery().ServerPreferredResources()
	if err != nil {
		return nil, err
	}
	out := map[string]string{}
	for _, l := range lists {
		gv, err := schema.ParseGroupVersion(l.GroupVersion)
		if err != nil {
			return nil, err
		}
		for _, k := range l.APIResources {
			if k.Kind == "Event" || !slices.Contains(k.Verbs, "list") || !slices.Contains(k.Verbs, "watch") {
				continue
			}
			if err := c.list(ctx, gv, k, out); err != nil {
				return nil, err
			}
		}
	}
	return out, nil
}

func (c *cluster) list(ctx context.Context, gv schema.GroupVersion, k metav1.APIResource, out map[string]string) error {
	var from metadata.ResourceInterface = c.metadata.Resource(gv.WithResource(k.Name))
	list, err := from.List(ctx, metav1.ListOptions{})
	if err != nil {
		return fmt.Errorf("list %s: %w", k.Name, err)
	}
	for _, o := range list.Items {
		labels := o.Labels
		if labels == nil {
			labels = map[string]string{}
		}
		out[nameOf(stack.Resource{Group: gv.Group, Kind: k.Kind, Namespace: o.Namespace, Name: o.Name})] = fmt.Sprint(o.UID, labels)
	}
	return nil
}

// mirrors waits until a hub knows exactly the objects of a cluster.
func (r *rig) mirrors(t *testing.T, m *member, c *cluster) {
	t.Helper()
	eventually(t, "the hub knows the objects of "+c.name, 30*time.Second, func() error {
		want, err := c.objects(t.Context())
		if err != nil {
			return err
		}
		got := map[string]string{}
		list, err := all[stack.Resource](t.Context(), &r.hub.Client, "/api/v1/resources", url.Values{"cluster": {m.id}, "limit": {"1000"}, "fieldSelector": {"presence=present"}})
		if err != nil {
			return err
		}
		for _, n := range list {
			if n.UID == "" {
				continue // no object of Kubernetes: a user, a block of addresses
			}
			if _, twice := got[nameOf(n)]; twice {
				return fmt.Errorf("%s is there twice", nameOf(n))
			}
			got[nameOf(n)] = fmt.Sprint(n.UID, n.Labels)
		}
		return differences(want, got)
	})
}

// The hub knows what the API server knows: every kind, no object missing, none too many, none twice.
func TestMirrorsTheAPIServer(t *testing.T) {
	t.Parallel()
	for _, c := range []*cluster{world.eu, world.us} {
		world.reference.mirrors(t, c.reference, c)
	}
}
