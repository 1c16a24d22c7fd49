package notify

import (
	"context"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"
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

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const hmacKey = "the-hmac-key"

// sink is a webhook's other end: it answers what it is told to, and keeps what it accepted.
type sink struct {
	*httptest.Server
	testing.TB
	mu     sync.Mutex
	answer []http.HandlerFunc // to the next requests; then all is accepted
	seen   int
	got    []Notification
}

func newSink(t testing.TB) *sink {
	s := &sink{TB: t}
	s.Server = httptest.NewServer(s)
	t.Cleanup(s.Close)
	return s
}

func (s *sink) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		s.Error(err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.seen++
	if len(s.answer) > 0 {
		next := s.answer[0]
		s.answer = s.answer[1:]
		next(w, r)
		return
	}
	var n Notification
	if err := json.Unmarshal(body, &n); err != nil {
		s.Errorf("%v in %s", err, body)
	}
	if r.Header.Get(headerSignature) != sign(hmacKey, r.Header.Get(headerTimestamp), body) || r.Header.Get(headerKey) != n.Key || n.Key == "" {
		s.Errorf("headers %v of %s", r.Header, body)
	}
	s.got = append(s.got, n)
}

func (s *sink) next(answers ...http.HandlerFunc) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.answer = answers
}

func (s *sink) requests() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.seen
}

// changes lists what was told, as "health Pod shop/a unknown>error".
func (s *sink) changes() (out []string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, n := range s.got {
		for _, c := range n.Changes {
			text := fmt.Sprintf("%s %s %s/%s %s>%s", c.What, c.Kind, c.Namespace, c.Object, c.From, c.To)
			if c.Finding != nil {
				text = fmt.Sprintf("%s %s/%s %s", c.What, c.Namespace, c.Object, c.Finding.Code)
			}
			out = append(out, text)
		}
	}
	return out
}

func status(code int, header ...string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		for i := 0; i+1 < len(header); i += 2 {
			w.Header().Set(header[i], header[i+1])
		}
		w.WriteHeader(code)
	}
}

// rig is a service on a store of its own.
type rig struct {
	testing.TB
	store   store.Store
	tenant  fleet.Tenant
	cluster *querytest.Cluster
	sink    *sink
	log     *observer.ObservedLogs
	plugins Plugins
	rules   []Rule
	targets []Target
}

func newRig(t testing.TB, rules ...Rule) *rig {
	st, err := sqlite.Open(t.Context(), sqlite.Config{Path: filepath.Join(t.TempDir(), "hub.db"), Migrate: true})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = st.Close() })
	tenant, err := st.EnsureTenant(t.Context(), "default")
	if err != nil {
		t.Fatal(err)
	}
	r := &rig{TB: t, store: st, tenant: tenant, sink: newSink(t)}
	r.cluster = querytest.New(t, st, tenant.ID, "prod-1").Load(topo.Delta{Nodes: []topo.Node{node("Pod shop/a", topo.OK)}})
	for _, rule := range rules {
		rule.Name, rule.Tenants, rule.Window = "rule", []string{"default"}, max(rule.Window, time.Millisecond)
		rule.To = []string{"hook"}
		r.rules = append(r.rules, rule)
	}
	r.targets = []Target{{Name: "hook", As: Webhook, URL: r.sink.URL + "/secret-path", Secret: hmacKey, Attempts: 4}}
	return r
}

// run runs the service until the test ends or stop is called, and waits until its rules have begun.
func (r *rig) run() (s *Service, stop func()) {
	r.Helper()
	core, seen := observer.New(zap.DebugLevel)
	log := zap.New(core)
	r.log = seen
	turns := turn.New(turn.Config{Store: r.store, Log: log, Calm: time.Millisecond, Poll: 50 * time.Millisecond, Pause: 10 * time.Millisecond, Note: time.Nanosecond})
	s = New(Config{Targets: r.targets, Rules: r.rules, Store: r.store, Turns: turns, Plugins: r.plugins, Log: log, HubVersion: "test",
		FirstPause: time.Millisecond, MostPause: 10 * time.Millisecond, MostWindow: time.Second, Look: 10 * time.Millisecond})
	ctx, cancel := context.WithCancel(r.Context())
	var wg sync.WaitGroup
	wg.Go(func() { _ = turns.Run(ctx) })
	wg.Go(func() {
		if err := s.Run(ctx); err != nil {
			r.Error(err)
		}
	})
	stop = sync.OnceFunc(func() { cancel(); wg.Wait() })
	r.Cleanup(stop)
	r.until("the rules have begun", func() bool {
		all, err := r.store.Progress(r.Context(), r.tenant.ID)
		return err == nil && all["notify:rule>hook"].Begun
	})
	return s, stop
}

func (r *rig) until(what string, ok func() bool) {
	r.Helper()
	for deadline := time.Now().Add(30 * time.Second); !ok(); time.Sleep(2 * time.Millisecond) {
		if time.Now().After(deadline) {
			for _, e := range r.log.All() {
				r.Log(e.Level, e.Message, e.ContextMap())
			}
			r.Fatalf("it never came to pass that %s; told: %q", what, r.sink.changes())
		}
	}
}

// told waits until exactly that was told.
func (r *rig) told(want ...string) {
	r.Helper()
	r.until(fmt.Sprintf("%q is told", want), func() bool { return slices.Equal(r.sink.changes(), want) })
}

func (r *rig) letters() []store.DeadLetter {
	r.Helper()
	list, err := r.store.DeadLetters(r.Context(), r.tenant.ID, "", 100)
	if err != nil {
		r.Fatal(err)
	}
	return list
}

func node(ref string, h topo.Health) topo.Node {
	n := querytest.Node(ref)
	n.Health, n.Status = h, "Is"+h.String()
	return n
}

func (r *rig) set(nodes ...topo.Node) topo.Position {
	r.Helper()
	return r.cluster.Apply(topo.Delta{Nodes: nodes})
}

func TestARuleTellsWhatItIsAbout(t *testing.T) {
	r := newRig(t, Rule{Kinds: []string{"Pod", "Deployment.apps"}, Namespaces: []string{"sh*"}, Clusters: []string{"prod-*"}})
	r.run()
	other := querytest.New(t, r.store, r.tenant.ID, "dev").Load(topo.Delta{})
	other.Apply(topo.Delta{Nodes: []topo.Node{node("Pod shop/a", topo.Error)}})
	r.set(node("Pod shop/a", topo.Warning))                                       // not an error
	r.set(node("Pod bank/a", topo.Error), node("Service shop/a", topo.Error))     // another namespace, another kind
	at := r.set(node("Pod shop/a", topo.Error), node("Pod shop/new", topo.Error)) // this
	r.told("health Pod shop/a warning>error", "health Pod shop/new unknown>error")
	n := r.sink.got[0]
	if n.First != at || n.Last != at || n.Summary != "2 error, in 1 cluster" || n.Changes[0].Status != "Iserror" || n.Changes[0].Name != "prod-1" || n.Tenant != "default" {
		t.Errorf("%+v", n)
	}
	failing := node("Pod shop/a", topo.Error)
	failing.Status = "another word"
	r.set(failing) // was one before
	r.set(node("Deployment.apps shop/web", topo.Error))
	r.told("health Pod shop/a warning>error", "health Pod shop/new unknown>error", "health Deployment shop/web unknown>error")
}

// What a node was is known also to a service that has just started.
func TestNothingIsLostOrToldAgainOverARestart(t *testing.T) {
	r := newRig(t, Rule{Becomes: []string{"error"}, From: []string{"ok"}})
	_, stop := r.run()
	r.set(node("Pod shop/a", topo.Error))
	r.told("health Pod shop/a ok>error")
	r.until("it is noted", func() bool {
		all, err := r.store.Progress(t.Context(), r.tenant.ID)
		_, last, failed := r.store.FeedBounds(t.Context(), r.tenant.ID)
		return err == nil && failed == nil && all["notify:rule>hook"].Position == last
	})
	stop()
	changed := node("Pod shop/a", topo.Error)
	changed.Status = "still"
	r.set(changed, node("Pod shop/b", topo.OK)) // was an error before
	r.set(node("Pod shop/b", topo.Error))
	r.run()
	r.told("health Pod shop/a ok>error", "health Pod shop/b ok>error")
}

// A notification that was under way when the service stopped is sent again, under the same key.
func TestWhatWasUnderWayIsSentAgain(t *testing.T) {
	r := newRig(t, Rule{})
	r.targets[0].Attempts = 1000
	var keys []string
	refuse := func(w http.ResponseWriter, req *http.Request) {
		keys = append(keys, req.Header.Get(headerKey))
		w.WriteHeader(http.StatusServiceUnavailable)
	}
	r.sink.next(slices.Repeat([]http.HandlerFunc{refuse}, 1000)...)
	_, stop := r.run()
	r.set(node("Pod shop/a", topo.Error))
	r.until("it is tried", func() bool { return r.sink.requests() >= 2 })
	stop()
	r.sink.next()
	r.run()
	r.told("health Pod shop/a ok>error")
	if got := r.sink.got[0].Key; keys[0] != got || keys[1] != got {
		t.Errorf("keys %v, then %s", keys[:2], got)
	}
	if len(r.letters()) != 0 {
		t.Error("it was given up, too")
	}
}

func TestDelivery(t *testing.T) {
	hang := func(w http.ResponseWriter, r *http.Request) {
		c, _, err := w.(http.Hijacker).Hijack()
		if err == nil {
			_ = c.Close()
		}
	}
	for name, c := range map[string]struct {
		answers  []http.HandlerFunc
		letter   string // what it is given up with
		attempts int
	}{
		"failures pass":        {[]http.HandlerFunc{status(500), status(429, "Retry-After", "1"), hang}, "", 4},
		"they don't":           {slices.Repeat([]http.HandlerFunc{status(503)}, 4), "the target answers 503", 4},
		"it was our mistake":   {[]http.HandlerFunc{status(400)}, "the target answers 400", 1},
		"sent elsewhere":       {[]http.HandlerFunc{status(307, "Location", "http://127.0.0.1:9/")}, "sends us elsewhere", 1},
		"sent on by a GET":     {[]http.HandlerFunc{status(302, "Location", "/b")}, "sends us elsewhere", 1},
		"sent on at home":      {[]http.HandlerFunc{status(307, "Location", "/b")}, "", 2},
		"sent round in circle": {slices.Repeat([]http.HandlerFunc{status(307, "Location", "/b")}, 4), "sends us elsewhere", 4},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := newRig(t, Rule{})
			r.sink.next(c.answers...)
			r.run()
			r.set(node("Pod shop/a", topo.Error))
			if c.letter == "" {
				r.told("health Pod shop/a ok>error")
			} else {
				r.until("it is given up", func() bool { return len(r.letters()) == 1 })
				if d := r.letters()[0]; !strings.Contains(d.Reason, c.letter) || d.Notifier != "hook" || d.Rule != "rule" {
					t.Errorf("letter %+v", d)
				}
			}
			if n := r.sink.requests(); n != c.attempts {
				t.Errorf("%d attempts", n)
			}
			// What comes after isn't held up.
			r.set(node("Pod shop/b", topo.Error))
			r.until("the next is told", func() bool { return slices.Contains(r.sink.changes(), "health Pod shop/b unknown>error") })
		})
	}
}

func TestLettersAreSentAgainWhenAsked(t *testing.T) {
	r := newRig(t, Rule{})
	r.sink.next(status(400), status(500))
	s, _ := r.run()
	r.set(node("Pod shop/a", topo.Error))
	r.until("it is given up", func() bool { return len(r.letters()) == 1 })
	id := r.letters()[0].ID
	if err := s.Retry(t.Context(), r.tenant, id); !fault.Is(err, fault.Unavailable) {
		t.Errorf("got %v", err)
	}
	if d := r.letters()[0]; d.Attempts != 2 || !strings.Contains(d.Reason, "500") {
		t.Errorf("letter %+v", d)
	}
	if err := s.Retry(t.Context(), r.tenant, id); err != nil {
		t.Error(err)
	}
	r.told("health Pod shop/a ok>error")
	if err := s.Retry(t.Context(), r.tenant, id); !fault.Is(err, fault.NotFound) || len(r.letters()) != 0 {
		t.Errorf("got %v, %v", err, r.letters())
	}
}

// A target may have become somebody else's since.
func TestLettersGoToNobodyWhomNoRuleTells(t *testing.T) {
	r := newRig(t, Rule{})
	r.sink.next(status(400))
	_, stop := r.run()
	r.set(node("Pod shop/a", topo.Error))
	r.until("it is given up", func() bool { return len(r.letters()) == 1 })
	stop()
	s := New(Config{Targets: r.targets, Rules: []Rule{{Name: "rule", Tenants: []string{"other"}, To: []string{"hook"}}}, Store: r.store})
	if err := s.Retry(t.Context(), r.tenant, r.letters()[0].ID); !fault.Is(err, fault.Conflict) || len(r.letters()) != 1 {
		t.Errorf("got %v, %d letters", err, len(r.letters()))
	}
	if n := r.sink.requests(); n != 1 {
		t.Errorf("%d requests", n)
	}
}

func TestATargetCanBeTried(t *testing.T) {
	r := newRig(t, Rule{})
	s, _ := r.run()
	r.sink.next(status(403))
	for _, want := range []fault.Code{fault.BadRequest, ""} {
		if err := s.Try(t.Context(), r.tenant, "hook"); (want == "" && err != nil) || (want != "" && !fault.Is(err, want)) {
			t.Errorf("got %v, want %q", err, want)
		}
	}
	if len(r.sink.got) != 1 || r.sink.got[0].Rule != "try" {
		t.Errorf("got %v", r.sink.got)
	}
	if err := s.Try(t.Context(), fleet.Tenant{Slug: "other"}, "hook"); !fault.Is(err, fault.NotFound) {
		t.Errorf("got %v", err)
	}
	all, err := s.Status(t.Context(), r.tenant)
	if err != nil || len(all) != 1 || all[0] != (Status{Rule: "rule", Target: "hook", As: "webhook"}) {
		t.Errorf("status %v, %v", all, err)
	}
}

// However often an object changes within the window, it is told once, with how it ended.
func TestFlappingMakesNoStorm(t *testing.T) {
	r := newRig(t, Rule{Window: 300 * time.Millisecond})
	r.run()
	for range 50 {
		r.set(node("Pod shop/a", topo.Error))
		r.set(node("Pod shop/a", topo.OK))
	}
	r.set(node("Pod shop/gone", topo.Error))
	went := r.cluster.Apply(topo.Delta{GoneNodes: []topo.ID{querytest.Ref("Pod shop/gone").ID()}})
	r.set(node("Pod shop/last", topo.Error))
	r.until("the last is told", func() bool { return slices.Contains(r.sink.changes(), "health Pod shop/last unknown>error") })
	r.sink.mu.Lock()
	defer r.sink.mu.Unlock()
	times := 0
	for _, n := range r.sink.got {
		for _, c := range n.Changes {
			if c.Object == "a" {
				times += c.Times
				if c.From != "ok" || (c.To != "ok" && c.To != "error") {
					t.Errorf("%+v", c)
				}
			}
			if c.Object == "gone" && n.Last >= went { // a window may end while it is there
				t.Error("what went is told, in a notification that knows of it")
			}
		}
	}
	if times != 50 || len(r.sink.got) > 10 {
		t.Errorf("%d times in %d notifications", times, len(r.sink.got))
	}
}

func TestWindows(t *testing.T) {
	first, most := 10*time.Second, 35*time.Second
	var got []time.Duration
	last := time.Duration(0)
	for _, quiet := range []time.Duration{time.Hour, time.Second, time.Second, time.Second, time.Minute} {
		last = nextWindow(last, first, most, quiet)
		got = append(got, last/time.Second)
	}
	if !slices.Equal(got, []time.Duration{10, 20, 35, 35, 10}) {
		t.Errorf("got %v", got)
	}
}

func TestManyObjectsAreCounted(t *testing.T) {
	r := newRig(t, Rule{Window: 200 * time.Millisecond})
	r.run()
	var nodes []topo.Node
	for i := range maxChanges + 7 {
		nodes = append(nodes, node(fmt.Sprint("Pod shop/p", i), topo.Error))
	}
	r.set(nodes...)
	r.until("it is told", func() bool { return len(r.sink.changes()) > 0 })
	if n := r.sink.got[0]; len(n.Changes) != maxChanges || n.LeftOut != 7 || !strings.HasSuffix(n.Summary, "and 7 objects more") {
		t.Errorf("%d changes, %d left out: %s", len(n.Changes), n.LeftOut, n.Summary)
	}
}

func TestMissingAndFound(t *testing.T) {
	r := newRig(t, Rule{On: []string{"missing", "found"}})
	r.run()
	r.set(querytest.Missing("ConfigMap shop/c"))
	r.told("missing ConfigMap shop/c >")
	r.set(querytest.Node("ConfigMap shop/c"))
	r.told("missing ConfigMap shop/c >", "found ConfigMap shop/c >")
}

func TestFindings(t *testing.T) {
	r := newRig(t, Rule{On: []string{"finding", "resolved"}, Severity: "warning", Plugins: []string{"costs"}})
	r.run()
	lease := store.Lease{Follower: store.Follower{Tenant: r.tenant.ID, Name: "enricher:costs"}, Holder: "test"}
	if _, held, err := r.store.Hold(t.Context(), lease, time.Minute); err != nil || !held {
		t.Fatal(held, err)
	}
	enrich := func(plugin string, found ...store.Finding) {
		t.Helper()
		if err := r.store.Enrich(t.Context(), lease, r.cluster.ID, plugin, []store.Addition{{Ref: querytest.Ref("Pod shop/a"), UID: "u", Findings: found}}); err != nil {
			t.Fatal(err)
		}
	}
	enrich("others", store.Finding{Code: "bad", Severity: store.Serious, Sentence: "s"})
	enrich("costs", store.Finding{Code: "mild", Severity: store.Info, Sentence: "s"}, store.Finding{Code: "dear", Severity: store.Serious, Sentence: "costs a fortune", Confidence: 0.5})
	r.told("finding shop/a dear")
	enrich("costs")
	r.told("finding shop/a dear", "resolved shop/a dear")
	if c := r.sink.got[0].Changes[0]; *c.Finding != (Finding{Plugin: "costs", Code: "dear", Severity: "error", Sentence: "costs a fortune", Confidence: 0.5}) {
		t.Errorf("%+v", c.Finding)
	}
}

// A rule that was behind for longer than the feed is kept says so.
func TestGapsAreTold(t *testing.T) {
	r := newRig(t, Rule{})
	_, stop := r.run()
	stop()
	for range 3 {
		r.set(node("Pod shop/a", topo.Error))
		r.set(node("Pod shop/a", topo.OK))
	}
	for more := true; more; {
		var err error
		if more, err = r.store.Trim(t.Context(), store.Keep{History: time.Hour, Events: time.Hour}, 100); err != nil {
			t.Fatal(err)
		}
	}
	r.run()
	r.until("the gap is told", func() bool { return r.sink.requests() == 1 })
	r.set(node("Pod shop/a", topo.Error))
	r.told("health Pod shop/a ok>error")
	if !r.sink.got[0].Missed || r.sink.got[1].Missed {
		t.Errorf("%+v", r.sink.got)
	}
}

// No secret is in a log, an error or a letter.
func TestSecretsAreNotTold(t *testing.T) {
	r := newRig(t, Rule{})
	r.sink.Close() // nobody listens
	s, _ := r.run()
	r.set(node("Pod shop/a", topo.Error))
	r.until("it is given up", func() bool { return len(r.letters()) == 1 })
	said := fmt.Sprint(r.letters()[0].Reason, s.Retry(t.Context(), r.tenant, r.letters()[0].ID))
	for _, e := range r.log.All() {
		said += fmt.Sprint(e.Message, e.ContextMap())
	}
	for _, secret := range []string{"secret-path", hmacKey} {
		if strings.Contains(said, secret) {
			t.Errorf("%s is in %s", secret, said)
		}
	}
}

func TestServersMustProveWhoTheyAre(t *testing.T) {
	server := httptest.NewUnstartedServer(http.HandlerFunc(status(200)))
	server.Config.ErrorLog = zap.NewStdLog(zap.NewNop())
	server.StartTLS()
	defer server.Close()
	file := filepath.Join(t.TempDir(), "ca.pem")
	if err := os.WriteFile(file, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw}), 0o600); err != nil {
		t.Fatal(err)
	}
	cfg := Config{}.complete()
	for name, c := range map[string]struct {
		target Target
		want   fault.Code
	}{
		"unknown":     {Target{As: Webhook, URL: server.URL}, fault.Unavailable},
		"known":       {Target{As: Webhook, URL: server.URL, CAFile: file}, ""},
		"no file":     {Target{As: Webhook, URL: server.URL, CAFile: file + "x"}, fault.Unavailable},
		"public only": {Target{As: Webhook, URL: server.URL, CAFile: file, PublicOnly: true}, fault.Forbidden},
		"no secret":   {Target{As: Webhook, URLFile: file + "x"}, fault.Unavailable},
	} {
		to := newTarget(c.target, &cfg)
		err := to.send(t.Context(), &Notification{Key: "k"})
		to.close()
		if (c.want == "" && err != nil) || (c.want != "" && !fault.Is(err, c.want)) {
			t.Errorf("%s: %v", name, err)
		}
		if name == "unknown" {
			var unknown x509.UnknownAuthorityError
			if !strings.Contains(err.Error(), "certificate") {
				t.Errorf("got %v, want %T", err, unknown)
			}
		}
	}
}

func TestPublicAddresses(t *testing.T) {
	for address, public := range map[string]bool{
		"93.184.216.34:443": true, "[2606:2800:220:1::1]:443": true,
		"127.0.0.1:80": false, "10.1.2.3:80": false, "172.16.0.1:80": false, "192.168.1.1:80": false, "169.254.169.254:80": false, "100.64.0.1:80": false, "0.0.0.0:80": false,
		"[::1]:80": false, "[fd00::1]:80": false, "[fe80::1]:80": false, "[::ffff:127.0.0.1]:80": false, "[64:ff9b::a00:1]:80": false, "224.0.0.1:80": false, "255.255.255.255:80": false, "nonsense": false,
	} {
		if err := publicOnly("tcp", address, nil); (err == nil) != public {
			t.Errorf("%s: %v", address, err)
		}
	}
}

// notifier is a host of plugins.
type notifier struct{ got chan *pluginv1.Notification }

func (n notifier) Notify(_ context.Context, name string, m *pluginv1.Notification) error {
	if name != "pager" {
		return fault.New(fault.NotFound, "no %s", name)
	}
	n.got <- m
	return nil
}

func TestPluginsAreTold(t *testing.T) {
	r := newRig(t, Rule{})
	pager := notifier{make(chan *pluginv1.Notification, 1)}
	r.plugins, r.targets = pager, []Target{{Name: "hook", As: Plugin, Plugin: "pager"}}
	r.run()
	r.set(node("Pod shop/a", topo.Error))
	m := <-pager.got
	c := m.GetChanges()[0]
	if m.GetTenant() != "default" || c.GetFrom() != pluginv1.Health_HEALTH_OK || c.GetTo() != pluginv1.Health_HEALTH_ERROR || c.GetRef().GetName() != "a" || c.GetClusterName() != "prod-1" || m.GetKey() == "" {
		t.Errorf("got %v", m)
	}
}

func TestCheck(t *testing.T) {
	targets := []Target{{Name: "hook", As: Webhook, URL: "http://a/b"}, {Name: "chat", As: Slack, URLFile: "/run/secrets/url"}, {Name: "page", As: Plugin, Plugin: "pager"}}
	rules := []Rule{{Name: "all", To: []string{"hook", "chat", "page"}, Tenants: []string{"*"}}}
	if wrong := Check(targets, rules, []string{"pager"}); len(wrong) != 0 {
		t.Fatalf("%v", wrong)
	}
	targets = append(targets, Target{Name: "hook", As: "pigeon"}, Target{Name: "X", As: Slack, URL: "http://a/b"}, Target{Name: "y", As: Plugin, Plugin: "nobody"},
		Target{Name: "z", As: Webhook, URL: "https://me:secret@a/", CAFile: "ca.pem", Attempts: -1})
	rules = append(rules, Rule{Name: "bad", To: []string{"nobody"}, On: []string{"fire"}, From: []string{"sick"}, Becomes: []string{"well"}, Severity: "high", Window: -1}, Rule{Name: "all"})
	var keys []string
	for _, f := range Check(targets, rules, []string{"pager"}) {
		keys = append(keys, strings.TrimPrefix(f.Name, "notify."))
		if strings.Contains(f.Reason, "secret") && !strings.Contains(f.Reason, "a secret itself") {
			t.Errorf("%s tells a secret: %s", f.Name, f.Reason)
		}
	}
	want := []string{"targets[3].name", "targets[3].as", "targets[4].name", "targets[4].url", "targets[5].plugin", "targets[6].url", "targets[6].attempts", "targets[6].ca-file",
		"rules[1].to", "rules[1].tenants", "rules[1].on", "rules[1].from", "rules[1].becomes", "rules[1].severity", "rules[1].window", "rules[2].name", "rules[2].to", "rules[2].tenants"}
	if !slices.Equal(keys, want) {
		t.Errorf("got %v", keys)
	}
}
