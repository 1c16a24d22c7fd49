package tunnel

import (
	"context"
	"math/rand/v2"
	"time"

	"github.com/kubilitics/kubilitics/shared/fault"
)

// Backoff decides when a lost tunnel is dialled again. Each wait is drawn evenly from zero to a bound (full jitter), from
// the first retry on, since a hub that restarts loses all its agents at the same instant; the bound doubles up to Cap.
// The zero value is ready. It is for one goroutine.
type Backoff struct {
	First time.Duration  // the first bound; 0 means 30 s
	Cap   time.Duration  // the last bound; 0 means 90 s
	Rand  func() float64 // in [0,1); nil means the shared source

	bound time.Duration
}

// Next is how long to wait before the next attempt. What the failure's RetryAfter asks for comes first and the jitter on
// top, so that those who were told the same time don't come back at the same time.
func (b *Backoff) Next(failure error) time.Duration {
	if b.bound == 0 {
		b.bound = orDefault(b.First, 30*time.Second)
	}
	limit := orDefault(b.Cap, 90*time.Second)
	draw := rand.Float64
	if b.Rand != nil {
		draw = b.Rand
	}
	b.bound = min(b.bound, limit)
	wait := time.Duration(draw() * float64(b.bound))
	b.bound = min(2*b.bound, limit)
	return fault.RetryAfter(failure) + wait
}

// Reset is called when a session was up: the next failure begins anew.
func (b *Backoff) Reset() { b.bound = 0 }

// Wait sleeps for Next or until the context ends, whose error it returns then.
func (b *Backoff) Wait(ctx context.Context, failure error) error {
	timer := time.NewTimer(b.Next(failure))
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}
