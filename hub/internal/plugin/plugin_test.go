package plugin

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	dto "github.com/prometheus/client_model/go"
	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"

	"github.com/kubilitics/kubilitics/hub/internal/fleet"
	"github.com/kubilitics/kubilitics/hub/internal/query/querytest"
	"github.com/kubilitics/kubilitics/hub/internal/store"
	"github.com/kubilitics/kubilitics/hub/internal/store/sqlite"
	"github.com/kubilitics/kubilitics/hub/internal/turn"
	pluginv1 "github.com/kubilitics/kubilitics/proto/plugin/v1"
	"github.com/kubilitics/kubilitics/shared/fault"
	"github.com/kubilitics/kubilitics/shared/topo"
)

// self is this program, pinned.
var self = sync.OnceValue(func() Spec {
	path, err := os.Executable()
	if err != nil {
		panic(err)
	}
	program, err := os.ReadFile(path)
	if err != nil {
		panic(err)
	}
	sum := sha256.Sum256(program)
	return Spec{Name: "costs", As: "enricher", Path: path, SHA256: hex.EncodeToString(sum[:]), Tenants: []string{"*"}, Timeout: 5 * time.Second}
})

func role(name string, change ...func(*Spec)) Spec {
	s := self()
	s.Env = []string{"ROLE=" + name}
	for _, c := range change {
		c(&s)
	}
	return s
}

// rig is a host on a store of its own.
type rig struct {
	testing.TB
	store   store.Store
	tenant  fleet.Tenant
	cluster *querytest.Cluster
	log     *observer.ObservedLogs
}

func newRig(t testing.TB, nodes ...topo.Node) *rig {
	st, err := sqlite.Open(t.Context(), sqlite.Config{Path: filepath.Join(t.TempDir(), "hub.db"), Migrate: true})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = st.Close() })
	tenant, err := st.EnsureTenant(t.Context(), "default")
	if err != nil {
		t.Fatal(err)
	}
	r := &rig{TB: t, store: st, tenant: tenant}
	r.cluster = querytest.New(t, st, tenant.ID, "prod").Load(topo.Delta{Nodes: nodes})
	return r
}

// run runs a host until the test ends or stop is called; its end is waited for.
func (r *rig) run(specs ...Spec) (h *Host, stop func()) {
	r.Helper()
	core, seen := observer.New(zap.DebugLevel)
	r.log = seen
	log := zap.New(core)
	turns := turn.New(turn.Config{Store: r.store, Log: log, Calm: time.Millisecond, Poll: 50 * time.Millisecond, Pause: 10 * time.Millisecond})
	h = New(Config{Plugins: specs, Store: r.store, Turns: turns, Log: log, HubVersion: "test", StartTimeout: 3 * time.Second,
		FirstPause: 10 * time.Millisecond, MostPause: 50 * time.Millisecond, Tenants: 50 * time.Millisecond})
	ctx, cancel := context.WithCancel(r.Context())
	var wg sync.WaitGroup
	wg.Go(func() { _ = turns.Run(ctx) })
	wg.Go(func() {
		if err := h.Run(ctx); err != nil {
			r.Error(err)
		}
	})
	stop = sync.OnceFunc(func() { cancel(); wg.Wait() })
	r.Cleanup(stop)
	return h, stop
}

func (r *rig) status(h *Host) Status {
	r.Helper()
	all, err := h.Status(r.Context(), r.tenant)
	if err != nil || len(all) == 0 {
		r.Fatalf("status: %v, %v", all, err)
	}
	return all[0]
}

// until waits for a condition.
func (r *rig) until(what string, ok func() bool) {
	r.Helper()
	for deadline := time.Now().Add(time.Minute); !ok(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			for _, e := range r.log.All() {
				r.Log(e.Level, e.Message, e.ContextMap())
			}
			r.Fatalf("it never came to pass that %s", what)
		}
	}
}

// attr gives what a plugin added to a node, "" for nothing.
func (r *rig) attr(ref, key string) string {
	r.Helper()
	all, err := r.store.AddedAttrs(r.Context(), r.cluster.Scope, []topo.ID{querytest.Ref(ref).ID()})
	if err != nil {
		r.Fatal(err)
	}
	for _, a := range all {
		if v, ok := topo.Value(a.Attrs, key); ok && a.Plugin == "costs" {
			return v
		}
	}
	return ""
}

func (r *rig) findings() []store.FindingRow {
	r.Helper()
	all, err := r.store.Findings(r.Context(), store.FindingFilter{View: fleet.View{Tenant: r.tenant.ID, Everything: true}}, nil, 1000)
	if err != nil {
		r.Fatal(err)
	}
	return all
}

func pods(n int) (nodes []topo.Node) {
	for i := range n {
		nodes = append(nodes, querytest.Node(fmt.Sprintf("Pod shop/p%04d", i), "team=web"))
	}
	return nodes
}

func TestEveryNodeIsEnrichedAndStaysSo(t *testing.T) {
	t.Parallel()
	r := newRig(t, append(pods(250), querytest.Node("Pod shop/orphan"), querytest.Node("Service shop/web"), querytest.Node("Deployment.apps shop/web", "team=web"))...)
	h, stop := r.run(role("honest"))
	r.until("all are enriched", func() bool {
		return r.attr("Pod shop/p0249", "center") != "" && r.attr("Deployment.apps shop/web", "center") != "" && len(r.findings()) == 1
	})
	if got := r.attr("Pod shop/p0000", "center"); got != "web@default/prod" {
		t.Errorf("center is %q", got)
	}
	if got := r.attr("Service shop/web", "center"); got != "" {
		t.Errorf("a kind that wasn't asked for has %q", got)
	}
	// What changes is enriched again, also by its edges alone; what goes loses what was added.
	r.cluster.Apply(topo.Delta{Nodes: []topo.Node{querytest.Node("Pod shop/orphan", "team=late")}, Edges: []topo.Edge{querytest.Edge("Service shop/web", topo.Selects, "Pod shop/p0001")},
		GoneNodes: []topo.ID{querytest.Ref("Pod shop/p0002").ID()}})
	r.until("the changes are seen", func() bool {
		return r.attr("Pod shop/orphan", "center") == "late@default/prod" && len(r.findings()) == 0 && r.attr("Pod shop/p0001", "edges") == "1"
	})
	s := r.status(h)
	if s.State != Running || s.Says != "actor" || s.Version != "v1.2.3" || s.PID == 0 || s.Walking || s.Refused+s.Failed+s.Skipped != 0 || s.Adds[0] != "a cost center" {
		t.Errorf("status %+v", s)
	}
	stop()
	if err := syscall.Kill(s.PID, 0); err == nil {
		t.Error("the plugin outlived its host")
	}
	// A restart goes on where it was: another cluster's news reaches it, and nothing is asked again.
	r.cluster.Apply(topo.Delta{Nodes: []topo.Node{querytest.Node("Pod shop/while-away", "team=x")}})
	second := querytest.New(t, r.store, r.tenant.ID, "second").Load(topo.Delta{Nodes: pods(1)})
	h, stop = r.run(role("honest"))
	r.until("what came meanwhile is enriched", func() bool {
		all, err := r.store.AddedAttrs(t.Context(), second.Scope, []topo.ID{querytest.Ref("Pod shop/p0000").ID()})
		return err == nil && len(all) == 1 && r.attr("Pod shop/while-away", "center") != ""
	})
	if n := r.status(h).Nodes; n > 5 {
		t.Errorf("%d nodes were asked about after a restart", n)
	}
	stop()
	// One that is run in another way is asked about everything.
	h, _ = r.run(role("honest", func(s *Spec) { s.Args = []string{"-other"} }))
	r.until("all are asked about", func() bool { return r.status(h).Nodes > 250 })
}

// A plugin that can't be trusted to start isn't asked anything, says why in its status, and is tried again; the host goes on.
func TestPluginsThatDoNotStart(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		spec  Spec
		state State
		says  string
	}{
		"absent":         {role("honest", func(s *Spec) { s.Path = "/nowhere/plugin" }), Refused, "can't be read"},
		"wrong checksum": {role("honest", func(s *Spec) { s.SHA256 = strings.Repeat("00", 32) }), Refused, "isn't the one whose checksum"},
		"no checksum":    {role("honest", func(s *Spec) { s.SHA256 = "" }), Waiting, "has no checksum"},
		"exits":          {role("exit"), Waiting, "could not be started"},
		"garbage":        {role("garbage"), Waiting, "Unrecognized remote plugin message"},
		"other version":  {role("tomorrow"), Waiting, "incompatible API version"},
		"elsewhere":      {role("elsewhere"), Waiting, "isn't the place it was given"},
		"silent":         {role("silent"), Waiting, "timeout while waiting"},
		"greedy":         {role("greedy"), Waiting, "wants objects of 100 kinds"},
		"wrong service":  {role("notifier"), Waiting, "could not be started"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := newRig(t, pods(1)...)
			h, stop := r.run(c.spec)
			r.until("it is refused twice", func() bool {
				s := r.status(h)
				return strings.Contains(s.LastError, c.says) && r.log.FilterMessage("the plugin doesn't run").Len() >= 2
			})
			if s := r.status(h); s.State != c.state && s.State != Starting {
				t.Errorf("state %s, want %s", s.State, c.state)
			}
			stop()
			if got := r.attr("Pod shop/p0000", "center"); got != "" {
				t.Errorf("it added %q", got)
			}
		})
	}
}

// What a plugin said of some tenant's objects isn't told to another tenant that has it, too; why it doesn't run is.
func TestStatusTellsNoOtherTenantsObjects(t *testing.T) {
	r := newRig(t)
	h := New(Config{Plugins: []Spec{role("honest")}, Store: r.store})
	for _, c := range []struct {
		state                  State
		tenants                []string
		lastRefused, lastError string
	}{
		{Running, []string{"default"}, "Pod bank/vault: odd", "no Pod bank/vault"},
		{Running, []string{"default", "foreign"}, "", ""},
		{Refused, []string{"default", "foreign"}, "", "no Pod bank/vault"},
	} {
		for _, slug := range c.tenants {
			if _, err := r.store.EnsureTenant(t.Context(), slug); err != nil {
				t.Fatal(err)
			}
		}
		h.plugins[0].status = Status{State: c.state, LastRefused: "Pod bank/vault: odd", LastError: "no Pod bank/vault"}
		if s := r.status(h); s.LastRefused != c.lastRefused || s.LastError != c.lastError {
			t.Errorf("%s, with the tenants %q: %+v", c.state, c.tenants, s)
		}
	}
}

func TestProgramsThatAnybodyMayWriteAreRefused(t *testing.T) {
	program, err := os.ReadFile(self().Path)
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "plugin")
	if err := os.WriteFile(path, program, 0o700); err != nil {
		t.Fatal(err)
	}
	s := role("honest", func(s *Spec) { s.Path = path })
	if err := verify(s); err != nil {
		t.Fatal(err)
	}
	for _, open := range []struct {
		path string
		mode os.FileMode
	}{{path, 0o777}, {filepath.Dir(path), 0o777}} {
		if err := os.Chmod(open.path, open.mode); err != nil {
			t.Fatal(err)
		}
		if err := verify(s); !fault.Is(err, fault.Forbidden) {
			t.Errorf("got %v", err)
		}
		if err := os.Chmod(open.path, 0o700); err != nil {
			t.Fatal(err)
		}
	}
}

// One node on which the plugin crashes, hangs, fails or answers without end costs that node alone.
func TestANodeThatBreaksThePluginIsPassedOver(t *testing.T) {
	t.Parallel()
	for _, bad := range []string{"crash", "hang", "fail", "flood"} {
		t.Run(bad, func(t *testing.T) {
			t.Parallel()
			r := newRig(t, append(pods(3), querytest.Node("Pod shop/"+bad, "team=web"))...)
			h, _ := r.run(role("honest", func(s *Spec) {
				if bad == "hang" {
					s.Timeout = time.Second
				}
			}))
			r.until("all others are enriched", func() bool {
				return r.attr("Pod shop/p0002", "center") != "" && r.attr("Pod shop/p0000", "center") != "" && r.status(h).Skipped > 0
			})
			r.cluster.Apply(topo.Delta{Nodes: []topo.Node{querytest.Node("Pod shop/later", "team=x")}})
			r.until("what comes later is enriched", func() bool { return r.attr("Pod shop/later", "center") != "" })
			s := r.status(h)
			if r.attr("Pod shop/"+bad, "center") != "" || s.Failed == 0 || s.LastError == "" {
				t.Errorf("status %+v", s)
			}
			if ended := bad == "crash" || bad == "hang"; ended != (s.Restarts > 0) {
				t.Errorf("%d restarts", s.Restarts)
			}
			if (bad == "hang") != (s.Timeouts > 0) {
				t.Errorf("%d timeouts", s.Timeouts)
			}
		})
	}
}

func TestWhatALiarSaysIsRefused(t *testing.T) {
	t.Parallel()
	r := newRig(t, querytest.Node("Pod shop/a", "team=web"), querytest.Node("Pod shop/x"))
	h, _ := r.run(role("liar"))
	r.until("the node is enriched", func() bool { return r.attr("Pod shop/a", "true") == "1" && r.status(h).Nodes == 2 })
	all, err := r.store.AddedAttrs(t.Context(), r.cluster.Scope, []topo.ID{querytest.Ref("Pod shop/a").ID()})
	if err != nil || len(all) != 1 || len(all[0].Attrs) != 1 {
		t.Errorf("added %v, %v", all, err)
	}
	edges, err := r.store.AddedEdges(t.Context(), r.cluster.Scope, nil, store.Both, nil, 100)
	if err != nil || len(edges) != 1 || edges[0].Edge.Type != topo.References {
		t.Errorf("edges %v, %v", edges, err)
	}
	for _, f := range r.findings() {
		if f.Finding.Sentence != "true" {
			t.Errorf("finding %+v", f)
		}
	}
	if s := r.status(h); s.Refused < 20 || s.LastRefused == "" || s.State != Running {
		t.Errorf("status %+v", s)
	}
}

func TestAPluginSeesNothingOfTheHubsEnvironment(t *testing.T) {
	t.Setenv("KUBILITICS_DATABASE", "postgres://secret")
	t.Setenv("AWS_SECRET_ACCESS_KEY", "secret")
	r := newRig(t, pods(1)...)
	r.run(role("environment"))
	r.until("it tells its environment", func() bool { return r.attr("Pod shop/p0000", "environment") != "" })
	got := strings.Fields(r.attr("Pod shop/p0000", "environment"))
	want := []string{"LANG", "PATH", "PLUGIN_CLIENT_CERT", "PLUGIN_MAX_PORT", "PLUGIN_MIN_PORT", "PLUGIN_OF_KUBILITICS", "PLUGIN_PROTOCOL_VERSIONS", "PLUGIN_UNIX_SOCKET_DIR", "ROLE", "TMPDIR"}
	if !slices.Equal(got, want) {
		t.Errorf("it sees %v", got)
	}
}

func TestALogWithoutEndIsCut(t *testing.T) {
	t.Parallel()
	r := newRig(t, pods(3)...)
	h, _ := r.run(role("noisy"))
	r.until("it is done", func() bool { return r.attr("Pod shop/p0002", "center") != "" })
	r.until("its log is cut", func() bool {
		var m dto.Metric
		return h.metrics.lines.WithLabelValues("costs").Write(&m) == nil && m.GetCounter().GetValue() > 10_000
	})
	told := r.log.Filter(func(e observer.LoggedEntry) bool { return strings.Contains(e.Message, "of very many") }).Len()
	if n := r.log.Len(); told == 0 || n > 1000 {
		t.Errorf("%d lines of its log, %d in all", told, n)
	}
	if r.status(h).State != Running {
		t.Errorf("status %+v", r.status(h))
	}
}

// A plugin that won't stop is ended, with its children.
func TestAStubbornPluginIsEnded(t *testing.T) {
	t.Parallel()
	r := newRig(t, pods(1)...)
	file := filepath.Join(t.TempDir(), "child")
	h, stop := r.run(role("stubborn", func(s *Spec) { s.Env = append(s.Env, "CHILD="+file) }))
	r.until("it runs", func() bool { return r.status(h).State == Running })
	pid := r.status(h).PID
	var child int
	r.until("its child runs", func() bool {
		text, err := os.ReadFile(file)
		_, scanned := fmt.Sscan(string(text), &child)
		return err == nil && scanned == nil
	})
	stop()
	for _, p := range []int{pid, child} {
		r.until("it is gone", func() bool { return !alive(p) })
	}
}

// A hub that is killed leaves no plugin behind.
func TestPluginsDieWithTheHub(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("only Linux has a signal for it")
	}
	hub := exec.Command(self().Path)
	hub.Env = []string{"ROLE=host", "SUM=" + self().SHA256, "TMPDIR=" + t.TempDir()} // what it leaves behind goes with the test
	out, err := hub.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := hub.Start(); err != nil {
		t.Fatal(err)
	}
	var pid int
	_, err = fmt.Fscan(out, &pid)
	running := err == nil && alive(pid)
	if killed := errors.Join(hub.Process.Kill(), err); killed != nil || !running {
		t.Fatal(killed, running)
	}
	_ = hub.Wait() // it was killed
	r := &rig{TB: t}
	_, r.log = observer.New(zap.InfoLevel)
	r.until("the plugin is gone", func() bool { return !alive(pid) })
}

// What a plugin added goes when it isn't configured any more; when it comes back it is asked anew.
func TestAPluginThatWentLeavesNothing(t *testing.T) {
	t.Parallel()
	r := newRig(t, pods(3)...)
	_, stop := r.run(role("honest"))
	r.until("its rows are there", func() bool { return r.attr("Pod shop/p0002", "center") != "" })
	stop()
	_, stop = r.run()
	r.until("its rows are gone", func() bool { return r.attr("Pod shop/p0000", "center")+r.attr("Pod shop/p0002", "center") == "" })
	stop()
	r.run(role("honest"))
	r.until("its rows are back", func() bool { return r.attr("Pod shop/p0002", "center") != "" })
}

// alive tells a process that isn't a zombie, which the machine's first process has still to bury.
func alive(pid int) bool {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	return err == nil && !strings.Contains(string(stat), ") Z ")
}

func TestAPluginSeesOnlyItsTenants(t *testing.T) {
	r := newRig(t, pods(1)...)
	other, err := r.store.EnsureTenant(t.Context(), "other")
	if err != nil {
		t.Fatal(err)
	}
	foreign := querytest.New(t, r.store, other.ID, "prod").Load(topo.Delta{Nodes: pods(1)})
	h, _ := r.run(role("honest", func(s *Spec) { s.Tenants = []string{"other"} }))
	r.until("the other's node is enriched", func() bool {
		all, err := r.store.AddedAttrs(t.Context(), foreign.Scope, []topo.ID{querytest.Ref("Pod shop/p0000").ID()})
		return err == nil && len(all) == 1
	})
	if got := r.attr("Pod shop/p0000", "center"); got != "" {
		t.Errorf("it saw a tenant it may not see: %q", got)
	}
	if all, err := h.Status(t.Context(), r.tenant); err != nil || len(all) != 0 {
		t.Errorf("a tenant sees another's plugins: %v, %v", all, err)
	}
}

func TestNotifiers(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	h, _ := r.run(role("notifier", func(s *Spec) {
		s.As, s.Name, s.Timeout, s.Tenants = "notifier", "pager", time.Second, []string{"default"}
	}))
	r.until("it runs", func() bool { return r.status(h).State == Running })
	for rule, want := range map[string]fault.Code{"fine": "", "later": fault.Unavailable, "never": fault.BadRequest, "hang": fault.Unavailable} {
		if err := h.Notify(t.Context(), "pager", &pluginv1.Notification{Tenant: "default", Rule: rule}); (want == "" && err != nil) || (want != "" && !fault.Is(err, want)) {
			t.Errorf("%s: %v", rule, err)
		}
	}
	for name, tenant := range map[string]string{"nobody": "default", "pager": "other"} {
		if err := h.Notify(t.Context(), name, &pluginv1.Notification{Tenant: tenant}); !fault.Is(err, fault.NotFound) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestCheck(t *testing.T) {
	good := role("x")
	if wrong := Check([]Spec{good}); len(wrong) != 0 {
		t.Fatalf("%v", wrong)
	}
	bad := Check([]Spec{good, {Name: "Über", As: "spy", Path: "plugin", SHA256: "12", Env: []string{"novalue"}, Timeout: -1}, good})
	var keys []string
	for _, f := range bad {
		keys = append(keys, f.Name)
	}
	want := []string{"plugins[1].name", "plugins[1].as", "plugins[1].path", "plugins[1].sha256", "plugins[1].tenants", "plugins[1].timeout", "plugins[1].env", "plugins[2].name"}
	if !slices.Equal(keys, want) {
		t.Errorf("got %v", bad)
	}
}
