package export

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"time"

	"github.com/kubilitics/kubilitics/hub/internal/fleet"
	"github.com/kubilitics/kubilitics/hub/internal/query"
	"github.com/kubilitics/kubilitics/hub/internal/store"
	"github.com/kubilitics/kubilitics/shared/topo"
)

// small is an application of ten.
func small() *query.Graph {
	s := newSample()
	s.node("Node worker-1", topo.OK, "Ready")
	s.node("Node worker-2", topo.OK, "NotReady,SchedulingDisabled").Health = "error"
	s.workload("monitoring", "grafana", "6f8b9d7c5", "Running", "Running")
	s.node("ConfigMap monitoring/grafana-dashboards-of-all-the-teams-and-their-services", topo.OK, "")
	s.node("Secret monitoring/grafana", topo.Unknown, "")
	s.mount("grafana", "ConfigMap monitoring/grafana-dashboards-of-all-the-teams-and-their-services")
	s.mount("grafana", "Secret monitoring/grafana")
	s.graph.Freshness[s.cluster.String()] = fleet.Freshness{State: fleet.Stale, Since: sampleInstant.Add(-time.Hour)}
	return &s.graph
}

// large is six namespaces of some applications each.
func large(namespaces, apps int) *query.Graph {
	s := newSample()
	for i := range 3 {
		s.node(fmt.Sprintf("Node worker-%d", i+1), topo.OK, "Ready")
	}
	for n := range namespaces {
		ns := fmt.Sprintf("team-%c", 'a'+n)
		for a := range apps {
			app := fmt.Sprintf("%s-%d", []string{"api", "frontend", "billing", "search", "worker", "mail"}[a%6], a)
			pods := []string{"Running", "Running", "Running"}
			if (n+a)%7 == 3 {
				pods[1] = "CrashLoopBackOff"
			}
			s.workload(ns, app, "6f8b9d7c5", pods[:1+(a+n)%3]...)
			s.node("ConfigMap "+ns+"/"+app, topo.OK, "")
			s.node("Secret "+ns+"/"+app, topo.OK, "")
			for _, pod := range s.pods(app) {
				if strings.HasPrefix(pod, "Pod "+ns) {
					s.edge(topo.Mounts, pod, "ConfigMap "+ns+"/"+app)
					s.edge(topo.Mounts, pod, "Secret "+ns+"/"+app)
				}
			}
		}
	}
	return &s.graph
}

// crowd is a cluster of 20,000 objects by namespace and kind.
func crowd() *Groups {
	kinds := []string{"ConfigMap", "Deployment", "Ingress", "Job", "PersistentVolumeClaim", "Pod", "ReplicaSet", "Secret", "Service", "ServiceAccount", "StatefulSet"}
	g := &Groups{Meta: newSample().graph.Meta, By: []store.Dimension{store.ByCluster, store.ByNamespace, store.ByKind}, Note: "A picture shows 1000 resources at most, so these are counted by namespace and kind; ask for a namespace to see its resources."}
	r := rand.New(rand.NewPCG(4, 2))
	cluster := fleet.ClusterID(4242).String()
	add := func(ns, kind string, n int) {
		x := Group{Cluster: cluster, Namespace: ns, Kind: kind, Health: map[string]int{"ok": n}, Worst: "ok"}
		if kind == "Pod" && r.IntN(4) == 0 {
			bad := min(n, 1+r.IntN(5))
			x.Health["ok"], x.Health["error"], x.Worst = n-bad, bad, "error"
		} else if r.IntN(9) == 0 {
			x.Health["ok"], x.Health["progressing"], x.Worst = n-1, 1, "progressing"
		}
		g.Groups = append(g.Groups, x)
	}
	for i := range 40 {
		ns := fmt.Sprintf("%s-%s-%02d", []string{"payments", "catalogue", "platform", "data"}[i%4], []string{"dev", "staging", "prod"}[i%3], i)
		first := len(g.Groups)
		for k, kind := range kinds {
			if r.IntN(3) > 0 || kind == "Pod" {
				add(ns, kind, 5+r.IntN(80)*(1+k%3))
			}
		}
		place := map[string]int{}
		for k := first; k < len(g.Groups); k++ {
			place[g.Groups[k].Kind] = k
		}
		for _, e := range [][3]string{
			{"Deployment", "ReplicaSet", "owns"}, {"ReplicaSet", "Pod", "owns"}, {"StatefulSet", "Pod", "owns"}, {"Job", "Pod", "owns"}, {"Service", "Pod", "selects"},
			{"Ingress", "Service", "routes"}, {"Pod", "ConfigMap", "mounts"}, {"Pod", "Secret", "mounts"}, {"Pod", "PersistentVolumeClaim", "mounts"}, {"Pod", "ServiceAccount", "references"},
		} {
			from, ok := place[e[0]]
			to, also := place[e[1]]
			if ok && also {
				g.Edges = append(g.Edges, GroupEdge{from, to, e[2], 1 + r.IntN(200)})
			}
		}
	}
	add("", "Node", 120)
	add("", "PersistentVolume", 640)
	add("", "ClusterRole", 180)
	return g
}

// few is groups few enough to show what they have to do with each other.
func few() *Groups {
	g := &Groups{Meta: newSample().graph.Meta, By: []store.Dimension{store.ByNamespace, store.ByApplication}}
	cluster := fleet.ClusterID(4242).String()
	for _, ns := range []string{"shop", "shop-data"} {
		for i, app := range []string{"web", "checkout", "postgres", "mail"} {
			x := Group{Cluster: cluster, Namespace: ns, Application: app, Health: map[string]int{"ok": 20 * (i + 1), "warning": i}, Missing: i / 3, Worst: "warning"}
			if i == 0 {
				x.Worst = "ok"
			}
			g.Groups = append(g.Groups, x)
		}
	}
	g.Groups = append(g.Groups, Group{Cluster: cluster, Health: map[string]int{"ok": 12}, Worst: "ok"})
	g.Edges = []GroupEdge{{0, 1, "routes", 4}, {1, 2, "references", 30}, {0, 8, "runs-on", 300}, {4, 8, "runs-on", 60}, {1, 6, "routes", 2}, {2, 2, "mounts", 9}, {5, 4, "selects", 1}, {4, 5, "owns", 1}}
	return g
}

func groups(g *Groups) func(int) (*Groups, error) {
	return func(int) (*Groups, error) { return g, nil }
}

// odd is names that are hard to write.
func odd() *query.Graph {
	s := newSample()
	for i, name := range []string{"grün-größe-naïve", "мониторинг-подов", "日本語の名前", "🐈-cat", "עברית", "a<b>&\"c\"", "(paren\\th)", strings.Repeat("very-long-", 12), "\u202Egnp.exe", "x\ny"} {
		s.node(fmt.Sprintf("Pod odd/%d", i), topo.OK, name).Name = name
	}
	s.node("VerticalPodAutoscalerCheckpoint.autoscaling.k8s.io odd/x", topo.OK, "")
	s.node("Foo.example.com odd/x", topo.OK, "")
	s.node("Bigger odd/y", topo.Progressing, "")
	s.edge(topo.Owns, "Pod odd/1", "Pod odd/2")
	s.edge(topo.Owns, "Pod odd/2", "Pod odd/3")
	s.edge(topo.Owns, "Pod odd/3", "Pod odd/1")
	s.edge(topo.Reports, "Pod odd/3", "Pod odd/3")
	s.graph.Truncated = &query.Truncation{Reason: "there are more nodes than fit into one answer", Hint: strings.Repeat("restrict by namespace, kind, selector or focus; ", 5)}
	return &s.graph
}

// fleetwide is a little of two clusters, whose objects have the same names.
func fleetwide() *query.Graph {
	a, b := newSample(), newSample()
	b.cluster = 4343
	b.graph.Freshness = nil
	for _, s := range []*sample{a, b} {
		s.node("Node worker-1", topo.OK, "Ready")
		s.workload("shop", "web", "7d9f8c6b5d", "Running")
	}
	a.graph.Nodes = append(a.graph.Nodes, b.graph.Nodes...)
	a.graph.Edges = append(a.graph.Edges, b.graph.Edges...)
	a.graph.Freshness[b.cluster.String()] = fleet.Freshness{State: fleet.Never}
	return &a.graph
}

type drawing struct {
	pages  []*query.Graph
	groups *Groups
}

func drawings() map[string]drawing {
	return map[string]drawing{
		"demo": {pages: []*query.Graph{demo()}}, "small": {pages: []*query.Graph{small()}}, "large": {pages: []*query.Graph{large(5, 7)}}, "largest": {pages: []*query.Graph{large(10, 10)}},
		"odd": {pages: []*query.Graph{odd()}}, "none": {}, "fleet": {pages: []*query.Graph{fleetwide()}}, "crowd": {pages: []*query.Graph{large(20, 12)}, groups: crowd()}, "few": {pages: []*query.Graph{large(20, 12)}, groups: few()},
	}
}
