package rules

import "github.com/kubilitics/kubilitics/shared/topo"

const (
	istioNetworking = "networking.istio.io"
	istioSecurity   = "security.istio.io"
	knativeServing  = "serving.knative.dev"
	knativeEventing = "eventing.knative.dev"
	knativeChannels = "messaging.knative.dev"
	gatewayAPI      = "gateway.networking.k8s.io"
)

var istioPolicies = append(of(istioSecurity, "AuthorizationPolicy", "PeerAuthentication", "RequestAuthentication"),
	"Telemetry.telemetry.istio.io", "WasmPlugin.extensions.istio.io", "ProxyConfig."+istioNetworking)

// istioRows is how traffic goes in the mesh. Policies in the mesh's root namespace hold everywhere, and which one that is
// stands in the mesh's configuration: like others they are drawn to the Pods of their own namespace.
var istioRows = []Row{
	{
		Name: "virtualservice-gateway", Type: topo.References, From: of(istioNetworking, "VirtualService"),
		At: []string{"spec.gateways[*]"}, Func: "istioGateway", Fields: []string{""},
		Doc: "It holds for what comes in by the Gateway.",
	},
	{
		Name: "virtualservice-host", Type: topo.Routes, From: of(istioNetworking, "VirtualService"),
		At: []string{"spec.hosts[*]"}, Func: "meshHost", Fields: []string{""}, Reverse: true,
		Doc: "Requests to the host are answered as it says.",
	},
	{
		Name: "virtualservice-service", Type: topo.Intercepts, From: of(istioNetworking, "VirtualService"),
		At: []string{"spec.hosts[*]"}, Func: "meshService", Fields: []string{""},
		Doc: "Requests to the Service are answered as it says.",
	},
	{
		Name: "virtualservice-destination", Type: topo.Routes, From: of(istioNetworking, "VirtualService"),
		At: []string{"spec.{http,tcp,tls}[*].route[*]"}, Func: "destination", Fields: []string{"destination.host"},
		Disc: "destination.subset", Keep: []Keep{{Attr: "weight", Path: "weight"}},
		Doc: "Requests go to the destination.",
	},
	{
		Name: "virtualservice-mirror", Type: topo.Routes, From: of(istioNetworking, "VirtualService"),
		At: []string{"spec.http[*].{mirror,mirrors[*].destination}"}, Func: "destination", Fields: []string{"host"},
		Disc: "subset",
		Doc:  "Copies of requests go to the destination.",
	},
	{
		Name: "virtualservice-delegate", Type: topo.Routes, From: of(istioNetworking, "VirtualService"),
		At:  []string{"spec.http[*].delegate"},
		Ref: &Ref{To: "VirtualService." + istioNetworking, Name: "name", Namespace: "namespace"},
		Doc: "The other one says where requests go.",
	},
	{
		Name: "destinationrule-service", Type: topo.References, From: of(istioNetworking, "DestinationRule"),
		At: []string{"spec.host"}, Func: "destination", Fields: []string{""},
		Doc: "The rule says how clients reach it.",
	},
	{
		Name: "istiopolicy-pod", Type: topo.Selects, From: istioPolicies,
		Select: &Select{To: "Pod", Path: "spec.selector.matchLabels", Form: Labels, Empty: All, Absent: All},
		Where:  []Where{{Path: "spec.targetRefs", Is: []string{""}}, {Path: "spec.targetRef", Is: []string{""}}},
		Doc:    "The policy holds for the Pod. Of one in the mesh's root namespace, which holds everywhere, only the Pods there are drawn.",
	},
	{
		Name: "istiopolicy-target", Type: topo.References, From: istioPolicies,
		At: []string{"spec.targetRefs[*]", "spec.targetRef"}, Ref: &Ref{Kind: "kind", Group: "group", Name: "name", Namespace: "namespace"},
		Doc: "The policy holds for it.",
	},
	{
		Name: "sidecar-pod", Type: topo.Selects, From: of(istioNetworking, "Sidecar", "EnvoyFilter"),
		Select: &Select{To: "Pod", Path: "spec.workloadSelector.labels", Form: Labels, Empty: All, Absent: All},
		Where:  []Where{{Path: "spec.targetRefs", Is: []string{""}}},
		Doc:    "The Pod's proxy is configured by it.",
	},
	{
		// Without a selector it is for all gateways there are, which nothing here tells from other Pods.
		Name: "istiogateway-pod", Type: topo.Selects, From: of(istioNetworking, "Gateway"),
		Select: &Select{To: "Pod", Path: "spec.selector", Form: Labels, Empty: None, Absent: None, Namespaces: "*"},
		Doc:    "The Pod serves the Gateway.",
	},
	{
		// Istio looks for it where the Gateway's Pods are, which need not be the Gateway's own namespace.
		Name: "istiogateway-secret", Type: topo.References, From: of(istioNetworking, "Gateway"),
		At: []string{"spec.servers[*].tls.credentialName"}, Ref: &Ref{To: "Secret"}, Keep: soft,
		Doc: "The certificate of the Gateway's hosts is in the Secret, which may be where the Gateway's Pods are instead.",
	},
	{
		Name: "istiogateway-host", Type: topo.Routes, From: of(istioNetworking, "Gateway"),
		At: []string{"spec.servers[*].hosts[*]"}, Func: "host", Fields: []string{""}, Reverse: true,
		Doc: "Requests to the host come in by the Gateway.",
	},
	{
		Name: "serviceentry-host", Type: topo.Routes, From: of(istioNetworking, "ServiceEntry"),
		At: []string{"spec.hosts[*]"}, Func: "host", Fields: []string{""},
		Doc: "The mesh knows the host by the entry.",
	},
	{
		Name: "serviceentry-pod", Type: topo.Selects, From: of(istioNetworking, "ServiceEntry"),
		Select: &Select{To: "Pod", Path: "spec.workloadSelector.labels", Form: Labels, Empty: None, Absent: None},
		Doc:    "The Pod serves the entry's hosts.",
	},
}

var knativeSources = of("sources.knative.dev", "ApiServerSource", "ContainerSource", "KafkaSource", "PingSource", "SinkBinding")

// knativeRows is where requests and events go. Services own their Configurations and Routes, these their Revisions.
var knativeRows = []Row{
	{
		Name: "knativeroute-revision", Type: topo.Routes, From: of(knativeServing, "Route"),
		At:   []string{"{spec,status}.traffic[*]"},
		Ref:  &Ref{To: "Revision." + knativeServing, Name: "revisionName"},
		Disc: "tag", Keep: []Keep{{Attr: "percent", Path: "percent"}},
		Doc: "Requests go to the Revision.",
	},
	{
		Name: "knativeroute-configuration", Type: topo.Routes, From: of(knativeServing, "Route"),
		At:   []string{"spec.traffic[*]"},
		Ref:  &Ref{To: "Configuration." + knativeServing, Name: "configurationName"},
		Disc: "tag", Keep: []Keep{{Attr: "percent", Path: "percent"}},
		Doc: "Requests go to the newest Revision of the Configuration.",
	},
	{
		Name: "domainmapping-target", Type: topo.Routes, From: of(knativeServing, "DomainMapping"),
		At: []string{"spec.ref"}, Ref: anyRef,
		Doc: "Requests to the domain go to it.",
	},
	{
		Name: "trigger-broker", Type: topo.References, From: of(knativeEventing, "Trigger"),
		At: []string{"spec.broker"}, Ref: &Ref{To: "Broker." + knativeEventing},
		Doc: "Events come from the Broker.",
	},
	{
		Name: "broker-config", Type: topo.References, From: of(knativeEventing, "Broker"),
		At: []string{"spec.config"}, Ref: anyRef,
		Doc: "The Broker is set up as it says.",
	},
	{
		Name: "subscription-channel", Type: topo.References, From: of(knativeChannels, "Subscription"),
		At: []string{"spec.channel"}, Ref: anyRef,
		Doc: "Events come from the channel.",
	},
	{
		Name: "knative-subscriber", Type: topo.Routes,
		From: append(append(of(knativeEventing, "Trigger", "Broker"), "Subscription."+knativeChannels), knativeSources...),
		At:   []string{"spec.{subscriber,reply,sink,delivery.deadLetterSink}.ref"}, Ref: anyRef,
		Doc: "Events go to it.",
	},
	{
		Name: "sinkbinding-subject", Type: topo.References, From: of("sources.knative.dev", "SinkBinding"),
		At: []string{"spec.subject"}, Ref: anyRef,
		Doc: "It is told where to send its events.",
	},
}
