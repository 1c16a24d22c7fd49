package topo

import "fmt"

// Leftovers says what an engine still holds, for tests that have taken everything out of it; "" is nothing.
func (e *Engine) Leftovers() string {
	held := func(next uint32, free []uint32) int { return int(next) - len(free) }
	left := map[string]int{
		"nodes": held(e.nodes.next, e.nodes.free), "texts": held(e.syms.texts.next, e.syms.texts.free),
		"classes": held(e.classes.next, e.classes.free), "selectors": held(e.sels.next, e.sels.free),
		"dependents": held(e.deps.next, e.deps.free), "spaces": len(e.spaces), "uids": len(e.oddUIDs),
		"node index": e.byID.used, "text index": e.syms.ix.used, "class index": e.classIx.used,
	}
	for _, k := range e.kinds {
		left["spaces of kinds"] += len(k.spaces)
		left["ghosts"] += k.ghosts
		left["objects"] += k.objects
	}
	text := ""
	for what, n := range left {
		if n != 0 {
			text += fmt.Sprintf(" %d %s", n, what)
		}
	}
	return text
}
