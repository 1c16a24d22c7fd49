package kube

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

const greeter = `
apiVersion: v1
kind: Pod
metadata: {name: greeter, labels: {app: greeter}}
spec:
  terminationGracePeriodSeconds: 0
  containers:
  - name: web
    image: localhost/kubilitics-tools:dev
    command: [sh, -c, "busybox mkdir /tmp/www && echo hello >/tmp/www/index.html && echo serving && exec busybox httpd -f -p 8080 -h /tmp/www"]
    readinessProbe: {tcpSocket: {port: 8080}, periodSeconds: 1}
---
apiVersion: v1
kind: Service
metadata: {name: greeter}
spec: {selector: {app: greeter}, ports: [{port: 80, targetPort: 8080}]}
---
apiVersion: v1
kind: Pod
metadata: {name: guest}
spec:
  terminationGracePeriodSeconds: 0
  containers:
  - name: guest
    image: localhost/kubilitics-tools:dev
    command: [sh, -c, "until busybox wget -qO- http://greeter.default.svc 2>/dev/null; do busybox sleep 0.2; done; exec busybox sleep 3600"]
`

// Pods of a real node run: with an address, a Service that leads to them by its name, logs, commands, and again after the node lost its power. Nothing of the node stays on this machine.
func TestARealNode(t *testing.T) {
	if lacks := NodeLacks(); lacks != "" {
		t.Skip("NOT RUN, a real node can't run here: " + lacks)
	}
	t.Parallel()
	c, err := Start(t.Context(), Options{Name: "true", Nodes: 1, Node: true, Log: os.Stderr})
	if err != nil {
		t.Fatal(err)
	}
	stopped := false
	stop := func() {
		if err := c.Stop(context.WithoutCancel(t.Context())); err != nil && !stopped {
			t.Error(err)
		}
		stopped = true
	}
	defer stop()
	if _, err := c.Kubectl(t.Context(), nil, "cordon", "true-node-1"); err != nil {
		t.Fatal(err)
	}
	if err := c.Apply(t.Context(), []byte(greeter)); err != nil {
		t.Fatal(err)
	}
	greeted := func() error {
		out, err := c.Kubectl(t.Context(), nil, "logs", "guest")
		if err == nil && string(out) != "hello\n" {
			err = fmt.Errorf("it says %q", out)
		}
		return err
	}
	eventually(t, "the guest was greeted", time.Minute, greeted)
	out, err := c.Kubectl(t.Context(), nil, "exec", "guest", "--", "cat", "/proc/1/cmdline")
	if err != nil || !strings.HasPrefix(string(out), "busybox\x00sleep") {
		t.Errorf("exec: %q (%v)", out, err)
	}

	if err := c.StopNode(t.Context()); err != nil {
		t.Fatal(err)
	}
	if _, err := c.Kubectl(t.Context(), nil, "exec", "guest", "--request-timeout=2s", "--", "true"); err == nil {
		t.Error("a command ran on a node without power")
	}
	if err := c.StartNode(t.Context()); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the pods are back", time.Minute, func() error {
		out, err := c.Kubectl(t.Context(), nil, "get", "pod", "guest", "greeter", "-o=jsonpath={.items[*].status.containerStatuses[0]['restartCount','ready']}")
		if err == nil && string(out) != "1 1 true true" {
			err = fmt.Errorf("restarts: %s", out)
		}
		return err
	})
	eventually(t, "the guest was greeted again", time.Minute, greeted)

	link, dir := c.real.link, c.dir
	stop()
	if err := nodeLeft(link, dir); err != nil {
		t.Error(err)
	}
}

// nodeLeft tells what is left of a node on this machine.
func nodeLeft(link, dir string) error {
	if out, err := exec.Command("ip", "link", "show", link).CombinedOutput(); err == nil {
		return fmt.Errorf("the link is left: %s", out)
	}
	if left, _ := filepath.Glob("/sys/fs/cgroup/*/" + cgroupOf(filepath.Join(dir, nodeDir))); len(left) > 0 {
		return fmt.Errorf("control groups are left: %q", left)
	}
	if mounts, _ := os.ReadFile("/proc/mounts"); strings.Contains(string(mounts), dir) {
		return fmt.Errorf("mounts are left:\n%s", mounts)
	}
	return nil
}

// Of a node whose maker is killed nothing is left either: the kernel ends its processes, and takes its mounts and its network away with them.
func TestARealNodeEndsWithItsMaker(t *testing.T) {
	if lacks := NodeLacks(); lacks != "" {
		t.Skip("NOT RUN, a real node can't run here: " + lacks)
	}
	t.Parallel()
	cmd, group, dir, link := parent(t, withNode)
	if nodeLeft(link, dir) == nil {
		t.Fatal("there is no node")
	}
	runtime := processesWith(dir)
	if err := cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = cmd.Wait() // says that it was killed
	assertGone(t, group, dir)
	eventually(t, "nothing is left of the node", 15*time.Second, func() error { return nodeLeft(link, dir) })
	if runtime == 0 {
		t.Error("no process of the node was seen")
	}
	eventually(t, "its processes have ended", 15*time.Second, func() error {
		if n := processesWith(dir); n > 0 {
			return fmt.Errorf("%d processes", n)
		}
		return nil
	})
}

// processesWith counts the processes that were told of a folder.
func processesWith(dir string) (n int) {
	all, _ := filepath.Glob("/proc/[0-9]*/cmdline")
	for _, name := range all {
		if text, err := os.ReadFile(name); err == nil && strings.Contains(string(text), dir) {
			n++
		}
	}
	return n
}
