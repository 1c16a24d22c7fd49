package tunnel_test

import (
	"context"
	"net"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/kubilitics/kubilitics/shared/tunnel"
)

// whoami answers with the caller's identity as the tunnel knows it, and with nothing when there is no tunnel.
var whoami = grpc.ServiceDesc{
	ServiceName: "test.Who", HandlerType: (*any)(nil),
	Methods: []grpc.MethodDesc{{MethodName: "AmI", Handler: func(_ any, ctx context.Context, read func(any) error, _ grpc.UnaryServerInterceptor) (any, error) {
		var in wrapperspb.StringValue
		if err := read(&in); err != nil {
			return nil, err
		}
		s, ok := tunnel.SessionOf(ctx)
		if !ok {
			return wrapperspb.String(""), nil
		}
		return wrapperspb.String(s.Peer().SPIFFE), nil
	}}},
}

// serveGRPC serves whoami on a listener until the test ends.
func serveGRPC(t *testing.T, l net.Listener) {
	server := grpc.NewServer(tunnel.ServerOptions()...)
	server.RegisterService(&whoami, nil)
	served := make(chan error, 1)
	go func() { served <- server.Serve(l) }()
	t.Cleanup(func() {
		server.Stop()
		<-served
	})
}

func ask(t *testing.T, c *grpc.ClientConn) (string, error) {
	t.Cleanup(func() { _ = c.Close() })
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
	defer cancel()
	var out wrapperspb.StringValue
	err := c.Invoke(ctx, "/test.Who/AmI", wrapperspb.String("?"), &out)
	return out.Value, err
}

func TestGRPCKnowsTheTunnelsIdentity(t *testing.T) {
	atHub, atAgent := tunnel.NewListener("hub-grpc"), tunnel.NewListener("agent-grpc")
	r := newRig(t, func(c *tunnel.ServerConfig) {
		c.Streams = map[tunnel.Kind]*tunnel.Listener{tunnel.GRPC: atHub}
		c.Enroll = atHub // in truth a server of its own; here the same shows that the identity is missing
	})
	serveGRPC(t, atHub)
	serveGRPC(t, atAgent)
	cfg := r.config()
	cfg.Streams = map[tunnel.Kind]*tunnel.Listener{tunnel.GRPC: atAgent}
	agent, hub := r.connect(cfg)

	toHub, err := agent.DialGRPC()
	if err != nil {
		t.Fatal(err)
	}
	if who, err := ask(t, toHub); who != agentID || err != nil {
		t.Errorf("the hub takes the agent for %q (%v)", who, err)
	}
	toAgent, err := hub.DialGRPC()
	if err != nil {
		t.Fatal(err)
	}
	if who, err := ask(t, toAgent); who != "" || err != nil { // the hub's certificate has a name, no SPIFFE URI
		t.Errorf("the agent takes the hub for %q (%v)", who, err)
	}
	first, err := tunnel.NewGRPCClient(func(ctx context.Context) (net.Conn, error) {
		return tunnel.DialEnroll(ctx, cfg.Endpoint, r.ca.Pin())
	})
	if err != nil {
		t.Fatal(err)
	}
	if who, err := ask(t, first); who != "" || err != nil {
		t.Errorf("the hub takes a first contact for %q (%v)", who, err)
	}
}

func TestGRPCRefusesBareConnections(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	serveGRPC(t, l)
	c, err := tunnel.NewGRPCClient(func(ctx context.Context) (net.Conn, error) {
		var d net.Dialer
		return d.DialContext(ctx, "tcp", l.Addr().String())
	})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := ask(t, c); status.Code(err) != codes.Unavailable {
		t.Errorf("a call over a bare connection: %v", err)
	}
}

func TestGRPCRefusesMessagesThatAreTooLarge(t *testing.T) {
	l := tunnel.NewListener("hub-grpc")
	r := newRig(t, func(c *tunnel.ServerConfig) { c.Streams = map[tunnel.Kind]*tunnel.Listener{tunnel.GRPC: l} })
	serveGRPC(t, l)
	agent, _ := r.connect(r.config())
	c, err := agent.DialGRPC()
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	err = c.Invoke(t.Context(), "/test.Who/AmI", wrapperspb.Bytes(make([]byte, 4<<20)), &wrapperspb.StringValue{})
	if status.Code(err) != codes.ResourceExhausted {
		t.Errorf("a message over the limit: %v", err)
	}
}
