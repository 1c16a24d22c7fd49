package relational

import (
	"slices"

	"github.com/kubilitics/kubilitics/shared/topo"
)

// A closed version whose labels, and whose attributes but for those that change with an object's state, are the same as those of the version after it
// leaves them out: they are found there, or wherever the next one is that keeps them. What is kept of the attributes is laid over what is found.

// fickle are the attributes that change with an object's state. Others may change too; a version before which one does keeps them all.
var fickle = map[string]bool{"available": true, "current": true, "ready": true, "reason": true, "replicas": true, "restarts": true, "updated": true}

// inherits tells whether ClosedNodes[i] leaves out what the version after it has.
func (p *Plan) inherits(i int) bool {
	if i >= len(p.UpdateNodes) {
		return false
	}
	old, next := &p.ClosedNodes[i].Node, p.UpdateNodes[i].Node
	return slices.Equal(old.Labels, next.Labels) && steady(old.Attrs, next.Attrs)
}

// steady tells whether two lists have the same keys in the same order, each once, and the same values but of fickle ones.
func steady(old, next []topo.Pair) bool {
	if len(old) != len(next) {
		return false
	}
	for i := range old {
		if old[i].Key != next[i].Key || (old[i].Value != next[i].Value && !fickle[old[i].Key]) {
			return false
		}
		for j := range i {
			if old[j].Key == old[i].Key {
				return false
			}
		}
	}
	return true
}

// ClosedLabels gives what the column labels of ClosedNodes[i] says in history: "" when they are left out, "{}" for none.
func (p *Plan) ClosedLabels(i int) string {
	old := p.ClosedNodes[i].Node.Labels
	switch {
	case p.inherits(i):
		return ""
	case len(old) == 0:
		return "{}"
	}
	return EncodePairs(old)
}

// ClosedAttrs gives what the column attrs says, where only what changed is kept.
func (p *Plan) ClosedAttrs(i int) string {
	old := p.ClosedNodes[i].Node.Attrs
	if !p.inherits(i) {
		return EncodePairs(old)
	}
	var kept []topo.Pair
	for _, a := range old {
		if fickle[a.Key] {
			kept = append(kept, a)
		}
	}
	return EncodePairs(kept)
}

// laid puts pairs of a key that came before in its place: so are attributes found that were laid over others.
func laid(ps []topo.Pair) []topo.Pair {
	out := ps[:0]
	for _, p := range ps {
		if i := slices.IndexFunc(out, func(o topo.Pair) bool { return o.Key == p.Key }); i >= 0 {
			out[i] = p
		} else {
			out = append(out, p)
		}
	}
	return out
}
