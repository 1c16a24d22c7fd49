package kubeproxy_test

import (
	"bufio"
	"io"
	"net"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/kubilitics/kubilitics/hub/internal/fleet"
	"github.com/kubilitics/kubilitics/hub/internal/store"
	"github.com/kubilitics/kubilitics/shared/fault"
)

// switching upgrades and then echoes, as exec with cat would.
func switching(gone chan<- struct{}) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		to := r.Header.Get("Upgrade")
		if to == "" {
			http.Error(w, "no upgrade came: "+strings.Join(r.Header.Values("Connection"), ","), http.StatusBadRequest)
			return
		}
		if r.URL.Query().Get("refuse") != "" {
			http.Error(w, "unable to upgrade: "+to, http.StatusForbidden)
			return
		}
		conn, rw, err := http.NewResponseController(w).Hijack()
		if err != nil {
			panic(err)
		}
		_, _ = io.WriteString(rw, "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: "+to+"\r\nX-Stream-Protocol-Version: v4\r\n\r\nhello ")
		_ = rw.Flush()
		for {
			line, err := rw.ReadString('\n')
			if err != nil || line == "bye\n" {
				_, _ = io.WriteString(conn, "bye")
				break
			}
			_, _ = io.WriteString(conn, line)
		}
		_ = conn.Close()
		gone <- struct{}{}
	}
}

// dial sends a request as it stands and gives the answer; the connection stays.
func (r *rig) dial(raw string) (net.Conn, *bufio.Reader, *http.Response) {
	r.t.Helper()
	conn, err := net.Dial("tcp", strings.TrimPrefix(r.hub.URL, "http://"))
	if err != nil {
		r.t.Fatal(err)
	}
	r.t.Cleanup(func() { _ = conn.Close() })
	_ = conn.SetDeadline(time.Now().Add(10 * time.Second))
	if _, err := io.WriteString(conn, raw); err != nil {
		r.t.Fatal(err)
	}
	br := bufio.NewReader(conn)
	resp, err := http.ReadResponse(br, &http.Request{Method: strings.Fields(raw)[0]})
	if err != nil {
		r.t.Fatalf("%q: %v", raw, err)
	}
	return conn, br, resp
}

func upgrade(path, to string) string {
	return "GET " + path + " HTTP/1.1\r\nHost: hub\r\nConnection: Upgrade\r\nUpgrade: " + to + "\r\nSec-WebSocket-Key: x\r\n\r\n"
}

func expect(t testing.TB, r io.Reader, want string) {
	t.Helper()
	got := make([]byte, len(want))
	if n, err := io.ReadFull(r, got); err != nil || string(got) != want {
		t.Fatalf("read %q, %v; want %q", got[:n], err, want)
	}
}

func TestConnectionsAreSpliced(t *testing.T) {
	for _, to := range []string{"websocket", "SPDY/3.1"} {
		t.Run(to, func(t *testing.T) {
			r := newRig(t)
			gone := make(chan struct{}, 1)
			r.cluster("eu-1", switching(gone))
			// What comes with the request, before the answer, isn't lost.
			conn, br, resp := r.dial(upgrade(pods+"/a/exec?command=cat", to) + "early\n")
			if resp.StatusCode != 101 || resp.Header.Get("Upgrade") != to || resp.Header.Get("X-Stream-Protocol-Version") != "v4" {
				t.Fatalf("%d %v", resp.StatusCode, resp.Header)
			}
			expect(t, br, "hello early\n")
			if _, err := io.WriteString(conn, "more\n"); err != nil {
				t.Fatal(err)
			}
			expect(t, br, "more\n")
			if all := r.audit.all(); len(all) != 1 || all[0].Outcome != store.AuditOpen || len(all[0].Command) != 1 {
				t.Errorf("on record is %+v", all)
			}
			_, _ = io.WriteString(conn, "bye\n")
			expect(t, br, "bye")
			if _, err := br.ReadByte(); err != io.EOF {
				t.Errorf("after the cluster's end: %v", err)
			}
			within(t, time.Second, "the cluster's side ends", gone)
			_ = conn.Close()
			eventually(t, "it is over on record", func() bool { a := r.audit.all()[0]; return a.Outcome == store.AuditDone && a.Status == 101 })
		})
	}
}

func TestARefusedUpgradePasses(t *testing.T) {
	r := newRig(t)
	r.cluster("eu-1", switching(nil))
	_, _, resp := r.dial(upgrade(pods+"/a/exec?refuse=1", "websocket"))
	text, _ := io.ReadAll(resp.Body)
	if resp.StatusCode != 403 || string(text) != "unable to upgrade: websocket\n" {
		t.Errorf("%d %q", resp.StatusCode, text)
	}
}

func TestOnlyWhatKubernetesHasIsUpgraded(t *testing.T) {
	r := newRig(t)
	r.cluster("eu-1", switching(make(chan struct{}, 10)))
	for _, raw := range []string{
		upgrade(pods+"/a/exec", "h2c"), upgrade(pods+"/a/exec", "tls/1.0"),
		strings.Replace(upgrade(pods+"/a/exec", "h2c"), "Upgrade\r\n", "Upgrade, HTTP2-Settings\r\nHTTP2-Settings: AAMAAABkAAQAAP__\r\n", 1),
	} {
		_, _, resp := r.dial(raw)
		text, _ := io.ReadAll(resp.Body)
		if resp.StatusCode != 400 || statusOf(t, string(text)).Message != "a connection may be upgraded to websocket or SPDY/3.1 only" {
			t.Errorf("%q: %d %q", raw, resp.StatusCode, text)
		}
	}
	_, _, resp := r.dial(strings.Replace(upgrade(pods+"/a/exec", "websocket"), "Connection: Upgrade\r\n", "", 1))
	if text, _ := io.ReadAll(resp.Body); string(text) != "no upgrade came: \n" {
		t.Errorf("one that isn't asked for by the connection: %q", text)
	}
	// Where Kubernetes has no connections, one leads to somewhere that only exec may reach.
	r.as(who("ann", fleet.Binding{Verbs: []string{"get", "list", "watch"}, Clusters: []string{"*"}, Namespaces: []string{"*"}}))
	for path, code := range map[string]int{pods: 403, "/version": 403, pods + "?watch=1": 101, pods + "/a/log": 101} {
		if _, _, resp := r.dial(upgrade(path, "websocket")); resp.StatusCode != code {
			t.Errorf("%s: %d", path, resp.StatusCode)
		}
	}
}

func TestConnectionsEndWithTheirSides(t *testing.T) {
	for name, end := range map[string]func(*rig, *cluster, net.Conn){
		"the client leaves":  func(_ *rig, _ *cluster, c net.Conn) { _ = c.Close() },
		"the tunnel is lost": func(_ *rig, c *cluster, _ net.Conn) { c.lose() },
		"the hub stops":      func(r *rig, _ *cluster, _ net.Conn) { r.stop() },
	} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t)
			gone := make(chan struct{}, 1)
			c := r.cluster("eu-1", switching(gone))
			conn, br, _ := r.dial(upgrade(pods+"/a/attach", "websocket"))
			expect(t, br, "hello ")
			end(r, c, conn)
			within(t, time.Second, "the cluster's side ends", gone)
			over := make(chan struct{})
			go func() { _, _ = io.Copy(io.Discard, br); close(over) }()
			within(t, time.Second, "the client's side ends", over)
			eventually(t, "it is over on record", func() bool { return r.audit.all()[0].Outcome != store.AuditOpen })
		})
	}
}

// A connection that the client ends is over, and nothing about it has failed.
func TestAConnectionThatTheClientEndsIsDone(t *testing.T) {
	r := newRig(t)
	gone := make(chan struct{}, 10)
	r.cluster("eu-1", switching(gone))
	for range 10 {
		conn, br, _ := r.dial(upgrade(pods+"/a/exec?command=cat", "websocket"))
		expect(t, br, "hello ")
		_ = conn.Close()
		within(t, time.Second, "the cluster's side ends", gone)
	}
	eventually(t, "all are over on record", func() bool {
		all := r.audit.all()
		return len(all) == 10 && !slices.ContainsFunc(all, func(a store.AuditRecord) bool { return a.Outcome == store.AuditOpen })
	})
	for _, a := range r.audit.all() {
		if a.Outcome != store.AuditDone || a.Status != 101 || a.Reason != "" {
			t.Errorf("on record: %s, %d, %s", a.Outcome, a.Status, a.Reason)
		}
	}
}

func TestFromWithinTheHub(t *testing.T) {
	r := newRig(t)
	gone := make(chan struct{}, 1)
	c := r.cluster("eu-1", echo)
	by := r.caller()
	by.Via = "drain"
	client := &http.Client{Transport: r.proxy.Transport(by, c.at.Cluster)}
	send := func(method, path string, header ...string) (*http.Response, string) {
		t.Helper()
		body := map[string]string{http.MethodPut: "{}"}[method]
		req, err := http.NewRequestWithContext(t.Context(), method, "https://any"+path, strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		for i := 0; i+1 < len(header); i += 2 {
			req.Header.Set(header[i], header[i+1])
		}
		resp, err := client.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		if resp.StatusCode == 101 {
			return resp, ""
		}
		defer resp.Body.Close()
		text, err := io.ReadAll(resp.Body)
		if err != nil {
			t.Fatal(err)
		}
		return resp, string(text)
	}
	if resp, text := send("PUT", pods+"/a", "Impersonate-User", "root"); resp.StatusCode != 200 || !strings.Contains(text, `"Kubilitics-User":["boss"]`) || strings.Contains(text, "root") {
		t.Errorf("%d %s", resp.StatusCode, text)
	}
	if got := r.audit.all(); len(got) != 1 || got[0].Via != "drain" || got[0].Verb != "update" {
		t.Errorf("on record: %+v", got)
	}
	if resp, text := send("GET", "/api/v1/x/../y"); resp.StatusCode != 400 || statusOf(t, text).Reason != "BadRequest" {
		t.Errorf("%d %s", resp.StatusCode, text)
	}
	h := switching(gone)
	c.handler.Store(&h)
	resp, _ := send("POST", pods+"/a/exec", "Upgrade", "SPDY/3.1", "Connection", "Upgrade")
	conn, ok := resp.Body.(io.ReadWriteCloser)
	if resp.StatusCode != 101 || !ok {
		t.Fatalf("%d %T", resp.StatusCode, resp.Body)
	}
	expect(t, conn, "hello ")
	_, _ = io.WriteString(conn, "there\n")
	expect(t, conn, "there\n")
	_ = conn.Close()
	within(t, time.Second, "the cluster's side ends", gone)
	c.lose()
	if resp, text := send("GET", pods); resp.StatusCode != 503 || !strings.Contains(text, "isn't connected") || resp.Header.Get("Retry-After") != "" {
		t.Errorf("%d %s", resp.StatusCode, text)
	}
}

// Who is within the hub reads answers whole: one without an end must not fill the hub's memory. A log may be of any length.
func TestAnAnswerWithoutAnEnd(t *testing.T) {
	const limit, more = 64 << 20, 66 << 20
	r := newRig(t)
	c := r.cluster("eu-1", func(w http.ResponseWriter, req *http.Request) {
		piece := []byte(strings.Repeat("x", 1<<20))
		for sent := 0; sent < more; sent += len(piece) {
			if _, err := w.Write(piece); err != nil {
				return
			}
		}
	})
	client := &http.Client{Transport: r.proxy.Transport(r.caller(), c.at.Cluster)}
	for _, step := range []struct {
		path string
		want int64
		code fault.Code
	}{{pods + "/a", limit, fault.Unavailable}, {pods + "/a/log", more, ""}} {
		resp, err := client.Get("http://any" + step.path)
		if err != nil {
			t.Fatal(err)
		}
		n, err := io.Copy(io.Discard, resp.Body)
		_ = resp.Body.Close()
		if n != step.want || (err != nil) != (step.code != "") || err != nil && !fault.Is(err, step.code) {
			t.Errorf("%s: %d bytes, %v", step.path, n, err)
		}
	}
}
