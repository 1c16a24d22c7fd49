package pods

import (
	"net/url"
	"slices"
	"strconv"
	"time"

	"github.com/kubilitics/kubilitics/shared/fault"
)

// LogQuery says whose logs, and what of them. Exactly one of Pod, Selector and Owner says whose.
type LogQuery struct {
	Namespace string
	Pod       string
	Selector  string // of pods' labels
	Owner     *Owner

	Containers    []string // none: the one that the pod says people mean, or all that are neither run before the others nor added for debugging
	AllContainers bool

	Follow     bool
	Previous   bool          // of the run before the last restart
	Tail       *int64        // lines of each container at the end of what there is
	Since      time.Duration // by the clock of the node
	SinceTime  time.Time
	After      time.Time // nothing of this instant or before; for who had everything up to it
	LimitBytes int64     // of each container, times included; 0 is no limit
}

func (q *LogQuery) check() error {
	var n names
	n.label("namespace", q.Namespace)
	ways := 0
	for _, given := range []bool{q.Pod != "", q.Selector != "", q.Owner != nil} {
		if given {
			ways++
		}
	}
	if ways != 1 {
		n.wrong("pod", "one of pod, selector and owner must say whose logs are meant, and only one")
	}
	if q.Pod != "" {
		n.object("pod", q.Pod)
	}
	if q.Owner != nil {
		n.object("owner", q.Owner.Name)
	}
	n.selector("selector", q.Selector)
	q.checkExtent(&n)
	return n.err()
}

func (q *LogQuery) checkExtent(n *names) {
	for _, c := range q.Containers {
		n.label("container", c)
	}
	if len(q.Containers) > 0 && q.AllContainers {
		n.wrong("allContainers", "can't be together with container")
	}
	if q.Previous && q.Follow {
		n.wrong("previous", "what has ended can't be followed")
	}
	if q.Tail != nil && *q.Tail < 0 {
		n.wrong("tail", "must not be negative")
	}
	if q.Since < 0 || q.Since > 0 && !q.SinceTime.IsZero() {
		n.wrong("since", "must be a time that has passed")
	}
	if q.LimitBytes < 0 {
		n.wrong("limitBytes", "must not be negative")
	}
}

// options are the parameters of a first request for a container's log.
func (q *LogQuery) options(container string) url.Values {
	v := url.Values{"container": {container}, "timestamps": {"true"}}
	if q.Follow {
		v.Set("follow", "true")
	}
	if q.Previous {
		v.Set("previous", "true")
	}
	if q.Tail != nil {
		v.Set("tailLines", strconv.FormatInt(*q.Tail, 10))
	}
	switch {
	case !q.After.IsZero():
		v.Set("sinceTime", wholeSecond(q.After))
		v.Del("tailLines") // everything after it
	case q.Since > 0:
		v.Set("sinceSeconds", seconds(q.Since))
	case !q.SinceTime.IsZero():
		v.Set("sinceTime", wholeSecond(q.SinceTime))
	}
	if q.LimitBytes > 0 {
		v.Set("limitBytes", strconv.FormatInt(q.LimitBytes, 10))
	}
	return v
}

// wholeSecond is as fine as Kubernetes takes an instant.
func wholeSecond(t time.Time) string { return t.UTC().Truncate(time.Second).Format(time.RFC3339) }

// seconds rounds up: rather a line too many than one too few.
func seconds(d time.Duration) string {
	return strconv.FormatInt(int64((d+time.Second-1)/time.Second), 10)
}

// nothing says that no container is meant by a question, and which there would be.
func (q *LogQuery) nothing(there []string) error {
	if len(there) == 0 {
		return fault.New(fault.NotFound, "no pod in namespace %q is meant by what was asked for", q.Namespace)
	}
	slices.Sort(there)
	return fault.New(fault.NotFound, "none of these pods has such a container; there are %v", slices.Compact(there))
}
