package rules

import "github.com/kubilitics/kubilitics/shared/topo"

const prometheusGroup = "monitoring.coreos.com"

// scrapeAuth is where a scrape's configuration names Secrets.
const scrapeAuth = "{basicAuth.username,basicAuth.password,bearerTokenSecret,authorization.credentials,oauth2.clientId.secret," +
	"oauth2.clientSecret,tlsConfig.ca.secret,tlsConfig.cert.secret,tlsConfig.keySecret}"

var (
	prometheuses = of(prometheusGroup, "Prometheus", "PrometheusAgent")
	servers      = of(prometheusGroup, "Prometheus", "PrometheusAgent", "Alertmanager", "ThanosRuler")
)

// picks is how servers pick configuration: no selector picks none, an empty one all, and likewise for namespaces, but that
// none there means the server's own.
func picks(kind, field string) *Select {
	return &Select{
		To: kind + "." + prometheusGroup, Path: "spec." + field + "Selector", Form: LabelSelector, Empty: All, Absent: None,
		Namespaces: "spec." + field + "NamespaceSelector",
	}
}

// monitors is what a monitor picks to be scraped.
func monitors(kind, at string) *Select {
	return &Select{
		To: kind, Path: at + "selector", Form: LabelSelector, Empty: All, Absent: None,
		Namespaces: at + "namespaceSelector.matchNames", Anywhere: at + "namespaceSelector.any",
	}
}

// prometheusRows is what is measured, by whom, and with what. The workloads of servers are owned by them.
var prometheusRows = []Row{
	{
		Name: "servicemonitor-service", Type: topo.Selects, From: of(prometheusGroup, "ServiceMonitor"), Select: monitors("Service", "spec."),
		Doc: "The Pods of the Service are measured.",
	},
	{
		Name: "podmonitor-pod", Type: topo.Selects, From: of(prometheusGroup, "PodMonitor"), Select: monitors("Pod", "spec."),
		Doc: "The Pod is measured.",
	},
	{
		Name: "probe-ingress", Type: topo.Selects, From: of(prometheusGroup, "Probe"),
		Select: monitors("Ingress.networking.k8s.io", "spec.targets.ingress."),
		Doc:    "The hosts of the Ingress are probed.",
	},
	{
		Name: "probe-target", Type: topo.References, From: of(prometheusGroup, "Probe"),
		At: []string{"spec.targets.staticConfig.static[*]"}, Func: "destination", Fields: []string{""},
		Doc: "The target is probed.",
	},
	{
		Name: "probe-prober", Type: topo.References, From: of(prometheusGroup, "Probe"),
		At: []string{"spec.prober.url"}, Func: "destination", Fields: []string{""},
		Doc: "The prober does the probing.",
	},
	{
		Name: "monitor-secret", Type: topo.References, From: of(prometheusGroup, "ServiceMonitor", "PodMonitor", "Probe"),
		At:  []string{"spec.{endpoints,podMetricsEndpoints}[*]." + scrapeAuth, "spec." + scrapeAuth},
		Ref: &Ref{To: "Secret", Name: "name"}, Keep: optional,
		Doc: "The targets are asked with what is in the Secret.",
	},
	{
		Name: "prometheus-serviceaccount", Type: topo.References, From: servers,
		At: []string{"spec.serviceAccountName"}, Ref: &Ref{To: "ServiceAccount"},
		Doc: "The server acts as the ServiceAccount.",
	},
	{
		Name: "prometheus-secret", Type: topo.References, From: servers,
		At: []string{
			"spec.secrets[*]", "spec.configSecret", "spec.imagePullSecrets[*].name",
			"spec.{additionalScrapeConfigs,additionalAlertRelabelConfigs,additionalAlertManagerConfigs,thanos.objectStorageConfig," +
				"objectStorageConfig,queryConfig,alertmanagersConfig,web.tlsConfig.cert.secret,web.tlsConfig.keySecret}.name",
			"spec.{remoteWrite,remoteRead}[*]." + scrapeAuth + ".name",
		},
		Ref: &Ref{To: "Secret"},
		Doc: "The server uses what is in the Secret.",
	},
	{
		Name: "prometheus-configmap", Type: topo.References, From: servers,
		At: []string{"spec.configMaps[*]"}, Ref: &Ref{To: "ConfigMap"},
		Doc: "The server's Pods mount the ConfigMap.",
	},
	{
		Name: "prometheus-alertmanager", Type: topo.Routes, From: of(prometheusGroup, "Prometheus"),
		At: []string{"spec.alerting.alertmanagers[*]"}, Ref: &Ref{To: "Service", Name: "name", Namespace: "namespace"},
		Doc: "Alerts are sent to the Service.",
	},
	{
		Name: "prometheus-servicemonitor", Type: topo.Selects, From: prometheuses, Select: picks("ServiceMonitor", "serviceMonitor"),
		Doc: "The server measures what the monitor says. Namespaces picked by labels other than their names aren't looked up.",
	},
	{
		Name: "prometheus-podmonitor", Type: topo.Selects, From: prometheuses, Select: picks("PodMonitor", "podMonitor"),
		Doc: "The server measures what the monitor says. Namespaces picked by labels other than their names aren't looked up.",
	},
	{
		Name: "prometheus-probe", Type: topo.Selects, From: prometheuses, Select: picks("Probe", "probe"),
		Doc: "The server probes what the probe says.",
	},
	{
		Name: "prometheus-scrapeconfig", Type: topo.Selects, From: prometheuses, Select: picks("ScrapeConfig", "scrapeConfig"),
		Doc: "The server measures what the configuration says.",
	},
	{
		Name: "prometheus-rule", Type: topo.Selects, From: of(prometheusGroup, "Prometheus", "ThanosRuler"), Select: picks("PrometheusRule", "rule"),
		Doc: "The server evaluates the rules.",
	},
	{
		Name: "alertmanager-config", Type: topo.Selects, From: of(prometheusGroup, "Alertmanager"),
		Select: picks("AlertmanagerConfig", "alertmanagerConfig"),
		Doc:    "The server sends alerts as the configuration says.",
	},
}

// scalerRows is what sets the number and the size of Pods, apart from Kubernetes' own autoscaler.
var scalerRows = []Row{
	{
		Name: "scaledobject-target", Type: topo.Scales, From: of("keda.sh", "ScaledObject"), At: []string{"spec.scaleTargetRef"},
		Ref: &Ref{Kind: "kind", APIVersion: "apiVersion", Name: "name", Default: "Deployment.apps", SameGroup: true},
		Doc: "The target's number of replicas follows the triggers.",
	},
	{
		Name: "scaledobject-authentication", Type: topo.References, From: of("keda.sh", "ScaledObject", "ScaledJob"),
		At:  []string{"spec.triggers[*].authenticationRef"},
		Ref: &Ref{Kind: "kind", Name: "name", Default: "TriggerAuthentication.keda.sh", SameGroup: true},
		Doc: "A trigger asks its source with these credentials.",
	},
	{
		Name: "triggerauthentication-secret", Type: topo.References, From: of("keda.sh", "TriggerAuthentication"),
		At: []string{
			"spec.secretTargetRef[*]",
			"spec.{azureKeyVault,gcpSecretManager}.credentials.clientSecret.valueFrom.secretKeyRef",
			"spec.awsSecretManager.credentials.{accessKey,accessSecretKey}.valueFrom.secretKeyRef",
		},
		Ref: &Ref{To: "Secret", Name: "name"},
		Doc: "The credentials are in the Secret.",
	},
	{
		Name: "triggerauthentication-configmap", Type: topo.References, From: of("keda.sh", "TriggerAuthentication"),
		At: []string{"spec.configMapTargetRef[*]"}, Ref: &Ref{To: "ConfigMap", Name: "name"},
		Doc: "Parameters of the triggers are in the ConfigMap.",
	},
	{
		Name: "verticalpodautoscaler-target", Type: topo.Scales, From: []string{"VerticalPodAutoscaler.autoscaling.k8s.io"},
		At: []string{"spec.targetRef"}, Ref: &Ref{Kind: "kind", APIVersion: "apiVersion", Name: "name"},
		Keep: []Keep{{Attr: "mode", Path: "$.spec.updatePolicy.updateMode"}},
		Doc:  "What the target's Pods ask for follows what they use.",
	},
}
