package storetest

import (
	"context"
	"fmt"
	"testing"

	"github.com/kubilitics/kubilitics/hub/internal/fleet"
	"github.com/kubilitics/kubilitics/hub/internal/store"
	"github.com/kubilitics/kubilitics/shared/topo"
)

// Churn gives the fleet's cluster a past: each pod changes so many times, a hundred at once, and with each change some pods come, go, or get other
// labels. It gives a position in the middle of it.
func Churn(t testing.TB, s store.Store, f Fleet, versions int) (middle topo.Position) {
	t.Helper()
	seq := int64(1)
	for round := range versions {
		for first := 0; first < f.Pods; first += 100 {
			var d store.Delta
			for i := first; i < min(first+100, f.Pods); i++ {
				n := Pod(i)
				n.Status, n.Attrs = "Round", []topo.Pair{{Key: "ready", Value: string(rune('a' + round))}}
				if i%50 == 0 {
					n.Labels = append(n.Labels[:len(n.Labels)-1:len(n.Labels)-1], topo.Pair{Key: "tier", Value: string(rune('a' + round))})
				}
				d.Nodes = append(d.Nodes, n)
			}
			for i := range 20 {
				passing := Pod(f.Pods + first + i)
				owner := edge(passing.Ref, Pod(first).Ref, "owner")
				if round%2 == 0 {
					d.Nodes, d.Edges = append(d.Nodes, passing), append(d.Edges, owner)
				} else {
					d.GoneNodes, d.GoneEdges = append(d.GoneNodes, passing.Ref.ID()), append(d.GoneEdges, owner.Key())
				}
			}
			seq++
			a, err := s.Apply(context.Background(), store.Batch{Scope: f.At, Epoch: 1, Seq: seq, Delta: d})
			if err != nil {
				t.Fatal(err)
			}
			if round == versions/2 {
				middle = a.Position
			}
		}
	}
	return middle
}

// HotPast asks of a past position what interfaces ask; name is told before each. No plan may walk a table that has more than a few rows.
func HotPast(ctx context.Context, t testing.TB, r store.Reader, f Fleet, middle topo.Position, name func(string)) {
	t.Helper()
	all, one := fleet.View{Tenant: f.Tenant, Everything: true}, []fleet.ClusterID{f.At.Cluster}
	pods := []topo.GroupKind{{Kind: "Pod"}}
	err := r.ReadAt(ctx, f.Tenant, store.When{Position: middle}, func(ctx context.Context, s store.Snapshot) error {
		ids := []topo.ID{Pod(1).Ref.ID(), Pod(2).Ref.ID(), Pod(3).Ref.ID()}
		return ask(name, []query{
			{"a namespace", func() (int, error) {
				rows, err := s.Resources(ctx, store.Filter{View: all, Clusters: one, Namespaces: []string{"team-3"}}, nil, 1000)
				return len(rows), err
			}},
			{"a kind in a cluster, further on", func() (int, error) {
				rows, err := s.Resources(ctx, store.Filter{View: all, Clusters: one, Kinds: pods}, &store.Key{Ref: Pod(f.Pods / 2).Ref}, 100)
				return len(rows), err
			}},
			{"one object", func() (int, error) {
				rows, err := s.Resources(ctx, store.Filter{View: all, Clusters: one, Kinds: pods, Namespaces: []string{"team-5"}, Names: []string{"web-000005"}}, nil, 10)
				return len(rows), err
			}},
			{"nodes", func() (int, error) { rows, err := s.Nodes(ctx, f.At, ids); return len(rows), err }},
			{"edges both ways", func() (int, error) {
				rows, err := s.EdgesOf(ctx, f.At, ids, store.Both, nil, 100)
				return len(rows), err
			}},
			{"edges among", func() (int, error) { _, err := s.EdgesAmong(ctx, f.At, ids, nil, 100); return 1, err }},
			{"versions", func() (int, error) { list, err := s.History(ctx, f.At, ids[0], 0, 10); return len(list), err }},
			{"what differs in a namespace", func() (int, error) {
				rows, err := s.RowChanges(ctx, store.Filter{View: all, Clusters: one, Namespaces: []string{"team-3"}}, middle-5, nil, 100)
				return len(rows), err
			}},
			{"which edges differ", func() (int, error) {
				rows, err := s.EdgeChanges(ctx, store.Filter{View: all, Clusters: one}, middle-5, nil, 100)
				return len(rows), err
			}},
		})
	})
	if err != nil {
		t.Error(err)
	}
}

type query struct {
	name string
	ask  func() (rows int, err error)
}

// ask runs queries, none of which may find nothing.
func ask(name func(string), queries []query) error {
	for _, q := range queries {
		name(q.name)
		n, err := q.ask()
		if err != nil {
			return fmt.Errorf("%s: %w", q.name, err)
		}
		if n == 0 {
			return fmt.Errorf("%s: nothing was found", q.name)
		}
	}
	return nil
}
