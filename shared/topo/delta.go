package topo

// delta gathers what one call changes. Nodes are settled at its end, so that one that comes and goes within the call, or
// loses its last reference and gains another, changes nothing.
type delta struct {
	edges    []EdgeChange
	touched  []touch
	node     uint32 // the object of the change, and what it is now
	resource *Resource
	fresh    uint32 // the object of the change, if it wasn't there before
	repeats  bool   // an edge may stand more than once among edges
}

type touch struct {
	n        uint32
	was      bool // in the graph before
	dirty    bool // its row changed
	replaced Node // its row under its old UID, when the object was replaced
	removed  Node // its row before its object went
}

func (e *Engine) begin() {
	e.cur = delta{touched: e.cur.touched[:0]}
}

// touch notes a node for the end of the call.
func (e *Engine) touch(n uint32) *touch {
	r := e.nodes.at(n)
	if r.touchAt > 0 {
		return &e.cur.touched[r.touchAt-1]
	}
	e.cur.touched = append(e.cur.touched, touch{n: n, was: r.listed})
	r.touchAt = uint32(len(e.cur.touched))
	return &e.cur.touched[len(e.cur.touched)-1]
}

func (e *Engine) finish() Diff {
	var d Diff
	for i := range e.cur.touched {
		t := &e.cur.touched[i]
		d.Nodes = e.settle(d.Nodes, t)
		*t = touch{}
	}
	if e.cur.repeats {
		e.cur.edges = squash(e.cur.edges)
	}
	d.Edges = e.cur.edges
	e.cur.edges, e.cur.resource = nil, nil
	return d
}

func (e *Engine) settle(out []NodeChange, t *touch) []NodeChange {
	r := e.nodes.at(t.n)
	r.touchAt = 0
	r.listed = r.object || r.refs > 0
	switch {
	case r.listed && !t.was:
		e.nodeCount++
		return append(out, NodeChange{Add, e.row(t.n)})
	case r.listed && t.replaced.Ref.Kind != "":
		return append(out, NodeChange{Remove, t.replaced}, NodeChange{Add, e.row(t.n)})
	case r.listed && t.dirty:
		return append(out, NodeChange{Update, e.row(t.n)})
	case r.listed:
		return out
	}
	if t.was {
		e.nodeCount--
		if t.removed.Ref.Kind == "" {
			t.removed = e.row(t.n)
		}
		out = append(out, NodeChange{Remove, t.removed})
	}
	e.release(t.n)
	return out
}

func (e *Engine) emit(op Op, edge Edge) { e.emitAll(op, &edge) }

// emitAll is emit for one who makes many edges out of one.
func (e *Engine) emitAll(op Op, edge *Edge) {
	switch op {
	case Add:
		e.edgeCount++
	case Remove:
		e.edgeCount--
	}
	e.cur.edges = append(e.cur.edges, EdgeChange{op, *edge})
	if edge.Source == edge.Target {
		e.cur.repeats = true
	}
}

// squash makes one change of several of the same edge.
func squash(all []EdgeChange) []EdgeChange {
	first := make(map[EdgeID]int, len(all))
	out := all[:0]
	for _, c := range all {
		key := c.Edge.Key()
		i, seen := first[key]
		if !seen {
			first[key] = len(out)
			out = append(out, c)
			continue
		}
		switch before := out[i].Op; {
		case before == Add && c.Op == Remove:
			out[i].Op = 0
		case before == Add:
			out[i].Edge = c.Edge
		case before == Remove && out[i].Edge.Hash() == c.Edge.Hash():
			out[i].Op = 0
		case before == Remove:
			out[i] = EdgeChange{Update, c.Edge}
		default:
			out[i] = c
		}
	}
	kept := out[:0]
	for _, c := range out {
		if c.Op != 0 {
			kept = append(kept, c)
		}
	}
	return kept
}
