package kubefleet

import (
	"fmt"
	"io"
	"net/http"
	"testing"

	"github.com/kubilitics/kubilitics/hub/internal/query/querytest"
	"github.com/kubilitics/kubilitics/shared/topo"
)

// BenchmarkList reads all Pods of a cluster of 5,000, as kubectl's tables and as whole objects.
func BenchmarkList(b *testing.B) {
	const pods = 5_000
	r := newRig(b)
	var d topo.Delta
	for i := range pods {
		name := fmt.Sprintf("Pod crowd/p%05d", i)
		d.Nodes = append(d.Nodes, querytest.With(querytest.Node(name, "app=web"), "status=Running", "ready=1/1", "restarts=0", "node=n1", "ip=10.0.0.1"))
		d.Manifests = append(d.Manifests, querytest.Manifest(name, fmt.Sprintf(`{"apiVersion":"v1","kind":"Pod","metadata":{"name":"p%05d","namespace":"crowd","labels":{"app":"web"}},
			"spec":{"nodeName":"n1","containers":[{"name":"web","image":"nginx:1.27","resources":{"requests":{"cpu":"50m","memory":"64Mi"}}}]},"status":{"phase":"Running","podIP":"10.0.0.1"}}`, i)))
	}
	r.eu.Apply(d)
	for name, accept := range map[string]string{"table": tableType, "objects": "application/json", "metadata": metaType} {
		for _, limit := range []int{500, 0} {
			b.Run(fmt.Sprintf("%s/limit=%d", name, limit), func(b *testing.B) {
				for b.Loop() {
					req, err := http.NewRequestWithContext(b.Context(), http.MethodGet, fmt.Sprintf("%s/api/v1/namespaces/crowd/pods?limit=%d", r.url, limit), nil)
					if err != nil {
						b.Fatal(err)
					}
					req.Header.Set("Accept", accept)
					resp, err := http.DefaultClient.Do(req)
					if err != nil {
						b.Fatal(err)
					}
					n, err := io.Copy(io.Discard, resp.Body)
					if err != nil || resp.StatusCode != http.StatusOK {
						b.Fatal(resp.Status, err)
					}
					_ = resp.Body.Close()
					b.SetBytes(n)
				}
			})
		}
	}
}
