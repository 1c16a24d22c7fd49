package stack

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"sync"
	"syscall"
	"time"
)

// process is one running program. It ends with this one, however that ends.
type process struct {
	name string
	cmd  *exec.Cmd
	log  *tail
	done chan struct{}
	err  error // of Wait; after done
}

// launch starts a program in a process group of its own, so that a Ctrl-C on the terminal reaches it through us, in our order.
func launch(name string, log io.Writer, out io.Writer, env []string, path string, args ...string) (*process, error) {
	p := &process{name: name, cmd: exec.Command(path, args...), log: &tail{to: log}, done: make(chan struct{})}
	p.cmd.Env = append(os.Environ(), env...)
	p.cmd.Stdout, p.cmd.Stderr = out, p.log
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	if err := p.cmd.Start(); err != nil {
		return nil, fmt.Errorf("start %s: %w", name, err)
	}
	go func() {
		p.err = p.cmd.Wait()
		close(p.done)
	}()
	return p, nil
}

// PID of the process.
func (p *process) PID() int { return p.cmd.Process.Pid }

// Done is closed when the process has ended.
func (p *process) Done() <-chan struct{} { return p.done }

// Log is the end of what the process wrote to standard error.
func (p *process) Log() string { return p.log.String() }

// Stop asks the process to end and waits; one that doesn't within 15 s is killed, which is an error.
func (p *process) Stop() error {
	select {
	case <-p.done:
		return p.ended()
	default:
	}
	if err := p.cmd.Process.Signal(syscall.SIGTERM); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return fmt.Errorf("stop %s: %w", p.name, err)
	}
	select {
	case <-p.done:
		return p.ended()
	case <-time.After(15 * time.Second):
		p.Kill()
		return fmt.Errorf("%s did not stop within 15 s of SIGTERM; its log ends:\n%s", p.name, p.Log())
	}
}

// Kill ends the process as a crash would, and waits.
func (p *process) Kill() {
	_ = p.cmd.Process.Kill() // it may have ended
	<-p.done
}

// Pause stops the process where it stands (SIGSTOP): its peers see a connection on which nothing happens. Resume lets it go on.
func (p *process) Pause() error { return p.cmd.Process.Signal(syscall.SIGSTOP) }

// Resume ends a Pause.
func (p *process) Resume() error { return p.cmd.Process.Signal(syscall.SIGCONT) }

func (p *process) ended() error {
	if p.err != nil {
		return fmt.Errorf("%s: %w; its log ends:\n%s", p.name, p.err, p.Log())
	}
	return nil
}

// await polls until check is content, the process ends, or ctx does.
func (p *process) await(ctx context.Context, what string, check func() error) error {
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for {
		last := check()
		if last == nil {
			return nil
		}
		select {
		case <-tick.C:
		case <-p.done:
			return fmt.Errorf("%s ended before %s (%v); its log ends:\n%s", p.name, what, p.err, p.Log())
		case <-ctx.Done():
			return fmt.Errorf("%s: waiting until %s: %w (%v); its log ends:\n%s", p.name, what, context.Cause(ctx), last, p.Log())
		}
	}
}

// tail passes a log on and keeps its end.
type tail struct {
	to io.Writer

	mu   sync.Mutex
	kept []byte
}

const tailSize = 16 << 10

func (t *tail) Write(b []byte) (int, error) {
	t.mu.Lock()
	t.kept = append(t.kept, b...)
	t.kept = t.kept[max(0, len(t.kept)-tailSize):]
	t.mu.Unlock()
	if t.to != nil {
		return t.to.Write(b)
	}
	return len(b), nil
}

func (t *tail) String() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return strings.TrimSpace(string(t.kept))
}

// lines collects "key value" lines of a program's standard output.
type lines struct {
	mu   sync.Mutex
	buf  bytes.Buffer
	told map[string]string
}

func (l *lines) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.buf.Write(b)
	for {
		line, err := l.buf.ReadString('\n')
		if err != nil {
			l.buf.WriteString(line) // the rest of it is still to come
			return len(b), nil
		}
		if key, value, ok := strings.Cut(strings.TrimSpace(line), " "); ok {
			l.told[key] = strings.TrimSpace(value)
		}
	}
}

func (l *lines) get(key string) string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.told[key]
}
