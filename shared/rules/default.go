package rules

import (
	"slices"

	"github.com/kubilitics/kubilitics/shared/topo"
)

// clusterScoped are the kinds of Kubernetes itself that have no namespace, as far as rows lead to them.
var clusterScoped = []topo.GroupKind{
	{Kind: "Namespace"}, {Kind: "Node"}, {Kind: "PersistentVolume"},
	{Group: "storage.k8s.io", Kind: "StorageClass"},
	{Group: "networking.k8s.io", Kind: "IngressClass"},
	{Group: rbacGroup, Kind: "ClusterRole"}, {Group: rbacGroup, Kind: "ClusterRoleBinding"},
	{Group: "certificates.k8s.io", Kind: "CertificateSigningRequest"},
	{Group: "apiextensions.k8s.io", Kind: "CustomResourceDefinition"},
}

// defaultRows is what Kubilitics knows.
var defaultRows = slices.Concat(
	section("Ownership and definition", ownershipRows),
	section("Workloads", workloadRows),
	section("Networking", networkingRows),
	section("Networking: Gateway API", gatewayRows),
	section("Storage", storageRows),
	section("Identity and policy", identityRows),
	ecosystemRows,
)

// section puts rows under a heading of the docs.
func section(title string, rows []Row) []Row {
	for i := range rows {
		rows[i].Section = title
	}
	return rows
}
