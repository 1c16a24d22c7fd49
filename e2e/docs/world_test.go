package docs

import (
	"bytes"
	"context"
	_ "embed"
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"
	"golang.org/x/sync/errgroup"
	"k8s.io/client-go/util/cert"

	"github.com/kubilitics/kubilitics/e2e/demo/app"
	"github.com/kubilitics/kubilitics/e2e/kube"
	"github.com/kubilitics/kubilitics/e2e/stack"
	"github.com/kubilitics/kubilitics/shared/pgtest"
)

// world is what the pages share: the programs, two clusters that run the demo's application, and a Postgres server.
var world struct {
	dir      string
	bin      kube.Bin
	programs stack.Programs
	members  []*member
	postgres *pgtest.Server
	gocache  map[string]string // what go is to know wherever HOME is
	cert     []byte            // of https://hub.example, with its root
	key      []byte
}

// member is a cluster and the kubeconfig of its agents.
type member struct {
	*kube.Cluster
	name  string
	agent string
}

//go:embed testdata/access.yaml
var access []byte

func TestMain(m *testing.M) {
	flag.Parse()
	code, err := run(m)
	if err != nil {
		fmt.Fprintln(os.Stderr, "docs:", err)
		code = max(code, 1)
	}
	os.Exit(code)
}

func run(m *testing.M) (code int, err error) {
	if testing.Short() {
		return m.Run(), nil // what needs clusters skips itself
	}
	if world.dir, err = os.MkdirTemp("", "kubilitics-docs-"); err != nil {
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

func prepare(ctx context.Context) (err error) {
	if world.bin, err = kube.Programs(ctx, os.Stderr); err != nil {
		return err
	}
	if err := kube.Extras(ctx, &world.bin, os.Stderr); err != nil {
		return err
	}
	if world.cert, world.key, err = cert.GenerateSelfSignedCertKey("hub.example", []net.IP{net.IPv4(127, 0, 0, 1)}, []string{"localhost"}); err != nil {
		return err
	}
	g, within := errgroup.WithContext(ctx)
	g.Go(func() error {
		world.programs, err = stack.Build(within, filepath.Join(world.dir, "bin"), os.Stderr)
		return errors.Join(err, goEnviron(within))
	})
	g.Go(func() (err error) {
		if world.postgres, err = pgtest.Start(within, false); errors.Is(err, pgtest.ErrNone) {
			return nil
		}
		return err
	})
	regions := app.Regions()
	world.members = make([]*member, len(regions))
	for i, region := range regions {
		g.Go(func() (err error) {
			world.members[i], err = startMember(within, region)
			return err
		})
	}
	return g.Wait()
}

func goEnviron(ctx context.Context) error {
	world.gocache = map[string]string{}
	names := []string{"GOCACHE", "GOMODCACHE", "GOPATH", "GOPROXY", "GOFLAGS", "GOTOOLCHAIN", "GOSUMDB"}
	out, err := exec.CommandContext(ctx, "go", append([]string{"env"}, names...)...).Output()
	if err != nil {
		return err
	}
	for i, value := range strings.Split(strings.TrimSuffix(string(out), "\n"), "\n") {
		world.gocache[names[i]] = value
	}
	return nil
}

// startMember starts a cluster that runs the application. Its agents may pass for the hub's administrator, who may do everything.
func startMember(ctx context.Context, region string) (*member, error) {
	m := &member{name: "tidewater-" + region}
	var err error
	if m.Cluster, err = kube.Start(ctx, kube.Options{Name: m.name, Region: region, Nodes: 3, Dir: world.dir, Bin: &world.bin, Exec: true}); err != nil {
		return nil, err
	}
	manifests, err := app.Manifests(region)
	if err != nil {
		return m, err
	}
	return m, m.open(ctx, manifests)
}

// open makes the account of agents, and what else a cluster is to hold.
func (m *member) open(ctx context.Context, manifests []byte) error {
	if err := m.Apply(ctx, bytes.Join([][]byte{manifests, access}, []byte("\n---\n"))); err != nil {
		return err
	}
	text, err := m.ServiceAccountKubeconfig(ctx, "docs", "docs-agent")
	if err != nil {
		return err
	}
	m.agent = filepath.Join(world.dir, m.name+".agent.kubeconfig")
	return os.WriteFile(m.agent, text, 0o600)
}

func leave() error {
	var errs []error
	for _, m := range world.members {
		if m != nil {
			errs = append(errs, m.Stop(context.Background()))
		}
	}
	if world.postgres != nil {
		errs = append(errs, world.postgres.Stop())
	}
	http.DefaultClient.CloseIdleConnections()
	return errors.Join(append(errs, os.RemoveAll(world.dir), goleak.Find())...)
}

// office is the proxy by which names of the documentation lead to where a page's servers are.
type office struct {
	listener net.Listener
	busy     sync.WaitGroup

	mu    sync.Mutex
	names map[string]string // host:port to address
}

func openOffice() (*office, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	o := &office{listener: l, names: map[string]string{}}
	o.busy.Go(o.serve)
	return o, nil
}

func (o *office) url() string { return "http://" + o.listener.Addr().String() }

// lead makes a name lead to an address, given as URL.
func (o *office) lead(name, address string) {
	o.mu.Lock()
	defer o.mu.Unlock()
	_, o.names[name], _ = strings.Cut(address, "://")
}

// way finds where a name leads; addresses of this machine lead to themselves.
func (o *office) way(name string) (string, bool) {
	if strings.HasPrefix(name, "127.0.0.1:") {
		return name, true
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	to, ok := o.names[name]
	return to, ok
}

func (o *office) serve() {
	server := &http.Server{Handler: http.HandlerFunc(o.connect), ReadHeaderTimeout: 10 * time.Second}
	_ = server.Serve(o.listener) // it ends with the listener
}

// connect carries bytes until either side is done.
func (o *office) connect(w http.ResponseWriter, r *http.Request) {
	to, ok := o.way(r.Host)
	if r.Method != http.MethodConnect || !ok {
		http.Error(w, "this proxy leads to "+r.Host+" by no way", http.StatusBadGateway)
		return
	}
	far, err := net.Dial("tcp", to)
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadGateway)
		return
	}
	near, _, err := http.NewResponseController(w).Hijack()
	if err != nil {
		_ = far.Close()
		return
	}
	_, _ = near.Write([]byte("HTTP/1.1 200 OK\r\n\r\n"))
	o.busy.Go(func() { carry(far, near) })
	o.busy.Go(func() { carry(near, far) })
}

func carry(to, from net.Conn) {
	_, _ = io.Copy(to, from)
	_, _ = to.Close(), from.Close()
}

func (o *office) close() {
	_ = o.listener.Close()
	o.busy.Wait()
}
