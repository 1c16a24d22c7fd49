package export

import (
	"fmt"
	"strings"
	"time"

	"github.com/kubilitics/kubilitics/hub/internal/fleet"
	"github.com/kubilitics/kubilitics/hub/internal/query"
	"github.com/kubilitics/kubilitics/shared/topo"
)

// sample builds graphs for tests in few words.
type sample struct {
	cluster fleet.ClusterID
	graph   query.Graph
	refs    map[string]topo.Ref
}

var sampleInstant = time.Date(2026, 3, 14, 9, 26, 53, 0, time.UTC)

func newSample() *sample {
	s := &sample{cluster: 4242, refs: map[string]topo.Ref{}}
	s.graph.Position, s.graph.At = 184_467, sampleInstant
	s.graph.Freshness = map[string]fleet.Freshness{s.cluster.String(): {State: fleet.Live, Since: sampleInstant.Add(-3 * time.Hour), LastHeard: sampleInstant}}
	return s
}

// node adds "Kind[.group] [namespace/]name" with a health and a status; what follows is attributes, in pairs. It gives what it added.
func (s *sample) node(what string, health topo.Health, status string, attrs ...string) *query.GraphNode {
	kind, name, _ := strings.Cut(what, " ")
	ref := topo.Ref{Name: name}
	ref.Kind, ref.Group, _ = strings.Cut(kind, ".")
	if ns, n, ok := strings.Cut(name, "/"); ok {
		ref.Namespace, ref.Name = ns, n
	}
	n := topo.Node{Ref: ref, Presence: topo.Present, Health: health, Status: status, UID: "uid-" + ref.Name, Version: "v1", Created: sampleInstant.Unix() - 86_400}
	for i := 0; i+1 < len(attrs); i += 2 {
		n.Attrs = append(n.Attrs, topo.Pair{Key: attrs[i], Value: attrs[i+1]})
	}
	s.refs[ref.Kind+" "+name] = ref
	s.graph.Nodes = append(s.graph.Nodes, query.GraphNode{Resource: query.ResourceOf(s.cluster, &n, 0)})
	return &s.graph.Nodes[len(s.graph.Nodes)-1]
}

// edge adds "from -> to", both as they were named to node, without groups.
func (s *sample) edge(t topo.EdgeType, from, to string) {
	e := topo.Edge{Source: s.refs[from], Target: s.refs[to], Rule: strings.ToLower(s.refs[from].Kind + "-" + s.refs[to].Kind), Type: t}
	if e.Source.Name == "" || e.Target.Name == "" {
		panic(fmt.Sprintf("no %q or %q", from, to))
	}
	s.graph.Edges = append(s.graph.Edges, query.EdgeOf(s.cluster, &e, 0))
}

// workload adds a deployment with its replica set, pods, service account and service.
func (s *sample) workload(ns, app, hash string, pods ...string) {
	at := ns + "/" + app
	worst, ready := topo.OK, 0
	for _, p := range pods {
		if p == "Running" {
			ready++
		} else {
			worst = topo.Error
		}
	}
	count := fmt.Sprintf("%d/%d", ready, len(pods))
	s.node("Deployment.apps "+at, worst, "", "app", app, "ready", count)
	s.node("ReplicaSet.apps "+at+"-"+hash, worst, "", "app", app, "ready", count)
	s.node("Service "+at, topo.OK, "", "app", app, "type", "ClusterIP")
	s.node("ServiceAccount "+at, topo.OK, "", "app", app)
	s.edge(topo.Owns, "Deployment "+at, "ReplicaSet "+at+"-"+hash)
	for i, status := range pods {
		pod := fmt.Sprintf("%s-%s-%c%c%c%c%c", at, hash, 'k'+i, 'x'-i, '2'+i, 'm'-i, 'b'+3*i)
		health := topo.OK
		if status != "Running" {
			health = topo.Error
		}
		s.node("Pod "+pod, health, status, "app", app, "node", fmt.Sprintf("worker-%d", i+1))
		s.edge(topo.Owns, "ReplicaSet "+at+"-"+hash, "Pod "+pod)
		s.edge(topo.Selects, "Service "+at, "Pod "+pod)
		s.edge(topo.References, "Pod "+pod, "ServiceAccount "+at)
		s.edge(topo.RunsOn, "Pod "+pod, fmt.Sprintf("Node worker-%d", i+1))
	}
}

func (s *sample) pods(app string) (out []string) {
	for i := range s.graph.Nodes {
		if n := &s.graph.Nodes[i]; n.Kind == "Pod" && n.Attrs["app"] == app {
			out = append(out, "Pod "+n.Namespace+"/"+n.Name)
		}
	}
	return out
}

func (s *sample) mount(app, what string) {
	for _, p := range s.pods(app) {
		s.edge(topo.Mounts, p, what)
	}
}

// demo is a shop in one namespace, its data in another: one pod waits for a ConfigMap that isn't there.
func demo() *query.Graph {
	s := newSample()
	for i := range 3 {
		s.node(fmt.Sprintf("Node worker-%d", i+1), topo.OK, "Ready")
	}
	s.workload("shop", "web", "7d9f8c6b5d", "Running", "Running", "Running")
	s.workload("shop", "checkout", "5b6c9d7f4", "Running", "CreateContainerConfigError")
	s.node("Ingress.networking.k8s.io shop/storefront", topo.OK, "", "app", "web")
	s.node("ConfigMap shop/web-settings", topo.OK, "", "app", "web")
	s.node("Secret shop/storefront-tls", topo.OK, "", "type", "kubernetes.io/tls")
	s.node("ConfigMap shop/checkout-feature-flags", topo.Error, "").Presence = "missing"
	s.node("Secret shop/checkout-payment-credentials", topo.OK, "", "type", "Opaque")
	s.node("HorizontalPodAutoscaler.autoscaling shop/web", topo.Warning, "ScalingLimited")
	s.edge(topo.Routes, "Ingress shop/storefront", "Service shop/web")
	s.edge(topo.Routes, "Ingress shop/storefront", "Service shop/checkout")
	s.edge(topo.References, "Ingress shop/storefront", "Secret shop/storefront-tls")
	s.edge(topo.Scales, "HorizontalPodAutoscaler shop/web", "Deployment shop/web")
	s.mount("web", "ConfigMap shop/web-settings")
	s.mount("checkout", "ConfigMap shop/checkout-feature-flags")
	s.mount("checkout", "Secret shop/checkout-payment-credentials")
	s.database()
	return &s.graph
}

func (s *sample) database() {
	s.node("StatefulSet.apps shop-data/postgres", topo.Progressing, "", "app", "postgres", "ready", "1/2")
	s.node("Service shop-data/postgres", topo.OK, "", "app", "postgres")
	s.node("Secret shop-data/postgres-superuser", topo.OK, "")
	s.node("StorageClass.storage.k8s.io fast-ssd", topo.OK, "")
	s.node("PersistentVolume pvc-0b9e6f52-6a1c-4d53-9c43-7b1f0e2a9d11", topo.OK, "Bound")
	for i, status := range []string{"Running", "Pending"} {
		pod, claim := fmt.Sprintf("shop-data/postgres-%d", i), fmt.Sprintf("shop-data/data-postgres-%d", i)
		health := []topo.Health{topo.OK, topo.Progressing}[i]
		s.node("Pod "+pod, health, status, "app", "postgres")
		s.node("PersistentVolumeClaim "+claim, health, []string{"Bound", "Pending"}[i])
		s.edge(topo.Owns, "StatefulSet shop-data/postgres", "Pod "+pod)
		s.edge(topo.Selects, "Service shop-data/postgres", "Pod "+pod)
		s.edge(topo.Mounts, "Pod "+pod, "PersistentVolumeClaim "+claim)
		s.edge(topo.Mounts, "Pod "+pod, "Secret shop-data/postgres-superuser")
		s.edge(topo.References, "PersistentVolumeClaim "+claim, "StorageClass fast-ssd")
	}
	s.edge(topo.RunsOn, "Pod shop-data/postgres-0", "Node worker-3")
	s.edge(topo.Binds, "PersistentVolumeClaim shop-data/data-postgres-0", "PersistentVolume pvc-0b9e6f52-6a1c-4d53-9c43-7b1f0e2a9d11")
	s.edge(topo.References, "PersistentVolume pvc-0b9e6f52-6a1c-4d53-9c43-7b1f0e2a9d11", "StorageClass fast-ssd")
	s.edge(topo.Binds, "StatefulSet shop-data/postgres", "PersistentVolumeClaim shop-data/data-postgres-0")
	s.edge(topo.Binds, "StatefulSet shop-data/postgres", "PersistentVolumeClaim shop-data/data-postgres-1")
	s.node("ServiceAccount shop-data/postgres", topo.OK, "")
	s.node("ConfigMap shop-data/unused-tuning", topo.OK, "").Outside = true
}

var sampleOptions = Options{Title: "Shop, with its data", Clusters: map[string]string{fleet.ClusterID(4242).String(): "production-eu"}}
