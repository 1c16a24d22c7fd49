package pgtest

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// helper is the program that speaks to a container engine: what that takes would otherwise be required of every module that is tested on Postgres.
const helper = "./e2e/cmd/postgres"

// engine tells whether there might be a container engine.
func engine() bool {
	_, err := os.Stat("/var/run/docker.sock")
	return err == nil || os.Getenv("DOCKER_HOST") != ""
}

// container has the helper run a server. It ends when its standard input does, so also when this process dies.
func container(ctx context.Context, durable bool) (*Server, error) {
	top, err := source()
	if err != nil {
		return nil, err
	}
	cmd := exec.Command("go", "run", helper, fmt.Sprintf("-durable=%t", durable))
	cmd.Dir = top
	var log bytes.Buffer
	cmd.Stderr = &log
	hold, err := cmd.StdinPipe()
	if err != nil {
		return nil, err
	}
	says, err := cmd.StdoutPipe()
	if err != nil {
		return nil, errors.Join(err, hold.Close())
	}
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	stop := func() error {
		_ = hold.Close() // it may have been closed
		if err := cmd.Wait(); err != nil {
			return fmt.Errorf("a Postgres in a container: %w: %s", err, bytes.TrimSpace(log.Bytes()))
		}
		return nil
	}
	uncancelled := context.AfterFunc(ctx, func() { _ = hold.Close() })
	line, err := bufio.NewReader(says).ReadString('\n')
	dsn, ok := strings.CutPrefix(strings.TrimSpace(line), "dsn ")
	if !uncancelled() || err != nil || !ok {
		return nil, errors.Join(errors.New("no Postgres came up in a container"), context.Cause(ctx), stop())
	}
	return &Server{DSN: dsn, stop: stop}, nil
}

// source is the directory of go.work, above the current one, which is the package's under go test.
func source() (string, error) {
	dir, err := os.Getwd()
	for err == nil && dir != filepath.Dir(dir) {
		if _, missing := os.Stat(filepath.Join(dir, "go.work")); missing == nil {
			return dir, nil
		}
		dir = filepath.Dir(dir)
	}
	return "", errors.Join(err, errors.New("the program that runs Postgres in a container is not above the current directory"))
}
