package storetest

import (
	"context"
	"testing"

	"github.com/kubilitics/kubilitics/hub/internal/store"
	"github.com/kubilitics/kubilitics/shared/fault"
	"github.com/kubilitics/kubilitics/shared/topo"
)

// texts: manifests have a past of their own, which goes on where nothing else of a node changes.
func texts(t *testing.T, h *house) {
	a, b := pod("a"), pod("b")
	one, two, three := manifest("a", "one"), manifest("a", "two"), manifest("a", "three")
	s := h.loaded(store.Delta{Nodes: []topo.Node{a, b}, Manifests: []topo.Manifest{one, manifest("b", "other")}})
	var first topo.Position
	h.read(func(snap store.Snapshot) error { first = snap.Position(); return nil })
	second := s.apply(store.Delta{Manifests: []topo.Manifest{two}})
	third := s.apply(store.Delta{Manifests: []topo.Manifest{three}})
	gone := s.apply(store.Delta{GoneManifests: []topo.ID{b.Ref.ID()}})

	check := func(_ context.Context, snap store.Snapshot) error {
		now := snap.Position() >= third.Position
		list, err := snap.Texts(h.ctx, s.at, a.Ref.ID(), 0, 10)
		want := []store.Text{{Hash: two.Hash, Since: second.Position}, {Hash: one.Hash, Since: list[len(list)-1].Since, To: second.Position}}
		if now {
			want[0].To = third.Position
			want = append([]store.Text{{Hash: three.Hash, Since: third.Position}}, want...)
		}
		h.equal([]any{list, err}, []any{want, nil})
		older, err := snap.Texts(h.ctx, s.at, a.Ref.ID(), second.Position, 1)
		h.equal([]any{older, err}, []any{want[len(want)-1:], nil})
		m, err := snap.TextAt(h.ctx, s.at, a.Ref.ID(), second.Position)
		h.equal([]any{m.Hash, m.Body, err}, []any{two.Hash, two.Body, nil})
		_, err = snap.TextAt(h.ctx, s.at, a.Ref.ID(), third.Position)
		h.equal(fault.Is(err, fault.NotFound), !now)
		marks, err := snap.Instants(h.ctx, []topo.Position{second.Position, 1 << 40})
		h.equal([]any{len(marks), marks[second.Position].At, err}, []any{1, second.At, nil})
		return nil
	}
	h.read(func(snap store.Snapshot) error { return check(h.ctx, snap) })
	h.must(h.Store.ReadAt(h.ctx, s.at.Tenant, store.When{Position: second.Position}, check))

	f := store.Filter{View: h.everything(), Clusters: clustersOf(s.at)}
	h.read(func(snap store.Snapshot) error {
		_, err := snap.TextAt(h.ctx, s.at, b.Ref.ID(), gone.Position)
		h.wantCode(err, fault.NotFound)
		changes, err := snap.TextChanges(h.ctx, f, first, nil, 10)
		h.equal(len(changes), 1) // of b there is none now
		c := changes[0]
		h.equal([]any{c.Key.Ref, c.Row.Node, c.Before, c.After, c.Since, err}, []any{a.Ref, a, one.Hash, three.Hash, third.Position, nil})
		changes, err = snap.TextChanges(h.ctx, f, first, &c.Key, 10)
		h.equal([]any{len(changes), err}, []any{0, nil})
		changes, err = snap.TextChanges(h.ctx, f, third.Position, nil, 10)
		h.equal([]any{len(changes), err}, []any{0, nil})
		return nil
	})
}
