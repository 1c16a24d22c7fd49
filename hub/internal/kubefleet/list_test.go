package kubefleet

import (
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/rest"

	"github.com/kubilitics/kubilitics/hub/internal/query/querytest"
	"github.com/kubilitics/kubilitics/shared/topo"
)

const allPods = "eu-1/vault us-1/vault eu-1/web-a us-1/web-a eu-1/web-b us-1/web-b"

// What selects, and what is left.
func TestSelectors(t *testing.T) {
	r := newRig(t)
	for ask, want := range map[string]string{
		"":                                allPods,
		"labelSelector=tier=front,app!=x": "eu-1/web-a us-1/web-a eu-1/web-b us-1/web-b",
		"labelSelector=app in (vault,x)":  "eu-1/vault us-1/vault",
		"labelSelector=!tier":             "eu-1/vault us-1/vault",
		"labelSelector=kubilitics.io/cluster=eu-1":                         "eu-1/vault eu-1/web-a eu-1/web-b",
		"labelSelector=kubilitics.io/cluster in ({eu},x),app=web":          "eu-1/web-a eu-1/web-b",
		"labelSelector=kubilitics.io/cluster-name notin (eu-1),tier":       "us-1/web-a us-1/web-b",
		"labelSelector=kubilitics.io/cluster":                              allPods,
		"labelSelector=!kubilitics.io/cluster":                             "",
		"labelSelector=kubilitics.io/cluster=nowhere":                      "",
		"fieldSelector=cluster=us-1,metadata.name=web-a":                   "us-1/web-a",
		"fieldSelector=metadata.namespace!=shop,cluster!=us-1":             "eu-1/vault",
		"fieldSelector=spec.nodeName=n1,status.podIP=fd00::7,cluster=eu-1": "eu-1/vault eu-1/web-a eu-1/web-b",
		"fieldSelector=spec.nodeName=":                                     "",
		"fieldSelector=spec.nodeName!=,status.phase=Pending":               "eu-1/web-b us-1/web-b",
		"fieldSelector=status.phase!=Pending,metadata.namespace=shop":      "eu-1/web-a us-1/web-a",
		"fieldSelector=health=error":                                       "eu-1/web-b us-1/web-b",
	} {
		key, value, _ := strings.Cut(strings.ReplaceAll(ask, "{eu}", r.eu.ID.String()), "=")
		if got := r.get("/api/v1/pods?" + key + "=" + url.QueryEscape(value)).names(); got != want {
			t.Errorf("%s: %q, want %q", ask, got, want)
		}
	}
	if got := r.get("/api/v1/namespaces/bank/pods").names(); got != "eu-1/vault us-1/vault" {
		t.Errorf("in a namespace: %s", got)
	}
	if got := r.get("/apis/example.com/v1/widgets?labelSelector=" + url.QueryEscape("n>3")).names(); got != "" {
		t.Errorf("of a label that isn't there: %s", got)
	}
}

// A client of the ecosystem reads page by page what it reads at once, all of one position, whatever happens meanwhile.
func TestPages(t *testing.T) {
	r := newRig(t)
	pods := dynamic.NewForConfigOrDie(&rest.Config{Host: r.url}).Resource(schema.GroupVersionResource{Version: "v1", Resource: "pods"})
	var got []string
	var o metav1.ListOptions
	for o.Limit = 4; ; {
		page, err := pods.List(t.Context(), o)
		if err != nil {
			t.Fatal(err)
		}
		for i := range page.Items {
			got = append(got, nameOf(page.Items[i].Object))
		}
		if o.Continue == "" {
			if rest := page.GetRemainingItemCount(); rest == nil || *rest != 2 {
				t.Errorf("%v remain, want 2", rest)
			}
			r.eu.Apply(topo.Delta{Nodes: []topo.Node{querytest.Node("Pod shop/web-aa")}, GoneNodes: []topo.ID{querytest.Ref("Pod shop/web-b").ID()}})
		}
		if o.Continue = page.GetContinue(); o.Continue == "" {
			break
		}
	}
	if strings.Join(got, " ") != allPods {
		t.Errorf("%v", got)
	}
	now := r.get("/api/v1/pods")
	if got := now.names(); got != strings.Replace(allPods, "eu-1/web-b us-1/web-b", "eu-1/web-aa us-1/web-b", 1) {
		t.Errorf("now: %s", got)
	}
	// The position of a list is one to come back to.
	then := fmt.Sprint(r.get("/api/v1/pods?limit=1").at("metadata.resourceVersion"))
	r.eu.Apply(topo.Delta{GoneNodes: []topo.ID{querytest.Ref("Pod shop/web-a").ID()}})
	for _, ask := range []string{"resourceVersionMatch=Exact&resourceVersion=" + then, "at=" + then} {
		if got := r.get("/api/v1/pods?" + ask); got.names() != now.names() || got.at("metadata.resourceVersion") != then {
			t.Errorf("%s: %s at %v", ask, got.names(), got.at("metadata.resourceVersion"))
		}
	}
	r.get("/api/v1/pods?resourceVersion=999999").refused(http.StatusGatewayTimeout, metav1.StatusReasonTimeout, "Too large resource version")
	r.get("/api/v1/pods?limit=1&continue=abc").refused(http.StatusBadRequest, metav1.StatusReasonBadRequest, "continue")
}

// The text of an object is what its cluster shares; without it, there is what the index knows, and why there is no more.
func TestObjects(t *testing.T) {
	r := newRig(t)
	own := r.get("/clusters/eu-1/api/v1/namespaces/shop/pods/web-b")
	if own.at("metadata.annotations.own") != "kept" || own.at("status.phase") != "Pending" || own.at("metadata.resourceVersion") == nil {
		t.Errorf("with a text: %s", own.text)
	}
	if notes := own.at("metadata.annotations").(map[string]any); notes[ClusterKey] != r.eu.ID.String() || notes[StaleKey] != nil || notes[PartialKey] != nil {
		t.Errorf("annotated %v", notes)
	}
	bare := r.get("/clusters/us-1/api/v1/namespaces/shop/pods/web-a")
	notes := bare.at("metadata.annotations").(map[string]any)
	if bare.at("apiVersion") != "v1" || bare.at("kind") != "Pod" || bare.at("spec.nodeName") != "n1" || bare.at("status.phase") != "Running" ||
		bare.at("metadata.uid") != "uid-Pod shop/web-a" || notes[PartialKey] == nil || notes[StaleKey] == nil {
		t.Errorf("without a text: %s", bare.text)
	}
	if !strings.Contains(bare.text, `"ownerReferences":[{"apiVersion":"apps/v1","kind":"ReplicaSet","name":"web-1"`) {
		t.Errorf("without owners: %s", bare.text)
	}
	// A text of another object that had the name before is nobody's.
	n := querytest.Node("Pod shop/web-b")
	n.UID = "another"
	r.eu.Apply(topo.Delta{Nodes: []topo.Node{n}})
	if p := r.get("/clusters/eu-1/api/v1/namespaces/shop/pods/web-b"); p.at("metadata.uid") != "another" || p.at("metadata.annotations.own") != nil {
		t.Errorf("after it was replaced: %s", p.text)
	}
	if p := r.do("GET", "/apis/apps/v1/deployments?limit=1", metaType); p.at("kind") != "PartialObjectMetadataList" || strings.Contains(p.text, "status") {
		t.Errorf("metadata: %s", p.text)
	}
	if p := r.get("/clusters/{eu}/version"); p.at("gitVersion") != "v1.37.2" {
		t.Errorf("a cluster's version: %s", p.text)
	}
}

func TestOneOfSeveral(t *testing.T) {
	r := newRig(t)
	r.get("/api/v1/namespaces/shop/pods/web-a").refused(http.StatusConflict, metav1.StatusReasonConflict, "is in 2 clusters: eu-1, us-1; name the one that is meant by its own root, /k8s/fleet/clusters/eu-1")
	if p := r.do("GET", "/api/v1/namespaces/shop/pods/web-a", tableType); len(p.json["rows"].([]any)) != 2 {
		t.Errorf("as a table: %s", p.text)
	}
	r.get("/api/v1/namespaces/shop/pods/none").refused(http.StatusNotFound, metav1.StatusReasonNotFound, `pods "none" not found`)
	r.eu.Apply(topo.Delta{Nodes: []topo.Node{querytest.Node("Pod shop/only")}})
	if p := r.get("/api/v1/namespaces/shop/pods/only/status"); p.status != 200 || nameOf(p.json) != "eu-1/only" {
		t.Errorf("of one cluster alone: %s", p.text)
	}
	r.get("/clusters/us-1/api/v1/namespaces/shop/pods/only").refused(http.StatusNotFound, metav1.StatusReasonNotFound, "not found")
}

// table words a table as kubectl would print it.
func table(p reply) string {
	var b strings.Builder
	var columns []string
	for _, c := range p.json["columnDefinitions"].([]any) {
		name := c.(map[string]any)["name"].(string)
		if c.(map[string]any)["priority"] != 0.0 {
			name = "(" + name + ")"
		}
		columns = append(columns, name)
	}
	b.WriteString(strings.Join(columns, "|"))
	for _, row := range p.json["rows"].([]any) {
		var cells []string
		for _, c := range row.(map[string]any)["cells"].([]any) {
			cells = append(cells, fmt.Sprint(c))
		}
		b.WriteString("\n" + strings.Join(cells, "|"))
	}
	return b.String()
}

func TestTables(t *testing.T) {
	r := newRig(t)
	old := querytest.With(querytest.Node("Service shop/front"), "type=LoadBalancer", "clusterIP=10.0.0.1", "ports=80/TCP")
	old.Created = 0
	r.eu.Apply(topo.Delta{Nodes: []topo.Node{old, querytest.With(querytest.Node("Node n2", "node-role.kubernetes.io/worker=", "node-role.kubernetes.io/etcd="), "status=Ready", "kubelet=v1.37.2")}})
	for path, want := range map[string]string{
		"/api/v1/namespaces/shop/services?fieldSelector=metadata.name=front": "Cluster|Name|Type|Cluster-IP|External-IP|Port(s)|Age|(Health)\neu-1|front|LoadBalancer|10.0.0.1|<pending>|80/TCP|<unknown>|ok",
		"/clusters/eu-1/api/v1/namespaces/shop/pods/web-b":                   "Name|Ready|Status|Restarts|Age|(IP)|(Node)|(Images)|(Health)\nweb-b|1/1|CreateContainerConfigError|3|AGE|10.1.0.7|n1|nginx:1.27|error",
		"/clusters/eu-1/apis/example.com/v1/widgets":                         "Name|Size|Made|Age|(Health)\na|7|MADE|AGE|ok",
		"/clusters/eu-1/api/v1/nodes/n2":                                     "Name|Status|Roles|Age|Version|(Internal-IP)|(OS)|(Arch)|(Health)\nn2|Ready|etcd,worker|AGE|v1.37.2|<none>|<none>|<none>|ok",
		"/clusters/eu-1/api/v1/events?fieldSelector=reason=Failed":           "Last Seen|Type|Reason|Object|(Source)|Message|(First Seen)|(Count)|(Name)\nAGO|Warning|Failed|pod/web-b||configmap \"absent\" not found|AGO|7|web-b.1",
	} {
		p := r.do("GET", path, tableType)
		got, wanted := strings.Split(table(p), "\n"), strings.Split(want, "\n")
		if len(got) != len(wanted) || got[0] != wanted[0] || !alike(got[1], wanted[1]) {
			t.Errorf("%s:\n%s\nwant\n%s", path, strings.Join(got, "\n"), want)
		}
	}
	p := r.do("GET", "/api/v1/pods?includeObject=None", tableType)
	if !strings.Contains(table(p), "us-1 (offline ") || strings.Contains(p.text, `"metadata":{"name"`) {
		t.Errorf("%s", p.text)
	}
	if w := p.header.Values("Warning"); len(w) != 1 || !strings.HasPrefix(w[0], `299 - "cluster us-1 is offline since `) {
		t.Errorf("warnings %q", w)
	}
	if w := r.get("/api/v1/pods?labelSelector=kubilitics.io/cluster=eu-1").header.Values("Warning"); len(w) != 0 {
		t.Errorf("warnings of what isn't asked for: %q", w)
	}
}

// alike compares rows; a word in capitals stands for any age.
func alike(got, want string) bool {
	g, w := strings.Split(got, "|"), strings.Split(want, "|")
	for i := range w {
		if len(g) != len(w) || g[i] != w[i] && !(strings.ToUpper(w[i]) == w[i] && strings.HasSuffix(g[i], "d")) {
			return false
		}
	}
	return true
}

func TestEvents(t *testing.T) {
	r := newRig(t)
	for ask, want := range map[string]string{
		"/api/v1/namespaces/bank/events":                                                       "eu-1/vault.1 us-1/vault.1",
		"/api/v1/events?fieldSelector=type=Warning,cluster=eu-1":                               "eu-1/web-b.1",
		"/api/v1/events?fieldSelector=involvedObject.kind!=Pod":                                "",
		"/clusters/eu-1/api/v1/events?limit=1":                                                 "eu-1/web-b.1",
		"/api/v1/events?fieldSelector=involvedObject.apiVersion=v1,reason=Failed,cluster=us-1": "us-1/web-b.1",
		"/api/v1/events?fieldSelector=involvedObject.apiVersion=apps/v1":                       "",
		"/api/v1/events?labelSelector=app":                                                     "",
		"/api/v1/namespaces/shop/events?fieldSelector=" + url.QueryEscape("involvedObject.name=web-a,involvedObject.namespace=shop,involvedObject.uid=uid-Pod shop/web-a"): "",
	} {
		p := r.get(ask)
		if want == "" && strings.Contains(ask, "uid") { // both clusters' pods have that uid here: either's
			if !strings.HasSuffix(p.names(), "-1/web-a.1") || strings.Contains(p.names(), " ") {
				t.Errorf("of one pod: %s", p.names())
			}
			continue
		}
		if sortedWords(p.names()) != sortedWords(want) {
			t.Errorf("%s: %q, want %q", ask, p.names(), want)
		}
	}
	if p := r.get("/clusters/us-1/api/v1/namespaces/shop/events/web-b.1"); p.at("count") != 7.0 || p.at("involvedObject.name") != "web-b" {
		t.Errorf("one: %s", p.text)
	}
	r.get("/api/v1/events?fieldSelector=color=red").refused(http.StatusBadRequest, metav1.StatusReasonBadRequest, `can't be selected by "color" here, only by cluster, involvedObject.apiVersion, involvedObject.kind`)
}

func sortedWords(s string) string {
	words := strings.Fields(s)
	slices.Sort(words)
	return strings.Join(words, " ")
}
