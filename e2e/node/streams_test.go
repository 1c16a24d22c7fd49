package node

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/kubilitics/kubilitics/e2e/stack"
)

const worker = `
apiVersion: v1
kind: Pod
metadata: {name: worker, namespace: workshop}
spec:
  terminationGracePeriodSeconds: 0
  containers:
  - name: worker
    image: TOOLS
    imagePullPolicy: IfNotPresent
    command: [sh, -c, "busybox mkdir /tmp/www && echo hello >/tmp/www/index.html && busybox httpd -p 8080 -h /tmp/www && i=0; while :; do echo line $i; i=$((i+1)); busybox sleep 0.2; done"]
    readinessProbe: {tcpSocket: {port: 8080}, periodSeconds: 1}
`

// streams: kubectl, with the kubeconfig that the hub gives, does to a real pod through hub and agent what it does directly.
func (s *story) streams(t *testing.T) {
	text, err := s.hub.Text(t.Context(), "/api/v1/clusters/"+s.cluster+"/kubeconfig")
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "kubeconfig")
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	must(t, "kubectl", "create", "namespace", "workshop")
	t.Cleanup(func() {
		if _, err := do(context.WithoutCancel(t.Context()), place.kubeconfig, nil, "kubectl", "delete", "namespace", "workshop"); err != nil {
			t.Error(err)
		}
	})
	through := func(args ...string) string {
		t.Helper()
		out, err := do(t.Context(), file, nil, append([]string{"kubectl", "--namespace", "workshop"}, args...)...)
		if err != nil {
			t.Fatal(err)
		}
		return out
	}
	if out, err := do(t.Context(), file, []byte(strings.Replace(worker, "TOOLS", place.images+"/kubilitics-tools:dev", 1)), "kubectl", "create", "-f", "-"); err != nil {
		t.Fatalf("%s %v", out, err)
	}
	through("wait", "--for=condition=Ready", "pod/worker", "--timeout=1m")

	eventually(t, "logs", 20*time.Second, func() error {
		if out := through("logs", "worker", "--limit-bytes=14"); out != "line 0\nline 1\n" {
			return fmt.Errorf("they are %q", out)
		}
		return nil
	})
	follows(t, file)
	if out := through("exec", "worker", "--", "sh", "-c", "echo $((6*7)); cat /proc/1/comm"); out != "42\nsh\n" {
		t.Errorf("exec: %q", out)
	}
	if out, err := do(t.Context(), file, []byte("typed"), "kubectl", "--namespace", "workshop", "exec", "-i", "worker", "--", "cat"); err != nil || out != "typed" {
		t.Errorf("exec with input: %q %v", out, err)
	}
	var exit *exec.ExitError
	if _, err := do(t.Context(), file, nil, "kubectl", "--namespace", "workshop", "exec", "worker", "--", "sh", "-c", "exit 7"); !errors.As(err, &exit) || exit.ExitCode() != 7 {
		t.Errorf("exit 7: %v", err)
	}
	s.copies(t, through)
	s.forwards(t, file)
}

// follows reads a followed log until lines come that weren't there when it began.
func follows(t *testing.T, file string) {
	t.Helper()
	ctx, cancel := stack.Within(t.Context(), 30*time.Second)
	defer cancel()
	cmd := command(ctx, file, place.dir, "kubectl", "--namespace", "workshop", "logs", "--follow", "--tail=1", "worker")
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	first, last := 0, 0
	_, err = fmt.Fscanf(out, "line %d\n", &first)
	for last = first; err == nil && last < first+5; {
		_, err = fmt.Fscanf(out, "line %d\n", &last)
	}
	_ = cmd.Process.Kill()
	_ = cmd.Wait() // it was killed
	if err != nil {
		t.Errorf("followed logs end at %d after %d: %v", last, first, err)
	}
}

// copies sends a file into the pod and fetches it again.
func (s *story) copies(t *testing.T, through func(...string) string) {
	t.Helper()
	dir := t.TempDir()
	there, back := filepath.Join(dir, "there"), filepath.Join(dir, "back")
	text := strings.Repeat("all work and no play\n", 50_000)
	if err := os.WriteFile(there, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	through("cp", there, "worker:/tmp/copied")
	through("cp", "worker:/tmp/copied", back)
	if got, err := os.ReadFile(back); err != nil || string(got) != text {
		t.Errorf("of %d bytes %d came back (%v)", len(text), len(got), err)
	}
}

// forwards reads a page of the pod's own web server.
func (s *story) forwards(t *testing.T, file string) {
	t.Helper()
	ctx, cancel := stack.Within(t.Context(), 30*time.Second)
	defer cancel()
	d := door{kubeconfig: file, namespace: "workshop", to: "pod/worker", inside: "8080"}
	if err := d.open(ctx); err != nil {
		t.Fatal(err)
	}
	defer d.close()
	client := &http.Client{Timeout: 10 * time.Second, Transport: &http.Transport{DisableKeepAlives: true}}
	resp, err := client.Get("http://127.0.0.1:" + d.port + "/index.html")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	if page, err := io.ReadAll(resp.Body); err != nil || string(page) != "hello\n" {
		t.Errorf("the page is %q (%v)", page, err)
	}
}
