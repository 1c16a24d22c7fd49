package tunnel

import (
	"context"
	"net"

	"google.golang.org/grpc/test/bufconn"
)

// Pipe is a transport inside one process, for agents that run in the hub's: a listener for Server.Serve, and Dial for
// Endpoint.Dial. What runs over it is the same as over a network, identities included.
type Pipe struct{ *bufconn.Listener }

// NewPipe makes a pipe. It is gRPC's buffered one: net.Pipe has no buffer, so that two ends that write at a time would wait
// for each other.
func NewPipe() Pipe { return Pipe{bufconn.Listen(64 << 10)} }

// Dial connects to the pipe's listener.
func (p Pipe) Dial(ctx context.Context) (net.Conn, error) { return p.DialContext(ctx) }
