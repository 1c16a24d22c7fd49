package tunnel_test

import (
	"bufio"
	"context"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/kubilitics/kubilitics/shared/fault"
	"github.com/kubilitics/kubilitics/shared/tunnel"
	"github.com/kubilitics/kubilitics/shared/tunnel/tunneltest"
)

// proxy is a small HTTP CONNECT proxy that wants a password.
type proxy struct {
	*httptest.Server
	connected atomic.Int32
}

func newProxy(t *testing.T) *proxy {
	p := &proxy{}
	var copies sync.WaitGroup
	p.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method != http.MethodConnect || r.Header.Get("Proxy-Authorization") != "Basic bWU6c2VjcmV0" {
			http.Error(w, "no", http.StatusProxyAuthRequired)
			return
		}
		to, err := net.Dial("tcp", r.Host)
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadGateway)
			return
		}
		p.connected.Add(1)
		from, rw, err := w.(http.Hijacker).Hijack()
		if err != nil {
			t.Error(err)
			return
		}
		_, _ = io.WriteString(from, "HTTP/1.1 200 Connection established\r\n\r\n")
		pump := func(dst net.Conn, src io.Reader) {
			_, _ = io.Copy(dst, src)
			_ = from.Close()
			_ = to.Close()
		}
		copies.Go(func() { pump(to, rw.Reader) })
		copies.Go(func() { pump(from, bufio.NewReader(to)) })
	}))
	t.Cleanup(func() { p.Close(); copies.Wait() })
	return p
}

func (p *proxy) url(user *url.Userinfo) *url.URL {
	u, _ := url.Parse(p.URL)
	u.User = user
	return u
}

// webSocket serves a rig's tunnels over WebSockets and returns the URL.
func webSocket(t *testing.T, r *rig) string {
	srv := httptest.NewServer(r.server)
	t.Cleanup(srv.Close)
	return "ws" + strings.TrimPrefix(srv.URL, "http")
}

func TestTransports(t *testing.T) {
	secret := url.UserPassword("me", "secret")
	cases := map[string]func(*testing.T, *rig, *tunnel.DialConfig) (used func() bool){
		"websocket": func(t *testing.T, r *rig, c *tunnel.DialConfig) func() bool {
			c.URL = webSocket(t, r)
			return func() bool { return true }
		},
		"proxy": func(t *testing.T, _ *rig, c *tunnel.DialConfig) func() bool {
			p := newProxy(t)
			c.Proxy = p.url(secret)
			return func() bool { return p.connected.Load() == 1 }
		},
		"websocket through a proxy": func(t *testing.T, r *rig, c *tunnel.DialConfig) func() bool {
			p := newProxy(t)
			c.URL, c.Proxy = webSocket(t, r), p.url(secret)
			return func() bool { return p.connected.Load() == 1 }
		},
	}
	for name, prepare := range cases {
		t.Run(name, func(t *testing.T) {
			r := newRig(t)
			cfg := r.config()
			used := prepare(t, r, &cfg)
			agent, hub := r.connect(cfg)
			mine, theirs := r.streams(agent)
			say(t, mine, theirs, strings.Repeat("up ", 50_000))
			say(t, theirs, mine, strings.Repeat("down ", 50_000))
			if hub.Peer().SPIFFE != agentID {
				t.Error("the identity did not pass")
			}
			if !used() {
				t.Error("the connection went another way")
			}
		})
	}
}

func TestPipe(t *testing.T) {
	pipe := tunnel.NewPipe()
	r := newRigOn(t, pipe)
	cfg := r.config()
	cfg.URL, cfg.Dial = "", pipe.Dial
	agent, hub := r.connect(cfg)
	mine, theirs := r.streams(agent)
	say(t, mine, theirs, strings.Repeat("within one process ", 20_000))
	if hub.Peer().SPIFFE != agentID {
		t.Error("the identity did not pass")
	}
}

func TestDialSaysWhatIsWrong(t *testing.T) {
	r := newRig(t)
	p := newProxy(t)
	plain := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Retry-After", "7")
		w.WriteHeader(http.StatusServiceUnavailable)
	}))
	t.Cleanup(plain.Close)
	cases := map[string]struct {
		change func(*tunnel.DialConfig)
		code   fault.Code
		says   string
	}{
		"no such scheme":     {func(c *tunnel.DialConfig) { c.URL = "http://x" }, fault.BadRequest, "none of tls://"},
		"nobody listens":     {func(c *tunnel.DialConfig) { c.URL = "tls://127.0.0.1:1" }, fault.Unavailable, "cannot be reached"},
		"proxy wants a name": {func(c *tunnel.DialConfig) { c.Proxy = p.url(nil) }, fault.Unavailable, "407"},
		"proxy cannot": {func(c *tunnel.DialConfig) {
			c.URL, c.Proxy = "tls://127.0.0.1:1", p.url(url.UserPassword("me", "secret"))
		}, fault.Unavailable, "502"},
		"no WebSocket": {func(c *tunnel.DialConfig) { c.URL = "ws" + strings.TrimPrefix(plain.URL, "http") }, fault.Unavailable, "503"},
		"no TLS":       {func(c *tunnel.DialConfig) { c.URL = "tls" + strings.TrimPrefix(plain.URL, "http") }, fault.Unavailable, "TLS"},
		"other name":   {func(c *tunnel.DialConfig) { c.ServerName = "other.test" }, fault.Unauthorized, "not the hub"},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			cfg := r.config()
			c.change(&cfg)
			_, err := tunnel.Dial(t.Context(), cfg)
			if !fault.Is(err, c.code) || !strings.Contains(err.Error(), c.says) {
				t.Errorf("%v (%s), want %s saying %q", err, fault.CodeOf(err), c.code, c.says)
			}
			if name == "no WebSocket" && fault.RetryAfter(err).Seconds() != 7 {
				t.Errorf("come back after %s, want 7 s", fault.RetryAfter(err))
			}
		})
	}
}

func TestDialObeysItsContext(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0") // accepts and says nothing
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	ctx, cancel := context.WithCancel(t.Context())
	go func() {
		if c, err := l.Accept(); err == nil {
			_, _ = c.Read(make([]byte, 1)) // the ClientHello has come
			cancel()
			_, _ = io.Copy(io.Discard, c)
			_ = c.Close()
		}
	}()
	ca := tunneltest.NewCA()
	_, err = tunnel.Dial(ctx, tunnel.DialConfig{
		Endpoint:    tunnel.Endpoint{URL: "tls://" + l.Addr().String(), ServerName: tunneltest.HubName},
		Credentials: ca.Agent(agentID, 1<<40),
	})
	if err == nil {
		t.Fatal("a dial went on after its context had ended")
	}
}
