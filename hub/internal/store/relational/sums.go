package relational

import (
	"encoding/binary"

	"github.com/kubilitics/kubilitics/shared/topo"
)

// Bucket names one sum of a digest.
type Bucket struct {
	Table  topo.Table
	Number int
}

// SumRow is a sum, or what is to be added to it, of a bucket.
type SumRow struct {
	Bucket
	Sum topo.Sum
}

// Words cuts a sum into the four numbers that the table digests keeps, the most significant first.
func (r *SumRow) Words() (w [4]int64) {
	b := r.Sum.Bytes()
	for i := range w {
		w[i] = int64(binary.BigEndian.Uint32(b[4*i:]))
	}
	return w
}

// sumOf joins the four numbers, whatever carries have piled up in them.
func sumOf(w [4]int64) (sum topo.Sum) {
	for i, n := range w {
		// The word's place, with its carries in the place above; above the first there is none.
		var b [20]byte
		binary.BigEndian.PutUint64(b[4*i:], uint64(n))
		sum.Add(topo.ID(b[4:]))
	}
	return sum
}

const insertSum = `INSERT INTO digests (tenant_id, cluster_id, tbl, bucket, s0, s1, s2, s3) VALUES ($1, $2, $3, $4, $5, $6, $7, $8)
	ON CONFLICT (tenant_id, cluster_id, tbl, bucket) DO UPDATE SET `

const (
	// AddSum is the statement that adds to one sum.
	AddSum = insertSum + `s0 = digests.s0 + excluded.s0, s1 = digests.s1 + excluded.s1, s2 = digests.s2 + excluded.s2, s3 = digests.s3 + excluded.s3`

	setSum = insertSum + `s0 = excluded.s0, s1 = excluded.s1, s2 = excluded.s2, s3 = excluded.s3`
)
