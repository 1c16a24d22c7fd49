package tunneltest

import (
	"cmp"
	"context"
	"errors"
	"io"
	"net"
	"sync"
	"sync/atomic"
	"time"
)

// Relay is a stretch of network between a client and a server on this machine. The zero options forward as fast as they
// can.
type Relay struct {
	// Rate is bytes a second and direction, shared by all connections; 0 is unbounded.
	Rate int
	// Delay is added one way.
	Delay time.Duration
	// Buffer is the size of the relay's socket buffers: the queue that the link's bottleneck has; 0 leaves the system's.
	Buffer int
	// Host is the address of this machine that clients come to; the loopback's if empty.
	Host string

	listener net.Listener
	target   string
	ctx      context.Context
	end      context.CancelFunc
	running  sync.WaitGroup
	hole     atomic.Pointer[atomic.Bool] // of the connections accepted now
	up, down link
}

// link is one direction.
type link struct {
	bytes atomic.Uint64
	mu    sync.Mutex
	free  time.Time // when the last byte taken so far has passed
}

// chunk is the most that the relay forwards at once; it should be small beside rate × delay.
const chunk = 8 << 10

// slack is how far a link may lag behind its rate and still catch up.
const slack = 3 * time.Millisecond

// Start listens on a free port and forwards to target until Close.
func (r *Relay) Start(target string) error {
	l, err := net.Listen("tcp", net.JoinHostPort(cmp.Or(r.Host, "127.0.0.1"), "0"))
	if err != nil {
		return err
	}
	r.listener, r.target = l, target
	r.ctx, r.end = context.WithCancel(context.Background())
	r.Heal()
	r.running.Go(r.accept)
	return nil
}

// Addr is where clients connect.
func (r *Relay) Addr() string { return r.listener.Addr().String() }

// Bytes counts what was forwarded from clients (up) and to them (down).
func (r *Relay) Bytes() (up, down uint64) { return r.up.bytes.Load(), r.down.bytes.Load() }

// BlackHole drops everything from now on without closing anything, as a peer that lost its power does.
func (r *Relay) BlackHole() { r.hole.Load().Store(true) }

// Heal lets connections pass that are made from now on; those that a hole has swallowed stay in it.
func (r *Relay) Heal() { r.hole.Store(new(atomic.Bool)) }

// Close cuts all connections and returns when the relay has ended.
func (r *Relay) Close() {
	r.end()
	_ = r.listener.Close()
	r.running.Wait()
}

func (r *Relay) accept() {
	for {
		c, err := r.listener.Accept()
		if err != nil {
			return
		}
		s, err := net.Dial("tcp", r.target)
		if err != nil {
			_ = c.Close()
			continue
		}
		r.shrink(c)
		r.shrink(s)
		hole := r.hole.Load()
		r.forward(c, s, &r.up, hole)
		r.forward(s, c, &r.down, hole)
	}
}

func (r *Relay) shrink(c net.Conn) {
	if tcp, ok := c.(*net.TCPConn); ok && r.Buffer > 0 {
		_ = errors.Join(tcp.SetReadBuffer(r.Buffer), tcp.SetWriteBuffer(r.Buffer))
	}
}

// piece is bytes on their way.
type piece struct {
	bytes []byte
	at    time.Time
}

// forward starts one direction of a connection: one goroutine takes bytes at the link's rate, another delivers them after
// its delay. Either one's end cuts the connection.
func (r *Relay) forward(from, to net.Conn, l *link, hole *atomic.Bool) {
	inFlight := make(chan piece, 16+2*int(float64(r.Rate)*r.Delay.Seconds())/chunk)
	stop := context.AfterFunc(r.ctx, func() { _ = from.Close(); _ = to.Close() })
	r.running.Go(func() {
		defer close(inFlight)
		for {
			buf := make([]byte, chunk)
			n, err := from.Read(buf)
			if n > 0 {
				r.sleepUntil(l.take(n, r.Rate))
				inFlight <- piece{buf[:n], time.Now().Add(r.Delay)}
			}
			if err != nil {
				return
			}
		}
	})
	r.running.Go(func() {
		defer func() { stop(); _ = from.Close(); _ = to.Close() }()
		for p := range inFlight {
			r.sleepUntil(p.at)
			if hole.Load() {
				continue
			}
			if _, err := to.Write(p.bytes); err != nil && !errors.Is(err, io.EOF) {
				_ = from.Close()
				for range inFlight { // let the reader end
				}
				return
			}
			l.bytes.Add(uint64(len(p.bytes)))
		}
		if hole.Load() { // a hole does not pass the end either
			<-r.ctx.Done()
		}
	})
}

// take reserves the link for n bytes and says when the last of them has passed.
func (l *link) take(n, rate int) time.Time {
	if rate == 0 {
		return time.Time{}
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	// A timer wakes late; what the link missed by that it may catch up on, and no more.
	if earliest := time.Now().Add(-slack); l.free.Before(earliest) {
		l.free = earliest
	}
	l.free = l.free.Add(time.Duration(float64(n) / float64(rate) * float64(time.Second)))
	return l.free
}

func (r *Relay) sleepUntil(t time.Time) {
	if d := time.Until(t); d > 0 {
		select {
		case <-time.After(d):
		case <-r.ctx.Done():
		}
	}
}
