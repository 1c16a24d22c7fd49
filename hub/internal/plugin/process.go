package plugin

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"time"

	goplugin "github.com/hashicorp/go-plugin"

	"github.com/kubilitics/kubilitics/shared/fault"
)

const (
	termTime  = 2 * time.Second // between asking a process to end and ending it
	drainTime = time.Second     // for what an ended process has still in its pipes
)

// process is a plugin's process, as go-plugin's runner.Runner. It differs from go-plugin's own in that the process is in a group of its own, which is
// ended as a whole, dies with the hub, inherits nothing, and can't keep anybody waiting by pipes that its children hold open.
type process struct {
	cmd            *exec.Cmd
	dir            string // where its socket must be
	stdout, stderr *os.File
	remote         []*os.File // the process's ends of the pipes
	ended          chan struct{}
	err            error // of Wait; read after ended
	killing        sync.Once
}

// verify makes sure that the program is the one that was pinned, and that not everybody may replace it.
func verify(s Spec) error {
	sum, err := s.checksum()
	if err != nil {
		return fault.Wrap(err, fault.BadRequest, "the plugin %s has no checksum", s.Name)
	}
	info, err := os.Stat(s.Path)
	if err != nil {
		return fault.Wrap(err, fault.NotFound, "the program of the plugin %s can't be read", s.Name)
	}
	around, err := os.Stat(filepath.Dir(s.Path))
	if err != nil {
		return fault.Wrap(err, fault.NotFound, "the directory of the plugin %s can't be read", s.Name)
	}
	open := around.Mode().Perm()&0o002 != 0 && around.Mode()&os.ModeSticky == 0
	if open || info.Mode().Perm()&0o002 != 0 {
		return fault.New(fault.Forbidden, "everybody may replace the program of the plugin %s", s.Name)
	}
	same, err := (&goplugin.SecureConfig{Checksum: sum, Hash: sha256.New()}).Check(s.Path)
	if err != nil {
		return fault.Wrap(err, fault.NotFound, "the program of the plugin %s can't be read", s.Name)
	}
	if !same {
		return fault.New(fault.Forbidden, "the program of the plugin %s isn't the one whose checksum is configured", s.Name)
	}
	return nil
}

// environment is all that a plugin sees of the hub's: none of it.
func environment(s Spec, handshake []string) []string {
	env := []string{"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "LANG=C.UTF-8", "TMPDIR=" + os.TempDir()}
	return append(append(env, s.Env...), handshake...)
}

// newProcess prepares a program that was verified; handshake is what go-plugin wants in its environment.
func newProcess(s Spec, handshake []string, dir string) (*process, error) {
	p := &process{dir: dir, ended: make(chan struct{})}
	var outW, errW *os.File
	var err error
	if p.stdout, outW, err = os.Pipe(); err != nil {
		return nil, fault.Wrap(err, fault.Unavailable, "no pipe to a plugin can be made")
	}
	if p.stderr, errW, err = os.Pipe(); err != nil {
		return nil, errors.Join(fault.Wrap(err, fault.Unavailable, "no pipe to a plugin can be made"), p.stdout.Close(), outW.Close())
	}
	p.remote = []*os.File{outW, errW}
	p.cmd = exec.Command(s.Path, s.Args...)
	p.cmd.Env = environment(s, handshake)
	p.cmd.Dir = filepath.Dir(s.Path)
	p.cmd.Stdout, p.cmd.Stderr = outW, errW
	apart(p.cmd)
	return p, nil
}

// Start implements runner.Runner.
func (p *process) Start(context.Context) error {
	started := make(chan error, 1)
	go func() { // ends with the process
		defer close(p.ended)
		p.err = onOneThread(p.cmd, started)
		p.drain()
		if p.cmd.Process != nil {
			kill(p.cmd.Process) // children it left behind; nobody else can have its number yet
		}
	}()
	err := <-started
	for _, f := range p.remote {
		_ = f.Close() // the process has its own now, or there is none
	}
	if err != nil {
		return errors.Join(err, p.stdout.Close(), p.stderr.Close())
	}
	return nil
}

// drain lets readers have what the process wrote last; others may hold the pipes open for longer than that.
func (p *process) drain() {
	soon := time.Now().Add(drainTime)
	_ = p.stdout.SetReadDeadline(soon) // a pipe that can't have one is read to its end
	_ = p.stderr.SetReadDeadline(soon)
}

// Wait implements runner.AttachedRunner.
func (p *process) Wait(context.Context) error {
	<-p.ended
	_, _ = p.stdout.Close(), p.stderr.Close() // read to their ends
	return p.err
}

// Kill implements runner.AttachedRunner: it asks the process to end, and ends it and its children when that takes too long.
func (p *process) Kill(context.Context) error {
	if p.cmd.Process == nil {
		return nil
	}
	p.killing.Do(func() {
		terminate(p.cmd.Process)
		t := time.NewTimer(termTime)
		defer t.Stop()
		select {
		case <-p.ended:
		case <-t.C:
		}
	})
	p.end()
	return nil
}

// end ends the process and all of its group at once, unless that has happened.
func (p *process) end() {
	select {
	case <-p.ended:
	default:
		if p.cmd.Process != nil {
			kill(p.cmd.Process)
		}
	}
}

// Stdout implements runner.Runner.
func (p *process) Stdout() io.ReadCloser { return p.stdout }

// Stderr implements runner.Runner.
func (p *process) Stderr() io.ReadCloser { return p.stderr }

// Name implements runner.Runner.
func (p *process) Name() string { return p.cmd.Path }

// ID implements runner.AttachedRunner.
func (p *process) ID() string { return strconv.Itoa(p.pid()) }

func (p *process) pid() int {
	if p.cmd.Process == nil {
		return 0
	}
	return p.cmd.Process.Pid
}

// Diagnose implements runner.Runner.
func (p *process) Diagnose(context.Context) string {
	return "is it a plugin, built for this machine, that serves this version of the contract?"
}

// PluginToHost implements runner.AddrTranslator. A plugin is only ever called on a socket in the directory that was made for it.
func (p *process) PluginToHost(network, address string) (string, string, error) {
	if network != "unix" || !strings.HasPrefix(filepath.Clean(address), p.dir+string(filepath.Separator)) {
		return "", "", fmt.Errorf("the plugin wants to be called at %s %q, which isn't the place it was given", network, address)
	}
	return network, address, nil
}

// HostToPlugin implements runner.AddrTranslator.
func (p *process) HostToPlugin(network, address string) (string, string, error) {
	return network, address, nil
}
