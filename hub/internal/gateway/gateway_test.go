package gateway

import (
	"context"
	"net"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"
	"go.uber.org/zap"
	"google.golang.org/grpc"
	"google.golang.org/grpc/peer"

	"github.com/kubilitics/kubilitics/hub/internal/fleet"
	"github.com/kubilitics/kubilitics/hub/internal/store"
	tunnelv1 "github.com/kubilitics/kubilitics/proto/tunnel/v1"
	"github.com/kubilitics/kubilitics/shared/fault"
	"github.com/kubilitics/kubilitics/shared/tunnel"
	"github.com/kubilitics/kubilitics/shared/tunnel/tunneltest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const agentID = "spiffe://test/tenant/t/cluster/c"

var at = store.Scope{Tenant: 1, Cluster: fleet.ClusterID(2)}

// notes is the store, as far as the gateway uses it.
type notes struct {
	mu    sync.Mutex
	heard []store.Heard
}

func (n *notes) MarkHeard(_ context.Context, heard []store.Heard) error {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.heard = append(n.heard, heard...)
	return nil
}

func (n *notes) ExpireSessions(context.Context, time.Time) (int, error) { return 0, nil }

// rig is a gateway behind a real listener.
type rig struct {
	t       *testing.T
	gateway *Gateway
	notes   *notes
	ca      *tunneltest.CA
	addr    string
	hubSide chan *tunnel.Session
}

func newRig(t *testing.T) *rig {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	r := &rig{t: t, ca: tunneltest.NewCA(), addr: l.Addr().String(), notes: &notes{}, hubSide: make(chan *tunnel.Session, 10)}
	r.gateway = New(r.notes, func(tunnel.Peer) (store.Scope, error) { return at, nil }, zap.NewNop())
	credentials := r.ca.Hub()
	server := tunnel.NewServer(tunnel.ServerConfig{
		Credentials: func() tunnel.Credentials { return credentials },
		OnSession: func(s *tunnel.Session) {
			r.gateway.Attach(s)
			r.hubSide <- s
		},
	})
	ctx, cancel := context.WithCancel(t.Context())
	served := make(chan error, 1)
	go func() { served <- server.Serve(ctx, l) }()
	t.Cleanup(func() {
		cancel()
		if err := <-served; err != nil {
			t.Error(err)
		}
	})
	return r
}

// control answers as an agent does.
type control struct {
	tunnelv1.UnimplementedControlServer
	resyncs chan string
}

func (c *control) Ping(context.Context, *tunnelv1.PingRequest) (*tunnelv1.PingReply, error) {
	return &tunnelv1.PingReply{Instance: "one", KubernetesVersion: "v1.37.2"}, nil
}

func (c *control) Resync(_ context.Context, r *tunnelv1.ResyncRequest) (*tunnelv1.ResyncReply, error) {
	c.resyncs <- r.GetReason()
	return &tunnelv1.ResyncReply{}, nil
}

func (c *control) Drain(ctx context.Context, _ *tunnelv1.DrainRequest) (*tunnelv1.DrainReply, error) {
	if s, ok := tunnel.SessionOf(ctx); ok {
		context.AfterFunc(ctx, func() { s.Close(nil) }) // once the reply is out
	}
	return &tunnelv1.DrainReply{}, nil
}

// agent dials, through a relay if one is given, and gives the hub's side of the session, as a call on it would show it.
func (r *rig) agent(through string) (call context.Context, resyncs chan string) {
	r.t.Helper()
	calls, server := tunnel.NewListener("agent"), grpc.NewServer(tunnel.ServerOptions()...)
	c := &control{resyncs: make(chan string, 1)}
	tunnelv1.RegisterControlServer(server, c)
	served := make(chan error, 1)
	go func() { served <- server.Serve(calls) }()
	s, err := tunnel.Dial(r.t.Context(), tunnel.DialConfig{
		Endpoint:    tunnel.Endpoint{URL: "tls://" + through, ServerName: tunneltest.HubName},
		Credentials: r.ca.Agent(agentID, time.Hour),
		Streams:     map[tunnel.Kind]*tunnel.Listener{tunnel.GRPC: calls},
	})
	if err != nil {
		r.t.Fatal(err)
	}
	r.t.Cleanup(func() {
		s.Close(nil)
		_ = s.Wait(context.WithoutCancel(r.t.Context()))
		server.Stop()
		<-served
	})
	hubSide := <-r.hubSide
	return peer.NewContext(r.t.Context(), &peer.Peer{AuthInfo: tunnel.AuthInfo{Session: hubSide}}), c.resyncs
}

func sessionOf(t *testing.T, call context.Context) *tunnel.Session {
	t.Helper()
	s, ok := tunnel.SessionOf(call)
	if !ok {
		t.Fatal("the call has no session")
	}
	return s
}

func (r *rig) admit(call context.Context, instance string) func() {
	r.t.Helper()
	_, release, err := r.gateway.Admit(call, instance)
	if err != nil {
		r.t.Fatalf("%s is refused: %v", instance, err)
	}
	return release
}

func TestCallsReachTheAgent(t *testing.T) {
	r := newRig(t)
	call, resyncs := r.agent(r.addr)
	if _, _, err := r.gateway.Ping(t.Context(), at); !fault.Is(err, fault.Unavailable) {
		t.Errorf("before a session: %v, want Unavailable at once", err)
	}
	release := r.admit(call, "one")
	reply, took, err := r.gateway.Ping(t.Context(), at)
	if err != nil || reply.GetKubernetesVersion() != "v1.37.2" || took <= 0 {
		t.Errorf("ping: %v in %s, %v", reply, took, err)
	}
	if err := r.gateway.Resync(t.Context(), at, "because"); err != nil || <-resyncs != "because" {
		t.Errorf("resync: %v", err)
	}
	if live := r.gateway.Live(); len(live) != 1 || live[0] != at {
		t.Errorf("live: %v", live)
	}
	release()
	if live := r.gateway.Live(); len(live) != 0 {
		t.Errorf("live after the end: %v", live)
	}
}

// Two processes with one identity: the first one goes on, the second is told when to come back.
func TestASecondInstanceIsRefusedWhileTheFirstLives(t *testing.T) {
	r := newRig(t)
	first, _ := r.agent(r.addr)
	r.admit(first, "one")
	second, _ := r.agent(r.addr)
	_, _, err := r.gateway.Admit(second, "two")
	if !fault.Is(err, fault.Conflict) || fault.RetryAfter(err) == 0 {
		t.Errorf("the second instance got %v, want a Conflict with a time to come back", err)
	}
	if err := sessionOf(t, first).Err(); err != nil {
		t.Errorf("the first instance was cut: %v", err)
	}
}

func TestTheSameInstanceSupersedesItselfAtOnce(t *testing.T) {
	r := newRig(t)
	before, _ := r.agent(r.addr)
	r.admit(before, "one")
	again, _ := r.agent(r.addr)
	r.admit(again, "one")
	if err := sessionOf(t, before).Err(); !fault.Is(err, fault.Conflict) {
		t.Errorf("the earlier tunnel ended with %v", err)
	}
}

// A restarted agent whose predecessor's connection is half open doesn't wait for it to time out.
func TestASilentHolderIsSuperseded(t *testing.T) {
	r := newRig(t)
	relay := &tunneltest.Relay{}
	if err := relay.Start(r.addr); err != nil {
		t.Fatal(err)
	}
	defer relay.Close()
	before, _ := r.agent(relay.Addr())
	r.admit(before, "one")
	relay.BlackHole()
	again, _ := r.agent(r.addr)
	begin := time.Now()
	r.admit(again, "two")
	if took := time.Since(begin); took > 2*pingTimeout {
		t.Errorf("it took %s", took)
	}
	if sessionOf(t, before).Err() == nil {
		t.Error("the silent tunnel is still there")
	}
}

func TestDrainAsksAndWaits(t *testing.T) {
	r := newRig(t)
	call, _ := r.agent(r.addr)
	r.admit(call, "one")
	r.gateway.Drain(t.Context(), time.Minute)
	if err := sessionOf(t, call).Err(); err == nil {
		t.Error("the drain is over, and the agent is still here")
	}
	r.gateway.Drain(t.Context(), time.Minute) // nobody is left: it returns at once
}

func TestCutEndsTheClustersTunnels(t *testing.T) {
	r := newRig(t)
	call, _ := r.agent(r.addr)
	r.admit(call, "one")
	s := sessionOf(t, call)
	r.gateway.Cut(at, fault.New(fault.Forbidden, "deleted"))
	<-s.Done()
	if !fault.Is(s.Err(), fault.Forbidden) {
		t.Errorf("ended with %v", s.Err())
	}
}

func TestOnlyWritersAreNotedAsHeard(t *testing.T) {
	r := newRig(t)
	call, _ := r.agent(r.addr)
	r.admit(call, "one")
	r.gateway.note(t.Context())
	if len(r.notes.heard) != 0 {
		t.Errorf("noted before there was an epoch: %v", r.notes.heard)
	}
	r.gateway.Opened(call, 7)
	r.gateway.note(t.Context())
	if len(r.notes.heard) != 1 || r.notes.heard[0].Epoch != 7 || r.notes.heard[0].Scope != at || time.Since(r.notes.heard[0].At) > time.Minute {
		t.Errorf("noted: %v", r.notes.heard)
	}
}

func TestACallFromElsewhereIsRefused(t *testing.T) {
	r := newRig(t)
	if _, _, err := r.gateway.Peer(t.Context()); !fault.Is(err, fault.Unauthorized) {
		t.Errorf("got %v", err)
	}
}
