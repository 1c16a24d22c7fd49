package kubefleet

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/kubilitics/kubilitics/hub/internal/query/querytest"
	"github.com/kubilitics/kubilitics/hub/internal/store"
	"github.com/kubilitics/kubilitics/shared/fault"
	"github.com/kubilitics/kubilitics/shared/topo"
)

// events is an open watch.
type events struct {
	t     testing.TB
	lines *bufio.Scanner
	resp  *http.Response
}

func (r *rig) watch(path, accept string) *events {
	r.t.Helper()
	within, cancel := context.WithTimeout(r.t.Context(), 20*time.Second)
	r.t.Cleanup(cancel)
	req, err := http.NewRequestWithContext(within, http.MethodGet, r.url+path, nil)
	if err != nil {
		r.t.Fatal(err)
	}
	req.Header.Set("Accept", accept)
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		r.t.Fatal(err)
	}
	e := &events{t: r.t, lines: bufio.NewScanner(resp.Body), resp: resp}
	e.lines.Buffer(nil, 1<<20)
	r.t.Cleanup(e.close)
	if resp.StatusCode != http.StatusOK {
		r.t.Fatalf("%s: %s", path, resp.Status)
	}
	return e
}

func (e *events) close() { _ = e.resp.Body.Close() }

// next gives an event in words, "ADDED eu-1/web-a", and its object.
func (e *events) next() (words string, object map[string]any) {
	e.t.Helper()
	if !e.lines.Scan() {
		return "END", nil
	}
	var event struct {
		Type   string
		Object map[string]any
	}
	if err := json.Unmarshal(e.lines.Bytes(), &event); err != nil {
		e.t.Fatalf("%v: %s", err, e.lines.Text())
	}
	switch {
	case event.Type == "ERROR":
		return fmt.Sprint("ERROR ", event.Object["code"], " ", event.Object["reason"]), event.Object
	case event.Type == "BOOKMARK":
		return "BOOKMARK", event.Object
	case event.Object["kind"] == asTable:
		return fmt.Sprint(event.Type, " of ", len(event.Object["rows"].([]any))), event.Object
	}
	return event.Type + " " + nameOf(event.Object), event.Object
}

// want expects these events, one after the other; bookmarks may stand between them.
func (e *events) want(all ...string) (last map[string]any) {
	e.t.Helper()
	for _, want := range all {
		got, object := e.next()
		for got == "BOOKMARK" && want != "BOOKMARK" {
			got, object = e.next()
		}
		if got != want {
			e.t.Fatalf("%s %v, want %s", got, object, want)
		}
		last = object
	}
	return last
}

func pod(name string, labels ...string) topo.Delta {
	return topo.Delta{Nodes: []topo.Node{querytest.With(querytest.Node("Pod shop/"+name, labels...), "status=Running", "node=n1")}}
}

func without(name string) topo.Delta {
	return topo.Delta{GoneNodes: []topo.ID{querytest.Ref("Pod shop/" + name).ID()}}
}

// What isn't selected isn't there for whoever watches: what comes to be selected is added to him, and what no longer is is deleted.
func TestWatchOfASelection(t *testing.T) {
	for what, selection := range map[string]struct{ ask, in, out string }{
		"labels": {"labelSelector=" + url.QueryEscape("tier in (front)"), "tier=front", "tier=back"},
		"fields": {"fieldSelector=" + url.QueryEscape("spec.nodeName=n1"), "a=a", ""},
	} {
		t.Run(what, func(t *testing.T) {
			r := newRig(t)
			in, out := pod("x", selection.in), pod("x", selection.out)
			if what == "fields" {
				out = topo.Delta{Nodes: []topo.Node{querytest.Node("Pod shop/x", "a=a")}}
			}
			from := r.eu.Apply(in)
			e := r.watch(fmt.Sprint("/api/v1/pods?watch=1&allowWatchBookmarks=true&resourceVersion=", from, "&", selection.ask), "")
			r.eu.Apply(out)
			e.want("DELETED eu-1/x")
			r.eu.Apply(topo.Delta{Nodes: []topo.Node{querytest.With(querytest.Node("Pod shop/x", "tier=other"), "status=Odd")}})
			r.eu.Apply(in)
			e.want("ADDED eu-1/x")
			at := r.eu.Apply(topo.Delta{Nodes: []topo.Node{querytest.With(in.Nodes[0], "status=Failed")}})
			if o := e.want("MODIFIED eu-1/x"); o["metadata"].(map[string]any)["resourceVersion"] != fmt.Sprint(at) {
				t.Errorf("%v, want the version %d", o, at)
			}
			r.eu.Apply(without("x"))
			e.want("DELETED eu-1/x")
		})
	}
}

// Manifests come to the hub by themselves: whoever watches objects is told of another text, whoever watches rows isn't.
func TestWatchTellsTexts(t *testing.T) {
	r := newRig(t)
	from := r.eu.Apply(pod("y"))
	objects := r.watch(fmt.Sprint("/api/v1/namespaces/shop/configmaps?watch=1&resourceVersion=", from), "")
	rows := r.watch(fmt.Sprint("/api/v1/namespaces/shop/configmaps?watch=1&resourceVersion=", from), tableType)
	r.eu.Apply(topo.Delta{Manifests: []topo.Manifest{querytest.Manifest("ConfigMap shop/web", `{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"web","namespace":"shop"},"data":{"color":"green"}}`)}})
	if o := objects.want("MODIFIED eu-1/web"); fmt.Sprint(o["data"]) != "map[color:green]" {
		t.Errorf("%v", o)
	}
	r.eu.Apply(topo.Delta{Nodes: []topo.Node{querytest.Node("ConfigMap shop/web", "new=label")}})
	objects.want("MODIFIED eu-1/web")
	if first := rows.want("MODIFIED of 1"); first["columnDefinitions"] == nil || !strings.Contains(fmt.Sprint(first["rows"]), "new:label") {
		t.Errorf("%v", first)
	}
}

// A watch may begin with all there is, and then says where that ends.
func TestWatchFromTheBeginning(t *testing.T) {
	r := newRig(t)
	e := r.watch("/api/v1/namespaces/shop/pods?watch=1&sendInitialEvents=true&resourceVersionMatch=NotOlderThan&allowWatchBookmarks=true&labelSelector=app", "")
	end := e.want("ADDED eu-1/web-a", "ADDED us-1/web-a", "ADDED eu-1/web-b", "ADDED us-1/web-b", "BOOKMARK")
	if meta := end["metadata"].(map[string]any); fmt.Sprint(meta["annotations"]) != "map["+metav1.InitialEventsAnnotationKey+":true]" || end["kind"] != "Pod" {
		t.Errorf("the end of the beginning is %v", end)
	}
	r.eu.Apply(pod("z", "app=z"))
	e.want("ADDED eu-1/z")
	// Another cluster's first load is told as what it adds.
	asia := querytest.New(t, r.store, r.eu.Scope.Tenant, "asia-1").Load(pod("a", "app=a"))
	e.want("ADDED asia-1/a")
	asia.Apply(without("a"))
	e.want("DELETED asia-1/a")
	if err := r.store.DeleteCluster(t.Context(), store.Scope{Tenant: asia.Scope.Tenant, Cluster: asia.ID}); err != nil {
		t.Fatal(err)
	}
	e.want("ERROR 410 Expired", "END") // all that was in it is gone at once: whoever has it lists anew

	tables := r.watch("/api/v1/pods?watch=1&fieldSelector=metadata.name=vault", tableType)
	tables.want("ADDED of 2")
	happened := r.watch("/api/v1/namespaces/shop/events?watch=1&fieldSelector=type=Warning,cluster=eu-1", "")
	happened.want("ADDED eu-1/web-b.1")
	event := querytest.Shop().Events[0]
	event.Count++
	r.eu.Apply(topo.Delta{Events: []topo.Event{event}})
	if o := happened.want("MODIFIED eu-1/web-b.1"); o["count"] != 8.0 {
		t.Errorf("%v", o)
	}
}

func TestWatchEnds(t *testing.T) {
	r := newRig(t)
	r.watch("/api/v1/pods?watch=1&timeoutSeconds=1&fieldSelector=metadata.name=none", "").want("END")
	r.watch("/api/v1/pods?watch=1&resourceVersion=999999", "").want("ERROR 410 Expired", "END")
	r.watch("/api/v1/pods?watch=1&resourceVersion=999999&labelSelector=app", "").want("ERROR 410 Expired", "END")
	r.get("/api/v1/pods?watch=1&at=-2h").refused(http.StatusBadRequest, metav1.StatusReasonBadRequest, "can't be watched")
	e := r.watch("/api/v1/pods?watch=1&allowWatchBookmarks=true&fieldSelector=metadata.name=none", "")
	r.eu.Apply(pod("other"))
	e.want("BOOKMARK") // what happened was nothing to tell, and where to go on from
	r.revoke()
	e.want("ERROR 401 Unauthorized", "END")
}

// A hub that goes is nothing to a program, which goes on with another watch; kubectl's reader is told.
func TestWatchesAtTheEndOfTheHub(t *testing.T) {
	r := newRig(t)
	program, person := r.watch("/api/v1/namespaces/none/pods?watch=1", ""), r.watch("/api/v1/namespaces/none/pods?watch=1", tableType)
	r.close(fault.New(fault.Unavailable, "this hub is shutting down"))
	program.want("END")
	if told := person.want("ERROR 503 ServiceUnavailable"); told["message"] != "this hub is shutting down" {
		t.Errorf("%v", told)
	}
	person.want("END")
}

// One who opens watches without end is told to stop, and nobody else.
func TestWatchesAreBounded(t *testing.T) {
	r := newRig(t)
	face := New(Config{Live: r.live})
	p := r.principal()
	var ends []func()
	for range maxWatches {
		end, err := face.begin(p)
		if err != nil {
			t.Fatal(err)
		}
		ends = append(ends, end)
	}
	if _, err := face.begin(p); err == nil {
		t.Error("one more is none too many")
	}
	p.Name = "somebody else"
	if _, err := face.begin(p); err != nil {
		t.Error(err)
	}
	for _, end := range ends {
		end()
	}
	if len(face.watches) != 1 {
		t.Errorf("%v is left", face.watches)
	}
}

// A watch outlives what comes between a list and it.
func TestNothingIsLostBetweenListAndWatch(t *testing.T) {
	r := newRig(t)
	from := r.get("/api/v1/pods?limit=1").at("metadata.resourceVersion")
	for i := range 20 {
		r.eu.Apply(pod(fmt.Sprint("n", i)))
	}
	e := r.watch(fmt.Sprint("/api/v1/pods?watch=1&resourceVersion=", from), metaType)
	for i := range 20 {
		if o := e.want(fmt.Sprint("ADDED eu-1/n", i)); o["kind"] != asMetadata {
			t.Fatalf("%v", o)
		}
	}
	r.eu.Apply(without("n3"))
	e.want("DELETED eu-1/n3")
}
