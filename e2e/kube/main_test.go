package kube

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"
)

// childEnv makes the test binary start a cluster, with a real node if it says so, tell where, and wait to be killed.
const (
	childEnv = "KUBE_TEST_CHILD"
	withNode = "node"
)

func TestMain(m *testing.M) {
	if os.Getenv(childEnv) != "" {
		child()
	}
	goleak.VerifyTestMain(m)
}

func child() {
	c, err := Start(context.Background(), Options{Name: "orphan", Nodes: 1, Node: os.Getenv(childEnv) == withNode, Log: os.Stderr})
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	link := "-"
	if c.real != nil {
		link = c.real.link
	}
	fmt.Println(c.guard.group(), c.dir, link)
	select {}
}

// members counts the living processes of a group. Zombies don't count: who reaps orphans is the machine's affair.
func members(t *testing.T, group int) (n int) {
	t.Helper()
	out, err := exec.Command("ps", "-A", "-o", "pgid=,stat=").Output()
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(out)) {
		f := strings.Fields(line)
		if f[0] == strconv.Itoa(group) && !strings.HasPrefix(f[1], "Z") {
			n++
		}
	}
	return n
}

// eventually polls until ok, or fails the test.
func eventually(t *testing.T, what string, limit time.Duration, ok func() error) {
	t.Helper()
	deadline := time.Now().Add(limit)
	for {
		err := ok()
		if err == nil {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("%s: not within %s: %v", what, limit, err)
		}
		time.Sleep(50 * time.Millisecond)
	}
}

func assertGone(t *testing.T, group int, dir string) {
	t.Helper()
	eventually(t, "nothing is left of the cluster", 15*time.Second, func() error {
		if n := members(t, group); n > 0 {
			return fmt.Errorf("%d processes", n)
		}
		if _, err := os.Stat(dir); !os.IsNotExist(err) {
			return fmt.Errorf("the directory %s (%v)", dir, err)
		}
		return nil
	})
}
