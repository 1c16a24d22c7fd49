// Command desktop measures the desktop as people start it: how long until it is ready, with an empty data directory and with one that is full, and how long
// until fifteen living contexts of a kubeconfig can be used that has five dead ones too.
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

	"github.com/kubilitics/kubilitics/e2e/bench/measure"
	"github.com/kubilitics/kubilitics/e2e/desktop"
	"github.com/kubilitics/kubilitics/e2e/kube"
	"github.com/kubilitics/kubilitics/e2e/stack"
)

func main() {
	living := flag.Int("living", 15, "living contexts")
	clusters := flag.Int("clusters", 3, "control planes behind them")
	rounds := flag.Int("rounds", 5, "starts of each kind; the median counts")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := run(ctx, *living, *clusters, *rounds)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "desktop:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, living, clusters, rounds int) (err error) {
	dir, err := os.MkdirTemp("", "kubilitics-desktop-")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	var planes []*kube.Cluster
	defer func() {
		for _, k := range planes {
			err = errors.Join(err, k.Stop(context.WithoutCancel(ctx)))
		}
	}()
	for i := range clusters {
		k, err := kube.Start(ctx, kube.Options{Name: fmt.Sprintf("plane-%d", i), Dir: dir, Log: os.Stderr})
		if err != nil {
			return err
		}
		planes = append(planes, k)
	}
	contexts := desktop.New()
	defer contexts.Close()
	for i := range living {
		if err := contexts.Living(fmt.Sprintf("living-%02d", i), planes[i%clusters]); err != nil {
			return err
		}
	}
	dead, err := contexts.Dead(planes[0])
	if err != nil {
		return err
	}
	b := &bench{dir: dir, kubeconfig: filepath.Join(dir, "kubeconfig"), living: living, dead: dead}
	if err := contexts.Write(b.kubeconfig); err != nil {
		return err
	}
	programs, err := stack.Build(ctx, filepath.Join(dir, "bin"), os.Stderr)
	if err != nil {
		return err
	}
	b.program = programs.Hub
	return b.measure(ctx, rounds)
}

type bench struct {
	dir, kubeconfig, program string
	living                   int
	dead                     map[string]string
}

// once is one start.
type once struct {
	ready, usable float64 // seconds
	rss           float64 // MiB, when all are usable
}

func (b *bench) measure(ctx context.Context, rounds int) error {
	var fresh, again []once
	for i := range rounds {
		data := filepath.Join(b.dir, fmt.Sprintf("data-%d", i))
		for _, to := range []*[]once{&fresh, &again} {
			o, err := b.start(ctx, data)
			if err != nil {
				return err
			}
			*to = append(*to, o)
		}
	}
	pick := func(list []once, of func(once) float64) float64 {
		var all []float64
		for _, o := range list {
			all = append(all, of(o))
		}
		return measure.Quantile(all, 0.5)
	}
	ready, usable, rss := func(o once) float64 { return o.ready }, func(o once) float64 { return o.usable }, func(o once) float64 { return o.rss }
	measure.Note("desktop: %d contexts that live, %d that are dead; medians of %d starts", b.living, len(b.dead), rounds)
	measure.Note("desktop: ready with a new database %.2f s, with a full one %.2f s", pick(fresh, ready), pick(again, ready))
	measure.Note("desktop: the living usable with a new database %.2f s, with a full one %.2f s", pick(fresh, usable), pick(again, usable))
	measure.Line("desktop.ready.s", max(pick(fresh, ready), pick(again, ready)), "s")
	measure.Line(fmt.Sprintf("desktop.%dcontexts.s", b.living+len(b.dead)), max(pick(fresh, usable), pick(again, usable)), "s")
	measure.Line("desktop.rss", max(pick(fresh, rss), pick(again, rss)), "MiB")
	return nil
}

// start times one start, and sees to it that each dead context says why it is.
func (b *bench) start(ctx context.Context, data string) (o once, err error) {
	ctx, cancel := stack.Within(ctx, 2*time.Minute)
	defer cancel()
	began := time.Now()
	d, err := stack.StartDesktop(ctx, stack.DesktopOptions{Program: b.program, Dir: data, Kubeconfig: b.kubeconfig})
	if err != nil {
		return o, err
	}
	defer func() { err = errors.Join(err, d.Stop()) }()
	o.ready = d.Took.Seconds()
	err = d.Await(ctx, "the living contexts can be used", func(all map[string]stack.Contacted) error { return b.count(all) })
	if err != nil {
		return o, err
	}
	o.usable = time.Since(began).Seconds()
	if o.rss, err = measure.Resident(d.PID()); err != nil {
		return o, err
	}
	o.rss /= 1024
	return o, d.Await(ctx, "the dead say why", func(all map[string]stack.Contacted) error {
		for name, code := range b.dead {
			if c := all[name].Contact; c.State != "failed" || c.Code != code {
				return fmt.Errorf("%s: %+v, not %s", name, c, code)
			}
		}
		return nil
	})
}

func (b *bench) count(all map[string]stack.Contacted) error {
	live := 0
	for _, c := range all {
		if c.Freshness.State == "live" {
			live++
		}
	}
	if live < b.living {
		return fmt.Errorf("%d of %d are live", live, b.living)
	}
	return nil
}
