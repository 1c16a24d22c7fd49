package config

import (
	"context"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/spf13/pflag"
	"go.uber.org/goleak"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
	"go.uber.org/zap/zaptest/observer"

	"github.com/kubilitics/kubilitics/agent"
	"github.com/kubilitics/kubilitics/agent/agenttest"
	"github.com/kubilitics/kubilitics/e2e/kube"
	"github.com/kubilitics/kubilitics/e2e/stack"
	"github.com/kubilitics/kubilitics/hub"
	"github.com/kubilitics/kubilitics/shared/conf"
)

// cluster is a real control plane, for all tests; nil with -short, where only what needs none runs.
var cluster *kube.Cluster

// scratch is for what is built once.
var scratch string

func TestMain(m *testing.M) {
	short := false
	for _, a := range os.Args {
		short = short || a == "-test.short" || a == "-test.short=true"
	}
	var err error
	if scratch, err = os.MkdirTemp("", "kubilitics-config-"); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	code := 0
	if short {
		code = m.Run()
	} else {
		code = kube.Main(m, kube.Options{Name: "config", Nodes: 1}, func(c *kube.Cluster) { cluster = c })
	}
	http.DefaultClient.CloseIdleConnections()
	_ = os.RemoveAll(scratch) // in the system's directory for what is temporary
	if err := goleak.Find(); err != nil && code == 0 {
		fmt.Fprintln(os.Stderr, err)
		code = 1
	}
	os.Exit(code)
}

func needsCluster(t *testing.T) {
	t.Helper()
	if cluster == nil {
		t.Skip("this needs a control plane, which -short has none of")
	}
}

// load reads a configuration as the program does, of a file's text and flags.
func load[T any](t *testing.T, defaults T, file string, args ...string) (T, error) {
	t.Helper()
	set := pflag.NewFlagSet("program", pflag.ContinueOnError)
	conf.Flags(set, defaults)
	if file != "" {
		path := filepath.Join(t.TempDir(), "program.yaml")
		write(t, path, file)
		args = append(args, "--config", path)
	}
	if err := set.Parse(args); err != nil {
		t.Fatal(err)
	}
	return conf.Load(conf.Program{Name: "program", Dirs: []string{}, Environ: []string{}}, set, defaults)
}

func write(t *testing.T, file, text string) string {
	t.Helper()
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

// running is a hub that was told something.
type running struct {
	stack.Client
	hub  *hub.Hub
	logs *observer.ObservedLogs
	stop func()
}

// hubOf makes a hub of a directory, a file's text and flags.
func hubOf(t *testing.T, dir, file string, args ...string) (*hub.Hub, *observer.ObservedLogs, error) {
	t.Helper()
	cfg, err := load(t, hub.DefaultConfig(), file, append([]string{"--listen=127.0.0.1:0", "--tunnel-listen=127.0.0.1:0", "--data-dir=" + dir}, args...)...)
	if err != nil {
		return nil, nil, err
	}
	core, logs := observer.New(zapcore.DebugLevel)
	h, err := hub.New(t.Context(), cfg, zap.New(core))
	return h, logs, err
}

// serve runs one until the test ends or stop is called. What was in the directory before goes on, its administrator's token too.
func serve(t *testing.T, dir, file string, args ...string) *running {
	t.Helper()
	h, logs, err := hubOf(t, dir, file, args...)
	if err != nil {
		t.Fatal(err)
	}
	token := h.BootstrapToken()
	if kept := filepath.Join(dir, "token"); token != "" {
		write(t, kept, token)
	} else if text, err := os.ReadFile(kept); err == nil {
		token = string(text)
	}
	r := &running{Client: stack.Client{URL: h.APIURL(), Token: token}, hub: h, logs: logs}
	r.stop = inBackground(t, h.Run)
	return r
}

// inBackground runs until the test ends or stop is called, which waits for it.
func inBackground(t *testing.T, run func(context.Context) error) (stop func()) {
	ctx, cancel := context.WithCancel(context.WithoutCancel(t.Context()))
	done := make(chan error, 1)
	go func() { done <- run(ctx) }()
	ended := false
	stop = func() {
		if cancel(); !ended {
			ended = true
			if err := <-done; err != nil {
				t.Errorf("it ended with %v", err)
			}
		}
	}
	t.Cleanup(stop)
	return stop
}

// synthetic joins an agent of a made-up cluster, with an API server behind its door unless that is nil, and waits until the hub knows it.
func (r *running) synthetic(t *testing.T, api http.Handler) (id, dir string, a *agenttest.Agent) {
	t.Helper()
	made, err := r.CreateCluster(t.Context(), "synthetic", nil)
	if err != nil {
		t.Fatal(err)
	}
	cfg := agenttest.Config{Hub: r.hub.TunnelAddress(), Token: made.Token, Dir: t.TempDir(), Seed: 1, Objects: 60}
	if api != nil {
		cfg.Kube = serveAPI(t, api)
	}
	if a, err = agenttest.New(cfg); err != nil {
		t.Fatal(err)
	}
	inBackground(t, a.Run)
	r.live(t, made.ID)
	settle(t, a)
	return made.ID, cfg.Dir, a
}

func settle(t *testing.T, a *agenttest.Agent) {
	t.Helper()
	ctx, cancel := stack.Within(t.Context(), 20*time.Second)
	defer cancel()
	if err := a.Settle(ctx); err != nil {
		t.Fatal(err)
	}
}

func (r *running) live(t *testing.T, id string) {
	t.Helper()
	eventually(t, "the cluster is live", func() error {
		c, err := r.Cluster(t.Context(), id)
		if err == nil && c.Freshness.State != "live" {
			err = fmt.Errorf("it is %s", c.Freshness.State)
		}
		return err
	})
}

// real joins the agent of the real cluster, with flags that are under test, which may be used to take back those that are given here.
func (r *running) real(t *testing.T, file string, args ...string) (id string, logs *observer.ObservedLogs, stop func()) {
	t.Helper()
	needsCluster(t)
	made := create(t, r)
	logs, stop = r.join(t, file, append([]string{"--token=" + made.Token}, args...)...)
	return made.ID, logs, stop
}

func (r *running) join(t *testing.T, file string, args ...string) (logs *observer.ObservedLogs, stop func()) {
	t.Helper()
	a, logs, err := agentOf(t, file, append([]string{"--hub=" + r.hub.TunnelAddress()}, args...)...)
	if err != nil {
		t.Fatal(err)
	}
	return logs, inBackground(t, a.Run)
}

func agentOf(t *testing.T, file string, args ...string) (*agent.Agent, *observer.ObservedLogs, error) {
	t.Helper()
	kubeconfig := "" // of a cluster that isn't asked
	if cluster != nil {
		kubeconfig = cluster.KubeconfigPath()
	} else {
		kubeconfig = write(t, filepath.Join(t.TempDir(), "kubeconfig"), "{clusters: [{name: a, cluster: {server: 'https://127.0.0.1:1'}}], contexts: [{name: a, context: {cluster: a}}], current-context: a}")
	}
	before := []string{"--state-dir=" + t.TempDir(), "--kubeconfig=" + kubeconfig}
	cfg, err := load(t, agent.DefaultConfig(), file, append(before, args...)...)
	if err != nil {
		return nil, nil, err
	}
	core, logs := observer.New(zapcore.DebugLevel)
	a, err := agent.New(cfg, zap.New(core))
	return a, logs, err
}

// eventually polls until ok, or fails the test.
func eventually(t *testing.T, what string, ok func() error) {
	t.Helper()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	deadline := time.After(40 * time.Second)
	for {
		err := ok()
		if err == nil {
			return
		}
		select {
		case <-tick.C:
		case <-deadline:
			t.Fatalf("%s: not in time: %v", what, err)
		}
	}
}

// get reads what the hub answers; it must.
func get[T any](t *testing.T, r *running, path string) (out T) {
	t.Helper()
	if err := r.Get(t.Context(), path, &out); err != nil {
		t.Fatal(err)
	}
	return out
}

type page[T any] struct{ Items []T }

// says tells whether a line of the log holds the words, fields included.
func says(logs *observer.ObservedLogs, words ...string) error {
	for _, e := range logs.All() {
		line := fmt.Sprint(e.Message, " ", e.ContextMap())
		ok := true
		for _, w := range words {
			ok = ok && strings.Contains(line, w)
		}
		if ok {
			return nil
		}
	}
	return fmt.Errorf("no line of %d says %q", logs.Len(), words)
}

// complete fails when a key has no try, or a try no key.
func complete[T any](t *testing.T, keys []conf.Key, tries map[string]T) {
	t.Helper()
	known := map[string]bool{}
	for _, k := range keys {
		known[k.Name] = true
		if _, tried := tries[k.Name]; !tried && k.Type != "parts" {
			t.Errorf("the key %s has no test: add one that shows what it does", k.Name)
		}
	}
	for name := range tries {
		if !known[name] {
			t.Errorf("there is a test for %s, which is no key", name)
		}
	}
}
