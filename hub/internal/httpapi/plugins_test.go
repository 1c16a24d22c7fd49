package httpapi

import (
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/kubilitics/kubilitics/hub/internal/notify"
	"github.com/kubilitics/kubilitics/hub/internal/plugin"
	"github.com/kubilitics/kubilitics/hub/internal/query/querytest"
	"github.com/kubilitics/kubilitics/hub/internal/store"
	"github.com/kubilitics/kubilitics/shared/topo"
)

// receiver is a webhook's other end, which accepts when it is told to.
type receiver struct {
	*httptest.Server
	well  atomic.Bool
	heard chan string
}

func newReceiver(t *testing.T) *receiver {
	r := &receiver{heard: make(chan string, 10)}
	r.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		body, _ := io.ReadAll(req.Body)
		if !r.well.Load() {
			w.WriteHeader(http.StatusNotFound)
			return
		}
		r.heard <- string(body)
	}))
	t.Cleanup(r.Close)
	return r
}

func notifying(t *testing.T) (*rig, *receiver) {
	to := newReceiver(t)
	return newRig(t, options{
		plugins: []plugin.Spec{
			{Name: "costs", As: "enricher", Path: "/opt/costs", Env: []string{"API_KEY=the-secret"}, Tenants: []string{"*"}},
			{Name: "theirs", As: "enricher", Path: "/opt/theirs", Tenants: []string{"foreign"}},
		},
		targets: []notify.Target{
			{Name: "ops", As: "webhook", URL: to.URL + "/the-secret", Secret: "the-secret"}, {Name: "others", As: "webhook", URL: to.URL},
		},
		rules: []notify.Rule{
			{Name: "errors", To: []string{"ops"}, Tenants: []string{"default"}}, {Name: "missing", To: []string{"ops"}, Tenants: []string{"*"}},
			{Name: "theirs", To: []string{"others"}, Tenants: []string{"foreign"}},
		},
	}), to
}

func TestPluginsAndTargets(t *testing.T) {
	r, to := notifying(t)
	plugins := r.get(r.admin, "/api/v1/plugins")
	plugins.expect(t, 200, `"name":"costs"`, `"as":"enricher"`, `"state":"stopped"`, `"path":"/opt/costs"`)
	status := r.get(r.admin, "/api/v1/notify")
	status.expect(t, 200, `"rules":[{"rule":"errors","target":"ops","behind":0},{"rule":"missing","target":"ops","behind":0}]`, `"targets":[{"name":"ops","as":"webhook"}]`)
	failed := r.do(r.admin, "POST", "/api/v1/notify/targets/ops/try", "")
	failed.expect(t, 503, "UNAVAILABLE", "the target answers 404")
	for _, a := range []reply{plugins, status, failed} {
		if strings.Contains(a.text, "the-secret") || strings.Contains(a.text, "theirs") || strings.Contains(a.text, to.URL) {
			t.Errorf("this tells too much: %s", a.text)
		}
	}
	to.well.Store(true)
	r.do(r.admin, "POST", "/api/v1/notify/targets/ops/try", "").expect(t, 204)
	if got := <-to.heard; !strings.Contains(got, `"rule":"try"`) {
		t.Errorf("the target heard %s", got)
	}
	for _, name := range []string{"others", "nobody"} { // others are told of another tenant
		r.do(r.admin, "POST", "/api/v1/notify/targets/"+name+"/try", "").expect(t, 404)
	}
}

// letter puts a notification on a tenant's list.
func (r *rig) letter(tenant string, created time.Time) string {
	r.t.Helper()
	of, err := r.store.EnsureTenant(r.t.Context(), tenant)
	if err != nil {
		r.t.Fatal(err)
	}
	id := uuid.Must(uuid.NewV7()).String()
	err = r.store.PutDeadLetter(r.t.Context(), store.DeadLetter{
		Tenant: of.ID, ID: id, Notifier: "ops", Rule: "errors", Key: "k-" + id, Created: created, Tried: created, Attempts: 8, Reason: "the target answers 500",
		Body: []byte(`{"key":"k-` + id + `","tenant":"` + tenant + `","rule":"errors","changes":[{"kind":"Pod","name":"web-a"}]}`),
	})
	if err != nil {
		r.t.Fatal(err)
	}
	return id
}

func TestDeadLetters(t *testing.T) {
	r, to := notifying(t)
	const list = "/api/v1/notify/dead-letters"
	r.get(r.admin, list).expect(t, 200, `{"items":[]}`)
	now := time.Now()
	first, second, third := r.letter("default", now), r.letter("default", now), r.letter("default", now)
	theirs := r.letter("foreign", now)

	page := r.get(r.admin, list+"?limit=2")
	page.expect(t, 200, third, second, `"attempts":8`, `"reason":"the target answers 500"`, `"target":"ops"`)
	rest := r.get(r.admin, list+"?limit=2&continue="+page.json["continue"].(string))
	rest.expect(t, 200, first)
	if strings.Index(page.text, third) > strings.Index(page.text, second) || rest.json["continue"] != nil || strings.Contains(rest.text+page.text, theirs) {
		t.Errorf("the pages are %s and %s", page.text, rest.text)
	}
	r.get(r.admin, list+"?continue=x").expect(t, 400, `"name":"continue"`)
	r.get(r.admin, list+"/"+first).expect(t, 200, `"notification":{"key":"k-`+first, `"name":"web-a"`)
	for _, id := range []string{theirs, "x", uuid.NewString()} {
		for method, path := range map[string]string{"GET": "", "DELETE": "", "POST": "/retry"} {
			r.do(r.admin, method, list+"/"+id+path, "").expect(t, 404, "NOT_FOUND")
		}
	}

	r.do(r.admin, "POST", list+"/"+first+"/retry", "").expect(t, 503, "UNAVAILABLE")
	r.get(r.admin, list+"/"+first).expect(t, 200, `"attempts":9`, `"reason":"the target answers 404"`)
	to.well.Store(true)
	r.do(r.admin, "POST", list+"/"+first+"/retry", "").expect(t, 204)
	if got := <-to.heard; !strings.Contains(got, `"key":"k-`+first) {
		t.Errorf("the target heard %s", got)
	}
	r.do(r.admin, "DELETE", list+"/"+second, "").expect(t, 204)
	left := r.get(r.admin, list)
	left.expect(t, 200, third)
	if strings.Contains(left.text, first) || strings.Contains(left.text, second) {
		t.Errorf("what is left is %s", left.text)
	}
}

// Rules, plugins and what could not be delivered are for the whole tenant's administrators.
func TestPluginsAreForAdministrators(t *testing.T) {
	r, _ := notifying(t)
	id := r.letter("default", time.Now())
	reader := r.token("reader", "get,list,watch,create,delete * *")
	local := r.token("local", "* "+r.shop.ID.String()+" *")
	for _, token := range []string{reader, local} {
		for _, call := range []string{
			"GET /api/v1/plugins", "GET /api/v1/notify", "POST /api/v1/notify/targets/ops/try", "GET /api/v1/notify/dead-letters",
			"GET /api/v1/notify/dead-letters/" + id, "DELETE /api/v1/notify/dead-letters/" + id, "POST /api/v1/notify/dead-letters/" + id + "/retry",
		} {
			method, path, _ := strings.Cut(call, " ")
			r.do(token, method, path, "").expect(t, 403, "FORBIDDEN")
		}
	}
}

// What plugins add changes without the position: no tag may say that it hasn't.
func TestWhatPluginsAdd(t *testing.T) {
	r := newRig(t, options{})
	lease := store.Lease{Follower: store.Follower{Tenant: r.tenant, Name: store.EnricherPrefix + "costs"}, Holder: "me"}
	if _, held, err := r.store.Hold(t.Context(), lease, time.Minute); err != nil || !held {
		t.Fatal(held, err)
	}
	web := querytest.Ref("Pod shop/web-a")
	const added, findings = "/api/v1/clusters/{shop}/resources/-/-/pods/shop/web-a/added", "/api/v1/topology/findings?finding=plugin"
	r.get(r.admin, added).expect(t, 200, `"plugins":[]`)
	before := r.get(r.admin, findings)
	before.expect(t, 200, `"items":[]`)
	err := r.store.Enrich(t.Context(), lease, r.shop.ID, "costs", []store.Addition{{
		Ref: web, UID: "uid-Pod shop/web-a", Attrs: []topo.Pair{{Key: "center", Value: "42"}},
		Edges:    []store.AddedEdge{{Source: web.ID(), Target: querytest.Ref("ConfigMap shop/web").ID(), Type: topo.References, Reason: "billing"}},
		Findings: []store.Finding{{Code: "dear", Severity: store.Warning, Sentence: "web-a is dear", Confidence: 1}},
	}})
	if err != nil {
		t.Fatal(err)
	}
	r.get(r.admin, added).expect(t, 200, `"plugin":"costs"`, `"center":"42"`, `"type":"references"`, "web-a is dear")
	r.do(r.admin, "GET", findings, "", "If-None-Match", before.header.Get("ETag")).expect(t, 200, "web-a is dear", `"plugin":"costs"`)
	bank := r.token("bank", "get,list "+r.shop.ID.String()+" bank")
	r.get(bank, added).expect(t, 404)
	r.get(bank, findings).expect(t, 200, `"items":[]`)
}
