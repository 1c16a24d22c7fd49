package pods

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/types"

	"github.com/kubilitics/kubilitics/hub/internal/fleet"
	"github.com/kubilitics/kubilitics/hub/internal/kubeproxy"
	"github.com/kubilitics/kubilitics/shared/fault"
	"github.com/kubilitics/kubilitics/shared/kube"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// town stands in for a cluster: it has pods that can be got, listed and watched, and logs as kubelets give them: times of nanoseconds, "since" of whole
// seconds, a followed log that ends with its container's run.
type town struct {
	t       testing.TB
	server  *httptest.Server
	version atomic.Int64
	sent    atomic.Int64 // bytes of logs
	open    atomic.Int64 // logs that are being served

	mu      sync.Mutex
	pods    map[string]*corev1.Pod
	logs    map[string][]*run // of "pod/container"
	refuse  map[string]error  // logs of "pod/container"
	rings   chan struct{}     // closed at each change
	changes []change
	other   http.HandlerFunc // what isn't served here
}

type change struct {
	version int64
	kind    string
	pod     corev1.Pod
}

// run is a container's from its start to its end.
type run struct {
	lines []string // with times
	ended bool
	cuts  int // of whoever reads it
}

func newTown(t testing.TB) *town {
	v := &town{t: t, pods: map[string]*corev1.Pod{}, logs: map[string][]*run{}, refuse: map[string]error{}, rings: make(chan struct{})}
	v.server = httptest.NewServer(v)
	t.Cleanup(v.server.Close)
	return v
}

// Transport leads to the town.
func (v *town) Transport(kubeproxy.Caller, fleet.ClusterID) http.RoundTripper {
	own := http.DefaultTransport.(*http.Transport).Clone()
	own.DisableKeepAlives = true
	host, _ := url.Parse(v.server.URL)
	return through(func(r *http.Request) (*http.Response, error) {
		if _, err := kube.Parse(r); err != nil {
			v.t.Errorf("%s: %v", r.URL, err)
		}
		r = r.Clone(r.Context())
		r.URL.Host = host.Host
		return own.RoundTrip(r)
	})
}

type through func(*http.Request) (*http.Response, error)

func (f through) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

// service is the package over the town, impatient.
func (v *town) service(change ...func(*Config)) *Pods {
	cfg := Config{Kube: v, Pause: 20 * time.Millisecond, Window: 100 * time.Millisecond}
	for _, f := range change {
		f(&cfg)
	}
	return New(cfg)
}

// ring tells whoever waits that something has changed; mu is held.
func (v *town) ring() {
	close(v.rings)
	v.rings = make(chan struct{})
}

// pod adds one that runs containers, or changes it.
func (v *town) pod(name string, edit func(*corev1.Pod), containers ...string) {
	v.mu.Lock()
	defer v.mu.Unlock()
	p, kind := v.pods[name], "MODIFIED"
	if p == nil {
		kind = "ADDED"
		p = &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: name, UID: types.UID(fmt.Sprint("uid-", v.version.Load(), name)), Labels: map[string]string{"app": "web"}}}
		p.Spec.RestartPolicy = corev1.RestartPolicyAlways
		for _, c := range containers {
			p.Spec.Containers = append(p.Spec.Containers, corev1.Container{Name: c})
			p.Status.ContainerStatuses = append(p.Status.ContainerStatuses, corev1.ContainerStatus{Name: c, State: corev1.ContainerState{Running: &corev1.ContainerStateRunning{}}})
			v.logs[name+"/"+c] = []*run{{}}
		}
	}
	if edit != nil {
		edit(p)
	}
	v.pods[name] = p
	v.changed(kind, p)
}

func (v *town) changed(kind string, p *corev1.Pod) {
	n := v.version.Add(1)
	p.ResourceVersion = strconv.FormatInt(n, 10)
	v.changes = append(v.changes, change{n, kind, *p.DeepCopy()})
	v.ring()
}

func (v *town) remove(name string) {
	v.mu.Lock()
	defer v.mu.Unlock()
	p := v.pods[name]
	delete(v.pods, name)
	for _, c := range p.Spec.Containers {
		v.last(name + "/" + c.Name).ended = true
	}
	v.changed("DELETED", p)
}

func (v *town) last(log string) *run { return v.logs[log][len(v.logs[log])-1] }

// line adds to a log, at so many nanoseconds after a certain second.
func (v *town) line(log string, nanos int, text string) {
	v.mu.Lock()
	defer v.mu.Unlock()
	r := v.last(log)
	r.lines = append(r.lines, when(nanos).Format("2006-01-02T15:04:05.000000000Z07:00")+" "+text)
	v.ring()
}

func when(nanos int) time.Time { return time.Date(2026, 3, 1, 10, 0, 0, nanos, time.UTC) }

// cut breaks off whoever reads a log.
func (v *town) cut(log string) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.last(log).cuts++
	v.ring()
}

// restart ends a run and begins the next.
func (v *town) restart(pod, container string) {
	v.mu.Lock()
	log := pod + "/" + container
	v.last(log).ended = true
	v.logs[log] = append(v.logs[log], &run{})
	v.mu.Unlock()
	v.pod(pod, func(p *corev1.Pod) {
		for i := range p.Status.ContainerStatuses {
			if s := &p.Status.ContainerStatuses[i]; s.Name == container {
				s.RestartCount++
				s.LastTerminationState.Terminated = &corev1.ContainerStateTerminated{ExitCode: 1}
			}
		}
	})
}

func (v *town) refuses(log string, err error) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.refuse[log] = err
}

func (v *town) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	rest, ok := strings.CutPrefix(r.URL.Path, "/api/v1/namespaces/shop/pods")
	parts := strings.Split(rest, "/")
	switch {
	case !ok || len(parts) > 2 && parts[2] != "log":
		if v.other == nil {
			kube.WriteStatus(w, fault.New(fault.NotFound, "the server could not find the requested resource"))
			return
		}
		v.other(w, r)
	case len(parts) == 1 && r.URL.Query().Get("watch") != "":
		v.watch(w, r)
	case len(parts) == 1:
		v.list(w, r)
	case len(parts) == 2:
		v.get(w, parts[1])
	default:
		v.log(w, r, parts[1])
	}
}

func (v *town) get(w http.ResponseWriter, name string) {
	v.mu.Lock()
	defer v.mu.Unlock()
	if p := v.pods[name]; p != nil {
		_ = json.NewEncoder(w).Encode(p)
		return
	}
	kube.WriteStatus(w, fault.New(fault.NotFound, "pods %q not found", name))
}

func (v *town) list(w http.ResponseWriter, r *http.Request) {
	v.mu.Lock()
	defer v.mu.Unlock()
	which, _ := labels.Parse(r.URL.Query().Get("labelSelector"))
	l := corev1.PodList{ListMeta: metav1.ListMeta{ResourceVersion: strconv.FormatInt(v.version.Load(), 10)}}
	for _, p := range v.pods {
		if which.Matches(labels.Set(p.Labels)) {
			l.Items = append(l.Items, *p)
		}
	}
	_ = json.NewEncoder(w).Encode(l)
}

func (v *town) watch(w http.ResponseWriter, r *http.Request) {
	from, _ := strconv.ParseInt(r.URL.Query().Get("resourceVersion"), 10, 64)
	_ = http.NewResponseController(w).Flush()
	for {
		v.mu.Lock()
		news := slices.DeleteFunc(slices.Clone(v.changes), func(c change) bool { return c.version <= from })
		bell := v.rings
		v.mu.Unlock()
		for _, c := range news {
			_ = json.NewEncoder(w).Encode(map[string]any{"type": c.kind, "object": c.pod})
			from = c.version
		}
		_ = http.NewResponseController(w).Flush()
		select {
		case <-bell:
		case <-r.Context().Done():
			return
		}
	}
}

// log serves one as a kubelet would.
func (v *town) log(w http.ResponseWriter, r *http.Request, pod string) {
	q := r.URL.Query()
	log := pod + "/" + q.Get("container")
	v.mu.Lock()
	runs, refused := v.logs[log], v.refuse[log]
	v.mu.Unlock()
	if refused != nil || len(runs) == 0 {
		if refused == nil {
			refused = fault.New(fault.BadRequest, "container %s is not valid for pod %s", q.Get("container"), pod)
		}
		kube.WriteStatus(w, refused)
		return
	}
	v.open.Add(1)
	defer v.open.Add(-1)
	current := runs[len(runs)-1]
	if q.Get("previous") != "" {
		current = runs[len(runs)-2]
	}
	v.serve(r.Context(), w, q, current)
}

func (v *town) serve(ctx context.Context, w http.ResponseWriter, q url.Values, of *run) {
	v.mu.Lock()
	next, cuts := first(of.lines, q), of.cuts
	v.mu.Unlock()
	for {
		v.mu.Lock()
		lines, ended, cut, bell := of.lines[min(next, len(of.lines)):], of.ended, of.cuts != cuts, v.rings
		v.mu.Unlock()
		for _, line := range lines {
			n, err := w.Write([]byte(line + "\n"))
			v.sent.Add(int64(n))
			if err != nil {
				return
			}
		}
		next += len(lines)
		if len(lines) > 0 { // like a kubelet, silent until the first line, headers included
			_ = http.NewResponseController(w).Flush()
		}
		if cut {
			panic(http.ErrAbortHandler)
		}
		if ended || q.Get("follow") == "" {
			return
		}
		select {
		case <-bell:
		case <-ctx.Done():
			return
		}
	}
}

// first is the number of the first line that is asked for.
func first(lines []string, q url.Values) int {
	from := 0
	if since, err := time.Parse(time.RFC3339, q.Get("sinceTime")); err == nil {
		if since.Nanosecond() != 0 {
			panic("Kubernetes would drop what is finer than seconds")
		}
		from = slices.IndexFunc(lines, func(l string) bool {
			at, _ := stamped([]byte(l))
			return !at.Before(since)
		})
		if from < 0 {
			from = len(lines)
		}
	}
	if tail, err := strconv.Atoi(q.Get("tailLines")); err == nil {
		from = max(from, len(lines)-tail)
	}
	return from
}

// at is a caller's, of no importance here.
var anybody = At{By: kubeproxy.Caller{Principal: fleet.Principal{Name: "ann"}}}

// reader takes a stream in, in the background of a test.
type reader struct {
	t   testing.TB
	l   *Logs
	all []Entry
}

func (v *town) read(p *Pods, q LogQuery) *reader {
	v.t.Helper()
	q.Namespace = "shop"
	l, err := p.Logs(v.t.Context(), anybody, q)
	if err != nil {
		v.t.Fatal(err)
	}
	v.t.Cleanup(l.Close)
	return &reader{t: v.t, l: l}
}

// until reads until enough says so.
func (r *reader) until(what string, enough func() bool) {
	r.t.Helper()
	ctx, cancel := context.WithTimeout(r.t.Context(), 10*time.Second)
	defer cancel()
	for !enough() {
		batch, err := r.l.Next(ctx)
		if err != nil {
			r.t.Fatalf("%s: %v, after %s", what, err, r)
		}
		r.all = append(r.all, batch...)
	}
}

func (r *reader) untilLine(text string) {
	r.t.Helper()
	r.until("line "+text, func() bool {
		return slices.ContainsFunc(r.all, func(e Entry) bool { return e.Kind == "" && e.Text == text })
	})
}

func (r *reader) untilNote(k Kind) {
	r.t.Helper()
	r.until("note "+string(k), func() bool { return slices.ContainsFunc(r.all, func(e Entry) bool { return e.Kind == k }) })
}

// toEnd reads all there is.
func (r *reader) toEnd() {
	r.t.Helper()
	ctx, cancel := context.WithTimeout(r.t.Context(), 10*time.Second)
	defer cancel()
	for {
		batch, err := r.l.Next(ctx)
		if err != nil {
			if err.Error() != "EOF" {
				r.t.Fatalf("%v, after %s", err, r)
			}
			return
		}
		r.all = append(r.all, batch...)
	}
}

// lines are the texts, in order.
func (r *reader) lines() string {
	var out []string
	for _, e := range r.all {
		if e.Kind == "" {
			out = append(out, e.Text)
		}
	}
	return strings.Join(out, " ")
}

// String is everything, for people.
func (r *reader) String() string {
	var b strings.Builder
	for _, e := range r.all {
		fmt.Fprintf(&b, "%s/%s %s%.80s\n", e.Pod, e.Container, e.Kind, e.Text)
	}
	return b.String()
}

func (r *reader) expect(want string) {
	r.t.Helper()
	if got := r.lines(); got != want {
		r.t.Errorf("lines:\n%s\nwant:\n%s", got, want)
	}
}
