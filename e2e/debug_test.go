package e2e

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"os/exec"

	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/kubilitics/kubilitics/e2e/stack"
)

// The secrets that are planted wherever a hub is given one. Nothing that it tells of itself may hold any of them.
var plantedSecrets = map[string]string{
	"the database's password": "db-pass-5f1d77c2", "the plugin's environment": "plugin-env-88ab13de", "the plugin's argument": "plugin-arg-2f90b6aa",
	"the webhook's path": "hook-path-77d1c9e0", "the webhook's key": "hook-key-9b51fe02", "the collector's header": "collector-3ac04f61",
	"a token that isn't known": "unknown-token-c7d2e8f4", "what somebody looks for": "looked-for-60b9a1d3", "the Secret in the cluster": planted,
}

// A debug bundle tells how the hub fares and holds none of the secrets that it works with, whether the hub runs or not; nor do the logs.
func TestDebugBundlesHoldNoSecrets(t *testing.T) {
	eachStore(t, func(t *testing.T, db *database) {
		d := debugged(t, db)
		ticket := d.work(t)
		running := d.bundle(t, []string{"--config", d.config, "--hub", d.hub.URL}, "KUBILITICS_TOKEN="+d.hub.Token)
		d.tells(t, running, map[string][]string{
			"about.json": {`"version"`, `"goroutines"`}, "configuration.txt": {"database: ", "notify.targets[0].secret: ********", "trace.headers: ********"},
			"database.json": {`"` + db.name + `"`, `"resources"`}, "clusters.json": {d.members[0].id, `"live"`, `"writes": true`},
			"metrics.txt": {"kubilitics_build_info", "go_goroutines"}, "goroutines.txt": {"goroutine profile"}, "stacks.txt": {"goroutine 1 "}, "heap.pprof": {"\x1f\x8b"},
			"log.jsonl": {`"msg":"the hub serves"`, `"msg":"a debug bundle is made"`, "leaky"}, "plugins.json": {`"leaky"`}, "health.json": {`"ready": "OK"`},
		})
		d.holdsNone(t, running, ticket)
		d.forAdministratorsAlone(t)
		if err := d.hub.Stop(); err != nil {
			t.Error(err)
		}
		still := d.bundle(t, []string{"--config", d.config, "--data-dir", d.dir, "--hub", d.hub.URL}, "KUBILITICS_TOKEN="+d.hub.Token)
		d.tells(t, still, map[string][]string{"configuration.txt": {"database: "}, "database.json": {`"resources"`}, "clusters.json": {d.members[0].id}})
		d.holdsNone(t, still, ticket)
		for name, log := range map[string]*logbook{"hub": d.log, "agent": d.members[0].log} {
			d.holdsNone(t, map[string]string{"the log of the " + name: log.String()}, ticket)
		}
	})
}

type debuggedHub struct {
	*rig
	dir, config string
	join        string // token
}

func debugged(t *testing.T, db *database) *debuggedHub {
	t.Helper()
	d := &debuggedHub{dir: t.TempDir(), config: filepath.Join(t.TempDir(), "kubilitics-hub.yaml")}
	d.configure(t, db)
	var err error
	file := &database{name: db.name, file: filepath.Join(d.dir, "kubilitics.db")} // the configuration names Postgres, password included
	if d.rig, err = newRig(t.Context(), d.dir, file, "--config", d.config); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := errors.Join(d.members[0].agent.Stop(), d.hub.Stop()); err != nil {
			t.Error(err)
		}
	})
	m := d.rig.join(t, world.eu, world.eu.agent)
	d.join = m.options.Token
	d.live(t, m)
	return d
}

// configure writes a configuration that is full of secrets. The plugin prints all that it was given and ends.
func (d *debuggedHub) configure(t *testing.T, db *database) {
	t.Helper()
	program := filepath.Join(t.TempDir(), "leaky")
	script := "#!/bin/sh\necho \"[WARN] leaky was started with $SECRET and $*\" >&2\nexit 1\n"
	if err := os.WriteFile(program, []byte(script), 0o700); err != nil {
		t.Fatal(err)
	}
	s := plantedSecrets
	text := fmt.Sprintf(`
trace: {endpoint: "http://127.0.0.1:9", sample: 1, headers: ["Authorization=Bearer %[1]s"]}
plugins:
- {name: leaky, as: enricher, path: %[2]s, sha256: %[3]x, env: ["SECRET=%[4]s"], args: ["%[5]s"], tenants: [default]}
notify:
  targets:
  - {name: ops, as: webhook, url: "http://127.0.0.1:9/%[6]s", secret: "%[7]s", attempts: 1}
  rules:
  - {name: errors, to: [ops], tenants: [default], kinds: [Pod], becomes: [error], window: 100ms}
`, s["the collector's header"], program, sha256.Sum256([]byte(script)), s["the plugin's environment"], s["the plugin's argument"], s["the webhook's path"], s["the webhook's key"])
	if db.url != "" {
		u, err := url.Parse(db.url)
		if err != nil {
			t.Fatal(err)
		}
		u.User = url.UserPassword(u.User.Username(), s["the database's password"]) // the server trusts whoever is on this machine
		text += fmt.Sprintf("database: %q\n", u)
	}
	if err := os.WriteFile(d.config, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

// work does what leaves traces in what a hub keeps, and gives a ticket that it made.
func (d *debuggedHub) work(t *testing.T) (ticket string) {
	t.Helper()
	var made struct{ Token string }
	if err := d.hub.Do(t.Context(), http.MethodPost, "/api/v1/me/ticket", map[string]any{"lifetime": "5m"}, &made); err != nil {
		t.Fatal(err)
	}
	stranger := stack.Client{URL: d.hub.URL, Token: plantedSecrets["a token that isn't known"]}
	looked := url.QueryEscape(plantedSecrets["what somebody looks for"])
	secret := "/k8s/clusters/" + d.members[0].id + "/api/v1/namespaces/payments/secrets/planted"
	for _, ask := range []func() (string, error){
		func() (string, error) { return stranger.Text(t.Context(), "/api/v1/clusters") },
		func() (string, error) { return d.hub.Text(t.Context(), "/api/v1/search?q="+looked) },
		func() (string, error) { return d.hub.Text(t.Context(), "/api/v1/nothing?q="+looked) },
		func() (string, error) { return d.hub.Text(t.Context(), secret) },
		func() (string, error) {
			return "", d.hub.Do(t.Context(), http.MethodPost, "/api/v1/notify/targets/ops/try", map[string]any{}, nil)
		},
	} {
		_, _ = ask() // whether it is let through is for other tests
	}
	eventually(t, "the plugin has told all it knows", 20*time.Second, func() error {
		if d.log.count("leaky was started with") == 0 {
			return errors.New("it hasn't")
		}
		return nil
	})
	return made.Token
}

// bundle runs the command and unpacks what it wrote.
func (d *debuggedHub) bundle(t *testing.T, args []string, env ...string) map[string]string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "bundle.tar.gz")
	run := exec.CommandContext(t.Context(), world.programs.Hub, append([]string{"debug", "bundle", "--out", file}, args...)...)
	run.Env = append(os.Environ(), env...)
	if out, err := run.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	raw, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	z, err := gzip.NewReader(bytes.NewReader(raw))
	if err != nil {
		t.Fatal(err)
	}
	parts := map[string]string{}
	for archive := tar.NewReader(z); ; {
		head, err := archive.Next()
		if errors.Is(err, io.EOF) {
			return parts
		}
		body, failed := io.ReadAll(archive)
		if err = errors.Join(err, failed); err != nil {
			t.Fatal(err)
		}
		parts[filepath.Base(head.Name)] = string(body)
	}
}

func (d *debuggedHub) tells(t *testing.T, parts map[string]string, want map[string][]string) {
	t.Helper()
	for name, texts := range want {
		for _, text := range texts {
			if !strings.Contains(parts[name], text) {
				t.Errorf("%s doesn't tell %q: %.2000s", name, text, parts[name])
			}
		}
	}
	for name, text := range parts {
		if strings.HasSuffix(name, ".json") && !json.Valid([]byte(text)) {
			t.Errorf("%s is no JSON: %.500s", name, text)
		}
	}
}

// holdsNone looks for each secret as it is, as base64, and as the query of an address.
func (d *debuggedHub) holdsNone(t *testing.T, parts map[string]string, ticket string) {
	t.Helper()
	all := map[string]string{"the administrator's token": d.hub.Token, "a ticket": ticket, "a join token": d.join}
	for what, secret := range plantedSecrets {
		all[what] = secret
	}
	for name, text := range parts {
		if z, err := gzip.NewReader(strings.NewReader(text)); err == nil {
			if plain, err := io.ReadAll(z); err == nil {
				text += string(plain)
			}
		}
		for what, secret := range all {
			own := strings.HasPrefix(name, "the log of") && strings.HasPrefix(what, "the plugin's") // it is the plugin that tells them
			tail := secret[max(0, len(secret)-30):]
			for _, form := range []string{secret, tail, base64.StdEncoding.EncodeToString([]byte(secret)), url.QueryEscape(secret)} {
				if strings.Contains(text, form) && !own {
					at := strings.Index(text, form)
					t.Errorf("%s holds %s: %s", name, what, text[max(0, at-200):min(len(text), at+200)])
					break
				}
			}
		}
	}
}

// forAdministratorsAlone: whoever may only read gets none.
func (d *debuggedHub) forAdministratorsAlone(t *testing.T) {
	t.Helper()
	var made struct{ Secret string }
	reads := map[string]any{"verbs": []string{"get", "list", "watch"}, "clusters": []string{"*"}, "namespaces": []string{"*"}}
	if err := d.hub.Do(t.Context(), http.MethodPost, "/api/v1/tokens", map[string]any{"name": "reader", "bindings": []any{reads}}, &made); err != nil {
		t.Fatal(err)
	}
	reader := stack.Client{URL: d.hub.URL, Token: made.Secret}
	var problem *stack.Problem
	if _, err := reader.Text(t.Context(), "/api/v1/debug/bundle"); !errors.As(err, &problem) || problem.Status != http.StatusForbidden {
		t.Errorf("a reader gets %v", err)
	}
}
