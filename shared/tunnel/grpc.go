package tunnel

import (
	"context"
	"errors"
	"net"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/backoff"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/peer"
)

// The bounds of gRPC in the tunnel. Messages stay below 32 KiB by the senders' choice, which keeps them in the small tier of
// gRPC's buffer pools; these are what a peer cannot exceed.
const (
	maxMessage    = 4 << 20
	maxHeaders    = 16 << 10
	maxCalls      = 64        // at a time, on one stream of the tunnel
	callWindow    = 256 << 10 // bytes of one call in flight; together with connWindow the most that a peer makes gRPC hold
	connWindow    = 512 << 10
	writeBuffer   = 32 << 10
	helloDeadline = 10 * time.Second
)

// ServerOptions are those of a gRPC server on a Listener: they keep an idle agent small at the hub (no read buffer, a write
// buffer only while something is written, no keepalive of its own) and show handlers the tunnel's identity.
func ServerOptions() []grpc.ServerOption {
	return []grpc.ServerOption{
		grpc.Creds(TransportCredentials()),
		grpc.ReadBufferSize(0),
		grpc.WriteBufferSize(writeBuffer),
		grpc.MaxRecvMsgSize(maxMessage),
		grpc.MaxHeaderListSize(maxHeaders),
		grpc.MaxConcurrentStreams(maxCalls),
		grpc.StaticStreamWindowSize(callWindow),
		grpc.StaticConnWindowSize(connWindow),
		grpc.ConnectionTimeout(helloDeadline),
	}
}

// DialGRPC makes a gRPC client whose connections are streams of the session. On the hub it is made when it is needed and
// closed after: a client that stays costs more than the rest of an idle agent.
func (s *Session) DialGRPC(opts ...grpc.DialOption) (*grpc.ClientConn, error) {
	return NewGRPCClient(func(ctx context.Context) (net.Conn, error) { return s.OpenStream(ctx, GRPC) }, opts...)
}

// NewGRPCClient makes a gRPC client over connections that are already secured, such as DialEnroll's.
func NewGRPCClient(open func(context.Context) (net.Conn, error), opts ...grpc.DialOption) (*grpc.ClientConn, error) {
	return grpc.NewClient("passthrough:///tunnel", append([]grpc.DialOption{
		grpc.WithContextDialer(func(ctx context.Context, _ string) (net.Conn, error) { return open(ctx) }),
		grpc.WithTransportCredentials(TransportCredentials()),
		grpc.WithNoProxy(),
		grpc.WithDisableServiceConfig(),
		grpc.WithReadBufferSize(0),
		grpc.WithWriteBufferSize(writeBuffer),
		grpc.WithMaxHeaderListSize(maxHeaders),
		grpc.WithStaticStreamWindowSize(callWindow),
		grpc.WithStaticConnWindowSize(connWindow),
		grpc.WithDefaultCallOptions(grpc.MaxCallRecvMsgSize(maxMessage)),
		grpc.WithConnectParams(grpc.ConnectParams{
			Backoff:           backoff.Config{BaseDelay: 100 * time.Millisecond, Multiplier: 2, Jitter: 0.2, MaxDelay: 5 * time.Second},
			MinConnectTimeout: helloDeadline,
		}),
	}, opts...)...)
}

// AuthInfo is what a gRPC call knows of the connection below it.
type AuthInfo struct {
	credentials.CommonAuthInfo
	Session *Session // nil on a first contact's connection, whose client is not authenticated
}

// AuthType names the security of the connection.
func (AuthInfo) AuthType() string { return "kubilitics-tunnel" }

// ValidateAuthority accepts any :authority, which means nothing inside a tunnel: the peer is known by its certificate.
func (AuthInfo) ValidateAuthority(string) error { return nil }

// SessionOf is the session that carries a call, on either side; false on a first contact's connection or outside of a
// call.
func SessionOf(ctx context.Context) (*Session, bool) {
	p, ok := peer.FromContext(ctx)
	if !ok {
		return nil, false
	}
	info, ok := p.AuthInfo.(AuthInfo)
	return info.Session, ok && info.Session != nil
}

// TransportCredentials are gRPC's view of connections that are secured below it: they add nothing to the wire and refuse a
// connection that did not come from this package.
func TransportCredentials() credentials.TransportCredentials { return outer{} }

type outer struct{}

var errBare = errors.New("this connection is not secured by a tunnel")

func (outer) reveal(conn net.Conn) (net.Conn, credentials.AuthInfo, error) {
	info := AuthInfo{CommonAuthInfo: credentials.CommonAuthInfo{SecurityLevel: credentials.PrivacyAndIntegrity}}
	switch c := conn.(type) {
	case *Stream:
		info.Session = c.Session()
	case *enrolment, *enroller:
	default:
		return nil, nil, errBare
	}
	return conn, info, nil
}

func (o outer) ClientHandshake(_ context.Context, _ string, c net.Conn) (net.Conn, credentials.AuthInfo, error) {
	return o.reveal(c)
}

func (o outer) ServerHandshake(c net.Conn) (net.Conn, credentials.AuthInfo, error) {
	return o.reveal(c)
}

func (outer) Info() credentials.ProtocolInfo {
	return credentials.ProtocolInfo{SecurityProtocol: "kubilitics-tunnel"}
}

func (o outer) Clone() credentials.TransportCredentials { return o }

// OverrideServerName does nothing: the name was checked by the TLS below. The interface wants it.
func (outer) OverrideServerName(string) error { return nil }
