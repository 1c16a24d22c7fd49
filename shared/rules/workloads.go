package rules

import "github.com/kubilitics/kubilitics/shared/topo"

const everyContainer = "spec.{containers,initContainers,ephemeralContainers}[*]."

var optional = []Keep{{Attr: "optional", Path: "optional"}}

// always is an attribute that all edges of a row have.
func always(attr string) []Keep { return []Keep{{Attr: attr, Value: "true"}} }

// workloadRows is what runs, and what it needs to run.
var workloadRows = []Row{
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
		Name: "pod-priorityclass", Type: topo.References, From: []string{"Pod"}, Template: true,
		At: []string{"spec.priorityClassName"}, Ref: &Ref{To: "PriorityClass.scheduling.k8s.io", Cluster: true},
		Doc: "The class says which Pods give way to the Pod.",
	},
	{
		Name: "pod-runtimeclass", Type: topo.References, From: []string{"Pod"}, Template: true,
		At: []string{"spec.runtimeClassName"}, Ref: &Ref{To: "RuntimeClass.node.k8s.io", Cluster: true},
		Doc: "The class says what runs the Pod's containers.",
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
		Name: "pod-secret-driver", Type: topo.References, From: []string{"Pod"}, Template: true,
		At:  []string{"spec.volumes[*].csi.nodePublishSecretRef", "spec.volumes[*].{cephfs,flexVolume,iscsi,rbd,scaleIO,storageos}.secretRef"},
		Ref: &Ref{To: "Secret", Name: "name"},
		Doc: "The driver of the Pod's volume is given the Secret.",
	},
	{
		Name: "pod-persistentvolumeclaim", Type: topo.Mounts, From: []string{"Pod"}, Template: true,
		At:   []string{"spec.volumes[*].persistentVolumeClaim"},
		Ref:  &Ref{To: "PersistentVolumeClaim", Name: "claimName"},
		Keep: []Keep{{Attr: "readOnly", Path: "readOnly"}},
		Doc:  "The Pod mounts the claim's volume.",
	},
	{
		Name: "pod-persistentvolumeclaim-ephemeral", Type: topo.Mounts, From: []string{"Pod"},
		At: []string{"spec.volumes[*]"}, Func: "ephemeralClaim", Fields: []string{"name"},
		Where: []Where{{Path: "ephemeral.volumeClaimTemplate", Not: []string{""}}},
		Doc:   "The Pod mounts the volume of a claim that is made for it and goes with it.",
	},
	{
		Name: "pod-storageclass", Type: topo.References, From: []string{"Pod"}, Template: true,
		At:  []string{"spec.volumes[*].ephemeral.volumeClaimTemplate.spec.storageClassName"},
		Ref: &Ref{To: "StorageClass.storage.k8s.io", Cluster: true},
		Doc: "The class says how the volume is made that goes with the Pod.",
	},
	{
		Name: "pod-resourceclaim", Type: topo.References, From: []string{"Pod"}, Template: true,
		At:  []string{"spec.resourceClaims[*].resourceClaimName"},
		Ref: &Ref{To: "ResourceClaim.resource.k8s.io"},
		Doc: "The Pod shares the devices of the claim.",
	},
	{
		Name: "pod-resourceclaimtemplate", Type: topo.References, From: []string{"Pod"}, Template: true,
		At:  []string{"spec.resourceClaims[*].resourceClaimTemplateName"},
		Ref: &Ref{To: "ResourceClaimTemplate.resource.k8s.io"},
		Doc: "A claim of devices is made for the Pod from the template.",
	},
	{
		Name: "pod-resourceclaim-generated", Type: topo.References, From: []string{"Pod"},
		At:  []string{"status.resourceClaimStatuses[*].resourceClaimName", "status.extendedResourceClaimStatus.resourceClaimName"},
		Ref: &Ref{To: "ResourceClaim.resource.k8s.io"},
		Doc: "The claim of devices was made for the Pod.",
	},
	{
		Name: "resourceclaim-deviceclass", Type: topo.References, From: []string{"ResourceClaim.resource.k8s.io", "ResourceClaimTemplate.resource.k8s.io"},
		At: []string{
			"{spec,spec.spec}.devices.requests[*].{deviceClassName,exactly.deviceClassName}",
			"{spec,spec.spec}.devices.requests[*].firstAvailable[*].deviceClassName",
		},
		Ref: &Ref{To: "DeviceClass.resource.k8s.io", Cluster: true},
		Doc: "The class says which devices fit the claim.",
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
		Name: "statefulset-storageclass", Type: topo.References, From: []string{"StatefulSet.apps"},
		At:  []string{"spec.volumeClaimTemplates[*].spec.storageClassName"},
		Ref: &Ref{To: "StorageClass.storage.k8s.io", Cluster: true},
		Doc: "The class says how the volumes of the set's claims are made.",
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
}
