package rules

import "github.com/kubilitics/kubilitics/shared/topo"

// ownershipRows is what goes with what.
var ownershipRows = []Row{
	{
		Name: "owner-dependent", Type: topo.Owns, From: []string{"*"}, At: []string{"metadata.ownerReferences[*]"},
		Func: "owners", Reverse: true,
		Doc: "The dependent goes when its owner goes.",
	},
	{
		Name: "customresourcedefinition-instance", Type: topo.Defines, From: []string{"CustomResourceDefinition.apiextensions.k8s.io"},
		At: []string{"spec.names"}, Func: "instances", Fields: []string{"kind", "$.spec.group"},
		Doc: "The definition makes the cluster know objects of this kind.",
	},
	{
		Name: "customresourcedefinition-service", Type: topo.Routes, From: []string{"CustomResourceDefinition.apiextensions.k8s.io"},
		At: []string{"spec.conversion.webhook.clientConfig.service"}, Ref: &Ref{To: "Service", Name: "name", Namespace: "namespace"},
		Doc: "The Service converts the kind's objects from one version to another.",
	},
	{
		Name: "apiservice-service", Type: topo.Routes, From: []string{"APIService.apiregistration.k8s.io"},
		At: []string{"spec.service"}, Ref: &Ref{To: "Service", Name: "name", Namespace: "namespace"},
		Doc: "The Service answers for this group and version of the API.",
	},
}
