package wire

import (
	"encoding/binary"

	tunnelv1 "github.com/kubilitics/kubilitics/proto/tunnel/v1"
	"github.com/kubilitics/kubilitics/shared/fault"
	"github.com/kubilitics/kubilitics/shared/topo"
)

const sumSize = 16

// TableTo gives a table its number on the wire.
func TableTo(t topo.Table) tunnelv1.Table { return tunnelv1.Table(t) + 1 }

// TableFrom reads it.
func TableFrom(t tunnelv1.Table) (topo.Table, error) {
	if t <= tunnelv1.Table_TABLE_UNSPECIFIED || t > tunnelv1.Table_TABLE_MANIFESTS {
		return 0, fault.New(fault.BadRequest, "a frame names table %d, which doesn't exist", t)
	}
	return topo.Table(t - 1), nil
}

// SumsTo writes sums one after the other.
func SumsTo(sums []topo.Sum) []byte {
	out := make([]byte, 0, len(sums)*sumSize)
	for _, s := range sums {
		b := s.Bytes()
		out = append(out, b[:]...)
	}
	return out
}

// SumsFrom reads exactly n of them.
func SumsFrom(b []byte, n int) ([]topo.Sum, error) {
	if len(b) != n*sumSize {
		return nil, fault.New(fault.BadRequest, "a frame should have %d sums of %d bytes and has %d bytes", n, sumSize, len(b))
	}
	out := make([]topo.Sum, n)
	for i := range out {
		out[i] = topo.SumFromBytes([sumSize]byte(b[i*sumSize:]))
	}
	return out, nil
}

// halfSize is the length of what stands for a sum or a hash where many of them travel.
const halfSize = 8

// HalvesTo writes the halves of sums, one after the other.
func HalvesTo(sums []topo.Sum) []byte {
	out := make([]byte, 0, len(sums)*halfSize)
	for _, s := range sums {
		out = binary.BigEndian.AppendUint64(out, s.Half())
	}
	return out
}

// HalvesFrom reads exactly n of them.
func HalvesFrom(b []byte, n int) ([]uint64, error) {
	if len(b) != n*halfSize {
		return nil, fault.New(fault.BadRequest, "a frame should have %d halves of sums of %d bytes and has %d bytes", n, halfSize, len(b))
	}
	out := make([]uint64, n)
	for i := range out {
		out[i] = binary.BigEndian.Uint64(b[i*halfSize:])
	}
	return out, nil
}

// RowMark is a row's key, and the half of its hash that travels.
type RowMark struct {
	Key  topo.EdgeID
	Half [halfSize]byte
}

// MarkOf is what travels of a row's hash.
func MarkOf(r topo.RowHash) RowMark {
	return RowMark{Key: r.Key, Half: [halfSize]byte(r.Hash[:halfSize])}
}

// rowSize is the length of one row in a Bucket: its key, whole, because the row may have to be removed by it, and half of its hash.
func rowSize(t topo.Table) int {
	if t == topo.Edges {
		return 2*sumSize + halfSize
	}
	return sumSize + halfSize
}

// RowMarksTo writes a bucket's rows.
func RowMarksTo(t topo.Table, rows []topo.RowHash) []byte {
	out := make([]byte, 0, len(rows)*rowSize(t))
	for _, r := range rows {
		out = append(out, r.Key.Source[:]...)
		if t == topo.Edges {
			out = append(out, r.Key.ID[:]...)
		}
		out = append(out, r.Hash[:halfSize]...)
	}
	return out
}

// RowMarksFrom reads them.
func RowMarksFrom(t topo.Table, b []byte) ([]RowMark, error) {
	size := rowSize(t)
	if len(b)%size != 0 {
		return nil, fault.New(fault.BadRequest, "a bucket of %s has %d bytes, no multiple of %d", t, len(b), size)
	}
	out := make([]RowMark, len(b)/size)
	for i := range out {
		row := b[i*size : (i+1)*size]
		out[i].Key.Source = topo.ID(row[:sumSize])
		if t == topo.Edges {
			out[i].Key.ID = topo.ID(row[sumSize : 2*sumSize])
		}
		out[i].Half = [halfSize]byte(row[size-halfSize:])
	}
	return out, nil
}
