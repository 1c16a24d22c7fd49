package rules

import "github.com/kubilitics/kubilitics/shared/topo"

const (
	clusterAPI   = "cluster.x-k8s.io"
	controlPlane = "controlplane.cluster.x-k8s.io"
)

// kindSaid keeps custom resources out that use the same names for something else.
var kindSaid = []Where{{Path: "apiVersion", Not: []string{""}}, {Path: "kind", Not: []string{""}}}

// crossplaneRows hold for kinds that people make up, so they are asked of all custom resources.
var crossplaneRows = []Row{
	{
		Name: "claim-composite", Type: topo.Binds, From: []string{"*.*"},
		At: []string{"spec.resourceRef"}, Ref: anyRef, Where: kindSaid,
		Doc: "The claim is met by the composite resource.",
	},
	{
		Name: "composite-resource", Type: topo.Defines, From: []string{"*.*"},
		At: []string{"spec.resourceRefs[*]", "spec.crossplane.resourceRefs[*]"}, Ref: anyRef, Where: kindSaid,
		Doc: "The resource is a part of the composite one.",
	},
	{
		Name: "composite-composition", Type: topo.References, From: []string{"*.*"},
		At:  []string{"spec.compositionRef.name", "spec.crossplane.compositionRef.name"},
		Ref: &Ref{To: "Composition.apiextensions.crossplane.io", Cluster: true},
		Doc: "The Composition says what it consists of.",
	},
	{
		Name: "managed-providerconfig", Type: topo.References, From: []string{"*.*"},
		At: []string{"spec.providerConfigRef"}, Func: "providerConfig", Fields: []string{"name", "kind"},
		Doc: "The provider reaches the outside with this configuration; known for groups of crossplane.io and upbound.io.",
	},
	{
		Name: "crossplane-secret", Type: topo.References, From: []string{"*.*"},
		At: []string{"spec.writeConnectionSecretToRef"}, Ref: &Ref{To: "Secret", Name: "name", Namespace: "namespace"},
		Doc: "How to connect to it is kept in the Secret.",
	},
	{
		Name: "composition-function", Type: topo.References, From: of("apiextensions.crossplane.io", "Composition"),
		At: []string{"spec.pipeline[*].functionRef.name"}, Ref: &Ref{To: "Function.pkg.crossplane.io", Cluster: true},
		Doc: "A step of the Composition is done by the Function.",
	},
}

// capiRef is a reference of Cluster API: it has an apiVersion up to v1beta1, an apiGroup from v1beta2 on.
var capiRef = &Ref{Kind: "kind", APIVersion: "apiVersion", Group: "apiGroup", Name: "name", Namespace: "namespace"}

var machines = of(clusterAPI, "Machine", "MachineSet", "MachineDeployment", "MachinePool")

// clusterAPIRows is what clusters are made of. Machines are owned by their sets.
var clusterAPIRows = []Row{
	{
		Name: "clusterapi-infrastructure", Type: topo.References,
		From: append(append([]string{"Cluster." + clusterAPI, "KubeadmControlPlane." + controlPlane}, machines...), "RKE2ControlPlane."+controlPlane),
		At: []string{
			"spec.infrastructureRef", "spec.template.spec.infrastructureRef", "spec.machineTemplate.{infrastructureRef,spec.infrastructureRef}",
		},
		Ref: capiRef,
		Doc: "It is the infrastructure, or the template of it.",
	},
	{
		Name: "clusterapi-bootstrap", Type: topo.References, From: machines,
		At: []string{"spec.bootstrap.configRef", "spec.template.spec.bootstrap.configRef"}, Ref: capiRef,
		Doc: "It makes a Node out of a machine, or is the template of what does.",
	},
	{
		Name: "cluster-controlplane", Type: topo.References, From: of(clusterAPI, "Cluster"),
		At: []string{"spec.controlPlaneRef"}, Ref: capiRef,
		Doc: "It is the cluster's control plane.",
	},
	{
		Name: "clusterapi-cluster", Type: topo.References, From: append(of(clusterAPI, "MachineHealthCheck"), machines...),
		At: []string{"spec.clusterName"}, Ref: &Ref{To: "Cluster." + clusterAPI},
		Doc: "It is part of the cluster.",
	},
	{
		Name: "cluster-clusterclass", Type: topo.References, From: of(clusterAPI, "Cluster"),
		At: []string{"spec.topology"}, Ref: &Ref{To: "ClusterClass." + clusterAPI, Name: "class", Namespace: "classNamespace"},
		Doc: "The cluster is made as the class says.",
	},
	{
		Name: "cluster-clusterclassref", Type: topo.References, From: of(clusterAPI, "Cluster"),
		At: []string{"spec.topology.classRef"}, Ref: &Ref{To: "ClusterClass." + clusterAPI, Name: "name", Namespace: "namespace"},
		Doc: "The cluster is made as the class says.",
	},
	{
		Name: "clusterclass-template", Type: topo.References, From: of(clusterAPI, "ClusterClass"),
		At: []string{
			"spec.{infrastructure,controlPlane,controlPlane.machineInfrastructure}.{ref,templateRef}",
			"spec.workers.{machineDeployments,machinePools}[*].template.{bootstrap,infrastructure}.ref",
			"spec.workers.{machineDeployments,machinePools}[*].{bootstrap,infrastructure}.templateRef",
		},
		Ref: capiRef,
		Doc: "Parts of the clusters are made from the template.",
	},
	{
		// The Node is in the cluster that the machine belongs to: in this one only where it manages itself.
		Name: "machine-node", Type: topo.Binds, From: of(clusterAPI, "Machine", "MachinePool"),
		At: []string{"status.nodeRef.name", "status.nodeRefs[*].name"}, Ref: &Ref{To: "Node", Cluster: true}, Keep: soft,
		Doc: "The machine is the Node, which mostly is another cluster's.",
	},
}
