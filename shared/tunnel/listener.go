package tunnel

import (
	"net"
	"sync"
)

// Listener hands streams to a server as if they were connections. It may serve any number of sessions, one after the other
// or at a time, and lives until it is closed.
type Listener struct {
	name   string
	conns  chan net.Conn
	closed chan struct{}
	once   sync.Once
}

// pendingConns is how far a server may be behind. A hub that many users come back to opens a thousand streams in the time of one turn.
const pendingConns = 1024

// NewListener makes a listener; name is its address in logs.
func NewListener(name string) *Listener {
	return &Listener{name: name, conns: make(chan net.Conn, pendingConns), closed: make(chan struct{})}
}

// deliver gives a connection to the server; false when it has closed or is too far behind.
func (l *Listener) deliver(c net.Conn) bool {
	select {
	case <-l.closed:
		return false
	default:
	}
	select {
	case l.conns <- c:
		select {
		case <-l.closed: // it may have closed in between and must not keep what nobody will take
			_ = l.Close()
		default:
		}
		return true
	default:
		return false
	}
}

// Accept waits for the next connection; net.ErrClosed after Close.
func (l *Listener) Accept() (net.Conn, error) {
	select {
	case <-l.closed:
		return nil, net.ErrClosed
	case c := <-l.conns:
		return c, nil
	}
}

// Close ends Accept and drops the connections that it has not handed out.
func (l *Listener) Close() error {
	l.once.Do(func() { close(l.closed) })
	for {
		select {
		case c := <-l.conns:
			_ = c.Close()
		default:
			return nil
		}
	}
}

// Addr names the listener.
func (l *Listener) Addr() net.Addr { return addr(l.name) }

// addr is an address that is only a name.
type addr string

func (addr) Network() string  { return "tunnel" }
func (a addr) String() string { return string(a) }
