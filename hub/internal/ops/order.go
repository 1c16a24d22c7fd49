package ops

import (
	"slices"

	"github.com/kubilitics/kubilitics/shared/topo"
)

// ranks is the order in which kinds are applied, so that what others need is there before them. What isn't named comes with the workloads; what intercepts
// requests comes last, since its own server is among the others.
var ranks = [][]topo.GroupKind{
	{{Kind: "Namespace"}},
	{crdKind},
	{
		{Group: "scheduling.k8s.io", Kind: "PriorityClass"}, {Group: "storage.k8s.io", Kind: "StorageClass"}, {Group: "node.k8s.io", Kind: "RuntimeClass"},
		{Group: "networking.k8s.io", Kind: "IngressClass"}, {Group: "rbac.authorization.k8s.io", Kind: "ClusterRole"}, {Kind: "ResourceQuota"}, {Kind: "LimitRange"},
		{Kind: "ServiceAccount"}, {Kind: "Secret"}, {Kind: "ConfigMap"}, {Kind: "PersistentVolume"}, {Group: "rbac.authorization.k8s.io", Kind: "Role"},
		{Group: "networking.k8s.io", Kind: "NetworkPolicy"}, {Group: "policy", Kind: "PodDisruptionBudget"},
	},
	{
		{Kind: "PersistentVolumeClaim"}, {Group: "rbac.authorization.k8s.io", Kind: "ClusterRoleBinding"}, {Group: "rbac.authorization.k8s.io", Kind: "RoleBinding"},
		{Kind: "Service"},
	},
	nil,
	{
		{Group: "apiregistration.k8s.io", Kind: "APIService"}, {Group: "admissionregistration.k8s.io", Kind: "ValidatingWebhookConfiguration"},
		{Group: "admissionregistration.k8s.io", Kind: "MutatingWebhookConfiguration"}, {Group: "admissionregistration.k8s.io", Kind: "ValidatingAdmissionPolicyBinding"},
		{Group: "admissionregistration.k8s.io", Kind: "MutatingAdmissionPolicyBinding"},
	},
}

var crdKind = topo.GroupKind{Group: "apiextensions.k8s.io", Kind: "CustomResourceDefinition"}

func rankOf(gk topo.GroupKind) int {
	if i := slices.IndexFunc(ranks, func(r []topo.GroupKind) bool { return slices.Contains(r, gk) }); i >= 0 {
		return i
	}
	return slices.IndexFunc(ranks, func(r []topo.GroupKind) bool { return r == nil })
}

// waves groups documents by rank, those of one rank in the order they came in.
func waves(docs []*document) [][]*document {
	out := make([][]*document, len(ranks))
	for _, d := range docs {
		rank := rankOf(d.gk())
		out[rank] = append(out[rank], d)
	}
	return slices.DeleteFunc(out, func(w []*document) bool { return len(w) == 0 })
}
