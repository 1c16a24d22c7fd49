package httpapi

import (
	"bufio"
	"context"
	"encoding/base64"
	"encoding/json"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/kubilitics/kubilitics/hub/internal/audit"
	"github.com/kubilitics/kubilitics/hub/internal/fleet"
	"github.com/kubilitics/kubilitics/hub/internal/kubefleet"
	"github.com/kubilitics/kubilitics/hub/internal/kubeproxy"
	"github.com/kubilitics/kubilitics/hub/internal/query"
	"github.com/kubilitics/kubilitics/hub/internal/store"
	"github.com/kubilitics/kubilitics/shared/fault"
	"github.com/kubilitics/kubilitics/shared/tunnel"
	"github.com/kubilitics/kubilitics/shared/tunnel/tunneltest"
)

// kubeRig serves what stands below /k8s/; the cluster "shop" echoes what it is sent, through a real tunnel.
type kubeRig struct {
	*rig
	session *tunnel.Session
	kube    string
}

// OpenStream is the gateway's.
func (k *kubeRig) OpenStream(ctx context.Context, at store.Scope) (*tunnel.Stream, error) {
	if at.Cluster != k.shop.ID {
		return nil, fault.New(fault.Unavailable, "no session is live")
	}
	return k.session.OpenStream(ctx, tunnel.HTTP)
}

func newKubeRig(t *testing.T, o options) *kubeRig {
	k := &kubeRig{}
	also := o.api
	o.api = func(c *Config) {
		k.session = echoTunnel(t)
		c.Audit = audit.New(audit.Config{Store: c.Store.(store.Audit)})
		c.Kube = kubeproxy.New(kubeproxy.Config{Tunnels: k, Clusters: c.Store, Audit: c.Audit})
		c.Fleet = kubefleet.New(kubefleet.Config{Query: c.Query, Live: c.Live})
		if also != nil {
			also(c)
		}
	}
	k.rig = newRig(t, o)
	ctx, cancel := context.WithCancel(context.WithoutCancel(t.Context()))
	recorded := make(chan error, 1)
	go func() { recorded <- k.api.cfg.Audit.Run(ctx) }()
	srv := httptest.NewServer(k.api.Kube())
	k.kube = srv.URL
	t.Cleanup(func() {
		http.DefaultClient.CloseIdleConnections()
		srv.Close()
		now, end := context.WithCancel(ctx)
		end()
		k.api.cfg.Kube.Close(now)
		cancel()
		<-recorded
	})
	return k
}

// echoTunnel is a tunnel to an agent's door that answers with what it is sent.
func echoTunnel(t *testing.T) *tunnel.Session {
	ca, pipe, door := tunneltest.NewCA(), tunnel.NewPipe(), tunnel.NewListener("door")
	hub, sessions := ca.Hub(), make(chan *tunnel.Session, 1)
	server := tunnel.NewServer(tunnel.ServerConfig{Credentials: func() tunnel.Credentials { return hub }, OnSession: func(s *tunnel.Session) { sessions <- s }})
	served := make(chan error, 2)
	go func() { served <- server.Serve(context.WithoutCancel(t.Context()), pipe) }()
	agent, err := tunnel.Dial(t.Context(), tunnel.DialConfig{
		Endpoint: tunnel.Endpoint{Dial: pipe.Dial, ServerName: tunneltest.HubName}, Credentials: ca.Agent("spiffe://test/c", time.Hour),
		Streams: map[tunnel.Kind]*tunnel.Listener{tunnel.HTTP: door},
	})
	if err != nil {
		t.Fatal(err)
	}
	echo := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_ = json.NewEncoder(w).Encode(map[string]any{"uri": r.RequestURI, "header": r.Header})
	})}
	go func() { served <- echo.Serve(door) }()
	t.Cleanup(func() {
		agent.Close(nil)
		_ = pipe.Close()
		server.Close()
		_ = echo.Close()
		<-served
		<-served
		_ = agent.Wait(context.WithoutCancel(t.Context()))
	})
	return <-sessions
}

// ask sends a path as it stands.
func (k *kubeRig) ask(method, path string, header ...string) (*http.Response, string) {
	k.t.Helper()
	conn, err := net.Dial("tcp", strings.TrimPrefix(k.kube, "http://"))
	if err != nil {
		k.t.Fatal(err)
	}
	defer conn.Close()
	_ = conn.SetDeadline(time.Now().Add(10 * time.Second))
	_, _ = io.WriteString(conn, method+" "+k.expand(path)+" HTTP/1.1\r\nHost: hub\r\nConnection: close\r\n"+strings.Join(append(header, ""), "\r\n")+"\r\n")
	resp, err := http.ReadResponse(bufio.NewReader(conn), &http.Request{Method: method})
	if err != nil {
		k.t.Fatal(err)
	}
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		k.t.Fatal(err)
	}
	return resp, string(text)
}

func TestPathsOfKubernetes(t *testing.T) {
	k := newKubeRig(t, options{})
	here, admin := "/k8s/clusters/{shop}", "Authorization: Bearer "+k.admin
	for path, want := range map[string]string{
		here + "/api/v1/namespaces/a/pods?limit=5&x=%2F": "200 /api/v1/namespaces/a/pods?limit=5&x=%2F",
		here + "/api/v1/namespaces/a/pods/x%3Ay":         "200 /api/v1/namespaces/a/pods/x%3Ay",
		here + "/version/":                               "200 /version/",
		here:                                             "200 /",
		here + "/":                                       "200 /",
		"http://elsewhere" + here + "/version":           "200 /version",

		here + "/api/v1//pods":                                      "400",
		here + "/../" + "c0000000000000/api":                        "400",
		here + "/%2e%2e/x":                                          "400",
		"/k8s/%63lusters/{shop}/version":                            "400",
		"/k8s/clusters%2F{shop}/version":                            "400",
		"/%6b8s/clusters/{shop}/version":                            "400",
		"/k8s/clusters/{shop}%2Fapi":                                "400",
		"/k8s//clusters/{shop}/version":                             "404",
		"/k8s/clusters//version":                                    "404",
		"/k8s/clusters/../clusters/{shop}/version":                  "404",
		"/k8s/clusters/nonsense/version":                            "404",
		"/k8s/clusters/" + fleet.ClusterID(5).String() + "/version": "404",
		"/k8s/fleets/api":                                           "404",
		"/k8s/":                                                     "404",
		"/k8s/fl%65et/api/v1/pods":                                  "400",
	} {
		resp, text := k.ask("GET", path, admin)
		code, uri, _ := strings.Cut(want, " ")
		if resp.Status[:3] != code {
			t.Errorf("%s: %s %s", path, resp.Status, text)
			continue
		}
		var got struct{ Kind, URI string }
		if err := json.Unmarshal([]byte(text), &got); err != nil || got.URI != uri || uri == "" && got.Kind != "Status" {
			t.Errorf("%s: %s", path, text)
		}
		if resp.Header.Get("X-Frame-Options") != "" || resp.Header.Get("Location") != "" || resp.Header.Get(requestIDHeader) == "" {
			t.Errorf("%s: %v", path, resp.Header)
		}
	}
}

func TestWhoAsksOfKubernetes(t *testing.T) {
	k := newKubeRig(t, options{})
	const path = "/k8s/clusters/{shop}/api/v1/namespaces/a/pods"
	protocol := "Sec-WebSocket-Protocol: " + kubeBearer + base64.RawURLEncoding.EncodeToString([]byte(k.admin)) + ", v5.channel.k8s.io"
	for _, header := range []string{"X-A: b", "Authorization: Bearer nonsense", "Authorization: Basic " + k.admin} {
		resp, text := k.ask("GET", path, header)
		if resp.StatusCode != 401 || resp.Header.Get("WWW-Authenticate") != "Bearer" || !strings.Contains(text, `"reason":"Unauthorized"`) {
			t.Errorf("%s: %d %s", header, resp.StatusCode, text)
		}
	}
	for _, header := range []string{"Authorization: Bearer " + k.admin, "authorization: bearer " + k.admin, protocol} {
		resp, text := k.ask("GET", path, header, "X-Request-Id: mine-1", "User-Agent: me")
		if resp.StatusCode != 200 || strings.Contains(text, base64.RawURLEncoding.EncodeToString([]byte(k.admin))) || strings.Contains(text, k.admin) {
			t.Errorf("%s: %d %s", header, resp.StatusCode, text)
		}
		if !strings.Contains(text, `"Kubilitics-Request":["mine-1"]`) || resp.Header.Get(requestIDHeader) != "mine-1" {
			t.Errorf("the request's id is lost: %s %v", text, resp.Header)
		}
		if header == protocol && !strings.Contains(text, `"Sec-Websocket-Protocol":["v5.channel.k8s.io"]`) {
			t.Errorf("the other protocol is lost: %s", text)
		}
	}
	for header, warned := range map[string]bool{"Impersonate-User: bob": true, "impersonate-group: x": true, "X-A: b": false} {
		resp, _ := k.ask("GET", path, "Authorization: Bearer "+k.admin, header)
		if strings.Contains(resp.Header.Get("Warning"), "impersonation") != warned {
			t.Errorf("%s: warned by %q", header, resp.Header.Get("Warning"))
		}
	}
	if resp, _ := k.ask("GET", "/k8s/clusters/{shop}/version", "Authorization: Bearer "+k.token("ann", "get "+fleet.ClusterID(5).String()+" *")); resp.StatusCode != 404 {
		t.Errorf("who has nothing there gets %d", resp.StatusCode)
	}
}

// What is asked of the fleet is on record too, and what is for nobody here.
func TestTheFleetIsOnRecordToo(t *testing.T) {
	for path, want := range map[string]store.AuditRecord{
		"/k8s/fleet/version":             {Via: "fleet", Verb: "get", Path: "/version", Status: 200, Outcome: store.AuditDone},
		"/k8s/fleet/api/v1//pods":        {Via: "fleet", Verb: "other", Path: "/api/v1//pods", Status: 400, Outcome: store.AuditFailed, Reason: "BadRequest"},
		"/k8s/fl%65et/api/v1/pods":       {Via: "kubernetes", Verb: "other", Path: "/k8s/fleet/api/v1/pods", Status: 400, Outcome: store.AuditFailed, Reason: "BadRequest"},
		"/k8s/clusters/nonsense/version": {Via: "kubernetes", Verb: "other", Path: "/k8s/clusters/nonsense/version", Status: 404, Outcome: store.AuditFailed, Reason: "NotFound"},
		"/k8s/":                          {Via: "kubernetes", Verb: "other", Path: "/k8s/", Status: 404, Outcome: store.AuditFailed, Reason: "NotFound"},
	} {
		k := newKubeRig(t, options{})
		if resp, text := k.ask("GET", path, "Authorization: Bearer "+k.admin); resp.StatusCode != want.Status {
			t.Fatalf("%s: %d %s", path, resp.StatusCode, text)
		}
		for end := time.Now().Add(10 * time.Second); ; time.Sleep(5 * time.Millisecond) {
			all, err := k.store.Audit(t.Context(), k.tenant, store.AuditFilter{}, "", 10)
			if err != nil {
				t.Fatal(err)
			}
			if len(all) == 1 && all[0].Outcome != store.AuditOpen {
				got := store.AuditRecord{Via: all[0].Via, Verb: all[0].Verb, Path: all[0].Path, Status: all[0].Status, Outcome: all[0].Outcome, Reason: all[0].Reason}
				if !reflect.DeepEqual(got, want) || all[0].Who != "bootstrap-admin" {
					t.Errorf("%s: %+v", path, all[0])
				}
				break
			}
			if time.Now().After(end) {
				t.Fatalf("%s: on record is %+v", path, all)
			}
		}
	}
}

// What is read of the fleet costs the same database as what is asked of the product's interface, and counts with it.
func TestOneUserLeavesRoomInTheFleetToo(t *testing.T) {
	var db slow
	k := newKubeRig(t, options{api: func(c *Config) {
		db = slow{c.Store.(store.Store), make(chan struct{}), make(chan struct{})}
		c.Query, c.RequestsEach = query.New(db), 1
		c.Fleet = kubefleet.New(kubefleet.Config{Query: c.Query, Live: c.Live})
	}})
	const path = "/k8s/fleet/clusters/shop/version"
	admin, other := "Authorization: Bearer "+k.admin, "Authorization: Bearer "+k.token("other", "list,get * *")
	answers := make(chan int, 2)
	ask := func(who string) {
		resp, _ := k.ask("GET", path, who)
		answers <- resp.StatusCode
	}
	go ask(admin)
	<-db.entered
	resp, text := k.ask("GET", path, admin)
	if resp.StatusCode != 429 || resp.Header.Get("Retry-After") != "1" || !strings.Contains(text, `"reason":"TooManyRequests"`) {
		t.Errorf("%d %v %s", resp.StatusCode, resp.Header, text)
	}
	k.get(k.admin, "/api/v1/clusters").expect(t, 429, "1 requests under way")
	go ask(other)
	<-db.entered
	close(db.leave)
	if a, b := <-answers, <-answers; a != 200 || b != 200 {
		t.Errorf("%d, %d", a, b)
	}
	go func() { <-db.entered }()
	if resp, text := k.ask("GET", path, admin); resp.StatusCode != 200 {
		t.Errorf("%d %s", resp.StatusCode, text)
	}
}

func TestOtherSitesAndKubernetes(t *testing.T) {
	const path = "/k8s/clusters/{shop}/version"
	for _, allowed := range []bool{false, true} {
		k := newKubeRig(t, options{api: func(c *Config) {
			if allowed {
				c.AllowedOrigins = []string{"https://portal.example"}
			}
		}})
		resp, _ := k.ask("OPTIONS", path, "Origin: https://portal.example", "Access-Control-Request-Method: GET", "Access-Control-Request-Headers: authorization")
		if got := resp.Header.Get("Access-Control-Allow-Origin") != ""; got != allowed {
			t.Errorf("allowed %v: %v", allowed, resp.Header)
		}
	}
}

type panicking struct{ Authenticator }

func (panicking) Authenticate(*http.Request) (fleet.Principal, error) { panic("a bug") }

func TestABugIsAStatus(t *testing.T) {
	k := newKubeRig(t, options{api: func(c *Config) { c.Authenticator = panicking{} }})
	resp, text := k.ask("GET", "/k8s/clusters/{shop}/version")
	if resp.StatusCode != 500 || !strings.Contains(text, `"kind":"Status"`) || strings.Contains(text, "a bug") {
		t.Errorf("%d %s", resp.StatusCode, text)
	}
}
