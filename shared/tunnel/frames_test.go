package tunnel

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"slices"
	"testing"

	"github.com/kubilitics/kubilitics/shared/fault"
)

// script is a connection whose reads are what a test says, cut where it says.
type script struct {
	net.Conn
	reads [][]byte
}

func (s *script) Read(p []byte) (int, error) {
	if len(s.reads) == 0 {
		return 0, io.EOF
	}
	n := copy(p, s.reads[0])
	if s.reads[0] = s.reads[0][n:]; len(s.reads[0]) == 0 {
		s.reads = s.reads[1:]
	}
	return n, nil
}

// cut splits bytes at lengths taken in turn.
func cut(all, lengths []byte) [][]byte {
	var parts [][]byte
	for i := 0; len(all) > 0; i++ {
		n := len(all)
		if len(lengths) > 0 {
			n = min(n, 1+int(lengths[i%len(lengths)]))
		}
		parts, all = append(parts, all[:n]), all[n:]
	}
	return parts
}

func frame(kind byte, flags uint16, stream uint32, body int) []byte {
	h := newHeader(kind, flags, stream)
	if kind == frameData {
		binary.BigEndian.PutUint32(h[8:], uint32(body))
	}
	return append(h[:], make([]byte, body)...)
}

// However the bytes are cut: the frames pass unchanged, the flow of a stream adds up, and a reset goes between two frames.
func FuzzFramesAreFollowed(f *testing.F) {
	f.Add([]byte{}, uint16(100), uint16(3000))
	f.Add([]byte{0}, uint16(1), uint16(0))
	f.Add([]byte{11, 12, 13, 200}, uint16(500), uint16(65000))
	f.Fuzz(func(t *testing.T, lengths []byte, a, b uint16) {
		before := bytes.Join([][]byte{frame(frameWindow, flagSYN, 2, 0), frame(frameData, 0, 2, int(a))}, nil)
		after := bytes.Join([][]byte{frame(frameData, 0, 2, int(b)), frame(framePing, flagSYN, 0, 0), frame(frameWindow, flagFIN, 2, 0)}, nil)
		s := &script{reads: cut(append(bytes.Clone(before), after...), lengths)}
		fr := newFrames(s, newWire(s))
		head := make([]byte, 12)
		if _, err := io.ReadFull(fr, head); err != nil {
			t.Fatal(err)
		}
		w := fr.flows[2]
		fr.resets = append(fr.resets, newHeader(frameWindow, flagRST, 9))
		fr.pending.Store(true)
		rest, err := io.ReadAll(fr)
		if err != nil {
			t.Fatal(err)
		}
		rst := frame(frameWindow, flagRST, 9, 0)
		got := append(head, rest...)
		at := bytes.Index(got, rst)
		if at < 0 {
			t.Fatal("the reset was not delivered")
		}
		if whole := append(bytes.Clone(before), after...); !bytes.Equal(append(bytes.Clone(got[:at]), got[at+len(rst):]...), whole) {
			t.Fatal("the frames were changed")
		}
		ends := []int{12, len(before), len(before) + 12 + int(b), len(before) + 24 + int(b), len(before) + len(after)}
		if !slices.Contains(ends, at) {
			t.Fatalf("the reset was put at %d, inside of a frame", at)
		}
		if n := w.received.Load(); n != uint64(a)+uint64(b) || !w.finIn.Load() {
			t.Fatalf("the flow counts %d bytes of %d, end %v", n, int(a)+int(b), w.finIn.Load())
		}
	})
}

func TestAFloodOfPingsIsRefused(t *testing.T) {
	s := &script{reads: [][]byte{bytes.Repeat(frame(framePing, flagSYN, 0, 0), maxPings+1)}}
	if _, err := io.ReadAll(newFrames(s, newWire(s))); !fault.Is(err, fault.TooManyRequests) {
		t.Errorf("a flood of pings: %v", err)
	}
}

// TLS must never be given bytes past the record that it asks for, or its buffer doubles.
func FuzzWireGivesOneRecordAtATime(f *testing.F) {
	f.Add([]byte{}, []byte{1, 0, 255, 80})
	f.Add([]byte{3, 100}, []byte{255, 255, 0, 0, 1})
	f.Fuzz(func(t *testing.T, lengths, sizes []byte) {
		var all []byte
		for i, n := range sizes {
			body := bytes.Repeat([]byte{byte(i)}, int(n)*64)
			all = append(binary.BigEndian.AppendUint16(append(all, 23, 3, 3), uint16(len(body))), body...)
		}
		w := newWire(&script{reads: cut(bytes.Clone(all), lengths)})
		var got []byte
		left, head := 0, 0 // of the record that TLS is at
		for buf := make([]byte, 20_000); ; {
			n, err := w.Read(buf)
			got = append(got, buf[:n]...)
			if errors.Is(err, io.EOF) {
				break
			}
			if n > 0 && left > 0 {
				left -= n
			} else {
				head += n
			}
			if left < 0 || head > recordHeader {
				t.Fatal("bytes of the next record came along")
			}
			if left == 0 && head == recordHeader {
				head, left = 0, int(binary.BigEndian.Uint16(got[len(got)-2:]))
			}
		}
		if !bytes.Equal(got, all) {
			t.Fatal("the bytes were changed")
		}
	})
}
