package uplink

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	tunnelv1 "github.com/kubilitics/kubilitics/proto/tunnel/v1"
	"github.com/kubilitics/kubilitics/shared/topo"
	"github.com/kubilitics/kubilitics/shared/wire"
)

// toy is a graph that is rebuilt at every change: objects name their targets in the attribute "to". It keeps to the engine's contract and
// is too simple to be wrong.
type toy struct {
	objects map[topo.Ref]*topo.Resource
	nodes   map[topo.ID]topo.Node
	edges   map[topo.EdgeID]topo.Edge
}

func newToy() *toy {
	return &toy{objects: map[topo.Ref]*topo.Resource{}, nodes: map[topo.ID]topo.Node{}, edges: map[topo.EdgeID]topo.Edge{}}
}

func (g *toy) Apply(c topo.Change) topo.Diff {
	if c.Resource == nil {
		delete(g.objects, c.Ref)
	} else {
		g.objects[c.Ref] = c.Resource
	}
	return g.rebuild()
}

func (g *toy) Observe(topo.GroupKind, topo.KindState) topo.Diff { return g.rebuild() }

func (g *toy) Forget(gk topo.GroupKind) topo.Diff {
	maps.DeleteFunc(g.objects, func(r topo.Ref, _ *topo.Resource) bool { return r.GroupKind() == gk })
	return g.rebuild()
}

func (g *toy) rebuild() topo.Diff {
	nodes, edges := map[topo.ID]topo.Node{}, map[topo.EdgeID]topo.Edge{}
	for ref, r := range g.objects {
		nodes[ref.ID()] = topo.Node{Ref: ref, UID: r.UID, Status: r.Status}
	}
	for ref, r := range g.objects {
		to, _ := topo.Value(r.Attrs, "to")
		for name := range strings.SplitSeq(to, ",") {
			if name == "" {
				continue
			}
			target := topo.Ref{Kind: ref.Kind, Name: name}
			if _, there := nodes[target.ID()]; !there {
				nodes[target.ID()] = topo.Node{Ref: target, Presence: topo.Missing}
			}
			e := topo.Edge{Source: ref, Target: target, Rule: "to", Type: topo.References}
			edges[e.Key()] = e
		}
	}
	d := topo.Diff{Nodes: diffRows(g.nodes, nodes, func(op topo.Op, n topo.Node) topo.NodeChange { return topo.NodeChange{Op: op, Node: n} })}
	d.Edges = diffRows(g.edges, edges, func(op topo.Op, e topo.Edge) topo.EdgeChange { return topo.EdgeChange{Op: op, Edge: e} })
	g.nodes, g.edges = nodes, edges
	return d
}

func diffRows[K comparable, V any, C any](old, now map[K]V, change func(topo.Op, V) C) []C {
	var out []C
	for k, v := range now {
		if o, ok := old[k]; !ok {
			out = append(out, change(topo.Add, v))
		} else if fmt.Sprint(o) != fmt.Sprint(v) {
			out = append(out, change(topo.Update, v))
		}
	}
	for k, v := range old {
		if _, ok := now[k]; !ok {
			out = append(out, change(topo.Remove, v))
		}
	}
	return out
}

func (g *toy) Node(id topo.ID) (topo.Node, bool)     { n, ok := g.nodes[id]; return n, ok }
func (g *toy) Edge(id topo.EdgeID) (topo.Edge, bool) { e, ok := g.edges[id]; return e, ok }
func (g *toy) NodeIDs() []topo.ID                    { return slices.SortedFunc(maps.Keys(g.nodes), topo.ID.Compare) }
func (g *toy) EdgeIDs() []topo.EdgeID {
	return slices.SortedFunc(maps.Keys(g.edges), topo.EdgeID.Compare)
}
func (g *toy) Len() (nodes, edges int) { return len(g.nodes), len(g.edges) }

func (g *toy) Digests() (nodes, edges topo.Digest) {
	for id, n := range g.nodes {
		nodes[id.Bucket()].Add(n.Hash())
	}
	for id, e := range g.edges {
		edges[id.Source.Bucket()].Add(e.Hash())
	}
	return nodes, edges
}

func (g *toy) Rows(t topo.Table, bucket int) []topo.RowHash {
	var out []topo.RowHash
	if t == topo.Nodes {
		for id, n := range g.nodes {
			if id.Bucket() == bucket {
				out = append(out, topo.RowHash{Key: topo.EdgeID{Source: id}, Hash: n.Hash()})
			}
		}
		return out
	}
	for id, e := range g.edges {
		if id.Source.Bucket() == bucket {
			out = append(out, topo.RowHash{Key: id, Hash: e.Hash()})
		}
	}
	return out
}

// hub is what the other side does, in maps. It keeps the promise that no edge ever lacks an end.
type hub struct {
	t      *testing.T
	epoch  int64
	seq    int64
	loaded bool
	nodes  map[topo.ID]topo.Node
	edges  map[topo.EdgeID]topo.Edge
	texts  map[topo.ID]topo.Manifest
	events map[string]topo.Event

	loads, late, rows int
	kinds             int
	compare           map[topo.Table]*topo.Digest
}

func newHub(t *testing.T) *hub {
	return &hub{t: t, nodes: map[topo.ID]topo.Node{}, edges: map[topo.EdgeID]topo.Edge{}, texts: map[topo.ID]topo.Manifest{}, events: map[string]topo.Event{}}
}

func (h *hub) welcome() *tunnelv1.Welcome {
	h.epoch, h.seq = h.epoch+1, 0
	if !h.loaded { // an abandoned load leaves nothing
		h.nodes, h.edges = map[topo.ID]topo.Node{}, map[topo.EdgeID]topo.Edge{}
	}
	return &tunnelv1.Welcome{Epoch: h.epoch, Capability: 1, DigestVersion: 1, Load: !h.loaded, Credit: 64 << 10}
}

// take does what ingest does, and gives the answers.
func (h *hub) take(f *tunnelv1.AgentFrame) []*tunnelv1.HubFrame {
	switch f := f.GetFrame().(type) {
	case *tunnelv1.AgentFrame_Delta:
		return h.delta(f.Delta)
	case *tunnelv1.AgentFrame_Groups:
		return h.groups(f.Groups)
	case *tunnelv1.AgentFrame_Buckets:
		return h.buckets(f.Buckets)
	case *tunnelv1.AgentFrame_Kinds:
		h.kinds = len(f.Kinds.GetKinds())
		return nil
	}
	h.t.Fatalf("unexpected frame %T", f.GetFrame())
	return nil
}

func (h *hub) delta(d *tunnelv1.Delta) []*tunnelv1.HubFrame {
	if d.GetEpoch() != h.epoch || d.GetSeq() != h.seq+1 || (d.GetLoad() || d.GetLoadEnd()) == h.loaded {
		h.t.Fatalf("delta out of place: %d/%d after %d/%d, load %v/%v while loaded is %v", d.GetEpoch(), d.GetSeq(), h.epoch, h.seq, d.GetLoad(), d.GetLoadEnd(), h.loaded)
	}
	h.seq = d.GetSeq()
	rows, bad, err := wire.Decode(d.GetRows())
	if err != nil || len(bad) > 0 {
		h.t.Fatalf("rows: %v, bad %v", err, bad)
	}
	if d.GetResync() {
		h.late += rows.Len()
	}
	h.apply(rows, d.GetLoad())
	if d.GetLoadEnd() {
		h.loaded = true
		h.loads++
	}
	if !d.GetLoad() {
		h.whole()
	}
	return []*tunnelv1.HubFrame{{Frame: &tunnelv1.HubFrame_Ack{Ack: &tunnelv1.Ack{Seq: h.seq}}}}
}

func (h *hub) apply(rows topo.Delta, load bool) {
	h.rows += rows.Len()
	for _, n := range rows.Nodes {
		if _, twice := h.nodes[n.Ref.ID()]; twice && load {
			h.t.Errorf("%s came twice in a load", n.Ref)
		}
		h.nodes[n.Ref.ID()] = n
	}
	for _, e := range rows.Edges {
		h.edges[e.Key()] = e
	}
	for _, m := range rows.Manifests {
		h.texts[m.Ref.ID()] = m
	}
	for _, e := range rows.Events {
		h.events[e.UID] = e
	}
	for _, id := range rows.GoneEdges {
		delete(h.edges, id)
	}
	for _, id := range rows.GoneNodes {
		delete(h.nodes, id)
	}
	for _, id := range rows.GoneManifests {
		delete(h.texts, id)
	}
}

func (h *hub) whole() {
	for _, e := range h.edges {
		_, s := h.nodes[e.Source.ID()]
		_, t := h.nodes[e.Target.ID()]
		if !s || !t {
			h.t.Fatalf("%s lacks an end (source %v, target %v)", e.String(), s, t)
		}
	}
}

func (h *hub) digest(t topo.Table) *topo.Digest {
	var d topo.Digest
	for _, r := range h.rowsOf(t) {
		d[r.Key.Source.Bucket()].Add(r.Hash)
	}
	return &d
}

func (h *hub) rowsOf(t topo.Table) []topo.RowHash {
	var out []topo.RowHash
	switch t {
	case topo.Nodes:
		for id, n := range h.nodes {
			out = append(out, topo.RowHash{Key: topo.EdgeID{Source: id}, Hash: n.Hash()})
		}
	case topo.Edges:
		for id, e := range h.edges {
			out = append(out, topo.RowHash{Key: id, Hash: e.Hash()})
		}
	case topo.Manifests:
		for id, m := range h.texts {
			out = append(out, topo.RowHash{Key: topo.EdgeID{Source: id}, Hash: m.Hash})
		}
	}
	slices.SortFunc(out, func(a, b topo.RowHash) int { return cmp.Or(a.Key.Compare(b.Key), a.Hash.Compare(b.Hash)) })
	return out
}

func (h *hub) groups(g *tunnelv1.Groups) []*tunnelv1.HubFrame {
	h.compare = map[topo.Table]*topo.Digest{}
	answer := &tunnelv1.UnequalGroups{}
	for _, s := range g.GetTables() {
		table, err := wire.TableFrom(s.GetTable())
		if err != nil {
			h.t.Fatal(err)
		}
		theirs, err := wire.SumsFrom(s.GetSums(), topo.Groups)
		if err != nil {
			h.t.Fatal(err)
		}
		h.compare[table] = h.digest(table)
		u := &tunnelv1.TableGroups{Table: s.GetTable()}
		for i, sum := range h.compare[table].Groups() {
			if sum != theirs[i] {
				u.Groups = append(u.Groups, int32(i))
			}
		}
		if len(u.Groups) > 0 {
			answer.Tables = append(answer.Tables, u)
		}
	}
	return []*tunnelv1.HubFrame{{Frame: &tunnelv1.HubFrame_UnequalGroups{UnequalGroups: answer}}}
}

func (h *hub) buckets(b *tunnelv1.Buckets) []*tunnelv1.HubFrame {
	var out []*tunnelv1.HubFrame
	for _, g := range b.GetGroups() {
		table, _ := wire.TableFrom(g.GetTable())
		theirs, err := wire.HalvesFrom(g.GetSums(), topo.GroupSize)
		if err != nil {
			h.t.Fatal(err)
		}
		for i, sum := range theirs {
			bucket := int(g.GetGroup())*topo.GroupSize + i
			if h.compare[table][bucket].Half() == sum {
				continue
			}
			rows := slices.DeleteFunc(h.rowsOf(table), func(r topo.RowHash) bool { return r.Key.Source.Bucket() != bucket })
			out = append(out, &tunnelv1.HubFrame{Frame: &tunnelv1.HubFrame_UnequalBuckets{UnequalBuckets: &tunnelv1.UnequalBuckets{More: true,
				Buckets: []*tunnelv1.Bucket{{Table: g.GetTable(), Bucket: int32(bucket), Rows: wire.RowMarksTo(table, rows)}}}}})
		}
	}
	return append(out, &tunnelv1.HubFrame{Frame: &tunnelv1.HubFrame_UnequalBuckets{UnequalBuckets: &tunnelv1.UnequalBuckets{}}})
}
