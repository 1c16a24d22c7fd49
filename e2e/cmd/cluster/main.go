// Command cluster starts real Kubernetes control planes with simulated nodes, prints how to reach them, and
// keeps them until it is interrupted. It leaves nothing behind.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"sync"
	"syscall"

	"github.com/kubilitics/kubilitics/e2e/kube"
)

const usage = `Usage: cluster [flags]

Starts Kubernetes: etcd, API server, controller manager and scheduler are the real programs, the nodes are
simulated. Prints the kubeconfig and runs until Ctrl-C, which removes everything. The first run builds the
programs, which takes some minutes.

Exit code: 0 after an interrupt, 1 when a cluster fails, 2 for wrong flags.

Flags:
`

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	code := run(ctx, os.Args[1:], os.Stdout, os.Stderr)
	stop()
	os.Exit(code)
}

type settings struct {
	name         string
	nodes, count int
}

func run(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	set, err := parse(args, stderr)
	if errors.Is(err, flag.ErrHelp) {
		return 0
	}
	if err != nil {
		return 2
	}
	if err := serve(ctx, set, stdout, stderr); err != nil && ctx.Err() == nil {
		fmt.Fprintln(stderr, "cluster:", err)
		return 1
	}
	return 0
}

func parse(args []string, stderr io.Writer) (settings, error) {
	var s settings
	fs := flag.NewFlagSet("cluster", flag.ContinueOnError)
	fs.SetOutput(stderr)
	fs.Usage = func() {
		fmt.Fprint(stderr, usage)
		fs.PrintDefaults()
	}
	fs.StringVar(&s.name, "name", "dev", "`name` of the cluster; with -count above 1, -1, -2 … are appended")
	fs.IntVar(&s.nodes, "nodes", 3, "simulated nodes in each cluster; 0 for none")
	fs.IntVar(&s.count, "count", 1, "clusters to start")
	if err := fs.Parse(args); err != nil {
		return s, err
	}
	if fs.NArg() > 0 || s.count < 1 || s.nodes < 0 {
		err := errors.New("want no arguments, at least one cluster, and no negative number of nodes")
		fmt.Fprintln(stderr, "cluster:", err)
		return s, err
	}
	if s.nodes == 0 {
		s.nodes = -1 // how kube.Options says none
	}
	return s, nil
}

// serve starts the clusters at once, tells how to reach them, and stops them when ctx ends or one fails.
func serve(ctx context.Context, set settings, stdout, stderr io.Writer) error {
	bin, err := kube.Programs(ctx, stderr)
	if err != nil {
		return err
	}
	clusters, err := startAll(ctx, set, bin, stderr)
	if err == nil {
		tell(stdout, clusters)
		err = waitAny(ctx, clusters)
		fmt.Fprintln(stderr, "stopping")
	}
	return errors.Join(err, stopAll(context.WithoutCancel(ctx), clusters))
}

// startAll returns the clusters that started, also when others failed: somebody must stop them.
func startAll(ctx context.Context, set settings, bin kube.Bin, log io.Writer) ([]*kube.Cluster, error) {
	clusters, errs := make([]*kube.Cluster, set.count), make([]error, set.count)
	var wg sync.WaitGroup
	for i := range set.count {
		name := set.name
		if set.count > 1 {
			name = fmt.Sprintf("%s-%d", set.name, i+1)
		}
		wg.Go(func() {
			clusters[i], errs[i] = kube.Start(ctx, kube.Options{Name: name, Nodes: set.nodes, Bin: &bin, Log: log})
		})
	}
	wg.Wait()
	var started []*kube.Cluster
	for _, c := range clusters {
		if c != nil {
			started = append(started, c)
		}
	}
	return started, errors.Join(errs...)
}

func tell(out io.Writer, clusters []*kube.Cluster) {
	for _, c := range clusters {
		fmt.Fprintf(out, "\nexport KUBECONFIG=%s\n%s --kubeconfig %s get nodes,pods --all-namespaces\n", c.KubeconfigPath(), c.KubectlPath(), c.KubeconfigPath())
	}
	fmt.Fprintln(out, "\nCtrl-C ends the clusters and removes their files.")
}

func waitAny(ctx context.Context, clusters []*kube.Cluster) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	failed := make(chan error, len(clusters))
	for _, c := range clusters {
		go func() { failed <- c.Wait(ctx) }()
	}
	first := <-failed
	cancel()
	for range len(clusters) - 1 {
		<-failed
	}
	return first
}

func stopAll(ctx context.Context, clusters []*kube.Cluster) error {
	errs := make([]error, len(clusters))
	var wg sync.WaitGroup
	for i, c := range clusters {
		wg.Go(func() { errs[i] = c.Stop(ctx) })
	}
	wg.Wait()
	return errors.Join(errs...)
}
