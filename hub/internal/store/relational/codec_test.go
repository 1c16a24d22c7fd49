package relational

import (
	"reflect"
	"testing"

	"github.com/kubilitics/kubilitics/shared/topo"
)

func samplePayload() (topo.Diff, []topo.Event) {
	pod := topo.Ref{Kind: "Pod", Namespace: "shop", Name: "web-1"}
	set := topo.Ref{Group: "apps", Kind: "ReplicaSet", Namespace: "shop", Name: "web"}
	return topo.Diff{
			Nodes: []topo.NodeChange{
				{Op: topo.Remove, Node: topo.Node{Ref: pod, UID: "u1"}},
				{Op: topo.Add, Node: topo.Node{Ref: pod, UID: "u2", Version: "v1", Presence: topo.Missing, Created: -7, Health: topo.Error,
					Status: "CrashLoopBackOff", Labels: []topo.Pair{{Key: "app", Value: "web"}}, Attrs: []topo.Pair{{Key: "ready", Value: "0/1"}}}},
			},
			Edges: []topo.EdgeChange{{Op: topo.Update, Edge: topo.Edge{Source: set, Target: pod, Rule: "owner", Type: topo.Owns, Disc: "d",
				Path: "metadata.ownerReferences[0]", Attrs: []topo.Pair{{Key: "controller", Value: "true"}}}}},
		}, []topo.Event{{UID: "e1", Namespace: "shop", Name: "web.1", Regarding: pod, Type: "Warning", Reason: "BackOff", Message: "again",
			Source: "kubelet", Count: 3, First: 10, Last: 20}}
}

func TestPayloadComesBackAsItWas(t *testing.T) {
	diff, events := samplePayload()
	b, err := EncodePayload(&diff, events)
	if err != nil {
		t.Fatal(err)
	}
	gotDiff, gotEvents, err := DecodePayload(b)
	if err != nil || !reflect.DeepEqual(gotDiff, diff) || !reflect.DeepEqual(gotEvents, events) {
		t.Fatalf("got %+v %+v (%v)", gotDiff, gotEvents, err)
	}
	if b, err := EncodePayload(&topo.Diff{}, nil); b != nil || err != nil {
		t.Fatalf("nothing became %v (%v)", b, err)
	}
}

func FuzzPayloadReader(f *testing.F) {
	diff, events := samplePayload()
	b, _ := EncodePayload(&diff, events)
	f.Add(b)
	f.Add([]byte{payloadVersion})
	f.Add([]byte{9, 9})
	f.Fuzz(func(t *testing.T, b []byte) {
		d, es, err := DecodePayload(b)
		if err != nil {
			return
		}
		if _, err := EncodePayload(&d, es); err != nil {
			t.Fatal(err)
		}
	})
}
