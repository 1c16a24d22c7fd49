package e2e

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/coder/websocket"
	"k8s.io/client-go/kubernetes"

	"github.com/kubilitics/kubilitics/e2e/kube"
	"github.com/kubilitics/kubilitics/e2e/stack"
)

const podStreamsObjects = `
apiVersion: apps/v1
kind: Deployment
metadata: {name: chat, namespace: default}
spec:
  replicas: 2
  selector: {matchLabels: {app: chat}}
  template:
    metadata: {labels: {app: chat}}
    spec: {containers: [{name: talker, image: none}, {name: quiet, image: none, ports: [{name: web, containerPort: 8080}]}]}
---
apiVersion: v1
kind: Service
metadata: {name: chat, namespace: default}
spec: {selector: {app: chat}, ports: [{name: http, port: 80, targetPort: web}]}
`

// podStreams is a run of TestPodStreams: a cluster, and a hub whose agent there may do everything.
type podStreams struct {
	*rig
	cluster *kube.Cluster
	direct  *kubernetes.Clientset // not through the hub
	member  *member
	pods    []string
}

// What people do with running pods works through hub, tunnel and agent on a real control plane, whatever breaks on the way.
func TestPodStreams(t *testing.T) {
	t.Parallel()
	p := &podStreams{cluster: kube.ForTest(t, kube.Options{Name: "streams", Nodes: 1, Exec: true, Metrics: true})}
	if err := p.cluster.Apply(t.Context(), []byte(podStreamsObjects)); err != nil {
		t.Fatal(err)
	}
	var err error
	if p.direct, err = kubernetes.NewForConfig(p.cluster.RESTConfig()); err != nil {
		t.Fatal(err)
	}
	p.rig = start(t, &database{name: "sqlite", tag: tag("sqlite")})
	p.member = p.join(t, &cluster{name: "streams"}, p.cluster.KubeconfigPath(), func(o *stack.AgentOptions) { o.Args = []string{"--access", "operate"} })
	p.live(t, p.member)
	if _, err := p.cluster.Kubectl(t.Context(), nil, "rollout", "status", "deployment/chat", "--timeout=30s"); err != nil {
		t.Fatal(err)
	}
	names, err := p.cluster.Kubectl(t.Context(), nil, "get", "pods", "-l", "app=chat", "-o", "jsonpath={.items[*].metadata.name}")
	if err != nil {
		t.Fatal(err)
	}
	p.pods = strings.Fields(string(names))
	for _, step := range []struct {
		name string
		run  func(*testing.T)
	}{
		{"logs", p.logs}, {"logs that are followed", p.follow}, {"the client leaves", p.leaves}, {"exec", p.exec}, {"port-forward", p.forward},
		{"figures", p.figures}, {"events", p.events}, {"what is refused", p.refusals}, {"a token is revoked", p.revoked}, {"the agent restarts", p.agentRestarts}, {"offline", p.offline},
	} {
		t.Run(step.name, step.run)
	}
}

func (p *podStreams) path(what string, pairs ...string) string {
	q := url.Values{"namespace": {"default"}}
	for i := 0; i < len(pairs); i += 2 {
		q.Add(pairs[i], pairs[i+1])
	}
	return "/api/v1/clusters/" + p.member.id + "/" + what + "?" + q.Encode()
}

func (p *podStreams) say(t *testing.T, text string) {
	t.Helper()
	if err := p.cluster.Talk(text); err != nil {
		t.Fatal(err)
	}
}

func (p *podStreams) logs(t *testing.T) {
	p.say(t, "first words")
	for _, who := range []string{"selector=app=chat", "owner=Deployment/chat", "owner=deploy/chat", "owner=Service/chat"} {
		key, value, _ := strings.Cut(who, "=")
		text, err := p.hub.Text(t.Context(), p.path("logs", key, value, "container", "talker", "tail", "1"))
		if err != nil {
			t.Fatal(err)
		}
		for _, pod := range p.pods {
			if strings.Count(text, pod+" talker first words\n") != 1 || strings.Count(text, "\n") != len(p.pods) {
				t.Errorf("%s:\n%s", who, text)
			}
		}
	}
	text, err := p.hub.Text(t.Context(), p.path("logs", "pod", p.pods[0], "format", "ndjson"))
	if err != nil {
		t.Fatal(err)
	}
	last := time.Time{}
	seen := map[string]int{}
	for line := range strings.Lines(text) {
		var l struct {
			Time                 time.Time
			Pod, Container, Line string
		}
		if err := json.Unmarshal([]byte(line), &l); err != nil || l.Pod != p.pods[0] || l.Time.Before(last) {
			t.Errorf("%v: %s", err, line)
		}
		last = l.Time
		seen[l.Container]++
	}
	if seen["talker"] < 2 || seen["quiet"] != 1 {
		t.Errorf("lines by container: %v", seen)
	}
	text, err = p.hub.Text(t.Context(), p.path("logs", "pod", p.pods[0], "container", "quiet", "previous", "true", "timestamps", "true", "prefix", "false"))
	if want := "2029-12-31T00:00:00.000000000Z This container came before: it was simulated too.\n"; err != nil || text != want {
		t.Errorf("%q, %v", text, err)
	}
}

// stream is an answer that goes on.
type stream struct {
	t      *testing.T
	header http.Header
	lines  chan string
	leave  context.CancelFunc
}

func (p *podStreams) open(t *testing.T, token, path string) *stream {
	t.Helper()
	ctx, leave := context.WithCancel(t.Context())
	t.Cleanup(leave)
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, p.hub.URL+path, nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+token)
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	if resp.StatusCode != http.StatusOK {
		text, _ := io.ReadAll(resp.Body)
		t.Fatalf("%s: %s", resp.Status, text)
	}
	s := &stream{t: t, header: resp.Header, lines: make(chan string, 1024), leave: leave}
	go func() {
		defer close(s.lines)
		defer resp.Body.Close()
		for scan := bufio.NewScanner(resp.Body); scan.Scan(); {
			s.lines <- scan.Text()
		}
	}()
	return s
}

func (s *stream) next() string {
	s.t.Helper()
	select {
	case line := <-s.lines:
		return line
	case <-time.After(30 * time.Second):
		s.t.Fatal("nothing came")
		return ""
	}
}

// until reads to a line that holds the words, and gives what came before it.
func (s *stream) until(words string) (before []string) {
	s.t.Helper()
	limit := time.NewTimer(30 * time.Second)
	defer limit.Stop()
	for {
		select {
		case line, more := <-s.lines:
			switch {
			case !more:
				s.t.Fatalf("the stream ended before %q; it said %q", words, before)
			case strings.Contains(line, words):
				return before
			}
			before = append(before, line)
		case <-limit.C:
			s.t.Fatalf("%q didn't come; what came is %q", words, before)
		}
	}
}

func (p *podStreams) follow(t *testing.T) {
	s := p.open(t, p.hub.Token, p.path("logs", "selector", "app=chat", "container", "talker", "follow", "true", "tail", "0", "format", "sse"))
	if got := s.header.Get("Content-Type"); got != "text/event-stream; charset=utf-8" {
		t.Error(got)
	}
	s.until("retry")
	p.untilFollowed(t, len(p.pods))
	p.say(t, "spoken while followed")
	s.until("spoken while followed")
	if _, err := p.cluster.Kubectl(t.Context(), nil, "scale", "deployment/chat", "--replicas=3"); err != nil {
		t.Fatal(err)
	}
	s.until(`"note":"joined"`)
	p.say(t, "spoken by three")
	by := map[string]bool{}
	for len(by) < 3 {
		s.until("event: line")
		var l struct{ Pod, Line string }
		if err := json.Unmarshal([]byte(strings.TrimPrefix(s.next(), "data: ")), &l); err != nil {
			t.Fatal(err)
		}
		if l.Line == "spoken by three" {
			by[l.Pod] = true
		}
	}
	if _, err := p.cluster.Kubectl(t.Context(), nil, "scale", "deployment/chat", "--replicas=2"); err != nil {
		t.Fatal(err)
	}
	s.until(`"note":"ended"`)
}

// untilFollowed waits until the API server serves so many logs that are followed.
func (p *podStreams) untilFollowed(t *testing.T, n int) {
	t.Helper()
	eventually(t, fmt.Sprintf("%d logs are followed", n), 20*time.Second, func() error {
		if got := p.followed(t); got != n {
			return fmt.Errorf("%d are", got)
		}
		return nil
	})
}

// followed is how many logs the API server is serving.
func (p *podStreams) followed(t *testing.T) int {
	t.Helper()
	text, err := p.direct.RESTClient().Get().AbsPath("/metrics").DoRaw(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(text)) {
		if strings.HasPrefix(line, "apiserver_longrunning_requests{") && strings.Contains(line, `subresource="log"`) {
			var n float64
			if _, err := fmt.Sscan(line[strings.LastIndex(line, " ")+1:], &n); err != nil {
				t.Fatal(err)
			}
			return int(n)
		}
	}
	return 0
}

func (p *podStreams) leaves(t *testing.T) {
	p.untilFollowed(t, 0)
	s := p.open(t, p.hub.Token, p.path("logs", "selector", "app=chat", "container", "talker", "follow", "true", "tail", "1"))
	for range p.pods {
		s.until("talker")
	}
	p.untilFollowed(t, len(p.pods))
	s.leave()
	left := time.Now()
	for p.followed(t) > 0 && time.Since(left) < 10*time.Second {
		time.Sleep(20 * time.Millisecond)
	}
	if took := time.Since(left); took > 1500*time.Millisecond { // a second, and the time to ask
		t.Errorf("the cluster went on for %s", took)
	}
}

func (p *podStreams) dial(t *testing.T, path, protocol string, header http.Header) *websocket.Conn {
	t.Helper()
	if header == nil {
		header = http.Header{"Authorization": {"Bearer " + p.hub.Token}}
	}
	conn, resp, err := websocket.Dial(t.Context(), "ws"+strings.TrimPrefix(p.hub.URL, "http")+path, &websocket.DialOptions{HTTPHeader: header, Subprotocols: []string{protocol}})
	if err != nil {
		text := []byte{}
		if resp != nil && resp.Body != nil {
			text, _ = io.ReadAll(resp.Body)
		}
		t.Fatalf("%v: %s", err, text)
	}
	t.Cleanup(func() { _ = conn.CloseNow() })
	conn.SetReadLimit(1 << 20)
	if conn.Subprotocol() != protocol {
		t.Errorf("protocol %q", conn.Subprotocol())
	}
	return conn
}

// run runs a command with an input and gives its outputs and its end.
func (p *podStreams) run(t *testing.T, stdin string, command ...string) (stdout, stderr, end string) {
	t.Helper()
	pairs := []string{"pod", p.pods[0], "container", "quiet", "stdin", "true"}
	for _, c := range command {
		pairs = append(pairs, "command", c)
	}
	conn := p.dial(t, p.path("exec", pairs...), "kubilitics.exec.v1", nil)
	for _, message := range []string{"\x00" + stdin, "\xff\x00"} {
		if err := conn.Write(t.Context(), websocket.MessageBinary, []byte(message)); err != nil {
			t.Fatal(err)
		}
	}
	ctx, cancel := stack.Within(t.Context(), 30*time.Second)
	defer cancel()
	for {
		_, m, err := conn.Read(ctx)
		switch {
		case websocket.CloseStatus(err) == websocket.StatusNormalClosure:
			return stdout, stderr, end
		case err != nil:
			t.Fatalf("%v, after %q %q %q", err, stdout, stderr, end)
		}
		switch m[0] {
		case 1:
			stdout += string(m[1:])
		case 2:
			stderr += string(m[1:])
		case 3:
			end += string(m[1:])
		}
	}
}

func (p *podStreams) exec(t *testing.T) {
	if out, _, end := p.run(t, "until its end", "cat"); out != "until its end" || end != `{"exitCode":0}` {
		t.Errorf("cat: %q, %s", out, end)
	}
	out, errs, end := p.run(t, "", "sh", "-c", "echo said; echo wrong >&2; exit 42")
	if out != "said\n" || errs != "wrong\n" || !strings.Contains(end, `"exitCode":42`) {
		t.Errorf("sh: %q, %q, %s", out, errs, end)
	}
	conn := p.dial(t, p.path("exec", "pod", p.pods[0], "container", "quiet", "stdin", "true", "tty", "true", "command", "sh"), "kubilitics.exec.v1", nil)
	// The size takes a way of its own, and may come after what is typed. (The terminal says again what is typed: the two numbers don't stand together there.)
	for _, m := range []string{"\x04" + `{"width":77,"height":33}`, "\x00high=33; until test \"$(stty size)\" = \"$high 77\"; do sleep 0.1; done; stty size; exit 3\n"} {
		if err := conn.Write(t.Context(), websocket.MessageBinary, []byte(m)); err != nil {
			t.Fatal(err)
		}
	}
	if all, err := heard(t, conn); !strings.Contains(all, "33 77") || !strings.Contains(all, `"exitCode":3`) {
		t.Errorf("terminal: %q, %v", all, err)
	}
}

// heard is all that comes on a socket, and how it ends.
func heard(t *testing.T, conn *websocket.Conn) (string, error) {
	t.Helper()
	ctx, cancel := stack.Within(t.Context(), 30*time.Second)
	defer cancel()
	var all bytes.Buffer
	for {
		_, m, err := conn.Read(ctx)
		if err != nil {
			return all.String(), err
		}
		all.Write(m)
	}
}

func (p *podStreams) forward(t *testing.T) {
	for _, target := range [][]string{{"pod", p.pods[0], "port", "web"}, {"service", "chat", "port", "http"}} {
		conn := p.dial(t, p.path("portforward", target...), "kubilitics.portforward.v1", nil)
		for _, message := range []string{"GET /healthz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n", ""} { // the empty one: that is all
			if err := conn.Write(t.Context(), websocket.MessageBinary, []byte(message)); err != nil {
				t.Fatal(err)
			}
		}
		if got, err := heard(t, conn); !strings.HasPrefix(got, "HTTP/1.1 200 OK") || websocket.CloseStatus(err) != websocket.StatusNormalClosure {
			t.Errorf("%v: %q, %v", target, got, err)
		}
	}
}

func (p *podStreams) figures(t *testing.T) {
	if err := p.cluster.MetricsServed(t.Context()); err != nil {
		t.Fatal(err)
	}
	var nodes, pods struct {
		Available bool
		Reason    string
		Items     []struct {
			Name, Namespace   string
			Window            float64
			Used, Allocatable struct{ CPU, Memory float64 }
			Containers        []struct{ Name string }
		}
	}
	if err := p.hub.Get(t.Context(), "/api/v1/clusters/"+p.member.id+"/metrics/nodes?allocatable=true", &nodes); err != nil {
		t.Fatal(err)
	}
	if len(nodes.Items) != 1 || nodes.Items[0].Used.CPU <= 0 || nodes.Items[0].Allocatable.Memory <= 0 || nodes.Items[0].Window <= 0 {
		t.Errorf("%+v", nodes)
	}
	eventually(t, "the pods' figures are there", 40*time.Second, func() error {
		if err := p.hub.Get(t.Context(), p.path("metrics/pods", "selector", "app=chat"), &pods); err != nil {
			return err
		}
		if len(pods.Items) != 2 || len(pods.Items[0].Containers) != 2 || pods.Items[0].Used.CPU < 0.03 || pods.Items[0].Used.Memory != 2*32<<20 {
			return fmt.Errorf("%+v", pods)
		}
		return nil
	})
	var none struct{ Available, Cause, Reason any }
	reference := world.eu.reference
	if err := world.reference.hub.Get(t.Context(), "/api/v1/clusters/"+reference.id+"/metrics/nodes", &none); err != nil {
		t.Fatal(err)
	}
	if none.Available != false || none.Cause != "not-installed" || none.Reason == "" {
		t.Errorf("a cluster without metrics: %+v", none)
	}
}

// events are listed from the index, and streamed, of a cluster and of what they are about.
func (p *podStreams) events(t *testing.T) {
	s := p.open(t, p.hub.Token, "/api/v1/stream?what=events&regarding=Deployment/default/chat&cluster="+p.member.id)
	s.until("retry")
	if _, err := p.cluster.Kubectl(t.Context(), nil, "scale", "deployment/chat", "--replicas=3"); err != nil {
		t.Fatal(err)
	}
	for _, line := range s.until("ScalingReplicaSet") {
		if strings.Contains(line, `"event":`) {
			t.Errorf("something else happened: %s", line)
		}
	}
	var list struct {
		Items []struct {
			Reason    string
			Regarding struct{ Kind, Name string }
		}
	}
	eventually(t, "the event is listed", 10*time.Second, func() error {
		if err := p.hub.Get(t.Context(), "/api/v1/clusters/"+p.member.id+"/events?regarding=Deployment/default/chat", &list); err != nil {
			return err
		}
		if len(list.Items) < 2 {
			return fmt.Errorf("%+v", list)
		}
		return nil
	})
	for _, e := range list.Items {
		if e.Regarding.Kind != "Deployment" || e.Regarding.Name != "chat" {
			t.Errorf("%+v", e)
		}
	}
	if _, err := p.cluster.Kubectl(t.Context(), nil, "scale", "deployment/chat", "--replicas=2"); err != nil {
		t.Fatal(err)
	}
}

// problemOf is the problem that a request comes to.
func (p *podStreams) problemOf(t *testing.T, path string) (status int, code, message string) {
	t.Helper()
	err := p.hub.Get(t.Context(), path, nil)
	var problem *stack.Problem
	if !errors.As(err, &problem) {
		t.Fatalf("%s: %v", path, err)
	}
	var body struct{ Code, Message string }
	if err := json.Unmarshal([]byte(problem.Body), &body); err != nil {
		t.Fatal(err)
	}
	return problem.Status, body.Code, body.Message
}

func (p *podStreams) refusals(t *testing.T) {
	for path, want := range map[string]string{
		p.path("logs", "pod", "nobody"):                                     `NOT_FOUND pods "nobody" not found`,
		p.path("logs", "pod", p.pods[0], "container", "nothing"):            `NOT_FOUND none of these pods has such a container`,
		p.path("logs", "selector", "app=none"):                              `NOT_FOUND no pod in namespace "default"`,
		p.path("logs", "pod", "../../secrets/x"):                            `BAD_REQUEST what is asked for isn't all valid`,
		p.path("logs"):                                                      `BAD_REQUEST what is asked for isn't all valid`,
		p.path("exec", "pod", p.pods[0], "command", "ls"):                   `BAD_REQUEST this needs a WebSocket`,
		strings.Replace(p.path("logs", "pod", "x"), p.member.id, "c0", 1):   `NOT_FOUND there is no cluster`,
		strings.Replace(p.path("metrics/pods"), "default", "a%2Fb", 1) + "": `BAD_REQUEST what is asked for isn't all valid`,
	} {
		if _, code, message := p.problemOf(t, path); !strings.HasPrefix(code+" "+message, want) {
			t.Errorf("%s: %s %s, want %s", path, code, message, want)
		}
	}
	// A page in a browser is told by a close frame.
	header := http.Header{"Authorization": {"Bearer " + p.hub.Token}, "Origin": {p.hub.URL}}
	conn := p.dial(t, p.path("portforward", "pod", p.pods[0], "port", "nothing"), "kubilitics.portforward.v1", header)
	_, err := heard(t, conn)
	if ended := (websocket.CloseError{}); !errors.As(err, &ended) || ended.Code != 4404 || !strings.Contains(ended.Reason, `no port named "nothing"`) {
		t.Errorf("%v", err)
	}
}

func (p *podStreams) revoked(t *testing.T) {
	var token struct {
		Secret string
		Token  struct{ ID string }
		ID     string
	}
	all := map[string]any{"verbs": []string{"*"}, "clusters": []string{"*"}, "namespaces": []string{"*"}}
	if err := p.hub.Do(t.Context(), http.MethodPost, "/api/v1/tokens", map[string]any{"name": "brief", "bindings": []any{all}}, &token); err != nil {
		t.Fatal(err)
	}
	s := p.open(t, token.Secret, p.path("logs", "pod", p.pods[0], "container", "talker", "follow", "true", "tail", "1", "format", "ndjson"))
	conn := p.dial(t, p.path("exec", "pod", p.pods[0], "container", "quiet", "stdin", "true", "command", "cat"), "kubilitics.exec.v1",
		http.Header{"Authorization": {"Bearer " + token.Secret}})
	s.until(`"line"`)
	if err := p.hub.Do(t.Context(), http.MethodDelete, "/api/v1/tokens/"+token.ID+token.Token.ID, nil, nil); err != nil {
		t.Fatal(err)
	}
	s.until("revoked")
	if said, err := heard(t, conn); websocket.CloseStatus(err) != 4401 {
		t.Errorf("%q, %v", said, err)
	}
}

// agentRestarts breaks what is followed, and loses nothing and tells nothing twice.
func (p *podStreams) agentRestarts(t *testing.T) {
	p.untilFollowed(t, 0)
	s := p.open(t, p.hub.Token, p.path("logs", "pod", p.pods[0], "container", "talker", "follow", "true", "tail", "0"))
	p.untilFollowed(t, 1)
	p.say(t, "number 0")
	s.until("number 0")
	p.member.agent.Kill()
	p.say(t, "number 1")
	s.until("interrupted")
	var err error
	if p.member.agent, err = stack.StartAgent(p.member.options); err != nil {
		t.Fatal(err)
	}
	p.say(t, "number 2")
	before := s.until("number 2")
	p.say(t, "number 3")
	before = append(before, s.until("number 3")...)
	lines := 0
	for _, line := range before {
		if strings.HasPrefix(line, "#") {
			continue
		}
		if lines++; !strings.HasSuffix(line, "number 1") {
			t.Errorf("%q", line)
		}
	}
	if lines != 1 {
		t.Errorf("between: %q", before)
	}
}

func (p *podStreams) offline(t *testing.T) {
	p.member.agent.Kill()
	eventually(t, "the hub knows", 30*time.Second, func() error {
		c, err := p.hub.Cluster(t.Context(), p.member.id)
		if err == nil && c.Freshness.State == "live" {
			err = errors.New("it is live")
		}
		return err
	})
	if status, code, message := p.problemOf(t, p.path("logs", "pod", p.pods[0])); status != 503 || code != "UNAVAILABLE" || !strings.Contains(message, "last heard") {
		t.Errorf("%d %s %s", status, code, message)
	}
	var state struct{ Available, Cause, Reason any }
	if err := p.hub.Get(t.Context(), p.path("metrics/pods"), &state); err != nil || state.Available != false || state.Cause != "offline" || !strings.Contains(fmt.Sprint(state.Reason), "last heard") {
		t.Errorf("%+v, %v", state, err)
	}
	var err error
	if p.member.agent, err = stack.StartAgent(p.member.options); err != nil {
		t.Fatal(err)
	}
	p.live(t, p.member)
}
