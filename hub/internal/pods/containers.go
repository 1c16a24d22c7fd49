package pods

import (
	"slices"

	corev1 "k8s.io/api/core/v1"
)

// container is what logs need to know of a container and how it is.
type container struct {
	name     string
	kind     containerKind
	restarts corev1.RestartPolicy // its own, or its pod's
	sidecar  bool                 // begins before the others and goes on beside them
	status   *corev1.ContainerStatus
}

type containerKind int

const (
	regular containerKind = iota
	initial
	ephemeral
)

// defaultContainer is the annotation by which a pod says which of its containers people mean.
const defaultContainer = "kubectl.kubernetes.io/default-container"

// containersOf lists a pod's containers: those that run before it, its own, those added for debugging.
func containersOf(p *corev1.Pod) []container {
	var out []container
	add := func(c container, own *corev1.ContainerRestartPolicy, states []corev1.ContainerStatus) {
		if c.restarts == "" {
			c.restarts = p.Spec.RestartPolicy
		}
		if own != nil {
			c.restarts = corev1.RestartPolicy(*own)
			c.sidecar = c.kind == initial && *own == corev1.ContainerRestartPolicyAlways
		}
		if i := slices.IndexFunc(states, func(s corev1.ContainerStatus) bool { return s.Name == c.name }); i >= 0 {
			c.status = &states[i]
		}
		out = append(out, c)
	}
	for _, c := range p.Spec.InitContainers {
		add(container{name: c.Name, kind: initial}, c.RestartPolicy, p.Status.InitContainerStatuses)
	}
	for _, c := range p.Spec.Containers {
		add(container{name: c.Name, kind: regular}, c.RestartPolicy, p.Status.ContainerStatuses)
	}
	for _, c := range p.Spec.EphemeralContainers {
		add(container{name: c.Name, kind: ephemeral, restarts: corev1.RestartPolicyNever}, nil, p.Status.EphemeralContainerStatuses)
	}
	return out
}

// wanted are the containers that a question is about: those it names, or all, or the one that the pod says people mean, or those that are no
// one's helpers.
func (q *LogQuery) wanted(p *corev1.Pod) []container {
	all := containersOf(p)
	named := q.Containers
	if usual := p.Annotations[defaultContainer]; len(named) == 0 && usual != "" && !q.AllContainers &&
		slices.ContainsFunc(all, func(c container) bool { return c.name == usual }) {
		named = []string{usual}
	}
	return slices.DeleteFunc(all, func(c container) bool {
		switch {
		case q.AllContainers:
			return false
		case len(named) > 0:
			return !slices.Contains(named, c.name)
		default:
			return c.kind != regular
		}
	})
}

// speaks tells that there is a log.
func (c container) speaks() bool {
	s := c.status
	return s != nil && (s.State.Running != nil || s.State.Terminated != nil || s.LastTerminationState.Terminated != nil || s.RestartCount > 0)
}

// spoke tells that there is a log of a run before this one.
func (c container) spoke() bool {
	return c.status != nil && (c.status.RestartCount > 0 || c.status.LastTerminationState.Terminated != nil)
}

func (c container) restartCount() int32 {
	if c.status == nil {
		return 0
	}
	return c.status.RestartCount
}

// silent tells that no more will come: it has ended and isn't started again.
func (c container) silent(p *corev1.Pod) bool {
	if p.Status.Phase == corev1.PodSucceeded || p.Status.Phase == corev1.PodFailed {
		return true
	}
	if c.status == nil || c.status.State.Terminated == nil {
		return false
	}
	well := c.status.State.Terminated.ExitCode == 0
	switch {
	case p.DeletionTimestamp != nil || c.restarts == corev1.RestartPolicyNever:
		return true
	case c.kind == initial && !c.sidecar:
		return well
	default:
		return well && c.restarts == corev1.RestartPolicyOnFailure
	}
}
