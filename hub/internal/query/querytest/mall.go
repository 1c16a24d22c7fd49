package querytest

import (
	"slices"
	"strings"

	"github.com/kubilitics/kubilitics/shared/topo"
)

// With gives a node attributes, "k=v", and, for the key "health" or "status", that health or status.
func With(n topo.Node, attrs ...string) topo.Node {
	for _, a := range attrs {
		k, v, _ := cut(a)
		switch k {
		case "health":
			n.Health, _ = topo.ParseHealth(v)
		case "status":
			n.Status = v
		default:
			n.Attrs = append(n.Attrs, topo.Pair{Key: k, Value: v})
		}
	}
	sortPairs(n.Attrs)
	return n
}

// Ruled is an edge that a rule of that name found, with attributes "k=v".
func Ruled(source string, t topo.EdgeType, rule, target string, attrs ...string) topo.Edge {
	e := Edge(source, t, target)
	e.Rule = rule
	for _, a := range attrs {
		k, v, _ := cut(a)
		e.Attrs = append(e.Attrs, topo.Pair{Key: k, Value: v})
	}
	sortPairs(e.Attrs)
	return e
}

// Mall is a cluster that has something of everything the findings, the impact and the roll-up are about, with the names of rules as agents give them: in
// the namespace mall a web of two Pods behind a Service and an Ingress, guarded by a budget that allows no disruption, and a db of one Pod on a
// claim; and what is wrong: missing targets, a Service that selects nothing, what nobody uses, bindings to nothing, owners in a circle.
func Mall() topo.Delta {
	app := func(ref string, attrs ...string) topo.Node {
		return With(Node(ref, "app=web"), append(attrs, "app=web")...)
	}
	return topo.Delta{
		Nodes: []topo.Node{
			Node("Namespace mall"), Node("Namespace vault", "team=sec"), Node("Node n1"), Node("Node n2"), Node("StorageClass.storage.k8s.io fast"),
			app("Deployment.apps mall/web", "replicas=2", "ready=2/2"), app("ReplicaSet.apps mall/web-1", "replicas=2", "ready=2"), app("ReplicaSet.apps mall/web-0", "replicas=0", "ready=0"),
			app("Pod mall/web-a", "ready=1/1", "node=n1", "images=nginx:1.27", "ip=10.1.0.7"), app("Pod mall/web-b", "ready=1/1", "node=n2", "images=nginx:1.27", "ip=10.1.0.8"),
			With(app("Service mall/web", "selector=yes", "type=ClusterIP"), "ip=10.96.0.9"), app("Ingress.networking.k8s.io mall/web"),
			With(Node("PodDisruptionBudget.policy mall/web"), "allowed=0"), Node("ConfigMap mall/web"), Node("ConfigMap mall/extras"), Node("ServiceAccount mall/web"),
			With(Node("StatefulSet.apps mall/db", "app=db"), "app=db", "replicas=1", "ready=1/1"), With(Node("Pod mall/db-0", "app=db"), "app=db", "ready=1/1", "node=n1"),
			With(Node("Service mall/db", "app=db"), "selector=yes", "app=db"), Node("PersistentVolumeClaim mall/data-db-0"), Node("PersistentVolume pv-1"),
			Node("HorizontalPodAutoscaler.autoscaling mall/web"),
			// what is wrong
			Missing("ConfigMap mall/absent"), Missing("ConfigMap mall/maybe"), Missing("Role.rbac.authorization.k8s.io mall/ghost"), Missing("Deployment.apps mall/nothing"),
			With(Node("Pod mall/sad", "app=sad"), "health=error", "status=CreateContainerConfigError", "ready=0/1", "app=sad"),
			With(Node("Service mall/lonely"), "selector=yes"), Node("Service mall/external"), Node("PodDisruptionBudget.policy mall/idle"),
			Node("ConfigMap mall/forgotten"), Node("ConfigMap mall/kube-root-ca.crt"), With(Node("Secret mall/old"), "type=Opaque"),
			With(Node("Secret mall/sh.helm.release.v1.web.v1"), "type=helm.sh/release.v1"), Node("PersistentVolumeClaim mall/left"),
			Node("RoleBinding.rbac.authorization.k8s.io mall/ghosts"), Node("HorizontalPodAutoscaler.autoscaling mall/nothing"),
			Node("Widget.example.com mall/a"), Node("Widget.example.com mall/b"),
			Node("HTTPRoute.gateway.networking.k8s.io mall/route"), Node("Service vault/api"),
			With(Node("PodSet.kubilitics.io mall/app=web"), "podSelector=app=web"), With(Node("PodSet.kubilitics.io all pods in team=sec"), "podSelector=", "namespaceSelector=team=sec"),
			block(), With(Node("Pod vault/api-0"), "ready=1/1", "ip=10.2.0.1"),
		},
		Edges: []topo.Edge{
			Ruled("Deployment.apps mall/web", topo.Owns, "owner-dependent", "ReplicaSet.apps mall/web-1"), Ruled("Deployment.apps mall/web", topo.Owns, "owner-dependent", "ReplicaSet.apps mall/web-0"),
			Ruled("ReplicaSet.apps mall/web-1", topo.Owns, "owner-dependent", "Pod mall/web-a"), Ruled("ReplicaSet.apps mall/web-1", topo.Owns, "owner-dependent", "Pod mall/web-b"),
			Ruled("Pod mall/web-a", topo.RunsOn, "pod-node", "Node n1"), Ruled("Pod mall/web-b", topo.RunsOn, "pod-node", "Node n2"),
			Ruled("Pod mall/web-a", topo.Mounts, "pod-configmap-volume", "ConfigMap mall/web"), Ruled("Pod mall/web-b", topo.Mounts, "pod-configmap-volume", "ConfigMap mall/web"),
			Ruled("Deployment.apps mall/web", topo.Mounts, "pod-configmap-volume", "ConfigMap mall/web"),
			Ruled("Pod mall/web-a", topo.References, "pod-configmap-env", "ConfigMap mall/extras", "optional=true"),
			Ruled("Pod mall/web-a", topo.References, "pod-serviceaccount", "ServiceAccount mall/web"),
			Ruled("Service mall/web", topo.Selects, "service-pod", "Pod mall/web-a"), Ruled("Service mall/web", topo.Selects, "service-pod", "Pod mall/web-b"),
			Ruled("Ingress.networking.k8s.io mall/web", topo.Routes, "ingress-service", "Service mall/web"),
			Ruled("PodDisruptionBudget.policy mall/web", topo.Protects, "poddisruptionbudget-pod", "Pod mall/web-a"), Ruled("PodDisruptionBudget.policy mall/web", topo.Protects, "poddisruptionbudget-pod", "Pod mall/web-b"),
			Ruled("HorizontalPodAutoscaler.autoscaling mall/web", topo.Scales, "horizontalpodautoscaler-target", "Deployment.apps mall/web"),
			Ruled("StatefulSet.apps mall/db", topo.Owns, "owner-dependent", "Pod mall/db-0"), Ruled("StatefulSet.apps mall/db", topo.References, "statefulset-service", "Service mall/db"),
			Ruled("StatefulSet.apps mall/db", topo.References, "statefulset-persistentvolumeclaim", "PersistentVolumeClaim mall/data-db-0"),
			Ruled("Pod mall/db-0", topo.RunsOn, "pod-node", "Node n1"), Ruled("Pod mall/db-0", topo.Mounts, "pod-persistentvolumeclaim", "PersistentVolumeClaim mall/data-db-0"),
			Ruled("Service mall/db", topo.Selects, "service-pod", "Pod mall/db-0"),
			Ruled("PersistentVolumeClaim mall/data-db-0", topo.Binds, "persistentvolumeclaim-persistentvolume", "PersistentVolume pv-1"),
			Ruled("PersistentVolume pv-1", topo.Binds, "persistentvolume-persistentvolumeclaim", "PersistentVolumeClaim mall/data-db-0"),
			Ruled("PersistentVolume pv-1", topo.References, "volume-storageclass", "StorageClass.storage.k8s.io fast"),
			// what is wrong
			Ruled("Pod mall/sad", topo.Mounts, "pod-configmap-volume", "ConfigMap mall/absent"), Ruled("Pod mall/sad", topo.References, "pod-configmap-env", "ConfigMap mall/maybe", "optional=true"),
			Ruled("RoleBinding.rbac.authorization.k8s.io mall/ghosts", topo.References, "binding-role", "Role.rbac.authorization.k8s.io mall/ghost"),
			Ruled("HorizontalPodAutoscaler.autoscaling mall/nothing", topo.Scales, "horizontalpodautoscaler-target", "Deployment.apps mall/nothing"),
			Ruled("Widget.example.com mall/a", topo.Owns, "owner-dependent", "Widget.example.com mall/b"), Ruled("Widget.example.com mall/b", topo.Owns, "owner-dependent", "Widget.example.com mall/a"),
			Ruled("HTTPRoute.gateway.networking.k8s.io mall/route", topo.Routes, "gatewayroute-backend", "Service vault/api", "crossNamespace=true"),
		},
		Manifests: []topo.Manifest{Manifest("ConfigMap mall/web", `{"apiVersion":"v1","data":{"color":"blue","size":"1"},"kind":"ConfigMap","metadata":{"name":"web","namespace":"mall"}}`)},
	}
}

// block has a slash in its name, which Ref would take for that behind a namespace.
func block() topo.Node {
	n := Node("IPBlock.kubilitics.io x")
	n.Ref.Name = "10.1.0.0/24"
	return n
}

func cut(pair string) (string, string, bool) { return strings.Cut(pair, "=") }

func sortPairs(ps []topo.Pair) {
	slices.SortFunc(ps, func(a, b topo.Pair) int { return strings.Compare(a.Key, b.Key) })
}
