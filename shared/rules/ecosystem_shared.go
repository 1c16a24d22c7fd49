package rules

import "github.com/kubilitics/kubilitics/shared/topo"

// Kinds of nodes that have the same name in every cluster: by them the hub ties clusters together.
const (
	hostKind       = "Host"              // a DNS name
	imageKind      = "Image"             // repository@digest
	gitKind        = "GitSource"         // address of a repository, without scheme and user
	clusterSetKind = "ClusterSetService" // namespace/name
)

const multicluster = "multicluster.x-k8s.io"

// sharedRows is what clusters may have in common.
var sharedRows = []Row{
	{
		Name: "ingress-host", Type: topo.Routes, From: []string{"Ingress.networking.k8s.io"},
		At: []string{"spec.rules[*].host", "spec.tls[*].hosts[*]"}, Func: "host", Fields: []string{""}, Reverse: true,
		Doc: "Requests to the host come in by the Ingress.",
	},
	{
		Name: "route-host", Type: topo.Routes, From: of(gatewayAPI, "HTTPRoute", "GRPCRoute", "TLSRoute"),
		At: []string{"spec.hostnames[*]"}, Func: "host", Fields: []string{""}, Reverse: true,
		Doc: "Requests to the host go where the route says.",
	},
	{
		Name: "gateway-host", Type: topo.Routes, From: of(gatewayAPI, "Gateway"),
		At: []string{"spec.listeners[*].hostname"}, Func: "host", Fields: []string{""}, Reverse: true,
		Doc: "Requests to the host come in by the Gateway.",
	},
	{
		Name: "gateway-address", Type: topo.Routes, From: of(gatewayAPI, "Gateway"),
		At: []string{"status.addresses[*]"}, Func: "host", Fields: []string{"value"}, Reverse: true,
		Where: []Where{{Path: "type", Is: []string{"Hostname"}}},
		Doc:   "The load balancer of that name is the Gateway's.",
	},
	{
		Name: "domainmapping-host", Type: topo.Routes, From: of(knativeServing, "DomainMapping"),
		At: []string{"metadata.name"}, Func: "host", Fields: []string{""}, Reverse: true,
		Doc: "Requests to the host go where the mapping says.",
	},
	{
		Name: "loadbalancer-host", Type: topo.Routes, From: []string{"Service", "Ingress.networking.k8s.io"},
		At: []string{"status.loadBalancer.ingress[*].hostname"}, Func: "host", Fields: []string{""}, Reverse: true,
		Doc: "The load balancer of that name is the Service's or the Ingress'.",
	},
	{
		Name: "externalname-host", Type: topo.Routes, From: []string{"Service"},
		At: []string{"spec.externalName"}, Func: "externalName", Fields: []string{""},
		Where: []Where{{Path: "$.spec.type", Is: []string{"ExternalName"}}},
		Doc:   "The Service is another name for it.",
	},
	{
		Name: "pod-image", Type: topo.References, From: []string{"Pod"},
		At:   []string{"status.{containerStatuses,initContainerStatuses,ephemeralContainerStatuses}[*].imageID"},
		Func: "imageDigest", Fields: []string{""},
		Doc: "A container of the Pod runs the image.",
	},
	{
		Name: "serviceexport-service", Type: topo.Routes, From: append(of(multicluster, "ServiceExport"), "ServiceExport.net.gke.io"),
		Ref: &Ref{To: "Service", Name: "metadata.name"},
		Doc: "The Service is offered to other clusters.",
	},
	{
		Name: "serviceexport-clustersetservice", Type: topo.Routes,
		From: append(of(multicluster, "ServiceExport"), "ServiceExport.net.gke.io"),
		At:   []string{"metadata.name"}, Func: "clusterSetService", Fields: []string{""}, Reverse: true,
		Doc: "This cluster is one of those that offer the Service.",
	},
	{
		Name: "serviceimport-clustersetservice", Type: topo.Routes,
		From: append(of(multicluster, "ServiceImport"), "ServiceImport.net.gke.io"),
		At:   []string{"metadata.name"}, Func: "clusterSetService", Fields: []string{""},
		Doc: "Requests go to the clusters that offer the Service.",
	},
}
