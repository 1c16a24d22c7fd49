package storetest

import (
	"context"
	"fmt"
	"testing"

	"github.com/kubilitics/kubilitics/hub/internal/fleet"
	"github.com/kubilitics/kubilitics/hub/internal/store"
	"github.com/kubilitics/kubilitics/shared/topo"
)

// Fleet is a database with enough rows for plans to matter.
type Fleet struct {
	Tenant fleet.TenantID
	At     store.Scope     // one of its clusters, of which Pods is how many pods it has
	First  fleet.ClusterID // another of them
	Pods   int
}

// Fill loads clusters with that many pods each, an edge and three labels a pod, in twenty namespaces.
func Fill(t testing.TB, s store.Store, clusters, pods int) Fleet {
	t.Helper()
	ctx := context.Background()
	tenant, err := s.EnsureTenant(ctx, "default")
	if err != nil {
		t.Fatal(err)
	}
	f := Fleet{Tenant: tenant.ID, Pods: pods}
	for c := range clusters {
		f.First = f.At.Cluster
		f.At = store.Scope{Tenant: tenant.ID, Cluster: fleet.NewClusterID()}
		if err := s.CreateCluster(ctx, fleet.Cluster{Tenant: tenant.ID, ID: f.At.Cluster, Name: fmt.Sprint("c", c)}); err != nil {
			t.Fatal(err)
		}
		cl, err := s.OpenSession(ctx, f.At, store.Hello{KubeUID: fmt.Sprint(c)})
		if err != nil {
			t.Fatal(err)
		}
		l, err := s.BeginLoad(ctx, f.At, cl.Epoch)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := l.Add(ctx, crowd(pods)); err != nil {
			t.Fatal(err)
		}
		if _, err := l.Commit(ctx, 1, store.Delta{}); err != nil {
			t.Fatal(err)
		}
	}
	return f
}

// Pod is the i-th pod of a filled cluster.
func Pod(i int) topo.Node {
	n := pod(fmt.Sprintf("web-%06d", i), "app", fmt.Sprint("app-", i/20), "hash", fmt.Sprint(i), "tier", "front")
	n.Ref.Namespace = fmt.Sprint("team-", i%20)
	n.Attrs = append([]topo.Pair{{Key: "app", Value: fmt.Sprint("app-", i/20)}}, n.Attrs...)
	return n
}

func crowd(pods int) (d store.Delta) {
	for i := range pods {
		n := Pod(i)
		d.Nodes = append(d.Nodes, n)
		d.Edges = append(d.Edges, edge(n.Ref, Pod(i/10).Ref, "owner"))
		d.Events = append(d.Events, topo.Event{UID: fmt.Sprint("e", i), Namespace: n.Ref.Namespace, Regarding: n.Ref, Type: "Normal", Last: int64(i)})
	}
	return d
}

// HotQueries asks what interfaces ask all the time; name is told before each. No plan of theirs may walk a table.
func HotQueries(ctx context.Context, t testing.TB, r store.Reader, f Fleet, name func(string)) {
	t.Helper()
	all := fleet.View{Tenant: f.Tenant, Everything: true}
	few := fleet.View{Tenant: f.Tenant, Clusters: map[fleet.ClusterID][]string{f.At.Cluster: {"team-1"}, f.First: nil}}
	pods, one := []topo.GroupKind{{Kind: "Pod"}}, []fleet.ClusterID{f.At.Cluster}
	middle := &store.Key{Ref: Pod(f.Pods / 2).Ref, Cluster: f.At.Cluster}
	label := func(key, value string) []store.Requirement {
		return []store.Requirement{{Key: key, Op: store.In, Values: []string{value}}}
	}
	some := []topo.ID{Pod(1).Ref.ID(), Pod(2).Ref.ID(), Pod(3).Ref.ID()}
	about := Pod(5).Ref
	err := r.Read(ctx, f.Tenant, func(ctx context.Context, s store.Snapshot) error {
		lists := []struct {
			name   string
			filter store.Filter
			after  *store.Key
		}{
			{"everything", store.Filter{View: all}, nil},
			{"everything, further on", store.Filter{View: all}, middle},
			{"a kind", store.Filter{View: all, Kinds: pods}, middle},
			{"a cluster", store.Filter{View: all, Clusters: one}, middle},
			{"a kind in a cluster", store.Filter{View: all, Clusters: one, Kinds: pods}, middle},
			{"a kind in a namespace of a cluster", store.Filter{View: all, Clusters: one, Kinds: pods, Namespaces: []string{"team-3"}}, nil},
			{"one object everywhere", store.Filter{View: all, Kinds: pods, Namespaces: []string{"team-5"}, Names: []string{"web-000005"}}, nil},
			{"a rare label", store.Filter{View: all, Labels: label("app", "app-7")}, nil},
			{"a rare label in a cluster", store.Filter{View: all, Clusters: one, Labels: label("hash", "77")}, nil},
			{"two clusters of many", store.Filter{View: few, Kinds: pods}, middle},
			{"a common label", store.Filter{View: all, Kinds: pods, Labels: label("tier", "front")}, middle},
		}
		for _, l := range lists {
			name(l.name)
			rows, err := s.Resources(ctx, l.filter, l.after, 100)
			if err != nil || len(rows) == 0 {
				t.Errorf("%s: %d rows, %v", l.name, len(rows), err)
			}
		}
		return hotGraph(ctx, s, f, some, about, all, name)
	})
	if err != nil {
		t.Error(err)
	}
}

func hotGraph(ctx context.Context, s store.Snapshot, f Fleet, ids []topo.ID, about topo.Ref, all fleet.View, name func(string)) error {
	for _, q := range []struct {
		name string
		ask  func() error
	}{
		{"nodes", func() error { _, err := s.Nodes(ctx, f.At, ids); return err }},
		{"edges out", func() error { _, err := s.EdgesOf(ctx, f.At, ids, store.Out, nil, 100); return err }},
		{"edges in", func() error { _, err := s.EdgesOf(ctx, f.At, ids, store.Into, nil, 100); return err }},
		{"edges both ways", func() error {
			_, err := s.EdgesOf(ctx, f.At, ids, store.Both, []topo.EdgeType{topo.Mounts}, 100)
			return err
		}},
		{"edges among", func() error { _, err := s.EdgesAmong(ctx, f.At, ids, nil, 100); return err }},
		{"newest events", func() error { _, err := s.Events(ctx, store.EventFilter{View: all, Limit: 50}); return err }},
		{"a cluster's events", func() error {
			_, err := s.Events(ctx, store.EventFilter{View: all, Clusters: []fleet.ClusterID{f.At.Cluster}, Limit: 50})
			return err
		}},
		{"an object's events", func() error {
			_, err := s.Events(ctx, store.EventFilter{View: all, Clusters: []fleet.ClusterID{f.At.Cluster}, Regarding: &about, Limit: 50})
			return err
		}},
	} {
		name(q.name)
		if err := q.ask(); err != nil {
			return fmt.Errorf("%s: %w", q.name, err)
		}
	}
	return nil
}

// FoundQueries are questions that are asked by typing: of what is common, rare and not there at all.
func FoundQueries(ctx context.Context, t testing.TB, r store.Reader, f Fleet, name func(string)) {
	t.Helper()
	all := fleet.View{Tenant: f.Tenant, Everything: true}
	pods, one := []topo.GroupKind{{Kind: "Pod"}}, []fleet.ClusterID{f.At.Cluster}
	terms := func(t ...store.Term) store.Filter { return store.Filter{View: all, Terms: t} }
	err := r.Read(ctx, f.Tenant, func(ctx context.Context, s store.Snapshot) error {
		for _, q := range []struct {
			name   string
			filter store.Filter
			found  bool
		}{
			{"a common word", terms(like("text", "*web*")), true}, {"a rare word", terms(like("text", "*000077*")), true}, {"a word that isn't there", terms(like("text", "*nowhere*")), false},
			{"a word and a namespace", terms(like("text", "*web*"), like("namespace", "team-7")), true}, {"a rare name", terms(like("name", "*-000077")), true},
			{"a health that isn't there", terms(like("health", "error")), false}, {"a namespace that isn't there", terms(like("namespace", "none*")), false},
			{"a kind in any case", terms(like("kind", "pOd"), like("namespace", "team-1*")), true}, {"an image that isn't there", terms(like("image", "*nowhere*")), false},
		} {
			name(q.name)
			rows, _, err := s.Search(ctx, q.filter, 50)
			if err != nil || (len(rows) > 0) != q.found {
				t.Errorf("%s: %d rows, %v", q.name, len(rows), err)
			}
		}
		name("what nothing points at")
		if rows, err := s.Unlinked(ctx, store.Filter{View: all, Kinds: pods}, store.Into, nil, nil, 100); err != nil || len(rows) != 100 {
			t.Errorf("%d rows, %v", len(rows), err)
		}
		name("what is missing")
		if edges, err := s.Dangling(ctx, store.Filter{View: all, Clusters: one}, nil, 100); err != nil || len(edges) != 0 {
			t.Errorf("%d edges, %v", len(edges), err)
		}
		name("typed-ahead labels")
		if values, err := s.Values(ctx, store.Filter{View: all}, "label:app", "app-7", 10); err != nil || len(values) != 10 {
			t.Errorf("%d values, %v", len(values), err)
		}
		name("how many there are")
		if counts, err := s.Counts(ctx, all, nil); err != nil || len(counts) == 0 {
			t.Errorf("%d counts, %v", len(counts), err)
		}
		return nil
	})
	if err != nil {
		t.Error(err)
	}
}
