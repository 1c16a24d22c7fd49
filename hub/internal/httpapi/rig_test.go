package httpapi

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"
	"go.uber.org/zap"

	"github.com/kubilitics/kubilitics/hub/internal/audit"
	"github.com/kubilitics/kubilitics/hub/internal/auth"
	"github.com/kubilitics/kubilitics/hub/internal/enroll"
	"github.com/kubilitics/kubilitics/hub/internal/fleet"
	"github.com/kubilitics/kubilitics/hub/internal/live"
	"github.com/kubilitics/kubilitics/hub/internal/notify"
	"github.com/kubilitics/kubilitics/hub/internal/plugin"
	"github.com/kubilitics/kubilitics/hub/internal/query"
	"github.com/kubilitics/kubilitics/hub/internal/query/querytest"
	"github.com/kubilitics/kubilitics/hub/internal/store"
	"github.com/kubilitics/kubilitics/hub/internal/store/sqlite"
	"github.com/kubilitics/kubilitics/hub/internal/turn"
	"github.com/kubilitics/kubilitics/shared/fault"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// rig is the whole interface over a real store and real authentication, served on loopback.
type rig struct {
	t      *testing.T
	store  store.Store
	tenant fleet.TenantID
	tokens *auth.Tokens
	live   *live.Live
	audit  *audit.Log
	api    *API
	url    string
	admin  string // a token that may do everything
	agents *agents
	shop   *querytest.Cluster
}

type options struct {
	api    func(*Config)
	live   func(*live.Config)
	server func(*http.Server)
	noShop bool

	plugins []plugin.Spec // known, and not run
	targets []notify.Target
	rules   []notify.Rule
}

func newRig(t *testing.T, o options) *rig {
	t.Helper()
	st := openStore(t)
	tenant, err := st.EnsureTenant(t.Context(), "default")
	if err != nil {
		t.Fatal(err)
	}
	r := &rig{t: t, store: st, tenant: tenant.ID, tokens: auth.New(st, auth.Config{}, zap.NewNop()), agents: &agents{}}
	if r.admin, err = r.tokens.Bootstrap(t.Context(), tenant.ID); err != nil {
		t.Fatal(err)
	}
	if !o.noShop {
		r.shop = querytest.New(t, st, tenant.ID, "shop").Load(querytest.Shop())
	}
	lc := live.Config{Store: st, Recheck: r.tokens.Recheck, Poll: 200 * time.Millisecond, Check: 50 * time.Millisecond}
	if o.live != nil {
		o.live(&lc)
	}
	r.live = live.New(lc)
	cfg := Config{
		Version: "v0-test", Home: r.tenant, Authenticator: r.tokens, Enroller: invites{st}, Pin: "sha256:pin", Tokens: r.tokens, Tunnels: r.agents, Store: st,
		Query: query.New(st), Live: r.live, Install: func(i enroll.Invitation) string { return "helm install --set token=" + i.Token },
	}
	r.audit = audit.New(audit.Config{Store: st})
	cfg.Audit = r.audit
	turns := turn.New(turn.Config{Store: st})
	cfg.Plugins = plugin.New(plugin.Config{Plugins: o.plugins, Store: st, Turns: turns})
	cfg.Notify = notify.New(notify.Config{Targets: o.targets, Rules: o.rules, Store: st, Turns: turns})
	if o.api != nil {
		o.api(&cfg)
	}
	r.api = New(cfg)
	r.serve(o.server)
	return r
}

func (r *rig) serve(tune func(*http.Server)) {
	ctx, cancel := context.WithCancel(context.WithoutCancel(r.t.Context()))
	done := make(chan error, 2)
	go func() { done <- r.live.Run(ctx) }()
	go func() { done <- r.audit.Run(ctx) }()
	srv := httptest.NewUnstartedServer(r.api)
	if tune != nil {
		tune(srv.Config)
	}
	srv.Start()
	r.url = srv.URL
	r.t.Cleanup(func() {
		r.api.Close()
		srv.Close()
		cancel()
		<-done
		<-done
		http.DefaultClient.CloseIdleConnections()
	})
}

// invites mints clusters without the hub's authority.
type invites struct{ store store.Store }

func (i invites) Mint(ctx context.Context, by fleet.Principal, name string, labels map[string]string) (enroll.Invitation, error) {
	if err := enroll.CheckCluster(name, labels); err != nil {
		return enroll.Invitation{}, err
	}
	c := fleet.Cluster{Tenant: by.Tenant, ID: fleet.NewClusterID(), Name: name, Labels: labels, Created: time.Now()}
	return enroll.Invitation{Cluster: c, Token: "secret-of-" + c.ID.String(), Expires: time.Now().Add(time.Hour)}, i.store.CreateCluster(ctx, c)
}

func (i invites) Invite(ctx context.Context, by fleet.Principal, id fleet.ClusterID) (enroll.Invitation, error) {
	c, err := i.store.Cluster(ctx, store.Scope{Tenant: by.Tenant, Cluster: id})
	return enroll.Invitation{Cluster: c, Token: "again", Expires: time.Now().Add(time.Hour)}, err
}

// agents are the live tunnels: none, unless a test says so.
type agents struct {
	mu   sync.Mutex
	here map[fleet.ClusterID]Pong
	cut  []fleet.ClusterID
}

func (a *agents) Ping(_ context.Context, at store.Scope) (Pong, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if p, ok := a.here[at.Cluster]; ok {
		return p, nil
	}
	return Pong{}, fault.New(fault.Unavailable, "no session is live")
}

func (a *agents) Cut(at store.Scope, _ error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.cut = append(a.cut, at.Cluster)
}

// token issues one with these bindings, "verbs clusters namespaces" each with commas.
func (r *rig) token(name string, bindings ...string) string {
	r.t.Helper()
	want := auth.NewToken{Name: name}
	for _, b := range bindings {
		p := strings.Fields(b)
		want.Bindings = append(want.Bindings, fleet.Binding{Verbs: strings.Split(p[0], ","), Clusters: strings.Split(p[1], ","), Namespaces: strings.Split(p[2], ",")})
	}
	_, text, err := r.tokens.Issue(r.t.Context(), r.boss(), want)
	if err != nil {
		r.t.Fatal(err)
	}
	return text
}

func (r *rig) boss() fleet.Principal {
	r.t.Helper()
	req := httptest.NewRequestWithContext(r.t.Context(), http.MethodGet, "/", nil)
	req.Header.Set("Authorization", "Bearer "+r.admin)
	p, err := r.tokens.Authenticate(req)
	if err != nil {
		r.t.Fatal(err)
	}
	return p
}

// reply is an answer, read to its end.
type reply struct {
	status int
	header http.Header
	text   string
	json   map[string]any
}

// do sends a request; path may hold {shop} for the cluster's id. header are pairs.
func (r *rig) do(token, method, path, body string, header ...string) reply {
	r.t.Helper()
	req, err := http.NewRequestWithContext(r.t.Context(), method, r.url+r.expand(path), bytes.NewBufferString(body))
	if err != nil {
		r.t.Fatal(err)
	}
	if token != "" {
		req.Header.Set("Authorization", "Bearer "+token)
	}
	if body != "" {
		req.Header.Set("Content-Type", "application/json")
	}
	for i := 0; i+1 < len(header); i += 2 {
		req.Header.Set(header[i], header[i+1])
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		r.t.Fatal(err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		r.t.Fatal(err)
	}
	out := reply{status: resp.StatusCode, header: resp.Header, text: string(text)}
	_ = json.Unmarshal(text, &out.json) // not every answer is JSON
	return out
}

func (r *rig) expand(s string) string {
	if r.shop == nil {
		return s
	}
	return strings.ReplaceAll(s, "{shop}", r.shop.ID.String())
}

func (r *rig) get(token, path string) reply {
	r.t.Helper()
	return r.do(token, http.MethodGet, path, "")
}

// names gives what a list or graph holds, as "Kind/name", in its order; those marked outside end with "!".
func (p reply) names(list string) string {
	var out []string
	items, _ := p.json[list].([]any)
	for _, i := range items {
		m := i.(map[string]any)
		if list == "edges" {
			out = append(out, m["source"].(map[string]any)["name"].(string)+"->"+m["target"].(map[string]any)["name"].(string))
			continue
		}
		name := m["kind"].(string) + "/" + m["name"].(string)
		if m["outside"] == true {
			name += "!"
		}
		out = append(out, name)
	}
	return strings.Join(out, " ")
}

// expect reports an answer of another status, or without one of the parts in its text.
func (p reply) expect(t *testing.T, status int, parts ...string) {
	t.Helper()
	if p.status != status {
		t.Errorf("status %d, want %d: %s", p.status, status, p.text)
	}
	for _, part := range parts {
		if !strings.Contains(p.text, part) {
			t.Errorf("%q isn't in %s", part, p.text)
		}
	}
}

func openStore(t testing.TB) store.Store {
	t.Helper()
	st, err := sqlite.Open(t.Context(), sqlite.Config{Path: filepath.Join(t.TempDir(), "hub.db"), Migrate: true})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := st.Close(); err != nil {
			t.Error(err)
		}
	})
	return st
}
