package relational

import (
	"reflect"
	"testing"

	"github.com/kubilitics/kubilitics/hub/internal/store"
	"github.com/kubilitics/kubilitics/shared/topo"
)

func samplePayload() store.Entry {
	pod := topo.Ref{Kind: "Pod", Namespace: "shop", Name: "web-1"}
	set := topo.Ref{Group: "apps", Kind: "ReplicaSet", Namespace: "shop", Name: "web"}
	return store.Entry{Diff: topo.Diff{
		Nodes: []topo.NodeChange{
			{Op: topo.Remove, Node: topo.Node{Ref: pod, UID: "u1"}},
			{Op: topo.Add, Node: topo.Node{Ref: pod, UID: "u2", Version: "v1", Presence: topo.Missing, Created: -7, Health: topo.Error,
				Status: "CrashLoopBackOff", Labels: []topo.Pair{{Key: "app", Value: "web"}}, Attrs: []topo.Pair{{Key: "ready", Value: "0/1"}}}},
		},
		Edges: []topo.EdgeChange{{Op: topo.Update, Edge: topo.Edge{Source: set, Target: pod, Rule: "owner", Type: topo.Owns, Disc: "d",
			Path: "metadata.ownerReferences[0]", Attrs: []topo.Pair{{Key: "controller", Value: "true"}}}}},
	}, Events: []topo.Event{{UID: "e1", Namespace: "shop", Name: "web.1", Regarding: pod, Type: "Warning", Reason: "BackOff", Message: "again",
		Source: "kubelet", Count: 3, First: 10, Last: 20}}, Texts: []topo.Ref{set}}
}

func TestPayloadComesBackAsItWas(t *testing.T) {
	want, got := samplePayload(), store.Entry{}
	b, err := EncodePayload(&want.Diff, want.Events, want.Texts)
	if err != nil {
		t.Fatal(err)
	}
	if err := DecodePayload(b, &got); err != nil || !reflect.DeepEqual(got, want) {
		t.Fatalf("got %+v (%v)", got, err)
	}
	if b, err := EncodePayload(&topo.Diff{}, nil, nil); b != nil || err != nil {
		t.Fatalf("nothing became %v (%v)", b, err)
	}
}

// Entries that were written before manifests were told are read all the same.
func TestPayloadWithoutManifests(t *testing.T) {
	want, got := samplePayload(), store.Entry{}
	want.Texts = nil
	b, err := EncodePayload(&want.Diff, want.Events, nil)
	if err != nil {
		t.Fatal(err)
	}
	dec, err := unpacker()
	if err != nil {
		t.Fatal(err)
	}
	raw, err := dec.DecodeAll(b[1:], nil)
	if err != nil {
		t.Fatal(err)
	}
	enc, err := packer()
	if err != nil {
		t.Fatal(err)
	}
	old := enc.EncodeAll(raw[:len(raw)-1], []byte{payloadBare}) // the last byte is the number of manifests, 0
	if err := DecodePayload(old, &got); err != nil || !reflect.DeepEqual(got, want) {
		t.Fatalf("got %+v (%v)", got, err)
	}
}

func FuzzPayloadReader(f *testing.F) {
	e := samplePayload()
	b, _ := EncodePayload(&e.Diff, e.Events, e.Texts)
	f.Add(b)
	f.Add([]byte{payloadVersion})
	f.Add([]byte{payloadBare})
	f.Add([]byte{9, 9})
	f.Fuzz(func(t *testing.T, b []byte) {
		var e store.Entry
		if DecodePayload(b, &e) != nil {
			return
		}
		if _, err := EncodePayload(&e.Diff, e.Events, e.Texts); err != nil {
			t.Fatal(err)
		}
	})
}
