package rules

import "github.com/kubilitics/kubilitics/shared/topo"

const gatewayGroup = "gateway.networking.k8s.io"

var gatewayRoutes = []string{
	"HTTPRoute." + gatewayGroup, "GRPCRoute." + gatewayGroup, "TLSRoute." + gatewayGroup, "TCPRoute." + gatewayGroup, "UDPRoute." + gatewayGroup,
}

// backend is how the Gateway API names who answers: a Service, if nothing else is said.
var backend = &Ref{Kind: "kind", Group: "group", Default: "Service", Name: "name", Namespace: "namespace", Granted: true}

// gatewayRows is who reaches whom by the Gateway API.
var gatewayRows = []Row{
	{
		Name: "gateway-gatewayclass", Type: topo.References, From: []string{"Gateway." + gatewayGroup},
		At: []string{"spec.gatewayClassName"}, Ref: &Ref{To: "GatewayClass." + gatewayGroup, Cluster: true},
		Doc: "The class says who serves the Gateway.",
	},
	{
		Name: "gatewayclass-parameters", Type: topo.References, From: []string{"GatewayClass." + gatewayGroup},
		At: []string{"spec.parametersRef"}, Ref: &Ref{Kind: "kind", Group: "group", Name: "name", Namespace: "namespace"},
		Doc: "The object says more of how the class serves.",
	},
	{
		Name: "gateway-parameters", Type: topo.References, From: []string{"Gateway." + gatewayGroup},
		At: []string{"spec.infrastructure.parametersRef"}, Ref: &Ref{Kind: "kind", Group: "group", Name: "name"},
		Doc: "The object says more of how the Gateway is served.",
	},
	{
		Name: "gateway-secret", Type: topo.References, From: []string{"Gateway." + gatewayGroup},
		At:  []string{"spec.listeners[*].tls.certificateRefs[*]"},
		Ref: &Ref{Kind: "kind", Group: "group", Default: "Secret", Name: "name", Namespace: "namespace", Granted: true},
		Doc: "A listener of the Gateway shows the certificate in the Secret.",
	},
	{
		Name: "gateway-authority", Type: topo.References, From: []string{"Gateway." + gatewayGroup},
		At: []string{
			"spec.listeners[*].tls.frontendValidation.caCertificateRefs[*]", "spec.tls.frontend.default.validation.caCertificateRefs[*]",
			"spec.tls.frontend.perPort[*].tls.validation.caCertificateRefs[*]",
		},
		Ref: &Ref{Kind: "kind", Group: "group", Default: "ConfigMap", Name: "name", Namespace: "namespace", Granted: true},
		Doc: "The Gateway asks clients for certificates of this authority.",
	},
	{
		Name: "gatewayroute-parent", Type: topo.References, From: gatewayRoutes,
		At:  []string{"spec.parentRefs[*]"},
		Ref: &Ref{Kind: "kind", Group: "group", Default: "Gateway." + gatewayGroup, Name: "name", Namespace: "namespace"},
		// One route may hang on several listeners of one Gateway.
		Disc: "sectionName", Keep: []Keep{{Attr: "sectionName", Path: "sectionName"}, {Attr: "port", Path: "port"}},
		Doc: "The route says where requests go that come to the Gateway.",
	},
	{
		Name: "gatewayroute-backend", Type: topo.Routes, From: gatewayRoutes,
		At: []string{"spec.rules[*].backendRefs[*]"}, Ref: backend,
		Disc: "port", Keep: []Keep{{Attr: "port", Path: "port"}, {Attr: "weight", Path: "weight"}},
		Doc: "Requests go to the backend, as many as its weight says.",
	},
	{
		Name: "gatewayroute-mirror", Type: topo.Routes, From: gatewayRoutes,
		At: []string{
			"spec.rules[*].filters[*].requestMirror.backendRef", "spec.rules[*].backendRefs[*].filters[*].requestMirror.backendRef",
		},
		Ref: backend, Disc: "port", Keep: []Keep{{Attr: "port", Path: "port"}, {Attr: "mirror", Value: "true"}},
		Doc: "Requests are copied to the backend, whose answers nobody sees.",
	},
	{
		Name: "gatewayroute-filter", Type: topo.References, From: gatewayRoutes,
		At:  []string{"spec.rules[*].filters[*].extensionRef", "spec.rules[*].backendRefs[*].filters[*].extensionRef"},
		Ref: &Ref{Kind: "kind", Group: "group", Name: "name"},
		Doc: "The object says how requests or answers are changed on their way.",
	},
	{
		Name: "backendtlspolicy-target", Type: topo.References, From: []string{"BackendTLSPolicy." + gatewayGroup},
		At: []string{"spec.targetRefs[*]"}, Ref: &Ref{Kind: "kind", Group: "group", Name: "name"},
		Disc: "sectionName", Keep: []Keep{{Attr: "sectionName", Path: "sectionName"}},
		Doc: "The policy says how Gateways know the backend for what it is.",
	},
	{
		Name: "backendtlspolicy-authority", Type: topo.References, From: []string{"BackendTLSPolicy." + gatewayGroup},
		At: []string{"spec.validation.caCertificateRefs[*]"}, Ref: &Ref{Kind: "kind", Group: "group", Name: "name"},
		Doc: "Backends are known by certificates of this authority.",
	},
	{
		Name: "referencegrant-namespace", Type: topo.Allows, From: []string{"ReferenceGrant." + gatewayGroup},
		At: []string{"spec.from[*]"}, Func: "grant", Fields: []string{"group", "kind", "namespace", "$.spec.to"},
		Doc: "Objects of that Namespace may refer to objects of the grant's own.",
	},
}
