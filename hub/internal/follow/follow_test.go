package follow

import (
	"context"
	"errors"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"
	"go.uber.org/zap"

	"github.com/kubilitics/kubilitics/hub/internal/fleet"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

type bells struct {
	ring   chan fleet.TenantID
	broken bool
}

func (b *bells) Tenants(context.Context) ([]fleet.Tenant, error) {
	return []fleet.Tenant{{ID: 1}, {ID: 2}}, nil
}

func (b *bells) Doorbell(ctx context.Context, ring func(fleet.TenantID)) error {
	if b.broken {
		return errors.New("no bell")
	}
	for {
		select {
		case <-ctx.Done():
			return nil
		case t := <-b.ring:
			ring(t)
		}
	}
}

// run collects the tenants for which the step was called; act makes things happen meanwhile.
func run(t *testing.T, b *bells, step Step, act func()) {
	synctest.Test(t, func(t *testing.T) {
		b.ring = make(chan fleet.TenantID)
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error)
		go func() { done <- Run(ctx, b, "test", step, zap.NewNop()) }()
		synctest.Wait()
		act()
		synctest.Wait()
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
}

func TestRingsAreAnsweredUntilLevel(t *testing.T) {
	b := &bells{}
	var calls []fleet.TenantID
	due := map[fleet.TenantID]int{}
	step := func(_ context.Context, tenant fleet.TenantID) (bool, error) {
		calls = append(calls, tenant)
		due[tenant]--
		return due[tenant] > 0, nil
	}
	run(t, b, step, func() {
		due[2] = 3
		b.ring <- 2
	})
	if want := []fleet.TenantID{1, 2, 2, 2, 2}; !slices.Equal(calls, want) {
		t.Errorf("the step was called for %v, want %v: all at the start, then the one that rang", calls, want)
	}
}

func TestPollsFindWhatNoBellTold(t *testing.T) {
	b := &bells{broken: true}
	calls := 0
	step := func(context.Context, fleet.TenantID) (bool, error) { calls++; return false, errors.New("fails") }
	run(t, b, step, func() { time.Sleep(2*poll + time.Second) })
	if calls != 6 {
		t.Errorf("%d calls, want those of the start and of two polls, for two tenants; a failure ends none of them", calls)
	}
}

func TestAnyTenantIsOne(t *testing.T) {
	b := &bells{ring: make(chan fleet.TenantID)}
	var calls []fleet.TenantID
	synctest.Test(t, func(t *testing.T) {
		b.ring = make(chan fleet.TenantID)
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error)
		step := func(_ context.Context, tenant fleet.TenantID) (bool, error) {
			calls = append(calls, tenant)
			return false, nil
		}
		go func() { done <- Run(ctx, Any(b), "test", step, zap.NewNop()) }()
		synctest.Wait()
		b.ring <- 2
		synctest.Wait()
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	if want := []fleet.TenantID{0, 0}; !slices.Equal(calls, want) {
		t.Errorf("the step was called for %v, want %v: at the start, and for the ring", calls, want)
	}
}
