package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"go.uber.org/zap"

	"github.com/kubilitics/kubilitics/e2e/bench/measure"
	"github.com/kubilitics/kubilitics/e2e/stack"
	"github.com/kubilitics/kubilitics/shared/pgtest"
)

const (
	warmAgents = 8                // connected before the count begins, so that caches and pools are what they are in a hub that runs
	quiet      = 15 * time.Second // of nothing but heartbeats before each look: sessions give their buffers back within two of them
)

// idle measures what a connected agent that says nothing costs the whole hub, before and after its first load of 4 MB. The hub is in this process, on
// Postgres, so that no database's cache is counted; the agents are in another.
func idle(ctx context.Context, s settings) (err error) {
	database, err := pgtest.Start(ctx, false)
	if errors.Is(err, pgtest.ErrNone) {
		measure.Note("hub.idle_agent: NOT MEASURED: %v", err)
		return nil
	}
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, database.Stop()) }()
	dir, err := os.MkdirTemp("", "kubilitics-idle-")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	hub, err := stack.ServeInside(ctx, dir, database.DSN, zap.NewNop())
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, hub.Stop()) }()
	warm, err := agents(ctx, hub, "warm", warmAgents)
	if err != nil {
		return err
	}
	defer warm.stop()
	if err := errors.Join(warm.do("connect"), warm.do("send")); err != nil {
		return err
	}
	return compare(ctx, hub, s.agents)
}

// agents makes clusters and a process of their agents, which wait for a word.
func agents(ctx context.Context, hub *stack.Inside, name string, n int) (*fleet, error) {
	o := order{Hub: hub.Tunnels}
	for i := range n {
		made, err := hub.CreateCluster(ctx, fmt.Sprintf("%s-%04d", name, i), nil)
		if err != nil {
			return nil, err
		}
		o.Tokens = append(o.Tokens, made.Token)
	}
	return startFleet(ctx, o)
}

func compare(ctx context.Context, hub *stack.Inside, n int) error {
	f, err := agents(ctx, hub, "idle", n)
	if err != nil {
		return err
	}
	defer f.stop()
	before, err := look(ctx)
	if err != nil {
		return err
	}
	if err := f.do("connect"); err != nil {
		return err
	}
	connected, err := look(ctx)
	if err != nil {
		return err
	}
	each := func(now, then float64) float64 { return (now - then) / float64(n) }
	measure.Note("hub.idle_agent: %d agents of the whole hub on Postgres; goroutines %d, then %d; RSS %.0f KiB, then %.0f", n, before.Goroutines, connected.Goroutines, before.RSS, connected.RSS)
	measure.Line("hub.idle_agent.goroutines", each(float64(connected.Goroutines), float64(before.Goroutines)), "goroutines")
	measure.Line("hub.idle_agent.KiB", each(connected.RSS, before.RSS), "KiB")
	if err := f.do("send"); err != nil {
		return err
	}
	sent, err := look(ctx)
	if err != nil {
		return err
	}
	measure.Note("hub.idle_agent.after_4MB: %d agents sent %d frames of %d bytes each; RSS %.0f KiB", n, snapshotFrames, frameBody, sent.RSS)
	measure.Line("hub.idle_agent.KiB.after_4MB", each(sent.RSS, before.RSS), "KiB")
	return nil
}

// look waits until nothing but heartbeats is left, and measures.
func look(ctx context.Context) (measure.Size, error) {
	select {
	case <-time.After(quiet):
		return measure.Settled()
	case <-ctx.Done():
		return measure.Size{}, ctx.Err()
	}
}
