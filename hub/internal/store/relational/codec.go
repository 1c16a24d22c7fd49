package relational

import (
	"encoding/binary"
	"errors"
	"sync"

	"github.com/klauspost/compress/zstd"

	"github.com/kubilitics/kubilitics/hub/internal/store"
	"github.com/kubilitics/kubilitics/shared/fault"
	"github.com/kubilitics/kubilitics/shared/topo"
)

// A payload is what one feed entry tells: a version byte, then, zstd-compressed, the changed nodes, the changed edges, the events and, from version 2
// on, what has another manifest; each list with its length before it, each text with its length before it, numbers as varints.
const (
	payloadVersion = 2
	payloadBare    = 1 // without manifests: an entry that is older than these
)

// An entry's text can't be larger than this once unpacked; a batch is far below it.
const maxPayload = 256 << 20

var errPayload = errors.New("the feed's payload is damaged")

var packer = sync.OnceValues(func() (*zstd.Encoder, error) {
	// A small window: payloads are mostly some tens of kB, and each idle encoder keeps its window.
	return zstd.NewWriter(nil, zstd.WithEncoderLevel(zstd.SpeedFastest), zstd.WithWindowSize(64<<10), zstd.WithLowerEncoderMem(true), zstd.WithEncoderCRC(true))
})

var unpacker = sync.OnceValues(func() (*zstd.Decoder, error) {
	return zstd.NewReader(nil, zstd.WithDecoderConcurrency(0), zstd.WithDecoderMaxMemory(maxPayload), zstd.WithDecoderLowmem(true))
})

// EncodePayload packs what a feed entry tells; nil when that is nothing.
func EncodePayload(d *topo.Diff, events []topo.Event, texts []topo.Ref) ([]byte, error) {
	if d.Empty() && len(events) == 0 && len(texts) == 0 {
		return nil, nil
	}
	enc, err := packer()
	if err != nil {
		return nil, fault.Wrap(err, fault.Internal, "the compressor did not start")
	}
	var w payloadWriter
	w.buf = make([]byte, 0, 512*d.Len()+256*len(events)+96*len(texts)+16)
	w.num(int64(len(d.Nodes)))
	for i := range d.Nodes {
		w.buf = append(w.buf, byte(d.Nodes[i].Op))
		w.node(&d.Nodes[i].Node)
	}
	w.num(int64(len(d.Edges)))
	for i := range d.Edges {
		w.buf = append(w.buf, byte(d.Edges[i].Op))
		w.edge(&d.Edges[i].Edge)
	}
	w.num(int64(len(events)))
	for i := range events {
		w.event(&events[i])
	}
	w.num(int64(len(texts)))
	for i := range texts {
		w.ref(&texts[i])
	}
	return enc.EncodeAll(w.buf, []byte{payloadVersion}), nil
}

// DecodePayload reads what EncodePayload wrote into an entry.
func DecodePayload(b []byte, e *store.Entry) error {
	if len(b) == 0 {
		return nil
	}
	dec, err := unpacker()
	if err != nil {
		return fault.Wrap(err, fault.Internal, "the decompressor did not start")
	}
	if b[0] != payloadVersion && b[0] != payloadBare {
		return fault.New(fault.Internal, "a feed entry has payload version %d, this hub reads %d", b[0], payloadVersion)
	}
	raw, err := dec.DecodeAll(b[1:], nil)
	if err != nil {
		return fault.Wrap(err, fault.Internal, "a feed entry could not be unpacked")
	}
	r := payloadReader{buf: string(raw)}
	d := &e.Diff
	d.Nodes = make([]topo.NodeChange, r.length())
	for i := range d.Nodes {
		d.Nodes[i].Op = topo.Op(r.byte())
		r.node(&d.Nodes[i].Node)
	}
	d.Edges = make([]topo.EdgeChange, r.length())
	for i := range d.Edges {
		d.Edges[i].Op = topo.Op(r.byte())
		r.edge(&d.Edges[i].Edge)
	}
	e.Events = make([]topo.Event, r.length())
	for i := range e.Events {
		r.event(&e.Events[i])
	}
	if b[0] != payloadBare {
		e.Texts = r.refs()
	}
	if r.bad || r.buf != "" {
		e.Diff, e.Events, e.Texts = topo.Diff{}, nil, nil
		return fault.Wrap(errPayload, fault.Internal, "a feed entry could not be read")
	}
	return nil
}

type payloadWriter struct{ buf []byte }

func (w *payloadWriter) num(n int64) { w.buf = binary.AppendVarint(w.buf, n) }

func (w *payloadWriter) str(s string) {
	w.num(int64(len(s)))
	w.buf = append(w.buf, s...)
}

func (w *payloadWriter) ref(r *topo.Ref) {
	w.str(r.Group)
	w.str(r.Kind)
	w.str(r.Namespace)
	w.str(r.Name)
}

func (w *payloadWriter) pairs(ps []topo.Pair) {
	w.num(int64(len(ps)))
	for i := range ps {
		w.str(ps[i].Key)
		w.str(ps[i].Value)
	}
}

func (w *payloadWriter) node(n *topo.Node) {
	w.ref(&n.Ref)
	w.str(n.UID)
	w.str(n.Version)
	w.num(int64(n.Presence))
	w.num(n.Created)
	w.pairs(n.Labels)
	w.num(int64(n.Health))
	w.str(n.Status)
	w.pairs(n.Attrs)
}

func (w *payloadWriter) edge(e *topo.Edge) {
	w.ref(&e.Source)
	w.ref(&e.Target)
	w.str(e.Rule)
	w.str(string(e.Type))
	w.str(e.Disc)
	w.str(e.Path)
	w.pairs(e.Attrs)
}

func (w *payloadWriter) event(e *topo.Event) {
	w.str(e.UID)
	w.str(e.Namespace)
	w.str(e.Name)
	w.ref(&e.Regarding)
	w.str(e.Type)
	w.str(e.Reason)
	w.str(e.Message)
	w.str(e.Source)
	w.num(e.Count)
	w.num(e.First)
	w.num(e.Last)
}

// payloadReader notes the first thing that is wrong and gives zeros from then on.
type payloadReader struct {
	buf string
	bad bool
}

func (r *payloadReader) fail() {
	r.bad, r.buf = true, ""
}

func (r *payloadReader) num() int64 {
	var head [binary.MaxVarintLen64]byte
	n, size := binary.Varint(head[:copy(head[:], r.buf)])
	if size <= 0 {
		r.fail()
		return 0
	}
	r.buf = r.buf[size:]
	return n
}

// length is that of a list or text, each of whose items takes a byte at least.
func (r *payloadReader) length() int {
	n := r.num()
	if n < 0 || n > int64(len(r.buf)) {
		r.fail()
		return 0
	}
	return int(n)
}

func (r *payloadReader) byte() byte {
	if r.buf == "" {
		r.fail()
		return 0
	}
	b := r.buf[0]
	r.buf = r.buf[1:]
	return b
}

func (r *payloadReader) str() string {
	n := r.length()
	s := r.buf[:n]
	r.buf = r.buf[n:]
	return s
}

func (r *payloadReader) ref(v *topo.Ref) {
	v.Group, v.Kind, v.Namespace, v.Name = r.str(), r.str(), r.str(), r.str()
}

func (r *payloadReader) refs() []topo.Ref {
	n := r.length()
	if n == 0 {
		return nil
	}
	refs := make([]topo.Ref, n)
	for i := range refs {
		r.ref(&refs[i])
	}
	return refs
}

func (r *payloadReader) pairs() []topo.Pair {
	n := r.length()
	if n == 0 {
		return nil
	}
	ps := make([]topo.Pair, n)
	for i := range ps {
		ps[i].Key, ps[i].Value = r.str(), r.str()
	}
	return ps
}

func (r *payloadReader) node(n *topo.Node) {
	r.ref(&n.Ref)
	n.UID, n.Version = r.str(), r.str()
	n.Presence, n.Created = topo.Presence(r.num()), r.num()
	n.Labels = r.pairs()
	n.Health, n.Status = topo.Health(r.num()), r.str()
	n.Attrs = r.pairs()
}

func (r *payloadReader) edge(e *topo.Edge) {
	r.ref(&e.Source)
	r.ref(&e.Target)
	e.Rule, e.Type = r.str(), topo.EdgeType(r.str())
	e.Disc, e.Path = r.str(), r.str()
	e.Attrs = r.pairs()
}

func (r *payloadReader) event(e *topo.Event) {
	e.UID, e.Namespace, e.Name = r.str(), r.str(), r.str()
	r.ref(&e.Regarding)
	e.Type, e.Reason, e.Message, e.Source = r.str(), r.str(), r.str(), r.str()
	e.Count, e.First, e.Last = r.num(), r.num(), r.num()
}
