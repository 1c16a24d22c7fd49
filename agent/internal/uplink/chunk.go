package uplink

import (
	"github.com/kubilitics/kubilitics/shared/topo"
	"github.com/kubilitics/kubilitics/shared/wire"
)

// chunk is a delta being filled up to the size of a frame. Sizes are guesses of what rows take when compressed: a frame that is somewhat
// larger than aimed at only costs a little more.
type chunk struct {
	delta topo.Delta
	size  int
}

func (c *chunk) full() bool { return c.size >= wire.ChunkSize }

func (c *chunk) node(n topo.Node) {
	c.delta.Nodes = append(c.delta.Nodes, n)
	c.size += 48 + (len(n.Ref.Name)+len(n.Status)+pairsLen(n.Labels)+pairsLen(n.Attrs))/4
}

func (c *chunk) edge(e topo.Edge) {
	c.delta.Edges = append(c.delta.Edges, e)
	c.size += 24 + (len(e.Source.Name)+len(e.Target.Name)+pairsLen(e.Attrs))/4
}

func (c *chunk) manifest(m topo.Manifest) {
	c.delta.Manifests = append(c.delta.Manifests, m)
	c.size += 64 + len(m.Body)
}

func (c *chunk) event(e topo.Event) {
	c.delta.Events = append(c.delta.Events, e)
	c.size += 64 + len(e.Message)/3
}

func (c *chunk) goneNode(id topo.ID) {
	c.delta.GoneNodes = append(c.delta.GoneNodes, id)
	c.size += 18
}

func (c *chunk) goneEdge(id topo.EdgeID) {
	c.delta.GoneEdges = append(c.delta.GoneEdges, id)
	c.size += 38
}

func (c *chunk) goneManifest(id topo.ID) {
	c.delta.GoneManifests = append(c.delta.GoneManifests, id)
	c.size += 18
}

func pairsLen(ps []topo.Pair) int {
	n := 0
	for _, p := range ps {
		n += len(p.Key) + len(p.Value)
	}
	return n
}

// fill moves marked rows into the chunk, as they are now: nodes first, then edges, nodes that are gone last, so that no edge stands
// without its ends between two deltas.
func (l *Ledger) fill(c *chunk, m *marks) {
	for id := range m.nodes {
		if c.full() {
			return
		}
		delete(m.nodes, id)
		if n, ok := l.graph.Node(id); ok {
			c.node(n)
		} else {
			m.gone[id] = struct{}{}
		}
	}
	l.fillEdges(c, m)
	l.fillManifests(c, m)
	for id := range m.gone {
		if c.full() {
			return
		}
		delete(m.gone, id)
		if _, back := l.graph.Node(id); !back { // else it was marked anew
			c.goneNode(id)
		}
	}
}

func (l *Ledger) fillEdges(c *chunk, m *marks) {
	for id := range m.edges {
		if c.full() {
			return
		}
		delete(m.edges, id)
		if e, ok := l.graph.Edge(id); ok {
			c.edge(e)
		} else {
			c.goneEdge(id)
		}
	}
}

// fillManifests sends the texts at hand first, for they hold memory, and asks for the others.
func (l *Ledger) fillManifests(c *chunk, m *marks) {
	for id, body := range l.bodies.of {
		if c.full() {
			return
		}
		l.bodies.drop(id)
		if _, due := m.manifests[id]; !due {
			continue // a comparison has found that the hub has it
		}
		delete(m.manifests, id)
		if n, present := l.graph.Node(id); present {
			c.manifest(topo.Manifest{Ref: n.Ref, Hash: l.texts[id], Body: body})
		}
	}
	for id := range m.manifests {
		if c.full() || !l.fillAbsent(c, m, id) {
			return
		}
	}
}

// fillAbsent deals with a text that isn't at hand; false when too many are being read already.
func (l *Ledger) fillAbsent(c *chunk, m *marks, id topo.ID) bool {
	_, there := l.texts[id]
	n, present := l.graph.Node(id)
	switch {
	case !there || !l.manifests:
		c.goneManifest(id)
	case !present:
	case len(l.reading) >= maxReads:
		return false
	default:
		l.reading[id] = struct{}{}
		l.wanted = append(l.wanted, n.Ref)
	}
	delete(m.manifests, id)
	return true
}

func (l *Ledger) fillEvents(c *chunk) {
	n := 0
	for n < len(l.events) && !c.full() {
		c.event(l.events[n])
		n++
	}
	l.events = append(l.events[:0], l.events[n:]...)
}

// plan is what is left of a first load: every row once, in the order of the stores' keys.
type plan struct {
	nodes []topo.ID
	edges []topo.EdgeID
}

// fillLoad takes the next rows of the plan; rows that went since are passed over.
func (l *Ledger) fillLoad(c *chunk) {
	p := l.load
	for len(p.nodes) > 0 && !c.full() {
		if n, ok := l.graph.Node(p.nodes[0]); ok {
			c.node(n)
		}
		p.nodes = p.nodes[1:]
	}
	for len(p.nodes) == 0 && len(p.edges) > 0 && !c.full() {
		e, ok := l.graph.Edge(p.edges[0])
		switch {
		case !ok:
		case l.marked(&e):
			l.marks.edge(p.edges[0])
		default:
			c.edge(e)
		}
		p.edges = p.edges[1:]
	}
}

// marked tells whether an end of the edge has changed since the load began: it may have been absent when its turn came, and then is told
// after the load, the edge after it.
func (l *Ledger) marked(e *topo.Edge) bool {
	if len(l.marks.nodes) == 0 {
		return false
	}
	_, source := l.marks.nodes[e.Source.ID()]
	_, target := l.marks.nodes[e.Target.ID()]
	return source || target
}

func (p *plan) done() bool { return len(p.nodes) == 0 && len(p.edges) == 0 }
