package kubeserve

import (
	"context"
	"net"
	"net/http"
)

// httpBuffer is what net/http gathers of an answer before it writes.
const httpBuffer = 4 << 10

// joiner is a connection that net/http serves. Of each piece of a long answer that writes one full buffer first and then the rest: two frames of the tunnel,
// which each take a turn of the session's sender and system calls at both ends. While it joins, a full buffer waits for what follows, and both go as one.
type joiner struct {
	net.Conn
	joins bool
	held  []byte // a full buffer, in one of a frame's size; nil when nothing waits
}

// joiners are a listener's connections.
type joiners struct{ net.Listener }

// Accept implements net.Listener.
func (l joiners) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	return &joiner{Conn: c}, nil
}

type joinerKey struct{}

// withJoiner is for http.Server's ConnContext.
func withJoiner(ctx context.Context, c net.Conn) context.Context {
	return context.WithValue(ctx, joinerKey{}, c)
}

// join has full buffers wait, until what it returns is called: by who answers the request, before he returns. What may stand still in the middle, with
// somebody waiting for all that was said so far, must not be joined.
func join(r *http.Request) func() {
	j, ok := r.Context().Value(joinerKey{}).(*joiner)
	if !ok {
		return func() {}
	}
	j.joins = true
	return func() {
		j.joins = false
		_ = j.release(nil) // an error that stays comes again with the answer's end
	}
}

// Write is called by one at a time: net/http's buffer is behind a lock, or its handler's alone.
func (j *joiner) Write(p []byte) (int, error) {
	if j.held != nil {
		return len(p), j.release(p)
	}
	if !j.joins || len(p) != httpBuffer {
		return j.Conn.Write(p)
	}
	j.held = append(frame.Get()[:0], p...)
	return len(p), nil
}

// release writes what waits, and p after it: together where they fit into one frame.
func (j *joiner) release(p []byte) error {
	if j.held == nil {
		return nil
	}
	n := min(len(p), cap(j.held)-len(j.held))
	_, err := j.Conn.Write(append(j.held, p[:n]...))
	frame.Put(j.held[:cap(j.held)])
	if j.held = nil; err == nil && n < len(p) {
		_, err = j.Conn.Write(p[n:])
	}
	return err
}
