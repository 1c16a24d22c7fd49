package storetest

import (
	"context"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/kubilitics/kubilitics/hub/internal/fleet"
	"github.com/kubilitics/kubilitics/hub/internal/store"
	"github.com/kubilitics/kubilitics/shared/fault"
	"github.com/kubilitics/kubilitics/shared/topo"
)

func clustersOf(at store.Scope) []fleet.ClusterID { return []fleet.ClusterID{at.Cluster} }

// lists: pages of three join to the whole, in order, with the same names in two clusters.
func lists(t *testing.T, h *house) {
	var d store.Delta
	for _, kind := range []string{"Pod", "Service", "Lease"} {
		for i := range 5 {
			n := pod(fmt.Sprint("x", i))
			n.Ref.Kind = kind
			if i == 4 {
				n.Ref.Group, n.Ref.Namespace = "z.io", ""
			}
			if i == 3 {
				n.Presence = topo.Missing
			}
			d.Nodes = append(d.Nodes, n)
		}
	}
	one, two := h.loaded(d), h.loaded(d)
	rows := h.list(store.Filter{})
	h.equal(len(rows), 24)
	inOrder := slices.IsSortedFunc(rows, func(a, b store.Row) int {
		if c := a.Node.Ref.Compare(b.Node.Ref); c != 0 {
			return c
		}
		return int(a.Cluster>>32) - int(b.Cluster>>32)
	})
	if !inOrder {
		t.Fatal("the list is not in the order of keys")
	}
	h.equal(len(h.list(store.Filter{Clusters: clustersOf(one.at)})), 12)
	h.equal(len(h.list(store.Filter{Clusters: clustersOf(one.at), Placeholders: true})), 15)
	h.equal(len(h.list(store.Filter{Clusters: []fleet.ClusterID{one.at.Cluster, two.at.Cluster, 99}})), 24)
	h.equal(len(h.list(store.Filter{Clusters: []fleet.ClusterID{99}})), 0)
	pods := topo.GroupKind{Kind: "Pod"}
	h.equal(len(h.list(store.Filter{Kinds: []topo.GroupKind{pods}})), 6)
	h.equal(len(h.list(store.Filter{Kinds: []topo.GroupKind{pods, {Group: "z.io", Kind: "Lease"}}})), 8)
	h.equal(len(h.list(store.Filter{Kinds: []topo.GroupKind{pods}, Namespaces: []string{"shop"}, Names: []string{"x0", "x1"}, Clusters: clustersOf(two.at)})), 2)
	h.equal(len(h.list(store.Filter{Namespaces: []string{"shop"}, Clusters: clustersOf(two.at)})), 9)
	h.equal(len(h.list(store.Filter{Namespaces: []string{"none"}})), 0)
	h.equal(len(h.list(store.Filter{Namespaces: []string{""}})), 6)

	// A list of one cluster goes on behind a key of any.
	h.read(func(s store.Snapshot) error {
		lo, hi := min(one.at.Cluster, two.at.Cluster), max(one.at.Cluster, two.at.Cluster)
		for _, c := range []struct {
			in, after fleet.ClusterID
			first     string
		}{{hi, lo, "x0"}, {lo, hi, "x1"}, {lo, lo, "x1"}} {
			page, err := s.Resources(h.ctx, store.Filter{View: h.everything(), Clusters: []fleet.ClusterID{c.in}, Kinds: []topo.GroupKind{pods}},
				&store.Key{Ref: ref("Pod", "x0"), Cluster: c.after}, 1)
			h.must(err)
			h.equal(page[0].Node.Ref.Name, c.first)
		}
		n, exact, err := s.Number(h.ctx, store.Filter{View: h.everything()}, 24)
		h.equal([]any{n, exact, err}, []any{24, true, nil})
		n, exact, err = s.Number(h.ctx, store.Filter{View: h.everything()}, 23)
		h.equal([]any{n, exact, err}, []any{23, false, nil})
		found, err := s.Nodes(h.ctx, one.at, []topo.ID{ref("Pod", "x3").ID(), ref("Pod", "none").ID()})
		h.equal([]any{len(found), found[0].Node}, []any{1, d.Nodes[3]})
		return err
	})
}

func selectors(t *testing.T, h *house) {
	failed := pod("c", "app", "api")
	failed.Health, failed.Status = topo.Error, "Failed"
	deploy := pod("d", "app", "web")
	deploy.Ref.Group, deploy.Ref.Kind = "apps", "Deployment"
	h.loaded(store.Delta{Nodes: []topo.Node{pod("a", "app", "web", "tier", "front"), pod("b"), failed, deploy}})
	for _, c := range []struct {
		labels, fields []store.Requirement
		want           string
	}{
		{labels: []store.Requirement{{Key: "app", Op: store.In, Values: []string{"web"}}}, want: "ad"},
		{labels: []store.Requirement{{Key: "app", Op: store.In, Values: []string{"web", "api"}}}, want: "acd"},
		{labels: []store.Requirement{{Key: "app", Op: store.NotIn, Values: []string{"web"}}}, want: "bc"},
		{labels: []store.Requirement{{Key: "app", Op: store.Exists}}, want: "acd"},
		{labels: []store.Requirement{{Key: "app", Op: store.NotExists}}, want: "b"},
		{labels: []store.Requirement{{Key: "app", Op: store.Exists}, {Key: "tier", Op: store.NotExists}}, want: "cd"},
		{labels: []store.Requirement{{Key: "it's", Op: store.In, Values: []string{"'; --"}}}, want: ""},
		{fields: []store.Requirement{{Key: "status", Op: store.In, Values: []string{"Failed"}}}, want: "c"},
		{fields: []store.Requirement{{Key: "status", Op: store.NotIn, Values: []string{"Failed", "Pending"}}}, want: "abd"},
		{fields: []store.Requirement{{Key: "health", Op: store.In, Values: []string{"error", "warning"}}}, want: "c"},
		{fields: []store.Requirement{{Key: "name", Op: store.In, Values: []string{"a"}}}, want: "a"},
		{fields: []store.Requirement{{Key: "namespace", Op: store.NotIn, Values: []string{"shop"}}}, want: ""},
		{fields: []store.Requirement{{Key: "kind", Op: store.In, Values: []string{"Deployment.apps", "Job"}}}, want: "d"},
		{fields: []store.Requirement{{Key: "kind", Op: store.NotIn, Values: []string{"Deployment"}}}, want: "abc"},
		{fields: []store.Requirement{{Key: "uid", Op: store.In, Values: []string{"uid-b"}}}, want: "b"},
		{fields: []store.Requirement{{Key: "presence", Op: store.In, Values: []string{"missing"}}}, want: ""},
	} {
		got := []byte{}
		for _, n := range h.nodes(store.Filter{Labels: c.labels, Fields: c.fields}) {
			got = append(got, n.Ref.Name...)
		}
		slices.Sort(got)
		if string(got) != c.want {
			t.Errorf("%v %v gives %q, not %q", c.labels, c.fields, got, c.want)
		}
	}
	for _, f := range []store.Filter{
		{Fields: []store.Requirement{{Key: "color", Op: store.In, Values: []string{"red"}}}},
		{Fields: []store.Requirement{{Key: "health", Op: store.In, Values: []string{"fine"}}}},
		{Fields: []store.Requirement{{Key: "name", Op: store.Exists}}},
		{Labels: []store.Requirement{{Key: "app", Op: store.In}}},
		{Labels: []store.Requirement{{Key: "app", Op: "like"}}},
	} {
		f.View = h.everything()
		h.wantCode(h.Store.Read(h.ctx, h.tenant, func(ctx context.Context, s store.Snapshot) error {
			_, err := s.Resources(ctx, f, nil, 1)
			return err
		}), fault.BadRequest)
	}
}

// views: a principal's namespaces hold for lists, numbers, counts, edges and events alike.
func views(_ *testing.T, h *house) {
	other := topo.Ref{Kind: "Pod", Namespace: "bank", Name: "b"}
	wide := topo.Ref{Kind: "Node", Name: "n"}
	d := store.Delta{
		Nodes:  []topo.Node{pod("a"), {Ref: other}, {Ref: wide}},
		Edges:  []topo.Edge{edge(ref("Pod", "a"), ref("Pod", "a"), "self"), edge(ref("Pod", "a"), other, "r"), edge(other, wide, "r")},
		Events: []topo.Event{{UID: "e1", Namespace: "shop"}, {UID: "e2", Namespace: "bank"}},
	}
	one, two := h.loaded(d), h.loaded(d)
	for _, c := range []struct {
		view                fleet.View
		rows, edges, events int
	}{
		{h.everything(), 6, 6, 4},
		{fleet.View{Clusters: map[fleet.ClusterID][]string{one.at.Cluster: nil}}, 3, 3, 2},
		{fleet.View{Clusters: map[fleet.ClusterID][]string{one.at.Cluster: {"shop"}}}, 1, 1, 1},
		{fleet.View{Clusters: map[fleet.ClusterID][]string{one.at.Cluster: {"bank", "shop"}}}, 2, 2, 2},
		{fleet.View{Clusters: map[fleet.ClusterID][]string{one.at.Cluster: {"shop"}, two.at.Cluster: nil}}, 4, 4, 3},
		{fleet.View{Clusters: map[fleet.ClusterID][]string{one.at.Cluster: {"shop"}, two.at.Cluster: {"bank"}}}, 2, 1, 2},
		{fleet.View{Clusters: map[fleet.ClusterID][]string{0: {"shop"}}}, 2, 2, 2},
		{fleet.View{Clusters: map[fleet.ClusterID][]string{}}, 0, 0, 0},
	} {
		c.view.Tenant = h.tenant
		h.equal(len(h.list(store.Filter{View: c.view})), c.rows)
		h.read(func(s store.Snapshot) error {
			n, _, err := s.Number(h.ctx, store.Filter{View: c.view}, 100)
			h.must(err)
			h.equal(n, c.rows)
			counts, err := s.Counts(h.ctx, c.view, nil)
			h.must(err)
			sum := 0
			for _, x := range counts {
				sum += x.Number
			}
			h.equal(sum, c.rows)
			edges, err := s.EdgeCounts(h.ctx, c.view, nil)
			h.must(err)
			h.equal(edges[one.at.Cluster]+edges[two.at.Cluster], c.edges)
			events, err := s.Events(h.ctx, store.EventFilter{View: c.view, Limit: 10})
			h.equal(len(events), c.events)
			return err
		})
	}
}

func edges(t *testing.T, h *house) {
	a, b, c := ref("Pod", "a"), ref("Secret", "b"), ref("Pod", "c")
	ab, ab2, cb, aa := edge(a, b, "r1"), edge(a, b, "r2"), edge(c, b, "r1"), edge(a, a, "r1")
	ab2.Type, ab2.Disc, ab2.Attrs = topo.References, "env", []topo.Pair{{Key: "optional", Value: "true"}}
	s := h.loaded(store.Delta{Nodes: []topo.Node{pod("a"), pod("c")}, Edges: []topo.Edge{ab, ab2, cb, aa}})
	h.read(func(snap store.Snapshot) error {
		for _, q := range []struct {
			ids   []topo.Ref
			d     store.Direction
			types []topo.EdgeType
			limit int
			want  int
		}{
			{[]topo.Ref{a}, store.Out, nil, 10, 3}, {[]topo.Ref{a}, store.Into, nil, 10, 1}, {[]topo.Ref{b}, store.Into, nil, 10, 3},
			{[]topo.Ref{a, b}, store.Both, nil, 10, 4}, {[]topo.Ref{a}, store.Both, nil, 10, 3}, {[]topo.Ref{a}, store.Out, []topo.EdgeType{topo.References}, 10, 1},
			{[]topo.Ref{b}, store.Both, []topo.EdgeType{topo.References, topo.Mounts}, 2, 2}, {[]topo.Ref{a, b}, store.Both, nil, 3, 3}, {nil, store.Both, nil, 3, 0},
		} {
			ids := make([]topo.ID, len(q.ids))
			for i := range q.ids {
				ids[i] = q.ids[i].ID()
			}
			got, err := snap.EdgesOf(h.ctx, s.at, ids, q.d, q.types, q.limit)
			h.must(err)
			if len(got) != q.want {
				t.Errorf("%s of %v %v: %d edges, not %d", q.d, q.ids, q.types, len(got), q.want)
			}
		}
		among, err := snap.EdgesAmong(h.ctx, s.at, []topo.ID{a.ID(), b.ID()}, nil, 10)
		h.must(err)
		h.equal(len(among), 3)
		refs, err := snap.EdgesAmong(h.ctx, s.at, []topo.ID{a.ID(), b.ID()}, []topo.EdgeType{topo.References}, 10)
		h.must(err)
		h.equal([]any{refs[0].Edge, refs[0].ID, refs[0].Cluster, refs[0].Since}, []any{ab2, ab2.Key(), s.at.Cluster, snap.Position()})
		_, err = snap.EdgesOf(h.ctx, s.at, []topo.ID{a.ID()}, "sideways", nil, 1)
		h.wantCode(err, fault.BadRequest)
		return nil
	})
}

// fans: of what leads to a node, so many as are wanted, and none takes a place that the view doesn't show.
func fans(_ *testing.T, h *house) {
	m := ref("Secret", "m")
	d := store.Delta{Nodes: []topo.Node{{Ref: m, Health: topo.OK}}}
	for i := range 8 {
		n := pod(fmt.Sprint("p", i))
		if i < 6 {
			n.Ref.Namespace = "bank"
		}
		d.Nodes, d.Edges = append(d.Nodes, n), append(d.Edges, edge(n.Ref, m, "r1"))
	}
	s := h.loaded(d)
	h.read(func(snap store.Snapshot) error {
		for _, c := range []struct {
			spaces    []string
			each, all int
		}{{nil, 9, 8}, {nil, 3, 3}, {[]string{"shop"}, 3, 2}, {[]string{"bank", "shop"}, 9, 8}, {[]string{"bank"}, 9, 0}} {
			v := fleet.View{Tenant: h.tenant, Clusters: map[fleet.ClusterID][]string{s.at.Cluster: c.spaces}}
			got, err := snap.Fans(h.ctx, v, s.at, []topo.ID{m.ID()}, store.Into, nil, c.each, 100)
			h.must(err)
			h.equal(len(got), c.all)
		}
		_, err := snap.Fans(h.ctx, fleet.View{Tenant: h.tenant + 1, Everything: true}, s.at, []topo.ID{m.ID()}, store.Into, nil, 1, 1)
		h.wantCode(err, fault.Forbidden)
		return nil
	})
}

func manifests(_ *testing.T, h *house) {
	m := manifest("a", "{}")
	s := h.loaded(store.Delta{Nodes: []topo.Node{pod("a")}, Manifests: []topo.Manifest{m}})
	next := manifest("a", `{"kind":"Pod"}`)
	s.apply(store.Delta{Manifests: []topo.Manifest{next, manifest("early", "x")}})
	h.read(func(snap store.Snapshot) error {
		got, err := snap.Manifest(h.ctx, s.at, m.Ref.ID())
		h.equal(got, next)
		h.must(err)
		early, err := snap.Manifest(h.ctx, s.at, ref("Pod", "early").ID()) // before its node
		h.equal(early.Ref, ref("Pod", "early"))
		return err
	})
	h.sound(s.at)
}

func events(_ *testing.T, h *house) {
	var d store.Delta
	for i := range 7 {
		d.Events = append(d.Events, topo.Event{UID: fmt.Sprint("e", i), Namespace: "shop", Name: fmt.Sprint("n", i), Regarding: ref("Pod", fmt.Sprint("p", i%2)), Type: []string{"Normal", "Warning"}[i%2],
			Reason: "R", Message: "m", Source: "kubelet", Count: 1, First: 1, Last: int64(10 + i/2)})
	}
	one, two := h.loaded(store.Delta{}), h.loaded(store.Delta{})
	h.equal(one.apply(d).Changed, 7)
	two.apply(d)
	through, err := h.Store.EventsThrough(h.ctx, one.at)
	h.must(err)
	h.equal(through, int64(13))
	h.equal(one.apply(d).Changed, 0)
	d.Events[0].Count++
	a := one.apply(d)
	h.equal(a.Changed, 1)
	entries, err := h.Store.Entries(h.ctx, h.tenant, a.Position-1, 1)
	h.must(err)
	h.equal(entries[0].Events, d.Events[:1])
	h.read(func(s store.Snapshot) error {
		f := store.EventFilter{View: h.everything(), Limit: 3}
		var all []store.EventRow
		for {
			page, err := s.Events(h.ctx, f)
			h.must(err)
			if len(page) == 0 {
				break
			}
			all = append(all, page...)
			last := page[len(page)-1]
			f.Before = &store.EventKey{Last: last.Event.Last, Cluster: last.Cluster, UID: last.Event.UID}
		}
		h.equal(len(all), 14)
		for i := 1; i < len(all); i++ {
			x, y := all[i-1], all[i]
			if x.Event.Last < y.Event.Last || (x.Event.Last == y.Event.Last && (x.Cluster > y.Cluster || (x.Cluster == y.Cluster && x.Event.UID >= y.Event.UID))) {
				h.Fatalf("%v stands before %v", x, y)
			}
		}
		about := ref("Pod", "p1")
		got, err := s.Events(h.ctx, store.EventFilter{View: h.everything(), Clusters: clustersOf(two.at), Regarding: &about, Types: []string{"Warning"}, Namespaces: []string{"shop"}, Limit: 10})
		h.equal(len(got), 3)
		h.equal(got[0].Event, d.Events[5])
		return err
	})
}

func counts(_ *testing.T, h *house) {
	failed := pod("c")
	failed.Health = topo.Error
	missing := pod("m")
	missing.Presence = topo.Missing
	s := h.loaded(store.Delta{Nodes: []topo.Node{pod("a"), pod("b"), failed, missing}, Edges: []topo.Edge{edge(ref("Pod", "a"), ref("Pod", "b"), "r")}})
	h.loaded(store.Delta{Nodes: []topo.Node{pod("a")}})
	h.read(func(snap store.Snapshot) error {
		got, err := snap.Counts(h.ctx, h.everything(), clustersOf(s.at))
		h.must(err)
		kind := topo.GroupKind{Kind: "Pod"}
		h.equal(got, []store.Count{{Cluster: s.at.Cluster, Kind: kind, Health: topo.OK, Number: 2}, {Cluster: s.at.Cluster, Kind: kind, Health: topo.Error, Number: 1}})
		edges, err := snap.EdgeCounts(h.ctx, h.everything(), nil)
		h.equal(edges, map[fleet.ClusterID]int{s.at.Cluster: 1})
		return err
	})
	// What there is no more of is not counted for ever.
	gone := store.Delta{}
	for _, name := range []string{"a", "b", "c", "m"} {
		gone.GoneNodes = append(gone.GoneNodes, ref("Pod", name).ID())
	}
	e := edge(ref("Pod", "a"), ref("Pod", "b"), "r")
	gone.GoneEdges = []topo.EdgeID{e.Key()}
	s.apply(gone)
	_, err := h.Store.Trim(h.ctx, store.Keep{Feed: time.Hour, History: time.Hour, Events: time.Hour}, 1000)
	h.must(err)
	h.equal([]int{h.count("counts"), h.count("edge_counts")}, []int{1, 0})
}

// snapshotIsOne: what is committed while a snapshot is open is not seen in it.
func snapshotIsOne(_ *testing.T, h *house) {
	s := h.loaded(store.Delta{Nodes: []topo.Node{pod("a")}})
	h.read(func(snap store.Snapshot) error {
		before, err := snap.Resources(h.ctx, store.Filter{View: h.everything()}, nil, 10)
		h.must(err)
		s.apply(store.Delta{Nodes: []topo.Node{pod("b")}, GoneNodes: []topo.ID{ref("Pod", "a").ID()}})
		after, err := snap.Resources(h.ctx, store.Filter{View: h.everything()}, nil, 10)
		h.equal(after, before)
		list, err2 := snap.Clusters(h.ctx)
		h.must(err2)
		h.equal(list[0].FirstSeen, int64(snap.Position()))
		if snap.At().IsZero() {
			h.Fatal("the position has no instant")
		}
		return err
	})
	err := h.Store.Read(h.ctx, 12345, func(context.Context, store.Snapshot) error { return nil })
	h.wantCode(err, fault.NotFound)
}
