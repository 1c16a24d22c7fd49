package storetest

import (
	"crypto/sha256"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/klauspost/compress/zstd"

	"github.com/kubilitics/kubilitics/hub/internal/store"
	"github.com/kubilitics/kubilitics/shared/topo"
)

// sound checks that hashes and sums are those of the rows, for every table.
func (h *house) sound(at store.Scope) {
	h.Helper()
	for _, table := range topo.Tables {
		n, err := h.Store.Verify(h.ctx, at, table)
		h.must(err)
		if n != 0 {
			h.Fatalf("%d rows of %s had to be corrected", n, table)
		}
	}
}

// model is a cluster as maps: what the store is compared with.
type model struct {
	nodes     map[topo.ID]topo.Node
	edges     map[topo.EdgeID]topo.Edge
	manifests map[topo.ID]topo.Manifest
}

func (m *model) apply(d *store.Delta) {
	for _, id := range d.GoneNodes {
		delete(m.nodes, id)
	}
	for _, n := range d.Nodes {
		m.nodes[n.Ref.ID()] = n
	}
	for _, id := range d.GoneEdges {
		delete(m.edges, id)
	}
	for _, e := range d.Edges {
		m.edges[e.Key()] = e
	}
	for _, id := range d.GoneManifests {
		delete(m.manifests, id)
	}
	for _, f := range d.Manifests {
		m.manifests[f.Ref.ID()] = f
	}
}

func (m *model) digests() (all [3]topo.Digest) {
	for id, n := range m.nodes {
		all[topo.Nodes][id.Bucket()].Add(n.Hash())
	}
	for id, e := range m.edges {
		all[topo.Edges][id.Source.Bucket()].Add(e.Hash())
	}
	for id, f := range m.manifests {
		all[topo.Manifests][id.Bucket()].Add(f.Hash)
	}
	return all
}

func manifest(name, text string) topo.Manifest {
	enc, err := zstd.NewWriter(nil)
	if err != nil {
		panic(err)
	}
	sum := sha256.Sum256([]byte(text))
	return topo.Manifest{Ref: ref("Pod", name), Hash: topo.ID(sum[:16]), Body: enc.EncodeAll([]byte(text), nil)}
}

// random makes a delta over few names, so that they meet again.
func random(r *rand.Rand) (d store.Delta) {
	name := func() string { return fmt.Sprintf("p%d", r.IntN(12)) }
	for range r.IntN(6) {
		n := pod(name())
		n.Status = fmt.Sprintf("S%d", r.IntN(3))
		n.UID += fmt.Sprint(r.IntN(2))
		for _, key := range []string{"a", "b", "c"} {
			if r.IntN(2) == 0 {
				n.Labels = append(n.Labels, topo.Pair{Key: key, Value: fmt.Sprint(r.IntN(2))})
			}
		}
		d.Nodes = append(d.Nodes, n)
	}
	for range r.IntN(5) {
		e := edge(ref("Pod", name()), ref("Pod", name()), fmt.Sprintf("r%d", r.IntN(2)))
		if r.IntN(2) == 0 {
			d.GoneEdges = append(d.GoneEdges, e.Key())
			continue
		}
		e.Attrs = []topo.Pair{{Key: "w", Value: fmt.Sprint(r.IntN(3))}}
		d.Edges = append(d.Edges, e)
	}
	for range r.IntN(3) {
		d.GoneNodes = append(d.GoneNodes, ref("Pod", name()).ID())
		d.GoneManifests = append(d.GoneManifests, ref("Pod", name()).ID())
		d.Manifests = append(d.Manifests, manifest(name(), fmt.Sprint(r.IntN(3))))
	}
	return d
}

// oracle: any sequence of deltas leaves what maps would hold, digests and feed included.
func oracle(t *testing.T, h *house) {
	for seed := range uint64(3) {
		r := rand.New(rand.NewPCG(seed, 7))
		m := &model{map[topo.ID]topo.Node{}, map[topo.EdgeID]topo.Edge{}, map[topo.ID]topo.Manifest{}}
		first := random(r)
		first.GoneNodes, first.GoneEdges, first.GoneManifests = nil, nil, nil
		s := h.loaded(first)
		m.apply(&first)
		told := &model{maps.Clone(m.nodes), maps.Clone(m.edges), nil}
		after := topo.Position(0)
		for i := range 60 {
			if i%20 == 7 { // a hub that died and came back
				s = h.open(s.at)
			}
			d := random(r)
			a := s.apply(d)
			m.apply(&d)
			if len(a.Quarantined) > 0 {
				t.Fatalf("refused %+v", a.Quarantined)
			}
		}
		h.compare(s, m)
		h.follow(s.at, after, told)
		h.equal(told.nodes, m.nodes)
		h.equal(told.edges, m.edges)
	}
}

func (h *house) compare(s *session, m *model) {
	h.Helper()
	want := m.digests()
	for _, table := range topo.Tables {
		got, err := h.Store.Digest(h.ctx, s.at, table)
		h.must(err)
		if *got != want[table] {
			h.Fatalf("the digest of %s is not that of the model", table)
		}
	}
	h.sound(s.at)
	nodes := slices.SortedFunc(maps.Values(m.nodes), func(a, b topo.Node) int { return a.Ref.Compare(b.Ref) })
	h.equal(h.nodes(store.Filter{Clusters: clustersOf(s.at)}), nodes)
	for _, key := range []string{"a", "b", "c"} {
		labelled := slices.DeleteFunc(slices.Clone(nodes), func(n topo.Node) bool { v, _ := topo.Value(n.Labels, key); return v != "1" })
		got := h.nodes(store.Filter{Clusters: clustersOf(s.at), Labels: []store.Requirement{{Key: key, Op: store.In, Values: []string{"1"}}}})
		h.equal(len(got), len(labelled))
	}
	for id, f := range m.manifests {
		h.read(func(snap store.Snapshot) error {
			got, err := snap.Manifest(h.ctx, s.at, id)
			h.equal(got, f)
			return err
		})
	}
}

// follow plays the feed on a model: removals name what is there, updates too, additions what is not.
func (h *house) follow(at store.Scope, after topo.Position, m *model) {
	h.Helper()
	entries, err := h.Store.Entries(h.ctx, h.tenant, after, 10000)
	h.must(err)
	for _, e := range entries {
		if e.Cluster != at.Cluster {
			continue
		}
		for _, c := range e.Diff.Nodes {
			old, known := m.nodes[c.Node.Ref.ID()]
			if known == (c.Op == topo.Add) || (c.Op == topo.Remove && old.Hash() != c.Node.Hash()) {
				h.Fatalf("the feed says %s %v at %d, known: %v", c.Op, c.Node, e.Position, old)
			}
			delete(m.nodes, c.Node.Ref.ID())
			if c.Op != topo.Remove {
				m.nodes[c.Node.Ref.ID()] = c.Node
			}
		}
		for _, c := range e.Diff.Edges {
			old, known := m.edges[c.Edge.Key()]
			if known == (c.Op == topo.Add) || (c.Op == topo.Remove && old.Hash() != c.Edge.Hash()) {
				h.Fatalf("the feed says %s %v at %d, known: %v", c.Op, c.Edge, e.Position, known)
			}
			delete(m.edges, c.Edge.Key())
			if c.Op != topo.Remove {
				m.edges[c.Edge.Key()] = c.Edge
			}
		}
	}
}

func digests(_ *testing.T, h *house) {
	var d store.Delta
	for i := range 300 {
		d.Nodes = append(d.Nodes, pod(fmt.Sprint("p", i)))
		d.Edges = append(d.Edges, edge(ref("Pod", fmt.Sprint("p", i)), ref("Pod", "p0"), "r"))
	}
	d.Manifests = []topo.Manifest{manifest("p0", "text")}
	s := h.loaded(d)
	var buckets []int
	want := map[topo.EdgeID]topo.ID{}
	for i, n := range d.Nodes[:40] {
		buckets = append(buckets, n.Ref.ID().Bucket())
		want[topo.EdgeID{Source: n.Ref.ID()}] = d.Nodes[i].Hash()
	}
	for _, n := range d.Nodes[40:] {
		if slices.Contains(buckets, n.Ref.ID().Bucket()) {
			want[topo.EdgeID{Source: n.Ref.ID()}] = n.Hash()
		}
	}
	got, err := h.Store.RowHashes(h.ctx, s.at, topo.Nodes, append(buckets, buckets[0]))
	h.must(err)
	found := map[topo.EdgeID]topo.ID{}
	for _, x := range got {
		found[x.Key] = x.Hash
	}
	h.equal(found, want)
	h.equal(len(got), len(want))
	edges, err := h.Store.RowHashes(h.ctx, s.at, topo.Edges, []int{d.Edges[5].Key().Source.Bucket()})
	h.must(err)
	if !slices.Contains(edges, topo.RowHash{Key: d.Edges[5].Key(), Hash: d.Edges[5].Hash()}) {
		h.Fatalf("the edge is not in %v", edges)
	}
	all := make([]int, topo.Buckets)
	for i := range all {
		all[i] = i
	}
	edges, err = h.Store.RowHashes(h.ctx, s.at, topo.Edges, all)
	h.must(err)
	h.equal(len(edges), 300)
	texts, err := h.Store.RowHashes(h.ctx, s.at, topo.Manifests, all)
	h.must(err)
	h.equal(texts, []topo.RowHash{{Key: topo.EdgeID{Source: d.Manifests[0].Ref.ID()}, Hash: d.Manifests[0].Hash}})
}

// damage: whatever column is changed behind the store's back, Verify finds it, and the comparison with the agent mends it.
func damage(t *testing.T, h *house) {
	a := pod("a", "app", "web", "tier", "front")
	d := store.Delta{Nodes: []topo.Node{a, pod("b", "app", "web")}, Edges: []topo.Edge{edge(a.Ref, ref("Pod", "b"), "r")}}
	s := h.loaded(d)
	for _, sql := range []string{
		"UPDATE resources SET status = 'wrong' WHERE name = 'a'",
		"UPDATE resources SET name = 'wrong' WHERE name = 'a'",
		"UPDATE resources SET uid = 'wrong' WHERE name = 'a'",
		"UPDATE resources SET presence = 256 WHERE name = 'a'",
		"UPDATE resources SET health = health + 256 WHERE name = 'a'",
		"UPDATE resources SET created = 1 WHERE name = 'a'",
		`UPDATE resources SET labels = '{"app":"other"}' WHERE name = 'a'`,
		"UPDATE resources SET labels = 'no JSON' WHERE name = 'a'",
		"UPDATE resources SET attrs = '' WHERE name = 'a'",
		"UPDATE resources SET attrs = '{' WHERE name = 'a'",
		"UPDATE resources SET hash = (SELECT r.hash FROM resources r WHERE r.name = 'b') WHERE name = 'a'",
		"UPDATE resources SET origin = 'wrong' WHERE name = 'a'",
		"DELETE FROM resources WHERE name = 'a'",
		"UPDATE labels SET value = 'wrong' WHERE value = 'front'",
		"DELETE FROM labels WHERE value = 'front'",
		"UPDATE refs SET name = 'wrong' WHERE name = 'a'",
		"DELETE FROM refs WHERE name = 'a'",
		"UPDATE edges SET path = 'wrong'",
		"UPDATE edges SET type = 'owns'",
		"UPDATE edges SET rule = 'wrong'",
		"UPDATE edges SET target = source",
		"UPDATE edges SET attrs = 'no JSON'",
		"UPDATE edges SET id = source",
		"UPDATE resources SET id = (SELECT e.id FROM edges e) WHERE name = 'a'",
		"DELETE FROM edges",
		"UPDATE resources SET app = 'wrong' WHERE name = 'a'",
		"UPDATE counts SET ok = ok + 1",
		"DELETE FROM counts",
		"UPDATE edge_counts SET type = 'owns'",
		"UPDATE digests SET s0 = s0 + 1",
		"UPDATE digests SET s3 = s3 + 1",
		"DELETE FROM digests",
	} {
		h.must(h.Exec(h.ctx, sql))
		found := 0
		for _, table := range topo.Tables {
			n, err := h.Store.Verify(h.ctx, s.at, table)
			h.must(err)
			found += n
		}
		if found == 0 {
			t.Fatalf("%s was not noticed", sql)
		}
		h.mend(s, &d)
		h.sound(s.at)
		h.equal(h.nodes(store.Filter{}), d.Nodes)
		h.equal(h.allEdges(s.at), d.Edges)
		h.equal(len(h.nodes(store.Filter{Labels: []store.Requirement{{Key: "tier", Op: store.In, Values: []string{"front"}}}})), 1)
		h.equal(len(h.nodes(store.Filter{Labels: []store.Requirement{{Key: "tier", Op: store.In, Values: []string{"wrong"}}}})), 0)
	}
}

// mend does what an agent does whose rows those are: what differs is sent, what it doesn't know is removed.
func (h *house) mend(s *session, d *store.Delta) {
	h.Helper()
	all := make([]int, topo.Buckets)
	for i := range all {
		all[i] = i
	}
	var fix store.Delta
	have := map[topo.EdgeID]topo.ID{}
	for _, table := range []topo.Table{topo.Nodes, topo.Edges} {
		hashes, err := h.Store.RowHashes(h.ctx, s.at, table, all)
		h.must(err)
		for _, x := range hashes {
			have[x.Key] = x.Hash
		}
	}
	for _, n := range d.Nodes {
		key := topo.EdgeID{Source: n.Ref.ID()}
		if have[key] != n.Hash() {
			fix.Nodes = append(fix.Nodes, n)
		}
		delete(have, key)
	}
	for _, e := range d.Edges {
		if have[e.Key()] != e.Hash() {
			fix.Edges = append(fix.Edges, e)
		}
		delete(have, e.Key())
	}
	for key := range have {
		if key.ID.IsZero() {
			fix.GoneNodes = append(fix.GoneNodes, key.Source)
		} else {
			fix.GoneEdges = append(fix.GoneEdges, key)
		}
	}
	s.apply(fix)
}

func damagedManifest(_ *testing.T, h *house) {
	m := manifest("a", "the text")
	s := h.loaded(store.Delta{Nodes: []topo.Node{pod("a")}, Manifests: []topo.Manifest{m}})
	h.sound(s.at)
	h.must(h.Exec(h.ctx, "UPDATE manifests SET body = '\\x00'"))
	n, err := h.Store.Verify(h.ctx, s.at, topo.Manifests)
	h.must(err)
	h.equal(n, 2) // the row and its bucket
	s.apply(store.Delta{Manifests: []topo.Manifest{m}})
	h.sound(s.at)
}
