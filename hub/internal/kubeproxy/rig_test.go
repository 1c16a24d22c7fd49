package kubeproxy_test

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/kubilitics/kubilitics/hub/internal/audit"
	"github.com/kubilitics/kubilitics/hub/internal/fleet"
	"github.com/kubilitics/kubilitics/hub/internal/kubeproxy"
	"github.com/kubilitics/kubilitics/hub/internal/store"
	"github.com/kubilitics/kubilitics/shared/fault"
	"github.com/kubilitics/kubilitics/shared/obs"
	"github.com/kubilitics/kubilitics/shared/tunnel"
	"github.com/kubilitics/kubilitics/shared/tunnel/tunneltest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var tenant = fleet.TenantID(7)

// rig is a proxy on loopback, and clusters behind tunnels.
type rig struct {
	t      testing.TB
	proxy  *kubeproxy.Proxy
	audit  *records
	hub    *httptest.Server
	client *http.Client
	tracer *obs.Tracer // nil: no traces

	mu       sync.Mutex
	who      fleet.Principal
	clusters map[store.Scope]*cluster
	gone     atomic.Bool // nobody knows the clusters any more
	asked    atomic.Int64
}

// cluster is one behind a real tunnel, over a pipe; what stands for its agent serves the handler.
type cluster struct {
	rig     *rig
	at      store.Scope
	name    string
	server  *tunnel.Server
	pipe    tunnel.Pipe
	door    *tunnel.Listener
	session atomic.Pointer[tunnel.Session] // of the hub's side; nil while it is offline
	agent   *tunnel.Session
	handler atomic.Pointer[http.HandlerFunc]
	serve   *http.Server
}

func newRig(t testing.TB, change ...func(*kubeproxy.Config)) *rig {
	t.Helper()
	r := &rig{t: t, clusters: map[store.Scope]*cluster{}, audit: &records{}, who: everything("boss")}
	ctx, cancel := context.WithCancel(context.WithoutCancel(t.Context()))
	log := audit.New(audit.Config{Store: r.audit})
	var running sync.WaitGroup
	running.Go(func() { _ = log.Run(ctx) })
	cfg := kubeproxy.Config{Tunnels: r, Clusters: r, Audit: log, Check: 20 * time.Millisecond}
	for _, c := range change {
		c(&cfg)
	}
	r.proxy = kubeproxy.New(cfg)
	running.Go(func() { _ = r.proxy.Run(ctx) })
	r.hub = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		id, err := fleet.ParseClusterID(req.Header.Get("Cluster"))
		if err != nil {
			id = r.only().at.Cluster
		}
		req.Header.Del("Cluster")
		if ctx, span := r.tracer.Request(req, "GET", false); ctx != req.Context() {
			defer span.End(nil)
			req = req.WithContext(ctx)
		}
		r.proxy.Serve(w, req, r.caller(), id)
	}))
	r.client = &http.Client{Transport: &http.Transport{DisableCompression: true, MaxIdleConnsPerHost: 100}}
	t.Cleanup(func() {
		r.client.CloseIdleConnections()
		gone, now := context.WithCancel(ctx)
		now()
		r.proxy.Close(gone)
		r.hub.CloseClientConnections()
		r.hub.Close()
		for _, c := range r.clusters {
			c.stop()
		}
		cancel()
		running.Wait()
	})
	return r
}

func (r *rig) caller() kubeproxy.Caller {
	r.mu.Lock()
	defer r.mu.Unlock()
	return kubeproxy.Caller{Principal: r.who, From: "192.0.2.1", Agent: "kubectl/v1", Request: "req-1", Via: "kubernetes"}
}

func (r *rig) as(p fleet.Principal) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.who = p
}

func everything(name string) fleet.Principal {
	return who(name, fleet.Binding{Verbs: []string{"*"}, Clusters: []string{"*"}, Namespaces: []string{"*"}})
}

func who(name string, b ...fleet.Binding) fleet.Principal {
	return fleet.Principal{Tenant: tenant, Name: name, Groups: []string{"devs", "ops"}, Token: "token-of-" + name, Bindings: b}
}

// cluster connects one whose API server is the handler.
func (r *rig) cluster(name string, h http.HandlerFunc) *cluster {
	r.t.Helper()
	c := &cluster{rig: r, name: name, at: store.Scope{Tenant: tenant, Cluster: fleet.NewClusterID()}, door: tunnel.NewListener("door")}
	c.handler.Store(&h)
	r.mu.Lock()
	r.clusters[c.at] = c
	r.mu.Unlock()
	c.serve = &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) { (*c.handler.Load())(w, req) })}
	go func() { _ = c.serve.Serve(c.door) }()
	r.t.Cleanup(func() { _ = c.serve.Close() })
	c.connect()
	return c
}

func (c *cluster) connect() {
	t := c.rig.t
	t.Helper()
	ca := tunneltest.NewCA()
	hub := ca.Hub()
	sessions := make(chan *tunnel.Session, 1)
	c.pipe = tunnel.NewPipe()
	c.server = tunnel.NewServer(tunnel.ServerConfig{
		Credentials: func() tunnel.Credentials { return hub }, OnSession: func(s *tunnel.Session) { sessions <- s }, Settings: tunnel.Settings{MaxStreams: 5000},
	})
	go func() { _ = c.server.Serve(context.WithoutCancel(t.Context()), c.pipe) }()
	agent, err := tunnel.Dial(t.Context(), tunnel.DialConfig{
		Endpoint: tunnel.Endpoint{Dial: c.pipe.Dial, ServerName: tunneltest.HubName}, Credentials: ca.Agent("spiffe://test/c", time.Hour),
		Streams: map[tunnel.Kind]*tunnel.Listener{tunnel.HTTP: c.door}, Settings: tunnel.Settings{MaxStreams: 5000},
	})
	if err != nil {
		t.Fatal(err)
	}
	c.agent = agent
	c.session.Store(<-sessions)
}

// lose ends the tunnel, as a lost network does.
func (c *cluster) lose() {
	c.session.Swap(nil).Close(fault.New(fault.Unavailable, "the peer was silent for 12s"))
	c.stop()
}

func (c *cluster) stop() {
	c.agent.Close(nil)
	_ = c.pipe.Close()
	c.server.Close()
	_ = c.agent.Wait(context.Background())
}

func (r *rig) only() *cluster {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, c := range r.clusters {
		return c
	}
	return nil
}

// OpenStream is the gateway's.
func (r *rig) OpenStream(ctx context.Context, at store.Scope) (*tunnel.Stream, error) {
	r.mu.Lock()
	c := r.clusters[at]
	r.mu.Unlock()
	if c == nil || c.session.Load() == nil {
		return nil, fault.New(fault.Unavailable, "no session is live")
	}
	return c.session.Load().OpenStream(ctx, tunnel.HTTP)
}

// Cluster is the store's.
func (r *rig) Cluster(_ context.Context, at store.Scope) (fleet.Cluster, error) {
	r.asked.Add(1)
	r.mu.Lock()
	defer r.mu.Unlock()
	c := r.clusters[at]
	if c == nil || r.gone.Load() {
		return fleet.Cluster{}, fault.New(fault.NotFound, "no such cluster")
	}
	return fleet.Cluster{Tenant: at.Tenant, ID: at.Cluster, Name: c.name, Freshness: fleet.Freshness{LastHeard: time.Date(2026, 5, 4, 3, 2, 1, 0, time.UTC)}}, nil
}

// send does a request through the hub; header are pairs.
func (r *rig) send(ctx context.Context, method, path string, body io.Reader, header ...string) (*http.Response, error) {
	req, err := http.NewRequestWithContext(ctx, method, r.hub.URL+path, body)
	if err != nil {
		r.t.Fatal(err)
	}
	for i := 0; i+1 < len(header); i += 2 {
		req.Header.Set(header[i], header[i+1])
	}
	return r.client.Do(req)
}

// stop ends all that lasts, as a hub does that waits no more.
func (r *rig) stop() {
	ctx, cancel := context.WithCancel(r.t.Context())
	cancel()
	r.proxy.Close(ctx)
}

// get gives a status and the whole body.
func (r *rig) do(method, path string, body io.Reader, header ...string) (int, string) {
	r.t.Helper()
	resp, err := r.send(r.t.Context(), method, path, body, header...)
	if err != nil {
		r.t.Fatal(err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		r.t.Fatalf("%s %s: %v after %q", method, path, err, text)
	}
	return resp.StatusCode, string(text)
}

func statusOf(t testing.TB, text string) metav1.Status {
	t.Helper()
	var s metav1.Status
	if err := json.Unmarshal([]byte(text), &s); err != nil || s.Kind != "Status" {
		t.Fatalf("%q is no Status (%v)", text, err)
	}
	return s
}

func eventually(t testing.TB, what string, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(10 * time.Second); !ok(); time.Sleep(2 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("not within 10 s: %s", what)
		}
	}
}

// records is where the log of requests ends.
type records struct {
	mu    sync.Mutex
	order []string
	byID  map[string]store.AuditRecord
	fail  atomic.Bool
}

// PutAudit keeps them.
func (r *records) PutAudit(_ context.Context, records []store.AuditRecord) error {
	if r.fail.Load() {
		return errors.New("the disk is full")
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.byID == nil {
		r.byID = map[string]store.AuditRecord{}
	}
	for _, n := range records {
		before, known := r.byID[n.ID]
		if !known {
			r.order = append(r.order, n.ID)
			r.byID[n.ID] = n
			continue
		}
		before.Outcome, before.Status, before.Reason, before.Took = n.Outcome, n.Status, n.Reason, n.Took
		if before.Name == "" {
			before.Name = n.Name
		}
		r.byID[n.ID] = before
	}
	return nil
}

// The rest of a store has nothing to do.
func (r *records) Audit(context.Context, fleet.TenantID, store.AuditFilter, string, int) ([]store.AuditRecord, error) {
	return nil, nil
}
func (r *records) SeeHub(context.Context, string) error                          { return nil }
func (r *records) AbandonAudit(context.Context, time.Duration, int) (int, error) { return 0, nil }
func (r *records) DropAudit(context.Context, time.Time, int) (bool, error)       { return false, nil }

func (r *records) all() []store.AuditRecord {
	r.mu.Lock()
	defer r.mu.Unlock()
	out := make([]store.AuditRecord, 0, len(r.order))
	for _, id := range r.order {
		out = append(out, r.byID[id])
	}
	return out
}

var _ net.Conn = (*tunnel.Stream)(nil)
