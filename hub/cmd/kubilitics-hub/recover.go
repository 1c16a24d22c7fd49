package main

import (
	"context"
	"fmt"
	"io"
	"time"

	"github.com/kubilitics/kubilitics/hub"
	"github.com/kubilitics/kubilitics/shared/obs"
)

func token(ctx context.Context, cfg hub.Config, words []string, out io.Writer) error {
	log, err := obs.NewLogger(cfg.Log.Level, cfg.Log.Format)
	if err != nil {
		return err
	}
	text, err := hub.AdminToken(ctx, cfg, words[0], log)
	if err != nil {
		return err
	}
	_, err = fmt.Fprintln(out, text)
	return err
}

func backup(ctx context.Context, cfg hub.Config, words []string, _ io.Writer) error {
	return hub.Backup(ctx, cfg, words[0])
}

func restore(ctx context.Context, cfg hub.Config, words []string, out io.Writer) error {
	about, err := hub.Restore(ctx, cfg, words[0])
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(out, "restored what was there at %s (version %s)\n", about.Made.Format(time.RFC3339), about.Version)
	return err
}
