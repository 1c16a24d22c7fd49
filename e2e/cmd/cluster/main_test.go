package main

import (
	"bytes"
	"context"
	"io"
	"os"
	"regexp"
	"strings"
	"testing"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestExitCodes(t *testing.T) {
	for _, tt := range []struct {
		args string
		code int
		says string
	}{
		{"-help", 0, "Usage: cluster"},
		{"-nonsense", 2, "not defined: -nonsense"},
		{"-count 0", 2, "at least one cluster"},
		{"-nodes -1", 2, "no negative number"},
		{"surplus", 2, "want no arguments"},
		{"-name NotAName", 1, `cluster name "NotAName"`},
	} {
		var stderr bytes.Buffer
		if code := run(t.Context(), strings.Fields(tt.args), io.Discard, &stderr); code != tt.code {
			t.Errorf("%s: exit code %d, want %d", tt.args, code, tt.code)
		}
		if !strings.Contains(stderr.String(), tt.says) {
			t.Errorf("%s: doesn't say %q but %q", tt.args, tt.says, stderr.String())
		}
	}
}

// The command tells where the clusters are, and after an interrupt they are nowhere.
func TestRunsUntilInterrupted(t *testing.T) {
	ctx, interrupt := context.WithCancel(t.Context())
	defer interrupt()
	r, w := io.Pipe()
	code := make(chan int)
	go func() {
		c := run(ctx, []string{"-name", "cmd", "-nodes", "1", "-count", "2"}, w, os.Stderr)
		_ = w.Close()
		code <- c
	}()
	var said strings.Builder
	for buf := make([]byte, 4096); !strings.Contains(said.String(), "Ctrl-C"); {
		n, err := r.Read(buf)
		if err != nil {
			t.Fatalf("ended after %q: %v", said.String(), err)
		}
		said.Write(buf[:n])
	}
	paths := regexp.MustCompile(`KUBECONFIG=(\S+)`).FindAllStringSubmatch(said.String(), -1)
	if len(paths) != 2 {
		t.Fatalf("it said %q", said.String())
	}
	for _, p := range paths {
		if st, err := os.Stat(p[1]); err != nil || st.Mode().Perm() != 0o600 {
			t.Errorf("kubeconfig %v, %v", st, err)
		}
	}
	interrupt()
	if c := <-code; c != 0 {
		t.Errorf("exit code %d", c)
	}
	for _, p := range paths {
		if _, err := os.Stat(p[1]); !os.IsNotExist(err) {
			t.Errorf("%s is still there (%v)", p[1], err)
		}
	}
}
