package tunnel_test

import (
	"context"
	"io"
	"net"
	"sync"
	"testing"
	"time"

	"github.com/kubilitics/kubilitics/shared/fault"
	"github.com/kubilitics/kubilitics/shared/tunnel"
	"github.com/kubilitics/kubilitics/shared/tunnel/tunneltest"
)

// hole is a connection that may fall silent: what is written is lost, nothing comes in, and nothing is closed.
type hole struct {
	net.Conn
	mu     sync.Mutex
	silent bool
}

func (h *hole) Write(p []byte) (int, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.silent {
		return len(p), nil
	}
	return h.Conn.Write(p)
}

func (h *hole) fall() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.silent = true
}

// holes lets a test silence both directions of a pipe.
type holes struct {
	tunnel.Pipe
	mu    sync.Mutex
	conns []*hole
}

func (h *holes) wrap(c net.Conn, err error) (net.Conn, error) {
	if err != nil {
		return nil, err
	}
	w := &hole{Conn: c}
	h.mu.Lock()
	defer h.mu.Unlock()
	h.conns = append(h.conns, w)
	return w, nil
}

func (h *holes) Accept() (net.Conn, error)                  { return h.wrap(h.Pipe.Accept()) }
func (h *holes) dial(ctx context.Context) (net.Conn, error) { return h.wrap(h.Pipe.Dial(ctx)) }
func (h *holes) fall() {
	for _, c := range h.conns {
		c.fall()
	}
}

// scaled are the settings of a tunnel at a quarter of their size: yamux shares timers between all sessions of a process, which a bubble of
// testing/synctest doesn't allow, and a machine that runs other tests beside may not schedule a heartbeat for a second.
var scaled = tunnel.Settings{Heartbeat: 500 * time.Millisecond, Dead: 3 * time.Second}

// piped connects over a pipe that can fall silent.
func piped(t *testing.T, cfg func(*rig, *tunnel.DialConfig)) (*holes, *rig, *tunnel.Session, *tunnel.Session) {
	h := &holes{Pipe: tunnel.NewPipe()}
	r := newRigOn(t, h, func(c *tunnel.ServerConfig) { c.Settings = scaled })
	dial := r.config()
	dial.Dial, dial.Settings = h.dial, scaled
	if cfg != nil {
		cfg(r, &dial)
	}
	agent, hub := r.connect(dial)
	return h, r, agent, hub
}

func TestAnIdleSessionLives(t *testing.T) {
	t.Parallel()
	_, _, agent, hub := piped(t, nil)
	select {
	case <-agent.Done():
	case <-hub.Done():
	case <-time.After(3 * scaled.Dead):
	}
	if agent.Err() != nil || hub.Err() != nil {
		t.Errorf("an idle session ended: %v, %v", agent.Err(), hub.Err())
	}
	if _, err := hub.Ping(t.Context()); err != nil {
		t.Errorf("the hub's ping: %v", err)
	}
}

func TestAHalfOpenConnectionIsFound(t *testing.T) {
	t.Parallel()
	h, r, agent, hub := piped(t, nil)
	mine, theirs := r.streams(agent)
	read := make(chan error, 1)
	go func() { _, err := theirs.Read(make([]byte, 1)); read <- err }()
	h.fall()
	start := time.Now()
	<-agent.Done()
	<-hub.Done()
	// At full size: 12 s, and three more at the most; a second beside for a machine that is busy.
	if took := time.Since(start); took > scaled.Dead*15/12+time.Second {
		t.Errorf("it took %s to find that the peer is gone", took)
	}
	if err := <-read; !fault.Is(err, fault.Unavailable) {
		t.Errorf("a blocked read got %v", err)
	}
	if _, err := mine.Write([]byte("x")); !fault.Is(err, fault.Unavailable) {
		t.Errorf("a write got %v", err)
	}
}

func TestASessionEndsWithItsCertificate(t *testing.T) {
	t.Parallel()
	_, _, agent, hub := piped(t, func(r *rig, c *tunnel.DialConfig) {
		c.Credentials = r.ca.Agent(agentID, 3*time.Second)
	})
	<-hub.Done()
	<-agent.Done()
	end := agent.Peer().Certificate.NotAfter // of the hub's, an hour away
	if time.Until(end) < time.Minute {
		t.Fatal("the wrong certificate expired")
	}
	if !fault.Is(hub.Err(), fault.Unauthorized) && !fault.Is(agent.Err(), fault.Unauthorized) {
		t.Errorf("it ended because: %v, %v", hub.Err(), agent.Err())
	}
}

// A relay is the real thing: kernel buffers, and a peer's silence that no error tells of.
func TestABlackHoleBetweenTwoSockets(t *testing.T) {
	quick := tunnel.Settings{Heartbeat: 100 * time.Millisecond, Dead: 300 * time.Millisecond}
	r := newRig(t, func(c *tunnel.ServerConfig) { c.Settings = quick })
	relay := &tunneltest.Relay{}
	if err := relay.Start(r.addr); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(relay.Close)
	cfg := r.config()
	cfg.URL, cfg.Settings = "tls://"+relay.Addr(), quick
	agent, hub := r.connect(cfg)
	mine, theirs := r.streams(agent)
	say(t, mine, theirs, "alive")
	relay.BlackHole()
	filled := make(chan error, 1)
	go func() { _, err := io.Copy(mine, zeros{}); filled <- err }() // until nothing takes any more
	<-agent.Done()
	<-hub.Done()
	if err := <-filled; err == nil {
		t.Error("a write into the hole succeeded")
	}
}

type zeros struct{}

func (zeros) Read(p []byte) (int, error) { return len(p), nil }

func TestServeEndsItsSessions(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ca := tunneltest.NewCA()
	hubCred := ca.Hub()
	sessions := make(chan *tunnel.Session, 1)
	server := tunnel.NewServer(tunnel.ServerConfig{
		Credentials: func() tunnel.Credentials { return hubCred },
		OnSession:   func(s *tunnel.Session) { sessions <- s },
	})
	ctx, cancel := context.WithCancel(t.Context())
	served := make(chan error, 1)
	go func() { served <- server.Serve(ctx, l) }()
	agent, err := tunnel.Dial(t.Context(), tunnel.DialConfig{
		Endpoint:    tunnel.Endpoint{URL: "tls://" + l.Addr().String(), ServerName: tunneltest.HubName},
		Credentials: ca.Agent(agentID, time.Hour),
	})
	if err != nil {
		t.Fatal(err)
	}
	hub := <-sessions
	cancel()
	if err := <-served; err != nil {
		t.Error(err)
	}
	if err := hub.Wait(t.Context()); err != nil {
		t.Errorf("Serve returned before its session had ended: %v", err)
	}
	<-agent.Done()
	if err := agent.Wait(t.Context()); err != nil {
		t.Error(err)
	}
}
