package kubeserve

import (
	"context"
	"crypto/tls"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"
	"go.uber.org/zap"
	"k8s.io/client-go/rest"

	"github.com/kubilitics/kubilitics/shared/kube"
	"github.com/kubilitics/kubilitics/shared/tunnel"
	"github.com/kubilitics/kubilitics/shared/tunnel/tunneltest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// rig is an API server's stand-in, a door before it, and a hub's end of the tunnel to the door.
type rig struct {
	api   *httptest.Server
	hub   *tunnel.Session
	agent *tunnel.Session
	way   *http.Transport // of the hub, over streams
	shut  func()          // ends the door and waits for it
	stop  func()          // ends all of it
}

// newAPI is an API server's stand-in with TLS, HTTP/1.1 and HTTP/2.
func newAPI(t testing.TB, serve http.HandlerFunc) *httptest.Server {
	api := httptest.NewUnstartedServer(serve)
	api.EnableHTTP2 = true
	api.TLS = &tls.Config{ClientAuth: tls.RequestClientCert}
	api.StartTLS()
	t.Cleanup(api.Close)
	return api
}

func restOf(api *httptest.Server) *rest.Config {
	return &rest.Config{Host: api.URL, BearerToken: "the-agents-own", TLSClientConfig: rest.TLSClientConfig{Insecure: true}}
}

func newRig(t testing.TB, access Access, serve http.HandlerFunc) *rig {
	api := newAPI(t, serve)
	r := newRigOn(t, Config{REST: restOf(api), Access: access, Prefix: "kubilitics:"})
	r.api = api
	return r
}

func newRigOn(t testing.TB, cfg Config) *rig {
	cfg.Log = zap.NewNop()
	door, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	running, end := context.WithCancel(context.Background())
	ran := make(chan error, 1)
	go func() { ran <- door.Run(running) }()
	ctx, cancel := context.WithCancel(context.Background()) // of the tunnel
	ca := tunneltest.NewCA()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	sessions := make(chan *tunnel.Session, 1)
	credentials := ca.Hub()
	server := tunnel.NewServer(tunnel.ServerConfig{
		Credentials: func() tunnel.Credentials { return credentials }, OnSession: func(s *tunnel.Session) { sessions <- s },
	})
	served := make(chan error, 1)
	go func() { served <- server.Serve(ctx, l) }()
	agent, err := tunnel.Dial(ctx, tunnel.DialConfig{
		Endpoint:    tunnel.Endpoint{URL: "tls://" + l.Addr().String(), ServerName: tunneltest.HubName},
		Credentials: ca.Agent("spiffe://test/tenant/t/cluster/c", time.Hour),
		Streams:     map[tunnel.Kind]*tunnel.Listener{tunnel.HTTP: door.Listener()},
	})
	if err != nil {
		t.Fatal(err)
	}
	r := &rig{hub: <-sessions, agent: agent}
	r.way = &http.Transport{
		DialContext:        func(ctx context.Context, _, _ string) (net.Conn, error) { return r.hub.OpenStream(ctx, tunnel.HTTP) },
		DisableCompression: true, MaxIdleConnsPerHost: 256,
	}
	r.shut = sync.OnceFunc(func() {
		end()
		if err := <-ran; err != nil {
			t.Errorf("Run: %v", err)
		}
	})
	r.stop = sync.OnceFunc(func() {
		r.shut()
		r.way.CloseIdleConnections()
		cancel()
		<-served
		agent.Close(nil)
		_ = agent.Wait(context.Background())
	})
	t.Cleanup(r.stop)
	return r
}

// request is one as the hub sends it, of the user "ann".
func request(ctx context.Context, method, path, body string) *http.Request {
	r, err := http.NewRequestWithContext(ctx, method, "http://cluster"+path, strings.NewReader(body))
	if err != nil {
		panic(err)
	}
	r.Header.Set(kube.UserHeader, "ann")
	return r
}

// ask sends a request and gives the answer with its body.
func (r *rig) ask(t testing.TB, req *http.Request) (*http.Response, string) {
	t.Helper()
	resp, err := r.way.RoundTrip(req)
	if err != nil {
		t.Fatalf("%s %s: %v", req.Method, req.URL.Path, err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatalf("%s %s: %v after %q", req.Method, req.URL.Path, err, text)
	}
	return resp, string(text)
}

// within fails unless a signal comes in time.
func within(t testing.TB, d time.Duration, what string, signal <-chan struct{}) {
	t.Helper()
	select {
	case <-signal:
	case <-time.After(d):
		t.Fatalf("not within %s: %s", d, what)
	}
}
