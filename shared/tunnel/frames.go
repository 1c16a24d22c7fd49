package tunnel

import (
	"encoding/binary"
	"errors"
	"net"
	"sync"
	"sync/atomic"

	"github.com/kubilitics/kubilitics/shared/fault"
)

// The part of yamux's wire format that this file needs (its specification, version 0).
const (
	frameHeader = 12

	frameData   = 0
	frameWindow = 1
	framePing   = 2

	flagSYN = 1
	flagACK = 2
	flagFIN = 4
	flagRST = 8
)

// maxPings is how many pings a peer may send between two beats of the session's clock. yamux answers each in a goroutine of
// its own, so an unbounded number of them would be an unbounded number of goroutines.
const maxPings = 64

// header is one frame's header.
type header [frameHeader]byte

func (h *header) kind() byte     { return h[1] }
func (h *header) flags() uint16  { return binary.BigEndian.Uint16(h[2:4]) }
func (h *header) stream() uint32 { return binary.BigEndian.Uint32(h[4:8]) }
func (h *header) length() uint32 { return binary.BigEndian.Uint32(h[8:12]) }

func newHeader(kind byte, flags uint16, stream uint32) header {
	var h header
	h[1] = kind
	binary.BigEndian.PutUint16(h[2:4], flags)
	binary.BigEndian.PutUint32(h[4:8], stream)
	return h
}

// flow is what the frames of one stream have told so far.
type flow struct {
	received atomic.Uint64 // data bytes that came in
	acked    atomic.Bool   // the peer has accepted the stream
	finIn    atomic.Bool   // the peer has closed its side: an end of file is a true one
	finOut   bool          // we have closed our side; guarded by frames.mu
	peers    bool          // the peer opened it
	stream   *Stream       // nil until it was accepted; guarded by frames.mu
}

// frames sits between yamux and TLS. It joins a frame's header and body, which yamux writes apart, into one write; and it
// reads the headers that pass, which tells what yamux keeps to itself: how much of a stream is unread, whether its end was
// said by the peer or comes from a lost session. It also gives yamux the reset that it lacks, by adding RST frames at
// frame boundaries of both directions.
type frames struct {
	net.Conn // TLS
	raw      *wire

	mu    sync.Mutex
	flows map[uint32]*flow
	peers int // how many of them the peer opened

	// Outbound. head and bodyLeft belong to yamux's send loop.
	head     header
	bodyLeft uint32
	writing  sync.Mutex

	// Inbound. All but resets belongs to yamux's receive loop.
	partial  header
	have     int
	skip     uint32
	pings    atomic.Int32
	pending  atomic.Bool // resets is not empty
	resets   []header    // for yamux, as if from the peer; guarded by mu
	leftover []byte      // of an injected header that did not fit the reader's buffer
}

func newFrames(conn net.Conn, raw *wire) *frames {
	return &frames{Conn: conn, raw: raw, flows: map[uint32]*flow{}}
}

// streams lists the streams that are not over.
func (f *frames) streams() []*Stream {
	f.mu.Lock()
	defer f.mu.Unlock()
	open := make([]*Stream, 0, len(f.flows))
	for _, w := range f.flows {
		if w.stream != nil {
			open = append(open, w.stream)
		}
	}
	return open
}

// open is the number of streams that are not closed by both sides, and how many of them the peer opened.
func (f *frames) open() (all, peers int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return len(f.flows), f.peers
}

// forget drops a stream that is over; mu is held.
func (f *frames) forget(id uint32) {
	if w := f.flows[id]; w != nil && w.peers {
		f.peers--
	}
	delete(f.flows, id)
}

// Write is called by yamux's send loop with a header, then, when the header announces one, with its body. The header of a
// data frame is kept until the body comes, so that only whole frames are written and a reset may go between any two.
func (f *frames) Write(p []byte) (int, error) {
	if f.bodyLeft > 0 {
		f.bodyLeft = 0
		return f.writeFrame(f.head[:], p)
	}
	copy(f.head[:], p)
	f.sent(&f.head)
	if f.head.kind() == frameData && f.head.length() > 0 {
		f.bodyLeft = f.head.length()
		return len(p), nil
	}
	return f.writeFrame(nil, p)
}

// smallFrame is the size up to which header and body are copied together into one record; above it the copy costs more than
// a record of its own for the header.
const smallFrame = 4 << 10

var joined = sync.Pool{New: func() any { return new([smallFrame]byte) }}

// writeFrame writes a frame, its header without a system call of its own, and returns how much of the body was written.
func (f *frames) writeFrame(head, body []byte) (int, error) {
	f.writing.Lock()
	defer f.writing.Unlock()
	if len(head) == 0 {
		return f.Conn.Write(body)
	}
	if len(head)+len(body) <= smallFrame {
		buf := joined.Get().(*[smallFrame]byte)
		defer joined.Put(buf)
		if _, err := f.Conn.Write(append(append(buf[:0], head...), body...)); err != nil {
			return 0, err
		}
		return len(body), nil
	}
	f.raw.hold()
	if _, err := f.Conn.Write(head); err != nil {
		return 0, err
	}
	n, err := f.Conn.Write(body)
	return n, errors.Join(err, f.raw.release())
}

// sent notes a frame of ours.
func (f *frames) sent(h *header) {
	flags := h.flags()
	if flags&(flagSYN|flagFIN|flagRST) == 0 || h.kind() > frameWindow {
		return
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if flags&flagSYN != 0 {
		f.flows[h.stream()] = &flow{}
	}
	w := f.flows[h.stream()]
	if w == nil {
		return
	}
	w.finOut = w.finOut || flags&flagFIN != 0
	if flags&flagRST != 0 || (w.finOut && w.finIn.Load()) {
		f.forget(h.stream())
	}
}

// reset ends a stream on both ends at once: the peer is told, and yamux is told as if the peer had. The second waits for
// the next inbound byte, which a live session never lacks for long.
func (f *frames) reset(id uint32) error {
	f.mu.Lock()
	w := f.flows[id]
	if w == nil {
		f.mu.Unlock()
		return nil
	}
	f.forget(id)
	flags := uint16(flagRST)
	if !w.acked.Load() {
		flags |= flagACK // gives back yamux's place for a stream being opened
	}
	f.resets = append(f.resets, newHeader(frameWindow, flags, id))
	f.pending.Store(true)
	f.mu.Unlock()
	rst := newHeader(frameWindow, flagRST, id)
	_, err := f.writeFrame(nil, rst[:])
	return err
}

// Read is called by yamux's receive loop.
func (f *frames) Read(p []byte) (int, error) {
	if len(f.leftover) > 0 || f.pending.Load() {
		if f.boundary() {
			return f.inject(p), nil
		}
		p = p[:min(len(p), f.toBoundary())]
	}
	n, err := f.Conn.Read(p)
	if scanErr := f.scan(p[:n]); scanErr != nil {
		return 0, scanErr
	}
	return n, err
}

func (f *frames) boundary() bool { return f.have == 0 && f.skip == 0 }

// toBoundary is how many bytes may be read without passing the next boundary, or passing it unseen.
func (f *frames) toBoundary() int {
	if f.skip > 0 {
		return int(f.skip)
	}
	return frameHeader - f.have
}

// inject hands yamux the resets that wait.
func (f *frames) inject(p []byte) int {
	f.mu.Lock()
	for _, h := range f.resets {
		f.leftover = append(f.leftover, h[:]...)
	}
	f.resets = nil
	f.pending.Store(false)
	f.mu.Unlock()
	n := copy(p, f.leftover)
	f.leftover = f.leftover[n:]
	if len(f.leftover) == 0 {
		f.leftover = nil
	}
	return n
}

// scan follows the frames in what was read.
func (f *frames) scan(p []byte) error {
	for len(p) > 0 {
		if f.skip > 0 {
			n := min(uint32(len(p)), f.skip)
			p, f.skip = p[n:], f.skip-n
			continue
		}
		n := copy(f.partial[f.have:], p)
		p, f.have = p[n:], f.have+n
		if f.have < frameHeader {
			return nil
		}
		f.have = 0
		if err := f.received(&f.partial); err != nil {
			return err
		}
	}
	return nil
}

// received notes a frame of the peer's.
func (f *frames) received(h *header) error {
	switch h.kind() {
	case frameData, frameWindow:
	case framePing:
		if h.flags()&flagSYN != 0 && f.pings.Add(1) > maxPings {
			return fault.New(fault.TooManyRequests, "the peer floods the tunnel with pings")
		}
		return nil
	default:
		return nil
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	flags := h.flags()
	if flags&flagSYN != 0 && f.flows[h.stream()] == nil {
		w := &flow{peers: true}
		w.acked.Store(true)
		f.flows[h.stream()] = w
		f.peers++
	}
	w := f.flows[h.stream()]
	if h.kind() == frameData {
		f.skip = h.length()
		if w != nil {
			w.received.Add(uint64(h.length()))
		}
	}
	if w != nil && flags != 0 {
		f.turn(w, h.stream(), flags)
	}
	return nil
}

// turn notes the flags of a peer's frame; mu is held.
func (f *frames) turn(w *flow, id uint32, flags uint16) {
	if flags&flagACK != 0 {
		w.acked.Store(true)
	}
	if flags&flagFIN != 0 {
		w.finIn.Store(true)
	}
	if flags&flagRST != 0 || (w.finOut && w.finIn.Load()) {
		f.forget(id)
	}
}
