package kubeproxy

import (
	"bufio"
	"net"
	"net/http"
	"sync"
	"time"

	"github.com/kubilitics/kubilitics/shared/fault"
)

var longAgo = time.Unix(1, 0)

// writer is the way to the client. One who takes nothing for too long is cut: he would hold his place for ever.
type writer struct {
	http.ResponseWriter
	control *http.ResponseController
	stall   time.Duration
	pass    *passage
	late    *time.Timer // cuts a write; nil before the first

	mu      sync.Mutex
	writing bool
}

// Unwrap is for http.ResponseController.
func (w *writer) Unwrap() http.ResponseWriter { return w.ResponseWriter }

// Write is bounded in time; between two writes there is no bound.
func (w *writer) Write(p []byte) (int, error) {
	w.limit()
	defer w.done()
	return w.ResponseWriter.Write(p)
}

// FlushError is bounded in the same way.
func (w *writer) FlushError() error {
	w.limit()
	defer w.done()
	return w.control.Flush()
}

// limit has a timer of ours watch, and sets no deadline before it is late: each change of an HTTP/2 stream's deadline wakes its connection's goroutine.
func (w *writer) limit() {
	w.mark(true)
	if w.late == nil {
		w.late = time.AfterFunc(w.stall, w.cut)
	} else {
		w.late.Reset(w.stall)
	}
}

// cut ends a write that is under way. When none is, the server's writer may be gone, and must not be touched.
func (w *writer) cut() {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.writing {
		_ = w.control.SetWriteDeadline(longAgo) // not every writer can; then it has no bound either
	}
}

// done takes the bound away: the connection will serve others.
func (w *writer) done() {
	w.mark(false)
	if w.late != nil {
		w.late.Stop()
	}
}

func (w *writer) mark(writing bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.writing = writing
}

// Hijack gives the connection away, still under the passage's eyes: http.Server knows nothing of it any more.
func (w *writer) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	raw, rw, err := w.control.Hijack()
	if err != nil {
		return nil, nil, err
	}
	c := &client{Conn: raw, stall: w.stall}
	if rw.Reader.Buffered() > 0 {
		c.early = rw.Reader
	}
	if !w.pass.spliced(c) {
		_ = raw.Close()
		return nil, nil, fault.New(fault.Unavailable, "the request was ended")
	}
	return c, rw, nil
}

// client is the client's side of a spliced connection.
type client struct {
	net.Conn
	early *bufio.Reader // what came with the request
	stall time.Duration
}

// Read gives what came early first.
func (c *client) Read(p []byte) (int, error) {
	if c.early != nil {
		if n := c.early.Buffered(); n > 0 {
			return c.early.Read(p[:min(n, len(p))])
		}
		c.early = nil
	}
	return c.Conn.Read(p)
}

// Write is bounded in time.
func (c *client) Write(p []byte) (int, error) {
	if err := c.SetWriteDeadline(time.Now().Add(c.stall)); err != nil {
		return 0, err
	}
	return c.Conn.Write(p)
}

// CloseWrite is called when the cluster has said its last: what it said arrives, and the client has a while to close as well.
func (c *client) CloseWrite() error {
	half, ok := c.Conn.(interface{ CloseWrite() error })
	if !ok {
		return c.Close()
	}
	if err := c.SetReadDeadline(time.Now().Add(linger)); err != nil {
		return err
	}
	return half.CloseWrite()
}
