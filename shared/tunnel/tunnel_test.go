package tunnel_test

import (
	"context"
	"errors"
	"io"
	"net"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/kubilitics/kubilitics/shared/tunnel"
	"github.com/kubilitics/kubilitics/shared/tunnel/tunneltest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const agentID = "spiffe://test/tenant/acme/cluster/c1"

// rig is a hub's server and what an agent needs to reach it.
type rig struct {
	t        *testing.T
	ca       *tunneltest.CA
	server   *tunnel.Server
	addr     string
	sessions chan *tunnel.Session // of the hub's side
	refused  chan error
	hubRaw   *tunnel.Listener // raw streams that agents open
	agentRaw *tunnel.Listener // raw streams that the hub opens
	enroll   *tunnel.Listener
}

// newRig starts a hub on a loopback port.
func newRig(t *testing.T, change ...func(*tunnel.ServerConfig)) *rig {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	return newRigOn(t, l, change...)
}

func newRigOn(t *testing.T, l net.Listener, change ...func(*tunnel.ServerConfig)) *rig {
	r := &rig{
		t: t, ca: tunneltest.NewCA(), addr: l.Addr().String(),
		sessions: make(chan *tunnel.Session, 100), refused: make(chan error, 1000),
		hubRaw: tunnel.NewListener("hub-raw"), agentRaw: tunnel.NewListener("agent-raw"), enroll: tunnel.NewListener("enroll"),
	}
	hub := r.ca.Hub()
	cfg := tunnel.ServerConfig{
		Credentials: func() tunnel.Credentials { return hub },
		OnSession:   func(s *tunnel.Session) { r.sessions <- s },
		Streams:     map[tunnel.Kind]*tunnel.Listener{tunnel.Raw: r.hubRaw},
		Enroll:      r.enroll,
		Refused:     func(_ net.Addr, err error) { r.refused <- err },
	}
	for _, c := range change {
		c(&cfg)
	}
	r.server = tunnel.NewServer(cfg)
	ctx, cancel := context.WithCancel(t.Context())
	served := make(chan error, 1)
	go func() { served <- r.server.Serve(ctx, l) }()
	t.Cleanup(func() {
		cancel()
		if err := <-served; err != nil {
			t.Errorf("Serve: %v", err)
		}
		_ = r.hubRaw.Close()
		_ = r.agentRaw.Close()
		_ = r.enroll.Close()
	})
	return r
}

func (r *rig) config() tunnel.DialConfig {
	return tunnel.DialConfig{
		Endpoint:    tunnel.Endpoint{URL: "tls://" + r.addr, ServerName: tunneltest.HubName},
		Credentials: r.ca.Agent(agentID, time.Hour),
		Streams:     map[tunnel.Kind]*tunnel.Listener{tunnel.Raw: r.agentRaw},
	}
}

// connect dials and returns both ends of the session.
func (r *rig) connect(cfg tunnel.DialConfig) (agent, hub *tunnel.Session) {
	r.t.Helper()
	agent, err := tunnel.Dial(r.t.Context(), cfg)
	if err != nil {
		r.t.Fatalf("Dial: %v", err)
	}
	r.t.Cleanup(func() {
		agent.Close(nil)
		if err := agent.Wait(context.Background()); err != nil {
			r.t.Error(err)
		}
	})
	return agent, <-r.sessions
}

// streams opens a raw stream from the agent and returns both ends.
func (r *rig) streams(agent *tunnel.Session) (mine, theirs *tunnel.Stream) {
	r.t.Helper()
	mine, err := agent.OpenStream(r.t.Context(), tunnel.Raw)
	if err != nil {
		r.t.Fatal(err)
	}
	conn, err := r.hubRaw.Accept()
	if err != nil {
		r.t.Fatal(err)
	}
	return mine, conn.(*tunnel.Stream)
}

// say writes on one end and expects it at the other.
func say(t *testing.T, from io.Writer, to io.Reader, text string) {
	t.Helper()
	go func() { _, _ = io.WriteString(from, text) }()
	got := make([]byte, len(text))
	if _, err := io.ReadFull(to, got); err != nil || string(got) != text {
		t.Fatalf("read %q, %v; want %q", got, err, text)
	}
}

// eventually polls, for what has no signal of its own.
func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(10 * time.Second); !ok(); time.Sleep(2 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("not within 10 s: %s", what)
		}
	}
}

func TestBothEndsOpenAndAccept(t *testing.T) {
	r := newRig(t)
	agent, hub := r.connect(r.config())
	if got := hub.Peer().SPIFFE; got != agentID {
		t.Errorf("the hub sees %q", got)
	}
	if got := agent.Peer().Certificate.DNSNames[0]; got != tunneltest.HubName {
		t.Errorf("the agent sees %q", got)
	}
	up, upEnd := r.streams(agent)
	say(t, up, upEnd, "from the agent")
	say(t, upEnd, up, "and back")

	down, err := hub.OpenStream(t.Context(), tunnel.Raw)
	if err != nil {
		t.Fatal(err)
	}
	downEnd, err := r.agentRaw.Accept()
	if err != nil {
		t.Fatal(err)
	}
	say(t, down, downEnd, "from the hub")

	if err := up.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := upEnd.Read(make([]byte, 1)); !errors.Is(err, io.EOF) {
		t.Errorf("after Close the peer reads %v, want EOF", err)
	}
	_ = upEnd.Close()
	_ = down.Close()
	_ = downEnd.Close()
	eventually(t, "no stream is open", func() bool { return agent.Streams() == 0 && hub.Streams() == 0 })
}

func TestALostSessionIsNoEndOfFile(t *testing.T) {
	r := newRig(t)
	agent, hub := r.connect(r.config())
	mine, theirs := r.streams(agent)
	say(t, theirs, mine, "half of an answer")
	hub.Close(errors.New("gone"))
	if _, err := io.ReadAll(mine); err == nil {
		t.Fatal("a stream of a lost session ended without an error")
	}
	<-agent.Done()
	if agent.Err() == nil {
		t.Error("a session that has ended has no reason")
	}
	if _, err := agent.OpenStream(t.Context(), tunnel.Raw); err == nil {
		t.Error("a stream was opened on a session that has ended")
	}
}
