package node

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"flag"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"
	"golang.org/x/sync/errgroup"

	"github.com/kubilitics/kubilitics/e2e/image"
	"github.com/kubilitics/kubilitics/e2e/kube"
	"github.com/kubilitics/kubilitics/e2e/stack"
)

// place is where the tests run.
var place struct {
	lacks      string // why they can't
	dir        string
	kubeconfig string
	bin        kube.Bin
	images     string        // their registry
	own        *kube.Cluster // nil where a cluster was given
}

const volumeClass = "node"

func TestMain(m *testing.M) {
	flag.Parse()
	if testing.Short() {
		fmt.Fprintln(os.Stderr, "node: nothing runs with -short: these tests start a real node")
		return
	}
	code, err := run(m)
	if err != nil {
		fmt.Fprintln(os.Stderr, "node:", err)
		code = max(code, 1)
	}
	os.Exit(code)
}

func run(m *testing.M) (code int, err error) {
	place.kubeconfig = os.Getenv("KUBILITICS_NODE_KUBECONFIG")
	place.images = cmp.Or(os.Getenv("KUBILITICS_NODE_IMAGES"), "localhost")
	if place.lacks = kube.NodeLacks(); place.lacks != "" && place.kubeconfig == "" {
		fmt.Fprintf(os.Stderr, "\nNOT RUN: no test of the charts on a real node. Here %s; or name a cluster in KUBILITICS_NODE_KUBECONFIG.\n\n", place.lacks)
		return m.Run(), nil // each says so again
	}
	if place.dir, err = os.MkdirTemp("", "kubilitics-node-"); err != nil {
		return 1, err
	}
	defer func() { err = errors.Join(err, leave()) }()
	ctx, cancel := stack.Within(context.Background(), 15*time.Minute) // the first run on a machine builds Kubernetes and helm
	defer cancel()
	if err := prepare(ctx); err != nil {
		return 1, err
	}
	return m.Run(), nil
}

func prepare(ctx context.Context) (err error) {
	if place.bin, err = kube.Programs(ctx, os.Stderr); err != nil {
		return err
	}
	if err := kube.Extras(ctx, &place.bin, os.Stderr); err != nil {
		return err
	}
	if place.kubeconfig != "" {
		return nil
	}
	g, within := errgroup.WithContext(ctx)
	for _, name := range []string{"kubilitics-hub", "kubilitics-agent"} {
		g.Go(func() error {
			i, err := image.Program(within, name, "linux/"+runtime.GOARCH)
			if err == nil {
				_, err = i.Save(archive(name))
			}
			return err
		})
	}
	g.Go(func() error {
		c, err := kube.Start(within, kube.Options{Name: "node", Nodes: -1, Node: true, Bin: &place.bin, Log: os.Stderr})
		if err != nil {
			return err
		}
		place.own, place.kubeconfig = c, c.KubeconfigPath()
		return nil
	})
	if err := g.Wait(); err != nil {
		return err
	}
	return errors.Join(place.own.LoadImage(ctx, archive("kubilitics-hub")), place.own.LoadImage(ctx, archive("kubilitics-agent")))
}

func archive(name string) string { return filepath.Join(place.dir, name+".tar") }

func leave() error {
	var errs []error
	if place.own != nil {
		errs = append(errs, place.own.Stop(context.Background()))
	}
	http.DefaultClient.CloseIdleConnections()
	return errors.Join(append(errs, os.RemoveAll(place.dir), goleak.Find())...)
}

// command is one of somebody whose kubeconfig is that, and who has kubectl and helm on the PATH.
func command(ctx context.Context, kubeconfig, dir string, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, "sh", append([]string{"-c", `exec "$@"`, "sh"}, args...)...)
	path := filepath.Dir(place.bin.Helm) + ":" + filepath.Dir(place.bin.Kubectl) + ":/usr/bin:/bin"
	cmd.Env = []string{"HOME=" + filepath.Join(place.dir, "home"), "KUBECONFIG=" + kubeconfig, "PATH=" + path}
	cmd.Dir = dir
	return cmd
}

// do runs a command and gives what it printed; of a failure the error tells.
func do(ctx context.Context, kubeconfig string, in []byte, args ...string) (string, error) {
	ctx, cancel := stack.Within(ctx, 3*time.Minute)
	defer cancel()
	cmd := command(ctx, kubeconfig, place.dir, args...)
	if in != nil {
		cmd.Stdin = bytes.NewReader(in)
	}
	return output(cmd)
}

func output(cmd *exec.Cmd) (string, error) {
	var out, complaints bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &complaints
	if err := cmd.Run(); err != nil {
		return out.String(), fmt.Errorf("%s: %w\n%s%s", strings.Join(cmd.Args, " "), err, out.String(), complaints.String())
	}
	return out.String(), nil
}

// must does it as the cluster's administrator.
func must(t *testing.T, args ...string) string {
	t.Helper()
	out, err := do(t.Context(), place.kubeconfig, nil, args...)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// eventually polls until check is content.
func eventually(t *testing.T, what string, within time.Duration, check func() error) {
	t.Helper()
	ctx, cancel := stack.Within(t.Context(), within)
	defer cancel()
	tick := time.NewTicker(200 * time.Millisecond)
	defer tick.Stop()
	for {
		err := check()
		if err == nil {
			return
		}
		select {
		case <-ctx.Done():
			t.Fatalf("%s: %v: %v", what, context.Cause(ctx), err)
		case <-tick.C:
		}
	}
}
