package e2e

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
)

// What people plug in: an enricher and a notifier that are programs of their own, a webhook, and one that nobody answers.
func TestPlugins(t *testing.T) {
	eachStore(t, func(t *testing.T, db *database) {
		p := plug(t, db)
		t.Run("a wrong checksum", p.refused)
		t.Run("what is added", p.added)
		t.Run("what is told", p.told)
		t.Run("what is not delivered", p.undelivered)
		t.Run("a plugin that is killed", p.killed)
		t.Run("another start", p.restarted)
	})
}

const (
	hmacKey = "a-key-for-signatures"
	center  = "tide"
)

// plugged is a rig whose hub has plugins and somebody to tell, and a namespace of the test's own in eu.
type plugged struct {
	*rig
	m         *member
	at        string // root of the cluster's paths
	namespace string
	sink      *sink
	console   string // the file to which the console plugin writes
	config    string // the hub's configuration file
	unhealthy string // the Pod that is told of
}

// examplePlugins are built once for all tests.
var examplePlugins = sync.OnceValues(func() (map[string]string, error) {
	dir := filepath.Join(world.dir, "plugins")
	sums := map[string]string{}
	for _, name := range []string{"costs", "console"} {
		path := filepath.Join(dir, name)
		if out, err := exec.Command("go", "build", "-trimpath", "-o", path, "./testdata/plugins/"+name).CombinedOutput(); err != nil {
			return nil, fmt.Errorf("%w\n%s", err, out)
		}
		program, err := os.ReadFile(path)
		if err != nil {
			return nil, err
		}
		sum := sha256.Sum256(program)
		sums[path] = hex.EncodeToString(sum[:])
	}
	return sums, nil
})

func plug(t *testing.T, db *database) *plugged {
	p := &plugged{namespace: "plugins-" + db.tag, sink: newSink(t), console: filepath.Join(t.TempDir(), "console.jsonl"), config: filepath.Join(t.TempDir(), "kubilitics-hub.yaml")}
	p.configure(t, strings.Repeat("0", 64))
	p.deploy(t, world.eu)
	p.rig = start(t, db, "--config", p.config)
	p.m = p.join(t, world.eu, world.eu.agent)
	p.live(t, p.m)
	p.at = "/api/v1/clusters/" + p.m.id
	return p
}

// configure writes the hub's configuration. The plugin "second" is costs again, by another checksum.
func (p *plugged) configure(t *testing.T, second string) {
	t.Helper()
	sums, err := examplePlugins()
	if err != nil {
		t.Fatal(err)
	}
	dir := filepath.Join(world.dir, "plugins")
	costs, console := filepath.Join(dir, "costs"), filepath.Join(dir, "console")
	key := filepath.Join(filepath.Dir(p.config), "hmac")
	text := fmt.Sprintf(`
plugins:
- {name: costs, as: enricher, path: %[1]s, sha256: %[2]s, tenants: [default]}
- {name: console, as: notifier, path: %[3]s, sha256: %[4]s, args: [%[5]s], tenants: [default]}
- {name: second, as: enricher, path: %[1]s, sha256: %[6]q, tenants: ["*"]}
notify:
  targets:
  - {name: ops, as: webhook, url: "%[7]s/ops", secret-file: %[8]s}
  - {name: pager, as: plugin, plugin: console}
  - {name: down, as: webhook, url: "%[7]s/down", secret-file: %[8]s, attempts: 2}
  rules:
  - {name: errors, to: [ops, pager, down], tenants: [default], kinds: [Pod], namespaces: ["%[9]s"], clusters: [eu-*], becomes: [error], window: 100ms}
  - {name: costs, to: [ops], tenants: [default], on: [finding], plugins: [costs], namespaces: ["%[9]s"], severity: warning, window: 100ms}
`, costs, sums[costs], console, sums[console], p.console, second, p.sink.URL, key, p.namespace)
	for path, content := range map[string]string{p.config: text, key: hmacKey + "\n"} {
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

// deploy runs a Pod that somebody pays for, by a Deployment that nobody does.
func (p *plugged) deploy(t *testing.T, c *cluster) {
	t.Helper()
	labels := map[string]string{"app": "till", "cost-center": center}
	objects := c.client.CoreV1()
	_, err := objects.Namespaces().Create(t.Context(), &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: p.namespace}}, metav1.CreateOptions{})
	if err == nil {
		_, err = objects.ConfigMaps(p.namespace).Create(t.Context(), &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: "cost-center-" + center}}, metav1.CreateOptions{})
	}
	if err == nil {
		_, err = c.client.AppsV1().Deployments(p.namespace).Create(t.Context(), &appsv1.Deployment{
			ObjectMeta: metav1.ObjectMeta{Name: "till"},
			Spec: appsv1.DeploymentSpec{Selector: &metav1.LabelSelector{MatchLabels: map[string]string{"app": "till"}}, Template: corev1.PodTemplateSpec{
				ObjectMeta: metav1.ObjectMeta{Labels: labels}, Spec: corev1.PodSpec{Containers: []corev1.Container{{Name: "till", Image: "registry.tidewater.example/till:1"}}},
			}},
		}, metav1.CreateOptions{})
	}
	if err != nil {
		t.Fatal(err)
	}
}

// sink is the webhooks' other end. /ops fails once and accepts from then on; /down fails until it is told to be up.
type sink struct {
	*httptest.Server
	t      *testing.T
	mu     sync.Mutex
	up     bool
	failed []string // keys that were refused, by path: "/ops KEY"
	got    []told
}

// told is a notification that was accepted.
type told struct {
	Path, Key, Tenant, Rule string
	Changes                 []struct {
		Kind, Namespace, Name, What, From, To, Status string
		ClusterName                                   string
		Finding                                       *struct{ Plugin, Code string }
	}
}

func newSink(t *testing.T) *sink {
	s := &sink{t: t}
	s.Server = httptest.NewServer(s)
	t.Cleanup(s.Close)
	return s
}

func (s *sink) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	n := told{Path: r.URL.Path}
	if err == nil {
		err = json.Unmarshal(body, &n)
	}
	stamp := r.Header.Get("Kubilitics-Timestamp")
	mac := hmac.New(sha256.New, []byte(hmacKey))
	_, _ = fmt.Fprintf(mac, "%s.%s", stamp, body) // a hash takes everything
	if err != nil || stamp == "" || r.Header.Get("Kubilitics-Signature") != "v1="+hex.EncodeToString(mac.Sum(nil)) || r.Header.Get("Idempotency-Key") != n.Key {
		s.t.Errorf("%v: %s with the headers %v", err, body, r.Header)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if n.Path == "/down" && !s.up || n.Path == "/ops" && len(s.refusals("/ops")) == 0 {
		s.failed = append(s.failed, n.Path+" "+n.Key)
		w.WriteHeader(http.StatusInternalServerError)
		return
	}
	s.got = append(s.got, n)
}

// refusals are the keys refused at a path; the lock is held.
func (s *sink) refusals(path string) (keys []string) {
	for _, f := range s.failed {
		if key, ok := strings.CutPrefix(f, path+" "); ok {
			keys = append(keys, key)
		}
	}
	return keys
}

// accepted are the notifications of a rule that were accepted at a path, and the keys that had been refused there.
func (s *sink) accepted(path, rule string) (got []told, refused []string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, n := range s.got {
		if n.Path == path && n.Rule == rule {
			got = append(got, n)
		}
	}
	return got, s.refusals(path)
}

// setUp has /down accept from now on.
func (s *sink) setUp() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.up = true
}

type pluginStatus struct {
	Name, State, LastError, Says string
	PID, Restarts                int
	Nodes, Refused               int64
	Kinds                        []string
}

func (p *plugged) status(t *testing.T) map[string]pluginStatus {
	t.Helper()
	out := map[string]pluginStatus{}
	for _, s := range get[page[pluginStatus]](t, &p.hub.Client, "/api/v1/plugins").Items {
		out[s.Name] = s
	}
	return out
}

// runs waits until a plugin runs as it should.
func (p *plugged) runs(t *testing.T, name string, as func(pluginStatus) bool) (s pluginStatus) {
	t.Helper()
	eventually(t, "the plugin "+name+" runs", 30*time.Second, func() error {
		s = p.status(t)[name]
		if s.State != "running" || s.PID == 0 || !as(s) {
			return fmt.Errorf("its status is %+v", s)
		}
		return nil
	})
	return s
}

// refused: a program that isn't the one that was pinned is never run, and the hub serves nevertheless.
func (p *plugged) refused(t *testing.T) {
	eventually(t, "the plugin is refused", 30*time.Second, func() error {
		s := p.status(t)["second"]
		if s.State != "refused" || !strings.Contains(s.LastError, "isn't the one whose checksum is configured") || s.PID != 0 || s.Says != "" {
			return fmt.Errorf("its status is %+v", s)
		}
		return nil
	})
	p.runs(t, "costs", func(s pluginStatus) bool {
		return s.Says == "costs" && slices.Equal(s.Kinds, []string{"Pod", "Deployment.apps"})
	})
	p.runs(t, "console", func(s pluginStatus) bool { return s.Says == "console" })
}

type addition struct {
	Plugin   string
	Attrs    map[string]string
	Edges    []edge
	Findings []struct{ Sentence string }
}

// pod gives the newest Pod of the namespace that is so.
func (p *plugged) pod(t *testing.T, health string) (name string) {
	t.Helper()
	eventually(t, "a Pod is "+health, 30*time.Second, func() error {
		list := get[page[struct{ Name, Health string }]](t, &p.hub.Client, "/api/v1/resources?kind=Pod&cluster="+p.m.id+"&namespace="+p.namespace)
		for _, r := range list.Items {
			if r.Health == health {
				name = r.Name
				return nil
			}
		}
		return fmt.Errorf("the Pods are %+v", list.Items)
	})
	return name
}

// enriched waits for what costs says of a Pod.
func (p *plugged) enriched(t *testing.T, pod, want string) (by map[string]addition) {
	t.Helper()
	eventually(t, "the Pod is enriched", 30*time.Second, func() error {
		by = map[string]addition{}
		for _, a := range get[struct{ Plugins []addition }](t, &p.hub.Client, p.at+"/resources/-/-/pods/"+p.namespace+"/"+pod+"/added").Plugins {
			by[a.Plugin] = a
		}
		if by["costs"].Attrs["center"] != want {
			return fmt.Errorf("%s has %+v", pod, by)
		}
		return nil
	})
	return by
}

func (p *plugged) added(t *testing.T) {
	pod := p.pod(t, "ok")
	by := p.enriched(t, pod, center)
	if a := by["costs"]; len(by) != 1 || len(a.Edges) != 1 || a.Edges[0].Target.Name != "cost-center-"+center || a.Edges[0].Type != "references" || a.Edges[0].Source.Name != pod {
		t.Errorf("%s has %+v", pod, by)
	}
	type finding struct {
		Kind, Plugin, Severity, Sentence string
		Object                           named
	}
	var found []finding
	eventually(t, "the Deployment that nobody pays for is found", 30*time.Second, func() error {
		found = get[page[finding]](t, &p.hub.Client, "/api/v1/topology/findings?finding=plugin&cluster="+p.m.id+"&namespace="+p.namespace).Items
		if len(found) == 0 {
			return fmt.Errorf("nothing is")
		}
		return nil
	})
	if f := found[0]; len(found) != 1 || f.Plugin != "costs" || f.Severity != "warning" || f.Object.String() != "Deployment.apps "+p.namespace+"/till" {
		t.Errorf("found %+v", found)
	}
	eventually(t, "the finding is told", 30*time.Second, func() error {
		got, refused := p.sink.accepted("/ops", "costs")
		if len(got) == 0 {
			return fmt.Errorf("it was refused %q", refused)
		}
		if c := got[0].Changes; len(c) != 1 || c[0].What != "finding" || c[0].Name != "till" || c[0].Finding == nil || c[0].Finding.Code != "no-cost-center" || len(refused) != 1 || refused[0] != got[0].Key {
			t.Errorf("told were %+v, after %q", got, refused)
		}
		return nil
	})
	if s := p.status(t)["costs"]; s.Refused != 0 || s.Nodes < 2 {
		t.Errorf("its status is %+v", s)
	}
}

// told: the Deployment is given Pods that don't start; who is to know is told of the first, once each.
func (p *plugged) told(t *testing.T) {
	patch := `{"spec":{"template":{"metadata":{"annotations":{"simulate.kubilitics.dev/waiting":"CrashLoopBackOff"}}}}}`
	if _, err := world.eu.client.AppsV1().Deployments(p.namespace).Patch(t.Context(), "till", types.MergePatchType, []byte(patch), metav1.PatchOptions{}); err != nil {
		t.Fatal(err)
	}
	p.unhealthy = p.pod(t, "error")
	eventually(t, "the webhook and the plugin are told", 30*time.Second, func() error {
		if got, _ := p.sink.accepted("/ops", "errors"); len(got) == 0 || len(p.lines(t)) == 0 {
			return fmt.Errorf("the webhook got %+v, the plugin %q", got, p.lines(t))
		}
		return nil
	})
	p.once(t)
}

func (p *plugged) lines(t *testing.T) []string {
	t.Helper()
	text, err := os.ReadFile(p.console)
	if err != nil && !os.IsNotExist(err) {
		t.Fatal(err)
	}
	return slices.Collect(strings.Lines(string(text)))
}

// once looks whether the unhealthy Pod was told to each exactly once by now.
func (p *plugged) once(t *testing.T) {
	t.Helper()
	got, _ := p.sink.accepted("/ops", "errors")
	if len(got) != 1 || len(got[0].Changes) != 1 || got[0].Tenant != "default" {
		t.Fatalf("the webhook got %+v", got)
	}
	if c := got[0].Changes[0]; c.Name != p.unhealthy || c.Namespace != p.namespace || c.Kind != "Pod" || c.What != "health" || c.To != "error" || c.From == "error" ||
		!strings.Contains(c.Status, "CrashLoopBackOff") || c.ClusterName != p.m.name {
		t.Errorf("the webhook got %+v", c)
	}
	lines := p.lines(t)
	var line struct {
		Rule    string
		Changes []struct{ Ref struct{ Name string } }
	}
	if len(lines) != 1 || json.Unmarshal([]byte(lines[0]), &line) != nil || line.Rule != "errors" || len(line.Changes) != 1 || line.Changes[0].Ref.Name != p.unhealthy {
		t.Errorf("the plugin got %q", lines)
	}
}

const letters = "/api/v1/notify/dead-letters"

type letter struct {
	ID, Target, Rule, Key, Reason string
	Attempts                      int
	Notification                  told
}

func (p *plugged) undelivered(t *testing.T) {
	var list []letter
	eventually(t, "what can't be delivered is put on the list", 30*time.Second, func() error {
		if list = get[page[letter]](t, &p.hub.Client, letters).Items; len(list) == 0 {
			return fmt.Errorf("it is empty")
		}
		return nil
	})
	_, refused := p.sink.accepted("/down", "errors")
	l := list[0]
	if len(list) != 1 || l.Target != "down" || l.Rule != "errors" || l.Attempts != 2 || l.Reason == "" || !slices.Equal(refused, []string{l.Key, l.Key}) {
		t.Fatalf("the list is %+v, refused were %q", list, refused)
	}
	at := letters + "/" + l.ID
	if one := get[letter](t, &p.hub.Client, at); len(one.Notification.Changes) != 1 || one.Notification.Changes[0].Name != p.unhealthy {
		t.Errorf("on the list is %+v", one)
	}
	retry := func() error { return p.hub.Do(t.Context(), http.MethodPost, at+"/retry", nil, nil) }
	if err := wantStatus(retry(), http.StatusServiceUnavailable); err != nil {
		t.Error(err)
	}
	p.sink.setUp()
	if err := p.hub.Do(t.Context(), http.MethodPost, "/api/v1/notify/targets/down/try", nil, nil); err != nil {
		t.Error(err)
	}
	if err := retry(); err != nil {
		t.Fatal(err)
	}
	if got, _ := p.sink.accepted("/down", "errors"); len(got) != 1 || got[0].Key != l.Key {
		t.Errorf("delivered were %+v", got)
	}
	if err := wantStatus(p.hub.Get(t.Context(), at, nil), http.StatusNotFound); err != nil {
		t.Error(err)
	}
}

// killed: a plugin whose process dies comes back, goes on where it was, and nobody else notices.
func (p *plugged) killed(t *testing.T) {
	before, other := p.runs(t, "costs", func(pluginStatus) bool { return true }), p.status(t)["console"]
	if err := syscall.Kill(before.PID, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	after := p.runs(t, "costs", func(s pluginStatus) bool { return s.PID != before.PID })
	if after.Restarts != before.Restarts+1 || !strings.Contains(after.LastError, "ended by itself: signal: killed") {
		t.Errorf("its status is %+v", after)
	}
	if got := p.status(t)["console"]; got.PID != other.PID || got.Restarts != 0 {
		t.Errorf("the other plugin's status was %+v and is %+v", other, got)
	}
	p.move(t, "undertow")
	p.live(t, p.m)
}

// move has another cost center pay for the unhealthy Pod.
func (p *plugged) move(t *testing.T, to string) {
	t.Helper()
	patch := fmt.Appendf(nil, `{"metadata":{"labels":{"cost-center":%q}}}`, to)
	if _, err := world.eu.client.CoreV1().Pods(p.namespace).Patch(t.Context(), p.unhealthy, types.MergePatchType, patch, metav1.PatchOptions{}); err != nil {
		t.Fatal(err)
	}
	if a := p.enriched(t, p.unhealthy, to)["costs"]; len(a.Edges) != 0 { // there is no ConfigMap of that center
		t.Errorf("%s has the edges %+v", p.unhealthy, a.Edges)
	}
}

type notifyStatus struct {
	Rules []struct {
		Rule, Target string
		Behind       int64
	}
	Targets []struct{ Name, As string }
}

func (s notifyStatus) behind() bool {
	for _, r := range s.Rules {
		if r.Behind > 0 {
			return true
		}
	}
	return false
}

// restarted: with the right checksum, the program that was refused runs; nothing is told again.
func (p *plugged) restarted(t *testing.T) {
	pids := []int{p.status(t)["costs"].PID, p.status(t)["console"].PID}
	if err := p.hub.Stop(); err != nil {
		t.Fatal(err)
	}
	for _, pid := range pids {
		if err := syscall.Kill(pid, 0); err == nil {
			t.Errorf("the process %d of a plugin outlives the hub", pid)
		}
	}
	sums, err := examplePlugins()
	if err != nil {
		t.Fatal(err)
	}
	p.configure(t, sums[filepath.Join(world.dir, "plugins", "costs")])
	p.restartHub(t)
	p.runs(t, "second", func(s pluginStatus) bool { return s.Nodes > 0 })
	p.live(t, p.m)
	p.move(t, "eddy")
	eventually(t, "the rules have seen all there is", 30*time.Second, func() error {
		got := get[notifyStatus](t, &p.hub.Client, "/api/v1/notify")
		if len(got.Rules) != 4 || len(got.Targets) != 3 || got.behind() {
			return fmt.Errorf("they are %+v", got)
		}
		return nil
	})
	p.once(t)
	if got, _ := p.sink.accepted("/ops", "costs"); len(got) != 1 {
		t.Errorf("findings were told by %+v", got)
	}
	p.invariants(t, p.m)
}
