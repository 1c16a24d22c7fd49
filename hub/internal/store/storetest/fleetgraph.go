package storetest

import (
	"testing"

	"github.com/kubilitics/kubilitics/hub/internal/fleet"
	"github.com/kubilitics/kubilitics/hub/internal/store"
	"github.com/kubilitics/kubilitics/shared/fault"
	"github.com/kubilitics/kubilitics/shared/topo"
)

func shared(t *testing.T, h *house) {
	a, b := h.loaded(store.Delta{Nodes: []topo.Node{pod("a")}}).at, h.loaded(store.Delta{Nodes: []topo.Node{pod("b")}}).at
	host := topo.Ref{Group: "kubilitics.io", Kind: "Host", Name: "shop.example.com"}
	image := topo.Ref{Group: "kubilitics.io", Kind: "Image", Name: "nginx@sha256:00"}
	put := func(from, to topo.Position, changes ...store.FleetChange) {
		h.Helper()
		h.must(h.Store.ApplyFleet(h.ctx, h.tenant, from, to, changes))
	}
	want := func(refs ...topo.Ref) {
		h.Helper()
		h.read(func(s store.Snapshot) error {
			found, err := s.Shared(h.ctx, h.everything(), nil, nil, nil, 10)
			var got []topo.Ref
			for _, x := range found {
				got = append(got, x.Ref)
			}
			h.equal(got, refs)
			return err
		})
	}
	if _, ok, err := h.Store.FleetPosition(h.ctx, h.tenant); ok || err != nil {
		h.Fatal("a feed that nobody followed has a position", err)
	}
	put(0, 10, store.FleetChange{Cluster: a.Cluster, Ref: host, At: 9}, store.FleetChange{Cluster: b.Cluster, Ref: host, At: 10}, store.FleetChange{Cluster: b.Cluster, Ref: host, At: 10})
	want(host)
	h.must(h.Store.ReplaceFleet(h.ctx, b, 11, []topo.Ref{image, host}))
	put(10, 12, store.FleetChange{Cluster: a.Cluster, Ref: image, At: 12})
	want(host, image)
	h.wantCode(h.Store.ApplyFleet(h.ctx, h.tenant, 10, 13, nil), fault.Conflict)
	put(12, 14, store.FleetChange{Cluster: a.Cluster, Ref: image, Gone: true, At: 13}, store.FleetChange{Cluster: a.Cluster, Ref: image, At: 14})
	want(host, image)
	h.must(h.Store.ReplaceFleet(h.ctx, b, 15, nil))
	want()
	h.read(func(s store.Snapshot) error {
		found, err := s.SharedAmong(h.ctx, h.everything(), []topo.ID{host.ID()})
		h.equal(len(found), 0)
		return err
	})
	h.must(h.Store.ReplaceFleet(h.ctx, b, 16, []topo.Ref{host}))
	h.read(func(s store.Snapshot) error {
		found, err := s.Shared(h.ctx, h.everything(), []fleet.ClusterID{a.Cluster, b.Cluster}, []topo.GroupKind{host.GroupKind()}, &image, 10)
		h.equal(len(found), 0)
		h.must(err)
		found, err = s.SharedAmong(h.ctx, h.everything(), []topo.ID{host.ID(), image.ID()})
		h.equal(len(found), 1)
		h.equal(len(found[0].Clusters), 2)
		return err
	})
}
