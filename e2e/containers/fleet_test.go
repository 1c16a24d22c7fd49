package containers

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/netip"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"runtime"
	"time"

	"github.com/moby/moby/api/types/container"
	"github.com/moby/moby/api/types/network"
	"github.com/testcontainers/testcontainers-go"
	"golang.org/x/sync/errgroup"
	utilnet "k8s.io/apimachinery/pkg/util/net"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"

	"github.com/kubilitics/kubilitics/e2e/demo/app"
	"github.com/kubilitics/kubilitics/e2e/image"
	"github.com/kubilitics/kubilitics/e2e/kube"
	"github.com/kubilitics/kubilitics/e2e/stack"
	"github.com/kubilitics/kubilitics/shared/tunnel/tunneltest"
)

// fleet is a hub on Postgres and an agent for each of two clusters, in containers. The clusters are control planes on this machine.
type fleet struct {
	engine        *engine
	dir           string
	images        struct{ hub, agent, postgres string }
	base, ways    *ground // hub and Postgres; hub and agents
	postgres, hub *box
	client        stack.Client
	eu, us        *cluster
}

// cluster is a control plane with its agent.
type cluster struct {
	*kube.Cluster
	rest   *rest.Config
	http   *http.Client
	client *kubernetes.Clientset
	ground *ground // between the agent and this machine
	relay  *tunneltest.Relay
	id     string // at the hub
	agent  *box
}

func startFleet(ctx context.Context, e *engine, dir string) (f *fleet, err error) {
	f = &fleet{engine: e, dir: dir, eu: &cluster{}, us: &cluster{}}
	bin, err := kube.Programs(ctx, os.Stderr)
	if err != nil {
		return f, err
	}
	g, within := errgroup.WithContext(ctx)
	g.Go(func() error { return f.loadImages(within) })
	for region, c := range map[string]*cluster{"eu": f.eu, "us": f.us} {
		g.Go(func() error { return c.start(within, region, dir, &bin) })
	}
	if err := g.Wait(); err != nil {
		return f, err
	}
	if err := f.startHub(ctx); err != nil {
		return f, err
	}
	for region, c := range map[string]*cluster{"eu": f.eu, "us": f.us} {
		if err := f.join(ctx, region, c); err != nil {
			return f, err
		}
	}
	return f, nil
}

func (f *fleet) loadImages(ctx context.Context) error {
	platform := "linux/" + runtime.GOARCH
	for program, to := range map[string]*string{"kubilitics-agent": &f.images.agent, "kubilitics-hub": &f.images.hub} {
		i, err := image.Program(ctx, program, platform)
		if err != nil {
			return err
		}
		if *to, err = f.engine.load(ctx, f.dir, i); err != nil {
			return err
		}
	}
	i, err := postgresImage(ctx, f.dir)
	if errors.Is(err, errNoPostgres) {
		f.images.postgres = published
		return nil
	}
	if err != nil {
		return err
	}
	f.images.postgres, err = f.engine.load(ctx, f.dir, i)
	return err
}

func (c *cluster) start(ctx context.Context, region, dir string, bin *kube.Bin) (err error) {
	if c.Cluster, err = kube.Start(ctx, kube.Options{Name: region, Region: region, Nodes: 2, Dir: dir, Bin: bin}); err != nil {
		return err
	}
	c.rest = c.RESTConfig()
	if c.http, err = rest.HTTPClientFor(c.rest); err != nil {
		return err
	}
	if c.client, err = kubernetes.NewForConfigAndClient(c.rest, c.http); err != nil {
		return err
	}
	manifests, err := app.Manifests(region)
	if err != nil {
		return err
	}
	access, err := os.ReadFile(filepath.Join("..", "testdata", "access.yaml"))
	if err != nil {
		return err
	}
	return c.Apply(ctx, bytes.Join([][]byte{manifests, access}, []byte("\n---\n")))
}

// folder makes a directory that a container's user may write to.
func (f *fleet) folder(name string) (string, error) {
	path := filepath.Join(f.dir, name)
	if err := os.Mkdir(path, 0o700); err != nil {
		return "", err
	}
	return path, os.Chmod(path, 0o777) // whatever the umask
}

func (f *fleet) startHub(ctx context.Context) (err error) {
	if f.base, err = f.engine.network(ctx); err != nil {
		return err
	}
	if f.ways, err = f.engine.network(ctx); err != nil {
		return err
	}
	writable := func(h *container.HostConfig) { h.ReadonlyRootfs, h.CapDrop = false, nil } // it keeps its data in the container
	if f.postgres, err = f.engine.start(ctx, "postgres", f.images.postgres, []*ground{f.base}, writable,
		testcontainers.WithEnv(map[string]string{"POSTGRES_HOST_AUTH_METHOD": "trust"})); err != nil { // which the published image wants
		return err
	}
	data, err := f.folder("hub")
	if err != nil {
		return err
	}
	limits := func(h *container.HostConfig) {
		h.Binds = []string{data + ":/var/lib/kubilitics"}
		h.RestartPolicy.Name = container.RestartPolicyOnFailure // as a pod's: it ends when there is no database yet
		h.PortBindings = network.PortMap{network.MustParsePort("8400/tcp"): {{HostIP: netip.AddrFrom4([4]byte{127, 0, 0, 1})}}}
	}
	if f.hub, err = f.engine.start(ctx, "hub", f.images.hub, []*ground{f.base, f.ways}, limits,
		testcontainers.WithExposedPorts("8400/tcp"),
		testcontainers.WithEnv(map[string]string{"KUBILITICS_DATABASE": "postgres://postgres@postgres:5432/postgres?sslmode=disable"}),
		testcontainers.WithCmd("serve", "--data-dir", "/var/lib/kubilitics", "--listen", "0.0.0.0:8400", "--tunnel-listen", "0.0.0.0:8443",
			"--tunnel-address", "tls://hub:8443", "--log-format", "text")); err != nil {
		return err
	}
	return f.await(ctx, 30*time.Second, "the hub is ready", f.greet)
}

var tokenLine = regexp.MustCompile(`(?m)^token (\S+)$`)

// greet finds the hub's address, which is another after each start, and its token, which it tells once.
func (f *fleet) greet(ctx context.Context) error {
	port, err := f.hub.MappedPort(ctx, "8400/tcp")
	if err != nil {
		return err
	}
	f.client.URL = "http://127.0.0.1:" + port.Port()
	if _, err := f.client.Text(ctx, "/readyz"); err != nil {
		return err
	}
	text, err := f.hub.log(ctx)
	if err != nil {
		return err
	}
	told := tokenLine.FindStringSubmatch(text)
	if told == nil {
		return errors.New("it has told no token")
	}
	f.client.Token = told[1]
	return nil
}

// join makes a cluster at the hub and starts its agent.
func (f *fleet) join(ctx context.Context, region string, c *cluster) (err error) {
	if c.ground, err = f.engine.network(ctx); err != nil {
		return err
	}
	config, err := f.folder("config-" + region)
	if err != nil {
		return err
	}
	if err := c.writeKubeconfig(ctx, filepath.Join(config, "kubeconfig")); err != nil {
		return err
	}
	state, err := f.folder("state-" + region)
	if err != nil {
		return err
	}
	made, err := f.client.CreateCluster(ctx, region, nil)
	if err != nil {
		return err
	}
	c.id = made.ID
	mounts := func(h *container.HostConfig) {
		h.Binds = []string{config + ":/etc/kubilitics:ro", state + ":/state"}
		h.Memory = 512 << 20 // the chart's limit
	}
	c.agent, err = f.engine.start(ctx, "agent-"+region, f.images.agent, []*ground{f.ways, c.ground}, mounts,
		testcontainers.WithEnv(map[string]string{"KUBILITICS_TOKEN": made.Token}),
		testcontainers.WithCmd("run", "--hub", "tls://hub:8443", "--kubeconfig", "/etc/kubilitics/kubeconfig", "--state-dir", "/state", "--log-format", "text"))
	return err
}

// writeKubeconfig gives the agent a way to the cluster, which listens on this machine's loopback alone: through a relay on this machine's address in the
// agent's own network.
func (c *cluster) writeKubeconfig(ctx context.Context, path string) error {
	text, err := c.ServiceAccountKubeconfig(ctx, "kubilitics", "agent")
	if err != nil {
		return err
	}
	config, err := clientcmd.Load(text)
	if err != nil {
		return err
	}
	server, err := url.Parse(c.URL)
	if err != nil {
		return err
	}
	relay := &tunneltest.Relay{Host: c.ground.here.String()}
	if err := relay.Start(server.Host); err != nil {
		return fmt.Errorf("this machine has no address in the engine's network, which may be another machine's: %w", err)
	}
	c.relay = relay
	for _, to := range config.Clusters {
		to.Server, to.TLSServerName = "https://"+c.relay.Addr(), server.Hostname()
	}
	if text, err = clientcmd.Write(*config); err != nil {
		return err
	}
	return os.WriteFile(path, text, 0o644) // the container's user is another
}

// await polls until ok.
func (f *fleet) await(ctx context.Context, limit time.Duration, what string, ok func(context.Context) error) error {
	ctx, cancel := stack.Within(ctx, limit)
	defer cancel()
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for {
		err := ok(ctx)
		if err == nil {
			return nil
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return fmt.Errorf("%s: %w: %w", what, context.Cause(ctx), err)
		}
	}
}

// stop ends what isn't in the engine.
func (f *fleet) stop(ctx context.Context) error {
	var errs []error
	for _, c := range []*cluster{f.eu, f.us} {
		if c.relay != nil {
			c.relay.Close()
		}
		if c.Cluster != nil {
			errs = append(errs, c.Stop(ctx))
		}
		if c.http != nil {
			utilnet.CloseIdleConnectionsFor(c.http.Transport)
		}
	}
	return errors.Join(errs...)
}
