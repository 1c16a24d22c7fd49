package node

import (
	"context"
	"io"
	"net"
	"sync"
)

// relay listens here, and carries each connection there on a lane of its own.
type relay struct {
	listener net.Listener
	dial     func() (lane, error)
	cancel   context.CancelFunc
	carriers sync.WaitGroup
}

// lane is one connection there; *net.TCPConn is one.
type lane interface {
	io.ReadWriteCloser
	CloseWrite() error
}

// open begins at an address, whose port may be 0.
func (r *relay) open(ctx context.Context, address string) (err error) {
	if r.listener, err = net.Listen("tcp", address); err != nil {
		return err
	}
	ctx, r.cancel = context.WithCancel(context.WithoutCancel(ctx))
	r.carriers.Go(func() {
		for {
			here, err := r.listener.Accept()
			if err != nil {
				return // it is closed
			}
			r.carriers.Go(func() { r.carry(ctx, here) })
		}
	})
	return nil
}

func (r *relay) close() {
	if r.listener == nil {
		return
	}
	_ = r.listener.Close() // it accepts no more, whatever it says
	r.cancel()
	r.carriers.Wait()
}

// port is the one that it listens at.
func (r *relay) port() int { return r.listener.Addr().(*net.TCPAddr).Port }

// carry copies both ways until the other side is done, or either breaks off. Where nobody is there the connection is closed.
func (r *relay) carry(ctx context.Context, here net.Conn) {
	defer func() { _ = here.Close() }()
	there, err := r.dial()
	if err != nil {
		return
	}
	defer context.AfterFunc(ctx, func() { _ = there.Close() })()
	var copying sync.WaitGroup
	copying.Go(func() {
		_, _ = io.Copy(there, here) // either may break off
		_ = there.CloseWrite()
	})
	_, _ = io.Copy(here, there)
	_ = here.Close()
	_ = there.Close()
	copying.Wait()
}
