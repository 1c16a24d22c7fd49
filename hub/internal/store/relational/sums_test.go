package relational

import (
	"testing"

	"github.com/kubilitics/kubilitics/shared/topo"
)

// FuzzSums: adding words, with the carries left where they arise, is adding sums.
func FuzzSums(f *testing.F) {
	f.Add([]byte("\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x01"))
	f.Fuzz(func(t *testing.T, raw []byte) {
		var want topo.Sum
		var kept [4]int64
		for i := 0; len(raw) >= 16; i++ {
			change := SumRow{}
			if i%2 == 0 {
				change.Sum.Add(topo.ID(raw[:16]))
			} else {
				change.Sum.Sub(topo.ID(raw[:16]))
			}
			raw = raw[16:]
			want.Merge(change.Sum)
			for j, n := range change.Words() {
				kept[j] += n
			}
		}
		if sumOf(kept) != want {
			t.Fatalf("%v became %x, not %x", kept, sumOf(kept).Bytes(), want.Bytes())
		}
	})
}
