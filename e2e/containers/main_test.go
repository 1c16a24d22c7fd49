package containers

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/kubilitics/kubilitics/e2e/stack"
)

// world is what the package's tests share.
var world struct {
	dir    string
	engine *engine
	fleet  *fleet
}

func TestMain(m *testing.M) {
	flag.Parse()
	if testing.Short() {
		fmt.Fprintln(os.Stderr, "containers: nothing runs with -short: these tests start real control planes and containers")
		return
	}
	code, err := run(m)
	if err != nil {
		fmt.Fprintln(os.Stderr, "containers:", err)
		code = max(code, 1)
	}
	os.Exit(code)
}

func run(m *testing.M) (code int, err error) {
	ctx, cancel := stack.Within(context.Background(), 15*time.Minute) // the first run on a machine builds Kubernetes
	defer cancel()
	if world.engine, err = newEngine(ctx); err != nil {
		fmt.Fprintf(os.Stderr, "\n*** containers: NOTHING OF THIS PACKAGE RUNS, no container is tried: %v ***\n\n", err)
		return 0, nil
	}
	if world.dir, err = os.MkdirTemp("", "kubilitics-containers-"); err != nil {
		return 1, err
	}
	defer func() { err = errors.Join(err, leave()) }()
	if world.fleet, err = startFleet(ctx, world.engine, world.dir); err != nil {
		return 1, errors.Join(err, errors.New(world.engine.logs()))
	}
	return m.Run(), nil
}

// leave removes all that was made, in the engine and on the disk.
func leave() error {
	ctx, cancel := stack.Within(context.Background(), time.Minute)
	defer cancel()
	var errs []error
	if world.fleet != nil {
		errs = append(errs, world.fleet.stop(ctx))
	}
	errs = append(errs, world.engine.clear(ctx), os.RemoveAll(world.dir), goleak.Find())
	return errors.Join(errs...)
}
