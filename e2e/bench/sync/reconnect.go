package main

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"time"

	"go.uber.org/zap"

	"github.com/kubilitics/kubilitics/agent/agenttest"
	"github.com/kubilitics/kubilitics/e2e/bench/measure"
	"github.com/kubilitics/kubilitics/e2e/stack"
	"github.com/kubilitics/kubilitics/shared/pgtest"
)

const (
	repeats      = 7
	changed      = 100 // objects that change while the agent is away
	loadTimeout  = 5 * time.Minute
	agreeTimeout = time.Minute
)

// onSQLite measures on the embedded store, and its figures are the ones that count: nothing in them depends on where the hub keeps its digests
// but the reading of three small tables.
func onSQLite(ctx context.Context, s settings) error {
	got, err := reconnects(ctx, s, "sqlite", "")
	if err != nil {
		return err
	}
	got.lines()
	return nil
}

// onPostgres measures the same on the other store, for comparison.
func onPostgres(ctx context.Context, s settings) (err error) {
	server, err := pgtest.Start(ctx, true)
	if errors.Is(err, pgtest.ErrNone) {
		measure.Note("sync on postgres: not measured: %v", err)
		return nil
	}
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, server.Stop()) }()
	_, err = reconnects(ctx, s, "postgres", server.DSN)
	return err
}

// sample is one reconnect.
type sample struct {
	bytes, in, out float64
	seconds        float64 // from the first byte of the dial until the hub has acknowledged everything
}

// result is the medians on one store.
type result struct{ nothing, some sample }

func (r result) lines() {
	measure.Line("sync.reconnect.bytes.100k", r.nothing.bytes, "bytes")
	measure.Line("sync.reconnect.bytes.100k.changed100", r.some.bytes, "bytes")
	measure.Line("sync.resync.s.100k", r.nothing.seconds, "s")
}

// reconnects runs a hub and one agent, which loses its session again and again.
func reconnects(ctx context.Context, s settings, store, dsn string) (r result, err error) {
	dir, err := os.MkdirTemp("", "kubilitics-bench-")
	if err != nil {
		return r, err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	hub, err := stack.ServeInside(ctx, filepath.Join(dir, "hub"), dsn, zap.NewNop())
	if err != nil {
		return r, err
	}
	defer func() { err = errors.Join(err, hub.Stop()) }()
	for _, topology := range []bool{true, false} {
		err := with(ctx, hub, filepath.Join(dir, "agent"), agenttest.Config{Seed: 1, Objects: s.objects, Topology: topology}, func(a *agenttest.Agent, began time.Time) error {
			load(a, began, store, topology)
			if topology {
				return nil
			}
			r, err = reconnect(ctx, a, store)
			return err
		})
		if err != nil {
			return r, err
		}
	}
	return r, nil
}

// with joins an agent whose graph is built before it dials, waits for its first load, and gives it.
func with(ctx context.Context, hub *stack.Inside, dir string, cfg agenttest.Config, do func(a *agenttest.Agent, dialled time.Time) error) (err error) {
	name := "manifests"
	if cfg.Topology {
		name = "topology"
	}
	made, err := hub.CreateCluster(ctx, name, nil)
	if err != nil {
		return err
	}
	cfg.Hub, cfg.Token, cfg.Dir = hub.Tunnels, made.Token, filepath.Join(dir, name)
	if !cfg.Topology {
		cfg.KubeUID = "11111111-0000-4000-8000-000000000000" // its twin has the one of the seed
	}
	a, err := agenttest.New(cfg)
	if err != nil {
		return err
	}
	resume := a.Pause()
	running, cancel := context.WithCancel(ctx)
	done := make(chan error, 1)
	go func() { done <- a.Run(running) }()
	defer func() {
		cancel()
		err = errors.Join(err, <-done)
	}()
	within, stop := stack.Within(ctx, loadTimeout)
	defer stop()
	if err := a.Absorbed(within); err != nil {
		return err
	}
	resume()
	if err := a.Settle(within); err != nil {
		return err
	}
	dialled, _, _ := a.Session()
	return do(a, dialled)
}

func load(a *agenttest.Agent, began time.Time, store string, topology bool) {
	took := time.Since(began)
	_, _, out := a.Session()
	what := "and the manifests of all"
	if topology {
		what = "without manifests"
	}
	st := a.Stats()
	measure.Note("first load on %s: %d nodes, %d edges, %s: %.2f s from the dial to the last acknowledgement, %.1f MB sent", store, st.Nodes, st.Edges, what, took.Seconds(), float64(out)/1e6)
}

func reconnect(ctx context.Context, a *agenttest.Agent, store string) (r result, err error) {
	for _, m := range []struct {
		into *sample
		n    int
		name string
	}{{&r.nothing, 0, "nothing changed"}, {&r.some, changed, "100 objects changed"}} {
		var all []sample
		for range repeats {
			one, err := again(ctx, a, m.n)
			if err != nil {
				return r, err
			}
			all = append(all, one)
		}
		*m.into = medians(all)
		measure.Note("reconnect on %s, %s, manifests shared: medians of %d: %.0f bytes (%.0f to the agent + %.0f from it, below TLS, handshake included), %.3f s from the dial until both agree",
			store, m.name, repeats, m.into.bytes, m.into.in, m.into.out, m.into.seconds)
	}
	return r, nil
}

// again cuts the session, lets n objects change meanwhile, and measures until hub and agent agree again.
func again(ctx context.Context, a *agenttest.Agent, n int) (sample, error) {
	ctx, cancel := stack.Within(ctx, agreeTimeout)
	defer cancel()
	resume := a.Pause()
	a.Touch(n)
	if err := a.Absorbed(ctx); err != nil {
		return sample{}, err
	}
	resume()
	if err := a.Settle(ctx); err != nil {
		return sample{}, err
	}
	dialled, in, out := a.Session()
	return sample{bytes: float64(in + out), in: float64(in), out: float64(out), seconds: time.Since(dialled).Seconds()}, nil
}

func medians(all []sample) sample {
	of := func(field func(sample) float64) float64 {
		var vs []float64
		for _, s := range all {
			vs = append(vs, field(s))
		}
		return measure.Quantile(vs, 0.5)
	}
	return sample{
		bytes: of(func(s sample) float64 { return s.bytes }), in: of(func(s sample) float64 { return s.in }),
		out: of(func(s sample) float64 { return s.out }), seconds: of(func(s sample) float64 { return s.seconds }),
	}
}
