package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"k8s.io/client-go/tools/clientcmd"

	"github.com/kubilitics/kubilitics/e2e/bench/measure"
)

// trials is how often a first sync is timed.
const trials = 3

// objects measures the cluster of many kinds.
func (b *bench) objects(ctx context.Context, f *field) error {
	var told, used []time.Duration
	var peak float64
	for i := range trials {
		t, err := b.begin(ctx, f)
		if err != nil {
			return err
		}
		told, used = append(told, t.told), append(used, t.cpu)
		if i == trials-1 {
			peak, err = t.peak(ctx)
		}
		if err := errors.Join(err, t.end()); err != nil {
			return err
		}
	}
	measure.Line("agent.first_sync.5k", measure.Quantile(told, 0.5).Seconds(), "s")
	measure.Note("agent.first_sync.5k: median of %d, from the start of the process until the hub acknowledged everything: %v; processor time %v", trials, rounded(told), used)
	measure.Line("agent.rss_peak.5k", peak, "MiB")
	measure.Note("agent.rss_peak.5k: 1 sample, VmHWM from the start until %s after the sync", afterSync)
	return nil
}

// changes is how many changes of pods' status are made.
const changes = 10_000

// pods measures the cluster of many pods, and then changes them.
func (b *bench) pods(ctx context.Context, f *field) (err error) {
	t, err := b.begin(ctx, f)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, t.end()) }()
	peak, err := t.peak(ctx)
	if err != nil {
		return err
	}
	measure.Line("agent.rss_peak.20k_pods", peak, "MiB")
	measure.Note("agent.rss_peak.20k_pods: 1 sample, VmHWM from the start until %s after the sync, which took %s, processor time %s", afterSync, t.told.Round(time.Millisecond), t.cpu)
	return b.churn(ctx, f, t)
}

func (b *bench) churn(ctx context.Context, f *field, t *trial) error {
	cfg, err := clientcmd.BuildConfigFromFlags("", f.kubeconfig)
	if err != nil {
		return fmt.Errorf("read the kubeconfig: %w", err)
	}
	before, err := measure.CPUOf(t.agent.PID())
	if err != nil {
		return err
	}
	began := time.Now()
	if err := stir(ctx, cfg, f.load.Pods, changes); err != nil {
		return err
	}
	took := time.Since(began)
	after, err := t.quiet(ctx)
	if err != nil {
		return err
	}
	kib, err := measure.Peak(t.agent.PID())
	measure.Line("agent.cpu_ms_per_1k_events", float64((after-before).Milliseconds())*1000/changes, "ms")
	measure.Note("agent.cpu_ms_per_1k_events: %d changes of pods' status, %.0f a second, %s of processor time in all, texts included; VmHWM then %.1f MiB",
		changes, changes/took.Seconds(), after-before, kib/1024)
	return err
}

func rounded(ds []time.Duration) []time.Duration {
	for i := range ds {
		ds[i] = ds[i].Round(time.Millisecond)
	}
	return ds
}
