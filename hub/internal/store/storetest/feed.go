package storetest

import (
	"context"
	"sync"
	"testing"
	"time"

	"github.com/kubilitics/kubilitics/hub/internal/fleet"
	"github.com/kubilitics/kubilitics/hub/internal/store"
	"github.com/kubilitics/kubilitics/shared/fault"
	"github.com/kubilitics/kubilitics/shared/topo"
)

func feed(_ *testing.T, h *house) {
	s := h.loaded(store.Delta{})
	e := edge(ref("Pod", "a"), ref("Pod", "b"), "r")
	first := s.apply(store.Delta{Nodes: []topo.Node{pod("a", "app", "web")}, Edges: []topo.Edge{e}})
	gap := time.Unix(1_700_000_000, 0).UTC()
	s.seq++
	late, err := h.Store.Apply(h.ctx, store.Batch{Scope: s.at, Epoch: s.epoch, Seq: s.seq, GapSince: gap, Delta: store.Delta{
		Nodes: []topo.Node{with(pod("a"), func(n *topo.Node) { n.Status = "Failed" })}, GoneEdges: []topo.EdgeID{e.Key()}}})
	h.must(err)
	s.apply(store.Delta{GoneNodes: []topo.ID{ref("Pod", "a").ID()}})
	h.must(h.Store.MarkLive(h.ctx, s.at, s.epoch))
	entries, err := h.Store.Entries(h.ctx, h.tenant, first.Position-1, 10)
	h.must(err)
	h.equal(entries[0], store.Entry{Position: first.Position, At: first.At, Kind: store.EntryDiff, Cluster: s.at.Cluster, Events: []topo.Event{}, Diff: topo.Diff{
		Nodes: []topo.NodeChange{{Op: topo.Add, Node: pod("a", "app", "web")}}, Edges: []topo.EdgeChange{{Op: topo.Add, Edge: e}}}})
	h.equal([]any{entries[1].Position, entries[1].GapSince}, []any{late.Position, gap})
	failed := with(pod("a"), func(n *topo.Node) { n.Status = "Failed" })
	h.equal(entries[1].Diff, topo.Diff{Nodes: []topo.NodeChange{{Op: topo.Update, Node: failed}}, Edges: []topo.EdgeChange{{Op: topo.Remove, Edge: e}}})
	h.equal(entries[2].Diff.Nodes, []topo.NodeChange{{Op: topo.Remove, Node: failed}})
	h.equal([]any{len(entries), entries[3].Kind}, []any{4, store.EntryCluster})
	h.must(h.Store.DeleteCluster(h.ctx, s.at))
	first1, last, err := h.Store.FeedBounds(h.ctx, h.tenant)
	h.must(err)
	h.equal([]topo.Position{first1, last}, []topo.Position{1, entries[3].Position + 1})
	entries, err = h.Store.Entries(h.ctx, h.tenant, last-1, 10)
	h.must(err)
	h.equal([]any{len(entries), entries[0].Kind, entries[0].Cluster}, []any{1, store.EntryDeleted, s.at.Cluster})
	entries, err = h.Store.Entries(h.ctx, h.tenant, last, 10)
	h.equal([]any{len(entries), err}, []any{0, nil})
}

// feedIsGapSafe: a reader that follows many writers never sees a position before all below it.
func feedIsGapSafe(_ *testing.T, h *house) {
	const writers, batches = 4, 15
	var all []*session
	for range writers {
		all = append(all, h.loaded(store.Delta{}))
	}
	_, start, err := h.Store.FeedBounds(h.ctx, h.tenant)
	h.must(err)
	var wg sync.WaitGroup
	for _, s := range all {
		wg.Go(func() {
			for i := range int64(batches) {
				_, err := h.Store.Apply(h.ctx, store.Batch{Scope: s.at, Epoch: s.epoch, Seq: s.seq + 1 + i, Delta: store.Delta{
					Nodes: []topo.Node{with(pod("a"), func(n *topo.Node) { n.Created = i })}}})
				if err != nil {
					h.Error(err)
				}
			}
		})
	}
	at, before := start, time.Time{}
	for at < start+writers*batches && h.ctx.Err() == nil && !h.Failed() {
		entries, err := h.Store.Entries(h.ctx, h.tenant, at, 7)
		h.must(err)
		for _, e := range entries {
			if e.Position != at+1 || !e.At.After(before) {
				h.Fatalf("%d at %v came after %d at %v", e.Position, e.At, at, before)
			}
			at, before = e.Position, e.At
		}
	}
	wg.Wait()
}

func trim(_ *testing.T, h *house) {
	s := h.loaded(store.Delta{Events: []topo.Event{{UID: "e"}}})
	for i := range int64(5) {
		s.apply(store.Delta{Nodes: []topo.Node{with(pod("a"), func(n *topo.Node) { n.Created = i })}})
	}
	long := 24 * time.Hour
	more, err := h.Store.Trim(h.ctx, store.Keep{Feed: long, History: long, Events: long}, 100)
	h.equal([]any{more, err}, []any{false, nil})
	first, last, err := h.Store.FeedBounds(h.ctx, h.tenant)
	h.must(err)
	h.equal(first, topo.Position(1))
	for more = true; more; {
		more, err = h.Store.Trim(h.ctx, store.Keep{Feed: 0, History: long, Events: 0}, 3)
		h.must(err)
	}
	first, _, err = h.Store.FeedBounds(h.ctx, h.tenant)
	h.must(err)
	h.equal(first, last+1)
	_, err = h.Store.Entries(h.ctx, h.tenant, last-1, 10)
	h.wantCode(err, fault.Gone)
	entries, err := h.Store.Entries(h.ctx, h.tenant, last, 10)
	h.equal([]any{len(entries), err}, []any{0, nil})
	h.equal([]int{h.count("events"), h.count("resources_history")}, []int{0, 4})
	if h.count("feed") != int(last) {
		h.Fatal("the instants of positions that history needs are gone")
	}
	for more = true; more; {
		more, err = h.Store.Trim(h.ctx, store.Keep{}, 3)
		h.must(err)
	}
	h.equal(h.count("feed"), 1) // the instant of the earliest position there is
	if !h.DropDays {
		h.equal(h.count("resources_history"), 0)
	}
	// The identity of what is gone altogether goes too, that of what an edge names stays.
	s.apply(store.Delta{GoneNodes: []topo.ID{ref("Pod", "a").ID()}, Edges: []topo.Edge{edge(ref("Pod", "x"), ref("Pod", "y"), "r")}})
	if h.DropDays {
		h.must(h.Exec(h.ctx, "DELETE FROM resources_history"))
	}
	for range 2 {
		_, err = h.Store.Trim(h.ctx, store.Keep{}, 3)
		h.must(err)
	}
	h.equal(h.count("refs"), 2)
	_, last, err = h.Store.FeedBounds(h.ctx, h.tenant)
	h.must(err)
	s.apply(store.Delta{Nodes: []topo.Node{pod("b")}})
	entries, err = h.Store.Entries(h.ctx, h.tenant, last, 10)
	h.must(err)
	h.equal(entries[0].Position, last+1)
}

func doorbell(_ *testing.T, h *house) {
	ctx, cancel := context.WithCancel(h.ctx)
	rung := make(chan fleet.TenantID, 1)
	done := make(chan error, 1)
	go func() {
		done <- h.Store.Doorbell(ctx, func(t fleet.TenantID) {
			select {
			case rung <- t:
			default:
			}
		})
	}()
	s := h.loaded(store.Delta{})
	s.apply(store.Delta{Nodes: []topo.Node{pod("a")}})
	h.equal(<-rung, h.tenant)
	// Written behind the store's back, as another process would.
	h.must(h.Exec(h.ctx, "UPDATE tenant_feed SET pos = pos + 1"))
	for len(rung) > 0 {
		<-rung
	}
	select {
	case <-rung:
	case <-h.ctx.Done():
		h.Fatal("nobody rang")
	}
	cancel()
	h.must(<-done)
}

func endedContext(_ *testing.T, h *house) {
	s := h.loaded(store.Delta{})
	ctx, cancel := context.WithCancel(h.ctx)
	cancel()
	_, err := h.Store.Apply(ctx, store.Batch{Scope: s.at, Epoch: s.epoch, Seq: 2, Delta: store.Delta{Nodes: []topo.Node{pod("a")}}})
	h.wantCode(err, fault.Unavailable)
	_, err = h.Store.Clusters(ctx, h.tenant)
	h.wantCode(err, fault.Unavailable)
	s.apply(store.Delta{Nodes: []topo.Node{pod("b")}})
	h.equal(h.nodes(store.Filter{}), []topo.Node{pod("b")})
}
