package command

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/kubilitics/kubilitics/hub/internal/client"
	"github.com/kubilitics/kubilitics/shared/fault"
)

func logText(pod string, second int, line string) string {
	return fmt.Sprintf(`{"time":"2026-03-01T12:00:%02dZ","pod":%q,"container":"app","line":%q}`+"\n", second, pod, line)
}

func TestLogs(t *testing.T) {
	t.Parallel()
	d, h := loggedIn(t)
	one := resource("c1", "Pod/shop/web-1", "ok", "")
	one.Attrs = map[string]string{"ready": "1/1"}
	h.tells(map[string]any{
		"/api/v1/resources": func(r *http.Request) any {
			if r.URL.Query().Get("name") == "web-1" {
				return listOf(one)
			}
			return listOf(resource("c1", "Deployment.apps/shop/web", "ok", ""), resource("c2", "Deployment.apps/shop/web", "ok", ""), resource("c3", "Deployment.apps/shop/web", "ok", ""))
		},
		"/api/v1/clusters/c1/logs": logText("web-1", 1, "first") + strings.Replace(logText("web-1", 3, "thi"), "}", `,"partial":true}`, 1) + logText("web-1", 3, "rd"),
		"/api/v1/clusters/c2/logs": logText("web-2", 2, "second") + `{"time":"2026-03-01T12:00:09Z","pod":"web-3","container":"app","note":"restarted","message":"again"}` + "\n",
	})
	want := "eu-1 web-1 app first\nus-1 web-2 app second\neu-1 web-1 app third\n"
	if got := d.run(0, "logs deploy/web --tail 5 --since 5m -c app", "# us-1 web-3 app restarted: again", "gone-1 is offline: its logs can't be read"); got != want {
		t.Errorf("of both clusters:\n%s", got)
	}
	heard := h.heard()
	slices.Sort(heard)
	if heard[0] != "/api/v1/clusters/c1/logs?container=app&format=ndjson&namespace=shop&owner=Deployment.apps%2Fweb&since=5m&tail=5" {
		t.Errorf("asked %q", heard)
	}
	if got := d.run(0, "logs web-1"); got != "first\nthird\n" {
		t.Errorf("of one pod: %q", got)
	}
	if got := d.run(0, "logs web-1 -o json --no-prefix"); !strings.HasPrefix(got, `{"cluster":"eu-1","time":"2026-03-01T12:00:01Z","pod":"web-1","container":"app","line":"first"}`+"\n") {
		t.Errorf("as JSON: %s", got)
	}
	h.tells(map[string]any{
		"/api/v1/resources":        listOf(resource("c1", "Pod/shop/web-1", "ok", ""), resource("c1", "Pod/shop/web-2", "ok", "")),
		"/api/v1/clusters/c1/logs": `{"pod":"web-1","container":"app","note":"failed","message":"no"}`,
	})
	d.run(1, "logs -l app=web", "web-1 app failed: no", "1 logs could not be read")
	if heard := h.heard(); len(heard) != 2 || !strings.Contains(heard[1], "namespace=shop&selector=app%3Dweb") {
		t.Errorf("asked %q", heard)
	}
	h.tells(map[string]any{"/api/v1/resources": listOf(one), "/api/v1/clusters/c1/logs": `{"time":`})
	d.run(1, "logs web-1", "the logs of eu-1 can't be read")
}

// Ctrl-C is how a log that is followed ends; it is no failure.
func TestLogsAreFollowedUntilInterrupted(t *testing.T) {
	t.Parallel()
	d, h := loggedIn(t)
	gone := make(chan struct{})
	h.tells(map[string]any{
		"/api/v1/resources": listOf(resource("c1", "Pod/shop/web-1", "ok", "")),
		"/api/v1/clusters/c1/logs": http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			fmt.Fprint(w, logText("web-1", 1, "first"))
			_ = http.NewResponseController(w).Flush()
			<-r.Context().Done()
			close(gone)
		}),
	})
	cmd := d.command("", "logs", "web-1", "-f")
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	if line, err := bufio.NewReader(out).ReadString('\n'); line != "web-1 app first\n" {
		t.Errorf("%q, %v", line, err)
	}
	if err := cmd.Process.Signal(os.Interrupt); err != nil {
		t.Fatal(err)
	}
	if err := cmd.Wait(); err != nil || stderr.Len() > 0 {
		t.Errorf("%v, %s", err, stderr.String())
	}
	<-gone
}

// Whoever reads the first lines only, as head does, makes no failure of it.
func TestReadersMayLeave(t *testing.T) {
	t.Parallel()
	d, h := loggedIn(t)
	var many []client.Resource
	for i := range 5000 {
		many = append(many, resource("c1", fmt.Sprintf("Pod/shop/web-%d", i), "ok", ""))
	}
	h.tells(map[string]any{"/api/v1/resources": listOf(many...)})
	cmd := d.command("", "get", "pods")
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	if _, err := io.ReadFull(out, make([]byte, 100)); err != nil {
		t.Fatal(err)
	}
	_ = out.Close()
	_ = cmd.Wait() // by a signal, as others end then
	if cmd.ProcessState.ExitCode() > 0 || stderr.Len() > 0 {
		t.Errorf("%v: %s", cmd.ProcessState, stderr.String())
	}
}

func TestEnroll(t *testing.T) {
	t.Parallel()
	d, h := loggedIn(t)
	var looks atomic.Int32
	h.tells(map[string]any{
		"/api/v1/clusters/c9/info": func(*http.Request) any {
			switch looks.Add(1) {
			case 1:
				return fault.New(fault.Unavailable, "not now")
			case 2:
				return `{"cluster":{"freshness":{"state":"live"},"resources":10},"synced":false}`
			}
			return `{"cluster":{"freshness":{"state":"live"},"resources":4812,"edges":9020},"synced":true}`
		},
		"/api/v1/clusters/c1/join-tokens": client.Invited{ID: "c1", Helm: "helm again"},
		"/api/v1/clusters/c1/info":        `{"cluster":{"freshness":{"state":"never"}}}`,
	})
	if got := d.run(0, "enroll lab --label env=lab --wait", "is known to the hub as c9", "lab is live after", "4,812 resources, 9,020 relationships"); got != "cat > hub.crt <<'END'\nROOT\nEND\nhelm install x --ca-file hub.crt --set y\n" {
		t.Errorf("it prints %q", got)
	}
	if got := d.run(0, "enroll lab --program"); got != "kubilitics-agent run\n" {
		t.Errorf("it prints %q", got)
	}
	d.run(1, "enroll taken", "another cluster is called so", "--again makes another command")
	if got := d.run(1, "enroll eu-1 --again --wait --timeout 10ms", "helm upgrade --reset-then-reuse-values instead", "eu-1 isn't live after"); got != "helm again\n" {
		t.Errorf("it prints %q", got)
	}
	d.run(2, "enroll eu-1 --again --label a=b", "--label is for a cluster that is new")
}

func TestExport(t *testing.T) {
	t.Parallel()
	d, h := loggedIn(t)
	h.tells(map[string]any{
		"/api/v1/resources":                   listOf(resource("c1", "Deployment.apps/shop/web", "ok", "")),
		"/api/v1/topology/export":             "<svg/>",
		"/api/v1/clusters/c1/topology/export": "flowchart LR",
	})
	d.run(0, "export -n shop --cluster eu-1 --kind deploy -o shop.svg", "shop.svg: 6 bytes")
	if d.read("shop.svg") != "<svg/>" {
		t.Error("the file is another")
	}
	if got := d.run(0, "export --focus deploy/web --depth 2 --format mermaid"); got != "flowchart LR" {
		t.Errorf("%q", got)
	}
	asked := h.heard()
	if asked[0] != "/api/v1/topology/export?cluster=c1&format=svg&kind=Deployment.apps&namespace=shop" || asked[2] != "/api/v1/clusters/c1/topology/export?depth=2&direction=both&focus=Deployment.apps%2Fshop%2Fweb&format=mermaid" {
		t.Errorf("asked %q", asked)
	}
	h.tells(map[string]any{"/api/v1/topology/export": http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		fmt.Fprint(w, "half")
		_ = http.NewResponseController(w).Flush()
		panic(http.ErrAbortHandler)
	})})
	d.run(5, "export -o half.dot", "has broken off")
	if left, _ := filepath.Glob(filepath.Join(d.home, "*half*")); len(left) > 0 {
		t.Errorf("left: %q", left)
	}
}

const applied = `{"summary":{"created":1,"configured":1,"failed":1},"documents":[
{"line":1,"group":"apps","kind":"Deployment","namespace":"shop","name":"web","outcome":"configured","warnings":["old"],"diff":"--- a\n+++ b\n-1\n+2\n"},
{"line":4,"kind":"ConfigMap","namespace":"shop","name":"new","outcome":"created"},
{"line":6,"kind":"Service","namespace":"shop","name":"web","outcome":"failed","reason":"fields are managed by others","conflicts":[{"manager":"helm","field":".spec.type"}]}]}`

func TestApply(t *testing.T) {
	t.Parallel()
	d, h := loggedIn(t)
	var sent, media string
	h.tells(map[string]any{"/api/v1/clusters/c1/apply": func(r *http.Request) any {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			t.Error(err)
		}
		sent, media = string(body), r.Header.Get("Content-Type")+" "+r.URL.RawQuery
		return applied
	}})
	d.write("docs/a.yaml", "kind: A\n---\nkind: B\n")
	d.write("docs/b.json", `{"kind":"C"}`)
	d.write("docs/README", "none")
	d.write("first.yaml", "kind: First\n")
	d.golden("apply", 1, "apply", "-f", "first.yaml", "-f", "docs", "--cluster", "eu-1", "--dry-run", "--diff")
	if sent != "kind: First\n---\nkind: A\n---\nkind: B\n---\n"+`{"kind":"C"}` || media != "application/yaml diff=true&dryRun=All&fieldValidation=Strict" {
		t.Errorf("sent %q as %s", sent, media)
	}
	d.does(1, `{"kind":"C"}`, []string{"apply", "-f", "-", "--cluster", "eu-1", "--force", "-n", "shop", "--validate", "warn"}, "1 of 3 documents failed")
	if media != "application/json fieldValidation=Warn&force=true&namespace=shop" {
		t.Errorf("sent as %s", media)
	}
	h.tells(map[string]any{"/api/v1/clusters/c1/apply": `{"documents":[],"impact":{"objects":[{"sentence":"Service web is changed","loss":{"affected":[{"kind":"Ingress"}],"counts":{"breaks":1}}}]}}`})
	d.does(0, "kind: C", []string{"apply", "-f", "-", "--cluster", "eu-1", "--dry-run=impact"}, "Service web is changed: 1 break")
	h.tells(map[string]any{"/api/v1/clusters/c1/apply": fault.New(fault.Unavailable, "cluster eu-1 isn't connected to this hub")})
	d.does(1, "kind: C", []string{"apply", "-f", "-", "--cluster", "eu-1"}, "isn't connected", "(request r-19)")
}
