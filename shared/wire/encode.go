package wire

import (
	"github.com/klauspost/compress/zstd"
	"google.golang.org/protobuf/proto"

	tunnelv1 "github.com/kubilitics/kubilitics/proto/tunnel/v1"
	"github.com/kubilitics/kubilitics/shared/fault"
	"github.com/kubilitics/kubilitics/shared/topo"
)

// One encoder and one decoder serve the process: their *All methods are safe for concurrent use. The window is small because a
// delta is, and because each encoder in flight holds a few windows.
var (
	compressor   = must(zstd.NewWriter(nil, zstd.WithEncoderLevel(zstd.SpeedFastest), zstd.WithWindowSize(128<<10), zstd.WithEncoderConcurrency(2)))
	decompressor = must(zstd.NewReader(nil, zstd.WithDecoderMaxMemory(MaxRows), zstd.WithDecoderConcurrency(0), zstd.WithDecoderLowmem(true)))
)

func must[T any](v T, err error) T {
	if err != nil {
		panic(err) // options above are constants: wrong only in a build that never worked
	}
	return v
}

// Encode gives a delta as the compressed Rows of a frame.
func Encode(d *topo.Delta) ([]byte, error) {
	raw, err := proto.Marshal(rowsOf(d))
	if err != nil {
		return nil, fault.Wrap(err, fault.BadRequest, "a row has text that isn't UTF-8")
	}
	return compressor.EncodeAll(raw, make([]byte, 0, len(raw)/3+64)), nil
}

// RawSize is how many bytes the compressed Rows of a frame had before; that of the frame where it doesn't say.
func RawSize(body []byte) int {
	var h zstd.Header
	if h.Decode(body) != nil || !h.HasFCS {
		return len(body)
	}
	return int(h.FrameContentSize)
}

func rowsOf(d *topo.Delta) *tunnelv1.Rows {
	return &tunnelv1.Rows{
		Nodes:         each(d.Nodes, nodeOf),
		Edges:         each(d.Edges, edgeOf),
		Manifests:     each(d.Manifests, manifestOf),
		Events:        each(d.Events, eventOf),
		GoneNodes:     each(d.GoneNodes, idOf),
		GoneEdges:     each(d.GoneEdges, edgeKeyOf),
		GoneManifests: each(d.GoneManifests, idOf),
	}
}

func each[T, P any](in []T, f func(*T) P) []P {
	if len(in) == 0 {
		return nil
	}
	out := make([]P, len(in))
	for i := range in {
		out[i] = f(&in[i])
	}
	return out
}

func idOf(id *topo.ID) []byte { return id[:] }

func edgeKeyOf(id *topo.EdgeID) *tunnelv1.EdgeKey {
	return &tunnelv1.EdgeKey{Source: id.Source[:], Id: id.ID[:]}
}

func refOf(r *topo.Ref) *tunnelv1.Ref {
	return &tunnelv1.Ref{Group: r.Group, Kind: r.Kind, Namespace: r.Namespace, Name: r.Name}
}

func pairOf(p *topo.Pair) *tunnelv1.Pair { return &tunnelv1.Pair{Key: p.Key, Value: p.Value} }

func nodeOf(n *topo.Node) *tunnelv1.Node {
	return &tunnelv1.Node{
		Ref:      refOf(&n.Ref),
		Uid:      n.UID,
		Version:  n.Version,
		Presence: tunnelv1.Presence(n.Presence),
		Created:  n.Created,
		Labels:   each(n.Labels, pairOf),
		Health:   tunnelv1.Health(n.Health),
		Status:   n.Status,
		Attrs:    each(n.Attrs, pairOf),
	}
}

func edgeOf(e *topo.Edge) *tunnelv1.Edge {
	return &tunnelv1.Edge{
		Source: refOf(&e.Source),
		Target: refOf(&e.Target),
		Rule:   e.Rule,
		Type:   string(e.Type),
		Disc:   e.Disc,
		Path:   e.Path,
		Attrs:  each(e.Attrs, pairOf),
	}
}

func manifestOf(m *topo.Manifest) *tunnelv1.Manifest {
	return &tunnelv1.Manifest{Ref: refOf(&m.Ref), Hash: m.Hash[:], Body: m.Body}
}

func eventOf(e *topo.Event) *tunnelv1.Event {
	return &tunnelv1.Event{
		Uid: e.UID, Namespace: e.Namespace, Name: e.Name, Regarding: refOf(&e.Regarding), Type: e.Type, Reason: e.Reason,
		Message: e.Message, Source: e.Source, Count: e.Count, First: e.First, Last: e.Last,
	}
}
