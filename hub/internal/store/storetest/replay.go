package storetest

import (
	"cmp"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/kubilitics/kubilitics/hub/internal/fleet"
	"github.com/kubilitics/kubilitics/hub/internal/store"
	"github.com/kubilitics/kubilitics/shared/topo"
)

// world is everything there is at one position, kept the simplest way.
type world struct {
	pos   topo.Position
	nodes map[fleet.ClusterID]map[topo.ID]store.Row
	edges map[fleet.ClusterID]map[topo.EdgeID]store.EdgeRow
}

func (w *world) copy(pos topo.Position) *world {
	next := &world{pos: pos, nodes: map[fleet.ClusterID]map[topo.ID]store.Row{}, edges: map[fleet.ClusterID]map[topo.EdgeID]store.EdgeRow{}}
	for c := range w.nodes {
		next.nodes[c], next.edges[c] = maps.Clone(w.nodes[c]), maps.Clone(w.edges[c])
	}
	return next
}

// add makes a delta so in a cluster.
func (w *world) add(c fleet.ClusterID, d *store.Delta) {
	if w.nodes[c] == nil {
		w.nodes[c], w.edges[c] = map[topo.ID]store.Row{}, map[topo.EdgeID]store.EdgeRow{}
	}
	for _, id := range d.GoneNodes {
		delete(w.nodes[c], id)
	}
	for _, id := range d.GoneEdges {
		delete(w.edges[c], id)
	}
	for _, n := range d.Nodes {
		if old, ok := w.nodes[c][n.Ref.ID()]; !ok || old.Node.Hash() != n.Hash() {
			w.nodes[c][n.Ref.ID()] = store.Row{Cluster: c, ID: n.Ref.ID(), Node: n, Since: w.pos}
		}
	}
	for _, e := range d.Edges {
		if old, ok := w.edges[c][e.Key()]; !ok || old.Edge.Hash() != e.Hash() {
			w.edges[c][e.Key()] = store.EdgeRow{Cluster: c, ID: e.Key(), Edge: e, Since: w.pos}
		}
	}
}

// rows gives what holds for a row, in the order of lists.
func (w *world) rows(holds func(*store.Row) bool) (rows []store.Row) {
	for _, of := range w.nodes {
		for _, r := range of {
			if holds(&r) {
				rows = append(rows, r)
			}
		}
	}
	slices.SortFunc(rows, compareRows)
	return rows
}

func compareRows(a, b store.Row) int {
	return cmp.Or(a.Node.Ref.Compare(b.Node.Ref), cmp.Compare(a.Cluster, b.Cluster))
}

// some gives the edges of a cluster for which it holds, in the order of keys.
func (w *world) some(c fleet.ClusterID, holds func(*topo.Edge) bool) (rows []store.EdgeRow) {
	for _, e := range w.edges[c] {
		if holds(&e.Edge) {
			rows = append(rows, e)
		}
	}
	return sortedEdges(rows)
}

func sortedEdges(rows []store.EdgeRow) []store.EdgeRow {
	slices.SortFunc(rows, func(a, b store.EdgeRow) int { return a.ID.Compare(b.ID) })
	return rows
}

const crew = 12 // names that objects come and go under

func randomNode(r *rand.Rand, i int) topo.Node {
	n := pod(fmt.Sprint("p", i))
	n.Ref.Namespace = []string{"shop", "bank"}[i%2]
	n.Status, n.Health = []string{"Running", "Failed"}[r.IntN(2)], topo.Health(r.IntN(int(topo.Error)+1))
	n.UID = []string{"uid", "", fmt.Sprintf("3f0c7a52-0000-4000-8000-%012d", i), "3F0C7A52-0000-4000-8000-000000000001", "00000000-0000-0000-0000-000000000000"}[r.IntN(5)]
	n.Presence = topo.Presence(max(0, r.IntN(6)-3))
	n.Labels, n.Attrs = nil, nil
	for _, key := range []string{"app", "tier"} {
		if v := r.IntN(3); v > 0 {
			n.Labels = append(n.Labels, topo.Pair{Key: key, Value: fmt.Sprint("v", v)})
		}
	}
	if v := r.IntN(3); v > 0 {
		n.Attrs = []topo.Pair{{Key: "app", Value: fmt.Sprint("it's ", v)}}
	}
	if r.IntN(8) > 0 {
		n.Attrs = append(n.Attrs, topo.Pair{Key: "ready", Value: fmt.Sprint(r.IntN(3), "/2")}, topo.Pair{Key: "restarts", Value: fmt.Sprint(r.IntN(3))})
	}
	if r.IntN(3) == 0 {
		n.Attrs = append(n.Attrs, topo.Pair{Key: "node", Value: "n"})
	}
	return n
}

func randomEdge(r *rand.Rand) topo.Edge {
	e := edge(randomNode(r, r.IntN(crew)).Ref, randomNode(r, r.IntN(crew)).Ref, []string{"one", "two"}[r.IntN(2)])
	e.Path = fmt.Sprint("spec.", r.IntN(2))
	return e
}

// randomDelta changes, adds and removes a few rows, some of which are not there or already so.
func randomDelta(r *rand.Rand) *store.Delta {
	d := &store.Delta{}
	for _, i := range r.Perm(crew)[:r.IntN(4)] {
		if n := randomNode(r, i); r.IntN(3) == 0 {
			d.GoneNodes = append(d.GoneNodes, n.Ref.ID())
		} else {
			d.Nodes = append(d.Nodes, n)
		}
	}
	seen := map[topo.EdgeID]bool{}
	for range r.IntN(4) {
		e := randomEdge(r)
		if seen[e.Key()] {
			continue
		}
		seen[e.Key()] = true
		if r.IntN(3) == 0 {
			d.GoneEdges = append(d.GoneEdges, e.Key())
		} else {
			d.Edges = append(d.Edges, e)
		}
	}
	return d
}

// live has two clusters change at random, and gives what there was at each position. The second comes when the first has a past already.
func (h *house) live(r *rand.Rand, rounds int) (worlds []*world, at []store.Scope) {
	w := &world{}
	var sessions []*session
	note := func(a store.Applied, c fleet.ClusterID, d *store.Delta) {
		if a.Position != 0 {
			w = w.copy(a.Position)
			w.add(c, d)
			worlds = append(worlds, w)
		}
	}
	for i := range rounds {
		if i == 0 || i == rounds/3 {
			s := h.open(h.newCluster(h.tenant))
			sessions, at = append(sessions, s), append(at, s.at)
			var d store.Delta
			for j := range crew / 2 {
				d.Nodes = append(d.Nodes, randomNode(r, 2*j))
			}
			d.Edges = []topo.Edge{edge(d.Nodes[0].Ref, d.Nodes[1].Ref, "one")}
			note(s.load(d), s.at.Cluster, &d)
		}
		s, d := sessions[r.IntN(len(sessions))], randomDelta(r)
		note(s.apply(*d), s.at.Cluster, d)
	}
	return worlds, at
}

// replay: what a past position is said to have been is what it was.
func replay(t *testing.T, h *house) {
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	r := rand.New(rand.NewPCG(seed, 0))
	worlds, at := h.live(r, 25)
	for _, w := range worlds {
		h.readAt(store.When{Position: w.pos}, func(s store.Snapshot) error {
			h.equal(s.Position(), w.pos)
			h.sameRows(s, w)
			for _, scope := range at {
				h.sameEdges(s, w, scope, r)
			}
			return nil
		})
	}
	for range 25 {
		i := r.IntN(len(worlds))
		h.sameChanges(worlds[i], worlds[i+r.IntN(len(worlds)-i)], r)
	}
	for _, scope := range at {
		for i := range crew {
			h.sameVersions(worlds, scope, randomNode(r, i).Ref.ID(), r)
		}
	}
}

func hasLabel(key, value string) func(*store.Row) bool {
	return func(r *store.Row) bool {
		v, ok := topo.Value(r.Node.Labels, key)
		return ok && v == value
	}
}

func hasAttr(key, value string) func(*store.Row) bool {
	return func(r *store.Row) bool {
		v, ok := topo.Value(r.Node.Attrs, key)
		return ok && v == value
	}
}

// sameRows compares lists, numbers and counts.
func (h *house) sameRows(s store.Snapshot, w *world) {
	h.Helper()
	present := func(r *store.Row) bool { return r.Node.Presence == topo.Present }
	for _, c := range []struct {
		filter store.Filter
		holds  func(*store.Row) bool
	}{
		{store.Filter{Placeholders: true}, func(*store.Row) bool { return true }},
		{store.Filter{}, present},
		{store.Filter{Placeholders: true, Namespaces: []string{"bank"}}, func(r *store.Row) bool { return r.Node.Ref.Namespace == "bank" }},
		{store.Filter{Placeholders: true, Labels: []store.Requirement{{Key: "app", Op: store.In, Values: []string{"v1"}}}}, hasLabel("app", "v1")},
		{store.Filter{Placeholders: true, Labels: []store.Requirement{{Key: "tier", Op: store.NotIn, Values: []string{"v2"}}}},
			func(r *store.Row) bool { return !hasLabel("tier", "v2")(r) }},
		{store.Filter{Placeholders: true, Fields: []store.Requirement{{Key: "uid", Op: store.In, Values: []string{"uid", "00000000-0000-0000-0000-000000000000"}}}},
			func(r *store.Row) bool {
				return r.Node.UID == "uid" || r.Node.UID == "00000000-0000-0000-0000-000000000000"
			}},
		{store.Filter{Placeholders: true, Terms: []store.Term{{Key: store.AppKey, Op: store.Like, Values: []string{"it's 1"}}}},
			hasAttr("app", "it's 1")},
		{store.Filter{Placeholders: true, Terms: []store.Term{{Key: store.AttrKey + "ready", Op: store.Like, Values: []string{"0/2"}}}}, hasAttr("ready", "0/2")},
	} {
		c.filter.View = h.everything()
		want := w.rows(c.holds)
		var got []store.Row
		for {
			var after *store.Key
			if n := len(got); n > 0 {
				after = &store.Key{Ref: got[n-1].Node.Ref, Cluster: got[n-1].Cluster}
			}
			page, err := s.Resources(h.ctx, c.filter, after, 7)
			h.must(err)
			if got = append(got, page...); len(page) < 7 {
				break
			}
		}
		h.equal(got, want)
		n, exact, err := s.Number(h.ctx, c.filter, 1000)
		h.equal([]any{n, exact, err}, []any{len(want), true, nil})
	}
	counts, err := s.Counts(h.ctx, h.everything(), nil)
	h.must(err)
	total := 0
	for _, c := range counts {
		total += c.Number
		h.equal(c.Number, len(w.rows(func(r *store.Row) bool { return present(r) && r.Cluster == c.Cluster && r.Node.Health == c.Health })))
	}
	h.equal(total, len(w.rows(present)))
}

// sameEdges compares what touches some of a cluster's nodes.
func (h *house) sameEdges(s store.Snapshot, w *world, at store.Scope, r *rand.Rand) {
	h.Helper()
	picked := map[topo.ID]bool{}
	for range 4 {
		picked[randomNode(r, r.IntN(crew)).Ref.ID()] = true
	}
	ids := slices.SortedFunc(maps.Keys(picked), topo.ID.Compare)
	nodes, err := s.Nodes(h.ctx, at, ids)
	h.must(err)
	slices.SortFunc(nodes, compareRows)
	h.equal(nodes, w.rows(func(r *store.Row) bool { return r.Cluster == at.Cluster && picked[r.ID] }))
	of := func(d store.Direction, holds func(from, to bool) bool) {
		h.Helper()
		got, err := s.EdgesOf(h.ctx, at, ids, d, nil, 1000)
		h.must(err)
		h.equal(sortedEdges(got), w.some(at.Cluster, func(e *topo.Edge) bool { return holds(picked[e.Source.ID()], picked[e.Target.ID()]) }))
	}
	of(store.Out, func(from, _ bool) bool { return from })
	of(store.Into, func(_, to bool) bool { return to })
	of(store.Both, func(from, to bool) bool { return from || to })
	among, err := s.EdgesAmong(h.ctx, at, ids, nil, 1000)
	h.must(err)
	h.equal(sortedEdges(among), w.some(at.Cluster, func(e *topo.Edge) bool { return picked[e.Source.ID()] && picked[e.Target.ID()] }))
	numbers, err := s.EdgeCounts(h.ctx, h.everything(), nil)
	h.must(err)
	h.equal(numbers[at.Cluster], len(w.edges[at.Cluster]))
}
