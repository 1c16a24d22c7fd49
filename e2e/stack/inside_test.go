package stack

import (
	"context"
	"net/http"
	"path/filepath"
	"testing"
	"time"

	"go.uber.org/goleak"
	"go.uber.org/zap/zaptest"

	"github.com/kubilitics/kubilitics/agent/agenttest"
)

func TestMain(m *testing.M) {
	goleak.VerifyTestMain(m)
}

// inside starts a hub in this process.
func inside(t *testing.T) *Inside {
	t.Helper()
	in, err := ServeInside(t.Context(), t.TempDir(), "", zaptest.NewLogger(t))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := in.Stop(); err != nil {
			t.Error(err)
		}
		http.DefaultClient.CloseIdleConnections()
	})
	return in
}

// join runs a synthetic agent as a new cluster.
func join(t *testing.T, in *Inside, name string, cfg agenttest.Config) *agenttest.Agent {
	t.Helper()
	made, err := in.CreateCluster(t.Context(), name, nil)
	if err != nil {
		t.Fatal(err)
	}
	cfg.Hub, cfg.Token, cfg.Dir = in.Tunnels, made.Token, filepath.Join(t.TempDir(), name)
	return run(t, cfg)
}

func run(t *testing.T, cfg agenttest.Config) *agenttest.Agent {
	t.Helper()
	cfg.Log = zaptest.NewLogger(t)
	a, err := agenttest.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- a.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	return a
}

func settle(t *testing.T, a *agenttest.Agent) {
	t.Helper()
	ctx, cancel := Within(t.Context(), 30*time.Second)
	defer cancel()
	if err := a.Settle(ctx); err != nil {
		t.Fatal(err)
	}
}

// present counts the objects that the hub shows of a cluster.
func present(t *testing.T, in *Inside, a *agenttest.Agent) int {
	t.Helper()
	var s struct {
		Cluster struct{ Resources int }
		Kinds   []struct {
			Group string
			Count int
		}
	}
	if err := in.Get(t.Context(), "/api/v1/clusters/"+a.Cluster()+"/info", &s); err != nil {
		t.Fatal(err)
	}
	n := s.Cluster.Resources
	for _, k := range s.Kinds {
		if k.Group == "kubilitics.io" { // hosts and images are no objects
			n -= k.Count
		}
	}
	return n
}

// A synthetic agent does at the hub what a real one does: everything that happens in its cluster arrives, also what happens while it is away.
func TestASyntheticClusterArrives(t *testing.T) {
	in := inside(t)
	a := join(t, in, "made-up", agenttest.Config{Seed: 1, Objects: 3000})
	settle(t, a)
	for _, step := range []struct {
		name string
		do   func()
	}{
		{"first load", func() {}},
		{"status changes", func() { a.Touch(200) }},
		{"new objects", func() { a.Add(300) }},
		{"removals", func() { a.Remove(400) }},
		{"made anew", func() { a.Replace(50) }},
		{"a cut", a.Disconnect},
		{"changes while away", func() { resume := a.Pause(); a.Remove(100); a.Touch(50); resume() }},
	} {
		step.do()
		settle(t, a)
		if got := present(t, in, a); got != a.Len() {
			t.Errorf("%s: the hub shows %d objects, there are %d", step.name, got, a.Len())
		}
	}
}

func TestPauseHoldsUntilResumed(t *testing.T) {
	in := inside(t)
	a := join(t, in, "made-up", agenttest.Config{Seed: 2, Objects: 100})
	settle(t, a)
	first, _, _ := a.Session()
	resume := a.Pause()
	a.Add(10)
	ctx, cancel := Within(t.Context(), 10*time.Second)
	defer cancel()
	if err := a.Absorbed(ctx); err != nil {
		t.Fatal(err)
	}
	if s := a.Stats(); s.Synced {
		t.Errorf("synced while paused: %+v", s)
	}
	resume()
	settle(t, a)
	if second, in, out := a.Session(); !second.After(first) || in == 0 || out == 0 {
		t.Errorf("the second session was begun at %s after %s, and took %d and %d bytes", second, first, in, out)
	}
}
