package relational

import (
	"runtime"
	"sync"
)

// Fewer rows than this are not worth a goroutine.
const worthwhile = 512

// inParallel calls fn on parts of 0…n-1, on all processors when there is enough to do, and returns when all are done.
func inParallel(n int, fn func(from, to int)) {
	parts := min(runtime.GOMAXPROCS(0), n/worthwhile)
	if parts < 2 {
		fn(0, n)
		return
	}
	var wg sync.WaitGroup
	for i := range parts {
		wg.Go(func() { fn(i*n/parts, (i+1)*n/parts) })
	}
	wg.Wait()
}
