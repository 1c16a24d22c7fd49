package rules

import "github.com/kubilitics/kubilitics/shared/topo"

const (
	argo        = "argoproj.io"
	fluxSources = "source.toolkit.fluxcd.io"
	kustomize   = "kustomize.toolkit.fluxcd.io"
	fluxHelm    = "helm.toolkit.fluxcd.io"
)

// hereOnly holds for Applications that deploy to the cluster they are in: the objects of others are in another graph.
var hereOnly = []Where{
	{Path: "$.spec.destination.server", Is: []string{"", "https://kubernetes.default.svc"}},
	{Path: "$.spec.destination.name", Is: []string{"", "in-cluster"}},
}

// argoRows is what Applications deploy, from where to where. ApplicationSets own theirs.
var argoRows = []Row{
	{
		Name: "application-resource", Type: topo.Defines, From: of(argo, "Application"),
		At: []string{"status.resources[*]"}, Ref: &Ref{Kind: "kind", Group: "group", Name: "name", Namespace: "namespace"},
		Where: hereOnly, Keep: []Keep{{Attr: "sync", Path: "status"}},
		Doc: "The object is part of what the Application deploys.",
	},
	{
		// Applications may be outside of Argo CD's own namespace, projects are always in it, wherever that is.
		Name: "application-appproject", Type: topo.References, From: of(argo, "Application"),
		At: []string{"spec.project"}, Ref: &Ref{To: "AppProject." + argo},
		Keep: append([]Keep{
			{Attr: "cluster", Path: "$.spec.destination.name"}, {Attr: "server", Path: "$.spec.destination.server"},
		}, soft...),
		Doc: "The project limits where the Application deploys to, and what.",
	},
	{
		Name: "application-namespace", Type: topo.References, From: of(argo, "Application"),
		At: []string{"spec.destination.namespace"}, Ref: &Ref{To: "Namespace", Cluster: true}, Where: hereOnly, Keep: soft,
		Doc: "The Application deploys to the namespace.",
	},
	{
		Name: "application-gitsource", Type: topo.References, From: of(argo, "Application", "ApplicationSet"),
		At: []string{
			"spec.source", "spec.sources[*]", "spec.template.spec.source", "spec.template.spec.sources[*]", "spec.generators[*].git",
		},
		Func: "gitSource", Fields: []string{"repoURL"},
		Where: []Where{{Path: "chart", Is: []string{""}}}, // else it is a registry of charts
		Keep:  []Keep{{Attr: "path", Path: "path"}, {Attr: "revision", Path: "targetRevision"}},
		Doc:   "What is deployed is kept in the Git repository.",
	},
}

// analyses is where a Rollout names templates of analyses.
var analyses = []string{
	"spec.strategy.canary.analysis.templates[*]", "spec.strategy.canary.steps[*].analysis.templates[*]",
	"spec.strategy.blueGreen.{prePromotionAnalysis,postPromotionAnalysis}.templates[*]",
}

// rolloutRows is what a Rollout works with. Its pod template is read as other workloads' are; ReplicaSets and runs of
// analyses are owned by it.
var rolloutRows = []Row{
	{
		Name: "rollout-pod", Type: topo.Selects, From: of(argo, "Rollout"),
		Select: &Select{To: "Pod", Path: "spec.selector", Form: LabelSelector, Empty: All, Absent: None, UnlessOwned: true},
		Doc:    "The Rollout's selector picks a Pod that it doesn't own.",
	},
	{
		Name: "rollout-service", Type: topo.References, From: of(argo, "Rollout"),
		At: []string{
			"spec.strategy.canary.{canaryService,stableService,pingPong.pingService,pingPong.pongService}",
			"spec.strategy.blueGreen.{activeService,previewService}",
		},
		Ref: &Ref{To: "Service"},
		Doc: "The Rollout moves the Service from old Pods to new ones.",
	},
	{
		Name: "rollout-ingress", Type: topo.References, From: of(argo, "Rollout"),
		At: []string{
			"spec.strategy.canary.trafficRouting.nginx.stableIngress", "spec.strategy.canary.trafficRouting.nginx.stableIngresses[*]",
			"spec.strategy.canary.trafficRouting.alb.ingress", "spec.strategy.canary.trafficRouting.alb.ingresses[*]",
		},
		Ref: &Ref{To: "Ingress.networking.k8s.io"},
		Doc: "The Rollout shares out the Ingress' requests between old Pods and new ones.",
	},
	{
		Name: "rollout-virtualservice", Type: topo.References, From: of(argo, "Rollout"),
		At:  []string{"spec.strategy.canary.trafficRouting.istio.{virtualService.name,virtualServices[*].name}"},
		Ref: &Ref{To: "VirtualService." + istioNetworking},
		Doc: "The Rollout sets the weights of the VirtualService's routes.",
	},
	{
		Name: "rollout-destinationrule", Type: topo.References, From: of(argo, "Rollout"),
		At:  []string{"spec.strategy.canary.trafficRouting.istio.destinationRule.name"},
		Ref: &Ref{To: "DestinationRule." + istioNetworking},
		Doc: "The Rollout sets the labels of the DestinationRule's subsets.",
	},
	{
		Name: "rollout-analysistemplate", Type: topo.References, From: of(argo, "Rollout"), At: analyses,
		Ref:   &Ref{To: "AnalysisTemplate." + argo, Name: "templateName"},
		Where: []Where{{Path: "clusterScope", Not: []string{"true"}}},
		Doc:   "The Rollout goes on or back as the analysis says.",
	},
	{
		Name: "rollout-clusteranalysistemplate", Type: topo.References, From: of(argo, "Rollout"), At: analyses,
		Ref:   &Ref{To: "ClusterAnalysisTemplate." + argo, Name: "templateName", Cluster: true},
		Where: []Where{{Path: "clusterScope", Is: []string{"true"}}},
		Doc:   "The Rollout goes on or back as the analysis says.",
	},
	{
		Name: "rollout-workload", Type: topo.References, From: of(argo, "Rollout"),
		At: []string{"spec.workloadRef"}, Ref: &Ref{Kind: "kind", APIVersion: "apiVersion", Name: "name"},
		Doc: "The Rollout takes its pod template from the workload.",
	},
}

// fluxRows is what Flux applies, from which sources, in which order.
var fluxRows = []Row{
	{
		Name: "flux-source", Type: topo.References,
		From: append(of(kustomize, "Kustomization"), "HelmRelease."+fluxHelm, "HelmChart."+fluxSources),
		At:   []string{"spec.sourceRef", "spec.chart.spec.sourceRef", "spec.chartRef"},
		Ref: &Ref{
			Kind: "kind", APIVersion: "apiVersion", Name: "name", Namespace: "namespace",
			Default: "GitRepository." + fluxSources, SameGroup: true,
		},
		Doc: "What is applied comes from the source.",
	},
	{
		Name: "helmrelease-helmchart", Type: topo.References, From: of(fluxHelm, "HelmRelease"),
		At: []string{"status.helmChart"}, Func: "helmChart", Fields: []string{""},
		Doc: "The release is made from the chart.",
	},
	{
		Name: "kustomization-dependency", Type: topo.References, From: of(kustomize, "Kustomization"),
		At: []string{"spec.dependsOn[*]"}, Ref: &Ref{To: "Kustomization." + kustomize, Name: "name", Namespace: "namespace"},
		Doc: "It waits until the other is ready.",
	},
	{
		Name: "helmrelease-dependency", Type: topo.References, From: of(fluxHelm, "HelmRelease"),
		At: []string{"spec.dependsOn[*]"}, Ref: &Ref{To: "HelmRelease." + fluxHelm, Name: "name", Namespace: "namespace"},
		Doc: "It waits until the other is ready.",
	},
	{
		Name: "flux-resource", Type: topo.Defines, From: append(of(kustomize, "Kustomization"), "HelmRelease."+fluxHelm),
		At: []string{"status.inventory.entries[*]"}, Func: "fluxInventory", Fields: []string{"id"},
		Where: []Where{{Path: "$.spec.kubeConfig", Is: []string{""}}}, // else the objects are in another cluster
		Doc:   "The object is part of what is applied.",
	},
	{
		Name: "flux-secret", Type: topo.References,
		From: append(of(fluxSources, "GitRepository", "OCIRepository", "HelmRepository", "Bucket"), "Kustomization."+kustomize, "HelmRelease."+fluxHelm),
		At:   []string{"spec.{secretRef,certSecretRef,proxySecretRef,verify.secretRef,decryption.secretRef,kubeConfig.secretRef}.name"},
		Ref:  &Ref{To: "Secret"},
		Doc:  "Flux reads or proves something with what is in the Secret.",
	},
	{
		Name: "flux-values", Type: topo.References, From: append(of(kustomize, "Kustomization"), "HelmRelease."+fluxHelm),
		At: []string{"spec.valuesFrom[*]", "spec.postBuild.substituteFrom[*]"}, Ref: &Ref{Kind: "kind", Name: "name"}, Keep: optional,
		Doc: "Values of what is applied come from it.",
	},
	{
		Name: "flux-serviceaccount", Type: topo.References,
		From: append(of(kustomize, "Kustomization"), "HelmRelease."+fluxHelm, "OCIRepository."+fluxSources),
		At:   []string{"spec.serviceAccountName"}, Ref: &Ref{To: "ServiceAccount"},
		Doc: "Flux acts as the ServiceAccount.",
	},
	{
		Name: "gitrepository-gitsource", Type: topo.References, From: of(fluxSources, "GitRepository"),
		At: []string{"spec.url"}, Func: "gitSource", Fields: []string{""},
		Keep: []Keep{{Attr: "branch", Path: "$.spec.ref.branch"}, {Attr: "tag", Path: "$.spec.ref.tag"}},
		Doc:  "It is a copy of the Git repository.",
	},
}
