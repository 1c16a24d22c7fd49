package topotest

import (
	"cmp"
	"slices"

	"github.com/kubilitics/kubilitics/shared/topo"
)

// Oracle says what the graph must be: it builds all of it from all objects, in the plainest way.
type Oracle struct {
	Rules   topo.Rules
	Objects map[topo.Ref]*topo.Resource
	Kinds   map[topo.GroupKind]topo.KindState

	rules []topo.Rule
	graph Graph
	seen  map[topo.EdgeID]occurrence
	above map[topo.Ref][]topo.Ref // verified owners
}

type occurrence struct {
	rule uint16
	at   topo.At
}

// NewOracle gives an oracle that knows no objects.
func NewOracle(rules topo.Rules) *Oracle {
	o := &Oracle{Rules: rules, Objects: map[topo.Ref]*topo.Resource{}, Kinds: map[topo.GroupKind]topo.KindState{}}
	for _, gk := range rules.ClusterScoped() {
		o.Kinds[gk] = topo.KindState{}
	}
	return o
}

// Apply notes a change.
func (o *Oracle) Apply(c topo.Change) {
	if c.Resource == nil {
		delete(o.Objects, c.Ref)
		return
	}
	o.Objects[c.Ref] = c.Resource
}

// Forget drops all objects of a kind.
func (o *Oracle) Forget(gk topo.GroupKind) {
	for ref := range o.Objects {
		if ref.GroupKind() == gk {
			delete(o.Objects, ref)
		}
	}
	o.Kinds[gk] = topo.KindState{Namespaced: !o.cluster(gk)}
}

func (o *Oracle) cluster(gk topo.GroupKind) bool {
	s, known := o.Kinds[gk]
	return known && !s.Namespaced
}

// Graph builds the graph.
func (o *Oracle) Graph() Graph {
	o.rules, o.graph = o.Rules.Rules(), NewGraph()
	o.seen, o.above = map[topo.EdgeID]occurrence{}, map[topo.Ref][]topo.Ref{}
	for ref, r := range o.Objects {
		o.graph.Nodes[ref.ID()] = topo.Node{
			Ref: ref, UID: r.UID, Version: r.Version, Created: r.Created,
			Labels: r.Labels, Health: r.Health, Status: r.Status, Attrs: r.Attrs,
		}
	}
	var late []func()
	for ref, r := range o.Objects {
		o.Rules.Links(r, func(l *topo.Link) {
			if l.Selector == nil {
				o.name(ref, l)
				return
			}
			link := *l
			link.Attrs = slices.Clone(l.Attrs)
			late = append(late, func() { o.pick(ref, &link) })
		})
	}
	for _, e := range o.graph.Edges {
		if _, unmet := topo.Value(e.Attrs, "wantUID"); o.rules[o.seen[e.Key()].rule].Owner && !unmet {
			o.above[e.Target] = append(o.above[e.Target], e.Source)
		}
	}
	for _, f := range late {
		f()
	}
	return o.graph
}

func (o *Oracle) name(from topo.Ref, l *topo.Link) {
	to, attrs := l.To, slices.Clone(l.Attrs)
	switch {
	case o.Rules.Virtual(to.GroupKind()):
	case o.cluster(to.GroupKind()):
		to.Namespace = ""
	case to.Namespace == "":
		to.Namespace = from.Namespace
	}
	rule := o.rules[l.Rule]
	if to.Name == "" || rule.Owner && l.UID == "" {
		return
	}
	if obj := o.Objects[to]; rule.Owner && (obj == nil || obj.UID != l.UID) {
		attrs = append(attrs, topo.Pair{Key: "wantUID", Value: l.UID})
	}
	slices.SortFunc(attrs, func(a, b topo.Pair) int { return cmp.Compare(a.Key, b.Key) })
	if _, ok := o.graph.Nodes[to.ID()]; !ok {
		o.graph.Nodes[to.ID()] = o.ghost(to, l.TargetAttrs)
	}
	if rule.Reverse {
		from, to = to, from
	}
	o.draw(from, to, l, attrs)
}

func (o *Oracle) ghost(ref topo.Ref, attrs []topo.Pair) topo.Node {
	n := topo.Node{Ref: ref, Presence: topo.Unobserved}
	switch {
	case o.Rules.Virtual(ref.GroupKind()):
		n.Presence, n.Health, n.Attrs = topo.Present, topo.OK, attrs
	case o.Kinds[ref.GroupKind()].Observed:
		n.Presence = topo.Missing
	}
	return n
}

func (o *Oracle) pick(from topo.Ref, l *topo.Link) {
	rule := o.rules[l.Rule]
	kind := rule.Selects
	if kind == (topo.GroupKind{}) {
		kind = l.To.GroupKind()
	}
	for ref, r := range o.Objects {
		near := ref.Namespace == from.Namespace
		if l.Namespaces != nil {
			near = slices.Contains(l.Namespaces, ref.Namespace) || slices.Contains(l.Namespaces, "*")
		}
		if ref.GroupKind() == kind && near && picks(*l.Selector, r.Labels) &&
			!(rule.UnlessOwned && o.owns(from, ref, 3)) {
			o.draw(from, ref, l, l.Attrs)
		}
	}
}

func (o *Oracle) owns(owner, ref topo.Ref, depth int) bool {
	for _, up := range o.above[ref] {
		if up == owner || depth > 1 && o.owns(owner, up, depth-1) {
			return true
		}
	}
	return false
}

// draw adds an edge, or merges it into the one that is there.
func (o *Oracle) draw(from, to topo.Ref, l *topo.Link, attrs []topo.Pair) {
	rule := o.rules[l.Rule]
	e := topo.Edge{Source: from, Target: to, Rule: rule.Name, Type: rule.Type, Disc: l.Disc, Attrs: attrs, Path: PathText(rule.Path, l.At)}
	key, here := e.Key(), occurrence{l.Rule, l.At}
	if before, ok := o.graph.Edges[key]; ok {
		first := o.seen[key]
		earlier := cmp.Or(cmp.Compare(first.rule, here.rule), slices.Compare(first.at[:], here.at[:])) < 0
		switch {
		case rule.Owner && earlier:
			e = before
		case !rule.Owner:
			e.Attrs = slices.DeleteFunc(slices.Clone(attrs), func(p topo.Pair) bool { return !slices.Contains(before.Attrs, p) })
		}
		if earlier {
			e.Path, here = before.Path, first
		}
	}
	o.graph.Edges[key], o.seen[key] = e, here
}

// picks is what Kubernetes says of label selectors.
func picks(s topo.Selector, labels []topo.Pair) bool {
	have := map[string]string{}
	for _, p := range labels {
		have[p.Key] = p.Value
	}
	for _, r := range s {
		value, ok := have[r.Key]
		listed := ok && slices.Contains(r.Values, value)
		if r.Op == topo.In && !listed || r.Op == topo.NotIn && listed ||
			r.Op == topo.Exists && !ok || r.Op == topo.DoesNotExist && ok {
			return false
		}
	}
	return true
}
