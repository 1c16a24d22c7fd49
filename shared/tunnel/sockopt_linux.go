package tunnel

import (
	"net"
	"time"

	"golang.org/x/sys/unix"
)

// notSentLowat is how many unsent bytes the kernel takes before it says that it is full. What waits in the kernel cannot be
// overtaken: with megabytes there, a small request waits behind them; in yamux it takes its turn.
const notSentLowat = 64 << 10

// userTimeout is how long sent bytes may stay without acknowledgement.
const userTimeout = 30 * time.Second

// Tune sets a TCP connection's options for the tunnel. Serve and Dial do it themselves; a hub that serves the WebSocket
// transport calls it from its http.Server's ConnContext, since an upgraded connection hides its socket.
func Tune(conn net.Conn) {
	tcp, ok := conn.(*net.TCPConn)
	if !ok {
		return
	}
	raw, err := tcp.SyscallConn()
	if err != nil {
		return
	}
	// A kernel that lacks an option works without it.
	_ = raw.Control(func(fd uintptr) {
		_ = unix.SetsockoptInt(int(fd), unix.IPPROTO_TCP, unix.TCP_NOTSENT_LOWAT, notSentLowat)
		_ = unix.SetsockoptInt(int(fd), unix.IPPROTO_TCP, unix.TCP_USER_TIMEOUT, int(userTimeout.Milliseconds()))
	})
}
