// Package measure is what the programs under e2e/bench share: the form of their lines, medians, and what the system says of
// a process.
package measure

import (
	"fmt"
	"os"
	"runtime"
	"runtime/debug"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// Line prints one result.
func Line(name string, value float64, unit string) {
	fmt.Printf("bench %s %s %s\n", name, strconv.FormatFloat(value, 'g', 5, 64), unit)
}

// Note prints what stands behind a result: sample count, numerator and denominator.
func Note(format string, args ...any) { fmt.Printf("# "+format+"\n", args...) }

// Quantile gives the q-th quantile (0 to 1) of samples by nearest rank, 0 of none.
func Quantile[T ~int64 | ~float64](samples []T, q float64) T {
	if len(samples) == 0 {
		return 0
	}
	sorted := slices.Sorted(slices.Values(samples))
	return sorted[min(len(sorted)-1, int(q*float64(len(sorted))))]
}

// CPU is the processor time that this process has used, in user and system together.
func CPU() time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		return 0
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// Size is what a process holds.
type Size struct {
	Goroutines int
	RSS        float64 // KiB, as the system counts it
	Heap       float64 // KiB in use, as the runtime counts it
	Stacks     float64 // KiB in use
}

// Settled is the size of this process after garbage was collected and free memory given back, so that two of them can be
// subtracted.
func Settled() (Size, error) {
	for range 3 { // pools let go at the second collection
		debug.FreeOSMemory()
	}
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	rss, err := rss()
	return Size{runtime.NumGoroutine(), rss, float64(m.HeapInuse) / 1024, float64(m.StackInuse) / 1024}, err
}

// rss reads VmRSS in KiB.
func rss() (float64, error) {
	status, err := os.ReadFile("/proc/self/status")
	if err != nil {
		return 0, err
	}
	for line := range strings.Lines(string(status)) {
		if rest, ok := strings.CutPrefix(line, "VmRSS:"); ok {
			return strconv.ParseFloat(strings.Fields(rest)[0], 64)
		}
	}
	return 0, fmt.Errorf("no VmRSS in /proc/self/status")
}
