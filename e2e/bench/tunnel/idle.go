package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"sync/atomic"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/kubilitics/kubilitics/e2e/bench/measure"
	"github.com/kubilitics/kubilitics/shared/tunnel"
	"github.com/kubilitics/kubilitics/shared/tunnel/tunneltest"
)

// idleAgents is how many agents the hub carries in the measurement.
const idleAgents = 500

// The snapshot that each agent sends: so many messages of so many bytes, below the 32 KiB from which gRPC's buffers double.
const (
	snapshotMessages = 131
	messageSize      = 32_000
)

// syncService has the shape of the sync: one stream of messages both ways that stays open.
var syncService = grpc.ServiceDesc{
	ServiceName: "bench.Sync",
	HandlerType: (*any)(nil),
	Streams:     []grpc.StreamDesc{{StreamName: "Sync", ServerStreams: true, ClientStreams: true}},
}

// idle measures what a connected agent costs the hub that says nothing but heartbeats, before and after it has sent 4 MB.
// The hub here is the tunnel and gRPC alone, in this process; the agents are in another.
func idle(ctx context.Context) error {
	hub, err := newIdleHub()
	if err != nil {
		return err
	}
	defer hub.close()
	agents, err := startFleet(ctx, hub.ca, hub.addr, idleAgents)
	if err != nil {
		return err
	}
	defer agents.stop()
	empty, err := measure.Settled()
	if err != nil {
		return err
	}
	if err := agents.do("connect"); err != nil {
		return err
	}
	connected, err := hub.settled(ctx)
	if err != nil {
		return err
	}
	report("", empty, connected)
	measure.Line("tunnel.idle_agent.goroutines", each(connected.Goroutines, empty.Goroutines), "goroutines")
	measure.Line("tunnel.idle_agent.KiB", each(connected.RSS, empty.RSS), "KiB")
	if err := agents.do("send"); err != nil {
		return err
	}
	sent, err := hub.settled(ctx)
	if err != nil {
		return err
	}
	report(".after_4MB", empty, sent)
	measure.Line("tunnel.idle_agent.KiB.after_4MB", each(sent.RSS, empty.RSS), "KiB")
	return hub.check()
}

func each[T int | float64](now, before T) float64 { return float64(now-before) / idleAgents }

func report(when string, before, now measure.Size) {
	measure.Note("tunnel.idle_agent%s: (%d - %d) goroutines, (%.0f - %.0f) KiB RSS over %d agents, tunnel and gRPC alone; of it each %.1f KiB heap, %.1f KiB stacks",
		when, now.Goroutines, before.Goroutines, now.RSS, before.RSS, idleAgents, each(now.Heap, before.Heap), each(now.Stacks, before.Stacks))
}

// idleHub accepts tunnels and serves syncService on them.
type idleHub struct {
	ca       *tunneltest.CA
	addr     string
	received atomic.Int64 // bytes of messages
	sessions atomic.Int64
	close    func()
}

func newIdleHub() (*idleHub, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	h := &idleHub{ca: tunneltest.NewCA(), addr: l.Addr().String()}
	desc := syncService
	desc.Streams[0].Handler = h.sync
	server := grpc.NewServer(tunnel.ServerOptions()...)
	server.RegisterService(&desc, h)
	streams := tunnel.NewListener("sync")
	cred := h.ca.Hub()
	hub := tunnel.NewServer(tunnel.ServerConfig{
		Credentials: func() tunnel.Credentials { return cred },
		OnSession:   func(*tunnel.Session) { h.sessions.Add(1) },
		Streams:     map[tunnel.Kind]*tunnel.Listener{tunnel.GRPC: streams},
	})
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 2)
	go func() { ended <- server.Serve(streams) }()
	go func() { ended <- hub.Serve(ctx, l) }()
	h.close = func() {
		cancel()
		server.Stop()
		<-ended
		<-ended
	}
	return h, nil
}

func (h *idleHub) sync(_ any, s grpc.ServerStream) error {
	for {
		var m wrapperspb.BytesValue
		if err := s.RecvMsg(&m); errors.Is(err, io.EOF) {
			return nil
		} else if err != nil {
			return err
		}
		h.received.Add(int64(len(m.Value)))
		if len(m.Value) < messageSize { // the last of a snapshot, or the first word: acknowledge
			if err := s.SendMsg(&wrapperspb.BytesValue{}); err != nil {
				return err
			}
		}
	}
}

// settled waits until the sessions have taken their buffers back, which takes two heartbeats, then measures.
func (h *idleHub) settled(ctx context.Context) (measure.Size, error) {
	select {
	case <-time.After(10 * time.Second):
		return measure.Settled()
	case <-ctx.Done():
		return measure.Size{}, ctx.Err()
	}
}

// check makes sure that what was measured has happened.
func (h *idleHub) check() error {
	const want = idleAgents * snapshotMessages * messageSize
	if n := h.sessions.Load(); n != idleAgents {
		return fmt.Errorf("%d agents connected, not %d", n, idleAgents)
	}
	if n := h.received.Load(); n < want {
		return fmt.Errorf("the hub received %d bytes, not %d", n, want)
	}
	return nil
}
