package httpapi

import (
	"fmt"
	"net/url"
	"regexp"
	"strings"
	"testing"

	"github.com/kubilitics/kubilitics/hub/internal/auth"
	"github.com/kubilitics/kubilitics/hub/internal/fleet"
	"github.com/kubilitics/kubilitics/hub/internal/query/querytest"
	"github.com/kubilitics/kubilitics/shared/topo"
)

// busy is a mall of which another namespace makes much use: its pods name what is in the mall, are selected by it, and would answer to any search.
func busy() topo.Delta {
	d := querytest.Mall()
	for i := range 30 {
		pod := fmt.Sprintf("Pod vault/spy-%02d", i)
		d.Nodes = append(d.Nodes, querytest.With(querytest.Node(pod, "app=web", "spy=yes"), "health=error", "app=web", "images=nginx:1.27", "ip=10.1.0.99"))
		d.Edges = append(d.Edges, querytest.Ruled(pod, topo.Mounts, "pod-configmap-volume", "ConfigMap mall/web"), querytest.Ruled("Service mall/web", topo.Selects, "service-pod", pod))
		d.Events = append(d.Events, topo.Event{UID: fmt.Sprint("spy", i), Namespace: "vault", Name: fmt.Sprint("spy.", i), Regarding: querytest.Ref(pod), Type: "Warning", Reason: "Spied", Count: 1, First: 1_700_000_000, Last: 1_700_000_300})
	}
	d.Events = append(d.Events, topo.Event{UID: "web", Namespace: "mall", Name: "web.1", Regarding: querytest.Ref("Pod mall/web-a"), Type: "Normal", Reason: "Started", Count: 1, First: 1_700_000_000, Last: 1_700_000_200})
	return d
}

// alone leaves what is in a namespace.
func alone(d topo.Delta, namespace string) (out topo.Delta) {
	for _, n := range d.Nodes {
		if n.Ref.Namespace == namespace {
			out.Nodes = append(out.Nodes, n)
		}
	}
	for _, e := range d.Edges {
		if e.Source.Namespace == namespace && e.Target.Namespace == namespace {
			out.Edges = append(out.Edges, e)
		}
	}
	for _, m := range d.Manifests {
		if m.Ref.Namespace == namespace {
			out.Manifests = append(out.Manifests, m)
		}
	}
	for _, e := range d.Events {
		if e.Namespace == namespace {
			out.Events = append(out.Events, e)
		}
	}
	return out
}

// ofTheMoment is what two answers to the same question may differ in.
var ofTheMoment = regexp.MustCompile(`20\d\d-[0-9-]+T[0-9:.]+Z|"(continue|requestId)":"[^"]*"`)

// Who may see one namespace of one cluster gets the same answers whatever else there is: not a count, not a "more", tells of it.
func TestWhatIsHiddenMakesNoDifference(t *testing.T) {
	r := newRig(t, options{noShop: true})
	type world struct {
		token string
		words *strings.Replacer
	}
	load := func(slug string, all bool) world {
		tenant, err := r.store.EnsureTenant(t.Context(), slug)
		if err != nil {
			t.Fatal(err)
		}
		seen := func(d topo.Delta) topo.Delta {
			if all {
				return d
			}
			return alone(d, "mall")
		}
		var kinds []topo.KindReport
		c := querytest.New(t, r.store, tenant.ID, "open").Load(seen(busy()))
		rest := querytest.New(t, r.store, tenant.ID, "closed").Load(alone(querytest.Shop(), "bank"))
		if all {
			rest.Apply(alone(querytest.Shop(), "shop"))
		} else {
			rest.Apply(topo.Delta{Nodes: []topo.Node{querytest.Node("Pod x/y")}})
		}
		c.Apply(seen(topo.Delta{Nodes: []topo.Node{querytest.Node("Pod mall/web-a", "app=web"), querytest.Node("Pod vault/spy-00"), querytest.Node("ConfigMap vault/new"), querytest.Node("ConfigMap mall/new")}}))
		for _, kind := range []string{"Pod", "Service", "ConfigMap", "Node"} { // kinds are no secret within a tenant
			kinds = append(kinds, topo.KindReport{GroupKind: topo.GroupKind{Kind: kind}, Version: "v1", Plural: strings.ToLower(kind) + "s", Namespaced: kind != "Node", Observed: true})
		}
		c.Kinds(kinds...)
		by := fleet.Principal{Tenant: tenant.ID, Name: "boss", Bindings: []fleet.Binding{{Verbs: []string{"*"}, Clusters: []string{"*"}, Namespaces: []string{"*"}}}}
		_, text, err := r.tokens.Issue(t.Context(), by, auth.NewToken{Name: "shopper", Bindings: []fleet.Binding{{Verbs: []string{"get", "list"}, Clusters: []string{c.ID.String()}, Namespaces: []string{"mall"}}}})
		if err != nil {
			t.Fatal(err)
		}
		return world{text, strings.NewReplacer(c.ID.String(), "OPEN", rest.ID.String(), "CLOSED")}
	}
	full, bare := load("full", true), load("bare", false)
	ask := func(w world, id, path string) string {
		return w.words.Replace(ofTheMoment.ReplaceAllString(r.get(w.token, strings.ReplaceAll(path, "{open}", id)).text, "…"))
	}
	idOf := func(w world) string {
		return r.get(w.token, "/api/v1/clusters").json["items"].([]any)[0].(map[string]any)["id"].(string)
	}
	fullID, bareID := idOf(full), idOf(bare)
	for _, path := range hiddenQuestions() {
		if a, b := ask(full, fullID, path), ask(bare, bareID, path); a != b {
			t.Errorf("%s\n%s\nwithout what is hidden:\n%s", path, a, b)
		}
	}
}

func hiddenQuestions() (paths []string) {
	const open = "/api/v1/clusters/{open}"
	paths = []string{"/api/v1/clusters", "/api/v1/clusters/summary", open, open + "/info", open + "/api-resources", "/api/v1/events", open + "/events?limit=1", "/api/v1/topology/shared",
		"/api/v1/audit", "/api/v1/topology/export?format=csv", "/api/v1/topology/export?format=svg", open + "/topology/export?format=mermaid&depth=5&focus=ConfigMap/mall/web",
		open + "/topology/members?set=" + url.QueryEscape("PodSet.kubilitics.io/mall/app=web"), "/api/v1/topology/diff?from=5", open + "/topology/diff?from=5&limit=1", open + "/topology/diff?from=5&namespace=vault"}
	for _, list := range []string{"/api/v1/resources", "/api/v1/topology", "/api/v1/topology/groups", "/api/v1/topology/groups?groupBy=application,kind", "/api/v1/health", "/api/v1/health?level=workload", "/api/v1/topology/findings"} {
		sep := "?"
		if strings.Contains(list, sep) {
			sep = "&"
		}
		for _, with := range []string{"", "kind=Pod", "limit=2", "namespace=mall,vault", "q=spy", "q=ns:vault", "q=image:nginx", "q=label.app%3Dweb", "q=-ns:mall", "q=cluster:c*", "at=5"} {
			paths = append(paths, list+sep+with)
		}
	}
	for _, key := range []string{"ns", "kind", "name", "label", "label.spy", "image", "ip", "health", "app", "attr.node"} {
		paths = append(paths, "/api/v1/search/values?key="+key, "/api/v1/search/values?at=5&key="+key)
	}
	for _, q := range []string{"web", "spy", "kind:Pod", "10.1", "nginx"} {
		paths = append(paths, "/api/v1/search?q="+q, "/api/v1/search?limit=1&q="+q)
	}
	for _, ref := range []string{"ConfigMap/mall/web", "Service/mall/web", "Pod/mall/web-a", "ConfigMap/mall/new", "Pod/vault/spy-00", "Node/n1"} {
		paths = append(paths, open+"/topology?focus="+ref, open+"/topology?depth=4&focus="+ref, open+"/topology?depth=10&fan=3&focus="+ref, open+"/topology/impact?focus="+ref,
			open+"/topology/paths?to=Pod/mall/web-b&from="+ref, open+"/topology/paths?to=Pod/mall/db-0&maxLength=2&from="+ref)
		kind, name, _ := strings.Cut(ref, "/")
		one := open + "/resources/-/-/" + kind + "/" + name
		paths = append(paths, one, one+"?manifest=true", one+"/history", one+"/added", one+"/history/6")
	}
	return paths
}
