package containers

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/moby/moby/api/types/container"
	apinetwork "github.com/moby/moby/api/types/network"
	"github.com/moby/moby/client"
	"github.com/testcontainers/testcontainers-go"
	"github.com/testcontainers/testcontainers-go/log"
	"github.com/testcontainers/testcontainers-go/network"

	"github.com/kubilitics/kubilitics/e2e/image"
)

// engine is a Docker engine, with all that these tests have made in it.
type engine struct {
	client *testcontainers.DockerClient
	tag    string // of the images, so that runs side by side don't take each other's away

	mu         sync.Mutex
	images     []string
	networks   []*testcontainers.DockerNetwork
	containers []*box
}

// newEngine finds the engine that DOCKER_HOST names, else the machine's own.
func newEngine(ctx context.Context) (*engine, error) {
	if os.Getenv("DOCKER_HOST") == "" {
		if _, err := os.Stat("/var/run/docker.sock"); err != nil {
			return nil, errors.New("no Docker engine: DOCKER_HOST isn't set, and there is no /var/run/docker.sock")
		}
	}
	// The reaper is an image that would have to be pulled. What it is for, clear does.
	if err := os.Setenv("TESTCONTAINERS_RYUK_DISABLED", "true"); err != nil {
		return nil, err
	}
	log.SetDefault(log.NewNoopLogger()) // it tells of each step of each container
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	c, err := testcontainers.NewDockerClientWithOpts(ctx)
	if err != nil {
		return nil, fmt.Errorf("no Docker engine: %w", err)
	}
	if _, err := c.Ping(ctx, client.PingOptions{}); err != nil {
		return nil, errors.Join(fmt.Errorf("the Docker engine doesn't answer: %w", err), c.Close())
	}
	return &engine{client: c, tag: strings.ToLower(rand.Text())}, nil
}

// load gives the engine an image, under a name of this run's own.
func (e *engine) load(ctx context.Context, dir string, i image.Image) (string, error) {
	repository, _, _ := strings.Cut(i.Name, ":")
	i.Name = repository + ":" + e.tag
	path := filepath.Join(dir, filepath.Base(repository)+".tar")
	if _, err := i.Save(path); err != nil {
		return "", err
	}
	f, err := os.Open(path)
	if err != nil {
		return "", err
	}
	defer func() { _ = f.Close() }() // it was read alone
	said, err := e.client.ImageLoad(ctx, f)
	if err != nil {
		return "", fmt.Errorf("load %s: %w", i.Name, err)
	}
	e.mu.Lock()
	e.images = append(e.images, i.Name)
	e.mu.Unlock()
	_, err = io.Copy(io.Discard, said) // it is loaded when all is said
	return i.Name, errors.Join(err, said.Close())
}

// ground is a network, and the address that this machine has in it.
type ground struct {
	*testcontainers.DockerNetwork
	here netip.Addr
}

func (e *engine) network(ctx context.Context) (*ground, error) {
	n, err := network.New(ctx)
	if err != nil {
		return nil, err
	}
	e.mu.Lock()
	e.networks = append(e.networks, n)
	e.mu.Unlock()
	seen, err := e.client.NetworkInspect(ctx, n.ID, client.NetworkInspectOptions{})
	if err != nil {
		return nil, err
	}
	for _, c := range seen.Network.IPAM.Config {
		if c.Gateway.IsValid() {
			return &ground{n, c.Gateway}, nil
		}
	}
	return nil, fmt.Errorf("network %s has no gateway", n.Name)
}

// box is a container.
type box struct {
	testcontainers.Container
	engine *engine
	name   string // its alias in its networks
}

// start runs a container as the charts do: nothing to write to but what is mounted, no capabilities, and none to be gained.
func (e *engine) start(ctx context.Context, name, image string, on []*ground, change func(*container.HostConfig), options ...testcontainers.ContainerCustomizer) (*box, error) {
	host := func(h *container.HostConfig) {
		h.CapDrop, h.SecurityOpt, h.ReadonlyRootfs = []string{"ALL"}, []string{"no-new-privileges"}, true
		change(h)
	}
	options = append(options, testcontainers.WithHostConfigModifier(host))
	for _, n := range on {
		options = append(options, network.WithNetwork([]string{name}, n.DockerNetwork))
	}
	c, err := testcontainers.Run(ctx, image, options...)
	b := &box{c, e, name}
	if c != nil {
		e.mu.Lock()
		e.containers = append(e.containers, b)
		e.mu.Unlock()
	}
	if err != nil {
		return b, fmt.Errorf("start %s: %w", name, err)
	}
	return b, nil
}

// kill ends it as a crash would; again starts it anew with what it had.
func (b *box) kill(ctx context.Context) error {
	_, err := b.engine.client.ContainerKill(ctx, b.GetContainerID(), client.ContainerKillOptions{Signal: "KILL"})
	return err
}

func (b *box) again(ctx context.Context) error {
	_, err := b.engine.client.ContainerStart(ctx, b.GetContainerID(), client.ContainerStartOptions{})
	return err
}

// cut takes it out of a network; heal puts it back, with its name.
func (b *box) cut(ctx context.Context, n *ground) error {
	_, err := b.engine.client.NetworkDisconnect(ctx, n.ID, client.NetworkDisconnectOptions{Container: b.GetContainerID()})
	return err
}

func (b *box) heal(ctx context.Context, n *ground) error {
	_, err := b.engine.client.NetworkConnect(ctx, n.ID, client.NetworkConnectOptions{Container: b.GetContainerID(), EndpointConfig: &apinetwork.EndpointSettings{Aliases: []string{b.name}}})
	return err
}

// log is what it has written.
func (b *box) log(ctx context.Context) (string, error) {
	r, err := b.Logs(ctx)
	if err != nil {
		return "", err
	}
	text, err := io.ReadAll(r)
	return string(text), errors.Join(err, r.Close())
}

// logs is the end of what every container has written.
func (e *engine) logs() string {
	e.mu.Lock()
	defer e.mu.Unlock()
	var out strings.Builder
	for _, b := range e.containers {
		text, err := b.log(context.Background())
		lines := strings.Split(strings.TrimSpace(text), "\n")
		fmt.Fprintf(&out, "\n%s (%v):\n%s\n", b.name, err, strings.Join(lines[max(0, len(lines)-30):], "\n"))
	}
	return out.String()
}

// clear removes containers, networks and images, and tells what could not be.
func (e *engine) clear(ctx context.Context) error {
	e.mu.Lock()
	defer e.mu.Unlock()
	var errs []error
	for _, b := range slices.Backward(e.containers) {
		errs = append(errs, b.Terminate(ctx, testcontainers.StopTimeout(0)))
	}
	for _, n := range e.networks {
		errs = append(errs, n.Remove(ctx))
	}
	for _, i := range e.images {
		_, err := e.client.ImageRemove(ctx, i, client.ImageRemoveOptions{Force: true})
		errs = append(errs, err)
	}
	return errors.Join(append(errs, e.client.Close())...)
}
