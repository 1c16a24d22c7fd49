package e2e

import (
	"bytes"
	"context"
	_ "embed"
	"encoding/base64"
	"errors"
	"flag"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"testing"
	"time"

	"go.uber.org/goleak"
	"golang.org/x/sync/errgroup"

	"github.com/kubilitics/kubilitics/e2e/demo/app"
	"github.com/kubilitics/kubilitics/e2e/kube"
	"github.com/kubilitics/kubilitics/e2e/stack"
	"github.com/kubilitics/kubilitics/shared/pgtest"
)

// world is what all tests of the package share: the programs, two clusters that carry the demo application, a Postgres server, and a hub that nobody
// abuses, whose knowledge of the clusters is what other hubs' is held against.
var world struct {
	dir       string
	programs  stack.Programs
	eu, us    *cluster
	postgres  *pgtest.Server // nil: none is to be had
	reference *rig
}

// cluster is a control plane and the accounts of agents in it.
type cluster struct {
	*kube.Cluster
	name          string
	agent, modest string  // kubeconfig files
	reference     *member // at the reference hub
}

//go:embed testdata/access.yaml
var access []byte

// planted is a Secret's value that may be found nowhere but in the cluster.
const planted = "planted-secret-value-7b1f9c44aa"

func plantedEncoded() string { return base64.StdEncoding.EncodeToString([]byte(planted)) }

func TestMain(m *testing.M) {
	flag.Parse()
	if testing.Short() {
		fmt.Fprintln(os.Stderr, "e2e: nothing runs with -short: these tests start real control planes")
		return
	}
	code, err := run(m)
	if err != nil {
		fmt.Fprintln(os.Stderr, "e2e:", err)
		code = max(code, 1)
	}
	os.Exit(code)
}

func run(m *testing.M) (code int, err error) {
	if world.dir, err = os.MkdirTemp("", "kubilitics-e2e-"); err != nil {
		return 1, err
	}
	defer func() { err = errors.Join(err, leave()) }()
	ctx, cancel := stack.Within(context.Background(), 15*time.Minute) // the first run on a machine builds Kubernetes
	defer cancel()
	if err := prepare(ctx); err != nil {
		return 1, err
	}
	return m.Run(), nil
}

// prepare starts what is shared, side by side.
func prepare(ctx context.Context) error {
	bin, err := kube.Programs(ctx, os.Stderr)
	if err != nil {
		return err
	}
	g, within := errgroup.WithContext(ctx)
	g.Go(func() (err error) {
		world.programs, err = stack.Build(within, filepath.Join(world.dir, "bin"), os.Stderr)
		return err
	})
	g.Go(func() (err error) {
		if world.postgres, err = pgtest.Start(within, false); errors.Is(err, pgtest.ErrNone) {
			return nil
		}
		return err
	})
	for at, region := range map[**cluster]string{&world.eu: "eu", &world.us: "us"} {
		g.Go(func() (err error) {
			*at, err = startCluster(within, region, &bin)
			return err
		})
	}
	if err := g.Wait(); err != nil {
		return err
	}
	return startReference(ctx)
}

func startCluster(ctx context.Context, region string, bin *kube.Bin) (*cluster, error) {
	started, err := kube.Start(ctx, kube.Options{Name: region, Region: region, Nodes: 3, Dir: world.dir, Bin: bin})
	if err != nil {
		return nil, err
	}
	c := &cluster{Cluster: started, name: region}
	manifests, err := app.Manifests(region)
	if err != nil {
		return c, err
	}
	if err := c.Apply(ctx, bytes.Join([][]byte{manifests, access, []byte(plant())}, []byte("\n---\n"))); err != nil {
		return c, err
	}
	return c, c.accounts(ctx)
}

// accounts writes the kubeconfig files of the agents.
func (c *cluster) accounts(ctx context.Context) error {
	for account, to := range map[string]*string{"agent": &c.agent, "modest": &c.modest} {
		text, err := c.ServiceAccountKubeconfig(ctx, "kubilitics", account)
		if err != nil {
			return err
		}
		*to = filepath.Join(world.dir, c.name+"."+account+".kubeconfig")
		if err := os.WriteFile(*to, text, 0o600); err != nil {
			return err
		}
	}
	return nil
}

// plant is a Secret whose value also stands where kubectl would leave it.
func plant() string {
	return fmt.Sprintf(`
apiVersion: v1
kind: Secret
metadata:
  name: planted
  namespace: payments
  labels: {app.kubernetes.io/name: planted}
  annotations:
    kubectl.kubernetes.io/last-applied-configuration: '{"apiVersion":"v1","kind":"Secret","metadata":{"name":"planted","namespace":"payments"},"data":{"password":"%[2]s"},"stringData":{"copy":"%[1]s"}}'
stringData: {password: %[1]s}
`, planted, plantedEncoded())
}

func startReference(ctx context.Context) error {
	r, err := newRig(ctx, filepath.Join(world.dir, "reference"), &database{name: "sqlite"})
	if err != nil {
		return err
	}
	world.reference = r
	for _, c := range []*cluster{world.eu, world.us} {
		if c.reference, err = r.enrol(ctx, c.name, stack.AgentOptions{Dir: filepath.Join(world.dir, "reference-"+c.name), Kubeconfig: c.agent}); err != nil {
			return err
		}
	}
	for _, c := range []*cluster{world.eu, world.us} {
		if err := r.hub.AwaitLive(ctx, c.reference.id); err != nil {
			return err
		}
	}
	return nil
}

// leave ends everything in the reverse order of its start, and tells what is left.
func leave() error {
	var errs []error
	if r := world.reference; r != nil {
		errs = append(errs, r.stop())
	}
	for _, c := range []*cluster{world.eu, world.us} {
		if c != nil {
			errs = append(errs, c.Stop(context.Background()))
		}
	}
	if world.postgres != nil {
		errs = append(errs, world.postgres.Stop())
	}
	http.DefaultClient.CloseIdleConnections()
	errs = append(errs, os.RemoveAll(world.dir), goleak.Find())
	return errors.Join(errs...)
}
