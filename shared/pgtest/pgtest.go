// Package pgtest gives tests a Postgres server of their own: the one that the environment names, else a throw-away one from the
// machine's own programs, else a container. It needs no driver.
package pgtest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"slices"
	"strconv"
	"syscall"
	"time"
)

// Env names the variable with the DSN of a server to use; its user must be allowed to create databases. The word "container" asks for one in a
// container, whatever else there is.
const Env = "KUBILITICS_TEST_POSTGRES"

const inContainer = "container"

// ErrNone says that there is no Postgres to be had. Tests then skip, loudly.
var ErrNone = errors.New("no Postgres: " + Env + " isn't set, no initdb is installed, and no container engine gives one")

// Server is a running Postgres.
type Server struct {
	DSN  string // of a superuser, on a database that tests leave alone
	stop func() error
}

// Start gives a server. Durable keeps fsync and what belongs to it as they are by default, for measuring; without it the server is as fast as a test
// needs. Whoever starts it calls Stop.
func Start(ctx context.Context, durable bool) (*Server, error) {
	switch dsn := os.Getenv(Env); dsn {
	case "":
	case inContainer:
		return container(ctx, durable)
	default:
		return &Server{DSN: dsn, stop: func() error { return nil }}, nil
	}
	if bin, ok := programs(); ok {
		return local(ctx, bin, durable)
	}
	if !engine() {
		return nil, ErrNone
	}
	s, err := container(ctx, durable)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrNone, err)
	}
	return s, nil
}

// Kept gives a durable server whose files stay in a directory, made now if it isn't there: for what is dear to fill. The server that the environment
// names is kept anyhow. A directory serves one at a time.
func Kept(ctx context.Context, dir string) (*Server, error) {
	if os.Getenv(Env) != "" {
		return Start(ctx, true)
	}
	bin, ok := programs()
	if !ok {
		return nil, ErrNone
	}
	who, err := unprivileged()
	if err != nil {
		return nil, err
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, err
	}
	stop, dsn, err := run(ctx, bin, dir, who, true, "-c", "shared_buffers=4GB", "-c", "max_wal_size=8GB", "-c", "autovacuum=off")
	if err != nil {
		return nil, err
	}
	return &Server{DSN: dsn, stop: stop}, nil
}

// Stop ends the server and removes its files, unless they are kept.
func (s *Server) Stop() error { return s.stop() }

// programs finds the folder with initdb and postgres, the newest version first.
func programs() (string, bool) {
	found, _ := filepath.Glob("/usr/lib/postgresql/*/bin") // the pattern is well-formed
	slices.SortFunc(found, func(a, b string) int { return versionOf(b) - versionOf(a) })
	if path, err := exec.LookPath("initdb"); err == nil {
		if real, err := filepath.EvalSymlinks(path); err == nil {
			found = append(found, filepath.Dir(real))
		}
	}
	for _, dir := range found {
		_, err := os.Stat(filepath.Join(dir, "postgres"))
		if _, err2 := os.Stat(filepath.Join(dir, "initdb")); err == nil && err2 == nil {
			return dir, true
		}
	}
	return "", false
}

func versionOf(bin string) int {
	n, _ := strconv.Atoi(filepath.Base(filepath.Dir(bin))) // 0 for a folder that is no number
	return n
}

// unprivileged is whom the server runs as: Postgres refuses to run as root.
func unprivileged() (*syscall.Credential, error) {
	if os.Geteuid() != 0 {
		return nil, nil
	}
	for _, name := range []string{"postgres", "nobody"} {
		if u, err := user.Lookup(name); err == nil {
			uid, err1 := strconv.ParseUint(u.Uid, 10, 32)
			gid, err2 := strconv.ParseUint(u.Gid, 10, 32)
			if err1 == nil && err2 == nil {
				return &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}, nil
			}
		}
	}
	return nil, errors.New("running as root, and there is no user postgres or nobody to run Postgres as")
}

func local(ctx context.Context, bin string, durable bool) (*Server, error) {
	who, err := unprivileged()
	if err != nil {
		return nil, err
	}
	dir, err := os.MkdirTemp("", "pgtest-")
	if err != nil {
		return nil, err
	}
	stop, dsn, err := run(ctx, bin, dir, who, durable)
	if err != nil {
		return nil, errors.Join(err, os.RemoveAll(dir))
	}
	return &Server{DSN: dsn, stop: func() error { return errors.Join(stop(), os.RemoveAll(dir)) }}, nil
}

func run(ctx context.Context, bin, dir string, who *syscall.Credential, durable bool, more ...string) (stop func() error, dsn string, err error) {
	if who != nil {
		if err := os.Chown(dir, int(who.Uid), int(who.Gid)); err != nil {
			return nil, "", err
		}
	}
	data := filepath.Join(dir, "data")
	if _, err := os.Stat(filepath.Join(data, "PG_VERSION")); err != nil {
		initdb := exec.CommandContext(ctx, filepath.Join(bin, "initdb"), "-D", data, "-U", "postgres", "-A", "trust", "-E", "UTF8", "--locale=C", "--no-sync")
		initdb.Dir, initdb.SysProcAttr = dir, &syscall.SysProcAttr{Credential: who}
		if out, err := initdb.CombinedOutput(); err != nil {
			return nil, "", fmt.Errorf("initdb: %w: %s", err, out)
		}
	}
	port, err := freePort()
	if err != nil {
		return nil, "", err
	}
	args := []string{"-D", data, "-p", strconv.Itoa(port), "-k", dir, "-c", "listen_addresses=127.0.0.1", "-c", "max_connections=200",
		"-c", "shared_buffers=256MB", "-c", "max_wal_size=4GB"}
	args = append(args, more...) // of two values for a setting, the later counts
	if !durable {
		args = append(args, "-c", "fsync=off", "-c", "synchronous_commit=off", "-c", "full_page_writes=off")
	}
	server := exec.Command(filepath.Join(bin, "postgres"), args...)
	var log bytes.Buffer
	server.Dir, server.Stdout, server.Stderr = dir, &log, &log
	server.SysProcAttr = &syscall.SysProcAttr{Credential: who}
	dieWithParent(server.SysProcAttr)
	ended, err := start(server)
	if err != nil {
		return nil, "", err
	}
	if err := ready(ctx, bin, port, ended); err != nil {
		return nil, "", errors.Join(fmt.Errorf("postgres did not start: %w: %s", err, tail(&log, ended)), end(server, ended))
	}
	return func() error { return end(server, ended) }, fmt.Sprintf("postgres://postgres@127.0.0.1:%d/postgres?sslmode=disable", port), nil
}

// tail gives what the server said, once it can't say more.
func tail(log *bytes.Buffer, ended <-chan struct{}) string {
	select {
	case <-ended:
		return log.String()
	default:
		return ""
	}
}

func freePort() (int, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return 0, err
	}
	return l.Addr().(*net.TCPAddr).Port, l.Close()
}

// ready waits until the server answers.
func ready(ctx context.Context, bin string, port int, ended <-chan struct{}) error {
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for {
		if exec.CommandContext(ctx, filepath.Join(bin, "pg_isready"), "-q", "-h", "127.0.0.1", "-p", strconv.Itoa(port)).Run() == nil {
			return nil
		}
		select {
		case <-tick.C:
		case <-ended:
			return errors.New("it ended")
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// end asks for a fast shutdown, and insists after a while.
func end(server *exec.Cmd, ended <-chan struct{}) error {
	_ = server.Process.Signal(syscall.SIGINT) // it may have ended by itself
	select {
	case <-ended:
		return nil
	case <-time.After(20 * time.Second):
		_ = server.Process.Kill() // likewise
		<-ended
		return errors.New("postgres had to be killed")
	}
}
