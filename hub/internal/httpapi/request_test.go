package httpapi

import (
	"context"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/kubilitics/kubilitics/hub/internal/fleet"
	"github.com/kubilitics/kubilitics/hub/internal/query"
	"github.com/kubilitics/kubilitics/hub/internal/store"
	"github.com/kubilitics/kubilitics/shared/fault"
)

// door authenticates as a test says.
type door func(*http.Request) (fleet.Principal, error)

func (d door) Authenticate(r *http.Request) (fleet.Principal, error) { return d(r) }

func TestClientAddresses(t *testing.T) {
	a := &API{cfg: Config{TrustedProxies: []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")}}}
	for _, c := range []struct{ peer, forwarded, want string }{
		{"192.0.2.1:1234", "", "192.0.2.1"},
		{"192.0.2.1:1234", "127.0.0.1", "192.0.2.1"}, // nobody's word counts but a trusted proxy's
		{"10.1.2.3:1234", "198.51.100.7", "198.51.100.7"},
		{"10.1.2.3:1234", "127.0.0.1, 198.51.100.7, 10.9.9.9", "198.51.100.7"},
		{"[::ffff:10.1.2.3]:1234", "198.51.100.7", "198.51.100.7"},
		{"10.1.2.3:1234", "", "10.1.2.3"},
		{"odd", "1.2.3.4", "odd"},
	} {
		r := httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/", nil)
		r.RemoteAddr = c.peer
		r.Header.Set("X-Forwarded-For", c.forwarded)
		if got := a.clientOf(r); got != c.want {
			t.Errorf("%s with %q: %s, want %s", c.peer, c.forwarded, got, c.want)
		}
	}
}

func TestStrangersPassAGate(t *testing.T) {
	entered, leave := make(chan struct{}), make(chan struct{})
	waiting := door(func(*http.Request) (fleet.Principal, error) {
		entered <- struct{}{}
		<-leave
		return fleet.Principal{}, fault.New(fault.Unauthorized, "who?")
	})
	r := newRig(t, options{noShop: true, api: func(c *Config) { c.Authenticator, c.Strangers = waiting, 1 }})
	first := make(chan reply, 1)
	go func() { first <- r.get("x", "/api/v1/clusters") }()
	<-entered
	a := r.get("y", "/api/v1/clusters")
	if a.expect(t, 429, "TOO_MANY_REQUESTS"); a.header.Get("Retry-After") != "1" {
		t.Errorf("Retry-After %q", a.header.Get("Retry-After"))
	}
	r.get("", "/healthz").expect(t, 200)
	close(leave)
	(<-first).expect(t, 401)
}

// Behind a trusted proxy, somebody who tries tokens is not everybody who comes by it.
func TestStrangersBehindAProxyAreToldApart(t *testing.T) {
	r := newRig(t, options{noShop: true, api: func(c *Config) { c.TrustedProxies = []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")} }})
	for path, door := range map[string]http.Handler{"/api/v1/clusters": r.api, "/k8s/nothing": r.api.Kube()} {
		ask := func(token, from string) int {
			req := httptest.NewRequestWithContext(t.Context(), http.MethodGet, path, nil)
			req.RemoteAddr = "10.1.2.3:1234"
			req.Header.Set("Authorization", "Bearer "+token)
			req.Header.Set("X-Forwarded-For", from)
			w := httptest.NewRecorder()
			door.ServeHTTP(w, req)
			return w.Code
		}
		throttled := false
		for range 200 {
			throttled = throttled || ask("kbt1.wrong", "198.51.100."+strconv.Itoa(len(path))) == 429
		}
		if !throttled {
			t.Errorf("%s: 200 wrong tokens from one address were looked at", path)
		}
		if status := ask(r.token("newcomer"+strconv.Itoa(len(path)), "list * *"), "203.0.113.9"); status == 429 {
			t.Errorf("%s: another client pays for it", path)
		}
	}
}

func TestAPanicIsAnAnswer(t *testing.T) {
	bug := door(func(*http.Request) (fleet.Principal, error) { panic("the secret is hunter2") })
	r := newRig(t, options{noShop: true, api: func(c *Config) { c.Authenticator = bug }})
	if a := r.get("x", "/api/v1/clusters"); a.status != 500 || strings.Contains(a.text, "hunter2") || a.json["requestId"] == nil {
		t.Errorf("%d %s", a.status, a.text)
	}
}

// hung is a database that doesn't answer.
type hung struct{ store.Store }

func (h hung) ReadAt(ctx context.Context, _ fleet.TenantID, _ store.When, _ func(context.Context, store.Snapshot) error) error {
	<-ctx.Done()
	return ctx.Err()
}

func TestRequestsEnd(t *testing.T) {
	r := newRig(t, options{noShop: true, api: func(c *Config) {
		c.Query, c.RequestTimeout = query.New(hung{}), 100*time.Millisecond
	}})
	began := time.Now()
	r.get(r.admin, "/api/v1/clusters").expect(t, 503, "UNAVAILABLE")
	if took := time.Since(began); took > 5*time.Second {
		t.Errorf("took %v", took)
	}
}

// slow is a database that answers when it is told to.
type slow struct {
	store.Store
	entered, leave chan struct{}
}

func (s slow) ReadAt(ctx context.Context, t fleet.TenantID, w store.When, f func(context.Context, store.Snapshot) error) error {
	s.entered <- struct{}{}
	<-s.leave
	return s.Store.ReadAt(ctx, t, w, f)
}

func TestOneUserLeavesRoomForTheOthers(t *testing.T) {
	var db slow
	r := newRig(t, options{noShop: true, api: func(c *Config) {
		db = slow{c.Store.(store.Store), make(chan struct{}), make(chan struct{})}
		c.Query, c.RequestsEach = query.New(db), 1
	}})
	other := r.token("other", "list,get * *")
	answers := make(chan reply, 2)
	go func() { answers <- r.get(r.admin, "/api/v1/clusters") }()
	<-db.entered
	a := r.get(r.token("bootstrap-admin", "* * *"), "/api/v1/clusters") // another token of the name
	if a.expect(t, 429, "1 requests under way"); a.header.Get("Retry-After") != "1" || a.header.Get("RateLimit") != `"user";r=0` ||
		a.header.Get("RateLimit-Policy") != `"user";q=1;qu="concurrent-requests"` {
		t.Errorf("refused with %v", a.header)
	}
	go func() { answers <- r.get(other, "/api/v1/clusters") }()
	<-db.entered
	close(db.leave)
	(<-answers).expect(t, 200)
	(<-answers).expect(t, 200)
	go func() { <-db.entered }()
	r.get(r.admin, "/api/v1/clusters").expect(t, 200)
}

func TestEditDistance(t *testing.T) {
	known := map[string]bool{"namespace": true, "labelSelector": true, "limit": true}
	for name, want := range map[string]string{"namespaces": `"namespace"`, "labelselector": `"labelSelector"`, "lmit": `"limit"`, "selector": `"labelSelector"`, "colour": ""} {
		got := unknownName("parameter", name, known)
		if !strings.HasSuffix(got, want) || (want == "") == strings.Contains(got, "nearest") {
			t.Errorf("%s: %s", name, got)
		}
	}
}
