package query

import (
	"context"
	"encoding/json"
	"sync"

	"github.com/klauspost/compress/zstd"

	"github.com/kubilitics/kubilitics/hub/internal/fleet"
	"github.com/kubilitics/kubilitics/hub/internal/store"
	"github.com/kubilitics/kubilitics/shared/fault"
	"github.com/kubilitics/kubilitics/shared/topo"
)

const (
	maxDetailEdges = 500
	maxManifest    = 16 << 20 // bytes of text; etcd takes about 1.5 MB of one object
)

// Detail is one resource and what it is tied to.
type Detail struct {
	Meta
	Resource  Resource `json:"resource"`
	Rollup    Rollup   `json:"rollup" doc:"how it fares together with what it owns"`
	Edges     []Edge   `json:"edges"`
	EdgesMore bool     `json:"edgesMore,omitempty" doc:"there are more edges than these; the topology with this focus has them"`
	// Manifest is the object's text, where it was asked for and is shared.
	Manifest       json.RawMessage `json:"manifest,omitempty" doc:"the object, where it was asked for and its cluster shares it"`
	ManifestAbsent string          `json:"manifestAbsent,omitempty" doc:"why the manifest that was asked for isn't there"`
}

// Which is one object of a cluster, and when.
type Which struct {
	Cluster fleet.ClusterID
	Ref     topo.Ref
	At      store.When
}

// Get gives one resource. Where the object isn't there, it is NotFound, also when others refer to it.
func (q *Querier) Get(ctx context.Context, p fleet.Principal, w Which, manifest bool) (*Detail, error) {
	var out *Detail
	err := q.read(ctx, "get", scope{p, fleet.Get, []fleet.ClusterID{w.Cluster}, w.At}, func(ctx context.Context, r *reading) (err error) {
		out, err = r.detail(ctx, r.scope(w.Cluster), w.Ref, manifest)
		return err
	})
	return out, err
}

func (r *reading) detail(ctx context.Context, at store.Scope, ref topo.Ref, manifest bool) (*Detail, error) {
	row, err := r.one(ctx, at, ref.ID())
	if err != nil {
		return nil, err
	}
	if row == nil || row.Node.Ref != ref {
		return nil, fault.New(fault.NotFound, "there is no %s", ref)
	}
	if row.Node.Presence != topo.Present {
		return nil, fault.New(fault.NotFound, "there is no %s that could be seen (it is %s); the topology shows what refers to it", ref, row.Node.Presence)
	}
	d := &Detail{Meta: r.meta(nil), Resource: resource(row), Edges: []Edge{}}
	edges, err := r.EdgesOf(ctx, at, []topo.ID{row.ID}, store.Both, nil, maxDetailEdges+1)
	if err != nil {
		return nil, err
	}
	if d.EdgesMore = len(edges) > maxDetailEdges; d.EdgesMore {
		edges = edges[:maxDetailEdges]
	}
	for i := range edges {
		if r.seesEdge(&edges[i]) {
			d.Edges = append(d.Edges, edge(&edges[i]))
		}
	}
	ups, err := r.rollups(ctx, []store.Row{*row}, DefaultBad)
	if err != nil {
		return nil, err
	}
	d.Rollup = ups[0]
	if manifest {
		d.Manifest, d.ManifestAbsent, err = r.manifest(ctx, at, row.ID)
	}
	return d, err
}

// one gives a node if it is there and visible, else nil.
func (r *reading) one(ctx context.Context, at store.Scope, id topo.ID) (*store.Row, error) {
	rows, err := r.Nodes(ctx, at, []topo.ID{id})
	if err != nil || len(rows) == 0 || !r.view.Sees(at.Cluster, rows[0].Node.Ref.Namespace) {
		return nil, err
	}
	return &rows[0], nil
}

func (r *reading) seesEdge(e *store.EdgeRow) bool {
	return r.view.Sees(e.Cluster, e.Edge.Source.Namespace) && r.view.Sees(e.Cluster, e.Edge.Target.Namespace)
}

func (r *reading) manifest(ctx context.Context, at store.Scope, id topo.ID) (text json.RawMessage, absent string, err error) {
	m, err := r.Manifest(ctx, at, id)
	switch {
	case fault.Is(err, fault.NotFound) && r.known[at.Cluster].Share == fleet.ShareTopology:
		return nil, "the cluster shares its topology only", nil
	case fault.Is(err, fault.NotFound):
		return nil, "it hasn't been received", nil
	case err != nil:
		return nil, "", err
	}
	text, err = unpack(m.Body)
	return text, "", err
}

// unpacker is safe for concurrent use, and costs nothing while nobody uses it.
var unpacker = sync.OnceValues(func() (*zstd.Decoder, error) {
	return zstd.NewReader(nil, zstd.WithDecoderConcurrency(0), zstd.WithDecoderMaxMemory(maxManifest), zstd.WithDecoderLowmem(true))
})

func unpack(body []byte) (json.RawMessage, error) {
	z, err := unpacker()
	if err != nil {
		return nil, fault.Wrap(err, fault.Internal, "stored manifests can't be read")
	}
	text, err := z.DecodeAll(body, nil)
	if err != nil || !json.Valid(text) {
		return nil, fault.Wrap(err, fault.Internal, "a stored manifest can't be read")
	}
	return text, nil
}
