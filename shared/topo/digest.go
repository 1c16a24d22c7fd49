package topo

import (
	"encoding/binary"
	"math/bits"
)

// A digest sums the hashes of a table's rows by bucket, so that two sides find what differs between them by comparing
// few numbers. Sums are modulo 2^128: order doesn't matter, and a row leaves by being subtracted.
const (
	// DigestVersion is the version of the canonical encoding behind every hash; both sides must agree on it.
	DigestVersion = 1

	bucketBits = 12
	// Buckets is the number of buckets of a digest.
	Buckets = 1 << bucketBits
	// Groups is the number of groups compared first; GroupSize buckets each.
	Groups    = 64
	GroupSize = Buckets / Groups
)

// Sum is a sum of hashes modulo 2^128.
type Sum struct{ hi, lo uint64 }

// Add puts a row's hash in.
func (s *Sum) Add(h ID) {
	var carry uint64
	s.lo, carry = bits.Add64(s.lo, binary.BigEndian.Uint64(h[8:]), 0)
	s.hi, _ = bits.Add64(s.hi, binary.BigEndian.Uint64(h[:8]), carry)
}

// Sub takes a row's hash out.
func (s *Sum) Sub(h ID) {
	var borrow uint64
	s.lo, borrow = bits.Sub64(s.lo, binary.BigEndian.Uint64(h[8:]), 0)
	s.hi, _ = bits.Sub64(s.hi, binary.BigEndian.Uint64(h[:8]), borrow)
}

// Merge adds another sum: sums of parts give the sum of the whole.
func (s *Sum) Merge(o Sum) { s.Add(ID(o.Bytes())) }

// IsZero tells a sum that equals that of no rows.
func (s Sum) IsZero() bool { return s == Sum{} }

// Bytes is the sum as 16 bytes, big-endian.
func (s Sum) Bytes() [16]byte {
	var b [16]byte
	binary.BigEndian.PutUint64(b[:8], s.hi)
	binary.BigEndian.PutUint64(b[8:], s.lo)
	return b
}

// Half is the sum modulo 2^64: enough to tell two sums apart that were not made to look alike, at half the bytes.
func (s Sum) Half() uint64 { return s.lo }

// SumFromBytes reads what Bytes wrote.
func SumFromBytes(b [16]byte) Sum {
	return Sum{hi: binary.BigEndian.Uint64(b[:8]), lo: binary.BigEndian.Uint64(b[8:])}
}

// Digest is the sums of one table, by bucket.
type Digest [Buckets]Sum

// Groups sums the buckets by group.
func (d *Digest) Groups() [Groups]Sum {
	var g [Groups]Sum
	for i := range d {
		g[i/GroupSize].Merge(d[i])
	}
	return g
}

// Table is one of the kinds of rows that digests cover.
type Table uint8

// The tables that agent and hub keep equal.
const (
	Nodes Table = iota
	Edges
	Manifests
)

// Tables lists them all.
var Tables = [...]Table{Nodes, Edges, Manifests}

var tableWords = [...]string{"nodes", "edges", "manifests"}

// String is the word used in metrics, logs and the stores.
func (t Table) String() string { return word(tableWords[:], int(t)) }

// RowHash is a row's key and its hash: what two sides exchange of an unequal bucket. Key.Source is the key of the node
// for nodes and manifests, whose Key.ID is zero.
type RowHash struct {
	Key  EdgeID
	Hash ID
}
