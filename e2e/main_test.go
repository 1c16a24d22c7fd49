package e2e

import (
	"bytes"
	"context"
	"crypto/rand"
	_ "embed"
	"encoding/base64"
	"errors"
	"flag"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"
	"golang.org/x/sync/errgroup"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	utilnet "k8s.io/apimachinery/pkg/util/net"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/metadata"
	"k8s.io/client-go/rest"

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
	http          *http.Client
	client        *kubernetes.Clientset
	metadata      metadata.Interface
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
			fmt.Fprintln(os.Stderr, "e2e: ONLY HALF OF THE TESTS RUN:", err)
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
	started, err := kube.Start(ctx, kube.Options{Name: region, Region: region, Nodes: 3, Dir: world.dir, Bin: bin, Exec: true})
	if err != nil {
		return nil, err
	}
	c := &cluster{Cluster: started, name: region}
	if err := c.connect(); err != nil {
		return c, err
	}
	manifests, err := app.Manifests(region)
	if err != nil {
		return c, err
	}
	if err := c.Apply(ctx, bytes.Join([][]byte{manifests, access, []byte(plant())}, []byte("\n---\n"))); err != nil {
		return c, err
	}
	if region == "us" {
		if err := c.fill(ctx, 1500); err != nil {
			return c, err
		}
	}
	return c, c.accounts(ctx)
}

// fill makes ConfigMaps enough for a first load to take long enough to be cut off in the middle.
func (c *cluster) fill(ctx context.Context, n int) error {
	if _, err := c.client.CoreV1().Namespaces().Create(ctx, &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: "bulk"}}, metav1.CreateOptions{}); err != nil {
		return err
	}
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(40)
	for i := range n {
		g.Go(func() error {
			_, err := c.client.CoreV1().ConfigMaps("bulk").Create(ctx, &corev1.ConfigMap{
				ObjectMeta: metav1.ObjectMeta{Name: fmt.Sprintf("bulk-%d", i), Labels: map[string]string{"bulk": strconv.Itoa(i % 10), "number": strconv.Itoa(i)}},
				Data:       map[string]string{"text": rand.Text() + strings.Repeat(rand.Text(), 40)},
			}, metav1.CreateOptions{})
			return err
		})
	}
	return g.Wait()
}

// connect makes the clients by which tests change the cluster and look at it.
func (c *cluster) connect() (err error) {
	cfg := c.RESTConfig()
	if c.http, err = rest.HTTPClientFor(cfg); err != nil {
		return err
	}
	if c.client, err = kubernetes.NewForConfigAndClient(cfg, c.http); err != nil {
		return err
	}
	c.metadata, err = metadata.NewForConfigAndClient(cfg, c.http)
	return err
}

// stop ends the cluster and the connections to it.
func (c *cluster) stop() error {
	err := c.Stop(context.Background())
	if c.http != nil {
		c.hangUp()
	}
	return err
}

func (c *cluster) hangUp() { utilnet.CloseIdleConnectionsFor(c.http.Transport) }

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
			errs = append(errs, c.stop())
		}
	}
	if world.postgres != nil {
		errs = append(errs, world.postgres.Stop())
	}
	http.DefaultClient.CloseIdleConnections()
	errs = append(errs, os.RemoveAll(world.dir), goleak.Find())
	return errors.Join(errs...)
}
