// Command footprint measures what operators plan with: the room that objects take in the database, and what the hub, a process of its own, spends in time on
// loading and changing them and in memory on each client of its streams. The cluster is a synthetic one, behind the real uplink.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/kubilitics/kubilitics/agent/agenttest"
	"github.com/kubilitics/kubilitics/e2e/bench/measure"
	"github.com/kubilitics/kubilitics/e2e/stack"
	"github.com/kubilitics/kubilitics/shared/pgtest"
)

type settings struct{ objects, changes, clients int }

func main() {
	var s settings
	flag.IntVar(&s.objects, "objects", 20000, "in the cluster")
	flag.IntVar(&s.changes, "changes", 20000, "of the status of objects, after the first load")
	flag.IntVar(&s.clients, "clients", 500, "of streams")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := run(ctx, s)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "footprint:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, s settings) (err error) {
	dir, err := os.MkdirTemp("", "kubilitics-footprint-")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	programs, err := stack.Build(ctx, filepath.Join(dir, "bin"), os.Stderr)
	if err != nil {
		return err
	}
	for _, share := range []string{"topology", "manifests"} {
		t := &trial{settings: s, program: programs.Hub, dir: filepath.Join(dir, "sqlite-"+share), share: share, name: "sqlite"}
		if err := t.run(ctx); err != nil {
			return err
		}
		if err := onPostgres(ctx, &trial{settings: s, program: programs.Hub, dir: filepath.Join(dir, "postgres-"+share), share: share, name: "postgres"}); err != nil {
			return err
		}
	}
	return nil
}

func onPostgres(ctx context.Context, t *trial) (err error) {
	server, err := pgtest.Start(ctx, true)
	if errors.Is(err, pgtest.ErrNone) {
		measure.Note("without Postgres: %v", err)
		return nil
	}
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, server.Stop()) }()
	t.database = server.DSN
	return t.run(ctx)
}

// trial is one hub with one cluster.
type trial struct {
	settings
	program, dir, database, name, share string

	hub   *stack.Hub
	agent *agenttest.Agent
}

func (t *trial) run(ctx context.Context) (err error) {
	if t.hub, err = stack.StartHub(ctx, stack.HubOptions{Program: t.program, Dir: filepath.Join(t.dir, "hub"), Database: t.database}); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, t.hub.Stop()) }()
	made, err := t.hub.CreateCluster(ctx, "synthetic", nil)
	if err != nil {
		return err
	}
	t.agent, err = agenttest.New(agenttest.Config{Hub: t.hub.Tunnels, Token: made.Token, Dir: filepath.Join(t.dir, "agent"), Seed: 1, Objects: t.objects, Topology: t.share == "topology"})
	if err != nil {
		return err
	}
	within, end := context.WithCancel(ctx)
	done := make(chan error, 1)
	before, err := t.size(ctx)
	if err != nil {
		end()
		return err
	}
	go func() { done <- t.agent.Run(within) }()
	defer func() {
		end()
		err = errors.Join(err, <-done)
	}()
	return t.measure(ctx, before)
}

func (t *trial) measure(ctx context.Context, before int64) error {
	name := func(figure string) string { return "footprint." + figure + "." + t.name + "." + t.share }
	cpu, err := t.spent(func() error { return t.settle(ctx) })
	if err != nil {
		return err
	}
	loaded, err := t.size(ctx)
	if err != nil {
		return err
	}
	measure.Line(name("bytes_per_object"), float64(loaded-before)/float64(t.objects), "B")
	measure.Line(name("load_us_per_object"), float64(cpu.Microseconds())/float64(t.objects), "us")
	cpu, err = t.spent(func() error {
		t.agent.Touch(t.changes)
		return t.settle(ctx)
	})
	if err != nil {
		return err
	}
	changed, err := t.size(ctx)
	if err != nil {
		return err
	}
	measure.Line(name("us_per_change"), float64(cpu.Microseconds())/float64(t.changes), "us")
	measure.Line(name("bytes_per_change"), float64(changed-loaded)/float64(t.changes), "B")
	if t.share == "manifests" {
		return nil
	}
	return t.streams(ctx, name("KiB_per_stream"))
}

func (t *trial) settle(ctx context.Context) error {
	within, cancel := stack.Within(ctx, 5*time.Minute)
	defer cancel()
	return t.agent.Settle(within)
}

// spent is the processor time that the hub takes for something.
func (t *trial) spent(do func() error) (time.Duration, error) {
	before, err := measure.CPUOf(t.hub.PID())
	if err != nil {
		return 0, err
	}
	if err := do(); err != nil {
		return 0, err
	}
	after, err := measure.CPUOf(t.hub.PID())
	return after - before, err
}

// size of the database, in bytes.
func (t *trial) size(ctx context.Context) (n int64, err error) {
	if t.database == "" {
		for _, file := range []string{"kubilitics.db", "kubilitics.db-wal"} {
			if info, err := os.Stat(filepath.Join(t.dir, "hub", file)); err == nil {
				n += info.Size()
			}
		}
		return n, nil
	}
	conn, err := pgx.Connect(ctx, t.database)
	if err != nil {
		return 0, err
	}
	err = conn.QueryRow(ctx, "SELECT pg_database_size(current_database())").Scan(&n)
	return n, errors.Join(err, conn.Close(ctx))
}

// streams opens clients who hear of everything, and measures what the hub holds for them while nothing happens.
func (t *trial) streams(ctx context.Context, name string) error {
	before, err := measure.Resident(t.hub.PID())
	if err != nil {
		return err
	}
	for range t.clients {
		s, err := t.hub.Stream(ctx, map[string]any{"type": "subscribe", "id": "all"})
		if err != nil {
			return err
		}
		defer s.Close()
		if _, err := s.Next(ctx); err != nil { // the subscription is confirmed
			return err
		}
	}
	after, err := measure.Resident(t.hub.PID())
	if err != nil {
		return err
	}
	measure.Line(name, (after-before)/float64(t.clients), "KiB")
	measure.Note("%s: %.0f KiB before, %.0f with %d clients", name, before, after, t.clients)
	return nil
}
