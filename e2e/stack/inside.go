package stack

import (
	"context"
	"fmt"

	"go.uber.org/zap"

	"github.com/kubilitics/kubilitics/hub"
)

// Inside is a hub that runs in this process, for what looks at its memory or needs no process of its own.
type Inside struct {
	Client
	Tunnels string // how agents reach it

	end  context.CancelFunc
	done chan error
}

// ServeInside opens a hub with its data in dir and serves on free ports of the loopback interface, until Stop. The database is SQLite in dir, unless
// a postgres:// address is given.
func ServeInside(ctx context.Context, dir, database string, log *zap.Logger) (*Inside, error) {
	cfg := hub.DefaultConfig()
	cfg.DataDir, cfg.Database, cfg.Listen, cfg.Tunnel.Listen = dir, database, "127.0.0.1:0", "127.0.0.1:0"
	h, err := hub.New(ctx, cfg, log)
	if err != nil {
		return nil, fmt.Errorf("open the hub: %w", err)
	}
	ctx, cancel := context.WithCancel(ctx)
	in := &Inside{Client: Client{URL: h.APIURL(), Token: h.BootstrapToken()}, Tunnels: h.TunnelAddress(), end: cancel, done: make(chan error, 1)}
	go func() { in.done <- h.Run(ctx) }()
	return in, nil
}

// Stop ends the hub and waits until all of it has stopped.
func (in *Inside) Stop() error {
	in.end()
	return <-in.done
}
