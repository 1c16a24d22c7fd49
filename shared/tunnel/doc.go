// Package tunnel carries everything between an agent and its hub over one connection: mutual TLS 1.3 over TCP, a
// WebSocket or an in-process pipe, yamux inside it, and streams whose first byte says what they are.
//
// The agent dials ([Dial]) and is the yamux client; the hub accepts ([Server]). Both open and both accept streams.
// gRPC and HTTP servers never see a session: they are given a [Listener], which one process may share between all its
// sessions, so that a server outlives reconnects.
package tunnel

import "fmt"

// Kind is the first byte of a stream and says what is spoken on it.
type Kind byte

// The kinds of streams. Zero is no kind: a stream that opens with it is refused.
const (
	GRPC Kind = 1 // gRPC: sync from the agent, control from the hub
	HTTP Kind = 2 // HTTP/1.1 to the agent's door to its Kubernetes API
	Raw  Kind = 3 // plain bytes, for measuring the tunnel itself
)

// String names the kind for logs and errors.
func (k Kind) String() string {
	switch k {
	case GRPC:
		return "grpc"
	case HTTP:
		return "http"
	case Raw:
		return "raw"
	default:
		return fmt.Sprintf("kind-%d", byte(k))
	}
}

// The two protocols of the tunnel's listener, chosen by ALPN.
const (
	ProtoTunnel = "kubilitics-tunnel/1" // mutual TLS, then a verdict, then yamux
	ProtoEnroll = "kubilitics-enroll/1" // the server is authenticated by a pin, the client by its token; gRPC directly
)
