package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"

	"github.com/kubilitics/kubilitics/e2e/bench/measure"
)

// watches opens 1,000 watches that nothing happens on, each over a connection of its own as so many programs would, through one tunnel, and
// sees what the hub holds for them.
func (b *bench) watches(ctx context.Context) (err error) {
	const count = 1000
	before, err := b.held(ctx)
	if err != nil {
		return err
	}
	apart, err := b.through.apart()
	if err != nil {
		return err
	}
	var open []io.Closer
	defer func() {
		for _, c := range open {
			err = errors.Join(err, c.Close())
		}
	}()
	for range count {
		resp, err := apart.open(ctx, "/api/v1/namespaces/default/configmaps?watch=true&timeoutSeconds=600&fieldSelector=metadata.name%3Dnobody&resourceVersion=0")
		if err != nil {
			return fmt.Errorf("after %d: %w", len(open), err)
		}
		open = append(open, resp.Body)
	}
	after, err := b.held(ctx)
	if err != nil {
		return err
	}
	measure.Note("proxy.watches: the hub went from %.0f to %.0f MiB resident and from %.0f to %.0f goroutines; %.0f KiB of heap and stacks each",
		before.resident, after.resident, before.goroutines, after.goroutines, (after.inuse-before.inuse)/count/1024)
	measure.Line("proxy.watches.1000.MiB", after.resident-before.resident, "MiB")
	measure.Line("proxy.watches.1000.goroutines", after.goroutines-before.goroutines, "goroutines")
	return nil
}

// holds is what the hub has.
type holds struct{ resident, goroutines, inuse float64 }

// held asks the hub until two looks in a row agree: what was opened or closed just now settles.
func (b *bench) held(ctx context.Context) (holds, error) {
	var last holds
	for range 30 {
		now, err := b.look(ctx)
		if err != nil {
			return now, err
		}
		if now.goroutines == last.goroutines && now.resident-last.resident < 0.5 && last.resident-now.resident < 0.5 {
			return now, nil
		}
		last = now
		select {
		case <-ctx.Done():
			return last, ctx.Err()
		case <-time.After(2 * time.Second):
		}
	}
	return last, nil
}

func (b *bench) look(ctx context.Context) (h holds, err error) {
	text, err := b.hub.Text(ctx, "/metrics")
	if err != nil {
		return h, err
	}
	h.goroutines = gauge(text, "go_goroutines")
	h.inuse = gauge(text, "go_memstats_heap_inuse_bytes") + gauge(text, "go_memstats_stack_inuse_bytes")
	kib, err := measure.Resident(b.hub.PID())
	h.resident = kib / 1024
	return h, err
}

func gauge(text, name string) float64 {
	for line := range strings.Lines(text) {
		if value, ok := strings.CutPrefix(line, name+" "); ok {
			n, _ := strconv.ParseFloat(strings.TrimSpace(value), 64) // 0 shows
			return n
		}
	}
	return 0
}
