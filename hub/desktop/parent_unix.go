//go:build unix

package desktop

import (
	"errors"
	"os"
	"syscall"

	"golang.org/x/sys/unix"
)

// watchParent gives a function that tells whether the parent is there. Of the process that started this one that is known for sure: with its end, this one gets
// another parent. Of any other the system is asked, which on Linux means the very process, not the next one with its id.
func watchParent(pid int) func() bool {
	input := func() bool { return !closed(os.Stdin) }
	if os.Getppid() == pid {
		return func() bool { return os.Getppid() == pid && input() }
	}
	p, err := os.FindProcess(pid)
	if err != nil {
		return func() bool { return false }
	}
	return func() bool {
		err := p.Signal(syscall.Signal(0))
		return (err == nil || errors.Is(err, syscall.EPERM)) && input()
	}
}

// closed tells that a file is a pipe whose other end was closed. Nothing is read.
func closed(f *os.File) bool {
	info, err := f.Stat()
	if err != nil || info.Mode()&os.ModeNamedPipe == 0 {
		return false
	}
	poll := []unix.PollFd{{Fd: int32(f.Fd()), Events: 0}}
	n, err := unix.Poll(poll, 0)
	return err == nil && n > 0 && poll[0].Revents&(unix.POLLHUP|unix.POLLERR|unix.POLLNVAL) != 0
}
