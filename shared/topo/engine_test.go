package topo_test

import (
	"fmt"
	"path/filepath"
	"testing"

	"github.com/kubilitics/kubilitics/shared/topo"
	"github.com/kubilitics/kubilitics/shared/topo/topotest"
)

func TestScenarios(t *testing.T) {
	files, err := filepath.Glob("testdata/*.txt")
	if err != nil || len(files) == 0 {
		t.Fatalf("no scenarios: %v", err)
	}
	for _, f := range files {
		t.Run(filepath.Base(f), func(t *testing.T) {
			topotest.RunScenario(t, f, topotest.ToyExec(topo.NewEngine(topotest.ToyRules{})))
		})
	}
}

// FuzzEngine takes bytes for a sequence of changes. After each, what the diffs add up to, what the engine says row by
// row, and what the oracle builds from all objects must be the same graph.
func FuzzEngine(f *testing.F) {
	for seed := range 24 {
		raw := make([]byte, 400)
		x := uint32(seed*2654435761 + 12345)
		for i := range raw {
			x = x*1664525 + 1013904223
			raw[i] = byte(x >> 24)
		}
		f.Add(raw)
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		if len(raw) > 600 {
			return
		}
		m := machine{engine: topo.NewEngine(topotest.ToyRules{}), oracle: topotest.NewOracle(topotest.ToyRules{}), graph: topotest.NewGraph()}
		for src := (tape{raw: raw}); len(src.raw) > 0; {
			what, d := m.step(&src)
			if err := m.graph.Apply(d); err != nil {
				t.Fatalf("%s: %v\n%v", what, err, topotest.DiffLines(d))
			}
			if diff := topotest.Compare(m.graph, m.oracle.Graph()); diff != "" {
				t.Fatalf("%s: the diffs' graph against the oracle's:\n%s", what, diff)
			}
		}
		read, err := topotest.Read(m.engine)
		if err != nil {
			t.Fatal(err)
		}
		if diff := topotest.Compare(read, m.graph); diff != "" {
			t.Fatalf("the engine's rows against the diffs' graph:\n%s", diff)
		}
		for ref := range m.oracle.Objects {
			if err := m.graph.Apply(m.engine.Apply(topo.Change{Ref: ref})); err != nil {
				t.Fatalf("delete %s: %v", ref, err)
			}
		}
		if left := m.engine.Leftovers(); left != "" || len(m.graph.Nodes)+len(m.graph.Edges) > 0 {
			t.Fatalf("everything is deleted, and there are left:%s; %v", left, m.graph.Lines())
		}
	})
}

// tape reads choices from bytes; past their end every choice is the first.
type tape struct{ raw []byte }

func (s *tape) pick(n int) int {
	if len(s.raw) == 0 {
		return 0
	}
	b := s.raw[0]
	s.raw = s.raw[1:]
	return int(b) % n
}

func (s *tape) word(words ...string) string { return words[s.pick(len(words))] }

type machine struct {
	engine *topo.Engine
	oracle *topotest.Oracle
	graph  topotest.Graph
}

func (m *machine) step(s *tape) (string, topo.Diff) {
	switch s.pick(12) {
	case 0:
		gk := topo.GroupKind{Kind: s.word("Pod", "Config", "Set", "Wide")}
		m.oracle.Forget(gk)
		return "forget " + gk.Kind, m.engine.Forget(gk)
	case 1:
		gk := topo.GroupKind{Kind: s.word("Pod", "Config", "Set", "Wide", "Host")}
		return m.observe(gk, s.pick(2) == 0)
	case 2, 3, 4:
		ref := s.ref()
		m.oracle.Apply(topo.Change{Ref: ref})
		return "delete " + ref.String(), m.engine.Apply(topo.Change{Ref: ref})
	}
	ref := s.ref()
	if ref.Kind == "Wide" && m.oracle.Kinds[ref.GroupKind()].Namespaced == false {
		if _, known := m.oracle.Kinds[ref.GroupKind()]; !known {
			return m.observe(ref.GroupKind(), true)
		}
	}
	r := s.resource(ref)
	m.oracle.Apply(topo.Change{Ref: ref, Resource: r})
	copied := *r
	return fmt.Sprintf("apply %+v", *r), m.engine.Apply(topo.Change{Ref: ref, Resource: &copied})
}

func (m *machine) observe(gk topo.GroupKind, seen bool) (string, topo.Diff) {
	state := topo.KindState{Namespaced: gk.Kind != "Wide" && gk.Kind != "Host", Observed: seen}
	m.oracle.Kinds[gk] = state
	return fmt.Sprintf("observe %s %+v", gk, state), m.engine.Observe(gk, state)
}

func (s *tape) ref() topo.Ref {
	r := topo.Ref{Kind: s.word("Pod", "Pod", "Set", "Work", "Config", "Wide", "Service"), Name: s.word("a", "b", "c")}
	if r.Kind != "Wide" {
		r.Namespace = s.word("x", "x", "y")
	}
	return r
}

func (s *tape) resource(ref topo.Ref) *topo.Resource {
	r := &topo.Resource{
		Ref: ref, UID: s.word("1", "1", "2", "11111111-2222-3333-4444-555555555555"), Version: s.word("v1", "v2"),
		Status: s.word("", "Running"), Health: topo.Health(s.pick(3)),
	}
	for _, key := range []string{"app", "tier"} {
		if v := s.word("", "1", "2", "3"); v != "" {
			r.Labels = append(r.Labels, topo.Pair{Key: key, Value: v})
		}
	}
	if s.pick(3) == 0 {
		r.Attrs = []topo.Pair{{Key: "ready", Value: s.word("0/1", "1/1")}}
	}
	for range s.pick(3) {
		r.Owners = append(r.Owners, topo.Owner{
			Kind: s.word("Set", "Set", "Work", "Pod", "Wide"), Name: s.word("a", "b", "c"),
			UID: s.word("1", "1", "2", ""), Controller: s.pick(2) == 0,
		})
	}
	for i := range s.pick(5) {
		r.Facts = append(r.Facts, s.fact(int16(i)))
	}
	return r
}

func (s *tape) fact(i int16) topo.Fact {
	f := topo.Fact{Rule: uint16(1 + s.pick(11)), At: topo.At{i}}
	name := s.word("a", "b", "")
	selector := s.word("", "app=1", "app=1,tier=2", "app!=1", "tier", "!tier", "app=1|2", "tier=3")
	f.Values = [][]string{
		1:  {name, s.word("", "y"), s.word("", "true"), s.word("", "d")},
		2:  {name, s.word("", "x"), s.word("", "true"), s.word("", "d")},
		3:  {name},
		4:  {name, s.word("Wide", "Pod", "Unknown")},
		5:  {name},
		6:  {name},
		7:  {selector, s.word("", "d"), s.word("", "n")},
		8:  {selector, s.word("", "d"), s.word("", "m")},
		9:  {selector},
		10: {selector, s.word("*", "x", "y x")},
		11: {selector, s.word("Pod", "Set", "Wide", "Config")},
	}[f.Rule]
	return f
}

// In a namespace that nobody looks into nothing is missing; what has no namespace is in none of them.
func TestWhatIsNotLookedIntoIsNotMissing(t *testing.T) {
	e := topo.NewEngine(topotest.ToyRules{})
	e.Sees(func(namespace string) bool { return namespace != "hidden" })
	for _, kind := range []string{"Pod", "Config", "Host"} {
		e.Observe(topo.GroupKind{Kind: kind}, topo.KindState{Namespaced: kind != "Host", Observed: true})
	}
	const uses, on = 1, 3 // by their numbers among the toy rules
	ref := topo.Ref{Kind: "Pod", Namespace: "seen", Name: "p"}
	e.Apply(topo.Change{Ref: ref, Resource: &topo.Resource{Ref: ref, Facts: []topo.Fact{
		{Rule: uses, Values: []string{"a", "seen"}}, {Rule: uses, Values: []string{"b", "hidden"}}, {Rule: on, Values: []string{"h"}},
	}}})
	for want, presence := range map[topo.Ref]topo.Presence{
		{Kind: "Config", Namespace: "seen", Name: "a"}: topo.Missing, {Kind: "Config", Namespace: "hidden", Name: "b"}: topo.Unobserved, {Kind: "Host", Name: "h"}: topo.Missing, ref: topo.Present,
	} {
		if n, ok := e.Node(want.ID()); !ok || n.Presence != presence {
			t.Errorf("%s is %s (%t)", want, n.Presence, ok)
		}
	}
}
