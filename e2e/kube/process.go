package kube

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync/atomic"
	"syscall"
	"time"
)

// grace is how long a component may take to end on SIGTERM. It is short: an API server that is asked to stop
// lingers on open requests, and nothing here outlives the cluster anyway.
const grace = 1500 * time.Millisecond

// process is one component while it runs. Its goroutine ends with it, and stop waits for both.
type process struct {
	name    string
	log     string // path
	cmd     *exec.Cmd
	asked   atomic.Bool // to stop: its end is no accident
	abrupt  bool        // it is ended without being asked
	done    chan struct{}
	waitErr error // valid once done is closed
}

// spawn starts a component, its output appended to NAME.log in logs. died hears of it if it ends unasked.
func spawn(logs string, start func(*exec.Cmd) error, died chan<- *process, name, path string, args ...string) (*process, error) {
	p := &process{name: name, log: filepath.Join(logs, name+".log"), cmd: exec.Command(path, args...), done: make(chan struct{})}
	out, err := os.OpenFile(p.log, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return nil, fmt.Errorf("open the log of %s: %w", name, err)
	}
	defer func() { _ = out.Close() }() // the child has its own
	p.cmd.Stdout, p.cmd.Stderr = out, out
	p.cmd.Dir = logs
	if err := start(p.cmd); err != nil {
		return nil, fmt.Errorf("start %s: %w", name, err)
	}
	go p.wait(died)
	return p, nil
}

// inGroup starts it in the guard's process group.
func (g *guard) inGroup(cmd *exec.Cmd) error {
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pgid: g.group()}
	return cmd.Start()
}

func (p *process) wait(died chan<- *process) {
	p.waitErr = p.cmd.Wait()
	close(p.done)
	if p.asked.Load() {
		return
	}
	select {
	case died <- p:
	default: // one death is enough to tell
	}
}

// stop asks the process to end, insists after the grace period or when ctx ends, and returns when it is gone.
func (p *process) stop(ctx context.Context) error {
	p.asked.Store(true)
	patience := grace
	if p.abrupt {
		patience = 0
	} else if err := p.signal(syscall.SIGTERM); err != nil {
		return err
	}
	t := time.NewTimer(patience)
	defer t.Stop()
	select {
	case <-p.done:
		return nil
	case <-t.C:
	case <-ctx.Done():
	}
	if err := p.signal(syscall.SIGKILL); err != nil {
		return err
	}
	<-p.done
	return nil
}

func (p *process) signal(sig syscall.Signal) error {
	if err := p.cmd.Process.Signal(sig); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return fmt.Errorf("stop %s: %w", p.name, err)
	}
	return nil
}

// deathErr tells how the process ended and its last words, if it has ended.
func (p *process) deathErr() error {
	select {
	case <-p.done:
		return fmt.Errorf("%s ended by itself (%s); its last lines:\n%s", p.name, p.cmd.ProcessState, p.tail())
	default:
		return nil
	}
}

// tail returns the end of the log: enough to see why a component died.
func (p *process) tail() string {
	const most, lines = 8 << 10, 15
	f, err := os.Open(p.log)
	if err != nil {
		return err.Error()
	}
	defer func() { _ = f.Close() }()
	if st, err := f.Stat(); err == nil && st.Size() > most {
		_, _ = f.Seek(-most, io.SeekEnd)
	}
	data, err := io.ReadAll(f)
	if err != nil {
		return err.Error()
	}
	all := strings.Split(strings.TrimRight(string(data), "\n"), "\n")
	if len(all) > lines {
		all = all[len(all)-lines:]
	}
	return "\t" + strings.Join(all, "\n\t")
}
