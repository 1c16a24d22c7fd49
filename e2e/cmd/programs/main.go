// Command programs builds the Kubernetes programs that tests and the demo need, helm among them, unless the cache has them, and prints where
// they are.
package main

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"

	"github.com/kubilitics/kubilitics/e2e/kube"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	bin, err := kube.Programs(ctx, os.Stderr)
	if err == nil {
		err = kube.Extras(ctx, &bin, os.Stderr)
	}
	if err == nil {
		err = kube.Promtool(ctx, &bin, os.Stderr)
	}
	if err == nil && kube.NodeLacks() == "" {
		err = kube.NodePrograms(ctx, &bin, os.Stderr)
	}
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "programs:", err)
		os.Exit(1)
	}
	fmt.Println("Kubernetes", bin.Version, "is ready:", filepath.Dir(bin.APIServer), filepath.Dir(bin.Helm))
}
