package command

import (
	"bytes"
	"encoding/json"
	"flag"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/kubilitics/kubilitics/hub/internal/client"
	"github.com/kubilitics/kubilitics/shared/fault"
)

var rewrite = flag.Bool("rewrite", false, "take what is printed as right")

// golden holds what a command prints, to standard output and then to standard error, against a file.
func (d *desk) golden(name string, code int, args ...string) {
	d.t.Helper()
	var stdout, stderr bytes.Buffer
	cmd := d.command("", args...)
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	_ = cmd.Run() // its code is looked at
	if got := cmd.ProcessState.ExitCode(); got != code {
		d.t.Errorf("kubilitics %q ended with %d, want %d: %s", args, got, code, stderr.String())
	}
	text := "$ kubilitics " + strings.Join(args, " ") + "\n" + stdout.String()
	if stderr.Len() > 0 {
		text += "--\n" + stderr.String()
	}
	path := filepath.Join("testdata", name+".txt")
	if *rewrite {
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil { //nolint:gosec // it is source text
			d.t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil || string(want) != text {
		d.t.Errorf("%s is not what is printed (%v; -rewrite takes it):\n%s", path, err, text)
	}
}

var (
	then  = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	heard = then.Add(-20 * time.Minute)
	seen  = client.Meta{Position: 7, At: then, Freshness: map[string]client.Freshness{"c1": {State: "live"}, "c2": {State: "stale", LastHeard: heard}}}
)

func text(s string) *string { return &s }

func ref(name string) client.Ref {
	parts := strings.Split(name, "/") // Kind.group/namespace/name
	kind, group, _ := strings.Cut(parts[0], ".")
	r := client.Ref{ID: name, Kind: kind, Group: group, Name: parts[len(parts)-1]}
	if len(parts) == 3 {
		r.Namespace = parts[1]
	}
	return r
}

func resource(cluster, name, health, status string) client.Resource {
	created := then.Add(-3 * time.Hour)
	r := client.Resource{Cluster: cluster, Ref: ref(name), Presence: "present", Created: &created, Health: health, Status: status}
	if health == "missing" {
		r.Presence, r.Health, r.Created = "missing", "unknown", nil
	}
	return r
}

func listOf[T any](items ...T) client.List[T] {
	out := client.List[T]{Meta: seen, Total: &client.Total{Count: len(items), Exact: true}}
	for _, v := range items {
		out.Items = append(out.Items, client.Kept[T]{Value: v})
	}
	return out
}

func TestTables(t *testing.T) {
	t.Parallel()
	d, h := loggedIn(t)
	ago := then.Add(-3 * time.Hour)
	health := client.Health{Meta: seen, Level: "namespace", Groups: []client.HealthGroup{
		{Cluster: "c2", Namespace: "shop", Worst: "ok", Health: client.HealthCounts{OK: 4}, Stale: true},
		{Cluster: "c1", Namespace: "shop", Worst: "error", Health: client.HealthCounts{Error: 2, OK: 4}, Missing: 1, Bad: []client.BadObject{
			{Cluster: "c1", Ref: ref("Pod/shop/web-1"), Why: "CrashLoopBackOff"}, {Cluster: "c1", Ref: ref("Pod/shop/web-2"), Why: "Pending"}}},
	}}
	h.tells(map[string]any{
		"/api/v1/resources": listOf(resource("c1", "Pod/shop/web-1", "error", "CrashLoopBackOff"), resource("c2", "Pod/shop/web\x1b[2J", "ok", "Running"), resource("c1", "ConfigMap/shop/gone", "missing", "")),
		"/api/v1/search":    client.List[client.Resource]{Meta: seen, Items: listOf(resource("c1", "Deployment.apps/shop/web", "ok", "2/2")).Items, More: true, Total: &client.Total{Count: 1234}},
		"/api/v1/topology/findings": listOf(client.Finding{Kind: "missing-target", Severity: "error", Cluster: "c1", Object: ref("Deployment.apps/shop/web"), Sentence: "Deployment web refers to ConfigMap gone, which isn't there",
			SinceAt: &ago, Confidence: "high"}),
		"/api/v1/events": listOf(client.Event{Cluster: "c1", Namespace: "shop", Regarding: ref("Pod/shop/web-1"), Type: "Warning", Reason: "BackOff", Message: "Back-off\nrestarting", Count: 9, Last: time.Now().Add(-3 * time.Hour)}),
		"/api/v1/health": health,
		"/api/v1/audit": client.List[client.AuditRecord]{Shown: "own", Continue: "more", Items: listOf(client.AuditRecord{At: then, Request: "r-1", Who: "ada", Via: "kubernetes", Cluster: "c1", Verb: "create",
			Resource: "pods/exec", Namespace: "shop", Name: "web-1", Command: []string{"sh", "-c", "ls"}, Outcome: "refused", Status: 403, TookMS: 1.26}).Items},
	})
	for name, args := range map[string]string{
		"get": "get pods --at 2026-03-01T12:00:00Z", "get-wide": "get pods,cm --at 2026-03-01T12:00:00Z -o wide", "get-name": "get all -o name", "search": "search web --at 2026-03-01T12:00:00Z", "findings": "findings --at 2026-03-01T12:00:00Z",
		"events": "events", "health": "health --level namespace", "audit": "audit --limit 1",
	} {
		d.golden(name, 0, strings.Fields(args)...)
	}
	d.run(6, "findings --exit-code --at 2026-03-01T12:00:00Z", "missing-target")
	h.tells(map[string]any{"/api/v1/topology/findings": listOf[client.Finding]()})
	d.run(0, "findings --exit-code", "nothing was found")
}

// What programs are given lacks nothing of what the hub told, on however many pages.
func TestPages(t *testing.T) {
	t.Parallel()
	d, h := loggedIn(t)
	h.tells(map[string]any{"/api/v1/resources": func(r *http.Request) any {
		if r.URL.Query().Get("continue") == "" {
			return `{"position":7,"freshness":{"c1":{"state":"live"}},"items":[{"cluster":"c1","kind":"Pod","name":"a","novelty":{"x":1}}],"total":{"count":2,"exact":true},"continue":"t1"}`
		}
		return `{"position":7,"freshness":{"c2":{"state":"live"}},"items":[{"cluster":"c2","kind":"Pod","name":"b"}],"total":{"count":2,"exact":true}}`
	}})
	var list struct {
		Items []struct {
			Name    string
			Novelty map[string]int
		}
		Freshness map[string]any
		Continue  string
	}
	out := d.run(0, "get po --limit 0 -o json -n shop,lab -l app=web -q restarts>3 --at -2h --cluster us-1,eu*")
	if err := json.Unmarshal([]byte(out), &list); err != nil || len(list.Items) != 2 || list.Items[0].Novelty["x"] != 1 || len(list.Freshness) != 2 || list.Continue != "" {
		t.Errorf("%v: %s", err, out)
	}
	want := []string{
		"/api/v1/resources?at=-2h&cluster=c2&cluster=c1&kind=Pod&labelSelector=app%3Dweb&limit=1000&namespace=shop&namespace=lab&q=restarts%3E3",
		"/api/v1/resources?at=-2h&cluster=c2&cluster=c1&continue=t1&kind=Pod&labelSelector=app%3Dweb&limit=1000&namespace=shop&namespace=lab&q=restarts%3E3",
	}
	if got := h.heard(); strings.Join(got, "\n") != strings.Join(want, "\n") {
		t.Errorf("asked %q", got)
	}
	d.run(0, "get pods --limit 1", "1 of 2 resources are shown; --limit 0 shows all")
}

// Whatever is named can be wrong; what is told then helps.
func TestNames(t *testing.T) {
	t.Parallel()
	d, h := loggedIn(t)
	noKind := fault.New(fault.BadRequest, "no kind is known by the name %q", "x")
	h.tells(map[string]any{
		"/api/v1/resources": func(r *http.Request) any {
			switch q := r.URL.Query(); {
			case q.Get("kind") == "deply":
				return noKind
			case q.Get("name") == "web":
				return listOf(resource("c1", "Pod/shop/web", "ok", ""), resource("c2", "Pod/shop/web", "ok", ""))
			case q.Get("name") != "":
				return listOf[client.Resource]()
			}
			return listOf(resource("c1", "Pod/shop/web", "ok", ""))
		},
		"/api/v1/search/values": `{"items":[{"text":"Deployment.apps"},{"text":"Pod"}]}`,
	})
	for args, want := range map[string]string{
		"get": "of which kind?", "get deply": "the nearest one is deploy", "get pods -A -n shop": "exclude", "tree web": "names no object", "tree a/b/c/d": "names no object",
		"tree pod/web": "2 are called so: Pod shop/web in eu-1, Pod shop/web in us-1; say which", "paths --from pod/web": "--from and --to", "diff": "--from says since when",
		"export": "--format says", "export --format bmp": "svg", "logs": "whose logs?", "logs web -l a=b": "whose logs?", "history pod/web --revision 1 --compare 2": "exclude", "apply": "-f says which",
		"apply -f /nowhere": "-f names", "apply -f /dev/null": "which cluster? --cluster can be eu-1, gone-1, us-1", "apply -f /dev/null --dry-run=x": "server or impact", "get pods --limt 3": "--limit", "enroll": "takes NAME",
		"diff --from -1h --relationships few": "kept, all or none",
	} {
		d.run(2, args, want)
	}
	for args, want := range map[string]string{
		"get pods --cluster eu": "the nearest one is eu-1", "get pod wep": "there is no pod wep; the nearest one is web", "tree pod/wep -n shop": "there is no pod shop/wep; the nearest one is web",
		"logs wep": "the nearest one is web", "impact pod/wep --cluster c1": "nearest one is web",
	} {
		d.run(4, args, want)
	}
}

func TestReadNaming(t *testing.T) {
	for args, want := range map[string]naming{
		"po/web": {"Pod", "", "web"}, "deploy web": {"Deployment.apps", "", "web"}, "PODS/shop/web": {"PODS", "shop", "web"}, "deployment.apps/web": {"deployment.apps", "", "web"},
		"pod": {}, "pod/": {}, "/web": {}, "a b c d": {}, "po,svc/web": {},
	} {
		if got, err := readNaming(strings.Fields(args)); got != want || (err == nil) != (want != naming{}) {
			t.Errorf("%s: %+v, %v", args, got, err)
		}
	}
}

func TestTime(t *testing.T) {
	t.Parallel()
	d, h := loggedIn(t)
	before, after, gone := resource("c1", "Deployment.apps/shop/web", "ok", "2/2"), resource("c1", "Deployment.apps/shop/web", "error", "0/2"), resource("c2", "Pod/shop/web-1", "ok", "Running")
	fields := []client.FieldChange{{Field: "status", Before: text("2/2"), After: text("0/2")}, {Field: "attrs.image", After: text("web:2")}, {Field: "manifest", Before: text("a"), After: text("b")}}
	edge := client.Edge{Cluster: "c1", Source: after.Ref, Target: ref("ConfigMap/shop/web"), Type: "mounts"}
	implied := client.Edge{Cluster: "c2", Source: gone.Ref, Target: ref("Node/n1"), Type: "runs-on"}
	ended, path := then.Add(time.Hour), "/api/v1/clusters/c1/resources/apps/-/deployment/shop/web/"
	h.tells(map[string]any{
		"/api/v1/topology/diff": client.Diff{
			Meta: seen, From: client.Moment{Position: 3, At: then.Add(-2 * time.Hour)}, Counts: client.DiffCounts{Removed: 1, Changed: 1, EdgesAdded: 1, EdgesRemoved: 1, Exact: true},
			Nodes: []client.Kept[client.Change[client.Resource]]{{Value: client.Change[client.Resource]{Op: "changed", Before: &before, After: &after, Changed: fields}}, {Value: client.Change[client.Resource]{Op: "removed", Before: &gone, Late: true}}},
			Edges: []client.Kept[client.Change[client.Edge]]{{Value: client.Change[client.Edge]{Op: "added", After: &edge}}, {Value: client.Change[client.Edge]{Op: "removed", Before: &implied}}},
		},
		"/api/v1/resources": listOf(after),
		path + "history": listOf(client.Revision{Revision: 7, From: &then, Until: 9, To: &ended, Changed: fields, Resource: after, Late: true, Went: true},
			client.Revision{Revision: 3, Came: true, Resource: before}),
		path + "history/3": client.RevisionText{Revision: client.Revision{Revision: 3}, YAML: "kind: Deployment\n", Mode: "attributes"},
		path + "compare":   client.Comparison{Unified: "--- 3\n+++ 7\n@@ -1 +1 @@\n-replicas: 2\n+replicas: 0\n", Mode: "manifest"},
	})
	d.golden("diff", 0, "diff", "--from", "-2h")
	d.golden("diff-all", 6, "diff", "--from", "-2h", "--relationships", "all", "--exit-code")
	d.golden("history", 0, "history", "deploy/web", "-n", "shop")
	d.golden("revision", 0, "history", "deploy/web", "--revision", "3")
	d.golden("compare", 0, "history", "deploy", "web", "--compare", "3")
	if asked := h.heard(); !strings.HasSuffix(asked[len(asked)-1], "compare?context=3&from=3&to=7") {
		t.Errorf("asked %q", asked)
	}
}

// The shell of somebody who types gets what there is, and nothing at all where that isn't to be had.
func TestWordsAreCompleted(t *testing.T) {
	t.Parallel()
	d, h := loggedIn(t)
	h.tells(map[string]any{
		"/api/v1/search/values": func(r *http.Request) any {
			if r.URL.Query().Get("key") == "ns" {
				return `{"items":[{"text":"shop"},{"text":"payments"}]}`
			}
			return `{"items":[{"text":"Pod"},{"text":"Deployment.apps"}]}`
		},
		"/api/v1/resources": listOf(resource("c1", "Pod/shop/web", "ok", ""), resource("c2", "Pod/shop/web", "ok", "")),
	})
	for args, want := range map[string]string{
		"get po": "po\npod\n", "get pods w": "web\n", "tree pod/w": "pod/web\n", "get pods --cluster eu": "eu-1\n", "get pods --cluster eu-1,u": "eu-1,us-1\n", "get pods -n s": "shop\n",
		"findings --severity w": "error\nwarning\n", "health --level app": "tenant\n", "logs w": "web\n", "export --format s": "csv\n", "paths --from pod/": "pod/web\n", "enroll e": "eu-1\n",
	} {
		if got, _, _ := strings.Cut(d.run(0, "__complete "+args), ":4"); !strings.HasPrefix(got, want) {
			t.Errorf("%s: %q", args, got)
		}
	}
	if asked := h.heard(); len(asked) == 0 {
		t.Error("nothing was asked")
	}
	d.name = "/usr/local/bin/kubectl_complete-kubilitics"
	if got := d.run(0, "get pods --cluster eu"); !strings.HasPrefix(got, "eu-1\n") {
		t.Errorf("for kubectl: %q", got)
	}
	d.name = "kubilitics"
	h.Close()
	if got := d.run(0, "__complete get pods -n s"); got != ":4\n" {
		t.Errorf("without a hub: %q", got)
	}
}
