// Command kubilitics is by what people, and kubectl for them, come to a hub. As kubectl-kubilitics it is a plugin of kubectl.
package main

import (
	"context"
	"os"
	"os/signal"
	"syscall"

	_ "golang.org/x/crypto/x509roots/fallback" // where the machine knows no roots of TLS: in an image of this program alone

	"github.com/kubilitics/kubilitics/hub/internal/command"
	"github.com/kubilitics/kubilitics/shared/version"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop) // a second Ctrl-C ends what doesn't end
	code := command.Run(ctx, command.Process{Args: os.Args, In: os.Stdin, Out: os.Stdout, Err: os.Stderr, Version: version.String()})
	stop()
	os.Exit(code)
}
