package wire

import (
	"bytes"
	"reflect"
	"strings"
	"testing"

	"google.golang.org/protobuf/proto"

	tunnelv1 "github.com/kubilitics/kubilitics/proto/tunnel/v1"
	"github.com/kubilitics/kubilitics/shared/fault"
	"github.com/kubilitics/kubilitics/shared/topo"
)

func sample() topo.Delta {
	pod := topo.Ref{Kind: "Pod", Namespace: "shop", Name: "web-1"}
	node := topo.Ref{Kind: "Node", Name: "n1"}
	key := topo.EdgeID{Source: pod.ID(), ID: node.ID()}
	return topo.Delta{
		Nodes: []topo.Node{
			{Ref: pod, UID: "u-1", Version: "v1", Created: 1700000000, Health: topo.OK, Status: "Running",
				Labels: []topo.Pair{{Key: "app", Value: "web"}, {Key: "tier", Value: ""}}, Attrs: []topo.Pair{{Key: "ready", Value: "1/1"}}},
			{Ref: node, Presence: topo.Missing},
		},
		Edges:         []topo.Edge{{Source: pod, Target: node, Rule: "pod-node", Type: topo.RunsOn, Path: "spec.nodeName", Attrs: []topo.Pair{{Key: "wantUID", Value: "x"}}}},
		Manifests:     []topo.Manifest{{Ref: pod, Hash: pod.ID(), Body: []byte{1, 2, 3}}},
		Events:        []topo.Event{{UID: "e-1", Namespace: "shop", Name: "web-1.17", Regarding: pod, Type: "Warning", Reason: "BackOff", Message: "back-off", Source: "kubelet", Count: 3, First: 1, Last: 2}},
		GoneNodes:     []topo.ID{pod.ID()},
		GoneEdges:     []topo.EdgeID{key},
		GoneManifests: []topo.ID{node.ID()},
	}
}

func TestRoundTrip(t *testing.T) {
	want := sample()
	body, err := Encode(&want)
	if err != nil {
		t.Fatal(err)
	}
	got, bad, err := Decode(body)
	if err != nil || len(bad) != 0 {
		t.Fatalf("decode: %v, bad rows %v", err, bad)
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("came back different:\n got %+v\nwant %+v", got, want)
	}
}

// One row that can't be kept is named with its reason; all others arrive.
func TestBadRowsAreNamedAndLeftOut(t *testing.T) {
	good := sample().Nodes[0]
	spoil := func(f func(*topo.Node)) topo.Node { n := good; f(&n); return n }
	cases := []struct {
		name, reason string
		row          topo.Node
	}{
		{"NUL in a name", "name contains the character U+0000", spoil(func(n *topo.Node) { n.Ref.Name = "a\x00b" })},
		{"no kind", "the row names no kind or no name", spoil(func(n *topo.Node) { n.Ref.Kind = "" })},
		{"unsorted labels", "labels isn't sorted by key, or has a key twice", spoil(func(n *topo.Node) { n.Labels = []topo.Pair{{Key: "b"}, {Key: "a"}} })},
		{"label twice", "labels isn't sorted by key, or has a key twice", spoil(func(n *topo.Node) { n.Labels = []topo.Pair{{Key: "a"}, {Key: "a"}} })},
		{"health of the future", "health 9 is unknown", spoil(func(n *topo.Node) { n.Health = 9 })},
		{"presence of the future", "presence 9 is unknown", spoil(func(n *topo.Node) { n.Presence = 9 })},
		{"endless status", "status is 65537 bytes long, more than 65536", spoil(func(n *topo.Node) { n.Status = strings.Repeat("x", MaxText+1) })},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			body, err := Encode(&topo.Delta{Nodes: []topo.Node{c.row, good}})
			if err != nil {
				t.Fatal(err)
			}
			got, bad, err := Decode(body)
			if err != nil {
				t.Fatal(err)
			}
			if len(got.Nodes) != 1 || !reflect.DeepEqual(got.Nodes[0], good) {
				t.Errorf("the good row did not arrive alone: %+v", got.Nodes)
			}
			if len(bad) != 1 || bad[0].Reason != c.reason || bad[0].Table != "nodes" || strings.ContainsRune(bad[0].Key, 0) {
				t.Errorf("bad rows: %+v, want the reason %q", bad, c.reason)
			}
		})
	}
}

func TestFramesThatSpoilTheWhole(t *testing.T) {
	bomb := compressor.EncodeAll(bytes.Repeat([]byte{0}, MaxRows+1), nil)
	shortKey, err := proto.Marshal(&tunnelv1.Rows{GoneNodes: [][]byte{{1, 2}}})
	if err != nil {
		t.Fatal(err)
	}
	invalid := []byte{0x0a, 0x05, 0x0a, 0x03, 0x12, 0x01, 0xff} // node.ref.kind = "\xff"
	for name, body := range map[string][]byte{
		"no zstd":       []byte("plain"),
		"bomb":          bomb,
		"garbage":       compressor.EncodeAll([]byte{0xff, 0xff}, nil),
		"short key":     compressor.EncodeAll(shortKey, nil),
		"invalid UTF-8": compressor.EncodeAll(invalid, nil),
	} {
		t.Run(name, func(t *testing.T) {
			if _, _, err := Decode(body); !fault.Is(err, fault.BadRequest) {
				t.Errorf("got %v, want a BadRequest", err)
			}
		})
	}
}

func TestEncodeRefusesInvalidUTF8(t *testing.T) {
	if _, err := Encode(&topo.Delta{Nodes: []topo.Node{{Ref: topo.Ref{Kind: "Pod", Name: "\xff"}}}}); !fault.Is(err, fault.BadRequest) {
		t.Errorf("got %v, want a BadRequest", err)
	}
}

func TestDigestsRoundTrip(t *testing.T) {
	d := sample()
	var s topo.Sum
	s.Add(d.Nodes[0].Hash())
	got, err := SumsFrom(SumsTo([]topo.Sum{s, {}}), 2)
	if err != nil || got[0] != s || !got[1].IsZero() {
		t.Errorf("sums: %v %v", got, err)
	}
	if _, err := SumsFrom(make([]byte, 17), 1); err == nil {
		t.Error("17 bytes passed for a sum")
	}
	halves, err := HalvesFrom(HalvesTo([]topo.Sum{s, {}}), 2)
	if err != nil || halves[0] != s.Half() || halves[1] != 0 {
		t.Errorf("halves: %v %v", halves, err)
	}
	for _, table := range topo.Tables {
		rows := []topo.RowHash{{Key: topo.EdgeID{Source: d.Nodes[0].Ref.ID()}, Hash: d.Nodes[0].Hash()}}
		if table == topo.Edges {
			rows[0].Key.ID = d.Edges[0].Key().ID
		}
		back, err := RowMarksFrom(table, RowMarksTo(table, rows))
		if err != nil || len(back) != 1 || back[0] != MarkOf(rows[0]) {
			t.Errorf("%s: %v %v", table, back, err)
		}
		if on, err := TableFrom(TableTo(table)); err != nil || on != table {
			t.Errorf("%s became %s (%v)", table, on, err)
		}
	}
}

// Whatever bytes arrive: no panic, and what is accepted encodes and decodes to itself.
func FuzzDecode(f *testing.F) {
	d := sample()
	raw, err := proto.Marshal(rowsOf(&d))
	if err != nil {
		f.Fatal(err)
	}
	f.Add(raw)
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, raw []byte) {
		got, _, err := Decode(compressor.EncodeAll(raw, nil))
		if err != nil {
			return
		}
		again, err := Encode(&got)
		if err != nil {
			t.Fatalf("accepted rows don't encode: %v", err)
		}
		back, bad, err := Decode(again)
		if err != nil || len(bad) != 0 || !reflect.DeepEqual(back, got) {
			t.Fatalf("accepted rows don't come back: %v %v", err, bad)
		}
	})
}
