package desktop

import (
	"context"
	"fmt"
	"time"
)

// parentLook is how often it is looked whether the parent is still there.
const parentLook = 250 * time.Millisecond

// WithParent gives a context that ends when the process with that id has ended, or has closed the pipe that is this one's standard input. Without one
// it is ctx itself.
func WithParent(ctx context.Context, pid int) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancelCause(ctx)
	if pid <= 0 {
		return ctx, func() { cancel(nil) }
	}
	there := watchParent(pid)
	done := make(chan struct{})
	go func() {
		defer close(done)
		tick := time.NewTicker(parentLook)
		defer tick.Stop()
		for there() {
			select {
			case <-ctx.Done():
				return
			case <-tick.C:
			}
		}
		cancel(fmt.Errorf("its parent, the process %d, isn't there, or has closed the pipe to it", pid))
	}()
	return ctx, func() { cancel(nil); <-done }
}
