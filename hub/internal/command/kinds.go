package command

import "strings"

// short are the names by which kubectl's users call kinds, and which clusters' lists of kinds don't have.
var short = map[string]string{
	"po": "Pod", "svc": "Service", "cm": "ConfigMap", "ns": "Namespace", "no": "Node", "pv": "PersistentVolume", "pvc": "PersistentVolumeClaim", "sa": "ServiceAccount",
	"rc": "ReplicationController", "ep": "Endpoints", "quota": "ResourceQuota", "limits": "LimitRange",
	"deploy": "Deployment.apps", "sts": "StatefulSet.apps", "ds": "DaemonSet.apps", "rs": "ReplicaSet.apps", "cj": "CronJob.batch",
	"ing": "Ingress.networking.k8s.io", "netpol": "NetworkPolicy.networking.k8s.io", "hpa": "HorizontalPodAutoscaler.autoscaling", "pdb": "PodDisruptionBudget.policy",
	"sc": "StorageClass.storage.k8s.io", "pc": "PriorityClass.scheduling.k8s.io", "crd": "CustomResourceDefinition.apiextensions.k8s.io", "crds": "CustomResourceDefinition.apiextensions.k8s.io",
	"csr": "CertificateSigningRequest.certificates.k8s.io", "gw": "Gateway.gateway.networking.k8s.io", "eps": "EndpointSlice.discovery.k8s.io",
}

// all is what kubectl means by it.
var all = []string{
	"Pod", "ReplicationController", "Service", "DaemonSet.apps", "Deployment.apps", "ReplicaSet.apps", "StatefulSet.apps", "HorizontalPodAutoscaler.autoscaling", "CronJob.batch", "Job.batch",
}

// kindsOf reads kinds, with commas between them, in kubectl's words.
func kindsOf(words []string) []string {
	var out []string
	for _, text := range words {
		for w := range strings.SplitSeq(text, ",") {
			switch kind, ok := short[strings.ToLower(w)]; {
			case strings.EqualFold(w, "all"):
				out = append(out, all...)
			case ok:
				out = append(out, kind)
			case w != "":
				out = append(out, w)
			}
		}
	}
	return out
}
