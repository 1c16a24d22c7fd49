package health

import (
	"slices"
	"strconv"

	"github.com/kubilitics/kubilitics/shared/topo"
)

// The groups of a Pod. The fields of container statuses are the same for both lists.
var statusFields = []string{
	"ready", "restartCount", "state.waiting.reason", "state.terminated", "state.terminated.reason", "state.terminated.exitCode", "state.terminated.signal",
	"state.running", "started", "name",
}

var podGroups = []Group{
	{Path: "", Fields: []string{"status.phase", "status.reason", "spec.nodeName", "status.podIP"}},
	{Path: "status.initContainerStatuses[*]", Fields: statusFields},
	{Path: "status.containerStatuses[*]", Fields: statusFields},
	{Path: "spec.initContainers[*]", Fields: []string{"image", "name", "restartPolicy"}},
	{Path: "spec.containers[*]", Fields: []string{"image"}},
	{Path: "spec.ephemeralContainers[*]", Fields: []string{"image"}},
	{Path: "status.podIPs[*]", Fields: []string{"ip"}},
}

const (
	ofInitStatuses = ofSecond
	ofStatuses     = ofThird
	ofInits        = ofFourth
	ofContainers   = ofFifth
	ofEphemeral    = ofSixth
	ofPodIPs       = ofSixth + 1
)

// container is one element of a list of container statuses.
type container []string

func (c container) ready() bool      { return c[0] == "true" }
func (c container) restarts() int    { n, _ := strconv.Atoi(c[1]); return n }
func (c container) waiting() string  { return c[2] }
func (c container) terminated() bool { return c[3] != "" }
func (c container) succeeded() bool  { return c[5] == "0" || c[5] == "" }
func (c container) running() bool    { return c[7] != "" }
func (c container) started() bool    { return c[8] == "true" }
func (c container) name() string     { return c[9] }

// end words how a container ended, as kubectl does.
func (c container) end() string {
	switch {
	case c[4] != "":
		return c[4]
	case c[6] != "" && c[6] != "0":
		return "Signal:" + c[6]
	default:
		return "ExitCode:" + cmpOr(c[5], "0")
	}
}

// hopeless are reasons to wait that don't pass by themselves.
var hopeless = []string{
	"CrashLoopBackOff", "ImagePullBackOff", "ErrImagePull", "ErrImageNeverPull", "InvalidImageName", "CreateContainerConfigError",
	"CreateContainerError", "RunContainerError", "ImageInspectError", "RegistryUnavailable", "SignatureValidationFailed", "RROUnsupported", "ImageVolumeMountFailed",
	"PreCreateHookError", "PreStartHookError", "PostStartHookError",
}

// columns are what kubectl's list of Pods shows.
type columns struct {
	status                 string
	ready, total, restarts int
}

// pod judges as kubectl's printer words it.
func pod(f Facts) Verdict {
	c, initializing := f.initColumns()
	if !initializing || f.is("Initialized") {
		f.mainColumns(&c)
	}
	phase := f.own(0)
	health := f.podHealth(c.ready >= c.total)
	switch {
	case !f.deleted():
	case f.own(1) == nodeLost:
		c.status, health = "Unknown", topo.Unknown
	case phase == "Succeeded" || phase == "Failed":
		health = topo.Progressing // the word of how it ended outlives it
	default:
		c.status, health = "Terminating", topo.Progressing
	}
	return Verdict{Health: health, Status: c.status, deletion: true, Attrs: pairs(
		"images", sorted(f.items(ofContainers), f.items(ofInits), f.items(ofEphemeral)), "ip", cmpOr(joined(f.items(ofPodIPs)), f.own(3)), "node", f.own(2),
		"ready", ratio(c.ready, c.total), "restarts", strconv.Itoa(c.restarts))}
}

// nodeLost is the reason of Pods whose node is silent.
const nodeLost = "NodeLost"

// sidecar tells an init container that goes on running beside the others.
func (f Facts) sidecar(name string) bool {
	for _, c := range f.items(ofInits) {
		if c[1] == name {
			return c[2] == "Always"
		}
	}
	return false
}

// initColumns goes through the init containers up to the one that is at work, if any is.
func (f Facts) initColumns() (c columns, initializing bool) {
	c = columns{status: cmpOr(f.own(1), f.own(0)), total: len(f.items(ofContainers))}
	if _, reason := f.condition("PodScheduled"); reason == "SchedulingGated" {
		c.status = reason
	}
	for _, i := range f.items(ofInits) {
		if i[2] == "Always" {
			c.total++
		}
	}
	all := 0
	for i, raw := range f.items(ofInitStatuses) {
		at := container(raw)
		sidecar := f.sidecar(at.name())
		all += at.restarts()
		if sidecar {
			c.restarts += at.restarts()
		}
		switch {
		case at.terminated() && at.succeeded():
			continue
		case sidecar && at.started():
			if at.ready() {
				c.ready++
			}
			continue
		}
		c.status = "Init:" + at.initWord(i, len(f.items(ofInits)))
		if !f.is("Initialized") {
			c.restarts = all
		}
		return c, true
	}
	return c, false
}

func (c container) initWord(i, of int) string {
	switch {
	case c.terminated():
		return c.end()
	case c.waiting() != "" && c.waiting() != "PodInitializing":
		return c.waiting()
	default:
		return ratio(i, of)
	}
}

// mainColumns goes through the containers, of which the first that has something to say is heard.
func (f Facts) mainColumns(c *columns) {
	running, failure := false, ""
	for _, raw := range slices.Backward(f.items(ofStatuses)) {
		at := container(raw)
		c.restarts += at.restarts()
		switch {
		case at.waiting() != "":
			c.status = at.waiting()
		case at.terminated():
			c.status = at.end()
			if !at.succeeded() {
				failure = c.status
			}
		case at.ready() && at.running():
			running = true
			c.ready++
		}
	}
	switch {
	case c.status != "Completed":
	case running && f.is("Ready"):
		c.status = "Running"
	case failure != "":
		c.status = failure
	case running:
		c.status = "NotReady"
	}
}

func (f Facts) podHealth(whole bool) topo.Health {
	ready, _ := f.condition("Ready")
	scheduled, why := f.condition("PodScheduled")
	phase := f.own(0)
	switch {
	case phase == "Succeeded":
		return topo.OK
	case phase == "Failed":
		return topo.Error
	case f.own(1) == nodeLost, phase != "" && phase != "Pending" && phase != "Running":
		return topo.Unknown
	case phase == "Running" && (ready == "True" || ready == "" && whole && !f.stuck()):
		return topo.OK
	case f.stuck():
		return topo.Error
	case phase == "Pending" && scheduled == "False" && why == "Unschedulable":
		return topo.Warning
	default:
		return topo.Progressing
	}
}

// stuck tells that a container waits for something that doesn't come by itself, or has ended badly.
func (f Facts) stuck() bool {
	for _, group := range [...]int{ofInitStatuses, ofStatuses} {
		for _, raw := range f.items(group) {
			c := container(raw)
			if c.waiting() != "" && slices.Contains(hopeless, c.waiting()) || c.terminated() && !c.succeeded() {
				return true
			}
		}
	}
	return false
}
