//go:build !linux

package pgtest

import (
	"os/exec"
	"syscall"
)

func dieWithParent(*syscall.SysProcAttr) {}

func start(server *exec.Cmd) (ended <-chan struct{}, err error) {
	if err := server.Start(); err != nil {
		return nil, err
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = server.Wait() // how it ended is of no interest: it was told to
	}()
	return done, nil
}
