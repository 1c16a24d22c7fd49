package rules

import (
	"github.com/kubilitics/kubilitics/shared/topo"
)

// clusterScoped are the kinds of Kubernetes itself that have no namespace, as far as rows lead to them.
var clusterScoped = []topo.GroupKind{
	{Kind: "Namespace"}, {Kind: "Node"}, {Kind: "PersistentVolume"},
	{Group: "storage.k8s.io", Kind: "StorageClass"},
	{Group: "networking.k8s.io", Kind: "IngressClass"},
	{Group: rbacGroup, Kind: "ClusterRole"}, {Group: rbacGroup, Kind: "ClusterRoleBinding"},
	{Group: "apiextensions.k8s.io", Kind: "CustomResourceDefinition"},
}

const everyContainer = "spec.{containers,initContainers,ephemeralContainers}[*]."

var (
	optional = []Keep{{Attr: "optional", Path: "optional"}}
	bindings = []string{"RoleBinding." + rbacGroup, "ClusterRoleBinding." + rbacGroup}
)

// defaultRows is what Kubilitics knows of Kubernetes.
var defaultRows = []Row{
	{
		Name: "owner-dependent", Type: topo.Owns, From: []string{"*"}, At: []string{"metadata.ownerReferences[*]"},
		Func: "owners", Reverse: true,
		Doc: "The dependent goes when its owner goes.",
	},

	// Workloads.
	{
		Name: "workload-pod", Type: topo.Selects,
		From:   []string{"Deployment.apps", "ReplicaSet.apps", "StatefulSet.apps", "DaemonSet.apps", "Job.batch"},
		Select: &Select{To: "Pod", Path: "spec.selector", Form: LabelSelector, Empty: All, Absent: None, UnlessOwned: true},
		Doc:    "The workload's selector picks a Pod that it doesn't own.",
	},
	{
		Name: "replicationcontroller-pod", Type: topo.Selects, From: []string{"ReplicationController"},
		Select: &Select{To: "Pod", Path: "spec.selector", Form: Labels, Empty: None, Absent: None, UnlessOwned: true},
		Doc:    "The controller's selector picks a Pod that it doesn't own.",
	},
	{
		Name: "pod-node", Type: topo.RunsOn, From: []string{"Pod"},
		Ref: &Ref{To: "Node", Name: "spec.nodeName", Cluster: true},
		Doc: "The Pod is scheduled to the Node.",
	},
	{
		Name: "pod-serviceaccount", Type: topo.References, From: []string{"Pod"}, Template: true,
		At: []string{"spec.serviceAccountName"}, Ref: &Ref{To: "ServiceAccount"},
		Doc: "The Pod acts as the ServiceAccount.",
	},
	{
		Name: "pod-configmap-volume", Type: topo.Mounts, From: []string{"Pod"}, Template: true,
		At: []string{"spec.volumes[*].configMap"}, Ref: &Ref{To: "ConfigMap", Name: "name"}, Keep: optional,
		Doc: "The Pod mounts the ConfigMap.",
	},
	{
		Name: "pod-configmap-projected", Type: topo.Mounts, From: []string{"Pod"}, Template: true,
		At: []string{"spec.volumes[*].projected.sources[*].configMap"}, Ref: &Ref{To: "ConfigMap", Name: "name"}, Keep: optional,
		Doc: "The Pod mounts the ConfigMap as part of a projected volume.",
	},
	{
		Name: "pod-configmap-envfrom", Type: topo.References, From: []string{"Pod"}, Template: true,
		At: []string{everyContainer + "envFrom[*].configMapRef"}, Ref: &Ref{To: "ConfigMap", Name: "name"}, Keep: optional,
		Doc: "A container takes all keys of the ConfigMap as environment variables.",
	},
	{
		Name: "pod-configmap-env", Type: topo.References, From: []string{"Pod"}, Template: true,
		At: []string{everyContainer + "env[*].valueFrom.configMapKeyRef"}, Ref: &Ref{To: "ConfigMap", Name: "name"}, Keep: optional,
		Doc: "A container takes an environment variable from the ConfigMap.",
	},
	{
		Name: "pod-secret-volume", Type: topo.Mounts, From: []string{"Pod"}, Template: true,
		At: []string{"spec.volumes[*].secret"}, Ref: &Ref{To: "Secret", Name: "secretName"}, Keep: optional,
		Doc: "The Pod mounts the Secret.",
	},
	{
		Name: "pod-secret-projected", Type: topo.Mounts, From: []string{"Pod"}, Template: true,
		At: []string{"spec.volumes[*].projected.sources[*].secret"}, Ref: &Ref{To: "Secret", Name: "name"}, Keep: optional,
		Doc: "The Pod mounts the Secret as part of a projected volume.",
	},
	{
		Name: "pod-secret-envfrom", Type: topo.References, From: []string{"Pod"}, Template: true,
		At: []string{everyContainer + "envFrom[*].secretRef"}, Ref: &Ref{To: "Secret", Name: "name"}, Keep: optional,
		Doc: "A container takes all keys of the Secret as environment variables.",
	},
	{
		Name: "pod-secret-env", Type: topo.References, From: []string{"Pod"}, Template: true,
		At: []string{everyContainer + "env[*].valueFrom.secretKeyRef"}, Ref: &Ref{To: "Secret", Name: "name"}, Keep: optional,
		Doc: "A container takes an environment variable from the Secret.",
	},
	{
		Name: "pod-secret-imagepull", Type: topo.References, From: []string{"Pod"}, Template: true,
		At: []string{"spec.imagePullSecrets[*]"}, Ref: &Ref{To: "Secret", Name: "name"},
		Doc: "The Pod's images are pulled with the Secret.",
	},
	{
		Name: "pod-persistentvolumeclaim", Type: topo.Mounts, From: []string{"Pod"}, Template: true,
		At:   []string{"spec.volumes[*].persistentVolumeClaim"},
		Ref:  &Ref{To: "PersistentVolumeClaim", Name: "claimName"},
		Keep: []Keep{{Attr: "readOnly", Path: "readOnly"}},
		Doc:  "The Pod mounts the claim's volume.",
	},
	{
		Name: "statefulset-service", Type: topo.References, From: []string{"StatefulSet.apps"},
		Ref: &Ref{To: "Service", Name: "spec.serviceName"},
		Doc: "The Service gives the set's Pods their names.",
	},
	{
		Name: "statefulset-persistentvolumeclaim", Type: topo.References, From: []string{"StatefulSet.apps"},
		At: []string{"spec.volumeClaimTemplates[*]"}, Func: "statefulSetClaims",
		Fields: []string{"metadata.name", "$.spec.replicas", "$.spec.ordinals.start"},
		Doc:    "The set makes the claim for one of its Pods.",
	},
	{
		Name: "horizontalpodautoscaler-target", Type: topo.Scales, From: []string{"HorizontalPodAutoscaler.autoscaling"},
		At: []string{"spec.scaleTargetRef"}, Ref: &Ref{Kind: "kind", APIVersion: "apiVersion", Name: "name"},
		Doc: "The autoscaler sets the target's number of replicas.",
	},
	{
		Name: "poddisruptionbudget-pod", Type: topo.Protects, From: []string{"PodDisruptionBudget.policy"}, Versions: []string{"v1"},
		Select: &Select{To: "Pod", Path: "spec.selector", Form: LabelSelector, Empty: All, Absent: None},
		Doc:    "The budget limits how many of these Pods may be evicted at once.",
	},

	// Networking.
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

	// Storage.
	{
		Name: "persistentvolumeclaim-persistentvolume", Type: topo.Binds, From: []string{"PersistentVolumeClaim"},
		Ref: &Ref{To: "PersistentVolume", Name: "spec.volumeName", Cluster: true},
		Doc: "The claim is bound to the volume.",
	},
	{
		Name: "persistentvolume-persistentvolumeclaim", Type: topo.Binds, From: []string{"PersistentVolume"},
		At: []string{"spec.claimRef"}, Ref: &Ref{To: "PersistentVolumeClaim", Name: "name", Namespace: "namespace"},
		Doc: "The volume is bound to the claim, or kept for it.",
	},
	{
		Name: "volume-storageclass", Type: topo.References, From: []string{"PersistentVolumeClaim", "PersistentVolume"},
		Ref: &Ref{To: "StorageClass.storage.k8s.io", Name: "spec.storageClassName", Cluster: true},
		Doc: "The class says how the volume is made.",
	},

	// Access.
	{
		Name: "binding-role", Type: topo.References, From: bindings,
		At: []string{"roleRef"}, Ref: &Ref{Kind: "kind", Group: "apiGroup", Name: "name"},
		Doc: "The binding gives what the role allows.",
	},
	{
		Name: "binding-subject", Type: topo.Grants, From: bindings,
		At: []string{"subjects[*]"}, Ref: &Ref{Kind: "kind", Group: "apiGroup", Name: "name", Namespace: "namespace"},
		Doc: "The binding gives it to the subject.",
	},
}
