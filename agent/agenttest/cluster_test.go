package agenttest

import (
	"testing"

	"github.com/kubilitics/kubilitics/shared/reduce"
	"github.com/kubilitics/kubilitics/shared/rules"
	"github.com/kubilitics/kubilitics/shared/topo"
	"github.com/kubilitics/kubilitics/shared/topo/topotest"
)

func made(t *testing.T, seed uint64, objects int) (*cluster, *topo.Engine) {
	t.Helper()
	table, err := rules.Default()
	if err != nil {
		t.Fatal(err)
	}
	return newCluster(seed, objects, 0, true, reduce.New(table)), topo.NewEngine(table)
}

// drain tells an engine all there is.
func drain(t *testing.T, c *cluster, e *topo.Engine) (changes int) {
	t.Helper()
	for {
		n, some := c.tell()
		if !some {
			return changes
		}
		for _, k := range n.Kinds {
			e.Observe(k.GroupKind, topo.KindState{Namespaced: k.Namespaced, Observed: k.Observed})
		}
		for _, ch := range n.Changes {
			e.Apply(ch)
			changes++
		}
	}
}

func graphOf(t *testing.T, e *topo.Engine) topotest.Graph {
	t.Helper()
	g, err := topotest.Read(e)
	if err != nil {
		t.Fatal(err)
	}
	return g
}

func TestTheClusterIsLikeARealOne(t *testing.T) {
	const objects = 20 * 1000
	c, e := made(t, 7, objects)
	drain(t, c, e)
	g := graphOf(t, e)
	health, presence := map[topo.Health]int{}, map[topo.Presence]int{}
	for _, n := range g.Nodes {
		if n.Ref.Group != rules.OwnGroup { // hosts and the like are no objects
			health[n.Health]++
			presence[n.Presence]++
		}
	}
	t.Logf("%d nodes, %d edges, health %v", len(g.Nodes), len(g.Edges), health)
	if presence[topo.Present] != objects || presence[topo.Missing] > 40 { // the last application is cut off
		t.Errorf("nodes by presence: %v", presence)
	}
	if per := float64(len(g.Edges)) / objects; per < 1.9 || per > 2.3 {
		t.Errorf("%.2f edges an object, not about two", per)
	}
	if health[topo.OK] < objects/4 || health[topo.Error] > 0 {
		t.Errorf("nodes by health: %v", health)
	}
}

func TestEqualSeedsMakeEqualClusters(t *testing.T) {
	var sums [3]topo.Digest
	for i, seed := range []uint64{1, 1, 2} {
		c, e := made(t, seed, 500)
		drain(t, c, e)
		sums[i], _ = e.Digests()
	}
	if sums[0] != sums[1] || sums[0] == sums[2] {
		t.Error("clusters depend on more, or on less, than their seed")
	}
}

func TestChangesChangeWhatTheySay(t *testing.T) {
	c, e := made(t, 3, 2000)
	drain(t, c, e)
	before := graphOf(t, e)
	rows := func() (differ int) {
		for id, n := range graphOf(t, e).Nodes {
			if old, ok := before.Nodes[id]; !ok || old.Hash() != n.Hash() {
				differ++
			}
		}
		return differ
	}
	c.touch(100)
	if n := drain(t, c, e); n != 100 || rows() != 100 {
		t.Errorf("a touch of 100 pods told %d changes and changed %d rows", n, rows())
	}
	c.remove(50)
	if n := drain(t, c, e); n != 50 || c.len() != 1950 {
		t.Errorf("50 removals told %d changes and left %d objects", n, c.len())
	}
	c.add(70)
	if n := drain(t, c, e); n != 70 || c.len() != 2020 {
		t.Errorf("70 new ones told %d changes and made it %d objects", n, c.len())
	}
	c.replace(20)
	if n := drain(t, c, e); n == 0 || n > 20 {
		t.Errorf("20 made anew told %d changes", n)
	}
}

// A text read again is the one that was told, else a hub would be sent it for ever.
func TestReadingAgainGivesTheSameText(t *testing.T) {
	c, _ := made(t, 5, 200)
	n, _ := c.tell()
	var refs []topo.Ref
	for _, m := range n.Manifests {
		refs = append(refs, m.Ref)
	}
	var again []topo.Manifest
	err := c.Read(t.Context(), append(refs, topo.Ref{Kind: "Pod", Namespace: "a", Name: "gone"}), func(m topo.Manifest) error {
		again = append(again, m)
		return nil
	})
	if err != nil || len(again) != len(refs) || len(refs) != 200 {
		t.Fatalf("told %d texts, read %d, %v", len(refs), len(again), err)
	}
	for i := range again {
		if again[i].Hash != n.Manifests[i].Hash {
			t.Errorf("%s reads otherwise", again[i].Ref)
		}
	}
}
