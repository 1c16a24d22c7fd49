package main

import (
	"cmp"
	"fmt"
	"slices"

	"github.com/kubilitics/kubilitics/hub/internal/store/relational"
	"github.com/kubilitics/kubilitics/shared/topo"
)

func newPod(i, version int) topo.Node {
	app := fmt.Sprintf("app-%d", i/20)
	return topo.Node{
		Ref: topo.Ref{Kind: "Pod", Namespace: fmt.Sprintf("team-%d", i/400), Name: fmt.Sprintf("%s-6d4f9b7c5d-%05d", app, i)},
		UID: fmt.Sprintf("3f0c7a52-0000-4000-8000-%012d", i), Version: "v1", Created: 1_700_000_000 + int64(i), Health: topo.Health(1 + version%4),
		Labels: []topo.Pair{{Key: "app.kubernetes.io/name", Value: app}, {Key: "pod-template-hash", Value: fmt.Sprintf("6d4f9b7%d", i/20)}, {Key: "tier", Value: []string{"front", "back"}[i%2]}},
		Status: []string{"Running", "Pending", "CrashLoopBackOff", "Completed"}[version%4],
		Attrs:  []topo.Pair{{Key: "image", Value: "registry.example.com/shop/" + app + ":1.4.2"}, {Key: "ready", Value: "1/1"}, {Key: "restarts", Value: fmt.Sprint(version)}},
	}
}

func newEdge(from, to topo.Ref, rule string, i int) topo.Edge {
	return topo.Edge{Source: from, Target: to, Rule: rule, Type: topo.Mounts, Path: fmt.Sprintf("spec.volumes[%d].configMap.name", i%4)}
}

// newGraph makes a cluster of n pods, with labels, and two edges each, sorted by key, as agents send them.
func newGraph(n int) *topo.Delta {
	d := &topo.Delta{}
	for i := range n {
		d.Nodes = append(d.Nodes, newPod(i, 0))
	}
	for i := range n {
		d.Edges = append(d.Edges, newEdge(d.Nodes[i].Ref, d.Nodes[i/20*20].Ref, "pod-configmap", i), newEdge(d.Nodes[i].Ref, d.Nodes[(i*7919)%n].Ref, "pod-secret", i))
	}
	slices.SortFunc(d.Nodes, func(a, b topo.Node) int { return a.Ref.ID().Compare(b.Ref.ID()) })
	slices.SortFunc(d.Edges, func(a, b topo.Edge) int { return a.Key().Compare(b.Key()) })
	return d
}

// loadRows are the rows of a first load, all that can be worked out beforehand done.
type loadRows struct {
	keyed  *relational.Keyed
	labels []relational.LabelRow
	sums   []relational.SumRow
}

func (r *loadRows) count() int {
	return 2*len(r.keyed.Nodes) + len(r.keyed.Edges) + len(r.labels) + len(r.sums)
}

func bareRows(d *topo.Delta) *loadRows {
	k, _ := relational.Prepare(d)
	k.Hash()
	r := &loadRows{keyed: k, labels: k.Labels()} // every table's rows in the order of its key: nothing is faster
	kept := relational.NewLoading()
	kept.Added(k)
	r.sums, _ = kept.Finish(&relational.Plan{})
	return r
}

// model is the cluster as it is, so that the bare statements can be told what the store finds out.
type model struct {
	nodes  map[topo.ID]*held
	edges  map[topo.EdgeID]*heldEdge
	sums   map[relational.Bucket]topo.Sum
	ids    []int // numbers of the pods there are
	next   int
	pos    int64
	recent []topo.Edge
}

type held struct {
	node        topo.Node
	since, born int64
	labels      string // of a closed version, as kept
	attrs       string // likewise
}

type heldEdge struct {
	edge        topo.Edge
	since, born int64
}

func newModel(d *topo.Delta) *model {
	m := &model{nodes: map[topo.ID]*held{}, edges: map[topo.EdgeID]*heldEdge{}, sums: map[relational.Bucket]topo.Sum{}, next: len(d.Nodes)}
	r := bareRows(d)
	for _, s := range r.sums {
		m.sums[s.Bucket] = s.Sum
	}
	for i := range d.Nodes {
		m.nodes[d.Nodes[i].Ref.ID()] = &held{node: d.Nodes[i]}
		m.ids = append(m.ids, i)
	}
	for i := range d.Edges {
		m.edges[d.Edges[i].Key()] = &heldEdge{edge: d.Edges[i]}
	}
	return m
}

// delta makes a diff of 100 changes as a busy cluster does: 60 pods change their status, 10 of which also a label; 10 pods come with an edge each, and 10
// go with theirs.
func (m *model) delta(round int) *topo.Delta {
	d := &topo.Delta{}
	step := len(m.ids) / 60
	for j := range 60 {
		i := (j*step + round*37) % len(m.ids)
		n := newPod(m.ids[i], round+1)
		n.Attrs[2].Value = fmt.Sprint(round + 1)
		if j%6 == 0 {
			n.Labels = slices.Clone(n.Labels)
			n.Labels[2].Value = fmt.Sprint("tier-", round)
		} else if old := m.nodes[n.Ref.ID()]; old != nil {
			n.Labels = old.node.Labels
		}
		d.Nodes = append(d.Nodes, n)
	}
	for range 10 {
		n := newPod(m.next, 0)
		m.next++
		d.Nodes = append(d.Nodes, n)
		d.Edges = append(d.Edges, newEdge(n.Ref, d.Nodes[0].Ref, "pod-configmap", 0))
	}
	if round == 0 {
		m.recent = m.firstLeavers(d)
	}
	for _, e := range m.recent {
		d.GoneNodes = append(d.GoneNodes, e.Source.ID())
		d.GoneEdges = append(d.GoneEdges, e.Key())
	}
	m.recent = d.Edges
	return d
}

// firstLeavers picks pods that the first diff doesn't touch.
func (m *model) firstLeavers(d *topo.Delta) (leavers []topo.Edge) {
	touched := map[topo.ID]bool{}
	for i := range d.Nodes {
		touched[d.Nodes[i].Ref.ID()] = true
	}
	keys := make([]topo.EdgeID, 0, len(m.edges))
	for k := range m.edges {
		keys = append(keys, k)
	}
	slices.SortFunc(keys, topo.EdgeID.Compare)
	for _, k := range keys {
		if len(leavers) == 10 {
			break
		}
		if !touched[k.Source] {
			touched[k.Source] = true
			leavers = append(leavers, m.edges[k].edge)
		}
	}
	m.ids = slices.DeleteFunc(m.ids, func(i int) bool {
		ref := newPod(i, 0).Ref
		return slices.ContainsFunc(leavers, func(e topo.Edge) bool { return e.Source == ref })
	})
	return leavers
}

// deltaRows is what one diff writes: the plan, the versions it closes, and the feed's payload.
type deltaRows struct {
	plan      *relational.Plan
	pos       int64
	oldNodes  []held
	oldLabels []int64 // since when each of plan.GoneLabels held
	oldEdges  []heldEdge
	sums      []relational.SumRow // as they are afterwards
	payload   []byte
}

// rows works out what a diff writes, and makes it so in the model.
func (m *model) rows(d *topo.Delta) (*deltaRows, error) {
	k, _ := relational.Prepare(d)
	now := m.now(k)
	p := k.Plan(now)
	m.pos++
	r := &deltaRows{plan: p, pos: m.pos}
	for _, n := range p.UpdateNodes {
		old := *m.nodes[n.ID]
		r.oldNodes = append(r.oldNodes, old)
		m.nodes[n.ID] = &held{node: *n.Node, since: m.pos, born: old.born}
	}
	for _, id := range p.GoneNodes {
		r.oldNodes = append(r.oldNodes, *m.nodes[id])
		delete(m.nodes, id)
	}
	for i := range r.oldNodes {
		r.oldNodes[i].labels, r.oldNodes[i].attrs = p.ClosedLabels(i), p.ClosedAttrs(i)
	}
	for _, n := range p.AddNodes {
		m.nodes[n.ID] = &held{node: *n.Node, since: m.pos, born: m.pos}
	}
	r.oldLabels = make([]int64, len(p.GoneLabels))
	for _, key := range p.GoneEdges {
		r.oldEdges = append(r.oldEdges, *m.edges[key])
		delete(m.edges, key)
	}
	for _, e := range p.AddEdges {
		m.edges[e.Key] = &heldEdge{*e.Edge, m.pos, m.pos}
	}
	for _, s := range p.Sums {
		sum := m.sums[s.Bucket]
		sum.Merge(s.Sum)
		m.sums[s.Bucket] = sum
		r.sums = append(r.sums, relational.SumRow{Bucket: s.Bucket, Sum: sum})
	}
	slices.SortFunc(r.oldNodes, func(a, b held) int { return cmp.Compare(a.node.Ref.Name, b.node.Ref.Name) })
	var err error
	r.payload, err = relational.EncodePayload(&p.Diff, nil, nil)
	return r, err
}

func (m *model) now(k *relational.Keyed) *relational.Now {
	now := relational.NewNow()
	for _, id := range k.NodeIDs() {
		if h := m.nodes[id]; h != nil {
			now.Nodes[id] = &relational.NodeNow{Hash: h.node.Hash(), Origin: relational.OriginAgent, Node: h.node}
		}
	}
	for _, key := range append(k.EdgeIDs(), k.GoneEdges...) {
		if h := m.edges[key]; h != nil {
			now.Edges[key] = &relational.EdgeNow{Hash: h.edge.Hash(), Origin: relational.OriginAgent, Edge: h.edge}
		}
	}
	return now
}
