package plugin

import (
	"crypto/sha256"
	"encoding/hex"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/kubilitics/kubilitics/hub/internal/query/querytest"
	"github.com/kubilitics/kubilitics/hub/internal/store"
	"github.com/kubilitics/kubilitics/shared/topo"
)

// The example that people start from does what it says.
func TestTheExampleEnriches(t *testing.T) {
	if testing.Short() {
		t.Skip("builds a program")
	}
	path := filepath.Join(t.TempDir(), "costs")
	build := exec.Command("go", "build", "-o", path, "./testdata/plugins/costs")
	build.Dir = filepath.Join("..", "..", "..", "e2e")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	program, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	sum := sha256.Sum256(program)
	r := newRig(t, querytest.Node("Pod shop/a", "cost-center=42"), querytest.Node("Pod shop/b"), querytest.Node("ConfigMap shop/cost-center-42"))
	h, _ := r.run(Spec{Name: "costs", As: "enricher", Path: path, SHA256: hex.EncodeToString(sum[:]), Tenants: []string{"default"}})
	r.until("both Pods are enriched", func() bool { return r.attr("Pod shop/a", "center") == "42" && len(r.findings()) == 1 })
	edges, err := r.store.AddedEdges(t.Context(), r.cluster.Scope, []topo.ID{querytest.Ref("ConfigMap shop/cost-center-42").ID()}, store.Into, nil, 10)
	if err != nil || len(edges) != 1 || edges[0].Edge.Source != querytest.Ref("Pod shop/a") || edges[0].Edge.Rule != "plugin:costs" {
		t.Errorf("edges %v, %v", edges, err)
	}
	if f := r.findings()[0]; f.Ref != querytest.Ref("Pod shop/b") || f.Key.Code != "no-cost-center" {
		t.Errorf("finding %+v", f)
	}
	if s := r.status(h); s.Says != "costs" || s.Refused != 0 {
		t.Errorf("status %+v", s)
	}
}
