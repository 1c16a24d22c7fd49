package main

import (
	"os"
	"runtime"
	"runtime/debug"
	"runtime/metrics"
)

// How much garbage may come on top of what is in use before it is collected. An agent works little and long: with Go's own 100 per cent one of 20,000 pods
// peaks at 119 MiB, with 25 at 80, for a sixth more processor time while it learns the cluster and nothing measurable afterwards. A limit of memory
// instead would do nothing up to it, and stall the agent of a cluster that needs more. Of a small cluster a quarter is so little that requests through the
// agent would have it collect ten times a second, for a third of their time: so there is a least amount too, within Go's own 100.
const (
	garbagePercent = 25
	garbageLeast   = 16 << 20 // bytes
	garbageMost    = 100      // percent
)

const inUse = "/gc/heap/live:bytes"

// collect chooses when garbage is collected, unless GOGC does.
func collect() {
	if os.Getenv("GOGC") != "" {
		return
	}
	debug.SetGCPercent(garbagePercent)
	p := &pace{percent: garbagePercent, sample: []metrics.Sample{{Name: inUse}}}
	p.watch()
}

// pace follows how much is in use, which each collection finds out.
type pace struct {
	percent int
	sample  []metrics.Sample
}

// watch has the next collection followed by an adjustment: what is dropped here is finalized then.
func (p *pace) watch() {
	runtime.SetFinalizer(&cycle{p}, func(c *cycle) {
		c.pace.adjust()
		c.pace.watch()
	})
}

type cycle struct{ pace *pace }

func (p *pace) adjust() {
	metrics.Read(p.sample)
	if p.sample[0].Value.Kind() != metrics.KindUint64 {
		return
	}
	if percent := percentFor(p.sample[0].Value.Uint64()); percent != p.percent {
		p.percent = percent
		debug.SetGCPercent(percent)
	}
}

// percentFor is the percentage for so many bytes in use, in steps: to change it stops the program for a moment.
func percentFor(used uint64) int {
	percent := int(garbageLeast * 100 / max(used, 1))
	return min(max(percent-percent%5, garbagePercent), garbageMost)
}
