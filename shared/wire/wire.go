// Package wire turns the nouns of topo into the messages of the tunnel and back, checks what comes in, and keeps the
// limits that both sides hold each other to.
package wire

// Capability grows by one whenever either side learns something the other must know of. The diary:
//
//	1  2026-11-23  sessions, first load, two-level comparison, deltas, kinds.
const Capability = 1

// The limits of a session. Sizes are bytes.
const (
	// MaxFrame is the largest message either side accepts, as it is on the wire: room for a manifest that doesn't compress at all.
	MaxFrame = 4 << 20
	// MaxRows is the largest delta accepted after decompression.
	MaxRows = 16 << 20
	// ChunkSize is the compressed size aimed at. Above 32 KiB, gRPC's buffers cost twice as much a byte.
	ChunkSize = 28 << 10
	// MaxText is the longest text accepted in one field of a row.
	MaxText = 64 << 10
	// MaxPairs is the most labels or attributes of one row.
	MaxPairs = 4096
)
