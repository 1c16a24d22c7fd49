package main

import (
	"context"
	"fmt"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/kubilitics/kubilitics/e2e/bench/measure"
)

// overhead asks for a small object both ways in turn, one request at a time.
func (b *bench) overhead(ctx context.Context) error {
	const warm, samples = 200, 3000
	var direct, through []float64
	for i := range warm + samples {
		d, err := b.direct.took(ctx, smallPath)
		if err != nil {
			return err
		}
		t, err := b.through.took(ctx, smallPath)
		if err != nil {
			return err
		}
		if i >= warm {
			direct, through = append(direct, d), append(through, t)
		}
	}
	measure.Note("proxy.get: %d pairs in turn; p50 %.2f ms through, %.2f ms directly; p99 %.2f and %.2f", samples,
		measure.Quantile(through, .5), measure.Quantile(direct, .5), measure.Quantile(through, .99), measure.Quantile(direct, .99))
	measure.Line("proxy.get.overhead.p50", measure.Quantile(through, .5)-measure.Quantile(direct, .5), "ms")
	return nil
}

// list reads 20 MB both ways in turn.
func (b *bench) list(ctx context.Context) error {
	const rounds = 15
	var direct, through, ratios []float64
	var size int64
	for i := range rounds + 2 {
		d, err := b.direct.took(ctx, bulkPath)
		if err != nil {
			return err
		}
		t, err := b.through.took(ctx, bulkPath)
		if err != nil {
			return err
		}
		if i == 0 {
			if size, err = b.through.get(ctx, bulkPath); err != nil {
				return err
			}
		}
		if i >= 2 {
			direct, through, ratios = append(direct, d), append(through, t), append(ratios, d/t)
		}
	}
	mb := float64(size) / 1e6
	measure.Note("proxy.list: %.1f MB, %d rounds in turn; medians %.0f MB/s through, %.0f MB/s directly; ratios %.2f to %.2f", mb, rounds,
		mb/measure.Quantile(through, .5)*1000, mb/measure.Quantile(direct, .5)*1000, measure.Quantile(ratios, 0), measure.Quantile(ratios, 1))
	measure.Line("proxy.list.20MB.vs_direct", measure.Quantile(ratios, .5), "ratio")
	return nil
}

// underBulk asks for a small object while the bulk is listed over and over on the same way.
func (b *bench) underBulk(ctx context.Context) error {
	const rounds = 15
	var direct, through, ratios []float64
	for i := range rounds + 1 {
		d, err := beside(ctx, b.direct)
		if err != nil {
			return err
		}
		t, err := beside(ctx, b.through)
		if err != nil {
			return err
		}
		if i > 0 {
			direct, through, ratios = append(direct, d), append(through, t), append(ratios, t/d)
		}
	}
	measure.Note("proxy.small_under_bulk: %d rounds in turn; medians of p99 %.1f ms through, %.1f ms directly; ratios %.2f to %.2f", rounds,
		measure.Quantile(through, .5), measure.Quantile(direct, .5), measure.Quantile(ratios, 0), measure.Quantile(ratios, 1))
	measure.Line("proxy.small_under_bulk.vs_direct", measure.Quantile(through, .5)/measure.Quantile(direct, .5), "ratio")
	return nil
}

// beside gives the p99, in ms, of small requests beside a bulk list.
func beside(ctx context.Context, w *way) (float64, error) {
	const samples = 400
	bulk, stop := context.WithCancel(ctx)
	var listing errgroup.Group
	listing.Go(func() error {
		for bulk.Err() == nil {
			if _, err := w.get(bulk, bulkPath); err != nil && bulk.Err() == nil {
				return err
			}
		}
		return nil
	})
	var took []float64
	var err error
	for len(took) < samples && err == nil {
		var ms float64
		ms, err = w.took(ctx, smallPath)
		took = append(took, ms)
		time.Sleep(2 * time.Millisecond) // many lists pass in a round, not one
	}
	stop()
	if listed := listing.Wait(); err == nil {
		err = listed
	}
	return measure.Quantile(took, .99), err
}

// cpu asks for a small object from 64 sides at once, and sees what hub and agent spend on it.
func (b *bench) cpu(ctx context.Context) error {
	const rounds, each = 3, 6 * time.Second
	var costs, ratios []float64
	var hub, agent, direct, through float64
	for i := range rounds + 1 {
		d, err := flood(ctx, b.direct, each/2)
		if err != nil {
			return err
		}
		before, err := b.spent()
		if err != nil {
			return err
		}
		t, err := flood(ctx, b.through, each)
		if err != nil {
			return err
		}
		after, err := b.spent()
		if err != nil {
			return err
		}
		if i == 0 {
			continue
		}
		hub, agent = float64((after[0]-before[0]).Microseconds())/float64(t), float64((after[1]-before[1]).Microseconds())/float64(t)
		costs = append(costs, hub+agent)
		direct, through = float64(d)/(each/2).Seconds(), float64(t)/each.Seconds()
		ratios = append(ratios, through/direct)
	}
	measure.Note("proxy.cpu: %d rounds of %s, 64 at a time; of the last, %.0f µs at the hub and %.0f µs at the agent; %.0f requests/s through, %.0f directly, median ratio %.2f",
		rounds, each, hub, agent, through, direct, measure.Quantile(ratios, .5))
	measure.Line("proxy.cpu_us_per_request", measure.Quantile(costs, .5), "us")
	return nil
}

// spent is the processor time of hub and agent so far.
func (b *bench) spent() (out [2]time.Duration, err error) {
	for i, pid := range []int{b.hub.PID(), b.agent.PID()} {
		if out[i], err = measure.CPUOf(pid); err != nil {
			return out, fmt.Errorf("processor time: %w", err)
		}
	}
	return out, nil
}

// flood gives how many small requests 64 callers get answered in a time.
func flood(ctx context.Context, w *way, within time.Duration) (int, error) {
	const callers = 64
	end := time.Now().Add(within)
	counts := make([]int, callers)
	g, ctx := errgroup.WithContext(ctx)
	for i := range callers {
		g.Go(func() error {
			for time.Now().Before(end) {
				if _, err := w.get(ctx, smallPath); err != nil {
					return err
				}
				counts[i]++
			}
			return nil
		})
	}
	err := g.Wait()
	sum := 0
	for _, n := range counts {
		sum += n
	}
	return sum, err
}
