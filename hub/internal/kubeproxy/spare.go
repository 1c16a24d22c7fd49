package kubeproxy

import (
	"bufio"
	"context"
	"errors"
	"io"
	"math"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"github.com/kubilitics/kubilitics/shared/tunnel"
)

// spares is the way of what reads and has an end: on streams that are kept for the next request, each in its caller's goroutine. net/http's transport
// has two more goroutines for each connection, and handing a small request to them and back was a tenth of what it cost the hub.
type spares struct {
	*Proxy

	mu     sync.Mutex
	idle   map[string][]*spare // by host, the one that was used last at the end
	all    int
	closed bool
}

// spare is a stream and what reads it.
type spare struct {
	stream *tunnel.Stream
	limit  io.LimitedReader // of the stream, for an answer's headers
	reader *bufio.Reader
	used   bool // it has carried a request
	since  time.Time
}

// spareBuffer reads an answer's headers; what is longer goes past it.
const spareBuffer = 4 << 10

func newSpares(p *Proxy) *spares { return &spares{Proxy: p, idle: map[string][]*spare{}} }

// RoundTrip sends a request that reads and has no body. On a stream that the other side has given up meanwhile it is sent again, on a new one.
func (k *spares) RoundTrip(r *http.Request) (*http.Response, error) {
	for {
		s, err := k.take(r)
		if err != nil {
			return nil, &notOpened{err}
		}
		unbind := context.AfterFunc(r.Context(), s.cut)
		resp, silent, err := s.ask(r)
		if err == nil {
			resp.Request = nil
			return k.answer(r, s, resp, unbind), nil
		}
		unbind()
		s.cut()
		if !s.used || !silent || r.Context().Err() != nil {
			return nil, err
		}
	}
}

func (s *spare) cut() { _ = s.stream.Reset() }

// take gives an idle stream, or a new one.
func (k *spares) take(r *http.Request) (*spare, error) {
	if s := k.pop(r.URL.Host); s != nil {
		return s, nil
	}
	st, err := k.open(r.Context(), r.URL.Host)
	if err != nil {
		return nil, err
	}
	s := &spare{stream: st, limit: io.LimitedReader{R: st}}
	s.reader = bufio.NewReaderSize(&s.limit, spareBuffer)
	return s, nil
}

// pop gives the idle stream that was used last, unless its tunnel is gone.
func (k *spares) pop(host string) *spare {
	k.mu.Lock()
	defer k.mu.Unlock()
	for {
		list := k.idle[host]
		if len(list) == 0 {
			return nil
		}
		s := list[len(list)-1]
		k.keep(host, list[:len(list)-1])
		if s.stream.Session().Err() == nil {
			return s
		}
	}
}

// keep notes what is idle of a host; mu is held.
func (k *spares) keep(host string, list []*spare) {
	k.all += len(list) - len(k.idle[host])
	if len(list) == 0 {
		delete(k.idle, host)
		return
	}
	k.idle[host] = list
}

// put keeps a stream for the next request.
func (k *spares) put(host string, s *spare) {
	k.mu.Lock()
	list := k.idle[host]
	room := !k.closed && len(list) < idleEach && k.all < idleAll
	if room {
		s.used, s.since = true, time.Now()
		k.keep(host, append(list, s))
	}
	k.mu.Unlock()
	if !room {
		_ = s.stream.Close()
	}
}

// ask sends a request and reads the head of its answer; silent tells that nothing came.
func (s *spare) ask(r *http.Request) (resp *http.Response, silent bool, err error) {
	s.limit.N = maxHeaders
	if err := send(s.stream, r); err != nil {
		return nil, true, err
	}
	if _, err := s.reader.Peek(1); err != nil {
		return nil, true, err
	}
	resp, err = receive(s.reader, r)
	s.limit.N = math.MaxInt64
	return resp, false, err
}

// answer gives an answer whose end gives the stream back.
func (k *spares) answer(r *http.Request, s *spare, resp *http.Response, unbind func() bool) *http.Response {
	b := &spareBody{ReadCloser: resp.Body, from: k, host: r.URL.Host, unbind: unbind, last: resp.Close}
	b.spare.Store(s)
	if resp.Body == http.NoBody {
		b.end(true)
		return resp
	}
	resp.Body = b
	return resp
}

// spareBody gives its stream back at its end.
type spareBody struct {
	io.ReadCloser
	from   *spares
	host   string
	spare  atomic.Pointer[spare] // nil when it is over
	unbind func() bool
	last   bool // the agent closes the stream after this answer
}

// Read gives the stream back with the last byte.
func (b *spareBody) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	if errors.Is(err, io.EOF) {
		b.end(true)
	}
	return n, err
}

// Close ends the stream of an answer that wasn't read to its end. What is left of it isn't read: that could be much.
func (b *spareBody) Close() error {
	b.end(false)
	return nil
}

// end lets go of the stream, once; whole tells that the answer was read to its end.
func (b *spareBody) end(whole bool) {
	s := b.spare.Swap(nil)
	switch {
	case s == nil:
	case b.unbind() && whole && !b.last && s.reader.Buffered() == 0:
		b.from.put(b.host, s)
	default:
		s.cut()
	}
}

// sweep closes what was idle for longer than is worth it.
func (k *spares) sweep(now time.Time) {
	var old []*spare
	k.mu.Lock()
	for host, list := range k.idle {
		n := 0 // the ones idle longest stand first
		for n < len(list) && now.Sub(list[n].since) >= idleFor {
			n++
		}
		if n > 0 {
			old = append(old, list[:n]...)
			k.keep(host, append([]*spare(nil), list[n:]...))
		}
	}
	k.mu.Unlock()
	for _, s := range old {
		_ = s.stream.Close()
	}
}

// close closes what is idle, and keeps nothing any more.
func (k *spares) close() {
	k.mu.Lock()
	idle := k.idle
	k.idle, k.all, k.closed = map[string][]*spare{}, 0, true
	k.mu.Unlock()
	for _, list := range idle {
		for _, s := range list {
			_ = s.stream.Close()
		}
	}
}
