package tunnel_test

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"testing"

	"github.com/kubilitics/kubilitics/shared/tunnel"
)

// net/http on streams: connections are reused, a cancelled request ends its handler, and a lost tunnel ends an answer with
// an error.
func TestHTTPOverTheTunnel(t *testing.T) {
	door := tunnel.NewListener("door")
	r := newRig(t)
	cfg := r.config()
	cfg.Streams = map[tunnel.Kind]*tunnel.Listener{tunnel.HTTP: door}
	agent, hub := r.connect(cfg)

	watched, ended := make(chan struct{}, 2), make(chan struct{}, 2)
	mux := http.NewServeMux()
	mux.HandleFunc("/get", func(w http.ResponseWriter, r *http.Request) { fmt.Fprint(w, r.RemoteAddr) })
	mux.HandleFunc("/watch", func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprint(w, "event")
		_ = http.NewResponseController(w).Flush()
		watched <- struct{}{}
		<-r.Context().Done()
		ended <- struct{}{}
	})
	server := &http.Server{Handler: mux}
	served := make(chan error, 1)
	go func() { served <- server.Serve(door) }()
	opened := 0
	transport := &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		opened++
		return hub.OpenStream(ctx, tunnel.HTTP)
	}}
	t.Cleanup(func() {
		transport.CloseIdleConnections()
		_ = server.Close()
		<-served
	})
	client := &http.Client{Transport: transport}
	for range 3 {
		resp, err := client.Get("http://cluster/get")
		if err != nil {
			t.Fatal(err)
		}
		_, _ = io.Copy(io.Discard, resp.Body)
		_ = resp.Body.Close()
	}
	if opened != 1 {
		t.Errorf("three requests took %d streams", opened)
	}

	ctx, cancel := context.WithCancel(t.Context())
	watch := func() *http.Response {
		req, _ := http.NewRequestWithContext(ctx, http.MethodGet, "http://cluster/watch", nil)
		resp, err := client.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		<-watched
		return resp
	}
	resp := watch()
	cancel()
	<-ended
	_ = resp.Body.Close()

	ctx = t.Context()
	resp = watch()
	agent.Close(nil)
	if _, err := io.ReadAll(resp.Body); err == nil {
		t.Error("the answer of a lost tunnel seems whole")
	}
	<-ended
	_ = resp.Body.Close()
}
