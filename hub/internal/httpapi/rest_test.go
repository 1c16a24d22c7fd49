package httpapi

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/go-chi/chi/v5"

	"github.com/kubilitics/kubilitics/hub/internal/fleet"
	"github.com/kubilitics/kubilitics/hub/internal/live"
	"github.com/kubilitics/kubilitics/hub/internal/query/querytest"
	"github.com/kubilitics/kubilitics/hub/internal/store"
	"github.com/kubilitics/kubilitics/shared/topo"
)

func TestReading(t *testing.T) {
	r := newRig(t, options{})
	querytest.New(t, r.store, r.tenant, "newcomer")
	r.shop.Kinds(
		topo.KindReport{GroupKind: topo.GroupKind{Kind: "Pod"}, Version: "v1", Plural: "pods", Namespaced: true, Observed: true},
		topo.KindReport{GroupKind: topo.GroupKind{Kind: "Node"}, Version: "v1", Plural: "nodes", Observed: true},
		topo.KindReport{GroupKind: topo.GroupKind{Kind: "ConfigMap"}, Version: "v1", Plural: "configmaps", Namespaced: true, Observed: true},
		topo.KindReport{GroupKind: topo.GroupKind{Kind: "Service"}, Version: "v1", Plural: "services", Namespaced: true, Observed: true},
		topo.KindReport{GroupKind: topo.GroupKind{Group: "apps", Kind: "Deployment"}, Version: "v1", Plural: "deployments", Namespaced: true, Observed: true},
		topo.KindReport{GroupKind: topo.GroupKind{Kind: "Secret"}, Version: "v1", Plural: "secrets", Namespaced: true, Reason: "forbidden"},
	)
	for _, c := range []struct {
		path   string
		status int
		parts  []string
	}{
		{"/api/v1/clusters", 200, []string{`"name":"shop"`, `"name":"newcomer"`, `"state":"never"`, `"state":"live"`, `"position":`}},
		{"/api/v1/clusters/{shop}", 200, []string{`"version":"v1.37.2"`, `"provider":"kwok"`, `"share":"manifests"`, `"state":"live"`}},
		{"/api/v1/clusters/{shop}/info", 200, []string{`"resources":12`, `"edges":10`, `"worst":"error"`, `"synced":true`, `"agent":"v0.1.0"`, `{"group":"","kind":"Secret","version":"v1","reason":"forbidden"}`}},
		{"/api/v1/clusters/summary", 200, []string{`"resources":12`, `"versions":{"v1.37.2":1}`, `"fleet":{"live":1,"stale":0,"never":1}`, `"worst":"unknown"`}},
		{"/api/v1/clusters/{shop}/api-resources", 200, []string{`"plural":"deployments"`, `"reason":"forbidden"`, `"kind":"RoleBinding"`}},
		{"/api/v1/clusters/{shop}/resources/-/-/pods", 200, []string{`"total":{"count":3,"exact":true}`, `"presence":"present"`, `"created":"2023-11-14T22:13:20Z"`}},
		{"/api/v1/clusters/{shop}/resources/apps/v1/Deployment", 200, []string{`"group":"apps"`}},
		{"/api/v1/clusters/{shop}/resources/apps/v1beta1/deployments", 404, []string{"v1beta1"}},
		{"/api/v1/clusters/{shop}/resources/apps/-/pods", 404, []string{`no kind is known`}},
		{"/api/v1/clusters/{shop}/resources/-/-/PODS/shop/web-b", 200, []string{`"health":"error"`, `"source":{`, `"type":"mounts"`}},
		{"/api/v1/clusters/{shop}/resources/-/v1/nodes/-/n1", 200, []string{`"kind":"Node"`}},
		{"/api/v1/clusters/{shop}/resources/-/-/pods/shop/nobody", 404, []string{"there is no Pod shop/nobody"}},
		{"/api/v1/clusters/{shop}/resources/-/-/configmaps/shop/absent", 404, []string{"missing"}},
		{"/api/v1/clusters/{shop}/resources/-/-/configmaps/shop/web?manifest=true", 200, []string{`"manifest":{"kind":"ConfigMap"`, `"color":"blue"`}},
		{"/api/v1/clusters/{shop}/resources/-/-/pods/shop/web-a?manifest=true", 200, []string{`"manifestAbsent":"it hasn't been received"`}},
		{"/api/v1/events", 200, []string{`"reason":"Failed"`, `"count":7`, `"last":"2023-11-14T22:18:20Z"`}},
		{"/api/v1/clusters/{shop}/events?type=Warning", 200, []string{`"uid":"e1"`}},
		{"/api/v1/tokens", 200, []string{`"name":"bootstrap-admin"`, `"verbs":["*"]`}},
		{"/api/v1/clusters/{shop}/quarantine", 200, []string{`"items":[]`}},
		{"/metrics", 200, []string{"kubilitics_hub_http_request_seconds"}},
		{"/healthz", 200, []string{`"ok"`}}, {"/readyz", 200, []string{`"ready"`}}, {"/version", 200, []string{`"v0-test"`}},
	} {
		t.Run(c.path, func(t *testing.T) { r.get(r.admin, c.path).expect(t, c.status, c.parts...) })
	}
}

func TestSelecting(t *testing.T) {
	r := newRig(t, options{})
	for query, want := range map[string]string{
		"kind=Pod":                                      "Pod/vault Pod/web-a Pod/web-b",
		"kind=pods,svc":                                 "",
		"kind=pods&kind=services":                       "Pod/vault Pod/web-a Pod/web-b Service/web",
		"kind=deployment.apps":                          "Deployment/web",
		"kind=Widget.example.com":                       "",
		"namespace=shop&labelSelector=app%3Dweb":        "Pod/web-a Pod/web-b Service/web Deployment/web ReplicaSet/web-1",
		"labelSelector=app+in+(vault),tier!%3Dfront":    "Pod/vault",
		"labelSelector=tier":                            "Pod/web-a Pod/web-b",
		"kind=Pod&labelSelector=!tier":                  "Pod/vault",
		"fieldSelector=health%3Derror":                  "Pod/web-b",
		"kind=Pod&fieldSelector=metadata.name!%3Dweb-a": "Pod/vault Pod/web-b",
		"kind=ConfigMap":                                "ConfigMap/web",
		"name=web&kind=Service,ConfigMap":               "ConfigMap/web Service/web",
		"cluster={shop}&kind=Namespace":                 "Namespace/bank Namespace/shop",
	} {
		a := r.get(r.admin, "/api/v1/resources?"+query)
		if query == "kind=pods,svc" {
			a.expect(t, 400, `"name":"kind"`, "svc")
			continue
		}
		if got := a.names("items"); a.status != 200 || got != want {
			t.Errorf("%s: %d, got %q, want %q", query, a.status, got, want)
		}
	}
}

func TestPages(t *testing.T) {
	r := newRig(t, options{})
	querytest.New(t, r.store, r.tenant, "second").Load(querytest.Shop())
	for _, list := range []struct{ path, items string }{{"/api/v1/resources?", "items"}, {"/api/v1/topology?", "nodes"}} {
		whole := r.get(r.admin, list.path+"limit=1000").names(list.items)
		var pages []string
		token, position := "", 0.0
		for n := 0; n == 0 || token != ""; n++ {
			a := r.get(r.admin, list.path+"limit=5&continue="+token)
			a.expect(t, 200, `"freshness"`)
			token, _ = a.json["continue"].(string)
			if cut, ok := a.json["truncated"].(map[string]any); ok {
				token = cut["continue"].(string)
				if cut["total"].(map[string]any)["count"].(float64) != 26 || cut["hint"] == "" {
					t.Errorf("a cut answer says %v", cut)
				}
			}
			if position == 0 {
				position = a.json["position"].(float64)
				r.shop.Apply(topo.Delta{Nodes: []topo.Node{querytest.Node("Pod shop/web-a", fmt.Sprint("n=", n))}})
			}
			if a.json["position"] != position {
				t.Errorf("page %d: position %v, want that of the first page, %v", n, a.json["position"], position)
			}
			pages = append(pages, strings.Fields(a.names(list.items))...)
		}
		slices.Sort(pages)
		want := strings.Fields(whole)
		slices.Sort(want)
		if list.items == "nodes" { // ends of edges may come on several pages
			pages, want = slices.Compact(pages), slices.Compact(want)
		}
		if !slices.Equal(pages, want) {
			t.Errorf("%s: pages give %v, the whole is %v", list.path, pages, want)
		}
	}
	first := r.get(r.admin, "/api/v1/resources?limit=5").json["continue"].(string)
	for _, wrong := range []string{"kind=Pod&continue=" + first, "continue=" + first[:len(first)-2] + "zz", "continue=x", "continue=%00"} {
		r.get(r.admin, "/api/v1/resources?"+wrong).expect(t, 400, `"name":"continue"`)
	}
	r.get(r.admin, "/api/v1/topology?continue="+first).expect(t, 400, `"name":"continue"`)
}

func TestTopology(t *testing.T) {
	r := newRig(t, options{})
	around := "/api/v1/clusters/{shop}/topology?focus="
	web := querytest.Ref("Service shop/web").ID().String()
	for _, c := range []struct{ path, nodes, edges string }{
		{"/api/v1/clusters/{shop}/topology?namespace=bank", "Pod/vault ServiceAccount/robot Node/n1! RoleBinding/robots!", "robots->robot vault->n1"},
		{"/api/v1/clusters/{shop}/topology?namespace=shop&type=mounts", "ConfigMap/absent ConfigMap/web Pod/web-a Pod/web-b Service/web Deployment/web ReplicaSet/web-1 RoleBinding/robots", "web-a->web web-b->absent"},
		{"/api/v1/clusters/{shop}/topology?kind=Service", "Service/web Pod/web-a! Pod/web-b!", "web->web-a web->web-b"},
		{"/api/v1/clusters/{shop}/topology?selector=app%3Dvault", "Pod/vault Node/n1!", "vault->n1"},
		{around + "Service/shop/web", "Pod/web-a Pod/web-b Service/web", "web->web-a web->web-b"},
		{around + web + "&direction=in", "Service/web", ""},
		{around + "pod/shop/web-b&direction=in&depth=2", "Deployment/web Pod/web-b ReplicaSet/web-1 Service/web", "web->web-1 web->web-b web-1->web-b"},
		{around + "ConfigMap/shop/absent", "ConfigMap/absent Pod/web-b", "web-b->absent"},
		{around + "Node/n1&depth=1", "Node/n1 Pod/vault Pod/web-a", "vault->n1 web-a->n1"},
		{around + "Deployment.apps/shop/web&direction=out&type=owns&depth=9", "Deployment/web Pod/web-a Pod/web-b ReplicaSet/web-1", "web->web-1 web-1->web-a web-1->web-b"},
	} {
		t.Run(c.path, func(t *testing.T) {
			a := r.get(r.admin, c.path)
			a.expect(t, 200, `"position":`, `"freshness":{"`+r.shop.ID.String())
			if nodes := sorted(a.names("nodes")); nodes != sorted(c.nodes) {
				t.Errorf("nodes %s\nwant  %s", nodes, sorted(c.nodes))
			}
			if edges := sorted(a.names("edges")); edges != sorted(c.edges) {
				t.Errorf("edges %s\nwant  %s", edges, sorted(c.edges))
			}
		})
	}
	whole := r.get(r.admin, "/api/v1/clusters/{shop}/topology")
	if len(whole.json["nodes"].([]any)) != 13 || len(whole.json["edges"].([]any)) != 10 || strings.Contains(whole.text, "truncated") || strings.Contains(whole.text, "outside") {
		t.Errorf("the whole: %s", whole.text)
	}
	cut := r.get(r.admin, around+"Pod/shop/web-a&depth=3&limit=3")
	cut.expect(t, 200, `"truncated":{"reason":"`, `"more":true`)
	if n := len(cut.json["nodes"].([]any)); n > 3 {
		t.Errorf("%d nodes, asked for 3", n)
	}
}

func sorted(words string) string {
	f := strings.Fields(words)
	slices.Sort(f)
	return strings.Join(f, " ")
}

func TestBadInput(t *testing.T) {
	r := newRig(t, options{})
	none := fleet.NewClusterID().String()
	for _, c := range []struct {
		method, path, body string
		status             int
		parts              []string
	}{
		{"GET", "/api/v1/resources?namspace=x", "", 400, []string{`"name":"namspace"`, `the nearest is \"namespace\"`}},
		{"GET", "/api/v1/resources?selector=x", "", 400, []string{`Selector`}},
		{"GET", "/api/v1/resources?limit=0", "", 400, []string{`"name":"limit"`}},
		{"GET", "/api/v1/resources?limit=1001", "", 400, []string{`"name":"limit"`}},
		{"GET", "/api/v1/resources?limit=many", "", 400, []string{`"name":"limit"`}},
		{"GET", "/api/v1/resources?limit=1&limit=2", "", 400, []string{`"name":"limit"`}},
		{"GET", "/api/v1/resources?labelSelector=a+b", "", 400, []string{`"name":"labelSelector"`}},
		{"GET", "/api/v1/resources?labelSelector=a>1", "", 400, []string{`"name":"labelSelector"`}},
		{"GET", "/api/v1/resources?fieldSelector=spec.x%3D1", "", 400, []string{`"name":"fieldSelector"`}},
		{"GET", "/api/v1/resources?cluster=nonsense", "", 400, []string{`"name":"cluster"`}},
		{"GET", "/api/v1/resources?cluster=" + none, "", 404, nil},
		{"GET", "/api/v1/resources?%zz", "", 400, nil},
		{"GET", "/api/v1/clusters/nonsense", "", 404, []string{`"NOT_FOUND"`}},
		{"GET", "/api/v1/clusters/" + none, "", 404, nil},
		{"GET", "/api/v1/clusters/{shop}%2F..%2F..", "", 404, nil},
		{"GET", "/api/v1/clusters/{shop}/topology?depth=3", "", 400, []string{`"name":"depth"`}},
		{"GET", "/api/v1/clusters/{shop}/topology?focus=Pod/shop/web-a&namespace=shop", "", 400, []string{`"name":"namespace"`}},
		{"GET", "/api/v1/clusters/{shop}/topology?focus=web", "", 400, []string{`"name":"focus"`}},
		{"GET", "/api/v1/clusters/{shop}/topology?focus=Pod/shop/ghost", "", 404, nil},
		{"GET", "/api/v1/clusters/{shop}/topology?focus=Pod/shop/web-a&depth=11", "", 400, []string{`"name":"depth"`}},
		{"GET", "/api/v1/clusters/{shop}/topology?focus=Pod/shop/web-a&direction=up", "", 400, []string{`"name":"direction"`}},
		{"GET", "/api/v1/clusters/{shop}/topology?type=likes", "", 400, []string{`"name":"type"`, "selects"}},
		{"GET", "/api/v1/clusters/{shop}/topology?limit=20001", "", 400, []string{`"name":"limit"`}},
		{"GET", "/api/v1/stream?frm=1", "", 400, []string{`\"from\"`}},
		{"GET", "/api/v1/stream?from=-1", "", 400, []string{`"name":"from"`}},
		{"GET", "/api/v1/stream?what=gossip", "", 400, []string{`"name":"what"`}},
		{"GET", "/api/v1/nothing", "", 404, []string{"NOT_FOUND"}},
		{"PUT", "/api/v1/clusters", "", 405, []string{"BAD_REQUEST"}},
		{"POST", "/api/v1/clusters", `{"name":""}`, 400, []string{`"name":"name"`}},
		{"POST", "/api/v1/clusters", `{"nmae":"x"}`, 400, []string{`nmae`}},
		{"POST", "/api/v1/clusters", `{"name":"x","labels":{"bad key":"v"}}`, 400, []string{`labels.bad key`}},
		{"POST", "/api/v1/clusters", `{`, 400, nil},
		{"POST", "/api/v1/clusters", `{"name":"` + strings.Repeat("x", 70<<10) + `"}`, 413, []string{"BAD_REQUEST"}},
		{"POST", "/api/v1/clusters", `{"name":"shop"}`, 409, []string{"CONFLICT"}},
		{"PATCH", "/api/v1/clusters/{shop}", `{"labels":{"a":"` + strings.Repeat("x", 70) + `"}}`, 400, []string{"labels.a"}},
		{"POST", "/api/v1/tokens", `{"name":"x","bindings":[]}`, 400, []string{"bindings"}},
		{"POST", "/api/v1/tokens", `{"name":"x","bindings":[{"verbs":["fly"],"clusters":["*"],"namespaces":["*"]}]}`, 400, []string{"fly"}},
		{"DELETE", "/api/v1/tokens/nobody", "", 404, nil},
	} {
		t.Run(c.method+" "+c.path+" "+c.body[:min(40, len(c.body))], func(t *testing.T) {
			a := r.do(r.admin, c.method, c.path, c.body)
			a.expect(t, c.status, append(c.parts, `"requestId":`, `"message":`, `"code":`)...)
			if ct := a.header.Get("Content-Type"); ct != "application/problem+json" {
				t.Errorf("Content-Type %q", ct)
			}
		})
	}
}

func TestLifeOfACluster(t *testing.T) {
	r := newRig(t, options{})
	a := r.do(r.admin, "POST", "/api/v1/clusters", `{"name":"prod","labels":{"env":"prod"}}`)
	a.expect(t, 201, `"token":"secret-of-`, `"expires":`, `"pin":"sha256:pin"`, `"command":"helm install`)
	path := a.header.Get("Location")
	r.get(r.admin, path).expect(t, 200, `"name":"prod"`, `"state":"never"`)
	r.get(r.admin, path+"/topology").expect(t, 200, `"nodes":[]`, `"state":"never"`)
	r.do(r.admin, "POST", path+"/join-tokens", "").expect(t, 201, `"token":"again"`)

	r.do(r.admin, "PATCH", path, `{"name":"prod-eu","labels":{"env":null,"zone":"b"}}`, "Content-Type", "application/merge-patch+json").
		expect(t, 200, `"name":"prod-eu"`, `"labels":{"zone":"b"}`)
	r.do(r.admin, "PATCH", path, `{"name":"shop"}`).expect(t, 409)

	r.get(r.admin, "/api/v1/clusters/{shop}/ping").expect(t, 503, "UNAVAILABLE", "it was last heard at")
	r.agents.here = map[fleet.ClusterID]Pong{r.shop.ID: {Agent: "v0.1.0", Version: "v1.37.2", RoundTrip: 1500 * time.Microsecond}}
	r.get(r.admin, "/api/v1/clusters/{shop}/ping").expect(t, 200, `"roundTripMs":1.5`, `"version":"v1.37.2"`)

	r.shop.Leave()
	r.get(r.admin, "/api/v1/clusters/{shop}/resources/-/-/pods").expect(t, 200, `"web-a"`, `"state":"stale"`, `"lastHeard":`)

	r.do(r.admin, "DELETE", "/api/v1/clusters/{shop}", "").expect(t, 202, `"purging"`)
	if !slices.Equal(r.agents.cut, []fleet.ClusterID{r.shop.ID}) {
		t.Errorf("cut: %v", r.agents.cut)
	}
	r.get(r.admin, "/api/v1/clusters/{shop}").expect(t, 404)
	r.do(r.admin, "DELETE", "/api/v1/clusters/{shop}", "").expect(t, 404)
	if got := r.get(r.admin, "/api/v1/resources").names("items"); got != "" {
		t.Errorf("resources of a deleted cluster: %s", got)
	}
}

func TestETags(t *testing.T) {
	r := newRig(t, options{})
	for n, path := range []string{"/api/v1/clusters", "/api/v1/resources?kind=Pod", "/api/v1/clusters/{shop}/topology", "/api/v1/events"} {
		tag := r.get(r.admin, path).header.Get("ETag")
		a := r.do(r.admin, "GET", path, "", "If-None-Match", `"x", `+tag)
		if a.expect(t, 304); a.text != "" || a.header.Get("ETag") != tag {
			t.Errorf("304 with %q and tag %q", a.text, a.header.Get("ETag"))
		}
		shopper := r.token("s", "get,list * shop")
		r.do(shopper, "GET", path, "", "If-None-Match", tag).expect(t, 200) // another's answer
		r.shop.Apply(topo.Delta{Nodes: []topo.Node{querytest.Node("Pod shop/new", fmt.Sprint("n=", n))}})
		r.do(r.admin, "GET", path, "", "If-None-Match", tag).expect(t, 200)
	}
}

func TestIdempotency(t *testing.T) {
	r := newRig(t, options{})
	body := `{"name":"once"}`
	first := r.do(r.admin, "POST", "/api/v1/clusters", body, "Idempotency-Key", "k1")
	again := r.do(r.admin, "POST", "/api/v1/clusters", body, "Idempotency-Key", "k1")
	if first.status != 201 || again.status != 201 || first.text != again.text || again.header.Get("Location") != first.header.Get("Location") {
		t.Errorf("first %d %s\nagain %d %s", first.status, first.text, again.status, again.text)
	}
	r.do(r.admin, "POST", "/api/v1/clusters", `{"name":"other"}`, "Idempotency-Key", "k1").expect(t, 409, "Idempotency-Key")
	r.do(r.admin, "POST", "/api/v1/clusters", body, "Idempotency-Key", "k2").expect(t, 409)
	r.do(r.admin, "POST", "/api/v1/clusters", `{"name":"later"}`, "Idempotency-Key", "k2").expect(t, 201) // a refusal isn't kept
	boss := r.token("boss", "* * *")
	if a := r.do(boss, "POST", "/api/v1/clusters", body, "Idempotency-Key", "k1"); a.status != 409 {
		t.Errorf("another principal got the answer: %s", a.text)
	}
}

func TestHeaders(t *testing.T) {
	r := newRig(t, options{api: func(c *Config) { c.AllowedOrigins = []string{"https://portal.example"} }})
	a := r.do(r.admin, "GET", "/api/v1/clusters", "", "X-Request-Id", "mine-1", "Origin", "https://portal.example")
	for name, want := range map[string]string{
		"X-Request-Id": "mine-1", "X-Content-Type-Options": "nosniff", "X-Frame-Options": "DENY", "Cache-Control": "private, no-cache",
		"Access-Control-Allow-Origin": "https://portal.example",
	} {
		if got := a.header.Get(name); got != want {
			t.Errorf("%s: %q, want %q", name, got, want)
		}
	}
	if id := r.do(r.admin, "GET", "/api/v1/nothing", "", "X-Request-Id", "no\tgood").json["requestId"]; id == "no\tgood" || id == "" {
		t.Errorf("requestId %q", id)
	}
	for origin, allowed := range map[string]string{"https://portal.example": "https://portal.example", "https://evil.example": ""} {
		a := r.do("", "OPTIONS", "/api/v1/clusters", "", "Origin", origin, "Access-Control-Request-Method", "POST", "Access-Control-Request-Headers", "authorization")
		if got := a.header.Get("Access-Control-Allow-Origin"); got != allowed {
			t.Errorf("a page of %s: %q", origin, got)
		}
	}
	plain := newRig(t, options{noShop: true})
	if got := plain.do(plain.admin, "GET", "/api/v1/clusters", "", "Origin", "https://portal.example").header.Get("Access-Control-Allow-Origin"); got != "" {
		t.Errorf("CORS by default: %q", got)
	}
}

func TestUnready(t *testing.T) {
	r := newRig(t, options{noShop: true, api: func(c *Config) { c.Live = live.New(live.Config{}) }})
	r.get("", "/readyz").expect(t, 503, "UNAVAILABLE")
	r.get("", "/healthz").expect(t, 200)
}

// The document says what the router does: each route is in it and each of its operations is routed, and every parameter it names is known.
func TestOpenAPIIsTrue(t *testing.T) {
	r := newRig(t, options{})
	doc := r.get(r.admin, "/api/v1/openapi.json")
	if doc.json["openapi"] != "3.1.0" {
		t.Fatalf("openapi %v", doc.json["openapi"])
	}
	schemas := doc.json["components"].(map[string]any)["schemas"].(map[string]any)
	for _, name := range []string{"Problem", "StreamCommand", "StreamFrame", "PlacedGraph"} {
		if schemas[name] == nil {
			t.Errorf("there is no schema %s", name)
		}
	}
	described := map[string]map[string]any{}
	for path, item := range doc.json["paths"].(map[string]any) {
		for method, op := range item.(map[string]any) {
			described[strings.ToUpper(method)+" "+path] = op.(map[string]any)
		}
	}
	routed := map[string]bool{}
	err := chi.Walk(r.api.router, func(method, path string, _ http.Handler, _ ...func(http.Handler) http.Handler) error {
		routed[method+" "+path] = true
		if described[method+" "+path] == nil {
			t.Errorf("%s %s is served and not described", method, path)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	for what, op := range described {
		if !routed[what] {
			t.Errorf("%s is described and not served", what)
		}
		if op["summary"] == "" || op["operationId"] == "" || op["responses"].(map[string]any)["default"] == nil {
			t.Errorf("%s: %v", what, op)
		}
		method, path, _ := strings.Cut(what, " ")
		if method != "GET" || strings.Contains(path, "stream") {
			continue
		}
		for _, part := range []string{"{cluster}", "{token}", "{group}", "{version}", "{plural}", "{namespace}", "{name}"} {
			path = strings.ReplaceAll(path, part, map[string]string{"{cluster}": r.shop.ID.String(), "{plural}": "pods", "{namespace}": "shop", "{name}": "web-a"}[part]+map[string]string{"{group}": "-", "{version}": "-", "{token}": "x"}[part])
		}
		parameters, _ := op["parameters"].([]any)
		for _, p := range parameters {
			if p := p.(map[string]any); p["in"] == "query" {
				if a := r.get(r.admin, path+"?"+p["name"].(string)+"="); strings.Contains(a.text, "is no parameter here") {
					t.Errorf("%s: %v is described and not known", what, p["name"])
				}
			}
		}
	}
}

func TestQuarantineIsShown(t *testing.T) {
	r := newRig(t, options{})
	err := r.store.Quarantine(t.Context(), []store.Quarantined{{Scope: r.shop.Scope, Table: "nodes", Key: "Pod shop/x", Reason: "a name of 300 bytes", Count: 2, First: time.Now(), Last: time.Now()}})
	if err != nil {
		t.Fatal(err)
	}
	r.get(r.admin, "/api/v1/clusters/{shop}/quarantine").expect(t, 200, `"reason":"a name of 300 bytes"`, `"count":2`)
}
