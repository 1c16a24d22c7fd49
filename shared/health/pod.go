package health

import (
	"slices"
	"strconv"

	"github.com/kubilitics/kubilitics/shared/topo"
)

// The groups of a Pod, after the common one. The fields of container statuses are the same for both lists.
var statusFields = []string{
	"ready", "restartCount", "state.waiting.reason", "state.terminated.reason", "state.terminated.exitCode", "state.terminated.signal",
	"state.running.startedAt", "started", "name",
}

var podGroups = []Group{
	{Path: "", Fields: []string{"status.phase", "status.reason", "spec.nodeName", "status.podIP", "status.qosClass"}},
	{Path: "status.initContainerStatuses[*]", Fields: statusFields},
	{Path: "status.containerStatuses[*]", Fields: statusFields},
	{Path: "spec.initContainers[*]", Fields: []string{"name", "restartPolicy"}},
	{Path: "spec.containers[*]", Fields: []string{"image"}},
	conditions,
}

const (
	ofPod = iota + 1
	ofInitStatuses
	ofStatuses
	ofInits
	ofContainers
	ofPodConditions
)

// container is one element of a list of container statuses.
type container []string

func (c container) ready() bool              { return c[0] == "true" }
func (c container) restarts() int            { n, _ := strconv.Atoi(c[1]); return n }
func (c container) waiting() string          { return c[2] }
func (c container) terminatedReason() string { return c[3] }
func (c container) terminated() bool         { return c[4] != "" }
func (c container) succeeded() bool          { return c[4] == "0" }
func (c container) running() bool            { return c[6] != "" }
func (c container) started() bool            { return c[7] == "true" }
func (c container) name() string             { return c[8] }

// end words how a container ended, as kubectl does.
func (c container) end() string {
	switch {
	case c.terminatedReason() != "":
		return c.terminatedReason()
	case c[5] != "" && c[5] != "0":
		return "Signal:" + c[5]
	default:
		return "ExitCode:" + c[4]
	}
}

// hopeless are reasons to wait that don't pass by themselves.
var hopeless = []string{
	"CrashLoopBackOff", "ImagePullBackOff", "ErrImagePull", "ErrImageNeverPull", "InvalidImageName", "CreateContainerConfigError",
	"CreateContainerError", "RunContainerError", "ImageInspectError", "RegistryUnavailable",
}

// pod judges as kubectl's printer words it.
func pod(f Facts) Verdict {
	status, initializing := f.initStatus()
	initialized, _ := f.condition(ofPodConditions, "Initialized")
	if !initializing || initialized == "True" {
		status = f.mainStatus(status)
	}
	if f.value(0, 0) != "" {
		status = deleted(status, f.value(ofPod, 1), f.value(ofPod, 0))
	}
	ready, total := f.readiness()
	v := Verdict{Health: f.podHealth(status, ready, total), Status: status}
	v.Attrs = pairs("images", joined(f.items(ofContainers), 0), "ip", f.value(ofPod, 3), "node", f.value(ofPod, 2),
		"ready", strconv.Itoa(ready)+"/"+strconv.Itoa(total), "restarts", strconv.Itoa(f.restarts()))
	return v
}

func deleted(status, reason, phase string) string {
	switch {
	case reason == "NodeLost":
		return "Unknown"
	case phase == "Succeeded" || phase == "Failed":
		return status
	default:
		return "Terminating"
	}
}

// sidecar tells an init container that goes on running beside the others.
func (f Facts) sidecar(name string) bool {
	for _, c := range f.items(ofInits) {
		if c[0] == name {
			return c[1] == "Always"
		}
	}
	return false
}

func (f Facts) initStatus() (status string, initializing bool) {
	status = cmpOr(f.value(ofPod, 1), f.value(ofPod, 0))
	if gated, reason := f.condition(ofPodConditions, "PodScheduled"); gated == "False" && reason == "SchedulingGated" {
		status = reason
	}
	for i, raw := range f.items(ofInitStatuses) {
		c := container(raw)
		switch {
		case c.terminated() && c.succeeded(), f.sidecar(c.name()) && c.started():
			continue
		case c.terminated():
			return "Init:" + c.end(), true
		case c.waiting() != "" && c.waiting() != "PodInitializing":
			return "Init:" + c.waiting(), true
		default:
			return "Init:" + strconv.Itoa(i) + "/" + strconv.Itoa(len(f.items(ofInits))), true
		}
	}
	return status, false
}

func (f Facts) mainStatus(status string) string {
	running := false
	for _, raw := range slices.Backward(f.items(ofStatuses)) {
		c := container(raw)
		switch {
		case c.waiting() != "":
			status = c.waiting()
		case c.terminated():
			status = c.end()
		case c.ready() && c.running():
			running = true
		}
	}
	if status == "Completed" && running {
		if ready, _ := f.condition(ofPodConditions, "Ready"); ready == "True" {
			return "Running"
		}
		return "NotReady"
	}
	return status
}

func (f Facts) readiness() (ready, total int) {
	total = len(f.items(ofContainers))
	for _, raw := range f.items(ofStatuses) {
		if c := container(raw); c.ready() && c.running() {
			ready++
		}
	}
	for _, c := range f.items(ofInits) {
		if c[1] == "Always" {
			total++
		}
	}
	for _, raw := range f.items(ofInitStatuses) {
		if c := container(raw); f.sidecar(c.name()) && c.ready() {
			ready++
		}
	}
	return ready, total
}

func (f Facts) restarts() int {
	n := 0
	for _, raw := range f.items(ofStatuses) {
		n += container(raw).restarts()
	}
	for _, raw := range f.items(ofInitStatuses) {
		if c := container(raw); f.sidecar(c.name()) {
			n += c.restarts()
		}
	}
	return n
}

func (f Facts) podHealth(status string, ready, total int) topo.Health {
	phase := f.value(ofPod, 0)
	switch {
	case status == "Terminating":
		return topo.Progressing
	case phase == "Succeeded":
		return topo.OK
	case phase == "Failed" || f.stuck():
		return topo.Error
	case phase == "Running" && ready >= total:
		return topo.OK
	case phase == "Running":
		return topo.Progressing
	case phase == "Pending":
		if scheduled, reason := f.condition(ofPodConditions, "PodScheduled"); scheduled == "False" && reason == "Unschedulable" {
			return topo.Warning
		}
		return topo.Progressing
	default:
		return topo.Unknown
	}
}

// stuck tells that a container waits for something that doesn't come by itself, or has ended badly.
func (f Facts) stuck() bool {
	for _, group := range []int{ofInitStatuses, ofStatuses} {
		for _, raw := range f.items(group) {
			c := container(raw)
			if slices.Contains(hopeless, c.waiting()) || c.terminated() && !c.succeeded() {
				return true
			}
		}
	}
	return false
}
