package charts

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"
	"golang.org/x/sync/errgroup"
	utilnet "k8s.io/apimachinery/pkg/util/net"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"

	"github.com/kubilitics/kubilitics/e2e/kube"
	"github.com/kubilitics/kubilitics/e2e/stack"
)

var rewrite = flag.Bool("rewrite", false, "write the golden files anew")

// world is what the tests share: a control plane whose nodes are simulated, helm, and our programs.
var world struct {
	dir      string
	cluster  *kube.Cluster
	helm     string
	programs stack.Programs
	http     *http.Client
	client   *kubernetes.Clientset
}

func TestMain(m *testing.M) {
	flag.Parse()
	if testing.Short() {
		fmt.Fprintln(os.Stderr, "charts: nothing runs with -short: these tests start a real control plane")
		return
	}
	code, err := run(m)
	if err != nil {
		fmt.Fprintln(os.Stderr, "charts:", err)
		code = max(code, 1)
	}
	os.Exit(code)
}

func run(m *testing.M) (code int, err error) {
	if world.dir, err = os.MkdirTemp("", "kubilitics-charts-"); err != nil {
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

func prepare(ctx context.Context) error {
	bin, err := kube.Programs(ctx, os.Stderr)
	if err != nil {
		return err
	}
	if err := kube.Extras(ctx, &bin, os.Stderr); err != nil {
		return err
	}
	world.helm = bin.Helm
	g, within := errgroup.WithContext(ctx)
	g.Go(func() (err error) {
		world.programs, err = stack.Build(within, filepath.Join(world.dir, "bin"), os.Stderr)
		return err
	})
	g.Go(func() error {
		c, err := kube.Start(within, kube.Options{Name: "charts", Nodes: 2, Dir: world.dir, Bin: &bin})
		if err != nil {
			return err
		}
		world.cluster = c
		return furnish(within, c)
	})
	return g.Wait()
}

// furnish makes the namespaces that values name, and the kinds of others.
func furnish(ctx context.Context, c *kube.Cluster) (err error) {
	crds, err := os.ReadFile("testdata/crds.yaml")
	if err != nil {
		return err
	}
	for _, name := range []string{"kubilitics", "shop", "payments"} {
		crds = append(crds, "\n---\napiVersion: v1\nkind: Namespace\nmetadata: {name: "+name+"}\n"...)
	}
	if err := c.Apply(ctx, crds); err != nil {
		return err
	}
	cfg := c.RESTConfig()
	if world.http, err = rest.HTTPClientFor(cfg); err != nil {
		return err
	}
	world.client, err = kubernetes.NewForConfigAndClient(cfg, world.http)
	return err
}

func leave() error {
	var errs []error
	if world.cluster != nil {
		errs = append(errs, world.cluster.Stop(context.Background()))
	}
	if world.http != nil {
		utilnet.CloseIdleConnectionsFor(world.http.Transport)
	}
	http.DefaultClient.CloseIdleConnections()
	return errors.Join(append(errs, os.RemoveAll(world.dir), goleak.Find())...)
}

// folder is where a chart is.
func folder(chart string) string { return filepath.Join("..", "..", "charts", chart) }

// helmEnviron is that of somebody whose kubeconfig points at the cluster. kubectl and helm are on the PATH.
func helmEnviron() []string {
	path := filepath.Dir(world.helm) + ":" + filepath.Dir(world.cluster.KubectlPath()) + ":/usr/bin:/bin"
	return []string{"HOME=" + filepath.Join(world.dir, "home"), "KUBECONFIG=" + world.cluster.KubeconfigPath(), "PATH=" + path}
}

// helm runs helm, and gives what it printed; of a failure the error tells.
func helm(ctx context.Context, args ...string) (string, error) {
	ctx, cancel := stack.Within(ctx, 2*time.Minute)
	defer cancel()
	return command(exec.CommandContext(ctx, world.helm, args...))
}

func command(cmd *exec.Cmd) (string, error) {
	var out, complaints bytes.Buffer
	cmd.Env, cmd.Stdout, cmd.Stderr = append(helmEnviron(), cmd.Env...), &out, &complaints
	if err := cmd.Run(); err != nil {
		return out.String(), fmt.Errorf("%s: %w\n%s%s", strings.Join(cmd.Args, " "), err, out.String(), complaints.String())
	}
	return out.String(), nil
}

func mustHelm(t *testing.T, args ...string) string {
	t.Helper()
	out, err := helm(t.Context(), args...)
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
	tick := time.NewTicker(100 * time.Millisecond)
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
