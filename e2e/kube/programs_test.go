package kube

import (
	"bytes"
	"context"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"
)

// fakeGo stands in for the go command: it notes how it was called and makes files instead of programs.
const fakeGo = `#!/bin/sh
echo "$@ GOWORK=$GOWORK GOFLAGS=$GOFLAGS CGO=$CGO_ENABLED" >> "$FAKE_GO_CALLS"
case "$1" in
list) echo "go: downloading k8s.io/api v0.0.0" >&2; printf 'a\nb\nc\n' ;;
build)
	[ -z "$FAKE_GO_FAILS" ] || { echo "k8s.io/api" >&2; echo "x.go:1:1: does not compile" >&2; exit 1; }
	[ -z "$FAKE_GO_HANGS" ] || exec sleep 60
	while [ "$1" != -o ]; do shift; done
	for f in promtool helm metrics-server kubelet kube-proxy server kube-apiserver kube-controller-manager kube-scheduler kubectl kwok; do echo made > "$2$f"; done ;;
esac
`

func useFakeGo(t *testing.T) (cache, calls string) {
	t.Helper()
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "go"), []byte(fakeGo), 0o755); err != nil {
		t.Fatal(err)
	}
	cache, calls = filepath.Join(dir, "cache"), filepath.Join(dir, "calls")
	t.Setenv("PATH", dir+":"+os.Getenv("PATH"))
	t.Setenv("FAKE_GO_CALLS", calls)
	t.Setenv("KUBILITICS_CACHE", cache)
	t.Setenv("KUBEBUILDER_ASSETS", "")
	t.Setenv("GOFLAGS", "-race")
	return cache, calls
}

func builds(t *testing.T, calls string) []string {
	t.Helper()
	data, err := os.ReadFile(calls)
	if err != nil {
		t.Fatal(err)
	}
	var b []string
	for line := range strings.Lines(string(data)) {
		if strings.HasPrefix(line, "build") {
			b = append(b, line)
		}
	}
	return b
}

// Whoever comes at the same time waits, and finds the work done.
func TestProgramsAreBuiltOnce(t *testing.T) {
	cache, calls := useFakeGo(t)
	var wg sync.WaitGroup
	var logs [4]bytes.Buffer
	for i := range logs {
		wg.Go(func() {
			bin, err := Programs(t.Context(), &logs[i])
			if err != nil {
				t.Error(err)
				return
			}
			for _, p := range programs {
				if at := *p.at(&bin); !strings.HasPrefix(at, cache) || filepath.Base(at) != p.name || !isFile(at) {
					t.Errorf("%s is at %q", p.name, at)
				}
			}
			if bin.Version != "v1.37.2" {
				t.Errorf("version %q", bin.Version)
			}
		})
	}
	wg.Wait()
	b := builds(t, calls)
	if len(b) != 1 {
		t.Fatalf("%d builds, want 1", len(b))
	}
	if !strings.Contains(b[0], "GOWORK=off GOFLAGS= CGO=0") {
		t.Errorf("built with %s", b[0])
	}
	var told bool
	for i := range logs {
		told = told || strings.Contains(logs[i].String(), "building etcd, kube-apiserver")
	}
	if !told {
		t.Error("nobody was told of the build")
	}
	var bin Bin
	if err := Extras(t.Context(), &bin, nil); err != nil || !isFile(bin.Helm) || filepath.Dir(bin.Helm) == filepath.Dir(bin.Kubectl) {
		t.Errorf("helm is at %q (%v)", bin.Helm, err)
	}
	if b := builds(t, calls); len(b) != 2 || strings.Contains(b[1], "kubernetes/cmd") {
		t.Errorf("asked for what comes beside: built %v", b)
	}
	if left, _ := filepath.Glob(filepath.Join(cache, "kube", "*", ".build-*")); len(left) > 0 {
		t.Errorf("left %v", left)
	}
}

func TestGivenAssetsAreUsed(t *testing.T) {
	_, calls := useFakeGo(t)
	assets := t.TempDir()
	for _, name := range []string{"etcd", "kube-apiserver"} {
		if err := os.WriteFile(filepath.Join(assets, name), nil, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	t.Setenv("KUBEBUILDER_ASSETS", assets)
	bin, err := Programs(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	if bin.Etcd != filepath.Join(assets, "etcd") || bin.APIServer != filepath.Join(assets, "kube-apiserver") {
		t.Errorf("%+v doesn't use the assets", bin)
	}
	if b := builds(t, calls); strings.Contains(b[0], "etcd") || !strings.Contains(b[0], "kwok") {
		t.Errorf("built with %s", b[0])
	}
}

func TestFailedBuildSaysWhy(t *testing.T) {
	cache, _ := useFakeGo(t)
	t.Setenv("FAKE_GO_FAILS", "yes")
	_, err := Programs(t.Context(), nil)
	if err == nil || !strings.Contains(err.Error(), "x.go:1:1: does not compile") || strings.Contains(err.Error(), "k8s.io/api\n") {
		t.Fatalf("want the compiler's words and no package names, got %v", err)
	}
	if left, _ := filepath.Glob(filepath.Join(cache, "kube", "*", "*")); len(left) != 1 || filepath.Base(left[0]) != ".lock" {
		t.Errorf("left %v", left)
	}
	t.Setenv("FAKE_GO_FAILS", "")
	if _, err := Programs(t.Context(), nil); err != nil {
		t.Errorf("the next build: %v", err)
	}
}

func TestBuildCanBeInterrupted(t *testing.T) {
	useFakeGo(t)
	t.Setenv("FAKE_GO_HANGS", "yes")
	ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
	defer cancel()
	began := time.Now()
	if _, err := Programs(ctx, nil); err == nil {
		t.Fatal("built")
	}
	if took := time.Since(began); took > 5*time.Second {
		t.Errorf("took %s to end", took)
	}
}
