package tunnel

import (
	"io"
	"time"

	"github.com/hashicorp/yamux"
)

// Settings are the times and bounds of a session. A zero field means the default named beside it.
type Settings struct {
	Heartbeat    time.Duration // between the agent's pings, each jittered by a quarter; 4 s
	Dead         time.Duration // without an inbound byte the session ends; 12 s
	Stalled      time.Duration // a stream whose window stays full this long without a read is reset; 60 s
	OpenTimeout  time.Duration // bounds OpenStream, and the wait for a new stream's first byte; 10 s
	CloseTimeout time.Duration // after which a stream that only one side has closed is reset; 5 min
	MaxStreams   int           // open streams of a session, both directions together; 4096
	MaxPeer      int           // of them, those that the peer opened; 256 at a hub, as many as there may be at an agent
	MaxOpening   int           // streams being opened at a time, below the peer's backlog; 64
	Window       uint32        // receive window of a stream in bytes, at least 256 KiB; 1 MiB
}

// backlog is what each end lets the other open ahead of its accept loop. The loop never blocks on a stream, and MaxOpening
// keeps the opener below it, so it needs no more; each slot costs the hub eight bytes per idle agent.
const backlog = 256

// frameBody is the most that one frame carries: what io.Copy writes at once. A small frame waits behind at most so much of
// another stream, 1.3 ms at 25 MB/s.
const frameBody = 32 << 10

func orDefault[T int | uint32 | time.Duration](v, def T) T {
	if v == 0 {
		return def
	}
	return v
}

// withDefaults fills the zero fields. An open stream costs an end about a kilobyte, and up to a window once its reader falls behind: a hub, where
// that sums up over thousands of agents, opens as many as its users ask for, and takes few of an agent, which needs two or three.
func (s Settings) withDefaults(agent bool) Settings {
	s.Heartbeat = orDefault(s.Heartbeat, 4*time.Second)
	s.Dead = orDefault(s.Dead, 12*time.Second)
	s.Stalled = orDefault(s.Stalled, time.Minute)
	s.OpenTimeout = orDefault(s.OpenTimeout, 10*time.Second)
	s.CloseTimeout = orDefault(s.CloseTimeout, 5*time.Minute)
	s.MaxStreams = orDefault(s.MaxStreams, 4096)
	if s.MaxPeer == 0 && !agent {
		s.MaxPeer = 256
	}
	s.MaxPeer = min(orDefault(s.MaxPeer, s.MaxStreams), s.MaxStreams)
	s.MaxOpening = min(orDefault(s.MaxOpening, 64), backlog/2)
	s.Window = max(orDefault(s.Window, 1<<20), 256<<10)
	return s
}

// mux gives yamux its configuration. Its keepalive stays off: our heartbeat does the work and spares the hub a goroutine
// per agent. Its log is dropped: whatever matters ends the session and is in Err.
func (s Settings) mux() *yamux.Config {
	return &yamux.Config{
		AcceptBacklog:          backlog,
		EnableKeepAlive:        false,
		KeepAliveInterval:      15 * time.Second, // must be set even when off
		ConnectionWriteTimeout: 30 * time.Second,
		StreamOpenTimeout:      30 * time.Second,
		StreamCloseTimeout:     s.CloseTimeout,
		MaxStreamWindowSize:    s.Window,
		LogOutput:              io.Discard,
	}
}
