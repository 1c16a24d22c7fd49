package storetest

import (
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/kubilitics/kubilitics/hub/internal/fleet"
	"github.com/kubilitics/kubilitics/hub/internal/store"
	"github.com/kubilitics/kubilitics/shared/fault"
	"github.com/kubilitics/kubilitics/shared/topo"
)

func apply(_ *testing.T, h *house) {
	s := h.loaded(store.Delta{})
	a, b := pod("a", "app", "web", "tier", "front"), pod("b", "app", "web")
	mount := edge(a.Ref, b.Ref, "r")
	first := s.apply(store.Delta{Nodes: []topo.Node{a, b}, Edges: []topo.Edge{mount}})
	h.equal(first.Changed, 3)
	h.equal(h.nodes(store.Filter{}), []topo.Node{a, b})
	h.equal(h.allEdges(s.at), []topo.Edge{mount})

	// What is so already changes nothing and takes no position.
	again := s.apply(store.Delta{Nodes: []topo.Node{a}, Edges: []topo.Edge{mount}, GoneNodes: []topo.ID{ref("Pod", "none").ID()}, GoneEdges: []topo.EdgeID{{}}})
	h.equal([]any{again.Position, again.Changed}, []any{topo.Position(0), 0})

	a.Status, a.Labels = "Failed", []topo.Pair{{Key: "app", Value: "api"}}
	mount.Path = "spec.volumes[1]"
	second := s.apply(store.Delta{Nodes: []topo.Node{a}, Edges: []topo.Edge{mount}})
	h.equal(second.Position, first.Position+1)
	if !second.At.After(first.At) {
		h.Fatalf("%v is not after %v", second.At, first.At)
	}
	for _, r := range h.list(store.Filter{}) {
		h.equal(r.Since, map[string]topo.Position{"a": second.Position, "b": first.Position}[r.Node.Ref.Name])
	}
	h.equal(h.allEdges(s.at), []topo.Edge{mount})
	h.equal(len(h.nodes(store.Filter{Labels: []store.Requirement{{Key: "tier", Op: store.Exists}}})), 0)
	h.equal(len(h.nodes(store.Filter{Labels: []store.Requirement{{Key: "app", Op: store.In, Values: []string{"api"}}}})), 1)

	// Written and removed in one: it is there. Written twice: the last counts.
	s.apply(store.Delta{Nodes: []topo.Node{b, with(b, func(n *topo.Node) { n.Status = "Last" })}, GoneNodes: []topo.ID{b.Ref.ID()}})
	h.equal(h.nodes(store.Filter{Names: []string{"b"}})[0].Status, "Last")
	s.apply(store.Delta{GoneNodes: []topo.ID{a.Ref.ID(), b.Ref.ID()}, GoneEdges: []topo.EdgeID{mount.Key()}})
	h.equal(len(h.nodes(store.Filter{})), 0)
	h.equal(len(h.allEdges(s.at)), 0)
}

func applyFence(_ *testing.T, h *house) {
	s := h.loaded(store.Delta{})
	done := s.apply(store.Delta{Nodes: []topo.Node{pod("a")}})
	// The acknowledgement was lost: the batch comes again, and gets the same answer.
	again, err := h.Store.Apply(h.ctx, store.Batch{Scope: s.at, Epoch: s.epoch, Seq: s.seq, Delta: store.Delta{Nodes: []topo.Node{pod("never")}}})
	h.must(err)
	h.equal(again, done)
	old := *s
	s = h.open(s.at)
	_, err = h.Store.Apply(h.ctx, store.Batch{Scope: old.at, Epoch: old.epoch, Seq: old.seq + 1, Delta: store.Delta{Nodes: []topo.Node{pod("stale")}}})
	h.wantCode(err, fault.Conflict)
	_, err = h.Store.BeginLoad(h.ctx, s.at, s.epoch)
	h.wantCode(err, fault.Conflict)
	s.apply(store.Delta{Nodes: []topo.Node{pod("b")}})
	h.equal(len(h.nodes(store.Filter{})), 2)
	fresh := h.open(h.newCluster(h.tenant))
	_, err = h.Store.Apply(h.ctx, store.Batch{Scope: fresh.at, Epoch: fresh.epoch, Seq: 1})
	h.wantCode(err, fault.Conflict)
}

// fenceRace: of two sessions that write at once, the older writes nothing from the moment the newer exists.
func fenceRace(_ *testing.T, h *house) {
	s := h.loaded(store.Delta{})
	at := s.at
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			cl, err := h.Store.OpenSession(h.ctx, at, store.Hello{KubeUID: "uid-" + at.Cluster.String(), Share: fleet.ShareManifests})
			if err != nil {
				h.Error(err)
				return
			}
			for seq := int64(1); seq <= 20; seq++ {
				_, err := h.Store.Apply(h.ctx, store.Batch{Scope: at, Epoch: cl.Epoch, Seq: seq,
					Delta: store.Delta{Nodes: []topo.Node{with(pod("a"), func(n *topo.Node) { n.Created = cl.Epoch*1000 + seq })}}})
				if fault.Is(err, fault.Conflict) {
					return
				}
				if err != nil {
					h.Error(err)
				}
			}
		})
	}
	wg.Wait()
	entries, err := h.Store.Entries(h.ctx, h.tenant, 0, 1000)
	h.must(err)
	newest := int64(0)
	for _, e := range entries {
		for _, c := range e.Diff.Nodes {
			if c.Node.Created < newest {
				h.Fatalf("a write of session %d came after one of session %d", c.Node.Created/1000, newest/1000)
			}
			newest = c.Node.Created
		}
	}
	h.equal(h.nodes(store.Filter{})[0].Created, newest)
}

// replaced: another object of the same name ends the old version.
func replaced(_ *testing.T, h *house) {
	s := h.loaded(store.Delta{Nodes: []topo.Node{pod("a", "app", "web")}})
	next := with(pod("a", "app", "web"), func(n *topo.Node) { n.UID = "uid-2" })
	a := s.apply(store.Delta{Nodes: []topo.Node{next}})
	entries, err := h.Store.Entries(h.ctx, h.tenant, a.Position-1, 1)
	h.must(err)
	h.equal(entries[0].Diff.Nodes, []topo.NodeChange{{Op: topo.Remove, Node: pod("a", "app", "web")}, {Op: topo.Add, Node: next}})
}

// count gives the number of rows of a table, by way of the database's own answer to an impossible assertion.
func (h *house) count(table string) int {
	h.Helper()
	for n := range 100 {
		sql := "INSERT INTO tenants (tenant_id, slug, created) SELECT 1, NULL, NULL FROM (SELECT count(*) AS n FROM " + table + ") AS c WHERE c.n <> " + itoa(n)
		if h.Exec(h.ctx, sql) == nil {
			return n
		}
	}
	h.Fatalf("%s has more rows than were looked for", table)
	return 0
}

func itoa(n int) string {
	if n < 10 {
		return string(rune('0' + n))
	}
	return itoa(n/10) + string(rune('0'+n%10))
}

func history(_ *testing.T, h *house) {
	s := h.loaded(store.Delta{Nodes: []topo.Node{pod("a", "app", "web"), pod("b")}, Edges: []topo.Edge{edge(ref("Pod", "a"), ref("Pod", "b"), "r")},
		Manifests: []topo.Manifest{{Ref: ref("Pod", "a"), Hash: topo.ID{1}, Body: []byte("x")}}})
	s.apply(store.Delta{Nodes: []topo.Node{with(pod("a", "app", "web"), func(n *topo.Node) { n.Status = "Failed" })}})
	h.equal([]int{h.count("resources_history"), h.count("labels_history"), h.count("edges_history"), h.count("manifests_history")}, []int{1, 0, 0, 0})
	s.apply(store.Delta{Manifests: []topo.Manifest{{Ref: ref("Pod", "a"), Hash: topo.ID{2}, Body: []byte("y")}},
		Nodes: []topo.Node{with(pod("a", "app", "api"), func(n *topo.Node) { n.Status = "Failed" })}})
	s.apply(store.Delta{GoneNodes: []topo.ID{ref("Pod", "a").ID()}, GoneManifests: []topo.ID{ref("Pod", "a").ID()},
		GoneEdges: []topo.EdgeID{func() topo.EdgeID { e := edge(ref("Pod", "a"), ref("Pod", "b"), "r"); return e.Key() }()}})
	h.equal([]int{h.count("resources_history"), h.count("labels_history"), h.count("edges_history"), h.count("manifests_history")}, []int{3, 2, 1, 2})
	h.equal(h.count("labels"), 0)
	h.equal(h.count("resources_history h WHERE h.valid_to <= h.valid_from"), 0)
}

func load(_ *testing.T, h *house) {
	s := h.open(h.newCluster(h.tenant))
	l, err := h.Store.BeginLoad(h.ctx, s.at, s.epoch)
	h.must(err)
	// Edges may come before their nodes, in another chunk.
	_, err = l.Add(h.ctx, store.Delta{Edges: []topo.Edge{edge(ref("Pod", "a"), ref("Secret", "s"), "r")}})
	h.must(err)
	_, err = l.Add(h.ctx, store.Delta{Nodes: []topo.Node{pod("b"), pod("a", "app", "web")}, Events: []topo.Event{{UID: "e"}}})
	h.must(err)
	_, err = l.Add(h.ctx, store.Delta{GoneNodes: []topo.ID{{}}})
	h.wantCode(err, fault.BadRequest)
	h.equal(len(h.nodes(store.Filter{})), 0)
	h.equal(len(h.nodes(store.Filter{Labels: []store.Requirement{{Key: "app", Op: store.Exists}}})), 0)
	a, err := l.Commit(h.ctx, 3, store.Delta{})
	h.must(err)
	h.equal(h.nodes(store.Filter{}), []topo.Node{pod("a", "app", "web"), pod("b")})
	h.equal(h.allEdges(s.at), []topo.Edge{edge(ref("Pod", "a"), ref("Secret", "s"), "r")})
	for _, r := range h.list(store.Filter{}) {
		h.equal(r.Since, a.Position)
	}
	cl, err := h.Store.Cluster(h.ctx, s.at)
	h.must(err)
	h.equal([]any{cl.Synced, cl.FirstSeen, cl.Seq}, []any{true, int64(a.Position), int64(3)})
	entries, err := h.Store.Entries(h.ctx, h.tenant, a.Position-1, 5)
	h.must(err)
	h.equal([]any{len(entries), entries[0].Kind, entries[0].Diff.Empty(), entries[0].Cluster}, []any{1, store.EntryLoaded, true, s.at.Cluster})
	h.must(l.Abort(h.ctx))
	_, err = l.Add(h.ctx, store.Delta{})
	h.wantCode(err, fault.Conflict)
	s.seq = 3
	h.sound(s.at)
	s.apply(store.Delta{Nodes: []topo.Node{with(pod("a", "app", "web"), func(n *topo.Node) { n.Status = "Failed" })}})
	h.sound(s.at)
}

// loadAbandoned: a hub that dies in the middle of a load leaves rows that nobody ever sees.
func loadAbandoned(_ *testing.T, h *house) {
	s := h.open(h.newCluster(h.tenant))
	l, err := h.Store.BeginLoad(h.ctx, s.at, s.epoch)
	h.must(err)
	_, err = l.Add(h.ctx, store.Delta{Nodes: []topo.Node{pod("a", "app", "web"), pod("b")}, Edges: []topo.Edge{edge(ref("Pod", "a"), ref("Pod", "b"), "r")}})
	h.must(err)
	next := h.open(s.at)
	_, err = l.Add(h.ctx, store.Delta{Nodes: []topo.Node{pod("stale")}})
	h.wantCode(err, fault.Conflict)
	_, err = l.Commit(h.ctx, 1, store.Delta{})
	h.wantCode(err, fault.Conflict)
	_, err = h.Store.BeginLoad(h.ctx, s.at, s.epoch)
	h.wantCode(err, fault.Conflict)
	next.load(store.Delta{Nodes: []topo.Node{pod("b")}})
	h.equal(h.nodes(store.Filter{}), []topo.Node{pod("b")})
	h.equal(h.count("labels"), 0)
	h.sound(s.at)

	// One that no session takes up again goes with Purge.
	lost := h.open(h.newCluster(h.tenant))
	l, err = h.Store.BeginLoad(h.ctx, lost.at, lost.epoch)
	h.must(err)
	_, err = l.Add(h.ctx, store.Delta{Nodes: []topo.Node{pod("a", "app", "web")}})
	h.must(err)
	_, err = h.Store.Purge(h.ctx, 100)
	h.must(err)
	h.equal(h.count("resources"), 2) // the load may still be under way
	h.must(h.Store.CloseSession(h.ctx, lost.at, lost.epoch, time.Now()))
	_, err = h.Store.Purge(h.ctx, 100)
	h.must(err)
	h.equal([]int{h.count("resources"), h.count("labels")}, []int{1, 0})
	h.equal(h.nodes(store.Filter{}), []topo.Node{pod("b")})
}

// loadFinal: what changed while the load ran comes with the commit, and leaves no history of what nobody saw.
func loadFinal(_ *testing.T, h *house) {
	s := h.open(h.newCluster(h.tenant))
	l, err := h.Store.BeginLoad(h.ctx, s.at, s.epoch)
	h.must(err)
	_, err = l.Add(h.ctx, store.Delta{Nodes: []topo.Node{pod("a", "app", "web"), pod("b", "app", "web")}, Edges: []topo.Edge{edge(ref("Pod", "a"), ref("Pod", "b"), "r")}})
	h.must(err)
	gone := edge(ref("Pod", "a"), ref("Pod", "b"), "r")
	a, err := l.Commit(h.ctx, 1, store.Delta{Nodes: []topo.Node{pod("a", "app", "api"), pod("c"), pod("bad\x00")}, GoneNodes: []topo.ID{ref("Pod", "b").ID()},
		GoneEdges: []topo.EdgeID{gone.Key()}, Edges: []topo.Edge{edge(ref("Pod", "c"), ref("Secret", "s"), "r")}})
	h.must(err)
	h.equal(len(a.Quarantined), 1)
	h.equal(h.nodes(store.Filter{}), []topo.Node{pod("a", "app", "api"), pod("c")})
	h.equal(h.allEdges(s.at), []topo.Edge{edge(ref("Pod", "c"), ref("Secret", "s"), "r")})
	h.equal([]int{h.count("resources_history"), h.count("labels_history"), h.count("edges_history")}, []int{0, 0, 0})
	h.sound(s.at)
}

func quarantine(_ *testing.T, h *house) {
	s := h.loaded(store.Delta{})
	bad := []topo.Node{
		with(pod("nul"), func(n *topo.Node) { n.Status = "a\x00b" }),
		with(pod("utf8"), func(n *topo.Node) { n.Attrs = []topo.Pair{{Key: "k", Value: "\xff"}} }),
		with(pod("long"), func(n *topo.Node) { n.Ref.Namespace = strings.Repeat("n", 3000) }),
		pod("unsorted", "b", "1", "a", "2"),
		with(pod("health"), func(n *topo.Node) { n.Health = 77 }),
		with(pod("huge"), func(n *topo.Node) { n.Status = strings.Repeat("s", 2<<20) }),
	}
	a := s.apply(store.Delta{Nodes: append(bad, pod("good", "l", strings.Repeat("v", 1500))), Edges: []topo.Edge{edge(ref("Pod", "good"), ref("Pod", "x\x00"), "r")},
		Events: []topo.Event{{UID: "e\x00"}}, Manifests: []topo.Manifest{{Ref: ref("Pod", "\xff")}}})
	h.equal([]int{a.Changed, len(a.Quarantined)}, []int{1, len(bad) + 3})
	h.equal(len(h.nodes(store.Filter{})), 1)
	list, err := h.Store.Quarantined(h.ctx, s.at, 100)
	h.must(err)
	h.equal(len(list), len(bad)+3)
	s.apply(store.Delta{Nodes: bad[:1]})
	list, err = h.Store.Quarantined(h.ctx, s.at, 1)
	h.must(err)
	h.equal([]any{list[0].Table, list[0].Key, list[0].Reason, list[0].Count, list[0].Scope}, []any{"nodes", "Pod shop/nul", "the status holds a NUL character", int64(2), s.at})
	h.must(h.Store.Quarantine(h.ctx, []store.Quarantined{{Scope: s.at, Table: "nodes", Key: "Pod x", Reason: "too large", Count: 3, First: time.Now(), Last: time.Now()}}))
	h.sound(s.at)
}

// poison: a row that only the database can refuse doesn't take its batch with it, whichever way it came.
func poison(_ *testing.T, h *house) {
	h.must(h.Poison(h.ctx, "poison"))
	s := h.open(h.newCluster(h.tenant))
	l, err := h.Store.BeginLoad(h.ctx, s.at, s.epoch)
	h.must(err)
	bad, err := l.Add(h.ctx, store.Delta{Nodes: []topo.Node{pod("a", "app", "web"), pod("poison", "app", "web"), pod("b")}})
	h.must(err)
	h.equal(len(bad), 1)
	_, err = l.Add(h.ctx, store.Delta{Nodes: []topo.Node{pod("b"), pod("c")}}) // b was there before: refused
	h.must(err)
	a, err := l.Commit(h.ctx, 1, store.Delta{Nodes: []topo.Node{pod("poison"), pod("d")}})
	h.must(err)
	h.equal(len(a.Quarantined), 1)
	s.seq = 1
	a = s.apply(store.Delta{Nodes: []topo.Node{pod("e"), pod("poison"), pod("f")}, Edges: []topo.Edge{edge(ref("Pod", "e"), ref("Pod", "poison"), "r")}})
	h.equal([]int{a.Changed, len(a.Quarantined)}, []int{3, 1})
	if !strings.Contains(a.Quarantined[0].Reason, "refused") || a.Quarantined[0].Key != "Pod shop/poison" {
		h.Fatalf("quarantined as %+v", a.Quarantined[0])
	}
	h.equal(h.nodes(store.Filter{}), sorted(pod("a", "app", "web"), pod("b"), pod("c"), pod("d"), pod("e"), pod("f")))
	h.equal(len(h.nodes(store.Filter{Labels: []store.Requirement{{Key: "app", Op: store.Exists}}})), 1)
	h.equal(h.allEdges(s.at), []topo.Edge{edge(ref("Pod", "e"), ref("Pod", "poison"), "r")})
	h.sound(s.at)
}
