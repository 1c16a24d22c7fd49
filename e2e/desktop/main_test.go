package desktop

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/kubilitics/kubilitics/e2e/kube"
	"github.com/kubilitics/kubilitics/e2e/stack"
)

// plane is the control plane behind every living context, program the desktop's.
var (
	plane   *kube.Cluster
	program string
)

func TestMain(m *testing.M) { os.Exit(run(m)) }

func run(m *testing.M) int {
	dir, err := os.MkdirTemp("", "kubilitics-desktop-")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer func() { _ = os.RemoveAll(dir) }() // of the system's temporary ones
	programs, err := stack.Build(context.Background(), dir, os.Stderr)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	program = programs.Hub
	code := kube.Main(m, kube.Options{Name: "desktop"}, func(k *kube.Cluster) { plane = k })
	if err := goleak.Find(); err != nil && code == 0 {
		fmt.Fprintln(os.Stderr, err)
		code = 1
	}
	return code
}

// rig is a test's kubeconfig and data.
type rig struct {
	*Contexts
	t                *testing.T
	dir, file, state string
}

func newRig(t *testing.T) *rig {
	t.Helper()
	dir := t.TempDir()
	r := &rig{Contexts: New(), t: t, dir: dir, file: filepath.Join(dir, "config"), state: filepath.Join(dir, "data")}
	t.Cleanup(r.Close)
	return r
}

func (r *rig) must(err error) {
	r.t.Helper()
	if err != nil {
		r.t.Fatal(err)
	}
}

func (r *rig) within(d time.Duration) context.Context {
	ctx, cancel := stack.Within(r.t.Context(), d)
	r.t.Cleanup(cancel)
	return ctx
}

func (r *rig) write() {
	r.t.Helper()
	r.must(r.Write(r.file))
}

// start starts a desktop that ends with the test.
func (r *rig) start(args ...string) *stack.Desktop {
	r.t.Helper()
	d, err := stack.StartDesktop(r.within(30*time.Second), r.options(args...))
	r.must(err)
	r.t.Cleanup(func() {
		d.HTTP.CloseIdleConnections()
		if err := d.Stop(); err != nil {
			r.t.Error(err)
		}
	})
	return d
}

func (r *rig) options(args ...string) stack.DesktopOptions {
	return stack.DesktopOptions{Program: program, Dir: r.state, Kubeconfig: r.file, Args: args}
}

// awaits waits until each named cluster is as said: "live", "removed", or the code of what is wrong.
func (r *rig) awaits(d *stack.Desktop, want map[string]string) map[string]stack.Contacted {
	r.t.Helper()
	var last map[string]stack.Contacted
	r.must(d.Await(r.within(30*time.Second), fmt.Sprintf("the clusters are %v", want), func(all map[string]stack.Contacted) error {
		last = all
		for name, state := range want {
			if got := stateOf(all[name]); got != state {
				return fmt.Errorf("%s is %s (%s), not %s", name, got, all[name].Contact.Reason, state)
			}
		}
		return nil
	}))
	return last
}

func stateOf(c stack.Contacted) string {
	switch {
	case c.ID == "":
		return "absent"
	case c.Contact.State == "failed":
		return c.Contact.Code
	case c.Contact.State == "connected" && c.Freshness.State == "live":
		return "live"
	default:
		return c.Contact.State
	}
}
