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

// Rows are the kinds with an answer of their own.
var Rows = []Row{
	{Kinds: core("Pod"), Groups: podGroups, Judge: pod},
	{Kinds: core("Node"), Groups: []Group{conditions, {Path: "", Fields: []string{"spec.unschedulable", "status.nodeInfo.kubeletVersion", "status.nodeInfo.operatingSystem", "status.nodeInfo.architecture"}}}, Judge: node},
	{Kinds: core("Namespace"), Groups: []Group{{Path: "", Fields: []string{"status.phase"}}}, Judge: phase(1, map[string]topo.Health{"Active": topo.OK, "Terminating": topo.Progressing})},
	{Kinds: core("PersistentVolumeClaim"), Groups: []Group{{Path: "", Fields: []string{"status.phase", "status.capacity.storage", "spec.storageClassName"}}},
		Judge: phase(1, map[string]topo.Health{"Bound": topo.OK, "Pending": topo.Progressing, "Lost": topo.Error}, "capacity", "storageClass")},
	{Kinds: core("PersistentVolume"), Groups: []Group{{Path: "", Fields: []string{"status.phase", "spec.capacity.storage", "spec.storageClassName"}}},
		Judge: phase(1, map[string]topo.Health{"Bound": topo.OK, "Available": topo.OK, "Released": topo.Warning, "Pending": topo.Progressing, "Failed": topo.Error}, "capacity", "storageClass")},
	{Kinds: core("Service"), Groups: []Group{
		{Path: "", Fields: []string{"spec.type", "spec.clusterIP", "spec.externalName"}},
		{Path: "spec.ports[*]", Fields: []string{"port", "protocol"}},
		{Path: "status.loadBalancer.ingress[*]", Fields: []string{"ip", "hostname"}},
	}, Judge: service},
	{Kinds: in("networking.k8s.io", "Ingress"), Groups: []Group{
		{Path: "", Fields: []string{"spec.ingressClassName"}},
		{Path: "spec.rules[*]", Fields: []string{"host"}},
		{Path: "status.loadBalancer.ingress[*]", Fields: []string{"ip", "hostname"}},
	}, Judge: ingress},
	{Kinds: slices.Concat(in("apps", "Deployment", "ReplicaSet", "StatefulSet"), core("ReplicationController")), Groups: []Group{
		{Path: "", Fields: []string{"spec.replicas", "status.replicas", "status.updatedReplicas", "status.readyReplicas", "status.availableReplicas", "spec.paused"}}, conditions, images("spec.template.spec."),
	}, Judge: replicated},
	{Kinds: in("apps", "DaemonSet"), Groups: []Group{
		{Path: "", Fields: []string{"status.desiredNumberScheduled", "status.currentNumberScheduled", "status.updatedNumberScheduled", "status.numberReady", "status.numberAvailable", "spec.paused"}}, conditions, images("spec.template.spec."),
	}, Judge: daemon},
	{Kinds: in("batch", "Job"), Groups: []Group{
		{Path: "", Fields: []string{"spec.completions", "status.succeeded", "status.active", "status.failed", "spec.suspend"}}, conditions, images("spec.template.spec."),
	}, Judge: job},
	{Kinds: in("batch", "CronJob"), Groups: []Group{
		{Path: "", Fields: []string{"spec.schedule", "spec.suspend", "status.lastScheduleTime"}}, images("spec.jobTemplate.spec.template.spec."),
	}, Judge: cronJob},
	{Kinds: in("autoscaling", "HorizontalPodAutoscaler"), Groups: []Group{
		{Path: "", Fields: []string{"spec.minReplicas", "spec.maxReplicas", "status.currentReplicas", "status.desiredReplicas"}}, conditions,
	}, Judge: autoscaler},
	{Kinds: in("policy", "PodDisruptionBudget"), Groups: []Group{
		{Path: "", Fields: []string{"status.currentHealthy", "status.desiredHealthy", "status.disruptionsAllowed", "spec.minAvailable", "spec.maxUnavailable"}},
	}, Judge: budget},
	// Their status is bookkeeping that says nothing of how they fare.
	{Kinds: slices.Concat(core("ResourceQuota"), in("flowcontrol.apiserver.k8s.io", "PriorityLevelConfiguration"), in("storage.k8s.io", "CSINode")),
		Judge: func(Facts) Verdict { return verdict(topo.OK, "") }},
	{Kinds: in("flowcontrol.apiserver.k8s.io", "FlowSchema"), Groups: []Group{conditions}, Judge: flowSchema},
	{Kinds: in("apiextensions.k8s.io", "CustomResourceDefinition"), Groups: []Group{conditions}, Judge: definition},
	{Kinds: in("apiregistration.k8s.io", "APIService"), Groups: []Group{conditions}, Judge: apiService},
}

// generic judges every other kind: by the conditions that controllers agree on, and where there is no status at all, by being there.
var generic = Row{Groups: []Group{common, conditions}, Judge: byConditions}

func images(podSpec string) Group {
	return Group{Path: podSpec + "containers[*]", Fields: []string{"image"}}
}

func joined(items [][]string, field int) string {
	var out []string
	for _, i := range items {
		if i[field] != "" && !slices.Contains(out, i[field]) {
			out = append(out, i[field])
		}
	}
	return strings.Join(out, ",")
}

// phase judges kinds that say it in one word; further fields of the group become attributes.
func phase(group int, healths map[string]topo.Health, attrs ...string) func(Facts) Verdict {
	return func(f Facts) Verdict {
		word := f.value(group, 0)
		v := Verdict{Health: healths[word], Status: word}
		for i, key := range attrs {
			v.Attrs = append(v.Attrs, pairs(key, f.value(group, i+1))...)
		}
		return v
	}
}

func node(f Facts) Verdict {
	status, _ := f.condition(1, "Ready")
	v := verdict(topo.Unknown, "NotReady", "arch", f.value(2, 3), "kubelet", f.value(2, 1), "os", f.value(2, 2))
	switch status {
	case "True":
		v.Health, v.Status = topo.OK, "Ready"
	case "False":
		v.Health = topo.Error
	case "":
		v.Status = "Unknown"
	}
	for _, pressure := range []string{"MemoryPressure", "DiskPressure", "PIDPressure", "NetworkUnavailable"} {
		if s, _ := f.condition(1, pressure); s == "True" && v.Health == topo.OK {
			v.Health = topo.Warning
		}
	}
	if f.value(2, 0) == "true" {
		v.Status += ",SchedulingDisabled"
		if v.Health == topo.OK {
			v.Health = topo.Warning
		}
	}
	return v
}

func service(f Facts) Verdict {
	var ports []string
	for _, p := range f.items(2) {
		ports = append(ports, p[0]+"/"+cmpOr(p[1], "TCP"))
	}
	kind := cmpOr(f.value(1, 0), "ClusterIP")
	v := verdict(topo.OK, "", "clusterIP", f.value(1, 1), "externalName", f.value(1, 2), "loadBalancer", addresses(f.items(3)), "ports", strings.Join(ports, ","), "type", kind)
	if kind == "LoadBalancer" && len(f.items(3)) == 0 {
		v.Health, v.Status = topo.Progressing, "Pending"
	}
	return v
}

func addresses(items [][]string) string {
	var out []string
	for _, i := range items {
		out = append(out, cmpOr(i[0], i[1]))
	}
	return strings.Join(out, ",")
}

func cmpOr(a, b string) string {
	if a == "" {
		return b
	}
	return a
}

func ingress(f Facts) Verdict {
	return verdict(topo.OK, "", "address", addresses(f.items(3)), "class", f.value(1, 0), "hosts", joined(f.items(2), 0))
}

// replicated judges Deployments and their like by counting replicas.
func replicated(f Facts) Verdict {
	want := f.number(1, 0, 1)
	have, ready, available := f.number(1, 1, 0), f.number(1, 3, 0), f.number(1, 4, 0)
	updated := f.number(1, 2, have) // ReplicaSets don't count them
	v := verdict(topo.OK, strconv.Itoa(ready)+"/"+strconv.Itoa(want), "available", strconv.Itoa(available), "images", joined(f.items(3), 0),
		"ready", strconv.Itoa(ready)+"/"+strconv.Itoa(want), "updated", f.value(1, 2))
	_, late := f.condition(2, "Progressing")
	failing, _ := f.condition(2, "ReplicaFailure")
	switch {
	case late == "ProgressDeadlineExceeded", failing == "True":
		v.Health = topo.Error
	case f.behind(), updated < want, have > want, min(ready, available) < want:
		v.Health = topo.Progressing
	}
	return v
}

func daemon(f Facts) Verdict {
	want, updated, ready, available := f.number(1, 0, 0), f.number(1, 2, 0), f.number(1, 3, 0), f.number(1, 4, 0)
	v := verdict(topo.OK, strconv.Itoa(ready)+"/"+strconv.Itoa(want), "available", strconv.Itoa(available), "images", joined(f.items(3), 0),
		"ready", strconv.Itoa(ready)+"/"+strconv.Itoa(want), "updated", f.value(1, 2))
	if f.behind() || f.value(1, 0) == "" || updated < want || min(ready, available) < want {
		v.Health = topo.Progressing
	}
	return v
}

func job(f Facts) Verdict {
	v := verdict(topo.Progressing, "Running", "completions", f.value(1, 1)+"/"+cmpOr(f.value(1, 0), "1"), "images", joined(f.items(3), 0))
	complete, _ := f.condition(2, "Complete")
	failed, _ := f.condition(2, "Failed")
	switch {
	case failed == "True":
		v.Health, v.Status = topo.Error, "Failed"
	case complete == "True":
		v.Health, v.Status = topo.OK, "Complete"
	case f.value(1, 4) == "true":
		v.Health, v.Status = topo.OK, "Suspended"
	}
	return v
}

func cronJob(f Facts) Verdict {
	v := verdict(topo.OK, "Scheduled", "images", joined(f.items(2), 0), "schedule", f.value(1, 0))
	if f.value(1, 1) == "true" {
		v.Status = "Suspended"
	}
	return v
}

func autoscaler(f Facts) Verdict {
	v := verdict(topo.OK, f.value(1, 2)+"/"+f.value(1, 3), "max", f.value(1, 1), "min", cmpOr(f.value(1, 0), "1"), "replicas", f.value(1, 2))
	able, why := f.condition(2, "AbleToScale")
	active, whyNot := f.condition(2, "ScalingActive")
	switch {
	case able == "False":
		v.Health, v.Status = topo.Error, why
	case active == "False" && whyNot != "ScalingDisabled":
		v.Health, v.Status = topo.Warning, whyNot
	case able == "":
		v.Health, v.Status = topo.Progressing, ""
	}
	return v
}

func budget(f Facts) Verdict {
	current, desired := f.number(1, 0, 0), f.number(1, 1, 0)
	v := verdict(topo.OK, strconv.Itoa(current)+"/"+strconv.Itoa(desired), "allowed", f.value(1, 2), "maxUnavailable", f.value(1, 4), "minAvailable", f.value(1, 3))
	switch {
	case f.behind():
		v.Health = topo.Progressing
	case current < desired:
		v.Health = topo.Warning
	}
	return v
}

func definition(f Facts) Verdict {
	names, reason := f.condition(1, "NamesAccepted")
	established, _ := f.condition(1, "Established")
	switch {
	case names == "False":
		return verdict(topo.Error, cmpOr(reason, "NamesNotAccepted"))
	case established == "True":
		return verdict(topo.OK, "Established")
	default:
		return verdict(topo.Progressing, "Installing")
	}
}

// flowSchema judges by whether the priority level that it names is there.
func flowSchema(f Facts) Verdict {
	if dangling, reason := f.condition(1, "Dangling"); dangling == "True" {
		return verdict(topo.Warning, cmpOr(reason, "Dangling"))
	}
	return verdict(topo.OK, "")
}

func apiService(f Facts) Verdict {
	status, reason := f.condition(1, "Available")
	switch status {
	case "True":
		return verdict(topo.OK, "Available")
	case "False":
		return verdict(topo.Error, cmpOr(reason, "Unavailable"))
	default:
		return verdict(topo.Unknown, "")
	}
}

// byConditions knows what controllers agree on. A status that says none of it is a status nobody here can read: unknown. A kind without any
// status, such as a ConfigMap, is well by being there.
func byConditions(f Facts) Verdict {
	if f.value(0, 3) == "" {
		return verdict(topo.OK, "")
	}
	if stalled, reason := f.condition(1, "Stalled"); stalled == "True" {
		return verdict(topo.Error, cmpOr(reason, "Stalled"))
	}
	if reconciling, reason := f.condition(1, "Reconciling"); reconciling == "True" || f.behind() {
		return verdict(topo.Progressing, reason)
	}
	for _, name := range []string{"Ready", "Available", "Healthy", "Established", "Accepted"} {
		switch status, reason := f.condition(1, name); status {
		case "True":
			return verdict(topo.OK, name)
		case "False":
			return verdict(topo.Progressing, cmpOr(reason, "Not"+name))
		case "Unknown":
			return verdict(topo.Unknown, reason)
		}
	}
	return verdict(topo.Unknown, "")
}
