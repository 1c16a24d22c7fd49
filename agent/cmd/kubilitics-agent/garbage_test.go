package main

import (
	"runtime"
	"runtime/debug"
	"testing"
	"time"
)

func TestPercentFor(t *testing.T) {
	for used, want := range map[uint64]int{0: 100, 4 << 20: 100, 16 << 20: 100, 20 << 20: 80, 32 << 20: 50, 50 << 20: 30, 64 << 20: 25, 1 << 30: 25} {
		if got := percentFor(used); got != want {
			t.Errorf("%d MiB in use: %d per cent, want %d", used>>20, got, want)
		}
	}
}

// TestCollect: as more is in use, less garbage is left to lie.
func TestCollect(t *testing.T) {
	t.Setenv("GOGC", "")
	defer debug.SetGCPercent(debug.SetGCPercent(100))
	collect()
	await := func(what string, ok func(percent int) bool) {
		t.Helper()
		for end := time.Now().Add(10 * time.Second); ; time.Sleep(time.Millisecond) {
			runtime.GC()
			percent := debug.SetGCPercent(50)
			debug.SetGCPercent(percent)
			if ok(percent) {
				return
			}
			if time.Now().After(end) {
				t.Fatalf("%s: %d per cent", what, percent)
			}
		}
	}
	await("little is in use", func(percent int) bool { return percent == garbageMost })
	held := make([]byte, 100<<20)
	await("much is in use", func(percent int) bool { return percent == garbagePercent })
	runtime.KeepAlive(held)
}
