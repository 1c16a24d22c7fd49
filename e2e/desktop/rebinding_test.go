package desktop

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/coder/websocket"
)

// TestRebinding: whoever comes by another name, or from another site's page, is refused at every door, with the token and without, by HTTP, WebSocket and TLS.
func TestRebinding(t *testing.T) {
	r := newRig(t)
	r.must(r.Living("dev", plane))
	r.write()
	d := r.start()
	id := r.awaits(d, map[string]string{"dev": "live"})["dev"].ID
	own := strings.TrimPrefix(d.URL, "http://")
	routes := []string{
		"/", "/desktop/page/page.js", "/desktop/v1/kubeconfig", "/healthz", "/version", "/metrics", "/api/v1/clusters", "/api/v1/stream", "/api/v1/openapi.json",
		"/api/v1/kubeconfig", "/ws/v1/stream", "/tunnel/v1", "/k8s/clusters/" + id + "/api/v1/pods", "/k8s/clusters/" + id + "/api/v1/pods?watch=1", "/k8s/fleet/api/v1/pods",
	}
	_, port, _ := net.SplitHostPort(own)
	for _, headers := range []string{
		"Host: evil.example\r\n", "Host: evil.example:" + port + "\r\n", "Host: 127.0.0.1.evil.example:" + port + "\r\n", "Host:\r\n",
		"Host: " + own + "\r\nOrigin: http://evil.example\r\n", "Host: " + own + "\r\nOrigin: null\r\n", "Host: " + own + "\r\nOrigin: http://127.0.0.1:1\r\n",
		"Host: " + own + "\r\nSec-Fetch-Site: cross-site\r\nSec-Fetch-Mode: no-cors\r\n",
	} {
		for _, route := range routes {
			for _, upgrade := range []string{"", "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"} {
				head := "GET " + route + " HTTP/1.1\r\n" + headers + upgrade + "Authorization: Bearer " + d.Token + "\r\n"
				if status := raw(t, own, head+"\r\n"); status != http.StatusForbidden && !(status == http.StatusBadRequest && headers == "Host:\r\n") {
					t.Errorf("%q: status %d", strings.ReplaceAll(head, d.Token, "…"), status)
				}
			}
		}
	}
	if status := raw(t, own, "GET http://evil.example/api/v1/clusters HTTP/1.1\r\nHost: "+own+"\r\nAuthorization: Bearer "+d.Token+"\r\n\r\n"); status != http.StatusForbidden {
		t.Errorf("as to a proxy: %d", status)
	}
	for _, route := range []string{"/api/v1/clusters", "/metrics", "/k8s/clusters/" + id + "/api/v1/pods", "/desktop/v1/kubeconfig"} {
		if status := raw(t, own, "GET "+route+" HTTP/1.1\r\nHost: "+own+"\r\n\r\n"); status != http.StatusUnauthorized {
			t.Errorf("%s without a token: %d", route, status)
		}
	}
	if status := raw(t, own, "GET /tunnel/v1 HTTP/1.1\r\nHost: "+own+"\r\n\r\n"); status != http.StatusUnauthorized && status != http.StatusNotFound {
		t.Errorf("agents from elsewhere: %d", status)
	}
	page(t, d.URL, d.Token)
}

// page does what the desktop's own page may do: a stream, by a WebSocket with the token as a subprotocol.
func page(t *testing.T, at, token string) {
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	conn, _, err := websocket.Dial(ctx, "ws"+at[len("http"):]+"/ws/v1/stream", &websocket.DialOptions{
		HTTPHeader: http.Header{"Origin": {at}, "Authorization": {"Bearer " + token}}, HTTPClient: &http.Client{Transport: &http.Transport{}},
	})
	if err != nil {
		t.Fatalf("its own page opens no stream: %v", err)
	}
	_ = conn.CloseNow()
}

// raw sends a request as it is and gives the status of the answer.
func raw(t *testing.T, at, request string) int {
	t.Helper()
	conn, err := net.DialTimeout("tcp", at, 5*time.Second)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close() }()
	_ = conn.SetDeadline(time.Now().Add(5 * time.Second))
	if _, err := io.WriteString(conn, request); err != nil {
		t.Fatal(err)
	}
	line, err := bufio.NewReader(conn).ReadString('\n')
	if err != nil {
		t.Fatalf("%q: %v", line, err)
	}
	var status int
	if _, err := fmt.Sscanf(line, "HTTP/1.1 %d", &status); err != nil {
		t.Fatalf("%q: %v", line, err)
	}
	return status
}
