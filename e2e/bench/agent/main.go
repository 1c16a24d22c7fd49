// Command agent measures what the agent takes of the cluster that it watches: the most memory while it learns a cluster of 5,000
// objects of 60 kinds, or one of 20,000 pods; how long it takes until the hub has acknowledged everything, texts of objects included; and what a
// change of a pod's status costs. Clusters, hub and agent are the real ones, each in processes of its own.
package main

import (
	"cmp"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"

	"golang.org/x/sync/errgroup"
	"k8s.io/client-go/tools/clientcmd"

	"github.com/kubilitics/kubilitics/e2e/kube"
	"github.com/kubilitics/kubilitics/e2e/stack"
)

func main() {
	b := bench{fields: []*field{
		{name: "5k", load: load{Kinds: 60, Objects: 5000}, measure: (*bench).objects},
		{name: "20k", load: load{Kinds: 1, Pods: 20000}, measure: (*bench).pods},
	}}
	flag.StringVar(&b.programs.Agent, "agent", "", "the `file` of the agent's program; built if it or the hub's isn't given")
	flag.StringVar(&b.programs.Hub, "hub", "", "the `file` of the hub's program")
	only := flag.String("only", "", "measure only the cluster of this name: 5k or 20k")
	for _, f := range b.fields {
		flag.StringVar(&f.kubeconfig, f.name, "", "kubeconfig `file` of the cluster for these; a new one if empty. What it lacks is made in it, and stays")
	}
	verbose := flag.Bool("v", false, "show the logs of hub and agent")
	flag.Parse()
	if *verbose {
		b.log = os.Stderr
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := b.run(ctx, *only)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "agent bench:", err)
		os.Exit(1)
	}
}

// bench is one run of this program.
type bench struct {
	fields   []*field
	programs stack.Programs
	dir      string
	log      io.Writer
}

// field is a cluster with what is in it, and what is measured there.
type field struct {
	name       string
	load       load
	kubeconfig string
	cluster    *kube.Cluster // nil where the cluster isn't ours
	measure    func(*bench, context.Context, *field) error
}

func (b *bench) run(ctx context.Context, only string) (err error) {
	if b.dir, err = os.MkdirTemp("", "kubilitics-bench-agent-"); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, b.stop(context.WithoutCancel(ctx))) }()
	if err := b.build(ctx); err != nil {
		return err
	}
	bin, err := kube.Programs(ctx, os.Stderr)
	if err != nil {
		return err
	}
	var chosen []*field
	making, within := errgroup.WithContext(ctx)
	for _, f := range b.fields {
		if strings.Contains(f.name, only) {
			chosen = append(chosen, f)
			making.Go(func() error { return b.prepare(within, f, &bin) })
		}
	}
	if err := making.Wait(); err != nil {
		return err
	}
	for _, f := range chosen {
		if err := f.measure(b, ctx, f); err != nil {
			return fmt.Errorf("%s: %w", f.name, err)
		}
	}
	return nil
}

func (b *bench) build(ctx context.Context) error {
	if b.programs.Agent != "" && b.programs.Hub != "" {
		return nil
	}
	built, err := stack.Build(ctx, filepath.Join(b.dir, "bin"), os.Stderr)
	b.programs.Agent, b.programs.Hub = cmp.Or(b.programs.Agent, built.Agent), cmp.Or(b.programs.Hub, built.Hub)
	return err
}

// prepare has the cluster ready and filled.
func (b *bench) prepare(ctx context.Context, f *field, bin *kube.Bin) (err error) {
	if f.kubeconfig == "" {
		// No nodes: what plays them would have work with the pods, on the processors that the agent needs.
		if f.cluster, err = kube.Start(ctx, kube.Options{Name: "load-" + f.name, Nodes: -1, Dir: b.dir, Log: os.Stderr, Bin: bin}); err != nil {
			return err
		}
		f.kubeconfig = f.cluster.KubeconfigPath()
	}
	cfg, err := clientcmd.BuildConfigFromFlags("", f.kubeconfig)
	if err != nil {
		return fmt.Errorf("read the kubeconfig: %w", err)
	}
	if err := fill(ctx, cfg, f.load); err != nil {
		return fmt.Errorf("fill %s: %w", f.name, err)
	}
	fmt.Fprintf(os.Stderr, "%s is filled\n", f.name)
	return nil
}

func (b *bench) stop(ctx context.Context) error {
	var failures []error
	for _, f := range b.fields {
		if f.cluster != nil {
			failures = append(failures, f.cluster.Stop(ctx))
		}
	}
	return errors.Join(append(failures, os.RemoveAll(b.dir))...)
}
