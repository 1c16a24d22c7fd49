package tunnel

import (
	"bufio"
	"context"
	"crypto/tls"
	"encoding/base64"
	"net"
	"net/http"
	"net/url"
	"time"

	"github.com/kubilitics/kubilitics/shared/fault"
)

// dialProxy asks an HTTP proxy to CONNECT to host:port.
func (e *Endpoint) dialProxy(ctx context.Context, hostport string) (net.Conn, error) {
	conn, err := e.reachProxy(ctx)
	if err != nil {
		return nil, err
	}
	stop := context.AfterFunc(ctx, func() { _ = conn.SetDeadline(time.Unix(1, 0)) })
	err = askProxy(conn, e.Proxy, hostport)
	if !stop() && err == nil {
		err = context.Cause(ctx)
	}
	if err != nil {
		_ = conn.Close()
		return nil, fault.Wrap(err, fault.Unavailable, "the proxy %s did not connect to %s", e.Proxy.Redacted(), hostport)
	}
	return conn, nil
}

// reachProxy connects to the proxy itself.
func (e *Endpoint) reachProxy(ctx context.Context) (net.Conn, error) {
	port := orPort(e.Proxy, map[string]string{"http": "80", "https": "443"})
	if port == "" {
		return nil, fault.New(fault.BadRequest, "the proxy %s is neither http:// nor https://", e.Proxy.Redacted())
	}
	conn, err := dialTuned(ctx, net.JoinHostPort(e.Proxy.Hostname(), port))
	if err != nil || e.Proxy.Scheme != "https" {
		return conn, err
	}
	cfg := e.outer()
	cfg.ServerName = e.Proxy.Hostname()
	secured := tls.Client(conn, cfg)
	if err := secured.HandshakeContext(ctx); err != nil {
		_ = conn.Close()
		return nil, fault.Wrap(err, fault.Unavailable, "the TLS handshake with the proxy %s failed", e.Proxy.Redacted())
	}
	return secured, nil
}

func orPort(u *url.URL, known map[string]string) string {
	def, ok := known[u.Scheme]
	if p := u.Port(); ok && p != "" {
		return p
	}
	return def
}

// outer is the TLS configuration of what stands between agent and hub.
func (e *Endpoint) outer() *tls.Config {
	cfg := &tls.Config{MinVersion: tls.VersionTLS12}
	if e.OuterRoots != nil {
		cfg.RootCAs = e.OuterRoots()
	}
	return cfg
}

// askProxy runs the CONNECT. The far end says nothing before we do, so nothing can follow the proxy's answer too soon.
func askProxy(conn net.Conn, proxy *url.URL, hostport string) error {
	req := &http.Request{Method: http.MethodConnect, URL: &url.URL{Opaque: hostport}, Host: hostport, Header: http.Header{}}
	if u := proxy.User; u != nil {
		password, _ := u.Password()
		auth := base64.StdEncoding.EncodeToString([]byte(u.Username() + ":" + password))
		req.Header.Set("Proxy-Authorization", "Basic "+auth)
	}
	if err := req.Write(conn); err != nil {
		return err
	}
	r := bufio.NewReaderSize(&limitReader{conn, 16 << 10}, 4096)
	resp, err := http.ReadResponse(r, req)
	if err != nil {
		return err
	}
	_ = resp.Body.Close() // of a CONNECT that succeeded it is empty, else the connection is not used any more
	switch {
	case resp.StatusCode != http.StatusOK:
		return fault.New(fault.Unavailable, "it answered %s", resp.Status)
	case r.Buffered() > 0:
		return fault.New(fault.Unavailable, "it sent bytes of its own")
	default:
		return nil
	}
}

// limitReader fails instead of reading a proxy's answer without end.
type limitReader struct {
	net.Conn
	left int
}

func (l *limitReader) Read(p []byte) (int, error) {
	if l.left <= 0 {
		return 0, fault.New(fault.Unavailable, "its answer is too long")
	}
	n, err := l.Conn.Read(p[:min(len(p), l.left)])
	l.left -= n
	return n, err
}
