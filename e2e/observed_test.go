package e2e

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/kubilitics/kubilitics/e2e/stack"
	"github.com/kubilitics/kubilitics/shared/obs/obstest"
)

// observed is a hub and an agent that tell everything of themselves: all that they do is traced, and each line of their logs is JSON.
type observed struct {
	*rig
	member *member
	traces *obstest.Collector
}

func observe(t *testing.T, db *database) *observed {
	t.Helper()
	o := &observed{traces: obstest.NewCollector(t)}
	tell := []string{"--trace-endpoint", o.traces.URL, "--trace-sample", "1", "--log-format", "json", "--log-level", "debug"}
	o.rig = start(t, db, tell...)
	o.member = o.join(t, world.eu, world.eu.agent, func(a *stack.AgentOptions) { a.Args = tell })
	o.live(t, o.member)
	return o
}

// ask sends a request of the administrator's, with headers in pairs.
func (o *observed) ask(t *testing.T, path string, header ...string) (*http.Response, []byte) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, o.hub.URL+path, nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+o.hub.Token)
	for i := 0; i+1 < len(header); i += 2 {
		req.Header.Set(header[i], header[i+1])
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp, body
}

// below tells the names from a trace's beginning down to a span, "program name" each.
func below(spans []obstest.Span, s obstest.Span) []string {
	var out []string
	for {
		out = append(out, strings.TrimPrefix(s.Service, "kubilitics-")+" "+s.Name)
		at := slices.IndexFunc(spans, func(p obstest.Span) bool { return p.ID == s.Parent })
		if at < 0 {
			slices.Reverse(out)
			return out
		}
		s = spans[at]
	}
}

// One command of kubectl's through a hub is one trace, from the hub's door through the tunnel and the agent to the API server. A change in the cluster is
// one of the agent's, with which the hub's own, down to the statements, is linked.
func TestTracesGoThroughHubAndAgent(t *testing.T) {
	eachStore(t, func(t *testing.T, db *database) {
		o := observe(t, db)
		config, err := o.hub.Text(t.Context(), "/api/v1/clusters/"+o.member.id+"/kubeconfig")
		if err != nil {
			t.Fatal(err)
		}
		file := filepath.Join(t.TempDir(), "kubeconfig")
		if err := os.WriteFile(file, []byte(config), 0o600); err != nil {
			t.Fatal(err)
		}
		get := exec.CommandContext(t.Context(), world.eu.KubectlPath(), "--kubeconfig", file, "--cache-dir", t.TempDir(), "get", "configmaps", "-n", "payments", "-l", "hunter2=hunter2")
		if out, err := get.CombinedOutput(); err != nil {
			t.Fatalf("%v: %s", err, out)
		}
		want := []string{"hub GET /k8s/clusters/{cluster}/*", "hub forward", "agent door", "agent api server"}
		eventually(t, "one trace goes through both programs", 30*time.Second, func() error {
			spans := o.traces.Spans()
			for _, s := range spans {
				if s.Name != "forward" || s.Attributes["k8s.resource"] != "configmaps" || s.Attributes["k8s.verb"] != "list" {
					continue
				}
				whole := o.traces.Trace(s.Trace)
				for _, last := range whole {
					if slices.Equal(below(whole, last), want) {
						return o.holdsNoContents(t, whole)
					}
				}
			}
			return fmt.Errorf("none of %d spans is the end of %v", len(spans), want)
		})
		o.tracesAChange(t, db)
	})
}

func (o *observed) holdsNoContents(t *testing.T, spans []obstest.Span) error {
	for _, s := range spans {
		for _, secret := range []string{"hunter2", "labelSelector", o.hub.Token, planted} {
			if strings.Contains(s.TextOfAllThatItHas, secret) {
				t.Errorf("the span %q holds %q: %s", s.Name, secret, s.TextOfAllThatItHas)
			}
		}
	}
	return nil
}

func (o *observed) tracesAChange(t *testing.T, db *database) {
	t.Helper()
	made := &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: "traced-" + db.tag, Namespace: "payments"}, Data: map[string]string{"text": "hunter2"}}
	if _, err := world.eu.client.CoreV1().ConfigMaps("payments").Create(t.Context(), made, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the hub's trace of a change is linked with the agent's", 30*time.Second, func() error {
		for _, s := range o.traces.Spans() {
			if s.Name != "apply" || len(s.Linked) == 0 {
				continue
			}
			agents := o.traces.Trace(s.Linked[0])
			whole := o.traces.Trace(s.Trace)
			statement := slices.ContainsFunc(whole, func(s obstest.Span) bool {
				return slices.Contains([]string{"batch", "store.write"}, s.Name)
			})
			if len(agents) == 1 && agents[0].Name == "delta" && agents[0].Attributes["kubilitics.seq"] == s.Attributes["kubilitics.seq"] && statement {
				return o.holdsNoContents(t, append(whole, agents...))
			}
		}
		return fmt.Errorf("there is none among %d spans", len(o.traces.Spans()))
	})
}

// A request has one id wherever it is told of: in the answer's header and problem, in the record, in both programs' logs, and at the API server.
func TestARequestHasOneIDEverywhere(t *testing.T) {
	t.Parallel()
	o := observe(t, &database{name: "sqlite", tag: tag("ids")})
	const id = "one-id-everywhere"
	resp, body := o.ask(t, "/k8s/clusters/"+o.member.id+"/api/v1/namespaces/payments/configmaps/kube-root-ca.crt", "X-Request-Id", id)
	if resp.StatusCode != http.StatusOK || resp.Header.Get("X-Request-Id") != id {
		t.Fatalf("%s, id %q: %s", resp.Status, resp.Header.Get("X-Request-Id"), body)
	}
	if got := resp.Header.Get("Audit-Id"); got != id {
		t.Errorf("the API server calls it %q", got)
	}
	var problem struct{ RequestID string }
	if resp, body = o.ask(t, "/api/v1/clusters/nothing", "X-Request-Id", id+"-2"); json.Unmarshal(body, &problem) != nil || problem.RequestID != id+"-2" {
		t.Errorf("%s: the problem is %s", resp.Status, body)
	}
	eventually(t, "the record has it", 10*time.Second, func() error {
		if text, err := o.hub.Text(t.Context(), "/api/v1/audit?request="+id); err != nil || !strings.Contains(text, `"`+id+`"`) {
			return fmt.Errorf("%w: %s", err, text)
		}
		return nil
	})
	for name, log := range map[string]*logbook{"hub": o.log, "agent": o.member.log} {
		eventually(t, "the log of the "+name+" has it, with the trace", 10*time.Second, func() error {
			if log.count(`"request":"`+id+`"`, `"trace":"`) == 0 {
				return fmt.Errorf("it ends:\n%s", lastLines(log, 10))
			}
			return nil
		})
	}
}

// ofRequests are the loggers whose lines are about requests, ofSessions those whose are about sessions, with what each line must carry; lines that are about neither
// are listed by how they begin.
var (
	ofRequests = []string{"api", "kube", "fleet", "ops", "pods"}
	ofSessions = map[string][]string{"ingest": {"cluster", "epoch", "instance"}, "uplink": {"cluster", "epoch", "instance"}}
	ofNobody   = []string{"not all requests to clusters have ended"}
)

// Each line of the logs of a hub and an agent is JSON, and names the request or the session that it is about.
func TestLinesOfLogsNameRequestAndSession(t *testing.T) {
	t.Parallel()
	o := observe(t, &database{name: "sqlite", tag: tag("lines")})
	k8s := "/k8s/clusters/" + o.member.id
	for _, path := range []string{
		"/api/v1/clusters", "/api/v1/resources?q=kind:Pod", "/api/v1/nothing", k8s + "/api/v1/pods", k8s + "/api/v1/secrets", k8s + "/nothing", "/k8s/fleet/api/v1/pods", "/k8s/nothing",
	} {
		o.ask(t, path)
	}
	o.member.agent.Kill() // in the middle of its session
	o.member.restart(t)
	eventually(t, "a second session is told", 30*time.Second, func() error {
		if o.log.count(`"msg":"sync session opened"`) < 2 || o.member.log.count(`"msg":"everything is told and acknowledged"`) < 2 {
			return fmt.Errorf("it isn't")
		}
		return nil
	})
	seen := map[string]int{}
	for name, log := range map[string]*logbook{"hub": o.log, "agent": o.member.log} {
		for line := range strings.Lines(log.String()) {
			if line[len(line)-1] == '\n' {
				checkLine(t, name, line, seen)
			}
		}
	}
	for _, logger := range []string{"hub api", "agent kube", "hub ingest", "agent uplink"} {
		if seen[logger] == 0 {
			t.Errorf("no line is of %q", logger)
		}
	}
}

func checkLine(t *testing.T, program, line string, seen map[string]int) {
	t.Helper()
	var fields map[string]any
	if err := json.Unmarshal([]byte(line), &fields); err != nil {
		t.Errorf("%s: %v: %s", program, err, line)
		return
	}
	logger, _ := fields["logger"].(string)
	logger, _, _ = strings.Cut(logger, ".")
	msg, _ := fields["msg"].(string)
	seen[program+" "+logger]++
	want := ofSessions[logger]
	if slices.Contains(ofRequests, logger) {
		want = []string{"request"}
	}
	if program == "agent" {
		want = append(want[:len(want):len(want)], "instance")
	}
	if slices.ContainsFunc(ofNobody, func(begin string) bool { return strings.HasPrefix(msg, begin) }) {
		return
	}
	for _, key := range want {
		if _, has := fields[key]; !has {
			t.Errorf("a line of the %s's log has no %q: %s", program, key, line)
		}
	}
}
