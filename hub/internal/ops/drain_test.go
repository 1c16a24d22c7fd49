package ops

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	corev1 "k8s.io/api/core/v1"
	policyv1 "k8s.io/api/policy/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/kubilitics/kubilitics/hub/internal/query"
	"github.com/kubilitics/kubilitics/shared/fault"
	"github.com/kubilitics/kubilitics/shared/topo"
)

// pod makes a Pod; owner is "Kind.group/name" or "".
func pod(name, owner string, change ...func(*corev1.Pod)) corev1.Pod {
	p := corev1.Pod{ObjectMeta: metav1.ObjectMeta{Name: name, Namespace: "ns", UID: types.UID("uid-" + name)}, Status: corev1.PodStatus{Phase: corev1.PodRunning}}
	if kind, rest, ok := strings.Cut(owner, "/"); ok {
		p.OwnerReferences = []metav1.OwnerReference{{APIVersion: "apps/v1", Kind: kind, Name: rest, Controller: new(true)}}
	}
	for _, f := range change {
		f(&p)
	}
	return p
}

func emptyDir(p *corev1.Pod) {
	p.Spec.Volumes = append(p.Spec.Volumes, corev1.Volume{Name: "v", VolumeSource: corev1.VolumeSource{EmptyDir: &corev1.EmptyDirVolumeSource{}}})
}

func mirror(p *corev1.Pod) { p.Annotations = map[string]string{corev1.MirrorPodAnnotationKey: "x"} }

func ended(p *corev1.Pod) { p.Status.Phase = corev1.PodSucceeded }

func TestWhatADrainDoesWithAPod(t *testing.T) {
	daemons, data, force := DrainOptions{IgnoreDaemonSets: true}, DrainOptions{DeleteEmptyDirData: true}, DrainOptions{Force: true}
	for _, c := range []struct {
		name    string
		pod     corev1.Pod
		options DrainOptions
		want    string
	}{
		{"of a ReplicaSet", pod("a", "ReplicaSet/x"), DrainOptions{}, ActionEvict},
		{"of a DaemonSet", pod("a", "DaemonSet/x"), DrainOptions{}, ActionRefuse},
		{"of a DaemonSet, ignored", pod("a", "DaemonSet/x", emptyDir), daemons, ActionSkip},
		{"of a file on the node", pod("a", "", mirror), DrainOptions{}, ActionSkip},
		{"with data", pod("a", "ReplicaSet/x", emptyDir), DrainOptions{}, ActionRefuse},
		{"with data that may go", pod("a", "ReplicaSet/x", emptyDir), data, ActionEvict},
		{"of nobody", pod("a", ""), DrainOptions{}, ActionRefuse},
		{"of nobody, forced", pod("a", ""), force, ActionEvict},
		{"of nobody, forced, with data", pod("a", "", emptyDir), force, ActionRefuse},
		{"at its end", pod("a", "DaemonSet/x", emptyDir, ended), DrainOptions{}, ActionEvict},
	} {
		p := c.options.plan(&c.pod)
		if p.Action != c.want || (p.Action != ActionEvict && p.Reason == "") {
			t.Errorf("%s: got %+v, want %s", c.name, p, c.want)
		}
	}
	if p := daemons.plan(new(pod("a", "ReplicaSet/x"))); *p.Owner != query.RefOf(topo.Ref{Group: "apps", Kind: "ReplicaSet", Namespace: "ns", Name: "x"}) {
		t.Errorf("got %+v", p.Owner)
	}
}

// drained is an API server with a node, whose Pods go a while after they are evicted.
type drained struct {
	*served
	mu      sync.Mutex
	pods    []corev1.Pod
	blocked map[string]int // how often a budget refuses yet; -1 for ever
	asked   []policyv1.Eviction
}

func node(t *testing.T, pods ...corev1.Pod) (*drained, *Target) {
	d := &drained{served: serve(), pods: pods, blocked: map[string]int{}}
	d.on("GET /api/v1/nodes/n1", says(corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: "n1"}}))
	d.on("PATCH /api/v1/nodes/n1", says(corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: "n1"}, Spec: corev1.NodeSpec{Unschedulable: true}}))
	d.on("GET /api/v1/pods", func(w http.ResponseWriter, r *http.Request) {
		d.mu.Lock()
		defer d.mu.Unlock()
		if r.URL.Query().Get("fieldSelector") != "spec.nodeName=n1" {
			t.Errorf("asked for %s", r.URL)
		}
		says(corev1.PodList{Items: slices.Clone(d.pods)})(w, r)
	})
	for _, p := range pods {
		d.on("POST /api/v1/namespaces/ns/pods/"+p.Name+"/eviction", d.evict)
	}
	return d, bare(t, d.served)
}

func (d *drained) evict(w http.ResponseWriter, r *http.Request) {
	var e policyv1.Eviction
	_ = json.NewDecoder(r.Body).Decode(&e)
	d.mu.Lock()
	defer d.mu.Unlock()
	d.asked = append(d.asked, e)
	if left := d.blocked[e.Name]; left != 0 {
		d.blocked[e.Name]--
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(http.StatusTooManyRequests)
		_ = json.NewEncoder(w).Encode(metav1.Status{
			TypeMeta: metav1.TypeMeta{Kind: "Status", APIVersion: "v1"}, Status: "Failure", Code: 429, Message: "it would violate the budget.",
			Details: &metav1.StatusDetails{Causes: []metav1.StatusCause{{Type: policyv1.DisruptionBudgetCause, Message: "The disruption budget b needs 1."}}},
		})
		return
	}
	d.pods = slices.DeleteFunc(d.pods, func(p corev1.Pod) bool { return p.Name == e.Name })
	says(metav1.Status{Status: "Success"})(w, r)
}

// drainSteps drains, and words the steps.
func drainSteps(t *testing.T, target *Target, o DrainOptions, quiet time.Duration, each func(DrainStep) error) (told []string, err error) {
	t.Helper()
	d, err := target.Drain(t.Context(), "n1", o)
	if err != nil {
		return nil, err
	}
	err = d.Run(t.Context(), quiet, func(s DrainStep) error {
		told = append(told, strings.TrimSpace(s.Step+" "+s.Pod+" "+s.Reason))
		if each != nil {
			return each(s)
		}
		return nil
	})
	return told, err
}

func TestADrainTellsItsSteps(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d, target := node(t, pod("a", "ReplicaSet/x"), pod("guarded", "ReplicaSet/x"), pod("daemon", "DaemonSet/x"))
		d.blocked["guarded"] = 3
		began := time.Now()
		told, err := drainSteps(t, target, DrainOptions{IgnoreDaemonSets: true, Grace: new(int64(7))}, 4*time.Second, nil)
		slices.Sort(told)
		want := []string{
			"blocked guarded it would violate the budget: The disruption budget b needs 1", "cordoned", "done", "evicted a", "evicted guarded", "evicting a", "evicting guarded",
			"skipped daemon its DaemonSet would only make it again here", "waiting", "waiting", "waiting",
		}
		if err != nil || !slices.Equal(told, want) {
			t.Errorf("got %q, %v", told, err)
		}
		if took := time.Since(began); took < 15*time.Second || took > 16*time.Second { // three times five seconds, and the next look
			t.Errorf("took %s", took)
		}
		for _, e := range d.asked {
			if e.APIVersion != "policy/v1" || *e.DeleteOptions.GracePeriodSeconds != 7 || *e.DeleteOptions.Preconditions.UID != types.UID("uid-"+e.Name) {
				t.Errorf("asked for %+v", e)
			}
		}
	})
}

func TestADrainThatMayNotHappen(t *testing.T) {
	d, target := node(t, pod("a", "ReplicaSet/x"), pod("lone", ""))
	_, err := drainSteps(t, target, DrainOptions{}, time.Second, nil)
	var f *fault.Error
	if !errors.As(err, &f) || f.Code != fault.Conflict || len(f.Fields) != 1 || f.Fields[0].Name != "ns/lone" || d.count("PATCH /api/v1/nodes/n1") != 0 {
		t.Errorf("got %v %+v", err, f)
	}
	if _, err := target.Drain(t.Context(), "n1", DrainOptions{PodSelector: "a in"}); !fault.Is(err, fault.BadRequest) {
		t.Errorf("got %v", err)
	}
	if _, err := target.Drain(t.Context(), "n2", DrainOptions{}); !fault.Is(err, fault.NotFound) {
		t.Errorf("got %v", err)
	}
}

// A drain ends with who listens to it, and with its time.
func TestADrainEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d, target := node(t, pod("guarded", "ReplicaSet/x"))
		d.blocked["guarded"] = -1
		gone := errors.New("gone")
		told, err := drainSteps(t, target, DrainOptions{}, time.Hour, func(s DrainStep) error {
			if s.Step == StepBlocked {
				return gone
			}
			return nil
		})
		if !errors.Is(err, gone) || len(d.asked) != 1 {
			t.Errorf("got %v after %q and %d evictions", err, told, len(d.asked))
		}
		var last DrainStep
		told, err = drainSteps(t, target, DrainOptions{Timeout: 12 * time.Second}, time.Hour, func(s DrainStep) error {
			last = s
			return nil
		})
		if err != nil || last.Step != StepDone || *last.Drained || last.Failed != 1 || !slices.Contains(told, "failed guarded the time was over before it was gone") {
			t.Errorf("got %+v, %v after %q", last, err, told)
		}
		drain, err := target.Drain(t.Context(), "n1", DrainOptions{})
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		if err := drain.Run(ctx, time.Hour, func(DrainStep) error { return nil }); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("got %v", err)
		}
	})
}

func TestADrainPastBudgetsAndADryOne(t *testing.T) {
	d, target := node(t, pod("a", "ReplicaSet/x"))
	d.blocked["a"] = -1
	told, err := drainSteps(t, target, DrainOptions{DryRun: true}, time.Hour, nil)
	if err != nil || !slices.ContainsFunc(told, func(s string) bool { return strings.HasPrefix(s, "failed a it would violate") }) || len(d.asked[0].DeleteOptions.DryRun) != 1 {
		t.Errorf("got %q, %v", told, err)
	}
	d.on("DELETE /api/v1/namespaces/ns/pods/a", func(w http.ResponseWriter, r *http.Request) {
		d.mu.Lock()
		d.pods = nil
		d.mu.Unlock()
		says(metav1.Status{Status: "Success"})(w, r)
	})
	told, err = drainSteps(t, target, DrainOptions{DisableEviction: true}, time.Hour, nil)
	if err != nil || told[len(told)-2] != "evicted a" {
		t.Errorf("got %q, %v", told, err)
	}
}
