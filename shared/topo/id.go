package topo

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"fmt"
)

// ID is a 128-bit key or hash: the first half of the SHA-256 of a canonical encoding.
type ID [16]byte

// Compare orders IDs as unsigned big-endian numbers, which is also the order of the stores' indexes.
func (i ID) Compare(o ID) int { return bytes.Compare(i[:], o[:]) }

// String is 32 lower-case hexadecimal digits.
func (i ID) String() string { return hex.EncodeToString(i[:]) }

// IsZero tells the ID that no row has.
func (i ID) IsZero() bool { return i == ID{} }

// Bucket is the digest bucket of the row with this key, 0 to Buckets-1: its first 12 bits, so that a bucket is one
// contiguous range of a store's primary key.
func (i ID) Bucket() int { return int(binary.BigEndian.Uint16(i[:2]) >> (16 - bucketBits)) }

// ParseID reads what String wrote.
func ParseID(s string) (ID, error) {
	var id ID
	raw, err := hex.DecodeString(s)
	if err != nil || len(raw) != len(id) {
		return ID{}, fmt.Errorf("%q is no 128-bit key in hexadecimal digits", s)
	}
	copy(id[:], raw)
	return id, nil
}

// IDFromBytes reads 16 raw bytes.
func IDFromBytes(b []byte) (ID, error) {
	if len(b) != len(ID{}) {
		return ID{}, fmt.Errorf("a key has 16 bytes, not %d", len(b))
	}
	return ID(b), nil
}

// EdgeID is the key of an edge: the key of its source, which places it in the source's bucket, and its own.
type EdgeID struct {
	Source ID
	ID     ID
}

// Compare orders by source, then by the edge's own key.
func (e EdgeID) Compare(o EdgeID) int {
	if c := e.Source.Compare(o.Source); c != 0 {
		return c
	}
	return e.ID.Compare(o.ID)
}

// canon builds the canonical encoding of a row: each field with its length before it, numbers in 8 bytes, big-endian.
// It is digest version 1: any change of what goes in, or of the order, is a new version (DigestVersion).
//
// Every step gives the longer encoding back, so that a buffer on the caller's stack may stay there.
type canon []byte

func (c canon) str(s string) canon {
	return append(binary.AppendUvarint(c, uint64(len(s))), s...)
}

func (c canon) id(i ID) canon { return append(c, i[:]...) }

func (c canon) num(n int64) canon { return binary.BigEndian.AppendUint64(c, uint64(n)) }

func (c canon) pairs(ps []Pair) canon {
	c = c.num(int64(len(ps)))
	for _, p := range ps {
		c = c.str(p.Key).str(p.Value)
	}
	return c
}

func (c canon) sum() ID {
	full := sha256.Sum256(c)
	return ID(full[:16])
}
