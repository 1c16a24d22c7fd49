//go:build !linux

package tunnel

import "net"

// Tune sets a TCP connection's options for the tunnel; there are none to set on this system.
func Tune(net.Conn) {}
