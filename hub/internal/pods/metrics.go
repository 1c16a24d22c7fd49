package pods

import (
	"context"
	"net/url"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/kubilitics/kubilitics/shared/fault"
)

// Amount is computing power and memory.
type Amount struct {
	CPU    float64 `json:"cpu" doc:"cores"`
	Memory float64 `json:"memory" doc:"bytes"`
}

// Usage is what something used over a time.
type Usage struct {
	Timestamp time.Time `json:"timestamp" doc:"the end of the time over which it was measured"`
	Window    float64   `json:"window" doc:"seconds over which it was measured"`
	Used      Amount    `json:"used"`
}

// NodeUsage is what a node uses.
type NodeUsage struct {
	Name string `json:"name"`
	Usage
	Allocatable *Amount `json:"allocatable,omitempty" doc:"what pods can have of the node, where it is known"`
}

// PodUsage is what a pod uses.
type PodUsage struct {
	Namespace string `json:"namespace"`
	Name      string `json:"name"`
	Usage
	Containers []ContainerUsage `json:"containers"`
}

// ContainerUsage is what a container of it uses.
type ContainerUsage struct {
	Name string `json:"name"`
	Used Amount `json:"used"`
}

// Cause is why there are no figures.
type Cause string

// The causes.
const (
	NotInstalled Cause = "not-installed" // the cluster has no metrics.k8s.io
	NotAnswering Cause = "unavailable"   // it has it, and it doesn't answer
	NotPermitted Cause = "forbidden"
	Offline      Cause = "offline" // the cluster
)

// Absence tells why there are no figures. It is an error only to those who ask for them.
type Absence struct {
	Cause  Cause
	Reason string // a sentence
}

const metricsGroup = "metrics.k8s.io"

// usage is the form in which metrics.k8s.io gives both.
type usage struct {
	metav1.ObjectMeta `json:"metadata"`
	Timestamp         metav1.Time         `json:"timestamp"`
	Window            metav1.Duration     `json:"window"`
	Usage             corev1.ResourceList `json:"usage"`
	Containers        []struct {
		Name  string              `json:"name"`
		Usage corev1.ResourceList `json:"usage"`
	} `json:"containers"`
}

type usages struct {
	Items []usage `json:"items"`
}

func amount(r corev1.ResourceList) Amount {
	return Amount{CPU: r.Cpu().AsApproximateFloat64(), Memory: r.Memory().AsApproximateFloat64()}
}

func (u *usage) measured(a Amount) Usage {
	return Usage{Timestamp: u.Timestamp.UTC(), Window: u.Window.Seconds(), Used: a}
}

// NodeMetrics are those of all nodes, with what they have if that is asked for, or why there are none.
func (p *Pods) NodeMetrics(ctx context.Context, where At, withAllocatable bool) ([]NodeUsage, *Absence, error) {
	c := p.client(where, "metrics")
	var list usages
	if absent, err := c.metrics(ctx, &list, nil, "nodes"); absent != nil || err != nil {
		return nil, absent, err
	}
	var has map[string]Amount
	if withAllocatable {
		has = c.allocatable(ctx)
	}
	out := make([]NodeUsage, 0, len(list.Items))
	for i := range list.Items {
		u := &list.Items[i]
		n := NodeUsage{Name: u.Name, Usage: u.measured(amount(u.Usage))}
		if a, ok := has[u.Name]; ok {
			n.Allocatable = &a
		}
		out = append(out, n)
	}
	return out, nil, nil
}

// allocatable is what nodes have; nil where that may not be known. Figures of use are worth having without.
func (c client) allocatable(ctx context.Context) map[string]Amount {
	var nodes struct {
		Items []struct {
			metav1.ObjectMeta `json:"metadata"`
			Status            struct {
				Allocatable corev1.ResourceList `json:"allocatable"`
			} `json:"status"`
		} `json:"items"`
	}
	if c.get(ctx, &nodes, nil, "api", "v1", "nodes") != nil {
		return nil
	}
	out := map[string]Amount{}
	for _, n := range nodes.Items {
		out[n.Name] = amount(n.Status.Allocatable)
	}
	return out
}

// PodMetrics are those of a namespace's pods, or of all where it is empty, or why there are none.
func (p *Pods) PodMetrics(ctx context.Context, where At, namespace, selector string) ([]PodUsage, *Absence, error) {
	var n names
	if n.selector("selector", selector); namespace != "" {
		n.label("namespace", namespace)
	}
	if err := n.err(); err != nil {
		return nil, nil, err
	}
	path := []string{"pods"}
	if namespace != "" {
		path = []string{"namespaces", namespace, "pods"}
	}
	q := url.Values{}
	if selector != "" {
		q.Set("labelSelector", selector)
	}
	var list usages
	if absent, err := p.client(where, "metrics").metrics(ctx, &list, q, path...); absent != nil || err != nil {
		return nil, absent, err
	}
	out := make([]PodUsage, 0, len(list.Items))
	for i := range list.Items {
		out = append(out, podUsage(&list.Items[i]))
	}
	return out, nil, nil
}

func podUsage(u *usage) PodUsage {
	p := PodUsage{Namespace: u.Namespace, Name: u.Name, Containers: []ContainerUsage{}}
	var sum Amount
	for _, c := range u.Containers {
		a := amount(c.Usage)
		sum.CPU += a.CPU
		sum.Memory += a.Memory
		p.Containers = append(p.Containers, ContainerUsage{Name: c.Name, Used: a})
	}
	p.Usage = u.measured(sum)
	return p
}

// metrics asks for figures.
func (c client) metrics(ctx context.Context, out *usages, q url.Values, path ...string) (*Absence, error) {
	err := c.get(ctx, out, q, api(metricsGroup, "v1beta1", path...)...)
	switch {
	case err == nil, ctx.Err() != nil:
		return nil, err
	case fault.Is(err, fault.NotFound):
		return &Absence{NotInstalled, "the cluster has no metrics.k8s.io: no metrics-server, nor anything in its place, is installed"}, nil
	case fault.Is(err, fault.Forbidden):
		return &Absence{NotPermitted, fault.Public(err).Message}, nil
	case fault.Is(err, fault.Unavailable):
		return c.silence(ctx, err), nil
	default:
		return nil, err
	}
}

// silence tells a cluster that can't be reached from one whose metrics can't.
func (c client) silence(ctx context.Context, err error) *Absence {
	var version struct{}
	if fault.Is(c.get(ctx, &version, nil, "version"), fault.Unavailable) {
		return &Absence{Offline, fault.Public(err).Message}
	}
	return &Absence{NotAnswering, "metrics.k8s.io is installed in the cluster, and doesn't answer: " + fault.Public(err).Message}
}
