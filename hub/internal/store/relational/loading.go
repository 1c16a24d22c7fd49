package relational

import (
	"github.com/kubilitics/kubilitics/shared/topo"
)

// Loading is what a first load remembers until it is complete: the sums, and the names of ends of edges whose nodes have not come yet.
type Loading struct {
	sums    [len(topo.Tables)]topo.Digest
	tally   *tally
	known   map[topo.ID]struct{}
	pending map[topo.ID]topo.Ref
}

// NewLoading begins one.
func NewLoading() *Loading {
	return &Loading{tally: newTally(), known: map[topo.ID]struct{}{}, pending: map[topo.ID]topo.Ref{}}
}

// Added notes rows that were written.
func (l *Loading) Added(k *Keyed) {
	for i := range k.Nodes {
		r := &k.Nodes[i]
		l.sums[topo.Nodes][r.ID.Bucket()].Add(r.Hash)
		l.tally.node(r.Node, 1)
		l.known[r.ID] = struct{}{}
		delete(l.pending, r.ID)
	}
	for i := range k.Edges {
		r := &k.Edges[i]
		l.sums[topo.Edges][r.Key.Source.Bucket()].Add(r.Hash)
		l.tally.edge(r.Edge.Type, 1)
		l.expect(r.Key.Source, &r.Edge.Source)
		l.expect(r.Target, &r.Edge.Target)
	}
	for i := range k.Manifests {
		r := &k.Manifests[i]
		l.sums[topo.Manifests][r.ID.Bucket()].Add(r.Manifest.Hash)
		l.expect(r.ID, &r.Manifest.Ref)
	}
}

func (l *Loading) expect(id topo.ID, r *topo.Ref) {
	if _, ok := l.known[id]; !ok {
		l.pending[id] = *r
	}
}

// Finish gives every sum, those of the final plan included, and the identities that no node brought. It notes nothing, since the transaction
// may fail and be tried again.
func (l *Loading) Finish(p *Plan) (sums []SumRow, refs []RefRow) {
	final := l.sums
	for _, r := range p.Sums {
		final[r.Table][r.Number].Merge(r.Sum)
	}
	for t := range final {
		for n, sum := range final[t] {
			if !sum.IsZero() {
				sums = append(sums, SumRow{Bucket: Bucket{topo.Table(t), n}, Sum: sum})
			}
		}
	}
	named := map[topo.ID]struct{}{}
	for _, r := range p.Refs {
		named[r.ID] = struct{}{}
	}
	for id, ref := range l.pending {
		if _, ok := named[id]; !ok {
			refs = append(refs, RefRow{ID: id, Ref: ref})
		}
	}
	return sums, append(refs, p.Refs...)
}

// FinishCounts gives the counts of all rows, the final plan's changes included.
func (l *Loading) FinishCounts(p *Plan) ([]CountRow, []EdgeCount) {
	return l.tally.with(p.Counts, p.EdgeCounts).rows()
}
