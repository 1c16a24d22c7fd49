// Command sync measures what hub and agent say to each other, with a real hub and agents of made-up clusters: what a reconnect costs, how
// long it takes until both agree again, and what a connected agent costs the hub that has nothing to tell. It prints the lines of make bench.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"strings"
	"syscall"

	"github.com/kubilitics/kubilitics/e2e/bench/measure"
)

// settings are the flags.
type settings struct {
	only    string
	objects int
	agents  int
	fleet   bool
	profile string
}

func main() {
	var s settings
	flag.StringVar(&s.only, "only", "", "measure only what contains this text: sqlite, postgres, idle")
	flag.IntVar(&s.objects, "objects", 100_000, "size of the cluster that reconnects")
	flag.IntVar(&s.agents, "agents", 500, "how many idle agents the hub carries")
	flag.BoolVar(&s.fleet, "fleet", false, "be the process of the idle agents (their measurement starts it)")
	flag.StringVar(&s.profile, "cpuprofile", "", "write a processor profile here")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	do := run
	if s.fleet {
		do = beFleet
	}
	err := do(ctx, s)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "bench sync:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, s settings) error {
	stop, err := measure.Profile(s.profile)
	if err != nil {
		return err
	}
	defer stop()
	for _, m := range []struct {
		name string
		run  func(context.Context, settings) error
	}{
		{"sqlite", onSQLite},
		{"postgres", onPostgres},
		{"idle", idle},
	} {
		if !strings.Contains(m.name, s.only) {
			continue
		}
		if err := m.run(ctx, s); err != nil {
			return fmt.Errorf("%s: %w", m.name, err)
		}
	}
	return nil
}
