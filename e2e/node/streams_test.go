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

const workers = `
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
---
apiVersion: v1
kind: Pod
metadata: {name: speaker, namespace: workshop}
spec:
  terminationGracePeriodSeconds: 0
  restartPolicy: Never
  containers:
  - name: speaker
    image: TOOLS
    imagePullPolicy: IfNotPresent
    command: [sh, -c, "echo ready; until [ -e /tmp/speak ]; do busybox sleep 0.1; done; echo first; busybox sleep 1; echo last"]
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
	if out, err := do(t.Context(), file, []byte(strings.ReplaceAll(workers, "TOOLS", place.images+"/kubilitics-tools:dev")), "kubectl", "create", "-f", "-"); err != nil {
		t.Fatalf("%s %v", out, err)
	}
	through("wait", "--for=condition=Ready", "pod/worker", "pod/speaker", "--timeout=1m")

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
	copies(t, through)
	forwards(t, file)
}

// follows reads a log while it is written, to its end.
func follows(t *testing.T, file string) {
	t.Helper()
	heard := make(chan error, 1)
	go func() {
		out, err := do(t.Context(), file, nil, "kubectl", "--namespace", "workshop", "logs", "--follow", "speaker")
		if err == nil && out != "ready\nfirst\nlast\n" {
			err = fmt.Errorf("followed, the log is %q", out)
		}
		heard <- err
	}()
	if _, err := do(t.Context(), file, nil, "kubectl", "--namespace", "workshop", "exec", "speaker", "--", "sh", "-c", ": >/tmp/speak"); err != nil {
		t.Error(err)
	}
	if err := <-heard; err != nil {
		t.Error(err)
	}
}

// copies sends a file into the pod and fetches it again.
func copies(t *testing.T, through func(...string) string) {
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
func forwards(t *testing.T, file string) {
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
