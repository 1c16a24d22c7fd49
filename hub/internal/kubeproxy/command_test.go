package kubeproxy_test

import (
	"context"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/kubilitics/kubilitics/hub/internal/fleet"
	"github.com/kubilitics/kubilitics/hub/internal/kubeproxy"
	"github.com/kubilitics/kubilitics/hub/internal/store"
	"github.com/kubilitics/kubilitics/shared/fault"
)

// sized is a whole WebSocket message whose length takes more than the header's second byte.
func sized(kind byte, payload string) string {
	return string(binary.BigEndian.AppendUint16([]byte{0x80 | kind, 126}, uint16(len(payload)))) + payload
}

// A command whose connection breaks between two messages is said to have broken, on the channel where its client looks for the verdict.
func TestABrokenCommandIsToldOf(t *testing.T) {
	long := "\x01" + strings.Repeat("x", 200)
	verdict := sized(2, "\x03"+`{"status":"Success"}`+strings.Repeat(" ", 200))
	huge := "\x82\x7f\x00\x00\x00\x00\x00\x01\x00\x00\x01" + strings.Repeat("x", 1<<16-1)
	const goodbye = "\x88\x02\x03\xe8"
	for name, c := range map[string]struct {
		protocol, sub, sent string
		orderly             bool   // the cluster's side ends without having said so
		says                string // the verdict; none if empty
		after               string // what comes after it
	}{
		"between":               {sent: "\x82\x03\x01hi", says: "the connection to cluster eu-1", after: goodbye},
		"between, after more":   {sent: sized(2, long) + "\x89\x00" + huge, says: "the connection to cluster eu-1", after: goodbye},
		"nothing was sent":      {says: "whether it goes on there isn't known", after: goodbye},
		"version 4":             {protocol: "v4.channel.k8s.io", sub: "attach", sent: "\x82\x01\x01", says: "was lost in the middle of the command", after: goodbye},
		"an end, without a bye": {sent: "\x82\x03\x01hi", orderly: true, says: "cluster eu-1", after: goodbye},
		"after fragments":       {sent: "\x02\x01\x01\x89\x01x\x80\x02hi", says: "was lost in the middle of the command", after: goodbye},
		"the verdict was given": {sent: verdict, after: goodbye},
		"in a message":          {sent: "\x82\x05\x01hi"},
		"in a header":           {sent: "\x82\x03\x01hi\x82"},
		"in a long header":      {sent: "\x82\x7e\x00"},
		"between fragments":     {sent: "\x02\x03\x01hi"},
		"it had said so":        {sent: "\x82\x03\x01hi" + goodbye},
		"an unknown extension":  {sent: "\xc2\x03\x01hi"},
		"another protocol":      {protocol: "SPDY/3.1+portforward.k8s.io", sent: "\x82\x03\x01hi"},
		"another resource":      {sub: "portforward", sent: "\x82\x03\x01hi"},
	} {
		t.Run(name, func(t *testing.T) {
			protocol, sub := c.protocol, c.sub
			if protocol == "" {
				protocol = "v5.channel.k8s.io"
			}
			if sub == "" {
				sub = "exec"
			}
			r := newRig(t)
			at := r.cluster("eu-1", func(w http.ResponseWriter, req *http.Request) {
				conn, _, err := http.NewResponseController(w).Hijack()
				if err != nil {
					panic(err)
				}
				_, _ = io.WriteString(conn, "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Protocol: "+protocol+"\r\n\r\n"+c.sent)
				if !c.orderly {
					_, _ = io.Copy(io.Discard, conn)
				}
				_ = conn.Close()
			})
			_, br, _ := r.dial(upgrade(pods+"/a/"+sub, "websocket"))
			expect(t, br, c.sent)
			if !c.orderly {
				at.lose()
			}
			rest, err := io.ReadAll(br)
			if err != nil && c.after != "" {
				t.Fatalf("%q, then %v", rest, err)
			}
			checkVerdict(t, string(rest), c.says, c.after)
			eventually(t, "it failed on record", func() bool { return r.audit.all()[0].Outcome != store.AuditOpen })
		})
	}
}

// running is a command that says something and goes on until its client ends.
func running(gone chan<- struct{}) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		conn, _, err := http.NewResponseController(w).Hijack()
		if err != nil {
			panic(err)
		}
		_, _ = io.WriteString(conn, "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Protocol: v5.channel.k8s.io\r\n\r\n\x82\x03\x01hi")
		_, _ = io.Copy(io.Discard, conn)
		_ = conn.Close()
		gone <- struct{}{}
	}
}

// Somebody within the hub ends a command by closing it, and then it is over.
func TestACommandFromWithinTheHubEnds(t *testing.T) {
	for name, end := range map[string]func(*rig, io.Closer){
		"it is closed":  func(_ *rig, c io.Closer) { _ = c.Close() },
		"the hub stops": func(r *rig, _ io.Closer) { r.stop() },
	} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t)
			gone := make(chan struct{}, 1)
			c := r.cluster("eu-1", running(gone))
			req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "https://any"+pods+"/a/exec", nil)
			if err != nil {
				t.Fatal(err)
			}
			req.Header = http.Header{"Connection": {"Upgrade"}, "Upgrade": {"websocket"}}
			resp, err := (&http.Client{Transport: r.proxy.Transport(r.caller(), c.at.Cluster)}).Do(req)
			if err != nil {
				t.Fatal(err)
			}
			expect(t, resp.Body, "\x82\x03\x01hi")
			end(r, resp.Body)
			within(t, time.Second, "the cluster's side ends", gone)
			eventually(t, "it is over on record", func() bool { return r.audit.all()[0].Outcome == store.AuditDone })
			_ = resp.Body.Close()
		})
	}
}

// A command that this hub cuts off is said to be, also when somebody doesn't want to hear of it.
func TestACommandThatIsCutOffIsToldOf(t *testing.T) {
	var refused atomic.Bool
	for name, end := range map[string]struct {
		cut  func(*rig)
		says string
	}{
		"the hub stops":        {(*rig).stop, "the command was cut off: this hub is shutting down; whether it goes on there isn't known"},
		"the token is revoked": {func(*rig) { refused.Store(true) }, "the command was cut off: the token was revoked"},
	} {
		t.Run(name, func(t *testing.T) {
			refused.Store(false)
			r := newRig(t, func(c *kubeproxy.Config) {
				c.Recheck = func(_ context.Context, p fleet.Principal) (fleet.Principal, error) {
					if refused.Load() {
						return p, fault.New(fault.Unauthorized, "the token was revoked")
					}
					return p, nil
				}
				c.Check = 10 * time.Millisecond
			})
			gone := make(chan struct{}, 2)
			r.cluster("eu-1", running(gone))
			_, br, _ := r.dial(upgrade(pods+"/a/exec", "websocket"))
			expect(t, br, "\x82\x03\x01hi")
			deaf, other, _ := r.dial(upgrade(pods+"/a/exec", "websocket"))
			expect(t, other, "\x82\x03\x01hi")
			end.cut(r)
			rest, err := io.ReadAll(br)
			if err != nil {
				t.Fatalf("%q, then %v", rest, err)
			}
			checkVerdict(t, string(rest), end.says, "\x88\x02\x03\xe8")
			for range 2 {
				within(t, time.Second, "the cluster's side ends", gone)
			}
			_ = deaf.Close()
			eventually(t, "they are over on record", func() bool {
				return !slices.ContainsFunc(r.audit.all(), func(a store.AuditRecord) bool { return a.Outcome == store.AuditOpen })
			})
		})
	}
}

func checkVerdict(t *testing.T, rest, says, after string) {
	t.Helper()
	if says != "" {
		if len(rest) < 5 || rest[:2] != "\x82\x7e" || rest[4] != 3 {
			t.Fatalf("%q is no verdict", rest)
		}
		end := 4 + int(binary.BigEndian.Uint16([]byte(rest[2:])))
		var s metav1.Status
		if err := json.Unmarshal([]byte(rest[5:end]), &s); err != nil || s.Status != metav1.StatusFailure || s.Code != 500 || s.Reason != metav1.StatusReasonInternalError || !strings.Contains(s.Message, says) {
			t.Errorf("%q (%v), want %q in it", rest[5:end], err, says)
		}
		rest = rest[end:]
	}
	if rest != after {
		t.Errorf("then came %s, want %s", fmt.Sprintf("%.40q", rest), fmt.Sprintf("%.40q", after))
	}
}
