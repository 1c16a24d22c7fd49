package tunnel

import (
	"context"
	"net"
	"net/http"
	"strconv"
	"time"

	"github.com/coder/websocket"

	"github.com/kubilitics/kubilitics/shared/fault"
)

// subprotocol is what a tunnel's WebSocket calls itself; the bytes in it are TLS.
const subprotocol = "kubilitics-tunnel.v1"

// dialWebSocket opens a WebSocket and gives its binary messages as a connection.
func (e *Endpoint) dialWebSocket(ctx context.Context) (net.Conn, error) {
	transport := &http.Transport{
		DialContext: func(ctx context.Context, _, hostport string) (net.Conn, error) { return e.dialTCP(ctx, hostport) },
		// HTTP/1.1 alone: a WebSocket cannot be opened in this way over HTTP/2.
		TLSClientConfig: e.outer(), TLSNextProto: nil, ForceAttemptHTTP2: false,
	}
	transport.TLSClientConfig.NextProtos = []string{"http/1.1"}
	conn, resp, err := websocket.Dial(ctx, e.URL, &websocket.DialOptions{
		HTTPClient:   &http.Client{Transport: transport},
		Subprotocols: []string{subprotocol},
	})
	if err != nil {
		return nil, webSocketErr(err, resp, e.URL)
	}
	return newWebSocketConn(conn), nil
}

// webSocketErr words a refused upgrade, with the time to come back if the answer says one.
func webSocketErr(err error, resp *http.Response, at string) error {
	f := fault.Wrap(err, fault.Unavailable, "the WebSocket %s cannot be opened", at)
	if resp == nil {
		return f
	}
	if seconds, e := strconv.Atoi(resp.Header.Get("Retry-After")); e == nil && seconds > 0 {
		return f.After(min(time.Duration(seconds)*time.Second, time.Hour))
	}
	return f
}

// webSocketConn closes at once: the closing handshake of a WebSocket would wait for a peer that may be gone.
type webSocketConn struct {
	net.Conn
	socket *websocket.Conn
}

// newWebSocketConn's context ends nothing: Close does.
func newWebSocketConn(c *websocket.Conn) net.Conn {
	return webSocketConn{websocket.NetConn(context.Background(), c, websocket.MessageBinary), c}
}

// Close cuts the connection, then tells the wrapper, which stops its timers.
func (c webSocketConn) Close() error {
	err := c.socket.CloseNow()
	_ = c.Conn.Close()
	return err
}
