package tunnel

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"net"
	"net/url"
	"time"

	"github.com/kubilitics/kubilitics/shared/fault"
)

// Endpoint is where and how to reach a hub.
type Endpoint struct {
	// URL is tls://host:port for the tunnel's own listener, or ws:// or wss:// for a WebSocket behind an ingress. The
	// tunnel's TLS runs end to end inside either.
	URL string
	// Proxy is an HTTP proxy that is asked to CONNECT, http:// or https://, with user information if it wants any; nil
	// goes straight.
	Proxy *url.URL
	// OuterRoots gives, at each dial, the roots by which the ingress of a wss:// URL and an https:// proxy are verified; nil trusts the system's.
	OuterRoots func() *x509.CertPool
	// Dial replaces all of the above by a way to make a connection, such as a Pipe's.
	Dial func(context.Context) (net.Conn, error)
	// ServerName is the name in the hub's certificate.
	ServerName string
	// Timeout bounds a dial until the hub's verdict; 0 means 15 s.
	Timeout time.Duration
}

// DialConfig is what an agent needs to open a tunnel.
type DialConfig struct {
	Endpoint
	Credentials Credentials
	Streams     map[Kind]*Listener // who serves the streams that the hub opens; other kinds are refused
	Settings    Settings
}

// Dial opens a tunnel to a hub and returns once the hub has admitted this agent. Its errors are faults: Unauthorized when
// either side doesn't accept the other's certificate, Unavailable when the hub cannot be reached or takes no more, with
// the time to come back if the hub said one, and whatever code the hub refuses with.
func Dial(ctx context.Context, cfg DialConfig) (*Session, error) {
	cred, err := leafed(cfg.Credentials)
	if err != nil {
		return nil, err
	}
	ctx, cancel := cfg.bound(ctx)
	defer cancel()
	raw, conn, err := cfg.secure(ctx, clientTLS(cred, cfg.ServerName))
	if err != nil {
		return nil, err
	}
	stop := context.AfterFunc(ctx, func() { _ = raw.Close() })
	err = readVerdict(conn)
	if !stop() && err == nil {
		err = fault.Wrap(context.Cause(ctx), fault.Unavailable, "the hub did not admit this agent in time")
	}
	if err != nil {
		_ = raw.Close()
		return nil, err
	}
	s, err := newSession(newLink(raw, conn, cred.Certificate), true, cfg.Streams, cfg.Settings.withDefaults(true))
	if err != nil {
		return nil, err
	}
	s.start(true)
	return s, nil
}

// DialEnroll connects for a first contact: the server must show a chain under a root with one of the pins, and this side
// shows no certificate. The connection carries gRPC directly; the hub closes it after a short while.
func DialEnroll(ctx context.Context, at Endpoint, pins ...Pin) (net.Conn, error) {
	ctx, cancel := at.bound(ctx)
	defer cancel()
	_, conn, err := at.secure(ctx, pinnedTLS(pins, at.ServerName))
	if err != nil {
		return nil, err
	}
	return &enroller{conn}, nil
}

// enroller is a first contact's connection at its own side, a type by which the gRPC credentials know it.
type enroller struct{ *tls.Conn }

func (e *Endpoint) bound(ctx context.Context) (context.Context, context.CancelFunc) {
	return context.WithTimeout(ctx, orDefault(e.Timeout, 15*time.Second))
}

// secure connects and runs the TLS handshake.
func (e *Endpoint) secure(ctx context.Context, cfg *tls.Config) (*wire, *tls.Conn, error) {
	inner, err := e.connect(ctx)
	if err != nil {
		return nil, nil, err
	}
	raw := newWire(inner)
	conn := tls.Client(raw, cfg)
	if err := conn.HandshakeContext(ctx); err != nil {
		_ = raw.Close()
		return nil, nil, handshakeErr(err)
	}
	return raw, conn, nil
}

// connect makes the connection that the tunnel's TLS runs in.
func (e *Endpoint) connect(ctx context.Context) (net.Conn, error) {
	if e.Dial != nil {
		conn, err := e.Dial(ctx)
		if err != nil {
			return nil, fault.Wrap(err, fault.Unavailable, "the hub cannot be reached")
		}
		return conn, nil
	}
	u, err := parseURL(e.URL)
	switch {
	case err != nil:
		return nil, err
	case u.Scheme == "tls":
		return e.dialTCP(ctx, u.Host)
	default:
		return e.dialWebSocket(ctx)
	}
}

// CheckURL tells what is wrong with a hub's address, a BadRequest.
func CheckURL(text string) error {
	_, err := parseURL(text)
	return err
}

func parseURL(text string) (*url.URL, error) {
	u, err := url.Parse(text)
	if err != nil {
		return nil, fault.Wrap(err, fault.BadRequest, "the hub's address %q is not a URL", text)
	}
	if u.Hostname() == "" || u.Scheme != "ws" && u.Scheme != "wss" && (u.Scheme != "tls" || u.Port() == "") {
		return nil, fault.New(fault.BadRequest, "the hub's address %q is none of tls://host:port, ws://… and wss://…", text)
	}
	return u, nil
}

// dialTCP connects to host:port, through the proxy if there is one.
func (e *Endpoint) dialTCP(ctx context.Context, hostport string) (net.Conn, error) {
	if e.Proxy != nil {
		return e.dialProxy(ctx, hostport)
	}
	return dialTuned(ctx, hostport)
}

func dialTuned(ctx context.Context, hostport string) (net.Conn, error) {
	var d net.Dialer
	conn, err := d.DialContext(ctx, "tcp", hostport)
	if err != nil {
		return nil, fault.Wrap(err, fault.Unavailable, "%s cannot be reached", hostport)
	}
	Tune(conn)
	return conn, nil
}
