// Command postgres runs a Postgres in a container for a test that has no other: it prints the server's address as one line, "dsn …", and removes the
// container when its standard input ends, which it also does when the test dies. It is a program of its own so that packages that are tested on
// Postgres don't come to depend on what it takes to speak to a container engine. Ended with status 3, it had no server to give.
package main

import (
	"cmp"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"net/netip"
	"os"
	"os/signal"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/moby/moby/api/types/container"
	"github.com/moby/moby/api/types/network"
	"github.com/moby/moby/client"
	"github.com/testcontainers/testcontainers-go"
	"github.com/testcontainers/testcontainers-go/log"
)

// pulled is the image where the engine has none.
const pulled = "postgres:17"

const port = "5432/tcp"

func main() {
	durable := flag.Bool("durable", false, "keep fsync and what belongs to it, for measuring")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := run(ctx, *durable, os.Stdin, os.Stdout)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "postgres:", err)
		os.Exit(3)
	}
}

func run(ctx context.Context, durable bool, in io.Reader, out io.Writer) (err error) {
	log.SetDefault(log.NewNoopLogger())
	if err := settle(); err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	go func() { // ends with the program: nothing else ends a read
		_, _ = io.Copy(io.Discard, in)
		cancel()
	}()
	image, err := choose(ctx)
	if err != nil {
		return err
	}
	c, err := start(ctx, image, durable)
	if c != nil {
		defer func() { err = errors.Join(err, c.Terminate(context.WithoutCancel(ctx), testcontainers.StopTimeout(0))) }()
	}
	if err != nil {
		return err
	}
	dsn, err := ready(ctx, c)
	if err != nil {
		return err
	}
	if _, err := fmt.Fprintln(out, "dsn", dsn); err != nil {
		return err
	}
	<-ctx.Done()
	return nil
}

// settle tells testcontainers what it would otherwise guess.
func settle() error {
	err := os.Setenv("TESTCONTAINERS_RYUK_DISABLED", "true") // the reaper: an image more to be had, for what the end of standard input does
	if local() && os.Getenv("TESTCONTAINERS_HOST_OVERRIDE") == "" {
		err = errors.Join(err, os.Setenv("TESTCONTAINERS_HOST_OVERRIDE", "127.0.0.1"))
	}
	return err
}

func local() bool {
	host := os.Getenv("DOCKER_HOST")
	return host == "" || strings.HasPrefix(host, "unix://")
}

// choose takes an image that the engine has, so that nothing need be pulled.
func choose(ctx context.Context) (string, error) {
	c, err := testcontainers.NewDockerClientWithOpts(ctx)
	if err != nil {
		return "", fmt.Errorf("no Docker engine: %w", err)
	}
	list, err := c.ImageList(ctx, client.ImageListOptions{})
	if err = errors.Join(err, c.Close()); err != nil {
		return "", fmt.Errorf("no Docker engine: %w", err)
	}
	var tags []string
	for _, i := range list.Items {
		tags = append(tags, i.RepoTags...)
	}
	return best(tags), nil
}

// best is the image to be pulled if it is among the tags, else any other Postgres, else the one to be pulled after all.
func best(tags []string) string {
	if slices.Contains(tags, pulled) {
		return pulled
	}
	slices.Sort(tags)
	for _, t := range slices.Backward(tags) { // newer ones first, more or less
		if strings.HasPrefix(t, "postgres:") || strings.HasPrefix(t, "localhost/kubilitics-postgres:") {
			return t
		}
	}
	return pulled
}

func start(ctx context.Context, image string, durable bool) (testcontainers.Container, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, 5*time.Minute, errors.New("not started within 5 minutes")) // it may be pulled
	defer cancel()
	args := []string{"-c", "max_connections=200", "-c", "shared_buffers=256MB", "-c", "max_wal_size=4GB"}
	if !durable {
		args = append(args, "-c", "fsync=off", "-c", "synchronous_commit=off", "-c", "full_page_writes=off")
	}
	c, err := testcontainers.Run(ctx, image, testcontainers.WithExposedPorts(port), testcontainers.WithCmd(args...),
		testcontainers.WithEnv(map[string]string{"POSTGRES_HOST_AUTH_METHOD": "trust"}),
		testcontainers.WithHostConfigModifier(func(h *container.HostConfig) {
			h.ShmSize = 512 << 20
			if local() {
				h.PortBindings = network.PortMap{network.MustParsePort(port): {{HostIP: netip.AddrFrom4([4]byte{127, 0, 0, 1})}}}
			}
		}))
	if c == nil { // a nil *DockerContainer is no nil Container
		return nil, err
	}
	return c, err
}

// ready waits until the server answers. The published image starts one for its own preparations first, which listens on no network.
func ready(ctx context.Context, c testcontainers.Container) (string, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, time.Minute, errors.New("not ready within a minute"))
	defer cancel()
	at, err := c.PortEndpoint(ctx, port, "")
	if err != nil {
		return "", err
	}
	dsn := "postgres://postgres@" + at + "/postgres?sslmode=disable"
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for {
		conn, err := pgx.Connect(ctx, dsn)
		if err == nil {
			return dsn, conn.Close(ctx)
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return "", fmt.Errorf("the server in its container: %w: %w", cmp.Or(context.Cause(ctx), ctx.Err()), err)
		}
	}
}
