package tunnel_test

import (
	"context"
	"crypto/tls"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/kubilitics/kubilitics/shared/fault"
	"github.com/kubilitics/kubilitics/shared/tunnel"
	"github.com/kubilitics/kubilitics/shared/tunnel/tunneltest"
)

func TestStrangersAreRefused(t *testing.T) {
	r := newRig(t)
	other := tunneltest.NewCA()
	own := r.ca.Agent(agentID, time.Hour)
	cases := map[string]tunnel.Credentials{
		"the server is another CA's": {Certificate: own.Certificate, Roots: other.Agent(agentID, time.Hour).Roots},
		"the agent is another CA's":  {Certificate: other.Agent(agentID, time.Hour).Certificate, Roots: own.Roots},
		"the agent has expired":      {Certificate: r.ca.Agent(agentID, -time.Second).Certificate, Roots: own.Roots},
		"the agent shows a server's": {Certificate: r.ca.Hub().Certificate, Roots: own.Roots},
	}
	for name, cred := range cases {
		t.Run(name, func(t *testing.T) {
			cfg := r.config()
			cfg.Credentials = cred
			if _, err := tunnel.Dial(t.Context(), cfg); !fault.Is(err, fault.Unauthorized) {
				t.Errorf("%v (%s), want %s", err, fault.CodeOf(err), fault.Unauthorized)
			}
			<-r.refused
		})
	}
	if n := len(r.sessions); n > 0 {
		t.Errorf("%d sessions came of it", n)
	}
}

func TestTheListenerSpeaksOnlyItsProtocols(t *testing.T) {
	r := newRig(t)
	own := r.ca.Agent(agentID, time.Hour)
	mutual := func() *tls.Config {
		return &tls.Config{
			RootCAs: own.Roots, ServerName: tunneltest.HubName, NextProtos: []string{tunnel.ProtoTunnel},
			Certificates: []tls.Certificate{own.Certificate},
		}
	}
	cases := map[string]func(*tls.Config){
		"TLS 1.2":               func(c *tls.Config) { c.MaxVersion = tls.VersionTLS12 },
		"no client certificate": func(c *tls.Config) { c.Certificates = nil },
		"no protocol":           func(c *tls.Config) { c.NextProtos = nil },
		"HTTP":                  func(c *tls.Config) { c.NextProtos = []string{"h2", "http/1.1"} },
		"both protocols":        func(c *tls.Config) { c.NextProtos = []string{tunnel.ProtoTunnel, tunnel.ProtoEnroll} },
	}
	for name, change := range cases {
		t.Run(name, func(t *testing.T) {
			cfg := mutual()
			change(cfg)
			conn, err := tls.Dial("tcp", r.addr, cfg)
			if err == nil { // a TLS 1.3 client learns of it when it reads
				_ = conn.SetReadDeadline(time.Now().Add(5 * time.Second))
				_, err = conn.Read(make([]byte, 1))
				_ = conn.Close()
			}
			if err == nil {
				t.Error("was admitted")
			}
			<-r.refused
		})
	}
}

func TestNoSessionIsResumed(t *testing.T) {
	r := newRig(t)
	own := r.ca.Agent(agentID, time.Hour)
	cfg := &tls.Config{
		RootCAs: own.Roots, ServerName: tunneltest.HubName, NextProtos: []string{tunnel.ProtoTunnel},
		Certificates: []tls.Certificate{own.Certificate}, ClientSessionCache: tls.NewLRUClientSessionCache(8),
	}
	for range 2 {
		conn, err := tls.Dial("tcp", r.addr, cfg)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := conn.Read(make([]byte, 2)); err != nil { // the verdict; a ticket would have come before it
			t.Fatal(err)
		}
		if conn.ConnectionState().DidResume {
			t.Error("a TLS session was resumed")
		}
		_ = conn.Close()
	}
}

func TestAdmitTellsTheAgentWhyAndWhen(t *testing.T) {
	r := newRig(t, func(c *tunnel.ServerConfig) {
		c.Admit = func(_ context.Context, p tunnel.Peer) error {
			return fault.New(fault.Conflict, "%s is connected already", p.SPIFFE).After(3 * time.Second)
		}
	})
	_, err := tunnel.Dial(t.Context(), r.config())
	if !fault.Is(err, fault.Conflict) || fault.RetryAfter(err) != 3*time.Second {
		t.Errorf("%v, after %s; want a conflict and 3 s", err, fault.RetryAfter(err))
	}
	if err := <-r.refused; !fault.Is(err, fault.Conflict) {
		t.Errorf("the hub heard of %v", err)
	}
}

func TestHandshakesAreBounded(t *testing.T) {
	r := newRig(t, func(c *tunnel.ServerConfig) { c.Limits.HandshakesPerSecond = 0.5 }) // a burst of one
	cfg := r.config()
	var mu sync.Mutex
	admitted, told := 0, 0
	var dials sync.WaitGroup
	for range 20 {
		dials.Go(func() {
			s, err := tunnel.Dial(t.Context(), cfg)
			mu.Lock()
			defer mu.Unlock()
			if err == nil {
				admitted++
				s.Close(nil)
				_ = s.Wait(context.Background())
			} else if fault.Is(err, fault.Unavailable) && fault.RetryAfter(err) > 0 {
				told++
			}
		})
	}
	dials.Wait()
	if admitted < 1 || admitted > 3 || admitted+told != 20 {
		t.Errorf("of 20 agents at once %d were admitted and %d told to come back", admitted, told)
	}
}

func TestSilentConnectionsAreBounded(t *testing.T) {
	r := newRig(t, func(c *tunnel.ServerConfig) {
		c.Limits.Pending, c.Limits.HandshakeTimeout = 4, 200*time.Millisecond
	})
	for range 10 {
		c, err := net.Dial("tcp", r.addr)
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
	}
	for range 10 { // six at once, four at their timeout
		<-r.refused
	}
	r.connect(r.config())
}

func TestUnknownKindsAreRefused(t *testing.T) {
	r := newRig(t)
	agent, hub := r.connect(r.config())
	s, err := agent.OpenStream(t.Context(), tunnel.Kind(99))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.Read(make([]byte, 1)); !fault.Is(err, fault.Unavailable) || !strings.Contains(err.Error(), "serves no kind-99 streams") {
		t.Errorf("a stream of an unknown kind reads %v", err)
	}
	eventually(t, "the stream is gone", func() bool { return agent.Streams() == 0 && hub.Streams() == 0 })
	if agent.Err() != nil {
		t.Errorf("the session ended: %v", agent.Err())
	}
}

func TestEnrolment(t *testing.T) {
	r := newRig(t, func(c *tunnel.ServerConfig) {
		c.Limits.Enrolling, c.Limits.EnrollTimeout = 2, 300*time.Millisecond
	})
	at := r.config().Endpoint
	wrong := tunneltest.NewCA().Pin()
	if _, err := tunnel.DialEnroll(t.Context(), at, wrong); !fault.Is(err, fault.Unauthorized) {
		t.Errorf("with a wrong pin: %v (%s)", err, fault.CodeOf(err))
	}
	<-r.refused
	conn, err := tunnel.DialEnroll(t.Context(), at, wrong, r.ca.Pin())
	if err != nil {
		t.Fatal(err)
	}
	served, err := r.enroll.Accept()
	if err != nil {
		t.Fatal(err)
	}
	say(t, conn, served, "my token")
	if _, err := served.Read(make([]byte, 1)); err == nil {
		t.Error("a first contact outlived its time")
	}
	_ = conn.Close()
	_ = served.Close()
	for range 2 { // the places were given back
		c, err := tunnel.DialEnroll(t.Context(), at, r.ca.Pin())
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		if _, err := r.enroll.Accept(); err != nil {
			t.Fatal(err)
		}
	}
	full, err := tunnel.DialEnroll(t.Context(), at, r.ca.Pin())
	if err == nil {
		_, err = full.Read(make([]byte, 1))
		_ = full.Close()
	}
	if err == nil {
		t.Error("a third first contact at a time was served")
	}
}
