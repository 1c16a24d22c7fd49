package tunnel

import (
	"errors"
	"io"
	"net"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"github.com/hashicorp/yamux"

	"github.com/kubilitics/kubilitics/shared/fault"
)

// Stream is one stream of a session: a net.Conn. Close is orderly and ends both directions as far as this side cares: the
// peer reads what was written and then the end. There is no half close.
type Stream struct {
	session *Session
	mux     *yamux.Stream
	flow    *flow
	kind    Kind

	writing sync.Mutex
	read    atomic.Uint64
	closed  atomic.Bool
	cut     atomic.Bool // reset by this side

	// Of the session's clock alone:
	marked    uint64    // read at the last tick
	shrunk    uint64    // received when the buffer was last given back
	fullSince time.Time // zero while the window has room
}

// stream wraps a yamux stream; nil when the peer has reset it already.
func (s *Session) stream(y *yamux.Stream, kind Kind) *Stream {
	st := &Stream{session: s, mux: y, kind: kind}
	s.frames.mu.Lock()
	st.flow = s.frames.flows[y.StreamID()]
	if st.flow != nil {
		st.flow.stream = st
	}
	s.frames.mu.Unlock()
	if st.flow == nil {
		_ = y.Close()
		return nil
	}
	return st
}

// Session is the tunnel that carries the stream.
func (st *Stream) Session() *Session { return st.session }

// Kind is what the stream's first byte said.
func (st *Stream) Kind() Kind { return st.kind }

// Read reads what the peer wrote. io.EOF means that the peer said so; the end of a lost session is another error.
func (st *Stream) Read(p []byte) (int, error) {
	if st.cut.Load() {
		return 0, errReset
	}
	n, err := st.mux.Read(p)
	read := st.read.Add(uint64(n))
	if err == nil {
		return n, nil
	}
	// yamux says EOF too when its session ends.
	if errors.Is(err, io.EOF) && st.flow.finIn.Load() && read == st.flow.received.Load() {
		return n, io.EOF
	}
	return n, st.err(err)
}

// Write writes in frames of at most frameBody, so that other streams get their turn in between.
func (st *Stream) Write(p []byte) (int, error) {
	st.writing.Lock()
	defer st.writing.Unlock()
	total := 0
	for len(p) > 0 {
		n, err := st.mux.Write(p[:min(len(p), frameBody)])
		total += n
		if err != nil {
			return total, st.err(err)
		}
		p = p[n:]
	}
	return total, nil
}

// Close closes the stream in order. What the peer still sends is dropped; if it goes on sending, the stream is reset.
func (st *Stream) Close() error {
	if st.closed.Swap(true) || st.cut.Load() {
		return nil
	}
	if err := st.mux.Close(); err != nil {
		return st.err(err)
	}
	return nil
}

// Reset ends the stream at once on both ends, dropping what is unread there. It may be given to context.AfterFunc.
func (st *Stream) Reset() error {
	if st.cut.Swap(true) {
		return nil
	}
	past := time.Unix(1, 0) // wakes a blocked Read or Write
	_ = st.mux.SetDeadline(past)
	if err := st.session.frames.reset(st.mux.StreamID()); err != nil {
		return st.session.streamErr(err)
	}
	return nil
}

// LocalAddr is the connection's.
func (st *Stream) LocalAddr() net.Addr { return st.session.raw.LocalAddr() }

// RemoteAddr is the connection's.
func (st *Stream) RemoteAddr() net.Addr { return st.session.raw.RemoteAddr() }

// SetDeadline bounds reads and writes, also those under way.
func (st *Stream) SetDeadline(t time.Time) error {
	return errors.Join(st.SetReadDeadline(t), st.SetWriteDeadline(t))
}

// SetReadDeadline bounds reads, also one under way.
func (st *Stream) SetReadDeadline(t time.Time) error {
	if st.cut.Load() { // keep what woke the reader
		return nil
	}
	return st.mux.SetReadDeadline(t)
}

// SetWriteDeadline bounds writes while they wait for the peer's window.
func (st *Stream) SetWriteDeadline(t time.Time) error {
	if st.cut.Load() {
		return nil
	}
	return st.mux.SetWriteDeadline(t)
}

// unread is what came in and was not read.
func (st *Stream) unread() uint64 {
	read := st.read.Load() // first: it can only fall behind
	return st.flow.received.Load() - read
}

// sweep looks at the stream at a tick of the session's clock and tells whether it must be reset: because its window has
// been full for too long without a read, or because the peer goes on sending after our Close.
func (st *Stream) sweep(now time.Time) bool {
	read, unread := st.read.Load(), st.unread()
	idle := read == st.marked
	st.marked = read
	if idle && unread == 0 && st.flow.received.Load() != st.shrunk {
		st.shrunk = st.flow.received.Load()
		st.mux.Shrink() // after bulk yamux would keep a buffer as large as the window
	}
	// yamux opens the window again when half of it was read: from half on the peer may be stuck.
	full := idle && (unread >= uint64(st.session.settings.Window/2) || unread > 0 && st.closed.Load())
	switch {
	case !full:
		st.fullSince = time.Time{}
	case st.fullSince.IsZero():
		st.fullSince = now
	case st.closed.Load():
		return true
	default:
		return now.Sub(st.fullSince) >= st.session.settings.Stalled
	}
	return false
}

var errReset = fault.New(fault.Unavailable, "the stream was reset")

// err words a failure of this stream.
func (st *Stream) err(err error) error {
	switch {
	case st.cut.Load():
		return errReset
	case errors.Is(err, yamux.ErrConnectionReset) && st.flow.received.Load() == 0:
		return fault.Wrap(err, fault.Unavailable, "the peer refused the stream: it serves no %s streams, or has too many", st.kind)
	}
	return st.session.streamErr(err)
}

// streamErr words a failure of yamux. One of them, a write that timed out, leaves the peer's Read hanging for ever and
// therefore ends the whole session.
func (s *Session) streamErr(err error) error {
	switch {
	case errors.Is(err, yamux.ErrTimeout):
		return os.ErrDeadlineExceeded
	case errors.Is(err, yamux.ErrConnectionReset):
		return fault.Wrap(err, fault.Unavailable, "the peer reset the stream")
	case errors.Is(err, yamux.ErrStreamClosed) && s.Err() == nil: // yamux says it of a lost session too
		return net.ErrClosed
	case errors.Is(err, yamux.ErrConnectionWriteTimeout):
		s.Close(s.lost(err))
	}
	if reason := s.Err(); reason != nil {
		return reason
	}
	return fault.Wrap(err, fault.Unavailable, "the tunnel broke")
}
