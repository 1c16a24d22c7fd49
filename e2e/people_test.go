package e2e

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/creack/pty"

	"github.com/kubilitics/kubilitics/e2e/stack"
)

// people is somebody who works with the command alone, at a hub of two clusters.
type people struct {
	*person
	*rig
	eu, us *member
	ns     string // of what is applied
}

// The command for people, each of its commands with a hub, agents and clusters behind it: what it prints is what is so.
func TestPeople(t *testing.T) {
	t.Parallel()
	p := &people{person: newPerson(t, world.eu.Cluster), rig: start(t, &database{name: "sqlite", tag: tag("sqlite")}), ns: strings.ToLower(tag("people"))}
	p.eu = p.join(t, world.eu, operator(t, world.eu), func(o *stack.AgentOptions) { o.Args = []string{"--access", "operate"} })
	p.live(t, p.eu)
	p.logsIn(p.hub.URL, p.hub.Token)
	for _, step := range []struct {
		name string
		run  func(*testing.T)
	}{
		{"enroll", p.enrolls}, {"apply", p.applies}, {"questions", p.questions}, {"time", p.times}, {"logs", p.reads}, {"files", p.files}, {"completion", p.completes},
		{"terminal", p.terminal}, {"the page", p.page}, {"offline", p.offline},
	} {
		if !t.Run(step.name, step.run) {
			t.Logf("what comes after %s may fail for the same reason", step.name)
		}
	}
}

// tells runs a line, and wants words in what it prints, in whichever of the two outputs.
func (p *people) tells(t *testing.T, code int, line string, words ...string) string {
	t.Helper()
	return p.feeds(t, code, "", line, words...)
}

func (p *people) feeds(t *testing.T, code int, in, line string, words ...string) string {
	t.Helper()
	out, complaints, err := p.types(in, append([]string{"kubilitics"}, strings.Fields(line)...)...)
	if got := exitCode(err); got != code {
		t.Errorf("kubilitics %s ended with %d, want %d:\n%s%s", line, got, code, out, complaints)
	}
	for _, w := range words {
		if !strings.Contains(out+complaints, w) {
			t.Errorf("kubilitics %s doesn't say %q:\n%s%s", line, w, out, complaints)
		}
	}
	return out
}

// A cluster is added, its agent started with the token that was printed, and the command waits until it is live.
func (p *people) enrolls(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, filepath.Join(p.home, "bin", "kubilitics"), "enroll", "us-east", "--label", "region=us", "--wait", "--timeout", "50s", "-o", "json")
	cmd.Env = []string{"HOME=" + p.home, "XDG_CONFIG_HOME=" + p.home + "/.config", "XDG_CACHE_HOME=" + p.home + "/.cache"}
	var complaints bytes.Buffer
	cmd.Stderr = &complaints
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	var made struct{ ID, Token, Command string }
	err = json.NewDecoder(out).Decode(&made)
	if err != nil || made.Command == "" {
		t.Errorf("%v: %+v", err, made)
	}
	m := &member{name: "us-east", id: made.ID, log: &logbook{}}
	m.options = stack.AgentOptions{Program: world.programs.Agent, Dir: t.TempDir(), Hub: p.hub.Tunnels, Kubeconfig: world.us.agent, Token: made.Token, Log: m.log}
	if m.agent, err = stack.StartAgent(m.options); err != nil {
		t.Fatal(err)
	}
	p.members, p.us = append(p.members, m), m
	if _, err := io.Copy(io.Discard, out); err != nil {
		t.Error(err)
	}
	if err := cmd.Wait(); err != nil || !strings.Contains(complaints.String(), "us-east is live after") {
		t.Errorf("%v: %s", err, complaints.String())
	}
	p.tells(t, 0, "clusters -o name", p.eu.name+"\nus-east\n")
	p.tells(t, 1, "enroll us-east", "--again makes another command")
}

const talking = `
apiVersion: v1
kind: ConfigMap
metadata: {name: greeting}
data: {text: hello}
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: chat}
spec:
  replicas: %d
  selector: {matchLabels: {app: chat}}
  template:
    metadata: {labels: {app: chat}}
    spec:
      containers: [{name: talker, image: none, envFrom: [{configMapRef: {name: greeting}}]}]
`

func (p *people) applies(t *testing.T) {
	if _, err := world.eu.Kubectl(t.Context(), nil, "create", "namespace", p.ns); err != nil {
		t.Fatal(err)
	}
	to := " --cluster " + p.eu.name + " -n " + p.ns
	one := fmt.Sprintf(talking, 1)
	p.feeds(t, 0, one, "apply -f - --dry-run"+to, "configmap/greeting in "+p.ns+" created (dry run)")
	p.feeds(t, 0, one, "apply -f -"+to, "deployment.apps/chat in "+p.ns+" created")
	p.feeds(t, 0, fmt.Sprintf(talking, 2), "apply -f - --diff"+to, "configmap/greeting in "+p.ns+" unchanged", "deployment.apps/chat in "+p.ns+" configured", "-  replicas: 1", "+  replicas: 2")
	p.feeds(t, 0, one, "apply -f - --dry-run=impact"+to, "chat")
	p.feeds(t, 1, strings.Replace(fmt.Sprintf(talking, 2), "hello", "[1]", 1), "apply -f -"+to, "failed", "standard input:", "1 of 2 documents failed")
	p.feeds(t, 2, "kind: {", "apply -f -"+to, "request")
	eventually(t, "the hub knows of both pods", 20*time.Second, func() error {
		out, complaints, err := p.types("", "kubilitics", "get", "pods", "-n", p.ns, "-q", "status:Running", "-o", "name")
		if n := strings.Count(out, "pod/chat-"); err != nil || n != 2 {
			return fmt.Errorf("%d pods: %w %s", n, err, complaints)
		}
		return nil
	})
}

func (p *people) questions(t *testing.T) {
	eu := " --cluster " + p.eu.name
	p.tells(t, 0, "get pods -n shop", p.eu.name, "us-east", "storefront-", "Running")
	p.tells(t, 0, "get deploy/chat -o manifest -n "+p.ns, "replicas: 2", "kind: Deployment")
	p.tells(t, 0, "get pods -A --limit 2", "note: 2 of ")
	var list struct {
		Items []struct{ Name string }
		Total struct{ Count int }
	}
	if err := json.Unmarshal([]byte(p.tells(t, 0, "get configmaps -n bulk --limit 0 -o json --cluster us-east")), &list); err != nil || len(list.Items) < 1500 || len(list.Items) != list.Total.Count {
		t.Errorf("of all ConfigMaps there are %d, %d: %v", len(list.Items), list.Total.Count, err)
	}
	p.tells(t, 4, "get deploy/chatt -n "+p.ns, "there is no Deployment.apps "+p.ns+"/chatt; the nearest one is chat")
	p.tells(t, 2, "get deploymnets", "the nearest one is")
	p.tells(t, 0, "search chat ns:"+p.ns, "chat")
	tree := p.tells(t, 0, "tree deploy/chat -n "+p.ns, "● Deployment "+p.ns+"/chat  2/2  in "+p.eu.name, "owns → ● ReplicaSet chat-", "references → ● ConfigMap greeting")
	if n := strings.Count(tree, "owns → ● Pod chat-"); n != 2 {
		t.Errorf("the tree has %d pods:\n%s", n, tree)
	}
	p.tells(t, 0, "impact cm/greeting -n "+p.ns, "goes: 4 break", "Deployment chat takes environment variables from ConfigMap greeting")
	p.tells(t, 0, "paths --from deploy/chat --to cm/greeting -n "+p.ns, "└─ references → ● ConfigMap greeting")
	p.tells(t, 2, "tree deploy/storefront -n shop", "2 are called so", "say which with --cluster and -n")
	p.tells(t, 0, "findings -n payments --severity error"+eu, "missing-target", "fraud-scorer")
	p.tells(t, 6, "findings -n payments --severity error --exit-code"+eu)
	p.tells(t, 0, "events --type Warning -n payments"+eu, "fraud-scorer")
	p.tells(t, 0, "health --level workload -n payments"+eu, "fraud-scorer", "error")
	p.tells(t, 0, "health", p.eu.name, "us-east")
	p.tells(t, 0, "audit --writes --via apply", "bootstrap-admin", "patch", p.ns+"/chat")
	for _, line := range []string{"findings", "events", "audit", "health --level workload", "health --level namespace", "diff --from -1h", "get all"} {
		if out, complaints, err := p.types("", append([]string{"kubilitics"}, strings.Fields(line+" --limit 0")...)...); err != nil || out == "" || strings.Contains(complaints, "--limit") {
			t.Errorf("all of %s: %v %s", line, err, complaints)
		}
	}
	p.tells(t, 3, "get pods --hub http://127.0.0.1:1", "not logged in")
}

func (p *people) times(t *testing.T) {
	on := " -n " + p.ns + " --cluster " + p.eu.name
	p.tells(t, 0, "diff --from -1h"+on, "+ "+p.eu.name+"  Deployment "+p.ns+"/chat")
	history := p.tells(t, 0, "history deploy/chat"+on, "came", "attrs.replicas 1 → 2")
	first := strings.Fields(history[strings.LastIndex(strings.TrimSpace(history), "\n"):])[0]
	p.tells(t, 0, "history deploy/chat --revision "+first+on, "replicas: 1", "kind: Deployment")
	p.tells(t, 0, "history deploy/chat --compare "+first+on, "-  replicas: 1", "+  replicas: 2")
	p.tells(t, 6, "diff --exit-code --from "+first+" deploy chat"+on, "attrs.replicas", "→ 2/2")
	if _, err := world.eu.Kubectl(t.Context(), nil, "create", "configmap", "passing", "-n", p.ns); err != nil {
		t.Fatal(err)
	}
	says := func(line, want string) {
		t.Helper()
		eventually(t, line+" says "+want, 20*time.Second, func() error {
			out, complaints, _ := p.types("", append([]string{"kubilitics"}, strings.Fields(line)...)...)
			if !strings.Contains(out, want) {
				return fmt.Errorf("it says %s%s", out, complaints)
			}
			return nil
		})
	}
	says("get cm passing"+on, "passing")
	if _, err := world.eu.Kubectl(t.Context(), nil, "delete", "configmap", "passing", "-n", p.ns); err != nil {
		t.Fatal(err)
	}
	says("history cm/passing"+on, "(gone since)")
	p.tells(t, 4, "history cm/never"+on, "there is no ConfigMap "+p.ns+"/never")
	p.tells(t, 2, "get pods --at nonsense", "neither a position")
}

func (p *people) reads(t *testing.T) {
	on := " -n " + p.ns + " --cluster " + p.eu.name
	for _, line := range []string{"one", "two", "three"} {
		if err := world.eu.Talk(line); err != nil {
			t.Fatal(err)
		}
	}
	lines := p.tells(t, 0, "logs deploy/chat --tail 3"+on)
	if n := strings.Count(lines, "\n"); n != 6 || strings.Count(lines, " talker ") != 6 || !strings.HasPrefix(lines, "chat-") || !strings.HasSuffix(lines, " talker three\n") {
		t.Errorf("of two pods, three lines each:\n%s", lines)
	}
	p.tells(t, 4, "logs deploy/chart"+on, "the nearest one is chat")
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	cmd := exec.CommandContext(ctx, filepath.Join(p.home, "bin", "kubilitics"), strings.Fields("logs -l app=chat -f --tail 1"+on)...)
	cmd.Env = []string{"HOME=" + p.home}
	var complaints bytes.Buffer
	cmd.Stderr = &complaints
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	in := bufio.NewReader(out)
	for n, want := range []string{"three", "three", "four", "four"} {
		if n == 2 {
			if err := world.eu.Talk("four"); err != nil {
				t.Fatal(err)
			}
		}
		if line, err := in.ReadString('\n'); err != nil || !strings.HasPrefix(line, "chat-") || !strings.HasSuffix(line, " talker "+want+"\n") {
			t.Fatalf("%q, %v: %s", line, err, complaints.String())
		}
	}
	began := time.Now()
	if err := cmd.Process.Signal(os.Interrupt); err != nil {
		t.Fatal(err)
	}
	_, _ = io.Copy(io.Discard, in) // until it is closed
	if err := cmd.Wait(); err != nil || time.Since(began) > 3*time.Second || strings.Contains(complaints.String(), "interrupted") {
		t.Errorf("Ctrl-C ended it after %s: %v %s", time.Since(began), err, complaints.String())
	}
}

func (p *people) files(t *testing.T) {
	on := " -n " + p.ns + " --cluster " + p.eu.name + " -o " + p.home + "/"
	for file, begins := range map[string]string{
		"a.svg": "<svg", "a.png": "\x89PNG", "a.pdf": "%PDF-", "a.dot": "digraph", "a.mmd": "---\ntitle", "a.csv": "cluster", "a.graphml": "<?xml", "a.json": "{",
	} {
		p.tells(t, 0, "export"+on+file, file+": ")
		if text, err := os.ReadFile(filepath.Join(p.home, file)); err != nil || !bytes.HasPrefix(text, []byte(begins)) {
			t.Errorf("%s begins %.20q, %v", file, text, err)
		}
	}
	p.tells(t, 0, "export --format mermaid --focus deploy/chat -n "+p.ns, "flowchart", "greeting")
}

func (p *people) completes(t *testing.T) {
	for line, want := range map[string]string{
		"get pods --cluster us": "us-east\n", "get pods -n sho": "shop\n", "tree -n " + p.ns + " deploy/ch": "deploy/chat\n", "get deplo": "deploy\ndeployment\n",
	} {
		if got := p.tells(t, 0, "__complete "+line); !strings.HasPrefix(got, want) {
			t.Errorf("%s is completed by %q", line, got)
		}
	}
}

// At a terminal there are colours, unless they aren't wanted.
func (p *people) terminal(t *testing.T) {
	for env, colours := range map[string]bool{"NO_COLOR=": true, "NO_COLOR=1": false, "TERM=dumb": false} {
		ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
		cmd := exec.CommandContext(ctx, filepath.Join(p.home, "bin", "kubilitics"), "get", "pods", "-n", p.ns)
		cmd.Env = []string{"HOME=" + p.home, "TERM=xterm", env}
		terminal, err := pty.StartWithAttrs(cmd, &pty.Winsize{Rows: 30, Cols: 100}, &syscall.SysProcAttr{Setsid: true, Setctty: true, Pdeathsig: syscall.SIGKILL})
		if err != nil {
			t.Fatal(err)
		}
		text, _ := io.ReadAll(terminal) // a terminal ends with an error
		_ = terminal.Close()
		if err := cmd.Wait(); err != nil || !strings.Contains(string(text), "chat-") || strings.Contains(string(text), "\x1b[32m● ok\x1b[0m") != colours {
			t.Errorf("%s: %v:\n%s", env, err, text)
		}
		cancel()
	}
}

// notHere are examples that aren't run here, by how they begin, with the reason.
var notHere = map[string]string{
	"source ":                               "needs an interactive shell",
	"kubilitics login":                      "asks for a token; TestKubectlThroughTheCommand logs in",
	"pass ":                                 "needs somebody's password store",
	"kubilitics apply -f web":               "the file is the reader's",
	"kubilitics enroll eu-1":                "TestPeople enrols a cluster, whose agent then runs",
	"kubilitics logs deploy/api -n shop -f": "goes on until Ctrl-C, as TestPeople presses it",
	"kubilitics get pods -n payments -w":    "goes on until Ctrl-C, as hub/internal/command presses it",
	"kubilitics kubeconfig eu-1":            "TestKubectlThroughTheCommand makes and uses them",
}

// Every example of the page about the command works, with the demo's names.
func (p *people) page(t *testing.T) {
	text, err := os.ReadFile("../docs/command.md")
	if err != nil {
		t.Fatal(err)
	}
	kustomization := "configMapGenerator: [{name: of-the-page, namespace: shop, literals: [a=b]}]\n" // what `kubectl kustomize .` reads
	if err := os.WriteFile(filepath.Join(p.home, "kustomization.yaml"), []byte(kustomization), 0o600); err != nil {
		t.Fatal(err)
	}
	names := strings.NewReplacer("tidewater-eu-node", "eu-node", "tidewater-eu", p.eu.name, "tidewater-*", "*")
	ran := 0
	for _, block := range regexp.MustCompile("(?s)```sh\n(.*?)```").FindAllStringSubmatch(string(text), -1) {
		for line := range strings.Lines(block[1]) {
			line = strings.TrimSpace(line)
			skip := false
			for begins := range notHere {
				skip = skip || strings.HasPrefix(line, begins)
			}
			if skip {
				continue
			}
			ran++
			ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
			cmd := exec.CommandContext(ctx, "sh", "-c", names.Replace(line))
			cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} // what the shell started ends with it
			cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
			cmd.Dir, cmd.Env = p.home, []string{"HOME=" + p.home, "PATH=" + filepath.Join(p.home, "bin")}
			if out, err := cmd.CombinedOutput(); err != nil && exitCode(err) != 6 {
				t.Errorf("%s\n%v: %s", line, err, out)
			}
			cancel()
		}
	}
	if ran < 30 {
		t.Errorf("only %d examples were found", ran)
	}
}

// A cluster that is gone answers still, and is marked; what would have to reach it fails at once.
func (p *people) offline(t *testing.T) {
	if err := p.us.agent.Stop(); err != nil {
		t.Error(err)
	}
	p.members = p.members[:1]
	eventually(t, "the cluster is offline", 20*time.Second, func() error {
		out, complaints, err := p.types("", "kubilitics", "get", "pods", "-n", "shop", "--cluster", "us-east")
		if err != nil || !strings.Contains(out, "us-east (offline)") || !strings.Contains(complaints, "us-east is offline: it is shown as it was") {
			return fmt.Errorf("%w: %s%s", err, out, complaints)
		}
		return nil
	})
	p.tells(t, 0, "tree node/us-node-1 --depth 1", "in us-east", "us-east is offline")
	p.tells(t, 0, "logs deploy/storefront -n shop --tail 1", "storefront-", "us-east is offline: its logs can't be read")
	p.feeds(t, 1, fmt.Sprintf(talking, 1), "apply -f - --cluster us-east", "isn't connected", "last heard")
}
