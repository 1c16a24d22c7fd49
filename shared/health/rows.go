package health

import (
	"slices"
	"strconv"
	"strings"

	"github.com/kubilitics/kubilitics/shared/topo"
)

func core(kinds ...string) []topo.GroupKind { return in("", kinds...) }

func in(group string, kinds ...string) []topo.GroupKind {
	var out []topo.GroupKind
	for _, k := range kinds {
		out = append(out, topo.GroupKind{Group: group, Kind: k})
	}
	return out
}

// own is a row's first group: fields of the object itself.
func own(fields ...string) Group { return Group{Fields: fields} }

// each is a group of the elements of a list.
func each(path string, fields ...string) Group { return Group{Path: path + "[*]", Fields: fields} }

// images are the groups of a pod template: what its containers are made from.
func images(podSpec string) []Group {
	return []Group{each(podSpec+"containers", "image"), each(podSpec+"initContainers", "image")}
}

const podTemplate = "spec.template.spec."

// Rows are the kinds with an answer of their own.
var Rows = slices.Concat([]Row{
	{Kinds: core("Pod"), Groups: podGroups, Judge: pod},

	{Kinds: in("apps", "Deployment"), Groups: append([]Group{own("spec.replicas", "status.replicas", "status.updatedReplicas", "status.readyReplicas",
		"status.availableReplicas", "spec.progressDeadlineSeconds")}, images(podTemplate)...), Judge: deployment},
	{Kinds: slices.Concat(in("apps", "ReplicaSet"), core("ReplicationController")), Groups: append([]Group{own("spec.replicas", "status.replicas",
		"status.fullyLabeledReplicas", "status.readyReplicas", "status.availableReplicas")}, images(podTemplate)...), Judge: replicaSet},
	{Kinds: in("apps", "StatefulSet"), Groups: append([]Group{own("spec.replicas", "status.replicas", "status.updatedReplicas", "status.readyReplicas",
		"status.currentReplicas", "status.availableReplicas", "spec.updateStrategy.type", "spec.updateStrategy.rollingUpdate.partition",
		"status.currentRevision", "status.updateRevision")}, images(podTemplate)...), Judge: statefulSet},
	{Kinds: in("apps", "DaemonSet"), Groups: append([]Group{own("status.desiredNumberScheduled", "status.currentNumberScheduled",
		"status.updatedNumberScheduled", "status.numberReady", "status.numberAvailable")}, images(podTemplate)...), Judge: daemonSet},
	{Kinds: in("batch", "Job"), Groups: append([]Group{own("spec.completions", "spec.parallelism", "status.succeeded", "status.startTime")},
		images(podTemplate)...), Judge: job},
	{Kinds: in("batch", "CronJob"), Groups: append([]Group{own("spec.schedule", "spec.suspend")}, images("spec.jobTemplate.spec.template.spec.")...), Judge: cronJob},
	{Kinds: core("PodTemplate"), Groups: append([]Group{own()}, images("template.spec.")...), Judge: podTemplates},
	{Kinds: in("autoscaling", "HorizontalPodAutoscaler"), Groups: []Group{own("spec.minReplicas", "spec.maxReplicas", "status.currentReplicas", "status.desiredReplicas")},
		Judge: autoscaler},
	{Kinds: in("policy", "PodDisruptionBudget"), Groups: []Group{own("status.currentHealthy", "status.desiredHealthy", "status.disruptionsAllowed", "spec.minAvailable",
		"spec.maxUnavailable")}, Judge: budget},

	{Kinds: core("Node"), Groups: []Group{own("spec.unschedulable", "status.nodeInfo.kubeletVersion", "status.nodeInfo.operatingSystem", "status.nodeInfo.architecture"),
		each("status.addresses", "address")}, Judge: node},
	{Kinds: core("Namespace"), Groups: []Group{own("status.phase")},
		Judge: phase("Active", map[string]topo.Health{"Active": topo.OK, "Terminating": topo.Progressing}, topo.Unknown)},
	{Kinds: core("PersistentVolumeClaim"), Groups: []Group{own("status.phase", "status.capacity.storage", "spec.storageClassName")},
		Judge: phase("Pending", map[string]topo.Health{"Bound": topo.OK, "Lost": topo.Error}, topo.Progressing, "capacity", "storageClass")},
	{Kinds: core("PersistentVolume"), Groups: []Group{own("status.phase", "spec.capacity.storage", "spec.storageClassName")},
		Judge: phase("Pending", map[string]topo.Health{"Bound": topo.OK, "Available": topo.OK, "Released": topo.Warning, "Pending": topo.Progressing, "Failed": topo.Error},
			topo.Unknown, "capacity", "storageClass")},
	{Kinds: in("storage.k8s.io", "VolumeAttachment"), Groups: []Group{own("status.attached", "status.attachError", "status.detachError")}, Judge: attachment},
	{Kinds: core("Service"), Groups: []Group{own("spec.type", "spec.clusterIP", "spec.externalName"), {Path: "spec", Fields: []string{"selector"}, Raw: true},
		each("spec.ports", "port", "protocol"), each("spec.clusterIPs", ""), each("spec.externalIPs", ""), each("status.loadBalancer.ingress", "ip", "hostname"),
	}, Judge: service},
	{Kinds: in("networking.k8s.io", "Ingress"), Groups: []Group{own("spec.ingressClassName"), each("spec.rules", "host"), each("status.loadBalancer.ingress", "ip", "hostname")},
		Judge: ingress},
	{Kinds: core("Secret"), Groups: []Group{own("type")}, Judge: secret},
	{Kinds: in("certificates.k8s.io", "CertificateSigningRequest"), Groups: []Group{own("status.certificate")}, Judge: signingRequest},
	{Kinds: in("resource.k8s.io", "ResourceClaim"), Groups: []Group{own("status.allocation"), each("status.reservedFor", "name")}, Judge: resourceClaim},

	// Kinds by whose objects a cluster is run: their status is bookkeeping, where they have one at all, and says nothing of how they fare.
	{Kinds: slices.Concat(core("ConfigMap", "ServiceAccount", "Endpoints", "Event", "ResourceQuota", "LimitRange"),
		in("apps", "ControllerRevision"), in("discovery.k8s.io", "EndpointSlice"), in("coordination.k8s.io", "Lease", "LeaseCandidate"), in("events.k8s.io", "Event"),
		in("rbac.authorization.k8s.io", "Role", "RoleBinding", "ClusterRole", "ClusterRoleBinding"), in("flowcontrol.apiserver.k8s.io", "PriorityLevelConfiguration"),
		in("storage.k8s.io", "CSINode", "CSIDriver", "CSIStorageCapacity", "StorageClass", "VolumeAttributesClass"), in("scheduling.k8s.io", "PriorityClass"),
		in("node.k8s.io", "RuntimeClass"), in("networking.k8s.io", "NetworkPolicy", "IngressClass", "IPAddress"), in("resource.k8s.io", "ResourceSlice", "DeviceClass", "ResourceClaimTemplate")),
		Judge: func(Facts) Verdict { return Verdict{Health: topo.OK} }},
	{Kinds: in("flowcontrol.apiserver.k8s.io", "FlowSchema"), Judge: flowSchema},
	{Kinds: in("apiextensions.k8s.io", "CustomResourceDefinition"), Judge: definition},
	{Kinds: in("apiregistration.k8s.io", "APIService"), Judge: apiService},
	{Kinds: in("admissionregistration.k8s.io", "ValidatingAdmissionPolicy"), Groups: []Group{own(), each("status.typeChecking.expressionWarnings", "fieldRef")}, Judge: admissionPolicy},
}, ecosystem)

// joined lists what is in the first fields, each once, as it comes.
func joined(lists ...[][]string) string { return strings.Join(distinct(lists), " ") }

// sorted is joined in the order of the alphabet.
func sorted(lists ...[][]string) string {
	all := distinct(lists)
	slices.Sort(all)
	return strings.Join(all, " ")
}

func distinct(lists [][][]string) []string {
	var room [8]string
	all := room[:0]
	for _, items := range lists {
		for _, i := range items {
			if i[0] != "" && !slices.Contains(all, i[0]) {
				all = append(all, i[0])
			}
		}
	}
	return all
}

func ratio(part, whole int) string { return strconv.Itoa(part) + "/" + strconv.Itoa(whole) }
