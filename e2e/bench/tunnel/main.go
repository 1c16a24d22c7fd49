// Command tunnel measures the tunnel by itself: what a byte costs, what a small request waits beside a bulk or a stalled
// one, and what an idle agent costs the hub. It prints the lines of make bench.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"strings"

	"github.com/kubilitics/kubilitics/e2e/bench/measure"
)

func main() {
	only := flag.String("only", "", "measure only what contains this text: cpu, bulk, stalled, idle")
	cpuprofile := flag.String("cpuprofile", "", "write a processor profile here")
	agents := flag.Bool("agents", false, "be the process of the agents (the idle measurement starts it)")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	do := func() error { return run(ctx, *only, *cpuprofile) }
	if *agents {
		do = func() error { return beFleet(ctx) }
	}
	if err := do(); err != nil {
		fmt.Fprintln(os.Stderr, "bench tunnel:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, only, cpuprofile string) error {
	stop, err := measure.Profile(cpuprofile)
	if err != nil {
		return err
	}
	defer stop()
	for _, m := range []struct {
		name string
		run  func(context.Context) error
	}{
		{"cpu", cpuPerGB},
		{"bulk", smallUnderBulk},
		{"stalled", stalledReader},
		{"idle", idle},
	} {
		if !strings.Contains(m.name, only) {
			continue
		}
		if err := m.run(ctx); err != nil {
			return fmt.Errorf("%s: %w", m.name, err)
		}
	}
	return nil
}
