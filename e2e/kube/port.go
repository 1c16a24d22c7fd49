package kube

import (
	"fmt"
	"net"
	"net/netip"
	"os"

	"golang.org/x/sys/unix"
)

// holdPort reserves a free TCP port at an IPv4 address without listening: a server that sets SO_REUSEPORT can take
// it and take it again after a restart, and nobody else gets it in between.
func holdPort(address netip.Addr) (port int, release func(), err error) {
	fd, err := reusableSocket()
	if err != nil {
		return 0, nil, fmt.Errorf("reserve a port: %w", err)
	}
	f := os.NewFile(uintptr(fd), "port") // so that it is closed once, and by the collector if forgotten
	if port, err = bindFree(fd, address); err != nil {
		_ = f.Close()
		return 0, nil, fmt.Errorf("reserve a port: %w", err)
	}
	return port, func() { _ = f.Close() }, nil
}

// reusableSocket makes a TCP socket that shares its port with those that agree to.
func reusableSocket() (int, error) {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM, 0)
	if err != nil {
		return 0, err
	}
	unix.CloseOnExec(fd)
	for _, opt := range []int{unix.SO_REUSEADDR, unix.SO_REUSEPORT} {
		if err := unix.SetsockoptInt(fd, unix.SOL_SOCKET, opt, 1); err != nil {
			_ = unix.Close(fd)
			return 0, err
		}
	}
	return fd, nil
}

func bindFree(fd int, address netip.Addr) (port int, err error) {
	if err := unix.Bind(fd, &unix.SockaddrInet4{Addr: address.As4()}); err != nil {
		return 0, err
	}
	sa, err := unix.Getsockname(fd)
	if err != nil {
		return 0, err
	}
	in4, ok := sa.(*unix.SockaddrInet4)
	if !ok {
		return 0, fmt.Errorf("bound to %T", sa)
	}
	return in4.Port, nil
}

// freePort names a port that is free now, for a server that can't share one.
func freePort() (int, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return 0, fmt.Errorf("find a free port: %w", err)
	}
	defer func() { _ = l.Close() }()
	return l.Addr().(*net.TCPAddr).Port, nil
}
