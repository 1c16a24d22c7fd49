// Command bench runs the programs that measure the figures this project promises, one after the other, and passes their
// lines on: "bench NAME VALUE UNIT", and "# …" with what is behind them. With --only it runs those whose figures match.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"regexp"
	"slices"
	"strings"
	"syscall"
)

// program is a package to run, from the root of the tree, and the figures it prints.
type program struct {
	dir     string
	figures []string
}

var programs = []program{
	{"./e2e/bench/engine", []string{
		"engine.pod_update.100k", "engine.service_selector.100k", "engine.heap_bytes_per_object", "rules.full_row_set.pod", "rules.full_row_set.pod.from_json",
	}},
	{"./hub/internal/layout/layoutbench", []string{"layout.layered.1k", "layout.packed.50k"}},
	{"./hub/internal/store/historybench", []string{"history.bytes_per_change"}},
	{"./hub/internal/query/querybench", []string{
		"topology.neighbourhood.d3.p95", "topology.namespace.p95", "topology.cluster.aggregate.p95", "topology.at.vs_now", "list.label_page.p95", "search.p95",
	}},
	{"./hub/internal/store/ingestbench", []string{
		"ingest.snapshot.postgres.vs_copy", "ingest.snapshot.postgres.rows_per_s", "ingest.delta.postgres.vs_upsert", "ingest.delta.postgres.changes_per_s",
		"ingest.snapshot.sqlite.vs_copy", "ingest.snapshot.sqlite.rows_per_s", "ingest.delta.sqlite.vs_upsert", "ingest.delta.sqlite.changes_per_s",
	}},
	{"./e2e/bench/tunnel", []string{"tunnel.cpu_per_GB.vs_tls", "tunnel.small_under_bulk.p50", "tunnel.stalled_reader.p99"}},
	{"./e2e/bench/sync", []string{
		"sync.reconnect.bytes.100k", "sync.reconnect.bytes.100k.changed100", "sync.resync.s.100k",
		"hub.idle_agent.goroutines", "hub.idle_agent.KiB", "hub.idle_agent.KiB.after_4MB",
	}},
	{"./e2e/bench/proxy", []string{
		"proxy.get.overhead.p50", "proxy.list.20MB.vs_direct", "proxy.small_under_bulk.vs_direct", "proxy.cpu_us_per_request", "proxy.watches.1000.MiB",
		"proxy.watches.1000.goroutines",
	}},
	{"./e2e/bench/footprint", []string{
		"footprint.bytes_per_object.postgres.topology", "footprint.bytes_per_object.postgres.manifests", "footprint.us_per_change.postgres.topology",
		"footprint.KiB_per_stream.postgres.topology",
	}},
	{"./e2e/bench/image", []string{"image.agent.MB", "image.hub.MB"}},
	{"./e2e/bench/desktop", []string{"desktop.ready.s", "desktop.20contexts.s", "desktop.rss"}},
	{"./e2e/bench/freshness", []string{"e2e.freshness.p99"}},
	{"./e2e/bench/agent", []string{"agent.rss_peak.5k", "agent.first_sync.5k", "agent.rss_peak.20k_pods", "agent.cpu_ms_per_1k_events"}},
}

func main() {
	only := flag.String("only", "", "a regular expression; only programs that print a figure matching it are run")
	flag.Usage = func() {
		fmt.Fprintf(flag.CommandLine.Output(), "Usage: bench [--only PATTERN]\n\nPrints every figure as \"bench NAME VALUE UNIT\".\n\n")
		flag.PrintDefaults()
	}
	flag.Parse()
	pattern, err := regexp.Compile(*only)
	if err != nil {
		fmt.Fprintln(os.Stderr, "bench: --only:", err)
		os.Exit(2)
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err = runAll(ctx, pattern)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

// runAll runs every program that matches, also after one has failed, and gives all failures.
func runAll(ctx context.Context, pattern *regexp.Regexp) error {
	var failures []error
	for _, p := range programs {
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if !slices.ContainsFunc(p.figures, pattern.MatchString) {
			continue
		}
		fmt.Printf("# %s\n", strings.TrimPrefix(p.dir, "./"))
		cmd := exec.CommandContext(ctx, "go", "run", p.dir)
		cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGINT) }
		cmd.Stdout, cmd.Stderr = os.Stdout, os.Stderr
		if err := cmd.Run(); err != nil {
			failures = append(failures, fmt.Errorf("%s: %w", p.dir, err))
		}
	}
	return errors.Join(failures...)
}
