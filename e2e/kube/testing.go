package kube

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"syscall"
	"testing"
)

// ForTest starts a cluster that ends with the test. The first use on a machine builds the programs, which takes
// minutes: mind go test's -timeout.
func ForTest(t testing.TB, opts Options) *Cluster {
	t.Helper()
	if opts.Log == nil {
		opts.Log = os.Stderr // not t.Log, which would show the progress only at the end
	}
	c, err := Start(t.Context(), opts)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := c.Stop(context.WithoutCancel(t.Context())); err != nil {
			t.Errorf("stop cluster %s: %v", c.opts.Name, err)
		}
	})
	return c
}

// Main runs a package's tests with one cluster for all of them, which it hands to use before the first, and
// returns the exit code:
//
//	var cluster *kube.Cluster
//
//	func TestMain(m *testing.M) {
//		os.Exit(kube.Main(m, kube.Options{}, func(c *kube.Cluster) { cluster = c }))
//	}
func Main(m interface{ Run() int }, opts Options, use func(*Cluster)) int {
	if opts.Log == nil {
		opts.Log = os.Stderr
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	c, err := Start(ctx, opts)
	stop() // from here on a signal ends the process, and the guard ends the cluster
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	use(c)
	code := m.Run()
	if err := c.Stop(context.Background()); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return code
}
