package tunnel

import (
	"encoding/binary"
	"net"
	"sync"
	"sync/atomic"
	"time"
)

// batch is what the wire moves in one system call when there is much to move.
const batch = 64 << 10

// bulky is what a read must bring for the next one to borrow a buffer.
const bulky = 8 << 10

// recordHeader is the size of a TLS record's header; its last two bytes are the length of what follows.
const recordHeader = 5

var batches = sync.Pool{New: func() any { return new([batch]byte) }}

// wire is the connection below TLS. It counts bytes and remembers when the last one came: any byte is life, also the part of
// a record that is not complete yet. And it batches: crypto/tls makes a system call of each record, which is most of what a
// byte costs, so the records of one frame are written together, and several are read at once while data comes in bulk. Its
// large buffers are borrowed for as long as they hold bytes; an idle session has none.
//
// It also hands TLS one record at a time. With the start of the next one in its buffer TLS would double that buffer, and
// never give it back: 22 KiB for each agent that has once sent a snapshot.
type wire struct {
	net.Conn
	in, out atomic.Uint64
	heard   atomic.Int64 // since start, on the monotonic clock
	start   time.Time

	// TLS writes for us, and on its own account when the peer asks for new keys or errs.
	writing sync.Mutex
	holding bool
	held    []byte

	// Of the one reader:
	bulk   bool         // the last read filled its buffer: there is more
	ahead  []byte       // read, and not yet handed to TLS
	borrow *[batch]byte // what ahead lies in, if not in few
	few    [512]byte
	head   [recordHeader]byte
	have   int // bytes of head that TLS was given
	left   int // bytes of the record after it that TLS was not given
}

func newWire(conn net.Conn) *wire { return &wire{Conn: conn, start: time.Now()} }

// lastHeard is when the last byte came.
func (w *wire) lastHeard() time.Time { return w.start.Add(time.Duration(w.heard.Load())) }

// Read gives what there is of the current record, or of the next one's header.
func (w *wire) Read(p []byte) (int, error) {
	if len(w.ahead) == 0 {
		if w.left > len(w.few) && !w.bulk {
			return w.direct(p[:min(len(p), w.left)])
		}
		if err := w.fill(); err != nil {
			return 0, err
		}
	}
	part := w.left
	if part == 0 {
		part = recordHeader - w.have
	}
	n := copy(p[:min(len(p), part)], w.ahead)
	w.track(p[:n])
	if w.ahead = w.ahead[n:]; len(w.ahead) == 0 {
		w.giveBack()
	}
	return n, nil
}

// direct reads the rest of a large record where TLS wants it.
func (w *wire) direct(p []byte) (int, error) {
	n, err := w.receive(p)
	w.left -= n
	w.bulk = n == len(p) && n >= bulky
	return n, err
}

// fill reads ahead.
func (w *wire) fill() error {
	into := w.few[:]
	if w.bulk {
		w.borrow = batches.Get().(*[batch]byte)
		into = w.borrow[:]
	}
	n, err := w.receive(into)
	w.bulk, w.ahead = n >= bulky, into[:n]
	if n > 0 {
		return nil // an error that stays comes again
	}
	w.giveBack()
	return err
}

func (w *wire) giveBack() {
	w.ahead = nil
	if w.borrow != nil {
		batches.Put(w.borrow)
		w.borrow = nil
	}
}

// track follows the records in what TLS is given; p ends at a boundary or before it.
func (w *wire) track(p []byte) {
	if w.left > 0 {
		w.left -= len(p)
		return
	}
	w.have += copy(w.head[w.have:], p)
	if w.have == recordHeader {
		w.have, w.left = 0, int(binary.BigEndian.Uint16(w.head[3:]))
	}
}

func (w *wire) receive(p []byte) (int, error) {
	n, err := w.Conn.Read(p)
	if n > 0 {
		w.in.Add(uint64(n))
		w.heard.Store(int64(time.Since(w.start)))
	}
	return n, err
}

// hold keeps what is written until release, which writes it at once.
func (w *wire) hold() {
	w.writing.Lock()
	defer w.writing.Unlock()
	w.holding = true
}

func (w *wire) release() error {
	w.writing.Lock()
	defer w.writing.Unlock()
	w.holding = false
	if w.held == nil {
		return nil
	}
	_, err := w.send(w.held)
	if cap(w.held) == batch {
		batches.Put((*[batch]byte)(w.held[:batch]))
	}
	w.held = nil
	return err
}

// Write writes or holds.
func (w *wire) Write(p []byte) (int, error) {
	w.writing.Lock()
	defer w.writing.Unlock()
	if !w.holding {
		return w.send(p)
	}
	if w.held == nil {
		w.held = batches.Get().(*[batch]byte)[:0]
	}
	w.held = append(w.held, p...)
	return len(p), nil
}

func (w *wire) send(p []byte) (int, error) {
	n, err := w.Conn.Write(p)
	w.out.Add(uint64(n))
	return n, err
}
