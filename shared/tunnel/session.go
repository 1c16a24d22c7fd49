package tunnel

import (
	"context"
	"errors"
	"io"
	"math/rand/v2"
	"net"
	"sync"
	"time"

	"github.com/hashicorp/yamux"

	"github.com/kubilitics/kubilitics/shared/fault"
)

// Session is one live tunnel. It ends when either side closes it, when nothing was heard for Settings.Dead, when a
// certificate of either side expires, or when the connection fails; then its streams fail with its reason.
type Session struct {
	settings Settings
	peer     Peer
	expires  time.Time
	raw      *wire
	frames   *frames
	mux      *yamux.Session
	routes   map[Kind]*Listener

	ctx    context.Context
	end    context.CancelCauseFunc
	clock  *time.Timer
	opens  chan struct{} // places for streams being opened
	closed sync.Once

	mu       sync.Mutex
	ended    bool // no goroutine may be added
	running  sync.WaitGroup
	finished chan struct{}
	onFinish func() // called once everything has ended; nil for none; set before start
}

// newSession takes a connection whose TLS handshake and verdict are over. Streams may be opened on it at once; those of the
// peer wait for start.
func newSession(link link, client bool, routes map[Kind]*Listener, settings Settings) (*Session, error) {
	s := &Session{
		settings: settings, peer: link.peer, expires: link.expires, raw: link.raw, routes: routes,
		frames:   newFrames(link.tls, link.raw),
		opens:    make(chan struct{}, settings.MaxOpening),
		finished: make(chan struct{}),
	}
	s.ctx, s.end = context.WithCancelCause(context.Background()) // a session outlives the call that made it; Close ends it
	mux := yamux.Server
	if client {
		mux = yamux.Client
	}
	var err error
	if s.mux, err = mux(s.frames, settings.mux()); err != nil {
		_ = s.raw.Close()
		return nil, fault.Wrap(err, fault.Internal, "the tunnel's settings are not usable")
	}
	return s, nil
}

// start begins to accept streams and to watch the peer's life; the agent also begins to ping.
func (s *Session) start(client bool) {
	if client {
		s.spawn(s.heartbeat)
	}
	s.mu.Lock()
	if !s.ended {
		s.clock = time.AfterFunc(s.settings.Heartbeat, s.tick)
	}
	s.mu.Unlock()
	go s.run()
}

// run accepts streams until the session ends, then waits for what was started in between.
func (s *Session) run() {
	defer close(s.finished)
	s.accept()
	s.running.Wait()
	if s.onFinish != nil {
		s.onFinish()
	}
}

// spawn runs f as a goroutine that Wait waits for; false when the session has ended.
func (s *Session) spawn(f func()) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.ended {
		return false
	}
	s.running.Go(f)
	return true
}

// Done is closed when the session has ended; Err then says why.
func (s *Session) Done() <-chan struct{} { return s.ctx.Done() }

// Err is why the session ended: a fault, nil while it lives.
func (s *Session) Err() error { return context.Cause(s.ctx) }

// Context is cancelled when the session ends, with Err as its cause. What is done for the session belongs under it.
func (s *Session) Context() context.Context { return s.ctx }

// Peer is the other end.
func (s *Session) Peer() Peer { return s.peer }

// LastHeard is when the last byte came in, of whatever kind.
func (s *Session) LastHeard() time.Time { return s.raw.lastHeard() }

// Bytes counts what went over the connection below TLS, handshake included; a WebSocket's own framing is not in it.
func (s *Session) Bytes() (in, out uint64) { return s.raw.in.Load(), s.raw.out.Load() }

// Streams is the number of streams not yet closed by both sides, in both directions.
func (s *Session) Streams() int { n, _ := s.frames.open(); return n }

// Close ends the session with a reason, the connection first and then everything on it. The first reason stays; nil means
// an orderly end. Close does not wait for the session's goroutines: Wait does.
func (s *Session) Close(reason error) {
	s.closed.Do(func() {
		if reason == nil {
			reason = fault.New(fault.Unavailable, "the tunnel was closed")
		}
		_ = s.raw.Close()
		s.end(reason)
		s.mu.Lock()
		s.ended = true
		if s.clock != nil {
			s.clock.Stop()
		}
		s.mu.Unlock()
		_ = s.mux.Close()
	})
}

// Wait returns when the session has ended and each of its goroutines has returned, or with the context's error.
func (s *Session) Wait(ctx context.Context) error {
	select {
	case <-s.finished:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// OpenStream opens a stream of a kind. The context, and Settings.OpenTimeout, bound the opening and not the stream's life;
// a stream that is not wanted any more is ended with its Reset.
func (s *Session) OpenStream(ctx context.Context, kind Kind) (*Stream, error) {
	if n, _ := s.frames.open(); n >= s.settings.MaxStreams {
		return nil, fault.New(fault.TooManyRequests, "the tunnel already carries %d streams", n)
	}
	ctx, cancel := context.WithTimeout(ctx, s.settings.OpenTimeout)
	defer cancel()
	select {
	case s.opens <- struct{}{}:
	case <-s.ctx.Done():
		return nil, s.Err()
	case <-ctx.Done():
		return nil, fault.Wrap(ctx.Err(), fault.Unavailable, "too many streams are being opened on the tunnel")
	}
	type opened struct {
		st  *Stream
		err error
	}
	// yamux's OpenStream takes no context: it goes on alone when ours ends, keeping its place in opens.
	result := make(chan opened)
	started := s.spawn(func() {
		st, err := s.open(kind)
		<-s.opens
		select {
		case result <- opened{st, err}:
		case <-ctx.Done():
			if st != nil {
				_ = st.Reset()
			}
		}
	})
	if !started {
		return nil, s.Err()
	}
	select {
	case r := <-result:
		return r.st, r.err
	case <-ctx.Done():
		return nil, fault.Wrap(ctx.Err(), fault.Unavailable, "the tunnel did not open a stream in time")
	}
}

func (s *Session) open(kind Kind) (*Stream, error) {
	y, err := s.mux.OpenStream()
	if errors.Is(err, yamux.ErrStreamsExhausted) {
		s.Close(fault.Wrap(err, fault.Unavailable, "the tunnel has used all its stream numbers"))
	}
	if err != nil {
		return nil, s.streamErr(err)
	}
	st := s.stream(y, kind)
	if st == nil {
		return nil, fault.New(fault.Unavailable, "the peer refused the stream")
	}
	if _, err := st.Write([]byte{byte(kind)}); err != nil {
		_ = st.Reset()
		return nil, err
	}
	return st, nil
}

// accept takes the peer's streams until the session ends. It never waits for one of them.
func (s *Session) accept() {
	for {
		y, err := s.mux.AcceptStream()
		if err != nil {
			s.Close(s.lost(err))
			return
		}
		st := s.stream(y, 0)
		switch {
		case st == nil: // reset before it was accepted
		case s.crowded():
			_ = st.Reset()
		default:
			s.spawn(func() { s.deliver(st) })
		}
	}
}

// crowded tells whether there are more streams than the settings allow.
func (s *Session) crowded() bool {
	all, peer := s.frames.open()
	return all > s.settings.MaxStreams || peer > s.settings.MaxPeer
}

// deliver reads what a new stream is and gives it to the listener of its kind.
func (s *Session) deliver(st *Stream) {
	_ = st.SetReadDeadline(time.Now().Add(s.settings.OpenTimeout))
	var first [1]byte
	if _, err := io.ReadFull(st, first[:]); err != nil {
		_ = st.Reset()
		return
	}
	_ = st.SetReadDeadline(time.Time{})
	st.kind = Kind(first[0])
	if l := s.routes[st.kind]; l == nil || !l.deliver(st) {
		_ = st.Reset()
	}
}

// lost words the end that yamux reports.
func (s *Session) lost(err error) error {
	var f *fault.Error
	switch {
	case errors.As(err, &f):
		return f
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF), errors.Is(err, net.ErrClosed):
		return fault.Wrap(err, fault.Unavailable, "the peer closed the tunnel")
	case errors.Is(err, yamux.ErrConnectionWriteTimeout):
		return fault.Wrap(err, fault.Unavailable, "the tunnel took no more bytes")
	default:
		return fault.Wrap(err, fault.Unavailable, "the tunnel broke")
	}
}

// heartbeat pings from the agent's side. The hub's yamux answers, so that each side hears the other at least this often.
func (s *Session) heartbeat() {
	for {
		wait := s.settings.Heartbeat
		wait += time.Duration((rand.Float64() - 0.5) / 2 * float64(wait))
		select {
		case <-time.After(wait):
			_, _ = s.mux.Ping() // what counts is any byte, see tick; a pong may queue behind bulk
		case <-s.ctx.Done():
			return
		}
	}
}

// Ping asks the peer for a sign of life and returns how long it took.
func (s *Session) Ping(ctx context.Context) (time.Duration, error) {
	result := make(chan time.Duration, 1)
	started := s.spawn(func() {
		if rtt, err := s.mux.Ping(); err == nil {
			result <- rtt
		}
	})
	if !started {
		return 0, s.Err()
	}
	select {
	case rtt := <-result:
		return rtt, nil
	case <-s.ctx.Done():
		return 0, s.Err()
	case <-ctx.Done():
		return 0, fault.Wrap(ctx.Err(), fault.Unavailable, "the peer did not answer in time")
	}
}

// tick is the session's clock. A timer instead of a goroutine: the hub has thousands of sessions.
func (s *Session) tick() {
	now := time.Now()
	quiet := now.Sub(s.LastHeard())
	switch {
	case s.ctx.Err() != nil:
		return
	case quiet >= s.settings.Dead:
		s.Close(fault.New(fault.Unavailable, "the peer was silent for %s", quiet.Round(time.Millisecond)))
		return
	case !now.Before(s.expires):
		s.Close(fault.New(fault.Unauthorized, "the certificate of this tunnel expired at %s", s.expires.UTC().Format(time.RFC3339)))
		return
	}
	s.frames.pings.Store(0)
	s.sweep(now)
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.ended {
		s.clock.Reset(min(s.settings.Heartbeat, s.settings.Dead-quiet, s.expires.Sub(now)))
	}
}

// sweep resets streams that nobody reads and takes the buffers of idle ones back.
func (s *Session) sweep(now time.Time) {
	for _, st := range s.frames.streams() {
		if st.sweep(now) {
			s.spawn(func() { _ = st.Reset() })
		}
	}
}
