package relational

import (
	"cmp"
	"slices"

	"github.com/kubilitics/kubilitics/hub/internal/store"
	"github.com/kubilitics/kubilitics/shared/topo"
)

// OriginAgent marks the rows that agents sent, which are those that digests cover.
const OriginAgent = "agent"

// NodeRow is a node with its key and hash.
type NodeRow struct {
	ID, Hash topo.ID
	Node     *topo.Node
}

// EdgeRow is an edge with its key, hash and the key of its target.
type EdgeRow struct {
	Key          topo.EdgeID
	Target, Hash topo.ID
	Edge         *topo.Edge
}

// ManifestRow is a manifest with its key.
type ManifestRow struct {
	ID       topo.ID
	Manifest *topo.Manifest
}

// Keyed is a delta with keys worked out, and hashes once Hash was called: each list sorted by key, each key once, nothing both written and
// removed (what is written wins), and without the rows that no database should see.
type Keyed struct {
	Nodes         []NodeRow
	Edges         []EdgeRow
	Manifests     []ManifestRow
	Events        []*topo.Event
	GoneNodes     []topo.ID
	GoneEdges     []topo.EdgeID
	GoneManifests []topo.ID

	hashed bool
}

// Hash works out the hashes of nodes and edges. Until it returns, only keys may be asked for.
func (k *Keyed) Hash() {
	if k.hashed {
		return
	}
	inParallel(len(k.Nodes), func(from, to int) {
		for i := from; i < to; i++ {
			k.Nodes[i].Hash = k.Nodes[i].Node.Hash()
		}
	})
	inParallel(len(k.Edges), func(from, to int) {
		for i := from; i < to; i++ {
			r := &k.Edges[i]
			r.Hash = topo.EdgeHash(r.Key.Source, r.Target, r.Edge.Rule, r.Edge.Type, r.Edge.Disc, r.Edge.Path, r.Edge.Attrs)
		}
	})
	k.hashed = true
}

// Prepare works out a delta and gives the rows that are refused. The result points into the delta.
func Prepare(d *store.Delta) (*Keyed, []store.Quarantined) {
	k := &Keyed{}
	var bad []store.Quarantined
	k.Nodes, bad = prepareNodes(d.Nodes, bad)
	k.Edges, bad = prepareEdges(d.Edges, bad)
	k.Manifests, bad = prepareManifests(d.Manifests, bad)
	k.Events, bad = prepareEvents(d.Events, bad)
	k.GoneNodes = goneKeys(d.GoneNodes, topo.ID.Compare, k.Nodes, func(r *NodeRow) topo.ID { return r.ID })
	k.GoneEdges = goneKeys(d.GoneEdges, topo.EdgeID.Compare, k.Edges, func(r *EdgeRow) topo.EdgeID { return r.Key })
	k.GoneManifests = goneKeys(d.GoneManifests, topo.ID.Compare, k.Manifests, func(r *ManifestRow) topo.ID { return r.ID })
	return k, bad
}

func prepareNodes(nodes []topo.Node, bad []store.Quarantined) ([]NodeRow, []store.Quarantined) {
	rows, why := make([]NodeRow, len(nodes)), make([]string, len(nodes))
	inParallel(len(nodes), func(from, to int) {
		for i := from; i < to; i++ {
			n := &nodes[i]
			if why[i] = refuseNode(n); why[i] == "" {
				rows[i] = NodeRow{ID: n.Ref.ID(), Node: n}
			}
		}
	})
	rows, bad = sound(rows, why, bad, func(i int) (table, key string) { return "nodes", nodes[i].Ref.String() })
	return newest(rows, func(a, b NodeRow) int { return a.ID.Compare(b.ID) }), bad
}

// sound leaves out the rows that there is a reason to refuse.
func sound[R any](rows []R, why []string, bad []store.Quarantined, name func(int) (table, key string)) ([]R, []store.Quarantined) {
	kept := rows[:0]
	for i := range rows {
		if why[i] == "" {
			kept = append(kept, rows[i])
			continue
		}
		table, key := name(i)
		bad = append(bad, refused(table, key, why[i]))
	}
	return kept, bad
}

func prepareEdges(edges []topo.Edge, bad []store.Quarantined) ([]EdgeRow, []store.Quarantined) {
	rows, why := make([]EdgeRow, len(edges)), make([]string, len(edges))
	inParallel(len(edges), func(from, to int) {
		for i := from; i < to; i++ {
			e := &edges[i]
			if why[i] = refuseEdge(e); why[i] == "" {
				target := e.Target.ID()
				rows[i] = EdgeRow{Key: topo.EdgeKey(e.Source.ID(), target, e.Rule, e.Disc), Target: target, Edge: e}
			}
		}
	})
	rows, bad = sound(rows, why, bad, func(i int) (table, key string) { return "edges", edges[i].String() })
	return newest(rows, func(a, b EdgeRow) int { return a.Key.Compare(b.Key) }), bad
}

func prepareManifests(manifests []topo.Manifest, bad []store.Quarantined) ([]ManifestRow, []store.Quarantined) {
	rows := make([]ManifestRow, 0, len(manifests))
	for i := range manifests {
		m := &manifests[i]
		if why := refuseManifest(m); why != "" {
			bad = append(bad, refused("manifests", m.Ref.String(), why))
			continue
		}
		rows = append(rows, ManifestRow{ID: m.Ref.ID(), Manifest: m})
	}
	return newest(rows, func(a, b ManifestRow) int { return a.ID.Compare(b.ID) }), bad
}

func prepareEvents(events []topo.Event, bad []store.Quarantined) ([]*topo.Event, []store.Quarantined) {
	rows := make([]*topo.Event, 0, len(events))
	for i := range events {
		e := &events[i]
		if why := refuseEvent(e); why != "" {
			bad = append(bad, refused("events", e.UID, why))
			continue
		}
		rows = append(rows, e)
	}
	return newest(rows, func(a, b *topo.Event) int { return cmp.Compare(a.UID, b.UID) }), bad
}

// newest sorts by key and keeps the last of those that share one.
func newest[R any](rows []R, compare func(a, b R) int) []R {
	if !slices.IsSortedFunc(rows, compare) {
		slices.SortStableFunc(rows, compare)
	}
	kept := rows[:0]
	for i := range rows {
		if i+1 == len(rows) || compare(rows[i], rows[i+1]) != 0 {
			kept = append(kept, rows[i])
		}
	}
	return kept
}

// goneKeys sorts keys and leaves out those that are also written.
func goneKeys[K comparable, R any](gone []K, compare func(a, b K) int, written []R, key func(*R) K) []K {
	if len(gone) == 0 {
		return nil
	}
	keys := slices.Clone(gone)
	slices.SortFunc(keys, compare)
	return slices.DeleteFunc(slices.Compact(keys), func(k K) bool {
		_, found := slices.BinarySearchFunc(written, k, func(r R, k K) int { return compare(key(&r), k) })
		return found
	})
}

// Len is the number of rows and keys.
func (k *Keyed) Len() int {
	return len(k.Nodes) + len(k.Edges) + len(k.Manifests) + len(k.Events) + len(k.GoneNodes) + len(k.GoneEdges) + len(k.GoneManifests)
}

// NodeIDs gives the keys of all nodes touched, in order.
func (k *Keyed) NodeIDs() []topo.ID {
	ids := slices.Clone(k.GoneNodes)
	for i := range k.Nodes {
		ids = append(ids, k.Nodes[i].ID)
	}
	slices.SortFunc(ids, topo.ID.Compare)
	return ids
}

// ManifestIDs gives the keys of all manifests touched.
func (k *Keyed) ManifestIDs() []topo.ID {
	ids := slices.Clone(k.GoneManifests)
	for i := range k.Manifests {
		ids = append(ids, k.Manifests[i].ID)
	}
	return ids
}

// EdgeIDs gives the keys of the edges that are written.
func (k *Keyed) EdgeIDs() []topo.EdgeID {
	ids := make([]topo.EdgeID, len(k.Edges))
	for i := range k.Edges {
		ids[i] = k.Edges[i].Key
	}
	return ids
}

// Labels gives the labels of the nodes, in the order of their table.
func (k *Keyed) Labels() []LabelRow {
	var rows []LabelRow
	for i := range k.Nodes {
		for _, l := range k.Nodes[i].Node.Labels {
			rows = append(rows, LabelRow{ID: k.Nodes[i].ID, Pair: l})
		}
	}
	slices.SortFunc(rows, LabelRow.Compare)
	return rows
}

// EventUIDs gives the keys of the events.
func (k *Keyed) EventUIDs() []string {
	uids := make([]string, len(k.Events))
	for i := range k.Events {
		uids[i] = k.Events[i].UID
	}
	return uids
}

// split cuts a delta in two halves.
func (k *Keyed) split() (a, b *Keyed) {
	n := k.Len() / 2
	a, b = &Keyed{}, &Keyed{}
	a.Nodes, b.Nodes, n = cut(k.Nodes, n)
	a.Edges, b.Edges, n = cut(k.Edges, n)
	a.Manifests, b.Manifests, n = cut(k.Manifests, n)
	a.Events, b.Events, n = cut(k.Events, n)
	a.GoneNodes, b.GoneNodes, n = cut(k.GoneNodes, n)
	a.GoneEdges, b.GoneEdges, n = cut(k.GoneEdges, n)
	a.GoneManifests, b.GoneManifests, _ = cut(k.GoneManifests, n)
	return a, b
}

func cut[T any](list []T, n int) (a, b []T, left int) {
	m := min(n, len(list))
	return list[:m:m], list[m:], n - m
}

func (k *Keyed) join(o *Keyed) {
	k.Nodes = append(k.Nodes, o.Nodes...)
	k.Edges = append(k.Edges, o.Edges...)
	k.Manifests = append(k.Manifests, o.Manifests...)
	k.Events = append(k.Events, o.Events...)
	k.GoneNodes = append(k.GoneNodes, o.GoneNodes...)
	k.GoneEdges = append(k.GoneEdges, o.GoneEdges...)
	k.GoneManifests = append(k.GoneManifests, o.GoneManifests...)
}

// describe gives table and key of the only row.
func (k *Keyed) describe() (table, key string) {
	switch {
	case len(k.Nodes) > 0:
		return "nodes", k.Nodes[0].Node.Ref.String()
	case len(k.Edges) > 0:
		return "edges", k.Edges[0].Edge.String()
	case len(k.Manifests) > 0:
		return "manifests", k.Manifests[0].Manifest.Ref.String()
	case len(k.Events) > 0:
		return "events", k.Events[0].UID
	case len(k.GoneNodes) > 0:
		return "nodes", k.GoneNodes[0].String()
	case len(k.GoneEdges) > 0:
		return "edges", k.GoneEdges[0].ID.String()
	default:
		return "manifests", k.GoneManifests[0].String()
	}
}
