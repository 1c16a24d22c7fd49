// Command image measures how large our images are for those who pull them: what is compressed in them, and what describes it.
package main

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"strings"
	"syscall"

	"github.com/kubilitics/kubilitics/e2e/bench/measure"
	"github.com/kubilitics/kubilitics/e2e/image"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := run(ctx)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "image:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context) error {
	for _, program := range []string{"kubilitics-agent", "kubilitics-hub"} {
		set, err := image.Release{Version: "dev"}.Set(ctx, program, "linux/amd64", "linux/arm64")
		if err != nil {
			return err
		}
		line := "image." + strings.TrimPrefix(program, "kubilitics-") + ".MB"
		var largest int64
		for _, m := range set.Members {
			largest = max(largest, m.Size)
			measure.Note("%s: %s %.1f MB", line, m.Platform, float64(m.Size)/1e6)
		}
		measure.Line(line, float64(largest)/1e6, "MB")
	}
	return nil
}
