package reduce_test

import (
	"strings"
	"testing"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/yaml"

	"github.com/kubilitics/kubilitics/shared/topo"
)

const (
	one     = "spec: {containers: [{name: c, image: i}]}\n"
	running = "{name: c, ready: true, restartCount: 0, state: {running: {startedAt: x}}}"
	rolled  = "metadata: {generation: 2}\nspec: {replicas: 3}\nstatus: {observedGeneration: 2, replicas: 3, updatedReplicas: 3, currentReplicas: 3, fullyLabeledReplicas: 3, readyReplicas: 3, availableReplicas: 3, "
	going   = "metadata: {deletionTimestamp: '2026-03-01T10:00:00Z'}\n"
)

// conditions words a status of conditions: "Ready=False/Reason".
func conditions(words ...string) string {
	var all []string
	for _, w := range words {
		name, rest, _ := strings.Cut(w, "=")
		status, reason, _ := strings.Cut(rest, "/")
		all = append(all, "{type: "+name+", status: '"+status+"', reason: '"+reason+"'}")
	}
	return "conditions: [" + strings.Join(all, ", ") + "]"
}

func status(words ...string) string { return "status: {" + conditions(words...) + "}" }

func onePod(phase string, rest ...string) string {
	return one + "status: {phase: " + phase + ", " + strings.Join(rest, ", ") + "}"
}

func state(kind, in string) string {
	return "containerStatuses: [{name: c, ready: false, restartCount: 3, state: {" + kind + ": {" + in + "}}}]"
}

// verdicts are objects as the API server words them, the health and the word that people see, and by which name that differs from the oracle.
var verdicts = []struct{ apiVersion, kind, body, want, differs string }{
	{"v1", "Pod", onePod("Running", conditions("Ready=True"), "containerStatuses: ["+running+"]"), "ok Running", ""},
	{"v1", "Pod", onePod("Running", "containerStatuses: ["+running+"]"), "ok Running", "pod-without-conditions"},
	{"v1", "Pod", onePod("Running", conditions("Ready=False/ReadinessGatesNotReady"), "containerStatuses: ["+running+"]"), "progressing Running", ""},
	{"v1", "Pod", onePod("Running", conditions("Ready=False"), state("waiting", "reason: CrashLoopBackOff")), "error CrashLoopBackOff", ""},
	{"v1", "Pod", onePod("Running", conditions("Ready=False"), state("terminated", "exitCode: 137, reason: OOMKilled")), "error OOMKilled", "pod-hopeless"},
	{"v1", "Pod", onePod("Pending", state("waiting", "reason: ImagePullBackOff")), "error ImagePullBackOff", "pod-hopeless"},
	{"v1", "Pod", onePod("Pending", state("waiting", "reason: ContainerCreating")), "progressing ContainerCreating", ""},
	{"v1", "Pod", onePod("Pending", conditions("PodScheduled=False/Unschedulable")), "warning Pending", "pod-unschedulable"},
	{"v1", "Pod", onePod("Pending", conditions("PodScheduled=False/SchedulingGated")), "progressing SchedulingGated", ""},
	{"v1", "Pod", onePod("Succeeded", state("terminated", "exitCode: 0, reason: Completed")), "ok Completed", ""},
	{"v1", "Pod", onePod("Failed", "reason: Evicted"), "error Evicted", "pod-failed"},
	{"v1", "Pod", onePod("Unknown"), "unknown Unknown", ""},
	{"v1", "Pod", one, "progressing ", ""},
	{"v1", "Pod", onePod("Running", "reason: NodeLost", conditions("Ready=False")), "unknown NodeLost", "pod-node-lost"},
	{"v1", "Pod", going + onePod("Running", "reason: NodeLost"), "unknown Unknown", "pod-node-lost"},
	{"v1", "Pod", going + onePod("Running", "containerStatuses: ["+running+"]"), "progressing Terminating", ""},
	{"v1", "Pod", going + onePod("Failed", "reason: Evicted"), "progressing Evicted", ""},

	{"apps/v1", "Deployment", rolled + conditions("Available=True") + "}", "ok 3/3", ""},
	{"apps/v1", "Deployment", strings.Replace(rolled, "generation: 2", "generation: 3", 1) + conditions("Available=True") + "}", "progressing 3/3", ""},
	{"apps/v1", "Deployment", rolled + conditions("Available=True", "Progressing=False/ProgressDeadlineExceeded") + "}", "error 3/3", ""},
	{"apps/v1", "Deployment", rolled + conditions("Available=True", "ReplicaFailure=True/FailedCreate") + "}", "error 3/3", "replica-failure"},
	{"apps/v1", "Deployment", "spec: {replicas: 0}\n" + status("Available=True"), "ok 0/0", ""},
	{"apps/v1", "Deployment", "spec: {replicas: 1}", "progressing 0/1", ""},
	{"apps/v1", "Deployment", going + "spec: {replicas: 1}", "progressing Terminating", ""},
	{"apps/v1", "ReplicaSet", rolled + "}", "ok 3/3", ""},
	{"v1", "ReplicationController", "spec: {replicas: 2}", "progressing 0/2", "replicationcontroller"},
	{"apps/v1", "StatefulSet", rolled + "currentRevision: a, updateRevision: a}", "ok 3/3", ""},
	{"apps/v1", "StatefulSet", rolled + "currentRevision: a, updateRevision: b}", "progressing 3/3", ""},
	{"apps/v1", "StatefulSet", "spec: {replicas: 2, updateStrategy: {type: OnDelete}}\nstatus: {replicas: 2, readyReplicas: 1}", "progressing 1/2", "statefulset-on-delete"},
	{"apps/v1", "DaemonSet", "metadata: {generation: 1}\nstatus: {observedGeneration: 1, desiredNumberScheduled: 2, currentNumberScheduled: 2, updatedNumberScheduled: 2, numberReady: 2, numberAvailable: 2}", "ok 2/2", ""},
	{"apps/v1", "DaemonSet", "metadata: {generation: 1}\nstatus: {observedGeneration: 1, desiredNumberScheduled: 2, numberReady: 1}", "progressing 1/2", ""},
	{"batch/v1", "Job", "status: {startTime: x}", "ok Running", ""},
	{"batch/v1", "Job", "status: {startTime: x, " + conditions("Complete=True") + "}", "ok Complete", ""},
	{"batch/v1", "Job", status("Failed=True/BackoffLimitExceeded"), "error Failed", ""},
	{"batch/v1", "Job", status("Suspended=True"), "ok Suspended", "job-suspended"},
	{"batch/v1", "Job", "status: {startTime: x, " + conditions("FailureTarget=True") + "}", "error FailureTarget", "job-failure-target"},
	{"batch/v1", "Job", status("SuccessCriteriaMet=True"), "ok SuccessCriteriaMet", "job-criteria-met"},
	{"batch/v1", "Job", going + status("Complete=True"), "progressing Complete", ""},
	{"batch/v1", "CronJob", "spec: {suspend: true}", "ok Suspended", ""},
	{"autoscaling/v2", "HorizontalPodAutoscaler", "status: {currentReplicas: 2, desiredReplicas: 3, " + conditions("AbleToScale=True", "ScalingActive=True") + "}", "ok 2/3", ""},
	{"autoscaling/v2", "HorizontalPodAutoscaler", status("AbleToScale=True", "ScalingActive=False/FailedGetResourceMetric"), "warning FailedGetResourceMetric", "autoscaler"},
	{"autoscaling/v2", "HorizontalPodAutoscaler", status("AbleToScale=False/FailedGetScale"), "error FailedGetScale", "autoscaler"},
	{"policy/v1", "PodDisruptionBudget", "status: {currentHealthy: 1, desiredHealthy: 2}", "warning 1/2", "budget-short"},

	{"v1", "Node", status("Ready=True/KubeletReady"), "ok Ready", ""},
	{"v1", "Node", status("Ready=Unknown/NodeStatusUnknown"), "unknown NotReady", "node"},
	{"v1", "Node", status("Ready=False/KubeletNotReady"), "error NotReady", "node"},
	{"v1", "Node", status("Ready=True", "DiskPressure=True"), "warning Ready", "node"},
	{"v1", "Node", "spec: {unschedulable: true}\n" + status("Ready=True"), "warning Ready,SchedulingDisabled", "node"},
	{"v1", "Node", "spec: {}", "unknown Unknown", "node"},
	{"v1", "Namespace", "status: {phase: Active}", "ok Active", ""},
	{"v1", "Namespace", "status: {phase: Terminating}", "progressing Terminating", "phase"},
	{"v1", "PersistentVolumeClaim", "status: {phase: Bound}", "ok Bound", ""},
	{"v1", "PersistentVolumeClaim", "status: {phase: Lost}", "error Lost", "claim-lost"},
	{"v1", "PersistentVolumeClaim", going + "status: {phase: Bound}", "progressing Terminating", ""},
	{"v1", "PersistentVolume", "status: {phase: Available}", "ok Available", ""},
	{"v1", "PersistentVolume", "status: {phase: Released}", "warning Released", "phase"},
	{"v1", "Service", "spec: {clusterIP: None}", "ok ", ""},
	{"v1", "Service", "spec: {type: LoadBalancer, clusterIP: 10.0.0.1}", "progressing Pending", "service-pending"},
	{"storage.k8s.io/v1", "VolumeAttachment", "status: {attached: true}", "ok Attached", ""},
	{"storage.k8s.io/v1", "VolumeAttachment", "status: {attached: false, attachError: {message: x}}", "error AttachError", "attachment"},
	{"certificates.k8s.io/v1", "CertificateSigningRequest", "status: {certificate: eA==, " + conditions("Approved=True") + "}", "ok Approved,Issued", ""},
	{"certificates.k8s.io/v1", "CertificateSigningRequest", status("Denied=True"), "warning Denied", "signing-request"},
	{"resource.k8s.io/v1", "ResourceClaim", "status: {allocation: {}, reservedFor: [{name: p}]}", "ok allocated,reserved", ""},
	{"networking.k8s.io/v1", "Ingress", "spec: {}", "ok ", ""},
	{"v1", "ResourceQuota", "status: {used: {pods: '1'}}", "ok ", ""},
	{"flowcontrol.apiserver.k8s.io/v1", "FlowSchema", status("Dangling=False/Found"), "ok ", ""},
	{"flowcontrol.apiserver.k8s.io/v1", "FlowSchema", status("Dangling=True/NotFound"), "warning NotFound", "flow-schema"},
	{"flowcontrol.apiserver.k8s.io/v1", "PriorityLevelConfiguration", "status: {}", "ok ", ""},
	{"networking.k8s.io/v1", "ServiceCIDR", status("Ready=True"), "ok Ready", ""},
	{"apiregistration.k8s.io/v1", "APIService", status("Available=True/Local"), "ok Available", ""},
	{"apiregistration.k8s.io/v1", "APIService", status("Available=False/ServiceNotFound"), "error ServiceNotFound", "api-service"},
	{"apiregistration.k8s.io/v1", "APIService", status("Available=Unknown"), "unknown Unknown", "api-service"},
	{"apiextensions.k8s.io/v1", "CustomResourceDefinition", status("NamesAccepted=True", "Established=True"), "ok Established", ""},
	{"apiextensions.k8s.io/v1", "CustomResourceDefinition", status("NamesAccepted=False/Conflict"), "error Conflict", ""},
	{"apiextensions.k8s.io/v1", "CustomResourceDefinition", "spec: {}", "progressing Installing", ""},
	{"admissionregistration.k8s.io/v1", "ValidatingAdmissionPolicy", "status: {typeChecking: {expressionWarnings: [{fieldRef: x}]}}", "warning TypeCheckWarnings", "admission-policy"},
	{"v1", "ConfigMap", "data: {a: b}", "ok ", ""},

	{"example.com/v1", "Widget", "spec: {a: b}", "ok ", ""},
	{"example.com/v1", "Widget", "status: {a: b}", "ok ", ""}, // nobody can read it, and nothing says that anything is wrong
	{"example.com/v1", "Widget", status("Ready=True"), "ok Ready", ""},
	{"example.com/v1", "Widget", status("Ready=False/Waiting"), "progressing Waiting", ""},
	{"example.com/v1", "Widget", status("Ready=Unknown"), "progressing NotReady", ""},
	{"example.com/v1", "Widget", "metadata: {generation: 2}\nstatus: {observedGeneration: 1, " + conditions("Ready=True") + "}", "progressing Reconciling", ""},
	{"example.com/v1", "Widget", status("Ready=True", "Stalled=True/Stuck"), "error Stuck", ""},
	{"example.com/v1", "Widget", status("Ready=False", "Reconciling=True/Working"), "progressing Working", ""},
	{"example.com/v1", "Widget", going + status("Ready=True"), "progressing Terminating", ""},
	{"example.com/v1", "Widget", status("Available=False/Down"), "progressing Down", "condition-like-ready"},
	{"example.com/v1", "Widget", status("Succeeded=False/Failed"), "error Failed", "condition-says-broken"},
	{"example.com/v1", "Widget", "status: {phase: Failed}", "error Failed", "phase-word"},
	{"example.com/v1", "Widget", "status: {phase: Unknown}", "unknown Unknown", "phase-word"},
	{"example.com/v1", "Widget", "status: {phase: Dancing}", "ok Dancing", ""},
	{"example.com/v1", "Widget", "status: {state: it is a long story}", "ok ", ""},

	{"cert-manager.io/v1", "Certificate", status("Ready=True"), "ok Ready", ""},
	{"cert-manager.io/v1", "Certificate", status("Ready=False/DoesNotExist", "Issuing=True/DoesNotExist"), "progressing DoesNotExist", ""},
	{"cert-manager.io/v1", "Certificate", status("Ready=False/DoesNotExist", "Issuing=False/Failed"), "error Failed", "ready-false-is-error"},
	{"cert-manager.io/v1", "CertificateRequest", status("Ready=False/Pending", "Denied=True"), "error Pending", "ready-false-is-error"},
	{"cert-manager.io/v1", "ClusterIssuer", status("Ready=False/ErrRegisterACMEAccount"), "error ErrRegisterACMEAccount", "ready-false-is-error"},
	{"argoproj.io/v1alpha1", "Application", "status: {health: {status: Healthy}, sync: {status: Synced}}", "ok Healthy", ""},
	{"argoproj.io/v1alpha1", "Application", "status: {health: {status: Healthy}, sync: {status: OutOfSync}}", "warning Healthy,OutOfSync", "ecosystem"},
	{"argoproj.io/v1alpha1", "Application", "status: {health: {status: Degraded}, sync: {status: Synced}}", "error Degraded", "ecosystem"},
	{"argoproj.io/v1alpha1", "Application", "spec: {}", "progressing Pending", "ecosystem"},
	{"argoproj.io/v1alpha1", "Rollout", "spec: {replicas: 2}\nstatus: {phase: Degraded, readyReplicas: 1}", "error Degraded", "ecosystem"},
	{"kustomize.toolkit.fluxcd.io/v1", "Kustomization", status("Ready=False/Progressing", "Reconciling=True/Progressing"), "progressing Progressing", ""},
	{"kustomize.toolkit.fluxcd.io/v1", "Kustomization", status("Ready=False/BuildFailed"), "error BuildFailed", "ready-false-is-error"},
	{"serving.knative.dev/v1", "Service", status("Ready=Unknown/RevisionMissing"), "progressing RevisionMissing", ""},
	{"serving.knative.dev/v1", "Service", status("Ready=False/RevisionFailed"), "error RevisionFailed", "ready-false-is-error"},
	{"rds.aws.crossplane.io/v1", "Instance", status("Ready=False/Creating", "Synced=True/ReconcileSuccess"), "progressing Creating", ""},
	{"rds.aws.crossplane.io/v1", "Instance", status("Ready=True/Available", "Synced=False/ReconcileError"), "error ReconcileError", "condition-says-broken"},
	{"cluster.x-k8s.io/v1beta1", "Machine", "status: {phase: Provisioning}", "progressing Provisioning", "phase-word"},
	{"cluster.x-k8s.io/v1beta1", "Cluster", "status: {phase: Failed, " + conditions("Ready=False") + "}", "error Failed", "phase-word"},
	{"gateway.networking.k8s.io/v1", "Gateway", status("Accepted=True", "Programmed=True"), "ok Programmed", ""},
	{"gateway.networking.k8s.io/v1", "Gateway", "status: {" + conditions("Accepted=True", "Programmed=True") + ", listeners: [{" + conditions("ResolvedRefs=False/InvalidCertificateRef") + "}]}", "warning InvalidCertificateRef", "ecosystem"},
	{"gateway.networking.k8s.io/v1", "HTTPRoute", "status: {parents: [{" + conditions("Accepted=True", "ResolvedRefs=True") + "}]}", "ok Accepted", ""},
	{"gateway.networking.k8s.io/v1", "HTTPRoute", "status: {parents: [{" + conditions("Accepted=True") + "}, {" + conditions("Accepted=False/NotAllowedByListeners") + "}]}", "warning NotAllowedByListeners", "ecosystem"},
	{"gateway.networking.k8s.io/v1", "GRPCRoute", "status: {parents: [{" + conditions("Accepted=False/NoMatchingParent") + "}]}", "error NoMatchingParent", "ecosystem"},
	{"gateway.networking.k8s.io/v1", "TCPRoute", "spec: {parentRefs: [{name: g}]}", "progressing Pending", "ecosystem"},
	{"keda.sh/v1alpha1", "ScaledObject", status("Ready=False/ScaledObjectCheckFailed"), "error ScaledObjectCheckFailed", "ready-false-is-error"},
	{"external-secrets.io/v1", "ExternalSecret", status("Ready=False/SecretSyncedError"), "error SecretSyncedError", "ready-false-is-error"},
	{"monitoring.coreos.com/v1", "ServiceMonitor", "spec: {}", "ok ", ""},
	{"monitoring.coreos.com/v1", "Prometheus", status("Available=Degraded/SomePodsNotReady", "Reconciled=True"), "warning SomePodsNotReady", "ecosystem"},
	{"snapshot.storage.k8s.io/v1", "VolumeSnapshot", "status: {readyToUse: false, error: {message: x}}", "error Error", "ecosystem"},
	{"multicluster.x-k8s.io/v1alpha1", "ServiceExport", status("Valid=False/NoService"), "error NoService", "ecosystem"},
}

func parsed(t testing.TB, apiVersion, kind, body string) *unstructured.Unstructured {
	t.Helper()
	raw, err := yaml.YAMLToJSON([]byte("apiVersion: " + apiVersion + "\nkind: " + kind + "\n" + body))
	if err != nil {
		t.Fatal(err)
	}
	u := &unstructured.Unstructured{}
	if err := u.UnmarshalJSON(raw); err != nil {
		t.Fatal(err)
	}
	return u
}

// TestVerdicts: also, every difference from the oracle has its example.
func TestVerdicts(t *testing.T) {
	reducer, shown := reducer(t), map[string]bool{}
	for _, v := range verdicts {
		got, differs := compare(t, reducer, parsed(t, v.apiVersion, v.kind, v.body))
		if said := got.Health.String() + " " + got.Status; said != v.want || differs != v.differs {
			t.Errorf("%s %s: %q, by %q; want %q, by %q", v.kind, v.body, said, differs, v.want, v.differs)
		}
		shown[differs] = true
	}
	for _, d := range differences {
		if !shown[d.name] {
			t.Errorf("no example of %s: %s", d.name, d.why)
		}
	}
}

// TestPodColumns: STATUS, READY and RESTARTS as kubectl's own printer gave them for these.
func TestPodColumns(t *testing.T) {
	const (
		done     = "{name: a, restartCount: 1, state: {terminated: {exitCode: 0}}}"
		starting = "{name: b, restartCount: 2, state: {waiting: {reason: PodInitializing}}}"
		side     = "{name: s, started: true, ready: true, restartCount: 4, state: {running: {}}}"
	)
	pod := func(inits, mains, status string) string {
		return "spec: {initContainers: [" + inits + "], containers: [" + mains + "]}\nstatus: {" + status + "}"
	}
	two, sidecar := pod("{name: a}, {name: b}", "{name: c}", "phase: Pending, initContainerStatuses: ["+done+", STATE]"), "{name: s, restartPolicy: Always}"
	b := func(state string) string {
		return strings.Replace(two, "STATE", "{name: b, restartCount: 2, state: {"+state+"}}", 1)
	}
	c := func(phase string, states ...string) string {
		var names, all []string
		for _, s := range states {
			names, all = append(names, "{name: c}"), append(all, "{name: c, ready: true, restartCount: 1, state: {"+s+"}}")
		}
		return pod("", strings.Join(names, ", "), "phase: "+phase+", CONDITIONS containerStatuses: ["+strings.Join(all, ", ")+"]")
	}
	for _, v := range []struct{ body, want string }{
		{strings.Replace(two, "STATE", starting, 1), "Init:1/2 0/1 3"},
		{b("running: {}"), "Init:1/2 0/1 3"},
		{b("waiting: {reason: CrashLoopBackOff}"), "Init:CrashLoopBackOff 0/1 3"},
		{b("terminated: {exitCode: 1, reason: Error}"), "Init:Error 0/1 3"},
		{b("terminated: {exitCode: 3}"), "Init:ExitCode:3 0/1 3"},
		{b("terminated: {exitCode: 137, signal: 9}"), "Init:Signal:9 0/1 3"},
		{b("terminated: {exitCode: 0}"), "Pending 0/1 0"},
		{pod("{name: a}", "{name: c}", "phase: Pending"), "Pending 0/1 0"},
		{pod(sidecar, "{name: c}", "phase: Running, initContainerStatuses: ["+side+"], containerStatuses: ["+running+"]"), "Running 2/2 4"},
		{pod(sidecar, "{name: c}", "phase: Pending, initContainerStatuses: ["+strings.Replace(side, "started: true", "started: false", 1)+"]"), "Init:0/1 0/2 4"},
		{pod(sidecar, "{name: c}", "phase: Running, "+conditions("Initialized=True")+", initContainerStatuses: [{name: s, restartCount: 4, state: {waiting: {reason: CrashLoopBackOff}}}], containerStatuses: ["+running+"]"), "Init:CrashLoopBackOff 1/2 4"},
		{c("Running", "running: {}"), "Running 1/1 1"},
		{c("Running", "waiting: {reason: CrashLoopBackOff}"), "CrashLoopBackOff 0/1 1"},
		{c("Pending", "waiting: {reason: ContainerCreating}"), "ContainerCreating 0/1 1"},
		{c("Pending", "waiting: {}"), "Pending 0/1 1"},
		{c("Running", "terminated: {exitCode: 0, reason: Completed}", "running: {}"), "NotReady 1/2 2"},
		{strings.Replace(c("Running", "terminated: {exitCode: 0, reason: Completed}", "running: {}"), "CONDITIONS", conditions("Ready=True")+",", 1), "Running 1/2 2"},
		{c("Running", "terminated: {exitCode: 0, reason: Completed}", "terminated: {exitCode: 2, reason: Error}"), "Error 0/2 2"},
		{c("Failed", "terminated: {exitCode: 2}"), "ExitCode:2 0/1 1"},
		{c("Failed", "terminated: {exitCode: 143, signal: 15}"), "Signal:15 0/1 1"},
		{c("Succeeded", "terminated: {exitCode: 0, reason: Completed}"), "Completed 0/1 1"},
		{c("Succeeded", "terminated: {exitCode: 0}"), "ExitCode:0 0/1 1"},
		{c("Running", "waiting: {reason: A}", "waiting: {reason: B}"), "A 0/2 2"},
		{pod("", "{name: c}", "phase: Failed, reason: Evicted"), "Evicted 0/1 0"},
		{pod("", "{name: c}", "phase: Pending, "+conditions("PodScheduled=False/SchedulingGated")), "SchedulingGated 0/1 0"},
		{going + c("Running", "running: {}"), "Terminating 1/1 1"},
		{going + c("Succeeded", "terminated: {exitCode: 0, reason: Completed}"), "Completed 0/1 1"},
		{going + pod("", "{name: c}", "phase: Running, reason: NodeLost"), "Unknown 0/1 0"},
	} {
		r := reduced(t, "v1", "Pod", strings.Replace(v.body, "CONDITIONS", "", 1)).Resource
		ready, _ := topo.Value(r.Attrs, "ready")
		restarts, _ := topo.Value(r.Attrs, "restarts")
		if got := r.Status + " " + ready + " " + restarts; got != v.want {
			t.Errorf("%s: %q, want %q", v.body, got, v.want)
		}
	}
}
