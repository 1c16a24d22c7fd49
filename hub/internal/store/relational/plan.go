package relational

import (
	"cmp"
	"slices"
	"strings"

	"github.com/kubilitics/kubilitics/shared/topo"
)

// sums are what is added to sums, by bucket.
type sums map[Bucket]topo.Sum

func (s sums) add(t topo.Table, key, hash topo.ID) {
	b := Bucket{t, key.Bucket()}
	sum := s[b]
	sum.Add(hash)
	s[b] = sum
}

func (s sums) sub(t topo.Table, key, hash topo.ID) {
	b := Bucket{t, key.Bucket()}
	sum := s[b]
	sum.Sub(hash)
	s[b] = sum
}

// NodeNow is a node as it is stored, and the position since which it has been so.
type NodeNow struct {
	Hash   topo.ID
	Origin string
	Node   topo.Node
	From   int64
	First  bool // it has been so since it came
}

// EdgeNow is an edge as it is stored; of Edge, only the type is known but for those that are to go.
type EdgeNow struct {
	Hash   topo.ID
	Origin string
	Edge   topo.Edge
}

// Now is what is stored of the rows a delta touches.
type Now struct {
	Nodes     map[topo.ID]*NodeNow
	Edges     map[topo.EdgeID]*EdgeNow
	Manifests map[topo.ID]topo.ID
	Events    map[string]topo.Event
}

// NewNow makes one of nothing.
func NewNow() *Now {
	return &Now{Nodes: map[topo.ID]*NodeNow{}, Edges: map[topo.EdgeID]*EdgeNow{}, Manifests: map[topo.ID]topo.ID{}, Events: map[string]topo.Event{}}
}

// RefRow is an identity with its key.
type RefRow struct {
	ID  topo.ID
	Ref topo.Ref
}

// LabelRow is one label of one resource.
type LabelRow struct {
	ID topo.ID
	topo.Pair
}

// Compare orders by key, value and resource, as the table does.
func (l LabelRow) Compare(o LabelRow) int {
	return cmp.Or(strings.Compare(l.Key, o.Key), strings.Compare(l.Value, o.Value), l.ID.Compare(o.ID))
}

// Plan is what a delta changes, row by row, given what is stored; and what the feed tells of it. Refs are those that may be unknown yet.
type Plan struct {
	Refs          []RefRow
	Misnamed      []topo.ID // to be deleted, without a trace, before the rest
	AddNodes      []NodeRow
	UpdateNodes   []NodeRow
	GoneNodes     []topo.ID
	AddLabels     []LabelRow
	GoneLabels    []LabelRow
	AddEdges      []EdgeRow
	UpdateEdges   []EdgeRow
	GoneEdges     []topo.EdgeID
	AddManifests  []ManifestRow
	NewManifests  []ManifestRow // new texts of known manifests
	GoneManifests []topo.ID
	Events        []*topo.Event
	Sums          []SumRow // what is added to each
	Counts        []CountRow
	EdgeCounts    []EdgeCount
	Diff          topo.Diff
	Changed       int

	// ClosedNodes are the versions that end: of UpdateNodes, then of GoneNodes, in their order.
	ClosedNodes []*NodeNow

	sums  sums
	tally *tally
	refs  map[topo.ID]struct{} // known to be stored or in Refs
}

// Plan decides what a delta changes.
func (k *Keyed) Plan(now *Now) *Plan {
	k.Hash()
	p := &Plan{sums: sums{}, tally: newTally(), refs: map[topo.ID]struct{}{}}
	for id := range now.Nodes {
		p.refs[id] = struct{}{}
	}
	p.nodes(k, now)
	p.edges(k, now)
	p.manifests(k, now)
	for _, e := range k.Events {
		if old, ok := now.Events[e.UID]; !ok || old != *e {
			p.Events = append(p.Events, e)
			p.Changed++
		}
	}
	p.finishSums()
	p.Counts, p.EdgeCounts = p.tally.rows()
	return p
}

// Moves tells whether the plan needs a position.
func (p *Plan) Moves() bool { return p.Changed > 0 }

// FeedEvents gives the events for the feed entry.
func (p *Plan) FeedEvents() []topo.Event {
	events := make([]topo.Event, len(p.Events))
	for i, e := range p.Events {
		events[i] = *e
	}
	return events
}

// FeedTexts gives what has another manifest, for the feed entry, but for nodes that it tells of anyway.
func (p *Plan) FeedTexts() (refs []topo.Ref) {
	if len(p.AddManifests)+len(p.NewManifests) == 0 {
		return nil
	}
	told := make(map[topo.Ref]struct{}, len(p.Diff.Nodes))
	for i := range p.Diff.Nodes {
		told[p.Diff.Nodes[i].Node.Ref] = struct{}{}
	}
	for _, rows := range [][]ManifestRow{p.AddManifests, p.NewManifests} {
		for i := range rows {
			if _, ok := told[rows[i].Manifest.Ref]; !ok {
				refs = append(refs, rows[i].Manifest.Ref)
			}
		}
	}
	return refs
}

func (p *Plan) ref(id topo.ID, r topo.Ref) {
	if _, ok := p.refs[id]; ok {
		return
	}
	p.refs[id] = struct{}{}
	p.Refs = append(p.Refs, RefRow{ID: id, Ref: r})
}

func (p *Plan) nodes(k *Keyed, now *Now) {
	for _, r := range k.Nodes {
		old, known := now.Nodes[r.ID]
		switch {
		case !known:
			p.ref(r.ID, r.Node.Ref)
			p.AddNodes = append(p.AddNodes, r)
			p.labels(r.ID, nil, r.Node.Labels)
			p.tellNode(topo.Add, *r.Node)
		case old.Node.Ref != r.Node.Ref: // damaged: what stands under this key has another name
			p.Misnamed = append(p.Misnamed, r.ID)
			p.AddNodes = append(p.AddNodes, r)
			p.labels(r.ID, old.Node.Labels, r.Node.Labels)
			p.tellNode(topo.Update, *r.Node)
			p.dropSum(topo.Nodes, r.ID, old.Hash, old.Origin)
		case old.Hash != r.Hash || old.Origin != OriginAgent:
			p.UpdateNodes = append(p.UpdateNodes, r)
			p.ClosedNodes = append(p.ClosedNodes, old)
			p.labels(r.ID, old.Node.Labels, r.Node.Labels)
			p.tellUpdate(old, r.Node)
			p.dropSum(topo.Nodes, r.ID, old.Hash, old.Origin)
		default:
			continue
		}
		if known {
			p.tally.node(&old.Node, -1)
		}
		p.tally.node(r.Node, 1)
		p.sums.add(topo.Nodes, r.ID, r.Hash)
		p.Changed++
	}
	for _, id := range k.GoneNodes {
		old, known := now.Nodes[id]
		if !known {
			continue
		}
		p.GoneNodes = append(p.GoneNodes, id)
		p.ClosedNodes = append(p.ClosedNodes, old)
		p.labels(id, old.Node.Labels, nil)
		p.tellNode(topo.Remove, old.Node)
		p.tally.node(&old.Node, -1)
		p.dropSum(topo.Nodes, id, old.Hash, old.Origin)
		p.Changed++
	}
}

// tellUpdate tells of another object of the same name as the end of one and the start of the other.
func (p *Plan) tellUpdate(old *NodeNow, n *topo.Node) {
	if old.Node.UID == n.UID {
		p.tellNode(topo.Update, *n)
		return
	}
	p.tellNode(topo.Remove, old.Node)
	p.tellNode(topo.Add, *n)
}

func (p *Plan) tellNode(op topo.Op, n topo.Node) {
	p.Diff.Nodes = append(p.Diff.Nodes, topo.NodeChange{Op: op, Node: n})
}

func (p *Plan) tellEdge(op topo.Op, e topo.Edge) {
	p.Diff.Edges = append(p.Diff.Edges, topo.EdgeChange{Op: op, Edge: e})
}

// labels finds the pairs that differ; both lists are sorted by key.
func (p *Plan) labels(id topo.ID, old, new []topo.Pair) {
	if slices.Equal(old, new) {
		return
	}
	for _, l := range old {
		if v, ok := topo.Value(new, l.Key); !ok || v != l.Value {
			p.GoneLabels = append(p.GoneLabels, LabelRow{ID: id, Pair: l})
		}
	}
	for _, l := range new {
		if v, ok := topo.Value(old, l.Key); !ok || v != l.Value {
			p.AddLabels = append(p.AddLabels, LabelRow{ID: id, Pair: l})
		}
	}
}

func (p *Plan) edges(k *Keyed, now *Now) {
	for _, r := range k.Edges {
		old, known := now.Edges[r.Key]
		switch {
		case !known:
			// The ends are known by name even when their nodes come later or were refused.
			p.ref(r.Key.Source, r.Edge.Source)
			p.ref(r.Target, r.Edge.Target)
			p.AddEdges = append(p.AddEdges, r)
			p.tellEdge(topo.Add, *r.Edge)
		case old.Hash != r.Hash || old.Origin != OriginAgent:
			p.UpdateEdges = append(p.UpdateEdges, r)
			p.tellEdge(topo.Update, *r.Edge)
			p.dropSum(topo.Edges, r.Key.Source, old.Hash, old.Origin)
		default:
			continue
		}
		if known {
			p.tally.edge(old.Edge.Type, -1)
		}
		p.tally.edge(r.Edge.Type, 1)
		p.sums.add(topo.Edges, r.Key.Source, r.Hash)
		p.Changed++
	}
	for _, key := range k.GoneEdges {
		old, known := now.Edges[key]
		if !known {
			continue
		}
		p.GoneEdges = append(p.GoneEdges, key)
		p.tellEdge(topo.Remove, old.Edge)
		p.tally.edge(old.Edge.Type, -1)
		p.dropSum(topo.Edges, key.Source, old.Hash, old.Origin)
		p.Changed++
	}
}

func (p *Plan) manifests(k *Keyed, now *Now) {
	for _, r := range k.Manifests {
		old, known := now.Manifests[r.ID]
		switch {
		case !known:
			p.ref(r.ID, r.Manifest.Ref)
			p.AddManifests = append(p.AddManifests, r)
		case old != r.Manifest.Hash:
			p.NewManifests = append(p.NewManifests, r)
			p.sums.sub(topo.Manifests, r.ID, old)
		default:
			continue
		}
		p.sums.add(topo.Manifests, r.ID, r.Manifest.Hash)
		p.Changed++
	}
	for _, id := range k.GoneManifests {
		if old, known := now.Manifests[id]; known {
			p.GoneManifests = append(p.GoneManifests, id)
			p.sums.sub(topo.Manifests, id, old)
			p.Changed++
		}
	}
}

func (p *Plan) dropSum(t topo.Table, key, hash topo.ID, origin string) {
	if origin == OriginAgent {
		p.sums.sub(t, key, hash)
	}
}

// finishSums brings what was added and taken away into the order of the tables.
func (p *Plan) finishSums() {
	for b, sum := range p.sums {
		if !sum.IsZero() {
			p.Sums = append(p.Sums, SumRow{Bucket: b, Sum: sum})
		}
	}
	slices.SortFunc(p.Sums, func(a, b SumRow) int {
		return cmp.Or(cmp.Compare(a.Table, b.Table), cmp.Compare(a.Number, b.Number))
	})
	slices.SortFunc(p.Refs, func(a, b RefRow) int { return a.ID.Compare(b.ID) })
}
