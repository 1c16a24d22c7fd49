package storetest

import (
	"cmp"
	"maps"
	"math/rand/v2"
	"slices"

	"github.com/kubilitics/kubilitics/hub/internal/fleet"
	"github.com/kubilitics/kubilitics/hub/internal/store"
	"github.com/kubilitics/kubilitics/shared/topo"
)

// sameChanges compares what is said to differ between two positions with what does.
func (h *house) sameChanges(from, to *world, r *rand.Rand) {
	h.Helper()
	for _, c := range []struct {
		filter store.Filter
		holds  func(*store.Row) bool
	}{
		{store.Filter{Placeholders: true}, func(*store.Row) bool { return true }},
		{store.Filter{}, func(*store.Row) bool { return true }},
		{store.Filter{Placeholders: true, Namespaces: []string{"bank"}, Labels: []store.Requirement{{Key: "app", Op: store.In, Values: []string{"v1"}}}},
			func(r *store.Row) bool { return r.Node.Ref.Namespace == "bank" && hasLabel("app", "v1")(r) }},
	} {
		c.filter.View = h.everything()
		var got []store.RowChange
		h.readAt(store.When{Position: to.pos}, func(s store.Snapshot) error {
			limit := 1 + r.IntN(5)
			for {
				var after *store.Key
				if n := len(got); n > 0 {
					after = &got[n-1].Key
				}
				page, err := s.RowChanges(h.ctx, c.filter, from.pos, after, limit)
				if got = append(got, page...); err != nil || len(page) < limit {
					return err
				}
			}
		})
		want := rowChanges(from, to, c.filter.Placeholders, c.holds)
		h.equal(len(got), len(want))
		for i := range got {
			h.equal(got[i], want[i])
		}
	}
	var got []store.EdgeChange
	h.readAt(store.When{Position: to.pos}, func(s store.Snapshot) error {
		for {
			var after *store.EdgePlace
			if n := len(got); n > 0 {
				after = &store.EdgePlace{Cluster: got[n-1].Cluster, ID: got[n-1].ID}
			}
			page, err := s.EdgeChanges(h.ctx, store.Filter{View: h.everything(), Namespaces: []string{"bank"}}, from.pos, after, 2)
			if got = append(got, page...); err != nil || len(page) < 2 {
				return err
			}
		}
	})
	want := edgeChanges(from, to, "bank")
	h.equal(len(got), len(want))
	for i := range got {
		h.equal(got[i], want[i])
	}
}

func rowChanges(from, to *world, placeholders bool, holds func(*store.Row) bool) (changes []store.RowChange) {
	ends := map[store.Key]*store.RowChange{}
	meant := map[store.Key]bool{}
	for i, w := range []*world{from, to} {
		for _, r := range w.rows(func(r *store.Row) bool { return placeholders || r.Node.Presence == topo.Present }) {
			key := store.Key{Ref: r.Node.Ref, Cluster: r.Cluster}
			if ends[key] == nil {
				ends[key] = &store.RowChange{Key: key}
			}
			if i == 0 {
				ends[key].Before = &r
			} else {
				ends[key].After = &r
			}
			meant[key] = meant[key] || holds(&r)
		}
	}
	for key, c := range ends {
		if meant[key] && (c.Before == nil || c.After == nil || c.Before.Node.Hash() != c.After.Node.Hash()) {
			changes = append(changes, *c)
		}
	}
	slices.SortFunc(changes, func(a, b store.RowChange) int {
		return cmp.Or(a.Key.Ref.Compare(b.Key.Ref), cmp.Compare(a.Key.Cluster, b.Key.Cluster))
	})
	return changes
}

func edgeChanges(from, to *world, namespace string) (changes []store.EdgeChange) {
	for _, c := range slices.Sorted(maps.Keys(to.edges)) {
		keys := map[topo.EdgeID]bool{}
		for _, w := range []*world{from, to} {
			for key, e := range w.edges[c] {
				keys[key] = e.Edge.Source.Namespace == namespace || e.Edge.Target.Namespace == namespace
			}
		}
		for _, key := range slices.SortedFunc(maps.Keys(keys), topo.EdgeID.Compare) {
			b, a := edgeIn(from, c, key), edgeIn(to, c, key)
			if keys[key] && (b == nil || a == nil || b.Edge.Hash() != a.Edge.Hash()) {
				changes = append(changes, store.EdgeChange{Cluster: c, ID: key, Before: b, After: a})
			}
		}
	}
	return changes
}

func edgeIn(w *world, c fleet.ClusterID, key topo.EdgeID) *store.EdgeRow {
	if e, ok := w.edges[c][key]; ok {
		return &e
	}
	return nil
}

// sameVersions compares the history of one object with the worlds it was in, as seen from now and from some position.
func (h *house) sameVersions(worlds []*world, at store.Scope, id topo.ID, r *rand.Rand) {
	h.Helper()
	for _, end := range []int{len(worlds) - 1, r.IntN(len(worlds))} {
		var want []store.Version
		for i, w := range worlds[:end+1] {
			row, is := w.nodes[at.Cluster][id]
			last := len(want) - 1
			if last >= 0 && want[last].To == 0 && (!is || want[last].Since != row.Since) {
				want[last].To = worlds[i].pos
			}
			if is && (last < 0 || want[last].Since != row.Since) {
				want = append(want, store.Version{Row: row})
			}
		}
		slices.Reverse(want)
		var got []store.Version
		h.readAt(store.When{Position: worlds[end].pos}, func(s store.Snapshot) error {
			for {
				before := topo.Position(0)
				if n := len(got); n > 0 {
					before = got[n-1].Since
				}
				page, err := s.History(h.ctx, at, id, before, 2)
				if got = append(got, page...); err != nil || len(page) < 2 {
					return err
				}
			}
		})
		h.equal(len(got), len(want))
		for i := range got {
			pos, began, err := h.Store.Resolve(h.ctx, h.tenant, store.When{Time: got[i].Began})
			h.must(err)
			h.equal(pos, got[i].Since)
			if !got[i].Ended.IsZero() {
				pos, _, err := h.Store.Resolve(h.ctx, h.tenant, store.When{Time: got[i].Ended})
				h.must(err)
				h.equal(pos, got[i].To)
			}
			want[i].Began, want[i].Ended = began, got[i].Ended
			h.equal(got[i], want[i])
		}
	}
}
