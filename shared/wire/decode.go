package wire

import (
	"google.golang.org/protobuf/proto"

	tunnelv1 "github.com/kubilitics/kubilitics/proto/tunnel/v1"
	"github.com/kubilitics/kubilitics/shared/fault"
	"github.com/kubilitics/kubilitics/shared/topo"
)

// Bad is one row of a delta that can't be accepted, and why.
type Bad struct {
	Table  string // nodes, edges, manifests, events
	Key    string // the row's name, as far as it has one
	Reason string
}

// Decode reads the compressed Rows of a frame. Rows that break a rule are left out of the delta and listed in bad. An error says that the
// frame as a whole can't be read: nothing of it may be used.
func Decode(body []byte) (topo.Delta, []Bad, error) {
	raw, err := decompressor.DecodeAll(body, nil)
	if err != nil {
		return topo.Delta{}, nil, fault.Wrap(err, fault.BadRequest, "the rows of a frame don't decompress, or are larger than %d bytes", MaxRows)
	}
	var rows tunnelv1.Rows
	if err := proto.Unmarshal(raw, &rows); err != nil {
		return topo.Delta{}, nil, fault.Wrap(err, fault.BadRequest, "the rows of a frame are malformed")
	}
	var r reader
	d := topo.Delta{
		Nodes:         sift(&r, rows.Nodes, (*reader).node),
		Edges:         sift(&r, rows.Edges, (*reader).edge),
		Manifests:     sift(&r, rows.Manifests, (*reader).manifest),
		Events:        sift(&r, rows.Events, (*reader).event),
		GoneNodes:     sift(&r, rows.GoneNodes, (*reader).key),
		GoneEdges:     sift(&r, rows.GoneEdges, (*reader).edgeKey),
		GoneManifests: sift(&r, rows.GoneManifests, (*reader).key),
	}
	if r.broken != nil {
		return topo.Delta{}, nil, r.broken
	}
	return d, r.bad, nil
}

// reader collects what is wrong while rows are read. Broken keys spoil the frame: a row that can't be named can't be quarantined.
type reader struct {
	bad    []Bad
	broken error
}

func sift[P, T any](r *reader, in []P, f func(*reader, P) (T, *Bad)) []T {
	out := make([]T, 0, len(in))
	for _, p := range in {
		row, bad := f(r, p)
		if bad != nil {
			r.bad = append(r.bad, *bad)
			continue
		}
		out = append(out, row)
	}
	if len(out) == 0 {
		return nil // as for a delta that has no such rows
	}
	return out
}

func (r *reader) id(b []byte) topo.ID {
	id, err := topo.IDFromBytes(b)
	if err != nil && r.broken == nil {
		r.broken = fault.Wrap(err, fault.BadRequest, "a frame names a row by a malformed key")
	}
	return id
}

func (r *reader) key(b []byte) (topo.ID, *Bad) { return r.id(b), nil }

func (r *reader) edgeKey(k *tunnelv1.EdgeKey) (topo.EdgeID, *Bad) {
	return topo.EdgeID{Source: r.id(k.GetSource()), ID: r.id(k.GetId())}, nil
}

func (r *reader) ref(p *tunnelv1.Ref) topo.Ref {
	return topo.Ref{Group: p.GetGroup(), Kind: p.GetKind(), Namespace: p.GetNamespace(), Name: p.GetName()}
}

func pairs(in []*tunnelv1.Pair) []topo.Pair {
	if len(in) == 0 {
		return nil
	}
	out := make([]topo.Pair, len(in))
	for i, p := range in {
		out[i] = topo.Pair{Key: p.GetKey(), Value: p.GetValue()}
	}
	return out
}

func (r *reader) node(p *tunnelv1.Node) (topo.Node, *Bad) {
	n := topo.Node{
		Ref:      r.ref(p.GetRef()),
		UID:      p.GetUid(),
		Version:  p.GetVersion(),
		Presence: topo.Presence(p.GetPresence()),
		Created:  p.GetCreated(),
		Labels:   pairs(p.GetLabels()),
		Health:   topo.Health(p.GetHealth()),
		Status:   p.GetStatus(),
		Attrs:    pairs(p.GetAttrs()),
	}
	return n, check("nodes", n.Ref.String(), checkNode(&n))
}

func (r *reader) edge(p *tunnelv1.Edge) (topo.Edge, *Bad) {
	e := topo.Edge{
		Source: r.ref(p.GetSource()),
		Target: r.ref(p.GetTarget()),
		Rule:   p.GetRule(),
		Type:   topo.EdgeType(p.GetType()),
		Disc:   p.GetDisc(),
		Path:   p.GetPath(),
		Attrs:  pairs(p.GetAttrs()),
	}
	return e, check("edges", e.String(), checkEdge(&e))
}

func (r *reader) manifest(p *tunnelv1.Manifest) (topo.Manifest, *Bad) {
	m := topo.Manifest{Ref: r.ref(p.GetRef()), Hash: r.id(p.GetHash()), Body: p.GetBody()}
	return m, check("manifests", m.Ref.String(), checkManifest(&m))
}

func (r *reader) event(p *tunnelv1.Event) (topo.Event, *Bad) {
	e := topo.Event{
		UID: p.GetUid(), Namespace: p.GetNamespace(), Name: p.GetName(), Regarding: r.ref(p.GetRegarding()), Type: p.GetType(),
		Reason: p.GetReason(), Message: p.GetMessage(), Source: p.GetSource(), Count: p.GetCount(), First: p.GetFirst(), Last: p.GetLast(),
	}
	return e, check("events", e.Namespace+"/"+e.Name, checkEvent(&e))
}
