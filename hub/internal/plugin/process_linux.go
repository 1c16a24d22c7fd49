package plugin

import (
	"os"
	"os/exec"
	"runtime"
	"syscall"
)

// apart puts the process in a group of its own, so that a terminal's Ctrl-C isn't for it, and has the kernel end it when the hub dies.
func apart(cmd *exec.Cmd) {
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
}

// onOneThread starts a process and waits for it on a thread that stays that long, since the kernel goes by the thread that started it.
func onOneThread(cmd *exec.Cmd, started chan<- error) error {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	err := cmd.Start()
	started <- err
	if err != nil {
		return err
	}
	return cmd.Wait()
}

func terminate(p *os.Process) { _ = p.Signal(syscall.SIGTERM) } // it may be gone

// kill ends the whole group, which may have outlived its first process.
func kill(p *os.Process) {
	_ = syscall.Kill(-p.Pid, syscall.SIGKILL)
	_ = p.Kill()
}
