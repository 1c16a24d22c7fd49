package rules

import (
	"slices"

	"github.com/kubilitics/kubilitics/shared/topo"
)

// ecosystemRows is what Kubilitics knows of kinds that Kubernetes doesn't have by itself, and of what has the same name in
// every cluster. Rows of a kind that a cluster doesn't have cost it nothing.
var ecosystemRows = slices.Concat(
	section("cert-manager", certManagerRows),
	section("External Secrets", externalSecretsRows),
	section("Prometheus operator", prometheusRows),
	section("KEDA and Vertical Pod Autoscaler", scalerRows),
	section("Argo CD", argoRows),
	section("Argo Rollouts", rolloutRows),
	section("Flux", fluxRows),
	section("Istio", istioRows),
	section("Knative", knativeRows),
	section("Crossplane", crossplaneRows),
	section("Cluster API", clusterAPIRows),
	section("Across clusters", sharedRows),
)

// ecosystemLinkers are the functions that ecosystemRows name.
var ecosystemLinkers = map[string]linker{
	"clusterSetService":    linkClusterSet,
	"destination":          linkDestination,
	"externalName":         linkExternalName,
	"externalSecretTarget": linkExternalSecret,
	"fluxInventory":        linkInventory,
	"gitSource":            linkGitSource,
	"helmChart":            linkNamed(topo.GroupKind{Group: fluxSources, Kind: "HelmChart"}),
	"host":                 linkHost,
	"imageDigest":          linkImage,
	"istioGateway":         linkIstioGateway,
	"meshHost":             linkMeshHost,
	"meshService":          linkMeshService,
	"providerConfig":       linkProviderConfig,
}

// ecosystemScoped are the kinds without a namespace that ecosystemRows lead to.
var ecosystemScoped = []topo.GroupKind{
	{Group: "cert-manager.io", Kind: "ClusterIssuer"},
	{Group: externalSecrets, Kind: "ClusterSecretStore"}, {Group: "generators." + externalSecrets, Kind: "ClusterGenerator"},
	{Group: "keda.sh", Kind: "ClusterTriggerAuthentication"},
	{Group: OwnGroup, Kind: hostKind}, {Group: OwnGroup, Kind: imageKind},
	{Group: OwnGroup, Kind: gitKind}, {Group: OwnGroup, Kind: clusterSetKind},
}

// soft is kept on an edge whose target may rightly be absent: a missing one is no finding.
var soft = []Keep{{Attr: "optional", Value: "true"}}

// anyRef is a reference that names its kind in full, as newer APIs do it.
var anyRef = &Ref{Kind: "kind", APIVersion: "apiVersion", Name: "name", Namespace: "namespace"}

// of gives kinds of one API group their full names.
func of(group string, kinds ...string) []string {
	full := make([]string, len(kinds))
	for i, k := range kinds {
		full[i] = k + "." + group
	}
	return full
}
