package query

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/kubilitics/kubilitics/hub/internal/query/querytest"
	"github.com/kubilitics/kubilitics/hub/internal/store"
	"github.com/kubilitics/kubilitics/shared/fault"
	"github.com/kubilitics/kubilitics/shared/topo"
)

func vertex(i int) string { return fmt.Sprintf("Thing g/v%02d", i) }

// random makes a graph of n nodes, with edges of two types, some of them parallel.
func random(rng *rand.Rand, n, edges int) topo.Delta {
	var d topo.Delta
	for i := range n {
		d.Nodes = append(d.Nodes, querytest.Node(vertex(i)))
	}
	have := map[string]bool{}
	for range edges {
		s, t, typ := rng.IntN(n), rng.IntN(n), []topo.EdgeType{topo.References, topo.Owns}[rng.IntN(2)]
		if key := fmt.Sprint(s, t, typ); !have[key] {
			have[key] = true
			d.Edges = append(d.Edges, querytest.Edge(vertex(s), typ, vertex(t)))
		}
	}
	return d
}

// naive gives each node's neighbours.
func naive(d topo.Delta, dir store.Direction, types ...topo.EdgeType) map[topo.ID][]topo.ID {
	next := map[topo.ID][]topo.ID{}
	for _, e := range d.Edges {
		if len(types) > 0 && !slices.Contains(types, e.Type) {
			continue
		}
		s, t := e.Source.ID(), e.Target.ID()
		if dir != store.Into && !slices.Contains(next[s], t) {
			next[s] = append(next[s], t)
		}
		if dir != store.Out && !slices.Contains(next[t], s) {
			next[t] = append(next[t], s)
		}
	}
	return next
}

// shortest lists all shortest paths by trying every way.
func shortest(next map[topo.ID][]topo.ID, from, to topo.ID, most int) (paths []string) {
	front := [][]topo.ID{{from}}
	for range most + 1 {
		var on [][]topo.ID
		for _, p := range front {
			if p[len(p)-1] == to {
				var text string
				for _, id := range p {
					text += id.String() + " "
				}
				paths = append(paths, text)
			}
			for _, n := range next[p[len(p)-1]] {
				if !slices.Contains(p, n) {
					on = append(on, append(slices.Clone(p), n))
				}
			}
		}
		if paths != nil {
			slices.Sort(paths)
			return paths
		}
		front = on
	}
	return nil
}

func TestPathsAgreeWithTryingEveryWay(t *testing.T) {
	st, p := fresh(t)
	rng := rand.New(rand.NewPCG(1, 2))
	q := New(st)
	for i := range 5 {
		d := random(rng, 14, 12+6*i)
		c := querytest.New(t, st, p.Tenant, fmt.Sprint("c", i)).Load(d)
		for range 20 {
			from, to := querytest.Ref(vertex(rng.IntN(14))).ID(), querytest.Ref(vertex(rng.IntN(14))).ID()
			dir := []store.Direction{store.Both, store.Out, store.Into}[rng.IntN(3)]
			types := [][]topo.EdgeType{nil, {topo.Owns}}[rng.IntN(2)]
			out, err := q.Paths(t.Context(), p, PathQuestion{Cluster: c.ID, From: from, To: to, Direction: dir, Types: types, MaxLength: 5, Limit: MaxPaths})
			if err != nil {
				t.Fatal(err)
			}
			var got []string
			for _, path := range out.Paths {
				text := ""
				for _, id := range path {
					text += id + " "
				}
				got = append(got, text)
			}
			slices.Sort(got)
			want := shortest(naive(d, dir, types...), from, to, 5)
			if !slices.Equal(got, want) || out.Total.Count != len(want) {
				t.Fatalf("%s, types %v: %d of %d paths (%s)\n%v\nwant %d\n%v", dir, types, len(got), out.Total.Count, out.Outcome, got, len(want), want)
			}
			checkPaths(t, out)
		}
	}
}

// checkPaths looks whether every step of every path has its edge, and every edge its nodes.
func checkPaths(t *testing.T, out *Paths) {
	t.Helper()
	steps, nodes := map[string]bool{}, map[string]bool{}
	for _, e := range out.Edges {
		steps[e.Source.ID+e.Target.ID], steps[e.Target.ID+e.Source.ID] = true, true
	}
	for _, n := range out.Nodes {
		nodes[n.ID] = true
	}
	for _, p := range out.Paths {
		for i := range p {
			if !nodes[p[i]] || (i > 0 && !steps[p[i-1]+p[i]]) {
				t.Fatalf("the step to %s isn't in the answer", p[i])
			}
		}
	}
}

func TestPathsSayWhyTheyFindNone(t *testing.T) {
	st, p := fresh(t)
	var d topo.Delta
	for i := range 14 {
		d.Nodes = append(d.Nodes, querytest.Node(vertex(i)))
		if i > 0 && i < 13 {
			d.Edges = append(d.Edges, querytest.Edge(vertex(i-1), topo.Owns, vertex(i)))
		}
	}
	c := querytest.New(t, st, p.Tenant, "c").Load(d)
	q := New(st)
	ask := func(from, to, most int) (*Paths, error) {
		return q.Paths(t.Context(), p, PathQuestion{Cluster: c.ID, From: querytest.Ref(vertex(from)).ID(), To: querytest.Ref(vertex(to)).ID(), MaxLength: most})
	}
	for _, x := range []struct {
		from, to, most int
		outcome        string
		length         int
	}{{0, 8, 0, PathsFound, 8}, {0, 9, 0, PathsTooLong, 0}, {12, 0, 12, PathsFound, 12}, {0, 13, 12, PathsNone, 0}, {3, 3, 1, PathsFound, 0}} {
		out, err := ask(x.from, x.to, x.most)
		if err != nil || out.Outcome != x.outcome || out.Length != x.length || (out.Outcome == PathsTooLong) != (out.Truncated != nil) {
			t.Errorf("%d to %d within %d: %+v %v", x.from, x.to, x.most, out, err)
		}
	}
	if _, err := ask(0, 99, 0); !fault.Is(err, fault.NotFound) {
		t.Errorf("an end that isn't there: %v", err)
	}
	for _, bad := range []PathQuestion{{MaxLength: 13}, {MaxLength: -1}, {Direction: "up"}, {Limit: 1000}} {
		bad.Cluster = c.ID
		if _, err := q.Paths(t.Context(), p, bad); !fault.Is(err, fault.BadRequest) || len(fault.Public(err).Fields) != 1 {
			t.Errorf("%+v: %v", bad, err)
		}
	}
}

// A path through what may not be seen is none, and doesn't show by its length.
func TestPathsKeepToWhatMayBeSeen(t *testing.T) {
	st, p := fresh(t)
	c := querytest.New(t, st, p.Tenant, "c").Load(topo.Delta{
		Nodes: []topo.Node{querytest.Node("Pod a/x"), querytest.Node("Pod hidden/y"), querytest.Node("Pod b/z"), querytest.Node("Pod a/u"), querytest.Node("Pod a/v")},
		Edges: []topo.Edge{
			querytest.Edge("Pod a/x", topo.References, "Pod hidden/y"), querytest.Edge("Pod hidden/y", topo.References, "Pod b/z"),
			querytest.Edge("Pod a/x", topo.References, "Pod a/u"), querytest.Edge("Pod a/u", topo.References, "Pod a/v"), querytest.Edge("Pod a/v", topo.References, "Pod b/z"),
		},
	})
	ask := PathQuestion{Cluster: c.ID, From: querytest.Ref("Pod a/x").ID(), To: querytest.Ref("Pod b/z").ID()}
	q := New(st)
	for length, eyes := range map[int][]string{2: {"*"}, 3: {"a", "b"}} {
		if out, err := q.Paths(t.Context(), may(p.Tenant, eyes...), ask); err != nil || out.Length != length {
			t.Errorf("%v: %+v %v", eyes, out, err)
		}
	}
	if _, err := q.Paths(t.Context(), may(p.Tenant, "a"), ask); !fault.Is(err, fault.NotFound) {
		t.Errorf("to a hidden end: %v", err)
	}
}
