package config

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

// scenarios try what only the file can say: plugins, targets and rules of notifications.
func scenarios() map[string]func(*testing.T) {
	tries := map[string]func(*testing.T){
		"plugins[].name": func(t *testing.T) {
			plugged(t, "{name: tester}", func(s plugin) error { return want(s.Name == "tester" && s.Nodes > 0, s) })
		},
		"plugins[].as": func(t *testing.T) {
			file := filepath.Join(t.TempDir(), "told")
			tried(t, "", "{name: it, as: plugin, plugin: tester}", fmt.Sprintf("plugins: [{name: tester, as: notifier, path: %s, sha256: %s, args: [notifier, %s], tenants: ['*']}]", tester().path, tester().sum, file))
			tells(t, file, "notified try")
		},
		"plugins[].path": func(t *testing.T) {
			plugged(t, "{name: tester}", func(s plugin) error { return want(s.State == "running", s) })
		},
		"plugins[].sha256": func(t *testing.T) {
			plugged(t, "{name: tester, sha256: '"+strings.Repeat("0", 64)+"'}", func(s plugin) error { return want(s.State == "refused", s) })
		},
		"plugins[].args": func(t *testing.T) {
			plugged(t, "{name: tester, args: [enricher, FILE, a word]}", func(s plugin) error { return want(s.Nodes > 0, s) }, "enricher FILE a word")
		},
		"plugins[].env": func(t *testing.T) {
			plugged(t, "{name: tester, env: [GREETING=hello]}", func(s plugin) error { return want(s.Nodes > 0, s) }, " GREETING=hello")
		},
		"plugins[].tenants": func(t *testing.T) {
			plugged(t, "{name: blind, tenants: [other]}, {name: tester}", func(s plugin) error { return want(s.Nodes > 0 && s.Name == "tester", s) })
		},
		"plugins[].timeout": func(t *testing.T) {
			plugged(t, "{name: tester, env: [HANG=1], timeout: 500ms}", func(s plugin) error { return want(s.Timeouts > 0, s) })
		},
	}
	for key, try := range targets() {
		tries["notify.targets[]."+key] = try
	}
	for key, try := range rules() {
		tries["notify.rules[]."+key] = try
	}
	return tries
}

type program struct {
	path, sum string
	err       error
}

// tester is built once.
var tester = sync.OnceValue(func() program {
	p := program{path: filepath.Join(scratch, "tester")}
	if out, err := exec.Command("go", "build", "-o", p.path, "./testdata/tester").CombinedOutput(); err != nil {
		p.err = fmt.Errorf("%w\n%s", err, out)
		return p
	}
	text, err := os.ReadFile(p.path)
	sum := sha256.Sum256(text)
	p.sum, p.err = hex.EncodeToString(sum[:]), err
	return p
})

type plugin struct {
	Name, State, LastError string
	Nodes, Timeouts        int64
}

// plugged runs a hub with plugins, that say what differs from the tester as it is usually run, until each of them is so; the first tells its file the words.
func plugged(t *testing.T, specs string, is func(plugin) error, words ...string) {
	t.Helper()
	if err := tester().err; err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "told")
	usual := []string{"as: enricher", "path: " + tester().path, "sha256: " + tester().sum, "args: [enricher, FILE]", "tenants: ['*']"}
	var list []string
	for _, spec := range strings.SplitAfter(specs, "}") {
		spec = strings.TrimLeft(strings.TrimSuffix(spec, "}"), ", ")
		if spec == "" {
			continue
		}
		for _, u := range usual {
			if key, _, _ := strings.Cut(u, " "); !strings.Contains(spec, key) {
				spec += ", " + u
			}
		}
		list = append(list, spec+"}")
	}
	r := serve(t, t.TempDir(), "plugins: ["+strings.ReplaceAll(strings.Join(list, ", "), "FILE", file)+"]\n")
	r.synthetic(t, nil)
	eventually(t, "the plugins are so", func() error {
		got := get[page[plugin]](t, r, "/api/v1/plugins").Items
		if len(got) != 1 { // who may see nothing of the tenant isn't seen there either
			return want(false, got)
		}
		for _, s := range got {
			if err := is(s); err != nil {
				return err
			}
		}
		return nil
	})
	for _, w := range words {
		tells(t, file, strings.ReplaceAll(w, "FILE", file))
	}
}

func tells(t *testing.T, file, words string) {
	t.Helper()
	eventually(t, "the plugin tells "+words, func() error {
		text, err := os.ReadFile(file)
		if err == nil && !strings.Contains(string(text), words) {
			err = fmt.Errorf("it told %s", text)
		}
		return err
	})
}

// message is what came to a sink.
type message struct {
	At           time.Time `json:"-"`
	Path, Signed string    `json:"-"`
	Rule, Text   string
	Changes      []struct {
		Kind, Namespace, Name, What, From, To string
		Finding                               *struct{ Plugin, Severity string }
	}
}

// sink takes notifications; those to /slow it keeps waiting.
type sink struct {
	mu  sync.Mutex
	got []message
}

func (s *sink) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	m := message{At: time.Now(), Path: r.URL.Path}
	if err != nil || json.Unmarshal(body, &m) != nil {
		w.WriteHeader(http.StatusBadRequest)
		return
	}
	if r.URL.Path == "/slow" {
		<-r.Context().Done()
	}
	mac := hmac.New(sha256.New, []byte("hush"))
	_, _ = fmt.Fprintf(mac, "%s.%s", r.Header.Get("Kubilitics-Timestamp"), body) // a hash takes everything
	if r.Header.Get("Kubilitics-Signature") == "v1="+hex.EncodeToString(mac.Sum(nil)) {
		m.Signed = "hush"
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.got = append(s.got, m)
}

func (s *sink) all() []message {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.got)
}

// tried sends a target a notification without changes, and gives what came; fails are the words of what it fails with, or "".
func tried(t *testing.T, fails, target string, further ...string) message {
	t.Helper()
	s := &sink{}
	plain, secure := httptest.NewServer(s), httptest.NewUnstartedServer(s)
	secure.Config.ErrorLog = log.New(io.Discard, "", 0) // who doesn't believe its certificate is what is tried
	secure.StartTLS()
	t.Cleanup(plain.Close)
	t.Cleanup(secure.Close)
	dir := t.TempDir()
	target = strings.NewReplacer("PLAIN", plain.URL, "SECURE", secure.URL,
		"CA", write(t, filepath.Join(dir, "ca"), string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: secure.Certificate().Raw}))),
		"URLFILE", write(t, filepath.Join(dir, "url"), plain.URL+"/file\n"), "HUSHFILE", write(t, filepath.Join(dir, "hush"), "hush\n")).Replace(target)
	r := serve(t, t.TempDir(), fmt.Sprintf("notify: {targets: [%s], rules: [{name: some, to: [it], tenants: ['*']}]}\n%s\n", target, strings.Join(further, "\n")))
	var got message
	eventually(t, "the target is tried", func() error { // a plugin has to start first
		err := r.Do(t.Context(), "POST", "/api/v1/notify/targets/it/try", nil, nil)
		if fails != "" {
			return want(err != nil && strings.Contains(err.Error(), fails), err)
		}
		if all := s.all(); err == nil && len(all) > 0 {
			got = all[0]
		}
		return err
	})
	return got
}

func targets() map[string]func(*testing.T) {
	comes := func(target, path, signed string) func(*testing.T) {
		return func(t *testing.T) {
			if got := tried(t, "", target); got.Path != path || got.Signed != signed {
				t.Errorf("got %+v", got)
			}
		}
	}
	refused := func(target, fails string) func(*testing.T) { return func(t *testing.T) { tried(t, fails, target) } }
	return map[string]func(*testing.T){
		"name":        comes("{name: it, as: webhook, url: PLAIN/a}", "/a", ""),
		"url":         comes("{name: it, as: webhook, url: PLAIN/b}", "/b", ""),
		"url-file":    comes("{name: it, as: webhook, url-file: URLFILE}", "/file", ""),
		"secret":      comes("{name: it, as: webhook, url: PLAIN/a, secret: hush}", "/a", "hush"),
		"secret-file": comes("{name: it, as: webhook, url: PLAIN/a, secret-file: HUSHFILE}", "/a", "hush"),
		"as": func(t *testing.T) {
			if got := tried(t, "", "{name: it, as: slack, url: SECURE/s, ca-file: CA}"); !strings.HasPrefix(got.Text, "*try*") {
				t.Errorf("Slack got %+v", got)
			}
		},
		"ca-file": func(t *testing.T) {
			comes("{name: it, as: webhook, url: SECURE/s, ca-file: CA}", "/s", "")(t)
			refused("{name: it, as: webhook, url: SECURE/s}", "the target can't be reached")(t)
		},
		"plugin": func(t *testing.T) {
			file := filepath.Join(t.TempDir(), "told")
			spec := "{name: %s, as: notifier, path: " + tester().path + ", sha256: " + tester().sum + ", args: [notifier, " + file + "%s], tenants: ['*']}"
			tried(t, "", "{name: it, as: plugin, plugin: second}", fmt.Sprintf("plugins: ["+spec+", "+spec+"]", "first", "1", "second", "2"))
			tells(t, file+"2", "notified try")
		},
		"public-only": refused("{name: it, as: webhook, url: PLAIN/a, public-only: true}", "the target can't be called"),
		"timeout":     refused("{name: it, as: webhook, url: PLAIN/slow, timeout: 50ms}", "503"),
		"attempts": func(t *testing.T) {
			r := serve(t, t.TempDir(), "notify: {targets: [{name: it, as: webhook, url: 'http://127.0.0.1:1', attempts: 2}], rules: [{name: some, to: [it], tenants: ['*'], "+anyHealth+", window: 50ms}]}\n")
			_, _, a := r.synthetic(t, nil)
			a.Touch(5)
			type letter struct {
				Target   string
				Attempts int
			}
			eventually(t, "it is given up", func() error {
				got := get[page[letter]](t, r, "/api/v1/notify/dead-letters").Items
				return want(len(got) > 0 && got[0] == letter{"it", 2}, got)
			})
		},
	}
}

const anyHealth = "from: [unknown, ok, progressing, warning, error]"

func rules() map[string]func(*testing.T) {
	all := "on: [health, missing, found, finding, resolved], " + anyHealth
	var once sync.Once
	var by map[string][]message
	story := func(t *testing.T) map[string][]message {
		t.Helper()
		needsCluster(t)
		once.Do(func() {
			by = tell(t, map[string]string{
				"all": all, "on": "on: [missing]", "kinds": "kinds: [Pod], " + all, "namespaces": "namespaces: ['config-b*'], " + all, "clusters": "clusters: ['no*'], " + all,
				"from": "from: [unknown]", "becomes": "becomes: [error]", "severity": "on: [finding], severity: warning", "plugins": "on: [finding], plugins: [second]", "window": "window: 3s, " + all,
				"to": "to: [other], " + all, "tenants": "tenants: [other], " + all,
			})
		})
		if by["all"] == nil {
			t.Fatal("nothing was told to anybody")
		}
		return by
	}
	// only: what the rule told is what is so, and there was more.
	only := func(rule string, is func(m message, i int) bool) func(*testing.T) {
		return func(t *testing.T) {
			by, yes, more := story(t), 0, 0
			for _, m := range by[rule] {
				for i, c := range m.Changes {
					if !is(m, i) {
						t.Errorf("told was also %+v", c)
					}
					yes++
				}
			}
			for _, m := range by["all"] {
				for i := range m.Changes {
					if !is(m, i) {
						more++
					}
				}
			}
			if yes == 0 || more == 0 {
				t.Errorf("%d changes were told, and %d others to who wants all", yes, more)
			}
		}
	}
	silent := func(rule string) func(*testing.T) {
		return func(t *testing.T) {
			if got := story(t)[rule]; len(got) > 0 {
				t.Errorf("told was %+v", got)
			}
		}
	}
	return map[string]func(*testing.T){
		"name": func(t *testing.T) { story(t) },
		"to": func(t *testing.T) {
			for rule, list := range story(t) {
				for _, m := range list {
					if (m.Path == "/other") != (rule == "to") {
						t.Errorf("%s was told %s", m.Path, rule)
					}
				}
			}
		},
		"tenants":    silent("tenants"),
		"clusters":   silent("clusters"),
		"on":         only("on", func(m message, i int) bool { return m.Changes[i].What == "missing" }),
		"kinds":      only("kinds", func(m message, i int) bool { return m.Changes[i].Kind == "Pod" }),
		"namespaces": only("namespaces", func(m message, i int) bool { return m.Changes[i].Namespace == "config-b" }),
		"from":       only("from", func(m message, i int) bool { return m.Changes[i].From == "unknown" }),
		"becomes":    only("becomes", func(m message, i int) bool { return m.Changes[i].To == "error" }),
		"severity":   only("severity", func(m message, i int) bool { f := m.Changes[i].Finding; return f != nil && f.Severity == "warning" }),
		"plugins":    only("plugins", func(m message, i int) bool { f := m.Changes[i].Finding; return f != nil && f.Plugin == "second" }),
		"window": func(t *testing.T) {
			by := story(t)
			if late := by["window"][0].At.Sub(by["all"][0].At); late < 2*time.Second {
				t.Errorf("what is gathered for 3 s was told %s after what is for 50 ms", late)
			}
		},
	}
}

// tell runs a hub with such rules on the real cluster, lets something happen there, and gives what each rule told.
func tell(t *testing.T, specs map[string]string) map[string][]message {
	t.Helper()
	s := &sink{}
	server := httptest.NewServer(s)
	defer server.Close()
	var list []string
	for name, spec := range specs {
		for _, usual := range []string{"to: [it]", "tenants: ['*']", "window: 50ms"} {
			if key, _, _ := strings.Cut(usual, " "); !strings.Contains(spec, key) {
				spec += ", " + usual
			}
		}
		list = append(list, "{name: "+name+", "+spec+"}")
	}
	tester := fmt.Sprintf("as: enricher, path: %s, sha256: %s, args: [enricher, /dev/null], tenants: ['*']", tester().path, tester().sum)
	r := serve(t, t.TempDir(), fmt.Sprintf("plugins: [{name: first, %[1]s}, {name: second, %[1]s}]\nnotify: {targets: [{name: it, as: webhook, url: '%[2]s/it'}, {name: other, as: webhook, url: '%[2]s/other'}], rules: [%[3]s]}\n",
		tester, server.URL, strings.Join(list, ", ")))
	id, _, stop := r.real(t, "")
	r.live(t, id)
	for _, step := range []string{story, "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: absent, namespace: NAMESPACE}\n"} {
		for _, namespace := range []string{"config-a", "config-b"} {
			if err := cluster.Apply(t.Context(), []byte(strings.ReplaceAll(step, "NAMESPACE", namespace))); err != nil {
				t.Fatal(err)
			}
		}
		wants := []string{"config-a Pod health", "config-b Pod health", "config-a ConfigMap missing", "config-b ConfigMap missing", "config-a Service finding", "config-b Deployment finding"}
		if step != story {
			wants = []string{"config-a ConfigMap found", "config-b ConfigMap found"}
		}
		for _, w := range wants {
			eventually(t, "who wants all is told "+w, func() error { return heard(s.all(), w) })
		}
	}
	eventually(t, "nothing is left to tell", func() error {
		var behind int64
		got := get[struct{ Rules []struct{ Behind int64 } }](t, r, "/api/v1/notify").Rules
		for _, rule := range got {
			behind += rule.Behind
		}
		return want(behind == 0, got)
	})
	stop()
	r.stop()
	by := map[string][]message{}
	for _, m := range s.all() {
		by[m.Rule] = append(by[m.Rule], m)
	}
	return by
}

func heard(all []message, words string) error {
	for _, m := range all {
		for _, c := range m.Changes {
			if m.Rule == "all" && fmt.Sprint(c.Namespace, " ", c.Kind, " ", c.What) == words {
				return nil
			}
		}
	}
	return fmt.Errorf("%d notifications came", len(all))
}

// story is a Deployment whose Pods don't start and name what isn't there, and a Service.
const story = `
apiVersion: v1
kind: Namespace
metadata: {name: NAMESPACE}
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: till, namespace: NAMESPACE}
spec:
  selector: {matchLabels: {app: till}}
  template:
    metadata: {labels: {app: till}, annotations: {simulate.kubilitics.dev/waiting: CrashLoopBackOff}}
    spec: {containers: [{name: till, image: registry.example/till:1, envFrom: [{configMapRef: {name: absent}}]}]}
---
apiVersion: v1
kind: Service
metadata: {name: till, namespace: NAMESPACE}
spec: {selector: {app: till}, ports: [{port: 80}]}
`
