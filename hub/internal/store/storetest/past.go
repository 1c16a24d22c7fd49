package storetest

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/kubilitics/kubilitics/hub/internal/fleet"
	"github.com/kubilitics/kubilitics/hub/internal/store"
	"github.com/kubilitics/kubilitics/shared/fault"
	"github.com/kubilitics/kubilitics/shared/topo"
)

// readAt runs fn on a snapshot of a past moment.
func (h *house) readAt(when store.When, fn func(store.Snapshot) error) {
	h.Helper()
	h.must(h.Store.ReadAt(h.ctx, h.tenant, when, func(_ context.Context, s store.Snapshot) error { return fn(s) }))
}

// at is a position as a moment.
func at(p topo.Position) store.When { return store.When{Position: p} }

// nodesAt gives every node there was at a moment, placeholders too.
func (h *house) nodesAt(when store.When, f store.Filter) (nodes []topo.Node) {
	h.Helper()
	f.View, f.Placeholders = h.everything(), true
	h.readAt(when, func(s store.Snapshot) error {
		rows, err := s.Resources(h.ctx, f, nil, 10000)
		for _, r := range rows {
			nodes = append(nodes, r.Node)
		}
		return err
	})
	return nodes
}

// wantAt checks that a moment is refused with that code, and that the field "at" says why.
func (h *house) wantAt(when store.When, code fault.Code, says string) {
	h.Helper()
	for _, err := range []error{
		h.Store.ReadAt(h.ctx, h.tenant, when, func(context.Context, store.Snapshot) error { return nil }),
		func() error { _, _, err := h.Store.Resolve(h.ctx, h.tenant, when); return err }(),
	} {
		h.wantCode(err, code)
		fields := fault.Public(err).Fields
		if len(fields) != 1 || fields[0].Name != "at" || !strings.Contains(fields[0].Reason, says) {
			h.Fatalf("the fields are %+v, want one of at that says %q", fields, says)
		}
	}
}

// resolve: a position, or an instant between two.
func resolve(_ *testing.T, h *house) {
	before := time.Now().Add(-time.Hour).UTC().Truncate(time.Microsecond)
	s := h.loaded(store.Delta{Nodes: []topo.Node{pod("a")}})
	var made []store.Applied
	for i := range int64(4) {
		made = append(made, s.apply(store.Delta{Nodes: []topo.Node{with(pod("a"), func(n *topo.Node) { n.Created = i })}}))
	}
	for i, a := range made {
		for _, when := range []store.When{at(a.Position), {Time: a.At}, {Time: a.At.Add(time.Nanosecond)}, {Position: a.Position, Time: a.At}} {
			pos, instant, err := h.Store.Resolve(h.ctx, h.tenant, when)
			h.must(err)
			h.equal([]any{pos, instant}, []any{a.Position, a.At})
			h.readAt(when, func(s store.Snapshot) error {
				h.equal([]any{s.Position(), s.At()}, []any{a.Position, a.At})
				return nil
			})
			h.equal(h.nodesAt(when, store.Filter{})[0].Created, int64(i))
		}
		pos, _, err := h.Store.Resolve(h.ctx, h.tenant, store.When{Time: a.At.Add(-time.Microsecond)})
		h.must(err)
		h.equal(pos, a.Position-1)
	}
	pos, instant, err := h.Store.Resolve(h.ctx, h.tenant, store.When{})
	h.must(err)
	h.equal([]any{pos, instant}, []any{made[3].Position, made[3].At})

	// Before anything was, there was nothing.
	pos, instant, err = h.Store.Resolve(h.ctx, h.tenant, store.When{Time: before})
	h.must(err)
	h.equal([]any{pos, instant}, []any{topo.Position(0), before})
	h.readAt(store.When{Time: before}, func(s store.Snapshot) error {
		h.equal([]any{s.Position(), s.At()}, []any{topo.Position(0), before})
		list, err := s.Clusters(h.ctx)
		h.equal(len(list), 0)
		return err
	})
	h.equal(len(h.nodesAt(store.When{Time: before}, store.Filter{})), 0)

	h.wantAt(store.When{Time: time.Now().Add(time.Hour)}, fault.BadRequest, "it is ")
	h.wantAt(at(made[3].Position+1), fault.BadRequest, fmt.Sprint("the newest position is ", made[3].Position))
	h.wantAt(at(-1), fault.BadRequest, "-1 is no position")
	_, _, err = h.Store.Resolve(h.ctx, 4711, at(1))
	h.wantCode(err, fault.NotFound)
}

// pastRows: what came, changed and went, at each position between.
func pastRows(_ *testing.T, h *house) {
	a, b := pod("a", "app", "web", "tier", "front"), pod("b")
	mount := edge(a.Ref, b.Ref, "r")
	s := h.loaded(store.Delta{Nodes: []topo.Node{a, b}, Edges: []topo.Edge{mount}, Manifests: []topo.Manifest{{Ref: a.Ref, Hash: topo.ID{1}, Body: []byte("x")}}})
	loaded, _, err := h.Store.Resolve(h.ctx, h.tenant, store.When{})
	h.must(err)
	a2 := with(pod("a", "app", "api"), func(n *topo.Node) { n.UID = "odd" })
	changed := s.apply(store.Delta{Nodes: []topo.Node{a2}, Manifests: []topo.Manifest{{Ref: a.Ref, Hash: topo.ID{2}, Body: []byte("y")}}})
	gone := s.apply(store.Delta{GoneNodes: []topo.ID{a.Ref.ID()}, GoneEdges: []topo.EdgeID{mount.Key()}, GoneManifests: []topo.ID{a.Ref.ID()}})
	a3 := with(pod("a", "tier", "back"), func(n *topo.Node) { n.UID = "3f0c7a52-0000-4000-8000-00000000000a" })
	s.apply(store.Delta{Nodes: []topo.Node{a3}})
	last := s.apply(store.Delta{Nodes: []topo.Node{with(a3, func(n *topo.Node) { n.Health, n.Presence, n.Labels = topo.Error, topo.Missing, nil })}})

	h.equal(len(h.nodesAt(at(loaded-1), store.Filter{})), 0) // the first load wasn't there yet
	for p, want := range map[topo.Position][]topo.Node{loaded: {a, b}, changed.Position: {a2, b}, gone.Position: {b}, last.Position - 1: {a3, b}} {
		h.equal(h.nodesAt(at(p), store.Filter{}), want)
		web := h.nodesAt(at(p), store.Filter{Labels: []store.Requirement{{Key: "app", Op: store.In, Values: []string{"web"}}}})
		h.equal(len(web) == 1, p == loaded)
		h.equal(len(h.nodesAt(at(p), store.Filter{Labels: []store.Requirement{{Key: "tier", Op: store.NotExists}}, Names: []string{"a"}})) == 1, p == changed.Position)
		h.readAt(at(p), func(snap store.Snapshot) error {
			edges, err := snap.EdgesOf(h.ctx, s.at, []topo.ID{b.Ref.ID()}, store.Into, nil, 10)
			h.equal(len(edges), map[bool]int{true: 1}[p < gone.Position])
			if len(edges) == 1 {
				h.equal([]any{edges[0].Edge, edges[0].Since}, []any{mount, loaded})
			}
			m, failed := snap.Manifest(h.ctx, s.at, a.Ref.ID())
			switch p {
			case loaded:
				h.equal([]any{m.Hash, string(m.Body), m.Ref}, []any{topo.ID{1}, "x", a.Ref})
			case changed.Position:
				h.equal([]any{m.Hash, string(m.Body)}, []any{topo.ID{2}, "y"})
			default:
				h.wantCode(failed, fault.NotFound)
			}
			return err
		})
	}
	h.must(h.Store.DeleteCluster(h.ctx, s.at))
	h.equal(len(h.nodesAt(at(changed.Position), store.Filter{})), 0)
}

// pastIsForgotten: what is older than it is kept is Gone, with the earliest there is, and the earliest is still right.
func pastIsForgotten(_ *testing.T, h *house) {
	s := h.loaded(store.Delta{Nodes: []topo.Node{pod("a"), pod("b")}})
	var made []store.Applied
	for i := range int64(6) {
		made = append(made, s.apply(store.Delta{Nodes: []topo.Node{with(pod("a"), func(n *topo.Node) { n.Created = i })}}))
	}
	kept := made[3]
	for more := true; more; {
		var err error
		// The floor is the newest position before the instant that this leaves out, which lies between two of them.
		more, err = h.Store.Trim(h.ctx, store.Keep{Feed: time.Hour, History: time.Since(kept.At.Add(time.Microsecond)), Events: time.Hour}, 2)
		h.must(err)
		kept = made[len(made)-1]
		for i := len(made) - 1; i >= 0; i-- {
			if _, _, err := h.Store.Resolve(h.ctx, h.tenant, at(made[i].Position)); err == nil {
				kept = made[i]
			}
		}
	}
	if kept.Position <= made[0].Position {
		h.Fatal("nothing was forgotten")
	}
	says := fmt.Sprintf("the earliest available is position %d, %s", kept.Position, kept.At.Format(time.RFC3339Nano))
	h.wantAt(at(kept.Position-1), fault.Gone, says)
	h.wantAt(at(1), fault.Gone, says)
	h.wantAt(store.When{Time: kept.At.Add(-time.Microsecond)}, fault.Gone, says)
	h.wantAt(store.When{Time: time.Unix(0, 0)}, fault.Gone, says)
	for _, a := range made {
		if a.Position < kept.Position {
			continue
		}
		h.equal(h.nodesAt(at(a.Position), store.Filter{Names: []string{"a"}})[0].Created, int64(a.Position-made[0].Position))
	}
	h.read(func(snap store.Snapshot) error {
		list, err := snap.History(h.ctx, s.at, ref("Pod", "a").ID(), 0, 100)
		h.must(err)
		h.equal(list[len(list)-1].Since <= kept.Position, true)
		_, err = snap.RowChanges(h.ctx, store.Filter{View: h.everything()}, kept.Position-1, nil, 10)
		h.wantCode(err, fault.Gone)
		_, err = snap.EdgeChanges(h.ctx, store.Filter{View: h.everything()}, kept.Position-1, nil, 10)
		h.wantCode(err, fault.Gone)
		changes, err := snap.RowChanges(h.ctx, store.Filter{View: h.everything()}, kept.Position, nil, 10)
		h.equal(len(changes), map[bool]int{true: 1}[kept.Position < made[5].Position])
		return err
	})
}

// lateChanges: what a resync found carries the gap's start, and what it found unchanged leaves no trace.
func lateChanges(_ *testing.T, h *house) {
	a, b := pod("a", "app", "web"), pod("b")
	mount := edge(a.Ref, b.Ref, "r")
	text := topo.Manifest{Ref: a.Ref, Hash: topo.ID{1}, Body: []byte("x")}
	whole := store.Delta{Nodes: []topo.Node{a, b}, Edges: []topo.Edge{mount}, Manifests: []topo.Manifest{text}}
	s := h.loaded(whole)
	h.must(h.Store.CloseSession(h.ctx, s.at, s.epoch, time.Now()))
	s = h.open(s.at)
	gap := time.Now().Add(-time.Hour).UTC().Truncate(time.Microsecond)
	resync := func(d store.Delta) store.Applied {
		h.Helper()
		s.seq++
		applied, err := h.Store.Apply(h.ctx, store.Batch{Scope: s.at, Epoch: s.epoch, Seq: s.seq, Delta: d, GapSince: gap})
		h.must(err)
		return applied
	}
	h.equal(resync(whole).Position, topo.Position(0))
	h.equal([]int{h.count("resources_history"), h.count("edges_history"), h.count("manifests_history"), h.count("labels_history")}, []int{0, 0, 0, 0})

	found := resync(store.Delta{Nodes: []topo.Node{with(a, func(n *topo.Node) { n.Status = "Failed" })}})
	plain := s.apply(store.Delta{Nodes: []topo.Node{a}, Manifests: []topo.Manifest{{Ref: a.Ref, Hash: topo.ID{2}, Body: []byte("y")}}})
	h.read(func(snap store.Snapshot) error {
		list, err := snap.History(h.ctx, s.at, a.Ref.ID(), 0, 10)
		h.must(err)
		h.equal(len(list), 3)
		for i, want := range []struct {
			since, to topo.Position
			gap       time.Time
			status    string
			manifest  topo.ID
		}{{plain.Position, 0, time.Time{}, "Running", topo.ID{2}}, {found.Position, plain.Position, gap, "Failed", topo.ID{1}}, {list[2].Since, found.Position, time.Time{}, "Running", topo.ID{1}}} {
			v := list[i]
			h.equal([]any{v.Since, v.To, v.GapSince, v.Node.Status, v.Manifest}, []any{want.since, want.to, want.gap, want.status, want.manifest})
			m, err := snap.ManifestAt(h.ctx, s.at, a.Ref.ID(), v.Since)
			h.equal([]any{m.Hash, err}, []any{want.manifest, nil})
		}
		h.equal([]time.Time{list[1].Began, list[1].Ended, list[0].Ended}, []time.Time{found.At, plain.At, {}})
		_, err = snap.ManifestAt(h.ctx, s.at, a.Ref.ID(), found.Position+100)
		h.wantCode(err, fault.NotFound)
		_, err = snap.ManifestAt(h.ctx, s.at, b.Ref.ID(), list[2].Since)
		h.wantCode(err, fault.NotFound)
		return nil
	})

	// A cluster that no longer shares manifests takes back those it shared.
	_, err := h.Store.OpenSession(h.ctx, s.at, store.Hello{Share: fleet.ShareTopology, KubeUID: "uid-" + s.at.Cluster.String()})
	h.must(err)
	h.equal([]int{h.count("manifests"), h.count("manifests_history")}, []int{0, 0})
	h.readAt(at(found.Position), func(snap store.Snapshot) error {
		_, err := snap.Manifest(h.ctx, s.at, a.Ref.ID())
		h.wantCode(err, fault.NotFound)
		list, err := snap.History(h.ctx, s.at, a.Ref.ID(), 0, 10)
		h.equal([]any{len(list), list[0].Manifest, list[0].To}, []any{2, topo.ID{}, topo.Position(0)})
		return err
	})
}

// pastOfDamage: labels that Verify has put back are asked for at past positions too.
func pastOfDamage(_ *testing.T, h *house) {
	a := pod("a", "app", "web", "tier", "front")
	s := h.loaded(store.Delta{Nodes: []topo.Node{a}})
	came := s.apply(store.Delta{Nodes: []topo.Node{pod("b", "app", "web")}})
	changed := s.apply(store.Delta{Nodes: []topo.Node{with(a, func(n *topo.Node) { n.Status = "Failed" }), pod("b", "app", "api")}})
	s.apply(store.Delta{Nodes: []topo.Node{a, with(pod("b", "app", "api"), func(n *topo.Node) { n.Status = "Failed" })}})
	h.must(h.Exec(h.ctx, "DELETE FROM labels WHERE key = 'app'"))
	h.must(h.Exec(h.ctx, "INSERT INTO labels (tenant_id, key, value, cluster_id, id, valid_from) SELECT tenant_id, 'app', 'odd', cluster_id, id, valid_from FROM resources"))
	n, err := h.Store.Verify(h.ctx, s.at, topo.Nodes)
	h.equal([]any{n, err}, []any{2, nil})
	for p, want := range map[topo.Position][2]int{came.Position - 1: {1, 0}, came.Position: {2, 0}, changed.Position: {1, 1}} {
		for i, value := range []string{"web", "api"} {
			h.equal(len(h.nodesAt(at(p), store.Filter{Labels: []store.Requirement{{Key: "app", Op: store.In, Values: []string{value}}}})), want[i])
		}
		h.equal(len(h.nodesAt(at(p), store.Filter{Labels: []store.Requirement{{Key: "app", Op: store.In, Values: []string{"odd"}}}})), 0)
		h.equal(len(h.nodesAt(at(p), store.Filter{Labels: []store.Requirement{{Key: "tier", Op: store.Exists}}})), 1)
	}
}

// changesOf: an object that came and went, one that was replaced, one whose labels alone changed, and one that is as it was.
func changesOf(_ *testing.T, h *house) {
	s := h.loaded(store.Delta{Nodes: []topo.Node{pod("back", "app", "web"), pod("labels", "app", "web"), pod("replaced"), pod("same"), pod("went")}})
	before, _, err := h.Store.Resolve(h.ctx, h.tenant, store.When{})
	h.must(err)
	s.apply(store.Delta{Nodes: []topo.Node{pod("came"), pod("passing")}, GoneNodes: []topo.ID{ref("Pod", "went").ID(), ref("Pod", "replaced").ID(), ref("Pod", "back").ID()}})
	replaced := with(pod("replaced"), func(n *topo.Node) { n.UID = "other" })
	s.apply(store.Delta{Nodes: []topo.Node{replaced, pod("back", "app", "web"), pod("labels", "app", "api")}, GoneNodes: []topo.ID{ref("Pod", "passing").ID()}})
	other := h.loaded(store.Delta{Nodes: []topo.Node{pod("elsewhere")}})
	h.read(func(snap store.Snapshot) error {
		got := map[string][2]*topo.Node{}
		changes, err := snap.RowChanges(h.ctx, store.Filter{View: h.everything()}, before, nil, 100)
		h.must(err)
		for _, c := range changes {
			var ends [2]*topo.Node
			for i, r := range []*store.Row{c.Before, c.After} {
				if r != nil {
					ends[i] = &r.Node
				}
			}
			got[c.Key.Ref.Name] = ends
		}
		node := func(n topo.Node) *topo.Node { return &n }
		h.equal(got, map[string][2]*topo.Node{
			"came":      {nil, node(pod("came"))},
			"went":      {node(pod("went")), nil},
			"replaced":  {node(pod("replaced")), &replaced},
			"labels":    {node(pod("labels", "app", "web")), node(pod("labels", "app", "api"))},
			"elsewhere": {nil, node(pod("elsewhere"))},
		})
		web := store.Filter{View: h.everything(), Clusters: clustersOf(s.at), Labels: []store.Requirement{{Key: "app", Op: store.In, Values: []string{"web"}}}}
		changes, err = snap.RowChanges(h.ctx, web, before, nil, 100)
		h.must(err)
		h.equal([]any{len(changes), changes[0].Key.Ref.Name}, []any{1, "labels"})
		narrow := fleet.View{Tenant: h.tenant, Clusters: map[fleet.ClusterID][]string{s.at.Cluster: {"bank"}, other.at.Cluster: nil}}
		changes, err = snap.RowChanges(h.ctx, store.Filter{View: narrow}, before, nil, 100)
		h.must(err)
		h.equal([]any{len(changes), changes[0].Key.Ref.Name}, []any{1, "elsewhere"})
		_, err = snap.RowChanges(h.ctx, store.Filter{View: h.everything()}, snap.Position()+1, nil, 1)
		h.wantCode(err, fault.BadRequest)
		changes, err = snap.RowChanges(h.ctx, store.Filter{View: h.everything()}, snap.Position(), nil, 1)
		h.equal([]any{len(changes), err}, []any{0, nil})
		return nil
	})
}

// pastFreshness: a moment inside an outage says stale, since then, though it was found out later.
func pastFreshness(_ *testing.T, h *house) {
	s := h.loaded(store.Delta{Nodes: []topo.Node{pod("a")}})
	never, _, err := h.Store.Resolve(h.ctx, h.tenant, store.When{})
	h.must(err)
	h.must(h.Store.MarkLive(h.ctx, s.at, s.epoch))
	live, began, err := h.Store.Resolve(h.ctx, h.tenant, store.When{})
	h.must(err)
	heard := began.Add(20 * time.Millisecond)
	for time.Now().Before(heard.Add(40 * time.Millisecond)) {
		time.Sleep(time.Millisecond) // the clock is the hub's own
	}
	h.must(h.Store.CloseSession(h.ctx, s.at, s.epoch, heard))
	late := h.newCluster(h.tenant)
	name := "renamed"
	_, err = h.Store.UpdateCluster(h.ctx, s.at, store.ClusterPatch{Name: &name})
	h.must(err)
	for _, c := range []struct {
		when store.When
		want fleet.Freshness
	}{
		{at(never), fleet.Freshness{State: fleet.Never}},
		{at(live), fleet.Freshness{State: fleet.Live, Since: began, LastHeard: began}},
		{store.When{Time: heard.Add(-time.Millisecond)}, fleet.Freshness{State: fleet.Live, Since: began, LastHeard: heard.Add(-time.Millisecond)}},
		{store.When{Time: heard.Add(10 * time.Millisecond)}, fleet.Freshness{State: fleet.Stale, Since: heard, LastHeard: heard}},
	} {
		h.readAt(c.when, func(snap store.Snapshot) error {
			list, err := snap.Clusters(h.ctx)
			h.must(err)
			h.equal(len(list), 1) // the other came later
			h.equal([]any{list[0].ID, list[0].Name, list[0].Synced, list[0].Freshness}, []any{s.at.Cluster, "renamed", true, c.want})
			return nil
		})
	}
	h.read(func(snap store.Snapshot) error {
		list, err := snap.Clusters(h.ctx)
		h.equal([]any{len(list), list[0].ID}, []any{2, late.Cluster})
		return err
	})
}

// forgottenWhileRead: while the past is trimmed, each answer is right or says that it is gone.
func forgottenWhileRead(_ *testing.T, h *house) {
	s := h.loaded(store.Delta{Nodes: []topo.Node{pod("a")}})
	var made []store.Applied
	for i := range int64(40) {
		made = append(made, s.apply(store.Delta{Nodes: []topo.Node{with(pod("a"), func(n *topo.Node) { n.Created = i })}}))
	}
	var readers sync.WaitGroup
	for range 3 {
		readers.Go(func() {
			for i := 0; i < len(made); { // each position until it is gone, but for the last, which stays
				var created int64
				err := h.Store.ReadAt(h.ctx, h.tenant, at(made[i].Position), func(ctx context.Context, snap store.Snapshot) error {
					rows, err := snap.Nodes(ctx, s.at, []topo.ID{ref("Pod", "a").ID()})
					if err == nil && len(rows) == 1 {
						created = rows[0].Node.Created
					}
					return err
				})
				switch {
				case fault.Is(err, fault.Gone), err == nil && i == len(made)-1:
					i++
				case err != nil || created != int64(i):
					h.Errorf("position %d: %d, %v", made[i].Position, created, err)
					return
				}
			}
		})
	}
	for i := range made {
		for more := true; more; {
			var err error
			if more, err = h.Store.Trim(h.ctx, store.Keep{Feed: time.Hour, History: time.Since(made[i].At), Events: time.Hour}, 10); err != nil {
				h.Error(err)
				break
			}
		}
	}
	_, err := h.Store.Trim(h.ctx, store.Keep{Feed: time.Hour, Events: time.Hour}, 100)
	h.must(err)
	readers.Wait()
}
