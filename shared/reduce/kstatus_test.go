package reduce_test

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	oracle "sigs.k8s.io/cli-utils/pkg/kstatus/status"

	"github.com/kubilitics/kubilitics/shared/health"
	"github.com/kubilitics/kubilitics/shared/reduce"
	"github.com/kubilitics/kubilitics/shared/topo"
)

// kstatus is the oracle: what it makes of an object, in our words.
func kstatus(u *unstructured.Unstructured) topo.Health {
	r, err := oracle.Compute(u)
	if err != nil {
		return topo.Unknown // it can't tell either
	}
	return map[oracle.Status]topo.Health{
		oracle.CurrentStatus: topo.OK, oracle.InProgressStatus: topo.Progressing, oracle.TerminatingStatus: topo.Progressing,
		oracle.FailedStatus: topo.Error, oracle.UnknownStatus: topo.Unknown, oracle.NotFoundStatus: topo.Unknown,
	}[r.Status]
}

// object is an object under test, with what differences ask of it.
type object struct {
	*unstructured.Unstructured
	ours topo.Health
}

func (o object) text(path string) string {
	v, _, _ := unstructured.NestedFieldNoCopy(o.Object, strings.Split(path, ".")...)
	if v == nil {
		return ""
	}
	return fmt.Sprint(v)
}

func (o object) condition(name string) (status, reason string) {
	list, _, _ := unstructured.NestedSlice(o.Object, "status", "conditions")
	for _, c := range list {
		if m := c.(map[string]any); m["type"] == name {
			reason, _ := m["reason"].(string)
			return m["status"].(string), reason
		}
	}
	return "", ""
}

func (o object) is(name string) bool { s, _ := o.condition(name); return s == "True" }

func (o object) kind(kinds ...string) bool { return slices.Contains(kinds, o.GetKind()) }

// agreed tells that what holds for every kind decides: there, nothing may differ.
func (o object) agreed() bool {
	seen := o.text("status.observedGeneration")
	return o.GetDeletionTimestamp() != nil || seen != "" && o.text("metadata.generation") != "" && seen != o.text("metadata.generation") || o.is("Reconciling") || o.is("Stalled")
}

func (o object) container(has func(state map[string]any) bool) bool {
	for _, list := range []string{"containerStatuses", "initContainerStatuses"} {
		all, _, _ := unstructured.NestedSlice(o.Object, "status", list)
		for _, c := range all {
			if state, _ := c.(map[string]any)["state"].(map[string]any); has(state) {
				return true
			}
		}
	}
	return false
}

// differences are all the ways in which we know more than the oracle. Each holds for what it names only.
var differences = []struct {
	name, why string
	holds     func(o object) bool
}{
	{"pod-failed", "a Pod that ended badly has ended, for the oracle; people want to see it", func(o object) bool {
		return o.kind("Pod") && o.text("status.phase") == "Failed" && o.ours == topo.Error
	}},
	{"pod-hopeless", "images that can't be pulled, crashing init containers and bad ends don't pass by waiting", func(o object) bool {
		return o.kind("Pod") && o.ours == topo.Error && o.container(func(state map[string]any) bool {
			waiting, _ := state["waiting"].(map[string]any)
			terminated, _ := state["terminated"].(map[string]any)
			return waiting != nil && waiting["reason"] != "ContainerCreating" || terminated != nil && terminated["exitCode"] != int64(0)
		})
	}},
	{"pod-unschedulable", "the oracle asks the clock; an autoscaler may still bring a node", func(o object) bool {
		_, reason := o.condition("PodScheduled")
		return o.kind("Pod") && reason == "Unschedulable" && o.ours == topo.Warning
	}},
	{"pod-without-conditions", "a kubelet that writes no conditions is believed what it says of the containers", func(o object) bool {
		ready, _ := o.condition("Ready")
		return o.kind("Pod") && o.text("status.phase") == "Running" && ready == "" && o.ours == topo.OK
	}},
	{"pod-node-lost", "what became of a Pod on a silent node can't be known", func(o object) bool {
		return o.kind("Pod") && o.text("status.reason") == "NodeLost" && o.ours == topo.Unknown
	}},
	{"replica-failure", "a quota or a policy that refuses Pods goes on refusing", func(o object) bool {
		return o.is("ReplicaFailure") && o.ours == topo.Error
	}},
	{"statefulset-on-delete", "the oracle doesn't look at the replicas of these at all", func(o object) bool {
		return o.kind("StatefulSet") && o.text("spec.updateStrategy.type") == "OnDelete" && o.ours == topo.Progressing
	}},
	{"replicationcontroller", "the oracle doesn't know them; they are counted as ReplicaSets are", func(o object) bool {
		return o.kind("ReplicationController") && o.ours == topo.Progressing
	}},
	{"claim-lost", "the volume of a lost claim doesn't come back", func(o object) bool {
		return o.kind("PersistentVolumeClaim") && o.text("status.phase") == "Lost" && o.ours == topo.Error
	}},
	{"budget-short", "fewer Pods are healthy than the budget wants", func(o object) bool {
		return o.kind("PodDisruptionBudget") && o.text("status.currentHealthy") < o.text("status.desiredHealthy") && o.ours == topo.Warning
	}},
	{"job-suspended", "a suspended Job waits on purpose", func(o object) bool {
		return o.kind("Job") && o.is("Suspended") && o.ours == topo.OK
	}},
	{"job-criteria-met", "a Job that has met its criteria only waits for its Pods to go", func(o object) bool {
		return o.kind("Job") && o.is("SuccessCriteriaMet") && o.ours == topo.OK
	}},
	{"job-failure-target", "a Job that is bound to fail only waits for its Pods to go", func(o object) bool {
		return o.kind("Job") && o.is("FailureTarget") && o.ours == topo.Error
	}},
	{"service-pending", "kubectl shows <pending> where the load balancer has no address yet", func(o object) bool {
		return o.kind("Service") && o.text("spec.type") == "LoadBalancer" && o.ours == topo.Progressing
	}},
	{"node", "the oracle knows no Nodes: one that isn't ready is an error, a silent one unknown, one under pressure or cordoned a warning", func(o object) bool {
		ready, _ := o.condition("Ready")
		return o.kind("Node") && o.ours == map[string]topo.Health{"True": topo.Warning, "False": topo.Error}[ready]
	}},
	{"phase", "the oracle doesn't read the phases of Namespaces and volumes", func(o object) bool {
		return o.kind("Namespace", "PersistentVolume") && o.text("status.phase") != "Bound"
	}},
	{"autoscaler", "it says itself that it can't scale", func(o object) bool {
		able, _ := o.condition("AbleToScale")
		active, _ := o.condition("ScalingActive")
		return o.kind("HorizontalPodAutoscaler") && (able == "False" && o.ours == topo.Error || active == "False" && o.ours == topo.Warning)
	}},
	{"signing-request", "its conditions are none that the oracle knows", func(o object) bool { return o.kind("CertificateSigningRequest") }},
	{"attachment", "its status is none that the oracle knows", func(o object) bool { return o.kind("VolumeAttachment") }},
	{"api-service", "it says itself whether its server answers", func(o object) bool { return o.kind("APIService") }},
	{"flow-schema", "the priority level that it names is missing", func(o object) bool { return o.kind("FlowSchema") && o.ours == topo.Warning }},
	{"admission-policy", "its expressions don't fit what they are to judge", func(o object) bool { return o.kind("ValidatingAdmissionPolicy") && o.ours == topo.Warning }},
	{"condition-like-ready", "the oracle reads Ready only; others use Available, Healthy, Established, Accepted or Programmed for it", func(o object) bool {
		ready, _ := o.condition("Ready")
		return ready == "" && o.ours == topo.Progressing && slices.ContainsFunc([]string{"Available", "Healthy", "Established", "Accepted", "Programmed"}, func(c string) bool {
			s, _ := o.condition(c)
			return s == "False" || s == "Unknown"
		})
	}},
	{"condition-says-broken", "Failed, Degraded, Succeeded and Synced mean what they say", func(o object) bool {
		succeeded, _ := o.condition("Succeeded")
		_, why := o.condition("Synced")
		switch o.ours {
		case topo.Error:
			return o.is("Failed") || succeeded == "False" || why == "ReconcileError"
		case topo.Warning:
			return o.is("Degraded")
		default:
			return o.ours == topo.Progressing && succeeded == "Unknown"
		}
	}},
	{"phase-word", "a phase that says failed is believed always, one that says pending or unknown where no condition decides", func(o object) bool {
		word := o.text("status.phase") + o.text("status.state")
		return strings.Contains(word, "Failed") && o.ours == topo.Error || (strings.Contains(word, "Pending") || word == "Provisioning") && o.ours == topo.Progressing ||
			strings.Contains(word, "Degraded") && o.ours == topo.Warning || strings.Contains(word, "Unknown") && o.ours == topo.Unknown
	}},
	{"ready-false-is-error", "these controllers say Unknown or Reconciling while they work, and False where something went wrong", func(o object) bool {
		ready, _ := o.condition("Ready")
		return ready == "False" && o.ours == topo.Error && slices.Contains([]string{"serving.knative.dev", "cert-manager.io", "external-secrets.io", "keda.sh",
			"source.toolkit.fluxcd.io", "kustomize.toolkit.fluxcd.io", "helm.toolkit.fluxcd.io"}, o.GroupVersionKind().Group)
	}},
	{"ecosystem", "their status is none that the oracle knows; each is judged by what its project documents", func(o object) bool {
		return o.kind("Certificate", "CertificateRequest", "Application", "Rollout", "GatewayClass", "Gateway", "HTTPRoute", "GRPCRoute", "TLSRoute", "TCPRoute", "UDPRoute",
			"Prometheus", "PrometheusAgent", "Alertmanager", "ThanosRuler", "VolumeSnapshot", "VolumeSnapshotContent", "ServiceExport")
	}},
}

// compare holds one object against the oracle, and names the difference, if there is one.
func compare(t testing.TB, r *reduce.Reducer, u *unstructured.Unstructured) (ours topo.Resource, difference string) {
	t.Helper()
	raw, err := json.Marshal(u.Object)
	if err != nil {
		t.Fatal(err)
	}
	o, err := r.Reduce(kindOf(u.GetAPIVersion(), u.GetKind()), raw, false)
	if err != nil {
		t.Fatalf("%s: %v", raw, err)
	}
	want, at := kstatus(u), object{u, o.Resource.Health}
	if want == at.ours {
		return o.Resource, ""
	}
	for _, d := range differences {
		if d.holds(at) && (!at.agreed() || d.name == "pod-node-lost") {
			return o.Resource, d.name
		}
	}
	t.Errorf("%s is %s for us, %s for kstatus", raw, at.ours, want)
	return o.Resource, ""
}

// field is a field of generated objects, with the values that it may have; nil is none.
type field struct {
	path   string
	values []any
}

func counts(paths ...string) (out []field) {
	for _, p := range paths {
		out = append(out, field{p, []any{nil, int64(0), int64(1), int64(3)}})
	}
	return out
}

func says(path string, values ...any) field { return field{path, append(values, nil)} }

// generated is a kind of generated object: its fields, and the conditions that it may have with their reasons.
type generated struct {
	apiVersion, kind string
	fields           []field
	conditions       map[string][]string
}

func containers(path string, extra ...map[string]any) field {
	state := func(s string, in map[string]any) map[string]any {
		return map[string]any{"name": "c", "ready": s == "running", "restartCount": int64(1), "state": map[string]any{s: in}}
	}
	var lists []any
	for _, c := range append(extra, state("running", map[string]any{"startedAt": "2026-03-01T10:00:00Z"}), state("waiting", map[string]any{"reason": "CrashLoopBackOff"}),
		state("waiting", map[string]any{"reason": "ContainerCreating"}), state("waiting", map[string]any{"reason": "ImagePullBackOff"}),
		state("terminated", map[string]any{"exitCode": int64(0), "reason": "Completed"}), state("terminated", map[string]any{"exitCode": int64(1)})) {
		lists = append(lists, []any{c})
	}
	return field{path, append(lists, nil)}
}

var generatedKinds = []generated{
	{"v1", "Pod", []field{says("status.phase", "Pending", "Running", "Succeeded", "Failed", "Unknown", "Strange"), says("status.reason", "NodeLost", "Evicted", nil, nil),
		says("metadata.creationTimestamp", "2026-03-01T10:00:00Z"), containers("status.containerStatuses"), containers("status.initContainerStatuses"),
		says("spec.containers", []any{map[string]any{"name": "c", "image": "i"}}), says("spec.initContainers", []any{map[string]any{"name": "c", "restartPolicy": "Always"}})},
		map[string][]string{"Ready": {"", "ContainersNotReady"}, "PodScheduled": {"Unschedulable", "SchedulingGated", ""}, "Initialized": {""}}},
	{"apps/v1", "Deployment", append(counts("spec.replicas", "status.replicas", "status.updatedReplicas", "status.readyReplicas", "status.availableReplicas"),
		says("spec.progressDeadlineSeconds", int64(600), int64(2147483647))),
		map[string][]string{"Available": {"MinimumReplicasAvailable"}, "Progressing": {"NewReplicaSetAvailable", "ProgressDeadlineExceeded", "ReplicaSetUpdated"}, "ReplicaFailure": {"FailedCreate"}}},
	{"apps/v1", "ReplicaSet", counts("spec.replicas", "status.replicas", "status.fullyLabeledReplicas", "status.readyReplicas", "status.availableReplicas"), map[string][]string{"ReplicaFailure": {"FailedCreate"}}},
	{"v1", "ReplicationController", counts("spec.replicas", "status.replicas", "status.fullyLabeledReplicas", "status.readyReplicas", "status.availableReplicas"), map[string][]string{"ReplicaFailure": {"FailedCreate"}}},
	{"apps/v1", "StatefulSet", append(counts("spec.replicas", "status.replicas", "status.updatedReplicas", "status.readyReplicas", "status.currentReplicas", "spec.updateStrategy.rollingUpdate.partition"),
		says("spec.updateStrategy.type", "OnDelete", "RollingUpdate", nil), says("status.currentRevision", "a", "b"), says("status.updateRevision", "a", "b")), nil},
	{"apps/v1", "DaemonSet", counts("status.desiredNumberScheduled", "status.currentNumberScheduled", "status.updatedNumberScheduled", "status.numberReady", "status.numberAvailable"), nil},
	{"batch/v1", "Job", append(counts("spec.completions", "status.succeeded", "status.active", "status.failed"), says("status.startTime", "2026-03-01T10:00:00Z")),
		map[string][]string{"Complete": {""}, "Failed": {"BackoffLimitExceeded"}, "Suspended": {""}, "FailureTarget": {""}, "SuccessCriteriaMet": {""}}},
	{"batch/v1", "CronJob", []field{says("spec.suspend", true, false)}, map[string][]string{"Ready": {""}}},
	{"v1", "Service", []field{says("spec.type", "LoadBalancer", "ClusterIP", "ExternalName"), says("spec.clusterIP", "10.0.0.1", "None"),
		says("status.loadBalancer.ingress", []any{map[string]any{"ip": "1.2.3.4"}}, []any{})}, nil},
	{"v1", "PersistentVolumeClaim", []field{says("status.phase", "Bound", "Pending", "Lost", "Strange")}, map[string][]string{"Resizing": {""}}},
	{"v1", "PersistentVolume", []field{says("status.phase", "Bound", "Available", "Released", "Pending", "Failed", "Strange")}, nil},
	{"v1", "Namespace", []field{says("status.phase", "Active", "Terminating", "Strange")}, nil},
	{"v1", "Node", []field{says("spec.unschedulable", true, false)}, map[string][]string{"Ready": {"KubeletReady"}, "MemoryPressure": {""}, "DiskPressure": {""}, "NetworkUnavailable": {""}}},
	{"policy/v1", "PodDisruptionBudget", counts("status.currentHealthy", "status.desiredHealthy", "status.disruptionsAllowed"), map[string][]string{"DisruptionAllowed": {"InsufficientPods"}}},
	{"autoscaling/v2", "HorizontalPodAutoscaler", counts("status.currentReplicas", "status.desiredReplicas"), map[string][]string{"AbleToScale": {"FailedGetScale"}, "ScalingActive": {"ScalingDisabled", "FailedGetResourceMetric"}, "ScalingLimited": {""}}},
	{"apiextensions.k8s.io/v1", "CustomResourceDefinition", nil, map[string][]string{"Established": {"Installing", "NotAccepted", ""}, "NamesAccepted": {"Conflict", ""}, "Terminating": {""}}},
	{"apiregistration.k8s.io/v1", "APIService", nil, map[string][]string{"Available": {"ServiceNotFound", ""}}},
	{"flowcontrol.apiserver.k8s.io/v1", "FlowSchema", nil, map[string][]string{"Dangling": {"NotFound", ""}}},
	{"certificates.k8s.io/v1", "CertificateSigningRequest", []field{says("status.certificate", "eA==")}, map[string][]string{"Approved": {""}, "Denied": {""}, "Failed": {""}}},
	{"v1", "ConfigMap", []field{says("data.a", "b")}, map[string][]string{"Ready": {""}}},
	{"v1", "Secret", []field{says("type", "Opaque")}, map[string][]string{"Ready": {""}}},
	{"rbac.authorization.k8s.io/v1", "Role", nil, nil},
	{"networking.k8s.io/v1", "ServiceCIDR", nil, map[string][]string{"Ready": {"Terminating"}}},
	{"networking.k8s.io/v1", "Ingress", []field{says("status.loadBalancer.ingress", []any{map[string]any{"ip": "1.2.3.4"}})}, nil},
	{"kustomize.toolkit.fluxcd.io/v1", "Kustomization", nil, map[string][]string{"Ready": {"BuildFailed", ""}, "Healthy": {""}}},
	{"cert-manager.io/v1", "Issuer", nil, map[string][]string{"Ready": {"ErrRegisterACMEAccount"}}},
	{"example.com/v1", "Widget", []field{says("status.phase", "Failed", "Pending", "Degraded", "Unknown", "Running", nil, nil), says("status.a", "b"), says("status.state", "Failed", "a whole sentence", nil, nil)},
		map[string][]string{"Ready": {"Failed", "Waiting", ""}, "Available": {"", "No"}, "Accepted": {""}, "Synced": {"ReconcileError", ""}, "Degraded": {""}, "Failed": {""}, "Succeeded": {""}, "Custom": {""}}},
}

// make draws an object.
func (g generated) make(r *rand.Rand) *unstructured.Unstructured {
	u := &unstructured.Unstructured{Object: map[string]any{"apiVersion": g.apiVersion, "kind": g.kind, "metadata": map[string]any{"name": "x"}}}
	common := append(slices.Clone(g.fields), says("metadata.generation", int64(1), int64(1), int64(2)), says("status.observedGeneration", int64(1)),
		field{"metadata.deletionTimestamp", []any{nil, nil, nil, nil, nil, nil, nil, nil, nil, "2026-03-01T10:00:00Z"}})
	for _, f := range common {
		if v := f.values[r.IntN(len(f.values))]; v != nil {
			if err := unstructured.SetNestedField(u.Object, v, strings.Split(f.path, ".")...); err != nil {
				panic(err)
			}
		}
	}
	var conditions []any
	add := func(name string, reasons []string) {
		if s := []string{"", "", "True", "False", "Unknown"}[r.IntN(5)]; s != "" {
			conditions = append(conditions, map[string]any{"type": name, "status": s, "reason": reasons[r.IntN(len(reasons))]})
		}
	}
	for _, name := range slices.Sorted(func(yield func(string) bool) {
		for name := range g.conditions {
			if !yield(name) {
				return
			}
		}
	}) {
		add(name, g.conditions[name])
	}
	if r.IntN(8) == 0 {
		add("Reconciling", []string{"Working", ""})
		add("Stalled", []string{"Stuck", ""})
	}
	r.Shuffle(len(conditions), func(i, j int) { conditions[i], conditions[j] = conditions[j], conditions[i] })
	if len(conditions) > 0 || r.IntN(2) == 0 {
		if err := unstructured.SetNestedSlice(u.Object, conditions, "status", "conditions"); err != nil {
			panic(err)
		}
	}
	return u
}

// kindsOfAll are the generated ones, and every kind that has a row, of which only what holds for all is generated.
func kindsOfAll() []generated {
	out := slices.Clone(generatedKinds)
	for _, row := range health.Rows {
		for _, gk := range row.Kinds {
			if !slices.ContainsFunc(out, func(g generated) bool { return kindOf(g.apiVersion, g.kind).GroupKind == gk }) {
				out = append(out, generated{strings.TrimPrefix(gk.Group+"/v1", "/"), gk.Kind, nil, nil})
			}
		}
	}
	return out
}

// TestKstatusAgrees draws objects of all kinds and holds them against the oracle. The seed is fixed; the fuzz test draws others.
func TestKstatusAgrees(t *testing.T) {
	reducer, used := reducer(t), map[string]int{}
	for _, g := range kindsOfAll() {
		n := 200
		if g.fields != nil || g.conditions != nil {
			n = 2500
		}
		random := rand.New(rand.NewPCG(1, uint64(len(g.kind))))
		for range n {
			_, difference := compare(t, reducer, g.make(random))
			used[difference]++
		}
	}
	t.Log(used)
}

func FuzzKstatusAgrees(f *testing.F) {
	f.Add(uint64(1), uint8(0))
	reducer, all := reducer(f), kindsOfAll()
	f.Fuzz(func(t *testing.T, seed uint64, kind uint8) {
		compare(t, reducer, all[int(kind)%len(all)].make(rand.New(rand.NewPCG(seed, 0))))
	})
}
