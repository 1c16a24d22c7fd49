{{- /*
Kubernetes' own kinds by group, each with its plural. RBAC knows no "all but": what is left out must be missing from a list. Groups whose objects lead into a pod
or a node by a mere "get" (the core group: pods/exec, nodes/proxy) are always enumerated; the others only where something of them is left out.
*/ -}}
{{- define "kubilitics-agent.kinds" -}}
"":
  ComponentStatus: componentstatuses
  ConfigMap: configmaps
  Endpoints: endpoints
  Event: events
  LimitRange: limitranges
  Namespace: namespaces
  Node: nodes
  PersistentVolume: persistentvolumes
  PersistentVolumeClaim: persistentvolumeclaims
  Pod: pods
  PodTemplate: podtemplates
  ReplicationController: replicationcontrollers
  ResourceQuota: resourcequotas
  Secret: secrets
  Service: services
  ServiceAccount: serviceaccounts
admissionregistration.k8s.io:
  MutatingAdmissionPolicy: mutatingadmissionpolicies
  MutatingAdmissionPolicyBinding: mutatingadmissionpolicybindings
  MutatingWebhookConfiguration: mutatingwebhookconfigurations
  ValidatingAdmissionPolicy: validatingadmissionpolicies
  ValidatingAdmissionPolicyBinding: validatingadmissionpolicybindings
  ValidatingWebhookConfiguration: validatingwebhookconfigurations
apiextensions.k8s.io:
  CustomResourceDefinition: customresourcedefinitions
apiregistration.k8s.io:
  APIService: apiservices
apps:
  ControllerRevision: controllerrevisions
  DaemonSet: daemonsets
  Deployment: deployments
  ReplicaSet: replicasets
  StatefulSet: statefulsets
autoscaling:
  HorizontalPodAutoscaler: horizontalpodautoscalers
batch:
  CronJob: cronjobs
  Job: jobs
certificates.k8s.io:
  CertificateSigningRequest: certificatesigningrequests
  ClusterTrustBundle: clustertrustbundles
  PodCertificateRequest: podcertificaterequests
coordination.k8s.io:
  Lease: leases
  LeaseCandidate: leasecandidates
discovery.k8s.io:
  EndpointSlice: endpointslices
events.k8s.io:
  Event: events
flowcontrol.apiserver.k8s.io:
  FlowSchema: flowschemas
  PriorityLevelConfiguration: prioritylevelconfigurations
internal.apiserver.k8s.io:
  StorageVersion: storageversions
metrics.k8s.io:
  NodeMetrics: nodes
  PodMetrics: pods
networking.k8s.io:
  IPAddress: ipaddresses
  Ingress: ingresses
  IngressClass: ingressclasses
  NetworkPolicy: networkpolicies
  ServiceCIDR: servicecidrs
node.k8s.io:
  RuntimeClass: runtimeclasses
policy:
  PodDisruptionBudget: poddisruptionbudgets
rbac.authorization.k8s.io:
  ClusterRole: clusterroles
  ClusterRoleBinding: clusterrolebindings
  Role: roles
  RoleBinding: rolebindings
resource.k8s.io:
  DeviceClass: deviceclasses
  DeviceTaintRule: devicetaintrules
  ResourceClaim: resourceclaims
  ResourceClaimTemplate: resourceclaimtemplates
  ResourceSlice: resourceslices
scheduling.k8s.io:
  PriorityClass: priorityclasses
  Workload: workloads
storage.k8s.io:
  CSIDriver: csidrivers
  CSINode: csinodes
  CSIStorageCapacity: csistoragecapacities
  StorageClass: storageclasses
  VolumeAttachment: volumeattachments
  VolumeAttributesClass: volumeattributesclasses
storagemigration.k8s.io:
  StorageVersionMigration: storageversionmigrations
{{- end -}}

{{- /* Groups of custom resources that relationships are known of. A custom resource has no way into a pod, so "*" is only its objects, status and scale. */ -}}
{{- define "kubilitics-agent.customGroups" -}}
- acme.cert-manager.io
- apiextensions.crossplane.io
- argoproj.io
- autoscaling.k8s.io
- bootstrap.cluster.x-k8s.io
- cert-manager.io
- cluster.x-k8s.io
- controlplane.cluster.x-k8s.io
- eventing.knative.dev
- extensions.istio.io
- external-secrets.io
- gateway.networking.k8s.io
- helm.toolkit.fluxcd.io
- image.toolkit.fluxcd.io
- infrastructure.cluster.x-k8s.io
- keda.sh
- kustomize.toolkit.fluxcd.io
- messaging.knative.dev
- monitoring.coreos.com
- multicluster.x-k8s.io
- net.gke.io
- networking.istio.io
- notification.toolkit.fluxcd.io
- pkg.crossplane.io
- security.istio.io
- serving.knative.dev
- snapshot.storage.k8s.io
- source.toolkit.fluxcd.io
- sources.knative.dev
- telemetry.istio.io
{{- end -}}

{{- /* The groups of the custom resources that this cluster has. lookup gives nothing where only rendering is done. */ -}}
{{- define "kubilitics-agent.foundGroups" -}}
{{- $out := list -}}
{{- if and .Values.discoverCustomGroups (not .Values.namespaces) -}}
{{- range (lookup "apiextensions.k8s.io/v1" "CustomResourceDefinition" "" "").items -}}
{{- $out = append $out .spec.group -}}
{{- end -}}
{{- end -}}
{{- toJson $out -}}
{{- end -}}

{{- /* The rules by which the agent reads. */ -}}
{{- define "kubilitics-agent.readRules" -}}
{{- $read := list "get" "list" "watch" -}}
{{- $excluded := fromJsonArray (include "kubilitics-agent.excluded" .) -}}
{{- if has "Event" $excluded -}}
{{- $excluded = append $excluded "Event.events.k8s.io" -}}{{- /* the same objects, by another name */ -}}
{{- end -}}
{{- $known := fromYaml (include "kubilitics-agent.kinds" .) -}}
{{- $rules := list -}}
{{- $whole := list -}}
{{- if .Values.everything -}}
{{- $rules = append $rules (dict "apiGroups" (list "*") "resources" (list "*") "verbs" $read) -}}
{{- else -}}
{{- range $group, $kinds := $known -}}
  {{- $left := list -}}
  {{- range $kind, $plural := $kinds -}}
    {{- if not (has (ternary $kind (printf "%s.%s" $kind $group) (eq $group "")) $excluded) -}}
      {{- $left = append $left $plural -}}
    {{- end -}}
  {{- end -}}
  {{- if and (eq $group "") (has "pods" $left) -}}
    {{- $left = append $left "pods/log" -}}
  {{- end -}}
  {{- if and (ne $group "") (eq (len $left) (len $kinds)) -}}
    {{- $whole = append $whole $group -}}
  {{- else if $left -}}
    {{- $rules = append $rules (dict "apiGroups" (list $group) "resources" $left "verbs" $read) -}}
  {{- end -}}
{{- end -}}
{{- $custom := concat (fromYamlArray (include "kubilitics-agent.customGroups" .)) .Values.customGroups (fromJsonArray (include "kubilitics-agent.foundGroups" .)) -}}
{{- range $custom | uniq | sortAlpha -}}
  {{- if not (hasKey $known .) -}}{{- $whole = append $whole . -}}{{- end -}}
{{- end -}}
{{- $rules = append $rules (dict "apiGroups" $whole "resources" (list "*") "verbs" $read) -}}
{{- end -}}
{{- toYaml $rules -}}
{{- end -}}

{{- /* The rules by which people operate, like "edit" without what makes accounts or credentials. */ -}}
{{- define "kubilitics-agent.operateRules" -}}
- apiGroups: [""]
  resources: [configmaps, persistentvolumeclaims, pods, replicationcontrollers, replicationcontrollers/scale, services{{ if .Values.secrets }}, secrets{{ end }}]
  verbs: [create, update, patch, delete, deletecollection]
- apiGroups: [""]
  resources: [pods/eviction]
  verbs: [create]
{{- if .Values.operate.exec }}
- apiGroups: [""]
  resources: [pods/attach, pods/exec, pods/portforward]
  verbs: [create, get]
- apiGroups: [""]
  resources: [pods/ephemeralcontainers]
  verbs: [update, patch]
{{- end }}
- apiGroups: [apps]
  resources: [daemonsets, deployments, deployments/scale, replicasets, replicasets/scale, statefulsets, statefulsets/scale]
  verbs: [create, update, patch, delete, deletecollection]
- apiGroups: [batch]
  resources: [cronjobs, jobs]
  verbs: [create, update, patch, delete, deletecollection]
- apiGroups: [autoscaling]
  resources: [horizontalpodautoscalers]
  verbs: [create, update, patch, delete, deletecollection]
- apiGroups: [networking.k8s.io]
  resources: [ingresses, networkpolicies]
  verbs: [create, update, patch, delete, deletecollection]
- apiGroups: [policy]
  resources: [poddisruptionbudgets]
  verbs: [create, update, patch, delete, deletecollection]
{{- end -}}
