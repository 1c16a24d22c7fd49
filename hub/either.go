package hub

import (
	"crypto/tls"
	"net"
	"os"
	"sync"

	"github.com/kubilitics/kubilitics/hub/internal/enroll"
	"github.com/kubilitics/kubilitics/shared/tunnel"
)

// eitherListener takes plain HTTP and TLS at one address, for a hub that has no certificate of its own for its API: clients of Kubernetes send no
// credentials without TLS, so the kubeconfigs that it gives name it by https and hold its root, while everything else goes on as it is.
type eitherListener struct {
	net.Listener
	config *tls.Config
}

// Accept never waits for what a connection says.
func (l eitherListener) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	tunnel.Tune(c) // who comes later doesn't see the socket
	return &eitherConn{Conn: c, config: l.config}, nil
}

// eitherConn finds out with its first byte which of the two it is. It speaks once it was spoken to: both protocols begin with the client.
type eitherConn struct {
	net.Conn
	config *tls.Config
	first  sync.Once
	failed error

	mu     sync.Mutex
	secure *tls.Conn // nil until the first byte, and in the clear
}

// tlsHandshake is the first byte of any TLS connection, and of no method of HTTP.
const tlsHandshake = 0x16

func (c *eitherConn) Read(b []byte) (int, error) {
	if len(b) == 0 {
		return 0, nil
	}
	var n int
	c.first.Do(func() { n, c.failed = c.begin(b) })
	if n > 0 || c.failed != nil {
		return n, c.failed
	}
	return c.inner().Read(b)
}

// begin reads the first byte, and keeps it for TLS or gives it to the reader.
func (c *eitherConn) begin(b []byte) (int, error) {
	n, err := c.Conn.Read(b[:1])
	if err != nil || b[0] != tlsHandshake {
		return n, err
	}
	secure := tls.Server(&prefixed{Conn: c.Conn, prefix: []byte{tlsHandshake}}, c.config)
	if err := secure.Handshake(); err != nil {
		return 0, err
	}
	c.mu.Lock()
	c.secure = secure
	c.mu.Unlock()
	return 0, nil
}

func (c *eitherConn) inner() net.Conn {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.secure != nil {
		return c.secure
	}
	return c.Conn
}

func (c *eitherConn) Write(b []byte) (int, error) { return c.inner().Write(b) }

func (c *eitherConn) Close() error { return c.inner().Close() }

// CloseWrite lets the server end an answer before its connection, so that a client who is still sending gets it.
func (c *eitherConn) CloseWrite() error {
	if half, ok := c.inner().(interface{ CloseWrite() error }); ok {
		return half.CloseWrite()
	}
	return nil
}

// prefixed gives back what was read of a connection already.
type prefixed struct {
	net.Conn
	prefix []byte
}

func (p *prefixed) Read(b []byte) (int, error) {
	if len(p.prefix) > 0 {
		n := copy(b, p.prefix)
		p.prefix = p.prefix[n:]
		return n, nil
	}
	return p.Conn.Read(b)
}

// either makes the API's listener take TLS too.
func (h *Hub) either(l net.Listener, authority *enroll.Authority) net.Listener {
	return eitherListener{l, &tls.Config{
		MinVersion: tls.VersionTLS12, NextProtos: []string{"http/1.1"}, GetCertificate: authority.Serving(h.cfg.apiNames(l.Addr())),
	}}
}

// apiNames are the names and addresses by which the API may be reached, as far as they are known here.
func (c Config) apiNames(bound net.Addr) []string {
	names := append([]string{"localhost", "127.0.0.1", "::1"}, c.Tunnel.Names...)
	if host, err := os.Hostname(); err == nil {
		names = append(names, host)
	}
	if host, _, err := net.SplitHostPort(c.Listen); err == nil && host != "" {
		names = append(names, host)
	}
	if host := c.publicHost(); host != "" {
		names = append(names, host)
	}
	if tcp, ok := bound.(*net.TCPAddr); !ok || !tcp.IP.IsUnspecified() {
		return names
	}
	own, _ := net.InterfaceAddrs() // without them the names remain
	for _, a := range own {
		if n, ok := a.(*net.IPNet); ok {
			names = append(names, n.IP.String())
		}
	}
	return names
}
