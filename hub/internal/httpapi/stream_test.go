package httpapi

import (
	"bufio"
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/coder/websocket"

	"github.com/kubilitics/kubilitics/hub/internal/live"
	"github.com/kubilitics/kubilitics/hub/internal/query/querytest"
	"github.com/kubilitics/kubilitics/hub/internal/store"
	"github.com/kubilitics/kubilitics/shared/topo"
)

// wsClient is a client of the WebSocket.
type wsClient struct {
	t    *testing.T
	conn *websocket.Conn
}

func (r *rig) socket(token string) *wsClient {
	r.t.Helper()
	conn, resp, err := websocket.Dial(r.t.Context(), r.url+"/ws/v1/stream", &websocket.DialOptions{HTTPHeader: http.Header{"Authorization": {"Bearer " + token}}})
	if err != nil {
		r.t.Fatal(err, resp)
	}
	conn.SetReadLimit(1 << 20)
	r.t.Cleanup(func() { _ = conn.CloseNow() })
	return &wsClient{r.t, conn}
}

func (c *wsClient) send(text string) {
	c.t.Helper()
	if err := c.conn.Write(c.t.Context(), websocket.MessageText, []byte(text)); err != nil {
		c.t.Fatal(err)
	}
}

// frame waits for the next frame of that type.
func (c *wsClient) frame(kind string) StreamFrame {
	c.t.Helper()
	ctx, cancel := context.WithTimeout(c.t.Context(), 10*time.Second)
	defer cancel()
	_, text, err := c.conn.Read(ctx)
	if err != nil {
		c.t.Fatalf("waiting for %s: %v", kind, err)
	}
	var f StreamFrame
	if err := json.Unmarshal(text, &f); err != nil || f.Type != kind {
		c.t.Fatalf("got %s (%v), want %s", text, err, kind)
	}
	return f
}

// closed waits for the end of the socket.
func (c *wsClient) closed() websocket.StatusCode {
	c.t.Helper()
	ctx, cancel := context.WithTimeout(c.t.Context(), 10*time.Second)
	defer cancel()
	for {
		if _, _, err := c.conn.Read(ctx); err != nil {
			return websocket.CloseStatus(err)
		}
	}
}

func somePods(n int) topo.Delta {
	return topo.Delta{Nodes: []topo.Node{querytest.Node(fmt.Sprint("Pod shop/p", n), "app=web")}}
}

func TestAChangeReachesTheSocket(t *testing.T) {
	r := newRig(t, options{})
	c := r.socket(r.admin)
	c.send(`{"type":"subscribe","id":"a","scope":{"kinds":["pods"],"namespaces":["shop"]},"what":["topology","events"]}`)
	start := c.frame("bookmark")
	if start.ID != "a" || start.Position == 0 {
		t.Errorf("began with %+v", start)
	}
	p := r.shop.Apply(topo.Delta{
		Nodes:  []topo.Node{querytest.Node("Pod shop/new", "app=web"), querytest.Node("Secret shop/s")},
		Edges:  []topo.Edge{querytest.Edge("Service shop/web", topo.Selects, "Pod shop/new")},
		Events: []topo.Event{{UID: "e9", Namespace: "shop", Name: "x", Regarding: querytest.Ref("Pod shop/new"), Type: "Normal", Last: 5}},
	})
	node, edge, event := c.frame("change"), c.frame("change"), c.frame("change")
	if node.Op != "add" || node.Node == nil || node.Node.Name != "new" || node.Node.Labels["app"] != "web" || node.Position != p || !node.More || node.Cluster != r.shop.ID.String() || node.At == nil {
		t.Errorf("node: %+v", node)
	}
	if edge.Op != "add" || edge.Edge == nil || edge.Edge.Source.Name != "web" || edge.Edge.Type != "selects" || !edge.More {
		t.Errorf("edge: %+v", edge)
	}
	if event.Event == nil || event.Event.UID != "e9" || event.More {
		t.Errorf("event: %+v", event)
	}
	r.shop.Apply(topo.Delta{GoneNodes: []topo.ID{querytest.Ref("Pod shop/new").ID()}, GoneEdges: nil})
	if f := c.frame("change"); f.Op != "remove" || f.Node.Name != "new" {
		t.Errorf("removal: %+v", f)
	}
}

func TestManySubscriptionsOnOneSocket(t *testing.T) {
	r := newRig(t, options{api: func(c *Config) { c.Subscriptions = 3 }})
	c := r.socket(r.admin)
	c.send(`{"type":"subscribe","id":"web","scope":{"selector":"app=web"},"what":["resources"]}`)
	c.frame("bookmark")
	c.send(`{"type":"subscribe","id":"db","scope":{"selector":"app=db"},"what":["resources"]}`)
	c.frame("bookmark")
	c.send(`{"type":"subscribe","id":"fleet","what":["clusters"]}`)
	c.frame("bookmark")
	c.send(`{"type":"subscribe","id":"more"}`)
	if f := c.frame("error"); f.ID != "more" || f.Code != "TOO_MANY_REQUESTS" {
		t.Errorf("a fourth: %+v", f)
	}
	c.send(`{"type":"subscribe","id":"db"}`)
	if f := c.frame("error"); f.Code != "CONFLICT" {
		t.Errorf("a second db: %+v", f)
	}
	r.shop.Apply(topo.Delta{Nodes: []topo.Node{querytest.Node("Pod shop/w", "app=web")}})
	if f := c.frame("change"); f.ID != "web" {
		t.Errorf("told to %s", f.ID)
	}
	c.send(`{"type":"unsubscribe","id":"web"}`)
	c.send(`{"type":"unsubscribe","id":"web"}`)
	if f := c.frame("error"); f.Code != "NOT_FOUND" {
		t.Errorf("unsubscribed twice: %+v", f)
	}
	r.shop.Apply(topo.Delta{Nodes: []topo.Node{querytest.Node("Pod shop/w2", "app=web"), querytest.Node("Pod shop/d", "app=db")}})
	if f := c.frame("change"); f.ID != "db" || f.Node.Name != "d" {
		t.Errorf("got %+v", f)
	}
	r.do(r.admin, "PATCH", "/api/v1/clusters/{shop}", `{"name":"renamed"}`).expect(t, 200)
	if f := c.frame("change"); f.ID != "fleet" || f.About == nil || f.About.Name != "renamed" || f.Op != "update" {
		t.Errorf("got %+v", f)
	}
	r.do(r.admin, "DELETE", "/api/v1/clusters/{shop}", "")
	for range 2 {
		if f := c.frame("change"); f.Op != "deleted" || f.Cluster != r.shop.ID.String() {
			t.Errorf("got %+v", f)
		}
	}
}

func TestSocketResumes(t *testing.T) {
	r := newRig(t, options{live: func(c *live.Config) { c.Page = 3 }})
	list := r.get(r.admin, "/api/v1/resources?kind=Pod")
	from := topo.Position(list.json["position"].(float64))
	for n := range 10 {
		r.shop.Apply(somePods(n))
	}
	c := r.socket(r.admin)
	c.send(fmt.Sprintf(`{"type":"subscribe","id":"a","from":%d}`, from))
	c.frame("bookmark")
	for n := range 20 {
		if n >= 10 {
			r.shop.Apply(somePods(n))
		}
		if f := c.frame("change"); f.Node.Name != fmt.Sprint("p", n) || f.Position != from+topo.Position(n)+1 {
			t.Fatalf("change %d: %+v", n, f)
		}
	}
}

func TestSocketResets(t *testing.T) {
	r := newRig(t, options{})
	r.shop.Apply(somePods(1))
	for more := true; more; { // everything but what is kept for the future
		var err error
		if more, err = r.store.Trim(t.Context(), store.Keep{Feed: time.Nanosecond, History: time.Hour, Events: time.Hour}, 1000); err != nil {
			t.Fatal(err)
		}
	}
	first, last, err := r.store.FeedBounds(t.Context(), r.tenant)
	if err != nil || first <= 1 {
		t.Fatalf("the feed still begins at %d (%v)", first, err)
	}
	c := r.socket(r.admin)
	for _, from := range []topo.Position{0, last + 1000} {
		c.send(fmt.Sprintf(`{"type":"subscribe","id":"a","from":%d}`, from))
		c.frame("bookmark")
		if f := c.frame("reset"); f.Position != last || f.Reason == "" {
			t.Errorf("from %d: %+v", from, f)
		}
	}
	c.send(fmt.Sprintf(`{"type":"subscribe","id":"a","from":%d}`, last))
	c.frame("bookmark")
	r.shop.Apply(somePods(2))
	c.frame("change")
}

func TestASlowSocketIsToldAndHarmsNobody(t *testing.T) {
	r := newRig(t, options{live: func(c *live.Config) { c.Entries = 20 }, api: func(c *Config) { c.WriteTimeout = 30 * time.Second }})
	slow, quick := r.socket(r.admin), r.socket(r.admin)
	for _, c := range []*wsClient{slow, quick} {
		c.send(`{"type":"subscribe","id":"a"}`)
		c.frame("bookmark")
	}
	big := strings.Repeat("x", 60_000) // fills the sockets' buffers soon
	last := topo.Position(0)
	for n := range 300 {
		d := somePods(n)
		d.Nodes[0].Status = big
		last = r.shop.Apply(d)
		if f := quick.frame("change"); f.Position != last {
			t.Fatalf("the quick one got %d, want %d", f.Position, last)
		}
	}
	at := topo.Position(0)
	for {
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		_, text, err := slow.conn.Read(ctx)
		cancel()
		var f StreamFrame
		if err != nil || json.Unmarshal(text, &f) != nil {
			t.Fatal(err)
		}
		if f.Type == "lagged" {
			if f.Position != at || at == last {
				t.Errorf("lagged at %d, having been told %d", f.Position, at)
			}
			break
		}
		at = f.Position
	}
	slow.send(fmt.Sprintf(`{"type":"subscribe","id":"a","from":%d}`, at))
	slow.frame("bookmark")
	for p := at + 1; p <= last; p++ {
		if f := slow.frame("change"); f.Position != p {
			t.Fatalf("resumed with %d, want %d", f.Position, p)
		}
	}
}

func TestAClientThatNeverReadsIsCut(t *testing.T) {
	r := newRig(t, options{api: func(c *Config) { c.WriteTimeout = 200 * time.Millisecond }})
	stuck := r.socket(r.admin)
	stuck.send(`{"type":"subscribe","id":"a"}`)
	stuck.frame("bookmark")
	deadline := time.Now().Add(20 * time.Second)
	for n := 0; r.live.Subscriptions() > 0; n++ {
		if time.Now().After(deadline) {
			t.Fatal("still served")
		}
		d := somePods(n)
		d.Nodes[0].Status = strings.Repeat("x", 60_000)
		r.shop.Apply(d)
	}
}

func TestSocketAccess(t *testing.T) {
	r := newRig(t, options{api: func(c *Config) { c.AllowedOrigins = []string{"https://portal.example"} }})
	other := querytest.New(t, r.store, r.tenant, "other").Load(querytest.Shop())
	shopper := r.token("shopper", "get,list,watch "+r.shop.ID.String()+" shop")
	c := r.socket(shopper)
	c.send(`{"type":"subscribe","id":"a","what":["topology","events","clusters"]}`)
	c.frame("bookmark")
	c.send(`{"type":"subscribe","id":"b","scope":{"clusters":["` + other.ID.String() + `"]}}`)
	if f := c.frame("error"); f.Code != "NOT_FOUND" {
		t.Errorf("another cluster: %+v", f)
	}
	r.shop.Apply(topo.Delta{Nodes: []topo.Node{querytest.Node("Pod bank/hidden"), querytest.Node("Node n2")}, Edges: []topo.Edge{querytest.Edge("Pod shop/web-b", topo.RunsOn, "Node n2")}})
	other.Apply(somePods(1))
	r.shop.Apply(somePods(2))
	if f := c.frame("change"); f.Node == nil || f.Node.Name != "p2" {
		t.Errorf("got %+v", f)
	}

	for origin, status := range map[string]int{"https://evil.example": 403, "https://portal.example": 101, r.url: 101} {
		conn, resp, err := websocket.Dial(t.Context(), r.url+"/ws/v1/stream", &websocket.DialOptions{HTTPHeader: http.Header{"Authorization": {"Bearer " + shopper}, "Origin": {origin}}})
		if resp == nil || resp.StatusCode != status {
			t.Errorf("a page of %s: %v %v", origin, resp, err)
		}
		if err == nil {
			_ = conn.CloseNow()
		}
	}
	protocols := []string{"kubilitics.v1", "bearer." + base64.RawURLEncoding.EncodeToString([]byte(shopper))}
	conn, _, err := websocket.Dial(t.Context(), r.url+"/ws/v1/stream", &websocket.DialOptions{Subprotocols: protocols})
	if err != nil {
		t.Fatal(err)
	}
	defer conn.CloseNow()
	if conn.Subprotocol() != "kubilitics.v1" {
		t.Errorf("subprotocol %q: the token must not come back", conn.Subprotocol())
	}
	if _, resp, err := websocket.Dial(t.Context(), r.url+"/ws/v1/stream?token="+shopper, nil); err == nil || resp.StatusCode != 401 {
		t.Errorf("a token in the URL: %v %v", resp, err)
	}
}

func TestBadCommands(t *testing.T) {
	r := newRig(t, options{})
	c := r.socket(r.admin)
	for command, code := range map[string]string{
		`nonsense`:                                                        "BAD_REQUEST",
		`{"type":"subscribe"}`:                                            "BAD_REQUEST",
		`{"type":"dance","id":"a"}`:                                       "BAD_REQUEST",
		`{"type":"subscribe","id":"a","frm":1}`:                           "BAD_REQUEST",
		`{"type":"subscribe","id":"a","what":["gossip"]}`:                 "BAD_REQUEST",
		`{"type":"subscribe","id":"a","scope":{"selector":"a b"}}`:        "BAD_REQUEST",
		`{"type":"subscribe","id":"a","scope":{"kinds":["things"]}}`:      "BAD_REQUEST",
		`{"type":"subscribe","id":"a","scope":{"clusters":["nonsense"]}}`: "BAD_REQUEST",
		`{"type":"subscribe","id":"` + strings.Repeat("x", 200) + `"}`:    "BAD_REQUEST",
	} {
		c.send(command)
		if f := c.frame("error"); string(f.Code) != code || f.Message == "" {
			t.Errorf("%s: %+v", command, f)
		}
	}
	c.send(`{"type":"subscribe","id":"a"}`) // none of them ended the socket
	c.frame("bookmark")
	c.send(strings.Repeat("x", 70<<10))
	if code := c.closed(); code != websocket.StatusMessageTooBig {
		t.Errorf("closed with %v", code)
	}
}

func TestRevocationClosesTheSocket(t *testing.T) {
	r := newRig(t, options{})
	a := r.do(r.admin, "POST", "/api/v1/tokens", `{"name":"x","bindings":[{"verbs":["*"],"clusters":["*"],"namespaces":["*"]}]}`)
	c := r.socket(a.json["secret"].(string))
	c.send(`{"type":"subscribe","id":"a"}`)
	c.frame("bookmark")
	r.do(r.admin, "DELETE", "/api/v1/tokens/"+a.json["id"].(string), "").expect(t, 204)
	if f := c.frame("error"); f.Code != "UNAUTHORIZED" {
		t.Errorf("got %+v", f)
	}
	if code := c.closed(); code != websocket.StatusPolicyViolation {
		t.Errorf("closed with %v", code)
	}
}

func TestStreamsOutliveEveryTimeout(t *testing.T) {
	short := 150 * time.Millisecond
	r := newRig(t, options{
		api: func(c *Config) {
			c.RequestTimeout, c.WriteTimeout, c.PingEvery = short, 5*time.Second, 50*time.Millisecond
		},
		server: func(s *http.Server) { s.ReadTimeout, s.WriteTimeout, s.IdleTimeout = short, short, short },
	})
	c := r.socket(r.admin)
	c.send(`{"type":"subscribe","id":"a"}`)
	c.frame("bookmark")
	events := r.sse("/api/v1/stream")
	events.event("bookmark")
	for n := range 6 {
		time.Sleep(short) // the point of the test: time passes
		p := r.shop.Apply(somePods(n))
		readOne := make(chan StreamFrame, 1)
		go func() { readOne <- events.event("change") }()
		// A client of coder/websocket answers pings while it reads.
		if f := c.frame("change"); f.Position != p {
			t.Fatalf("socket: %+v", f)
		}
		if f := <-readOne; f.Position != p {
			t.Fatalf("events: %+v", f)
		}
	}
}

// sseClient is a client of server-sent events.
type sseClient struct {
	t    *testing.T
	in   *bufio.Reader
	last string // id
}

func (r *rig) sse(path string, header ...string) *sseClient {
	r.t.Helper()
	req, err := http.NewRequestWithContext(r.t.Context(), http.MethodGet, r.url+r.expand(path), nil)
	if err != nil {
		r.t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+r.admin)
	for i := 0; i+1 < len(header); i += 2 {
		req.Header.Set(header[i], header[i+1])
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil || resp.StatusCode != 200 || resp.Header.Get("Content-Type") != "text/event-stream" {
		r.t.Fatal(resp, err)
	}
	r.t.Cleanup(func() { _ = resp.Body.Close() })
	return &sseClient{t: r.t, in: bufio.NewReader(resp.Body)}
}

// event reads up to the next event; other types than the one waited for are errors.
func (c *sseClient) event(kind string) (f StreamFrame) {
	for {
		line, err := c.in.ReadString('\n')
		if err != nil {
			c.t.Errorf("waiting for %s: %v", kind, err)
			return f
		}
		if id, ok := strings.CutPrefix(line, "id: "); ok {
			c.last = strings.TrimSpace(id)
		}
		if data, ok := strings.CutPrefix(line, "data: "); ok {
			if err := json.Unmarshal([]byte(data), &f); err != nil || f.Type != kind {
				c.t.Errorf("got %s, want %s", data, kind)
			}
			return f
		}
	}
}

func TestServerSentEvents(t *testing.T) {
	r := newRig(t, options{})
	c := r.sse("/api/v1/stream?cluster={shop}&kind=Pod&what=topology")
	c.event("bookmark")
	p := r.shop.Apply(topo.Delta{Nodes: []topo.Node{querytest.Node("Pod shop/a1"), querytest.Node("Pod shop/a2"), querytest.Node("Secret shop/s")}})
	before := c.last
	if f := c.event("change"); f.Position != p || !f.More || c.last != before {
		t.Errorf("first of two: %+v, id %s", f, c.last)
	}
	if f := c.event("change"); f.More || c.last != fmt.Sprint(p) {
		t.Errorf("second of two: %+v, id %s", f, c.last)
	}
	r.shop.Apply(somePods(1))
	r.shop.Apply(somePods(2))
	again := r.sse("/api/v1/stream?what=topology&from=1", "Last-Event-ID", fmt.Sprint(p))
	again.event("bookmark")
	for _, want := range []string{"p1", "p2"} {
		if f := again.event("change"); f.Node.Name != want {
			t.Errorf("resumed with %+v, want %s", f, want)
		}
	}
	far := r.sse("/api/v1/stream?from=999999")
	far.event("bookmark")
	if f := far.event("reset"); far.last != fmt.Sprint(f.Position) {
		t.Errorf("a client that comes back after a reset asks from %s, want %d", far.last, f.Position)
	}
}

func TestClosingTellsTheStreams(t *testing.T) {
	r := newRig(t, options{api: func(c *Config) { c.Streams = 2 }})
	c := r.socket(r.admin)
	c.send(`{"type":"subscribe","id":"a"}`)
	c.frame("bookmark")
	events := r.sse("/api/v1/stream")
	events.event("bookmark")
	r.get(r.admin, "/api/v1/stream").expect(t, 503, "as many streams as it can")
	done := make(chan struct{})
	go func() { r.api.Close(); close(done) }()
	if f := c.frame("error"); f.Code != "UNAVAILABLE" || f.RetryAfter == 0 {
		t.Errorf("socket: %+v", f)
	}
	if code := c.closed(); code != websocket.StatusGoingAway {
		t.Errorf("closed with %v", code)
	}
	if f := events.event("error"); f.Code != "UNAVAILABLE" {
		t.Errorf("events: %+v", f)
	}
	<-done
	r.get(r.admin, "/api/v1/stream").expect(t, 503)
}
