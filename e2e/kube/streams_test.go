package kube

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

const twoContainers = `
apiVersion: v1
kind: Pod
metadata: {name: pair}
spec:
  containers: [{name: main, image: none}, {name: talker, image: none}]
`

// What people do with containers works in simulated ones, as a kubelet and a runtime would do it.
func TestContainersCanBeUsed(t *testing.T) {
	t.Parallel()
	c := ForTest(t, Options{Name: "used", Nodes: 1, Exec: true, Metrics: true})
	if err := c.Apply(t.Context(), []byte(twoContainers)); err != nil {
		t.Fatal(err)
	}
	if _, err := c.Kubectl(t.Context(), nil, "wait", "--for=condition=Ready", "pod/pair", "--timeout=20s"); err != nil {
		t.Fatal(err)
	}
	if err := c.Talk("one more line"); err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, []byte("copied\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, tc := range []struct {
		args, stdin, want string
		code              int
	}{
		{args: "logs pair -c talker --tail=1", want: "one more line\n"},
		{args: "logs pair -c main --previous", want: "This container came before: it was simulated too.\n"},
		{args: "exec pair -c main -- echo hello", want: "hello\n"},
		{args: "exec -i pair -c main -- cat", stdin: "until its end", want: "until its end"},
		{args: "exec pair -c main -- false", code: 1},
		{args: "exec pair -c main -- /bin/test 1 = 2", code: 1},
		{args: "exec -i pair -c main -- sh", stdin: "exit 42\n", code: 42},
		{args: "exec pair -c main -- sh -c kill$IFS-9$IFS$$", code: 137},
		{args: "exec pair -c main -- rm -rf /", code: 1},
		{args: "cp " + file + " pair:copy -c main"},
		{args: "exec pair -c main -- cat copy", want: "copied\n"},
		{args: "exec pair -c talker -- ls"},
		{args: "debug pair --image=none -c debugger --quiet"},
	} {
		out, err := c.Kubectl(t.Context(), strings.NewReader(tc.stdin), strings.Split(tc.args, " ")...)
		if code := exitOf(err); code != tc.code || string(out) != tc.want {
			t.Errorf("%s: said %q and ended with %d, want %q and %d (%v)", tc.args, out, code, tc.want, tc.code, err)
		}
	}
	eventually(t, "the debugging container runs", 10*time.Second, func() error {
		out, err := c.Kubectl(t.Context(), nil, "get", "pod", "pair", "-o", "jsonpath={.status.ephemeralContainerStatuses[*].state.running.startedAt}")
		if err == nil && len(out) == 0 {
			err = errors.New("it doesn't")
		}
		return err
	})
	if err := c.MetricsServed(t.Context()); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the Pod's figures are there", 30*time.Second, func() error {
		out, err := c.Kubectl(t.Context(), nil, "top", "pod", "pair", "--containers", "--no-headers")
		if err == nil && strings.Count(string(out), "20m") != 2 {
			err = errors.New(string(out))
		}
		return err
	})
}

func exitOf(err error) int {
	if exited := (*exec.ExitError)(nil); errors.As(err, &exited) {
		return exited.ExitCode()
	}
	if err != nil {
		return -1
	}
	return 0
}

// A command that goes on is ended with the cluster.
func TestStopEndsCommands(t *testing.T) {
	t.Parallel()
	c := ForTest(t, Options{Name: "busy", Nodes: 1, Exec: true})
	if err := c.Apply(t.Context(), []byte(twoContainers)); err != nil {
		t.Fatal(err)
	}
	if _, err := c.Kubectl(t.Context(), nil, "wait", "--for=condition=Ready", "pod/pair", "--timeout=20s"); err != nil {
		t.Fatal(err)
	}
	before, ended := members(t, c.guard.group()), make(chan error, 1)
	go func() {
		_, err := c.Kubectl(t.Context(), nil, "exec", "pair", "-c", "main", "--", "sleep", "1000")
		ended <- err
	}()
	eventually(t, "it runs", 10*time.Second, func() error {
		if members(t, c.guard.group()) == before {
			return errors.New("it doesn't")
		}
		return nil
	})
	if err := c.Stop(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := <-ended; err == nil {
		t.Error("sleep was not cut short")
	}
	assertGone(t, c.guard.group(), c.dir)
}
