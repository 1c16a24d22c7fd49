package relational

import (
	"reflect"
	"testing"

	"github.com/kubilitics/kubilitics/shared/topo"
)

func TestPairsKeepOrderAndEveryByte(t *testing.T) {
	for _, ps := range [][]topo.Pair{
		nil,
		{{Key: "app", Value: "web"}},
		{{Key: "b", Value: ""}, {Key: "a", Value: `"\,:{}`}, {Key: "ü", Value: "\n\t<&>"}, {Key: "", Value: `\\"`}},
	} {
		got, err := DecodePairs(EncodePairs(ps))
		if err != nil || !reflect.DeepEqual(got, ps) {
			t.Errorf("%q became %q (%v) by way of %s", ps, got, err, EncodePairs(ps))
		}
	}
}

func FuzzDecodePairs(f *testing.F) {
	for _, s := range []string{"", "{}", `{"a":"b"}`, `{"a":"b","c":"\u0041"}`, `{"a":1}`, `{"a":"b"`, `{"a" "b"}`, `{"a":"b"}x`, `{"a\`} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		ps, err := DecodePairs(s)
		if err != nil {
			return
		}
		again, err := DecodePairs(EncodePairs(ps))
		if err != nil || !reflect.DeepEqual(again, ps) {
			t.Fatalf("%q read as %q, then as %q (%v)", s, ps, again, err)
		}
	})
}
