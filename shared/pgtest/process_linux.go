package pgtest

import (
	"os/exec"
	"runtime"
	"syscall"
)

// dieWithParent has the kernel end the server when this process dies without having stopped it.
func dieWithParent(attr *syscall.SysProcAttr) { attr.Pdeathsig = syscall.SIGINT }

// start runs the server from a thread that stays until it has ended, since the kernel's signal goes by the thread.
func start(server *exec.Cmd) (ended <-chan struct{}, err error) {
	started, done := make(chan error, 1), make(chan struct{})
	go func() {
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		defer close(done)
		err := server.Start()
		started <- err
		if err == nil {
			_ = server.Wait() // how it ended is of no interest: it was told to
		}
	}()
	return done, <-started
}
