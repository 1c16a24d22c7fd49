package command

import (
	"bytes"
	"fmt"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/kubilitics/kubilitics/hub/internal/client"
)

// around is a Deployment and what hangs on it: Pods that mount what it mounts, a Service that picks them, a budget, and two that refer to each other.
func around() client.Graph {
	nodes := []client.Resource{
		resource("c1", "Deployment.apps/shop/web", "progressing", "9/12"), resource("c1", "ReplicaSet.apps/shop/web-1", "progressing", "9/12"), resource("c1", "ConfigMap/shop/gone", "missing", ""),
		resource("c1", "Service/shop/web", "ok", ""), resource("c1", "Secret/vault/key", "ok", ""), resource("c1", "Node/n1", "warning", "MemoryPressure"),
	}
	edges := []string{
		"Deployment.apps/shop/web owns ReplicaSet.apps/shop/web-1", "Deployment.apps/shop/web references ConfigMap/shop/gone", "Deployment.apps/shop/web mounts ConfigMap/shop/gone",
		"ReplicaSet.apps/shop/web-1 references ConfigMap/shop/gone", "Service/shop/web routes Secret/vault/key", "Secret/vault/key references Service/shop/web",
		"Secret/vault/key references Secret/vault/key",
	}
	for i := range 12 {
		health := "ok"
		if i > 8 {
			health = "error"
		}
		pod := fmt.Sprintf("Pod/shop/web-1-%c", 'a'+i)
		nodes = append(nodes, resource("c1", pod, health, ""))
		edges = append(edges, "ReplicaSet.apps/shop/web-1 owns "+pod, pod+" references ConfigMap/shop/gone", "Service/shop/web selects "+pod)
	}
	edges = append(edges, "Pod/shop/web-1-l runs-on Node/n1")
	return graph(nodes, edges)
}

func graph(nodes []client.Resource, edges []string) client.Graph {
	g := client.Graph{Meta: seen}
	for _, n := range nodes {
		g.Nodes = append(g.Nodes, client.Node{Resource: n, More: n.Kind == "Node"})
	}
	for _, e := range edges {
		w := strings.Fields(e)
		g.Edges = append(g.Edges, client.Edge{Cluster: "c1", Source: ref(w[0]), Type: w[1], Target: ref(w[2])})
	}
	return g
}

func TestDrawings(t *testing.T) {
	t.Parallel()
	d, h := loggedIn(t)
	g := around()
	g.Truncated = &client.Truncation{Reason: `the nodes marked "more" have more`, Hint: "raise fan"}
	web := resource("c1", "Deployment.apps/shop/web", "progressing", "9/12")
	pod := func(name string) client.Affected {
		return client.Affected{Resource: resource("c1", "Pod/shop/"+name, "ok", ""), Severity: "breaks", Depth: 1, Reason: "runs on Node n1", Gone: true}
	}
	impact := client.Impact{Meta: seen, Focus: resource("c1", "Node/n1", "ok", ""), Hits: []client.Hit{{Kind: "single-replica", Sentence: "Deployment web loses its only replica, Pod web-1"}}, Affected: []client.Affected{
		pod("web-1"), pod("web-2"), {Resource: web, Severity: "degrades", Depth: 2, Reason: "is left with 1 of 2 replicas", Causes: 3},
	}}
	impact.Counts.Breaks, impact.Counts.Degrades = 2, 1
	paths := client.Paths{Outcome: "found", Length: 2, Total: client.Total{Count: 9, Exact: true}, Paths: [][]string{{"Deployment.apps/shop/web", "ConfigMap/shop/gone"}, {"Deployment.apps/shop/web", "ReplicaSet.apps/shop/web-1", "ConfigMap/shop/gone"}}, Edges: g.Edges, Nodes: g.Nodes}
	h.tells(map[string]any{
		"/api/v1/resources": listOf(web), "/api/v1/clusters/c1/topology": g, "/api/v1/clusters/c1/topology/impact": impact, "/api/v1/clusters/c1/topology/paths": paths,
	})
	d.golden("tree", 0, "tree", "deploy/web")
	d.golden("tree-all", 0, "tree", "deploy", "web", "--siblings", "0", "--repeat")
	d.golden("impact", 0, "impact", "node/n1")
	d.golden("paths", 0, "paths", "--from", "deploy/web", "--to", "cm/gone")
	impact.Affected = nil
	h.tells(map[string]any{"/api/v1/resources": listOf(web), "/api/v1/clusters/c1/topology/impact": impact, "/api/v1/clusters/c1/topology/paths": client.Paths{Outcome: "none"}})
	d.run(0, "impact deploy/web", "nothing that is known stops working")
	d.run(0, "paths --from deploy/web --to deploy/web", "nothing leads from Deployment shop/web")
}

// Each resource is drawn once, whatever circles there are, from wherever one looks.
func TestEachIsDrawnOnce(t *testing.T) {
	g := around()
	for _, root := range g.Nodes {
		var out bytes.Buffer
		if err := newDrawing(screen{&out, false}, &g, root.Ref, 0, false).print("eu-1"); err != nil {
			t.Fatal(err)
		}
		drawn := 0
		for line := range strings.Lines(out.String()) {
			if !strings.Contains(line, "↑") {
				drawn++
			}
		}
		if drawn != len(g.Nodes) {
			t.Errorf("from %s, %d of %d are drawn:\n%s", root.ID, drawn, len(g.Nodes), out.String())
		}
	}
	if newDrawing(screen{}, &g, ref("Pod/shop/none"), 0, false) != nil {
		t.Error("what isn't there is drawn")
	}
}

func TestColours(t *testing.T) {
	t.Setenv("NO_COLOR", "")
	var out bytes.Buffer
	g := around()
	if err := newDrawing(screen{&out, true}, &g, g.Nodes[0].Ref, 8, false).print("eu-1"); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"\x1b[36m◐\x1b[0m \x1b[1mDeployment shop/web\x1b[0m", "\x1b[31m∅\x1b[0m", "\x1b[33m▲\x1b[0m"} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("there is no %q in\n%s", want, out.String())
		}
	}
	out.Reset()
	table := columns("A", "B")
	table.row(screen{nil, true}.health("error"), "x")
	table.row("", "long")
	if err := table.print(screen{&out, true}); err != nil || !strings.Contains(out.String(), "\x1b[31m✖ error\x1b[0m   x\n-         long\n") {
		t.Errorf("%v: %q", err, out.String())
	}
	if screenOf(&out).colour {
		t.Error("a buffer is taken for a terminal")
	}
}

// shared is a buffer that one writes while another reads.
type shared struct {
	mu   sync.Mutex
	text strings.Builder
}

func (s *shared) Write(b []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.text.Write(b)
}

func (s *shared) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.text.String()
}

// What takes longer than a second is told, and nothing is left of it.
func TestProgress(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var out shared
		p := &progress{app: &app{Process: Process{Err: &out}}, what: "asking", began: time.Now(), end: make(chan struct{})}
		p.ended.Go(p.run)
		time.Sleep(patience / 2)
		synctest.Wait()
		if out.String() != "" {
			t.Errorf("too early: %q", out.String())
		}
		time.Sleep(patience)
		p.tell("%d of %d", 1, 2)
		time.Sleep(patience)
		p.stop()
		p.stop()
		if got := out.String(); !strings.Contains(got, "asking (1s)") || !strings.Contains(got, "1 of 2 (2s)") || !strings.HasSuffix(got, "\r\x1b[K") {
			t.Errorf("%q", got)
		}
	})
}
