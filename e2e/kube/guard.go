package kube

import (
	"errors"
	"fmt"
	"io"
	"os/exec"
	"strconv"
	"syscall"
)

// guard sees to it that nothing of a cluster survives this process, however it ends: kill -9, a panic, a test
// that calls os.Exit. It is two shells, each blocked on a pipe that only this process holds the other end of.
// The anchor leads the process group that every component joins at birth, so that no component can be missed.
// The watcher lives in a group of its own; when its pipe closes it kills that group and removes the directory.
type guard struct {
	anchor, watcher         *exec.Cmd
	anchorPipe, watcherPipe io.Closer
}

const (
	anchorScript = `read -r _`
	// Signal 0 asks whether the group is still there. The wait is bounded, because where nobody reaps
	// orphans (a container without init) the dead stay in the process table.
	watcherScript = `read -r _
kill -s KILL -- "-$1" 2>/dev/null
i=0
while [ $i -lt 50 ] && kill -s 0 -- "-$1" 2>/dev/null; do i=$((i+1)); sleep 0.05; done
find /sys/fs/cgroup -depth -type d -path "*/$3*" -exec rmdir {} + 2>/dev/null # of a real node, whose processes the kernel has ended
rm -rf -- "$2"`
)

func newGuard(dir, cgroup string) (*guard, error) {
	g := &guard{anchor: exec.Command("sh", "-c", anchorScript)}
	var err error
	if g.anchorPipe, err = startShell(g.anchor); err != nil {
		return nil, err
	}
	g.watcher = exec.Command("sh", "-c", watcherScript, "sh", strconv.Itoa(g.group()), dir, cgroup)
	if g.watcherPipe, err = startShell(g.watcher); err != nil {
		_ = g.anchorPipe.Close()
		_ = g.anchor.Wait()
		return nil, err
	}
	return g, nil
}

// startShell puts the shell into a process group of its own: a Ctrl-C at the terminal must not reach it.
func startShell(cmd *exec.Cmd) (io.Closer, error) {
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Dir = "/" // not to hold a working directory that someone wants to remove
	pipe, err := cmd.StdinPipe()
	if err != nil {
		return nil, fmt.Errorf("guard the cluster: %w", err)
	}
	if err := cmd.Start(); err != nil {
		return nil, fmt.Errorf("guard the cluster: %w", err)
	}
	return pipe, nil
}

// group is the process group of the components.
func (g *guard) group() int { return g.anchor.Process.Pid }

// release ends the guard, which kills what is left in the group and removes the directory. The anchor's pipe stays
// open until the watcher has ended: while the anchor lives, its number, which the watcher kills by, can't have
// become another process's. It is waited for meanwhile, as the watcher looks whether the group has gone.
func (g *guard) release() error {
	_ = g.watcherPipe.Close()
	watched := make(chan error, 1)
	go func() {
		err := g.watcher.Wait()
		_ = g.anchorPipe.Close() // ends the anchor also if something had ended the watcher before its time
		watched <- err
	}()
	err := g.anchor.Wait()
	if errors.As(err, new(*exec.ExitError)) {
		err = nil // it was killed, as it should be
	}
	if err := errors.Join(err, <-watched); err != nil {
		return fmt.Errorf("end the cluster's guard: %w", err)
	}
	return nil
}
