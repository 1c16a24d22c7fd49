package topo_test

import (
	"crypto/sha256"
	"encoding/binary"
	"testing"

	"github.com/kubilitics/kubilitics/shared/topo"
)

// encode writes digest version 1 in the plainest way: texts with their length before them, numbers in eight bytes.
func encode(parts ...any) topo.ID {
	var buf []byte
	for _, p := range parts {
		switch p := p.(type) {
		case string:
			buf = append(binary.AppendUvarint(buf, uint64(len(p))), p...)
		case int:
			buf = binary.BigEndian.AppendUint64(buf, uint64(p))
		case topo.ID:
			buf = append(buf, p[:]...)
		}
	}
	full := sha256.Sum256(buf)
	return topo.ID(full[:16])
}

// TestCanonicalEncoding pins what two versions of the program must agree on. A change of it is a new DigestVersion.
func TestCanonicalEncoding(t *testing.T) {
	pod := topo.Ref{Kind: "Pod", Namespace: "shop", Name: "web-1"}
	set := topo.Ref{Group: "apps", Kind: "ReplicaSet", Namespace: "shop", Name: "web"}
	node := topo.Node{
		Ref: pod, UID: "u", Version: "v1", Presence: topo.Missing, Created: -7, Labels: []topo.Pair{{Key: "app", Value: "web"}},
		Health: topo.Warning, Status: "Pending", Attrs: []topo.Pair{{Key: "ready", Value: "0/1"}, {Key: "restarts", Value: "2"}},
	}
	edge := topo.Edge{Source: set, Target: pod, Rule: "owner-dependent", Type: topo.Owns, Disc: "d", Path: "p", Attrs: node.Attrs}
	setID, podID := set.ID(), pod.ID()
	for name, ids := range map[string][2]topo.ID{
		"ref":  {podID, encode("", "Pod", "shop", "web-1")},
		"node": {node.Hash(), encode("", "Pod", "shop", "web-1", "u", "v1", 1, -7, 1, "app", "web", 3, "Pending", 2, "ready", "0/1", "restarts", "2")},
		"key":  {edge.Key().ID, encode(setID, podID, "owner-dependent", "d")},
		"edge": {edge.Hash(), encode(setID, podID, "owner-dependent", "owns", "d", "p", 2, "ready", "0/1", "restarts", "2")},
	} {
		if ids[0] != ids[1] {
			t.Errorf("%s: %s, want %s", name, ids[0], ids[1])
		}
	}
	if got := pod.ID().String(); got != "e5e4e8662de046f09dd024d2f716a54e" {
		t.Errorf("the key of %s is %s", pod, got)
	}
}

// TestSums: what goes in goes out again, in any order, and sums of parts give the sum of the whole.
func TestSums(t *testing.T) {
	var all, left, right topo.Sum
	for i := range 1000 {
		h := encode(i)
		all.Add(h)
		if i%3 == 0 {
			left.Add(h)
		} else {
			right.Add(h)
		}
	}
	left.Merge(right)
	if left != all || topo.SumFromBytes(all.Bytes()) != all {
		t.Errorf("%v and %v", left, all)
	}
	for i := 999; i >= 0; i-- {
		all.Sub(encode(i))
	}
	if !all.IsZero() {
		t.Errorf("%v is left", all)
	}
}
