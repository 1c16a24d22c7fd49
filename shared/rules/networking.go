package rules

import "github.com/kubilitics/kubilitics/shared/topo"

// networkingRows is who reaches whom, and who may.
var networkingRows = []Row{
	{
		Name: "service-pod", Type: topo.Selects, From: []string{"Service"},
		Select: &Select{To: "Pod", Path: "spec.selector", Form: Labels, Empty: None, Absent: None},
		Where:  []Where{{Path: "spec.type", Not: []string{"ExternalName"}}},
		Doc:    "The Service's selector picks the Pod.",
	},
	{
		Name: "service-endpointslice", Type: topo.Routes, From: []string{"EndpointSlice.discovery.k8s.io"},
		At: []string{"metadata.labels['kubernetes.io/service-name']"}, Ref: &Ref{To: "Service"}, Reverse: true,
		Doc: "The slice lists endpoints of the Service.",
	},
	{
		Name: "endpointslice-target", Type: topo.Routes, From: []string{"EndpointSlice.discovery.k8s.io"},
		At:  []string{"endpoints[*]"},
		Ref: &Ref{Kind: "targetRef.kind", APIVersion: "targetRef.apiVersion", Name: "targetRef.name", Namespace: "targetRef.namespace"},
		Keep: []Keep{
			{Attr: "ready", Path: "conditions.ready"}, {Attr: "serving", Path: "conditions.serving"},
			{Attr: "terminating", Path: "conditions.terminating"},
		},
		Doc: "The endpoint's address is that of the target.",
	},
	{
		Name: "ingress-service", Type: topo.Routes, From: []string{"Ingress.networking.k8s.io"}, Versions: []string{"v1"},
		At:  []string{"spec.defaultBackend.service", "spec.rules[*].http.paths[*].backend.service"},
		Ref: &Ref{To: "Service", Name: "name"},
		Doc: "Requests to the Ingress go to the Service.",
	},
	{
		Name: "ingress-resource", Type: topo.Routes, From: []string{"Ingress.networking.k8s.io"}, Versions: []string{"v1"},
		At:  []string{"spec.defaultBackend.resource", "spec.rules[*].http.paths[*].backend.resource"},
		Ref: &Ref{Kind: "kind", Group: "apiGroup", Name: "name"},
		Doc: "Requests to the Ingress are answered from the object.",
	},
	{
		Name: "ingress-ingressclass", Type: topo.References, From: []string{"Ingress.networking.k8s.io"},
		At: []string{"spec.ingressClassName"}, Ref: &Ref{To: "IngressClass.networking.k8s.io", Cluster: true},
		Doc: "The class says who serves the Ingress.",
	},
	{
		// The annotation names what a controller listens to: mostly there is a class of that name, but there need not be.
		Name: "ingress-ingressclass-annotation", Type: topo.References, From: []string{"Ingress.networking.k8s.io"},
		At:    []string{"metadata.annotations['kubernetes.io/ingress.class']"},
		Ref:   &Ref{To: "IngressClass.networking.k8s.io", Cluster: true},
		Where: []Where{{Path: "$.spec.ingressClassName", Is: []string{""}}},
		Keep:  always("optional"),
		Doc:   "The annotation says who serves the Ingress, as before there were classes.",
	},
	{
		Name: "ingress-secret", Type: topo.References, From: []string{"Ingress.networking.k8s.io"},
		At: []string{"spec.tls[*].secretName"}, Ref: &Ref{To: "Secret"},
		Doc: "The Ingress shows the certificate in the Secret.",
	},
	{
		Name: "ingressclass-parameters", Type: topo.References, From: []string{"IngressClass.networking.k8s.io"},
		At: []string{"spec.parameters"}, Ref: &Ref{Kind: "kind", Group: "apiGroup", Name: "name", Namespace: "namespace"},
		Doc: "The object says more of how the class serves.",
	},
	{
		Name: "networkpolicy-pod", Type: topo.Selects, From: []string{"NetworkPolicy.networking.k8s.io"},
		Select: &Select{To: "Pod", Path: "spec.podSelector", Form: LabelSelector, Empty: All, Absent: All},
		Doc:    "The policy governs the Pod's traffic.",
	},
	{
		Name: "networkpolicy-ingress-peer", Type: topo.Allows, From: []string{"NetworkPolicy.networking.k8s.io"},
		At: []string{"spec.ingress[*].from[*]"}, Func: "networkPolicyPeer",
		Fields: []string{"podSelector", "namespaceSelector", "ipBlock"},
		Where:  []Where{{Path: "$.spec.policyTypes", Is: []string{"", "Ingress"}}},
		Doc:    "The policy lets traffic from there in.",
	},
	{
		Name: "networkpolicy-egress-peer", Type: topo.Allows, From: []string{"NetworkPolicy.networking.k8s.io"},
		At: []string{"spec.egress[*].to[*]"}, Func: "networkPolicyPeer",
		Fields: []string{"podSelector", "namespaceSelector", "ipBlock"},
		Where:  []Where{{Path: "$.spec.policyTypes", Is: []string{"", "Egress"}}},
		Doc:    "The policy lets traffic out to there.",
	},
	{
		Name: "networkpolicy-ingress-any", Type: topo.Allows, From: []string{"NetworkPolicy.networking.k8s.io"},
		At: []string{"spec.ingress[*]"}, Func: "anyPeer",
		Where: []Where{{Path: "from", Is: []string{""}}, {Path: "$.spec.policyTypes", Is: []string{"", "Ingress"}}},
		Doc:   "A rule of the policy names nobody, and so lets traffic from anywhere in.",
	},
	{
		Name: "networkpolicy-egress-any", Type: topo.Allows, From: []string{"NetworkPolicy.networking.k8s.io"},
		At: []string{"spec.egress[*]"}, Func: "anyPeer",
		Where: []Where{{Path: "to", Is: []string{""}}, {Path: "$.spec.policyTypes", Is: []string{"", "Egress"}}},
		Doc:   "A rule of the policy names nobody, and so lets traffic out to anywhere.",
	},
}
