package topo

import "slices"

// Owners are found as the garbage collector finds them: at the place that the reference names, verified by UID.

// ownerDepth is how far up owners are followed: Pod, ReplicaSet, Deployment, and one more that a CRD may put on top.
const ownerDepth = 3

// turnOwned updates the edges from a node to what it owns, after its UID changed from old. It tells whether any changed.
func (e *Engine) turnOwned(n uint32, old string) bool {
	deps := e.nodes.at(n).deps
	if deps == 0 {
		return false
	}
	turned := false
	for _, s := range e.deps.at(deps).slots {
		if s.node == 0 {
			continue
		}
		for i := range e.nodes.at(s.node).made {
			m := &e.nodes.at(s.node).made[i]
			if m.other != n || m.key != s.key || !e.variants[m.rule].Owner {
				continue
			}
			if extra := e.reverified(n, *m, old); extra != m.extra {
				e.syms.release(m.extra)
				m.extra = extra
				e.emit(Update, e.madeEdge(s.node, *m))
				turned = true
			} else {
				e.syms.release(extra)
			}
		}
	}
	return turned
}

// reverified is the extra of an owner's edge under the UID the owner has now; old is the one it had.
func (e *Engine) reverified(owner uint32, m made, old string) uint32 {
	disc, attrs := e.extra(nil, m.extra)
	want, unmet := Value(attrs, wantUID)
	if !unmet {
		want = old
	}
	attrs = slices.DeleteFunc(attrs, func(p Pair) bool { return p.Key == wantUID })
	if !e.hasUID(owner, want) {
		attrs = insert(attrs, Pair{wantUID, want})
	}
	return e.packExtra(disc, attrs)
}

// moved is the extra of an edge, taken over, that is drawn to another node than before.
func (e *Engine) moved(m made, from, to uint32) uint32 {
	if !e.variants[m.rule].Owner {
		return m.extra
	}
	extra := e.reverified(to, m, e.uidText(from))
	e.syms.release(m.extra)
	return extra
}

func (e *Engine) unmet(extra uint32) bool {
	if extra == 0 {
		return false
	}
	_, attrs := e.extra(e.scratch.pairs[:0], extra)
	_, unmet := Value(attrs, wantUID)
	return unmet
}

// owns tells whether a node owns another, also through others, as far as depth.
func (e *Engine) owns(owner, n uint32, depth int) bool {
	all := e.nodes.at(n).made
	for i := range all {
		m := &all[i]
		if !e.variants[m.rule].Owner {
			return false // owners stand first
		}
		if e.unmet(m.extra) {
			continue
		}
		if m.other == owner || depth > 1 && e.owns(owner, m.other, depth-1) {
			return true
		}
	}
	return false
}

// recheck sets right which selectors' edges are not drawn for ownership, for a node and all below it.
func (e *Engine) recheck(n uint32, depth int) {
	r := e.nodes.at(n)
	if c := e.classes.at(r.class); r.object && c.space != nil {
		found := e.matching(r.class, nil)
		for _, s := range found {
			if e.variants[e.sels.at(s).alts[0].rule].UnlessOwned {
				e.member(s, n, true, c)
			}
		}
	}
	if depth == 0 || r.deps == 0 {
		return
	}
	for _, s := range e.deps.at(r.deps).slots {
		if s.node != 0 {
			e.recheck(s.node, depth-1)
		}
	}
}
