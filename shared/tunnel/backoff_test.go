package tunnel_test

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/kubilitics/kubilitics/shared/fault"
	"github.com/kubilitics/kubilitics/shared/tunnel"
)

func TestBackoffDoublesItsBoundUpToTheCap(t *testing.T) {
	b := tunnel.Backoff{Rand: func() float64 { return 0.5 }}
	lost := errors.New("lost")
	for i, want := range []time.Duration{15 * time.Second, 30 * time.Second, 45 * time.Second, 45 * time.Second} {
		if got := b.Next(lost); got != want {
			t.Errorf("wait %d is %s, want %s", i, got, want)
		}
	}
	b.Reset()
	if got := b.Next(lost); got != 15*time.Second {
		t.Errorf("after Reset it waits %s", got)
	}
	told := fault.New(fault.Unavailable, "later").After(time.Minute)
	if got := b.Next(told); got != time.Minute+30*time.Second {
		t.Errorf("told to wait a minute it waits %s", got)
	}
}

func TestBackoffSpreadsAFleet(t *testing.T) {
	const fleet = 3000
	seconds := make([]int, 30)
	for range fleet {
		var b tunnel.Backoff
		wait := b.Next(nil)
		if wait < 0 || wait >= 30*time.Second {
			t.Fatalf("the first wait is %s", wait)
		}
		seconds[int(wait/time.Second)]++
	}
	for i, n := range seconds {
		if n < 50 || n > 160 {
			t.Errorf("%d of %d agents come back in second %d", n, fleet, i)
		}
	}
}

func TestBackoffWaits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := tunnel.Backoff{First: 10 * time.Second, Rand: func() float64 { return 0.3 }}
		start := time.Now()
		if err := b.Wait(t.Context(), nil); err != nil || time.Since(start) != 3*time.Second {
			t.Errorf("waited %s, %v", time.Since(start), err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if err := b.Wait(ctx, nil); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("after its context had ended: %v", err)
		}
	})
}
