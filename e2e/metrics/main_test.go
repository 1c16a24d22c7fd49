package metrics

import (
	"context"
	"crypto/sha256"
	"errors"
	"flag"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"
	"golang.org/x/sync/errgroup"

	"github.com/kubilitics/kubilitics/e2e/kube"
	"github.com/kubilitics/kubilitics/e2e/stack"
)

var rewrite = flag.Bool("rewrite", false, "write the tables of docs/metrics.md anew")

// world is a cluster, its agent and a hub that has a plugin and somebody to notify.
var world struct {
	dir     string
	bin     kube.Bin
	cluster *kube.Cluster
	hub     *stack.Hub
	agent   *stack.Agent
	face    string // where the agent shows its metrics
	id      string // of the cluster, at the hub
}

func TestMain(m *testing.M) {
	flag.Parse()
	if testing.Short() {
		fmt.Fprintln(os.Stderr, "metrics: nothing runs with -short: these tests start a real control plane")
		return
	}
	code, err := run(m)
	if err != nil {
		fmt.Fprintln(os.Stderr, "metrics:", err)
		code = max(code, 1)
	}
	os.Exit(code)
}

func run(m *testing.M) (code int, err error) {
	if world.dir, err = os.MkdirTemp("", "kubilitics-metrics-"); err != nil {
		return 1, err
	}
	deaf := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusServiceUnavailable) }))
	defer func() { err = errors.Join(err, leave(deaf)) }()
	ctx, cancel := stack.Within(context.Background(), 15*time.Minute) // the first run on a machine builds Kubernetes and promtool
	defer cancel()
	if err := prepare(ctx, deaf.URL); err != nil {
		return 1, err
	}
	return m.Run(), nil
}

func prepare(ctx context.Context, deaf string) (err error) {
	if world.bin, err = kube.Programs(ctx, os.Stderr); err != nil {
		return err
	}
	if err := kube.Promtool(ctx, &world.bin, os.Stderr); err != nil {
		return err
	}
	var programs stack.Programs
	g, within := errgroup.WithContext(ctx)
	g.Go(func() (err error) {
		programs, err = stack.Build(within, filepath.Join(world.dir, "bin"), os.Stderr)
		return err
	})
	g.Go(func() (err error) {
		world.cluster, err = kube.Start(within, kube.Options{Name: "metrics", Nodes: 1, Dir: world.dir, Bin: &world.bin})
		return err
	})
	if err := g.Wait(); err != nil {
		return err
	}
	return start(ctx, programs, deaf)
}

// start starts a hub with all that has metrics of its own, and an agent that shows its face.
func start(ctx context.Context, programs stack.Programs, deaf string) error {
	useless := filepath.Join(world.dir, "useless")
	text := []byte("#!/bin/sh\nexit 1\n")
	if err := os.WriteFile(useless, text, 0o755); err != nil {
		return err
	}
	config := filepath.Join(world.dir, "hub.yaml")
	err := os.WriteFile(config, fmt.Appendf(nil, `
plugins: [{name: costs, as: enricher, path: %s, sha256: %x, tenants: ["*"]}]
notify:
  targets: [{name: deaf, as: webhook, url: %s, attempts: 1}]
  rules: [{name: all, to: [deaf], tenants: ["*"], "on": [found, missing, health]}]
`, useless, sha256.Sum256(text), deaf), 0o600)
	if err != nil {
		return err
	}
	if world.hub, err = stack.StartHub(ctx, stack.HubOptions{Program: programs.Hub, Dir: filepath.Join(world.dir, "hub"), Args: []string{"--config", config}}); err != nil {
		return err
	}
	log := &logbook{}
	world.id, world.agent, err = world.hub.Join(ctx, "metrics", nil, stack.AgentOptions{
		Program: programs.Agent, Dir: world.dir, Kubeconfig: world.cluster.KubeconfigPath(), Log: log, Args: []string{"--listen", "127.0.0.1:0", "--access", "operate"},
	})
	if err != nil {
		return err
	}
	if err := world.hub.AwaitLive(ctx, world.id); err != nil {
		return fmt.Errorf("%w\n%s", err, world.agent.Log())
	}
	world.face, err = log.face()
	return err
}

func leave(deaf *httptest.Server) error {
	var errs []error
	if world.agent != nil {
		errs = append(errs, world.agent.Stop())
	}
	if world.hub != nil {
		errs = append(errs, world.hub.Stop())
	}
	if world.cluster != nil {
		errs = append(errs, world.cluster.Stop(context.Background()))
	}
	deaf.Close()
	http.DefaultClient.CloseIdleConnections()
	return errors.Join(append(errs, os.RemoveAll(world.dir), goleak.Find())...)
}

// eventually polls until check is content.
func eventually(t *testing.T, what string, check func() error) {
	t.Helper()
	ctx, cancel := stack.Within(t.Context(), time.Minute)
	defer cancel()
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for {
		err := check()
		if err == nil {
			return
		}
		select {
		case <-ctx.Done():
			t.Fatalf("%s: %v: %v", what, context.Cause(ctx), err)
		case <-tick.C:
		}
	}
}

func fetch(t *testing.T, url, token string) string {
	t.Helper()
	status, text := call(t, http.MethodGet, url, token, "")
	if status != http.StatusOK {
		t.Fatalf("%s: %d %s", url, status, text)
	}
	return text
}

// call asks, and takes whatever is answered.
func call(t *testing.T, method, url, token, body string) (int, string) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, url, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/json")
	if token != "" {
		req.Header.Set("Authorization", "Bearer "+token)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, string(text)
}
