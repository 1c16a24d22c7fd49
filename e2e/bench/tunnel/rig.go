package main

import (
	"context"
	"errors"
	"net"
	"time"

	"github.com/kubilitics/kubilitics/shared/tunnel"
	"github.com/kubilitics/kubilitics/shared/tunnel/tunneltest"
)

// rig is a hub and one agent on the loopback.
type rig struct {
	agent, hub *tunnel.Session
	accepted   *tunnel.Listener // raw streams that the hub opens, at the agent
	close      func()
}

// newRig connects an agent to a hub, through a relay if one is given.
func newRig(ctx context.Context, relay *tunneltest.Relay) (*rig, error) {
	ca := tunneltest.NewCA()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	addr := l.Addr().String()
	if relay != nil {
		if err := relay.Start(addr); err != nil {
			return nil, err
		}
		addr = relay.Addr()
	}
	ctx, cancel := context.WithCancel(ctx)
	sessions := make(chan *tunnel.Session, 1)
	hub := ca.Hub()
	server := tunnel.NewServer(tunnel.ServerConfig{
		Credentials: func() tunnel.Credentials { return hub },
		OnSession:   func(s *tunnel.Session) { sessions <- s },
	})
	served := make(chan error, 1)
	go func() { served <- server.Serve(ctx, l) }()
	r := &rig{accepted: tunnel.NewListener("agent")}
	r.close = func() {
		cancel()
		<-served
		_ = r.accepted.Close()
		if relay != nil {
			relay.Close()
		}
	}
	r.agent, err = tunnel.Dial(ctx, tunnel.DialConfig{
		Endpoint:    tunnel.Endpoint{URL: "tls://" + addr, ServerName: tunneltest.HubName},
		Credentials: ca.Agent("spiffe://bench/tenant/t/cluster/c", time.Hour),
		Streams:     map[tunnel.Kind]*tunnel.Listener{tunnel.Raw: r.accepted},
	})
	if err != nil {
		r.close()
		return nil, err
	}
	r.hub = <-sessions
	return r, nil
}

// stream opens a raw stream from the hub and returns both ends.
func (r *rig) stream(ctx context.Context) (hub, agent net.Conn, err error) {
	h, err := r.hub.OpenStream(ctx, tunnel.Raw)
	if err != nil {
		return nil, nil, err
	}
	a, err := r.accepted.Accept()
	return h, a, errors.Join(err)
}
