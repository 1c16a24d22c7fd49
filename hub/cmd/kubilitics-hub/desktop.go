package main

import (
	"context"
	"encoding/json"
	"errors"
	"io"

	"github.com/spf13/cobra"
	"go.uber.org/zap"

	"github.com/kubilitics/kubilitics/hub/desktop"
	"github.com/kubilitics/kubilitics/shared/cli"
	"github.com/kubilitics/kubilitics/shared/obs"
)

func desktopCommand() *cobra.Command {
	return cli.Own("kubilitics-desktop", desktop.DefaultConfig(), cli.Command[desktop.Config]{
		Use: "desktop", Short: "Serve one person at this machine: every context of the kubeconfig is a cluster", Run: runDesktop,
		Long: "Watches every context of the kubeconfig from this process and shows them in the browser, to whoever started it alone, until SIGINT or SIGTERM, or until its " +
			"parent ends. Nothing is reached but the clusters. Prints one line of JSON when it is ready: url, port, token and a link that opens the page once. " +
			"Where one runs already, that one's line is printed and its page opened, and the exit code is 3.",
	})
}

func runDesktop(ctx context.Context, cfg desktop.Config, out io.Writer) error {
	log, err := obs.NewLogger(cfg.Log.Level, cfg.Log.Format)
	if err != nil {
		return err
	}
	ctx, end := desktop.WithParent(ctx, cfg.ParentPID)
	defer end()
	d, err := desktop.New(ctx, cfg, log)
	var other *desktop.AlreadyRunning
	if errors.As(err, &other) {
		return errors.Join(err, show(ctx, cfg, other.Ready, out, log))
	}
	if err != nil && ctx.Err() != nil {
		log.Warn("the desktop was told to end before it was ready", zap.NamedError("why", context.Cause(ctx)))
		return nil
	}
	if err != nil {
		return err
	}
	if err := show(ctx, cfg, d.Ready(), out, log); err != nil {
		return errors.Join(err, d.Close())
	}
	return d.Run(ctx)
}

// show tells where the desktop is: programs by the line, people by their browser.
func show(ctx context.Context, cfg desktop.Config, r desktop.Ready, out io.Writer, log *zap.Logger) error {
	if !cfg.NoOpen {
		if err := desktop.OpenPage(ctx, r.Open); err != nil {
			log.Warn("the browser can't be opened: use the address after \"open\"", zap.Error(err))
		} else {
			r.Open = "" // the browser uses it up
		}
	}
	return json.NewEncoder(out).Encode(r)
}
