package tunnel

import (
	"context"
	"crypto/tls"
	"errors"
	"net"
	"net/http"
	"strconv"
	"sync"
	"time"

	"github.com/coder/websocket"
	"golang.org/x/time/rate"

	"github.com/kubilitics/kubilitics/shared/fault"
)

// ServerConfig is what a hub needs to accept tunnels.
type ServerConfig struct {
	// Credentials is asked at each handshake, so that they may change; it must be quick.
	Credentials func() Credentials
	// Admit decides, after the handshake, whether an agent may have a session; its fault is told to the agent. Here a
	// revoked certificate is refused. Nil admits every verified agent. The context bounds the handshake.
	Admit func(context.Context, Peer) error
	// OnSession is told of each session before the first stream of its agent is delivered. It must not block: what lasts
	// belongs under the session's Context.
	OnSession func(*Session)
	// Streams serve what agents open, for all sessions together; other kinds are refused.
	Streams map[Kind]*Listener
	// Enroll is given the connections of first contacts, authenticated on the server's side only; nil refuses them.
	Enroll *Listener
	// Refused hears of each connection that came to nothing, for a log or a counter; may be nil.
	Refused func(remote net.Addr, err error)

	Limits   Limits
	Settings Settings
}

// Limits bound what strangers can make a hub do. A zero field means the default named beside it.
type Limits struct {
	HandshakesPerSecond float64       // begun; the rest is told to come back; 200
	Pending             int           // connections between accept and verdict; 1024
	HandshakeTimeout    time.Duration // from accept to verdict; 10 s
	EnrollPerSecond     float64       // first contacts; 20
	Enrolling           int           // open connections of first contacts; 64
	EnrollTimeout       time.Duration // of such a connection's whole life; 60 s
}

func (l Limits) withDefaults() Limits {
	if l.HandshakesPerSecond == 0 {
		l.HandshakesPerSecond = 200
	}
	if l.EnrollPerSecond == 0 {
		l.EnrollPerSecond = 20
	}
	l.Pending = max(0, l.Pending)
	if l.Pending == 0 {
		l.Pending = 1024
	}
	if l.Enrolling == 0 {
		l.Enrolling = 64
	}
	l.HandshakeTimeout = orDefault(l.HandshakeTimeout, 10*time.Second)
	l.EnrollTimeout = orDefault(l.EnrollTimeout, time.Minute)
	return l
}

// Server accepts tunnels, over TCP by Serve and over WebSockets as an http.Handler.
type Server struct {
	cfg        ServerConfig
	handshakes *rate.Limiter
	enrolments *rate.Limiter
	pending    chan struct{}
	enrolling  chan struct{}

	ctx     context.Context // of all sessions; ended by Close
	end     context.CancelCauseFunc
	mu      sync.Mutex
	ended   bool
	running sync.WaitGroup
}

// NewServer makes a server; Close ends it.
func NewServer(cfg ServerConfig) *Server {
	cfg.Limits = cfg.Limits.withDefaults()
	cfg.Settings = cfg.Settings.withDefaults(false)
	l := cfg.Limits
	s := &Server{
		cfg:        cfg,
		handshakes: rate.NewLimiter(rate.Limit(l.HandshakesPerSecond), max(1, int(2*l.HandshakesPerSecond))),
		enrolments: rate.NewLimiter(rate.Limit(l.EnrollPerSecond), max(1, int(2*l.EnrollPerSecond))),
		pending:    make(chan struct{}, l.Pending),
		enrolling:  make(chan struct{}, l.Enrolling),
	}
	s.ctx, s.end = context.WithCancelCause(context.Background()) // sessions that came over HTTP have no Serve above them
	return s
}

// Serve accepts connections until the context ends or the listener fails. It returns when the handshakes and sessions that
// it began have ended; when the context ends, it ends them.
func (s *Server) Serve(ctx context.Context, l net.Listener) error {
	stop := context.AfterFunc(ctx, func() { _ = l.Close() })
	defer stop()
	defer s.Close()
	for {
		conn, err := l.Accept()
		switch {
		case ctx.Err() != nil:
			if err == nil {
				_ = conn.Close()
			}
			return nil
		case isTemporary(err):
			// Out of file descriptors, usually: accepting again at once would spin.
			select {
			case <-time.After(50 * time.Millisecond):
			case <-ctx.Done():
			}
		case err != nil:
			return fault.Wrap(err, fault.Internal, "the tunnel's listener failed")
		default:
			Tune(conn)
			s.begin(conn)
		}
	}
}

func isTemporary(err error) bool {
	var t interface{ Temporary() bool }
	return errors.As(err, &t) && t.Temporary()
}

// Close ends all sessions and returns when they have ended. It is for a hub that serves WebSockets alone: Serve does it too.
func (s *Server) Close() {
	s.mu.Lock()
	s.ended = true
	s.mu.Unlock()
	s.end(fault.New(fault.Unavailable, "the hub is shutting down"))
	s.running.Wait()
}

// ServeHTTP takes a tunnel over a WebSocket. The handler returns at once; the session lives on under the server.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if len(s.pending) == cap(s.pending) {
		w.Header().Set("Retry-After", strconv.Itoa(int(retryBusy/time.Second)))
		http.Error(w, "too many handshakes are under way", http.StatusServiceUnavailable)
		return
	}
	// Agents are no browsers, and what runs inside authenticates itself: the origin says nothing.
	conn, err := websocket.Accept(w, r, &websocket.AcceptOptions{Subprotocols: []string{subprotocol}, InsecureSkipVerify: true})
	if err != nil {
		s.refused(addr(r.RemoteAddr), fault.Wrap(err, fault.BadRequest, "this is not the WebSocket of a tunnel"))
		return
	}
	s.begin(newWebSocketConn(conn))
}

// begin starts what becomes of a connection, unless too many are at it.
func (s *Server) begin(conn net.Conn) {
	select {
	case s.pending <- struct{}{}:
	default:
		s.refused(conn.RemoteAddr(), fault.New(fault.TooManyRequests, "too many handshakes are under way"))
		_ = conn.Close()
		return
	}
	if !s.spawn(func() { s.handle(conn) }) {
		<-s.pending
		_ = conn.Close()
	}
}

func (s *Server) spawn(f func()) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.ended {
		return false
	}
	s.running.Go(f)
	return true
}

// handle takes a connection to its session or enrolment.
func (s *Server) handle(conn net.Conn) {
	raw := newWire(conn)
	err := s.shake(raw)
	<-s.pending
	if err != nil {
		_ = raw.Close()
		s.refused(conn.RemoteAddr(), err)
	}
}

// shake runs the handshake in its time and hands the result on.
func (s *Server) shake(raw *wire) error {
	ctx, cancel := context.WithTimeout(s.ctx, s.cfg.Limits.HandshakeTimeout)
	defer cancel()
	stop := context.AfterFunc(ctx, func() { _ = raw.Close() }) // unlike a deadline it also ends a WebSocket's read
	defer stop()
	var own tls.Certificate
	conn := tls.Server(raw, &tls.Config{MinVersion: tls.VersionTLS13, GetConfigForClient: func(hello *tls.ClientHelloInfo) (*tls.Config, error) {
		cfg, err := s.configFor(hello)
		if err == nil {
			own = cfg.Certificates[0]
		}
		return cfg, err
	}})
	if err := conn.HandshakeContext(ctx); err != nil {
		return fault.Wrap(err, fault.Unauthorized, "the TLS handshake of a tunnel failed")
	}
	if conn.ConnectionState().NegotiatedProtocol == ProtoEnroll {
		return s.enroll(conn, stop)
	}
	return s.open(ctx, newLink(raw, conn, own), stop)
}

// configFor answers a ClientHello. It is the last moment before the handshake costs anything, so the rates are kept here,
// where a connection that never says a word has no part in them.
func (s *Server) configFor(hello *tls.ClientHelloInfo) (*tls.Config, error) {
	enroll, tunnel := false, false
	for _, p := range hello.SupportedProtos {
		enroll = enroll || p == ProtoEnroll
		tunnel = tunnel || p == ProtoTunnel
	}
	switch {
	case enroll == tunnel:
		return nil, errors.New("the client speaks neither of the tunnel's protocols")
	case enroll && s.cfg.Enroll == nil:
		return nil, errors.New("enrolment is not offered here")
	case enroll && !s.enrolments.Allow(), tunnel && !s.handshakes.Allow():
		return nil, errors.New("too many handshakes a second") // TLS makes of it the alert that handshakeErr knows
	}
	cred, err := leafed(s.cfg.Credentials())
	if err != nil {
		return nil, err
	}
	cfg := baseTLS(ProtoEnroll)
	if tunnel {
		cfg = baseTLS(ProtoTunnel)
		cfg.ClientAuth, cfg.ClientCAs = tls.RequireAndVerifyClientCert, cred.Roots
	}
	cfg.Certificates = []tls.Certificate{cred.Certificate}
	return cfg, nil
}

// open makes a session of an admitted agent and lets it run in goroutines of its own: the stack that a handshake has grown
// ends with this one.
func (s *Server) open(ctx context.Context, l link, stop func() bool) error {
	var refused error
	if s.cfg.Admit != nil {
		refused = s.cfg.Admit(ctx, l.peer)
	}
	if err := writeVerdict(l.tls, refused); err != nil || refused != nil {
		return errors.Join(refused, err)
	}
	if !stop() {
		return fault.Wrap(context.Cause(ctx), fault.Unavailable, "the handshake of a tunnel took too long")
	}
	session, err := newSession(l, false, s.cfg.Streams, s.cfg.Settings)
	if err != nil {
		return err
	}
	if s.cfg.OnSession != nil {
		s.cfg.OnSession(session)
	}
	unbind := context.AfterFunc(s.ctx, func() { session.Close(context.Cause(s.ctx)) })
	s.running.Add(1) // held by this goroutine's own place until the session has its
	session.onFinish = func() { unbind(); s.running.Done() }
	session.start(false)
	return nil
}

// enroll hands a first contact to its listener, with an end that nothing can move.
func (s *Server) enroll(conn *tls.Conn, stop func() bool) error {
	select {
	case s.enrolling <- struct{}{}:
	default:
		return fault.New(fault.TooManyRequests, "too many first contacts at a time")
	}
	ctx, cancel := context.WithTimeout(s.ctx, s.cfg.Limits.EnrollTimeout)
	e := &enrolment{Conn: conn, cancel: cancel, cut: sync.OnceValue(func() error { <-s.enrolling; return conn.Close() })}
	context.AfterFunc(ctx, func() { _ = e.cut() })
	if !stop() || !s.cfg.Enroll.deliver(e) {
		_ = e.Close()
		return fault.New(fault.Unavailable, "the enrolment of a first contact could not begin")
	}
	return nil
}

// enrolment is a first contact's connection; closing it gives its place back.
type enrolment struct {
	*tls.Conn
	cancel context.CancelFunc
	cut    func() error
}

// Close cuts the connection.
func (e *enrolment) Close() error {
	e.cancel()
	return e.cut()
}

func (s *Server) refused(remote net.Addr, err error) {
	if s.cfg.Refused != nil {
		s.cfg.Refused(remote, err)
	}
}
