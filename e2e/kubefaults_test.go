package e2e

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"

	"github.com/kubilitics/kubilitics/e2e/kube"
	"github.com/kubilitics/kubilitics/e2e/stack"
)

// broken is a cluster behind a hub in which everything on the way may be broken: its control plane, its agent and the hub are the test's own.
type broken struct {
	*rig
	cluster *kube.Cluster
	client  *kubernetes.Clientset
	member  *member
	config  string // the kubeconfig that the hub gives
}

const brokenPod = `{"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "worker", "namespace": "default"}, "spec": {"containers": [{"name": "main", "image": "none"}]}}`

// Whatever breaks between kubectl and a cluster, whoever waits is told at once, and nothing stays behind.
func TestKubernetesAPIFaults(t *testing.T) {
	t.Parallel()
	b := newBroken(t)
	t.Run("the client goes", b.clientGoes)
	t.Run("a reader is slow", b.slowReader)
	t.Run("a thousand go in the middle", b.thousandGo)
	t.Run("the agent dies in the middle of a command", b.agentDiesInExec)
	t.Run("the agent dies in the middle of a list", b.agentDiesInList)
	t.Run("the agent dies under a watch", b.agentDiesUnderWatch)
	t.Run("the API server stops", b.apiServerStops)
	t.Run("the hub restarts under a watch", b.hubRestarts)
	t.Run("the hub restarts in the middle of a command", b.hubRestartsInExec)
	t.Run("the hub dies under a watch", b.hubDies)
}

func newBroken(t *testing.T) *broken {
	t.Helper()
	b := &broken{cluster: kube.ForTest(t, kube.Options{Name: "broken", Nodes: 1, Exec: true})}
	cfg := b.cluster.RESTConfig()
	cfg.QPS = -1
	var err error
	if b.client, err = kubernetes.NewForConfig(cfg); err != nil {
		t.Fatal(err)
	}
	if err := b.cluster.Apply(t.Context(), []byte(brokenPod)); err != nil {
		t.Fatal(err)
	}
	b.bulk(t)
	b.rig = start(t, &database{name: "sqlite", tag: tag("sqlite")})
	b.member = b.join(t, &cluster{name: "broken"}, b.cluster.KubeconfigPath(), func(o *stack.AgentOptions) { o.Args = []string{"--access", "operate"} })
	b.live(t, b.member)
	config, err := b.hub.Text(t.Context(), "/api/v1/clusters/"+b.member.id+"/kubeconfig")
	if err != nil {
		t.Fatal(err)
	}
	b.config = filepath.Join(t.TempDir(), "kubeconfig")
	if err := os.WriteFile(b.config, []byte(config), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := b.cluster.Kubectl(t.Context(), nil, "wait", "--for=condition=Ready", "pod/worker", "--timeout=20s"); err != nil {
		t.Fatal(err)
	}
	return b
}

// bulk makes ConfigMaps of 12 MB in all: more than what the buffers on the way hold.
func (b *broken) bulk(t *testing.T) {
	text := strings.Repeat("all work and no play ", 256<<10/21)
	for i := range 48 {
		big := &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: fmt.Sprintf("bulk-%d", i)}, Data: map[string]string{"text": text}}
		if _, err := b.client.CoreV1().ConfigMaps("default").Create(t.Context(), big, metav1.CreateOptions{}); err != nil {
			t.Fatal(err)
		}
	}
}

func (b *broken) root() string { return b.hub.URL + "/k8s/clusters/" + b.member.id }

// kubectl is one through the hub, not yet started.
func (b *broken) kubectl(ctx context.Context, args ...string) *exec.Cmd {
	return exec.CommandContext(ctx, b.cluster.KubectlPath(), append([]string{"--kubeconfig", b.config}, args...)...)
}

// running is a kubectl that has begun to say something.
type running struct {
	cmd    *exec.Cmd
	stdout io.Reader
	stderr bytes.Buffer
}

func (b *broken) begin(t *testing.T, args ...string) *running {
	t.Helper()
	r := &running{cmd: b.kubectl(t.Context(), args...)}
	out, err := r.cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	r.cmd.Stderr = &r.stderr
	if err := r.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	said := bufio.NewReader(out)
	if line, err := said.ReadString('\n'); err != nil {
		_ = r.cmd.Wait()
		t.Fatalf("kubectl %q said %q: %v: %s", args, line, err, r.stderr.String())
	}
	r.stdout = said
	return r
}

// watches runs kubectl get -w and waits until its watch is open: what it says first comes of a list.
func (b *broken) watches(t *testing.T) *running {
	t.Helper()
	open := func() float64 {
		ours, err := b.hub.Text(t.Context(), "/metrics")
		if err != nil {
			t.Fatal(err)
		}
		return gauges(ours, "kubilitics_hub_kube_streams", `kind="watch"`)
	}
	before := open()
	r := b.begin(t, "get", "pods", "-w", "--no-headers")
	eventually(t, "the hub sees the watch", 5*time.Second, func() error { return differs(open(), before+1) })
	return r
}

// ends waits for the end, which must come within a time, and gives all that was said since begin.
func (r *running) ends(t *testing.T, within time.Duration) (said string, err error) {
	t.Helper()
	begin := time.Now()
	var rest bytes.Buffer
	done := make(chan error, 1)
	go func() {
		_, _ = io.Copy(&rest, r.stdout) // until it ends, however
		done <- r.cmd.Wait()
	}()
	select {
	case err = <-done:
	case <-time.After(within):
		_ = r.cmd.Process.Kill()
		<-done
		t.Fatalf("%q hung for %s", r.cmd.Args[3:], within)
	}
	said = strings.TrimSpace(rest.String() + r.stderr.String())
	t.Logf("after %s, with %v: %s", time.Since(begin).Round(time.Millisecond), err, said)
	return said, err
}

// fails runs one that must fail within a time, saying each of the words.
func (b *broken) fails(t *testing.T, within time.Duration, args []string, words ...string) {
	t.Helper()
	ctx, cancel := stack.Within(t.Context(), within)
	defer cancel()
	out, err := b.kubectl(ctx, args...).CombinedOutput()
	if err == nil || ctx.Err() != nil {
		t.Errorf("kubectl %q: %v (%v), saying %s", args, err, context.Cause(ctx), out)
	}
	for _, w := range words {
		if !strings.Contains(string(out), w) {
			t.Errorf("kubectl %q doesn't say %q: %s", args, w, out)
		}
	}
}

// works waits until the cluster can be reached again.
func (b *broken) works(t *testing.T) {
	t.Helper()
	eventually(t, "kubectl works again", 30*time.Second, func() error {
		out, err := b.kubectl(t.Context(), "get", "pod", "worker", "-o", "name").CombinedOutput()
		if err == nil && strings.TrimSpace(string(out)) != "pod/worker" {
			err = errors.New("it doesn't name the Pod")
		}
		if err != nil {
			return fmt.Errorf("%w: %s", err, out)
		}
		return nil
	})
}

func (b *broken) agentRestarts(t *testing.T) {
	t.Helper()
	b.member.restart(t)
	b.live(t, b.member)
	b.works(t)
}

func (b *broken) agentDiesInExec(t *testing.T) {
	r := b.begin(t, "exec", "worker", "--", "sh", "-c", "echo begun; sleep 60")
	b.member.agent.Kill()
	if said, err := r.ends(t, 5*time.Second); err == nil || !strings.Contains(said, "cluster broken") || !strings.Contains(said, "in the middle of the command") {
		t.Errorf("it isn't told what broke: %s", said)
	}
	b.fails(t, 3*time.Second, []string{"get", "pods"}, "isn't connected", "last heard")
	b.agentRestarts(t)
}

func (b *broken) agentDiesInList(t *testing.T) {
	resp := b.open(t, t.Context(), "/api/v1/namespaces/default/configmaps")
	defer resp.Body.Close()
	if _, err := io.CopyN(io.Discard, resp.Body, 64<<10); err != nil {
		t.Fatal(err)
	}
	b.member.agent.Kill()
	done := make(chan error, 1)
	go func() {
		_, err := io.Copy(io.Discard, resp.Body)
		done <- err
	}()
	select {
	case err := <-done:
		if err == nil {
			t.Error("half a list looks whole")
		}
	case <-time.After(5 * time.Second):
		t.Error("the list hangs")
	}
	b.agentRestarts(t)
}

func (b *broken) agentDiesUnderWatch(t *testing.T) {
	r := b.watches(t)
	b.member.agent.Kill()
	if said, _ := r.ends(t, 5*time.Second); !strings.Contains(said, "the connection to cluster broken-0") { // kubectl's code is 0 whatever ended a watch
		t.Errorf("it isn't told what broke: %s", said)
	}
	b.agentRestarts(t)
}

func (b *broken) apiServerStops(t *testing.T) {
	resp := b.open(t, t.Context(), "/api/v1/pods?watch=true")
	defer resp.Body.Close()
	if err := b.cluster.StopAPIServer(t.Context()); err != nil { // which ends watches in order, and so they end here
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() {
		_, err := io.Copy(io.Discard, resp.Body)
		ended <- err
	}()
	select {
	case <-ended:
	case <-time.After(5 * time.Second):
		t.Error("the watch hangs")
	}
	b.fails(t, 5*time.Second, []string{"get", "pods"}, "API server")
	if err := b.cluster.StartAPIServer(t.Context()); err != nil {
		t.Fatal(err)
	}
	b.works(t)
}

func (b *broken) hubRestarts(t *testing.T) {
	r := b.watches(t)
	if err := b.hub.Stop(); err != nil {
		t.Error(err)
	}
	if said, _ := r.ends(t, 5*time.Second); !strings.Contains(said, "this hub is shutting down") {
		t.Errorf("it isn't told why its watch ended: %s", said)
	}
	b.restartHub(t)
	b.live(t, b.member)
	b.works(t)
}

func (b *broken) hubRestartsInExec(t *testing.T) {
	r := b.begin(t, "exec", "worker", "--", "sh", "-c", "echo begun; sleep 60")
	if err := b.hub.Stop(); err != nil {
		t.Error(err)
	}
	if said, err := r.ends(t, 5*time.Second); err == nil || !strings.Contains(said, "the command was cut off: this hub is shutting down") {
		t.Errorf("it isn't told why its command ended: %s", said)
	}
	b.restartHub(t)
	b.live(t, b.member)
	b.works(t)
}

func (b *broken) hubDies(t *testing.T) {
	r := b.watches(t)
	b.hub.Kill()
	_, _ = r.ends(t, 5*time.Second) // kubectl keeps a broken connection to itself, here as before an API server
	b.fails(t, 5*time.Second, []string{"get", "pods"}, "refused")
	b.restartHub(t)
	b.live(t, b.member)
	b.works(t)
}

func (b *broken) open(t *testing.T, ctx context.Context, path string) *http.Response {
	t.Helper()
	resp, err := b.ask(ctx, path)
	if err != nil {
		t.Fatal(err)
	}
	if resp.StatusCode != http.StatusOK {
		t.Fatalf("%s: %s", path, resp.Status)
	}
	return resp
}

func (b *broken) ask(ctx context.Context, path string) (*http.Response, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, b.root()+path, nil)
	if err != nil {
		return nil, err
	}
	req.Header.Set("Authorization", "Bearer "+b.hub.Token)
	return http.DefaultClient.Do(req)
}

// gauges are sums of a metric over the label sets that hold each of the words.
func gauges(text, name string, words ...string) (sum float64) {
	for line := range strings.Lines(text) {
		rest, ok := strings.CutPrefix(line, name)
		if !ok || rest[0] != '{' && rest[0] != ' ' {
			continue
		}
		for _, w := range words {
			ok = ok && strings.Contains(rest, w)
		}
		if ok {
			n, _ := strconv.ParseFloat(strings.TrimSpace(rest[strings.LastIndex(rest, " "):]), 64) // 0 shows
			sum += n
		}
	}
	return sum
}

// lasting is how many requests without an end the API server itself sees of a resource.
func (b *broken) lasting(t *testing.T, resource string) float64 {
	t.Helper()
	text, err := b.cluster.Kubectl(t.Context(), nil, "get", "--raw", "/metrics")
	if err != nil {
		t.Fatal(err)
	}
	return gauges(string(text), "apiserver_longrunning_requests", `resource="`+resource+`"`)
}

// A request that its client gives up ends in the cluster within a second.
func (b *broken) clientGoes(t *testing.T) {
	before := b.lasting(t, "limitranges")
	ctx, cancel := context.WithCancel(t.Context())
	resp := b.open(t, ctx, "/api/v1/limitranges?watch=true")
	defer resp.Body.Close()
	eventually(t, "the API server sees the watch", 5*time.Second, func() error { return differs(b.lasting(t, "limitranges"), before+1) })
	cancel()
	began := time.Now()
	eventually(t, "the API server sees it go", time.Second, func() error { return differs(b.lasting(t, "limitranges"), before) })
	t.Logf("gone %s after the client", time.Since(began).Round(time.Millisecond))
}

func differs(got, want float64) error {
	if got != want {
		return fmt.Errorf("it sees %v, not %v", got, want)
	}
	return nil
}

// Somebody who doesn't read what he asked for holds up nobody else.
func (b *broken) slowReader(t *testing.T) {
	resp := b.open(t, t.Context(), "/api/v1/namespaces/default/configmaps")
	defer resp.Body.Close()
	for range 50 {
		begin := time.Now()
		quick := b.open(t, t.Context(), "/api/v1/namespaces/default/pods/worker")
		_, err := io.Copy(io.Discard, quick.Body)
		_ = quick.Body.Close()
		if took := time.Since(begin); err != nil || took > time.Second {
			t.Fatalf("another request took %s beside a slow reader (%v)", took, err)
		}
	}
}

// counts is what the hub and the API server hold for requests.
type counts struct{ goroutines, streams, flying, lasting float64 }

func (b *broken) counted(t *testing.T) counts {
	t.Helper()
	ours, err := b.hub.Text(t.Context(), "/metrics")
	if err != nil {
		t.Fatal(err)
	}
	theirs, err := b.cluster.Kubectl(t.Context(), nil, "get", "--raw", "/metrics")
	if err != nil {
		t.Fatal(err)
	}
	return counts{
		goroutines: gauges(ours, "go_goroutines"), streams: gauges(ours, "kubilitics_hub_kube_streams"), flying: gauges(ours, "kubilitics_hub_kube_requests_in_flight"),
		lasting: gauges(string(theirs), "apiserver_longrunning_requests", "limitranges") + gauges(string(theirs), "apiserver_longrunning_requests", `subresource="exec"`),
	}
}

// A thousand requests of four sorts whose clients go in the middle leave nothing behind, at the hub and in the cluster.
func (b *broken) thousandGo(t *testing.T) {
	before := b.counted(t)
	var group sync.WaitGroup
	turns := make(chan struct{}, 25)
	for i := range 1000 {
		turns <- struct{}{}
		group.Go(func() {
			defer func() { <-turns }()
			b.abort(t, i)
		})
	}
	group.Wait()
	http.DefaultClient.CloseIdleConnections()
	eventually(t, "all is as it was", 30*time.Second, func() error {
		now := b.counted(t)
		if now.streams != before.streams || now.flying != before.flying || now.lasting != before.lasting || now.goroutines > before.goroutines+20 {
			return fmt.Errorf("%+v, and it was %+v", now, before)
		}
		return nil
	})
}

func (b *broken) abort(t *testing.T, i int) {
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	path := []string{
		"/api/v1/namespaces/default/configmaps", "/api/v1/limitranges?watch=true", "/api/v1/namespaces/default/pods/worker",
		"/api/v1/namespaces/default/pods/worker/log?follow=true",
	}[i%4]
	if i%4 == 2 { // some go before the answer comes
		ctx, cancel = context.WithTimeout(ctx, time.Duration(i%5)*time.Millisecond)
		defer cancel()
	}
	resp, err := b.ask(ctx, path)
	if err != nil {
		if ctx.Err() == nil {
			t.Errorf("%s: %v", path, err)
		}
		return
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		t.Errorf("%s: %s", path, resp.Status)
	}
	if i%4 == 0 {
		_, _ = io.CopyN(io.Discard, resp.Body, 4<<10) // a part of it
	}
}
