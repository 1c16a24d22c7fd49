package topo

import (
	"encoding/binary"
	"slices"
	"strconv"
)

// Len counts the rows of the graph.
func (e *Engine) Len() (nodes, edges int) { return e.nodeCount, e.edgeCount }

// Node gives a node as it is now.
func (e *Engine) Node(id ID) (Node, bool) {
	n := e.lookup(id)
	if n == 0 {
		return Node{}, false
	}
	return e.row(n), true
}

// Edge gives an edge as it is now.
func (e *Engine) Edge(id EdgeID) (Edge, bool) {
	n := e.lookup(id.Source)
	if n == 0 {
		return Edge{}, false
	}
	r, key := e.nodes.at(n), hashID(id.ID)
	if edge, ok := e.madeAs(n, n, id.ID, false); ok {
		return edge, true
	}
	for s := r.sels; s != 0; s = e.sels.at(s).next {
		sel := e.sels.at(s)
		if m, ok := sel.set.find(key, func(m uint32) bool { return e.pickedID(sel, m) == id.ID }); ok {
			v := e.look(sel.alts, e.classes.at(e.nodes.at(m).class))
			return e.pickedEdge(sel, sel.alts, m, &v), true
		}
	}
	if r.deps == 0 {
		return Edge{}, false
	}
	var found Edge
	_, ok := e.deps.at(r.deps).find(key, func(m uint32) (ok bool) {
		found, ok = e.madeAs(m, n, id.ID, true)
		return ok
	})
	return found, ok
}

// madeAs looks for an edge of this key from source among those that the fields of n name.
func (e *Engine) madeAs(n, source uint32, id ID, reverse bool) (Edge, bool) {
	for _, m := range e.nodes.at(n).made {
		if m.key == hashID(id) && e.variants[m.rule].Reverse == reverse &&
			(!reverse || m.other == source) && e.madeID(n, m) == id {
			return e.madeEdge(n, m), true
		}
	}
	return Edge{}, false
}

// NodeIDs lists the keys of all nodes in their order.
func (e *Engine) NodeIDs() []ID {
	ids := make([]ID, 0, e.nodeCount)
	e.eachNode(func(_ uint32, r *record) { ids = append(ids, r.id) })
	slices.SortFunc(ids, ID.Compare)
	return ids
}

// EdgeIDs lists the keys of all edges in their order.
func (e *Engine) EdgeIDs() []EdgeID {
	ids := make([]EdgeID, 0, e.edgeCount)
	e.eachNode(func(n uint32, r *record) {
		for _, m := range r.made {
			ids = append(ids, EdgeID{e.nodes.at(e.sourceOf(n, m)).id, e.madeID(n, m)})
		}
		e.eachPicked(n, func(sel *selector, m uint32) { ids = append(ids, EdgeID{r.id, e.pickedID(sel, m)}) })
	})
	slices.SortFunc(ids, EdgeID.Compare)
	return ids
}

// Digests sums up all rows, from the rows as they are.
func (e *Engine) Digests() (nodes, edges Digest) {
	e.eachNode(func(n uint32, r *record) {
		nodes[r.id.Bucket()].Add(e.rowHash(n))
		for _, m := range r.made {
			edges[e.nodes.at(e.sourceOf(n, m)).id.Bucket()].Add(e.madeHash(n, m))
		}
		e.eachPicked(n, func(sel *selector, m uint32) { edges[r.id.Bucket()].Add(e.pickedHash(sel, m)) })
	})
	return nodes, edges
}

// Rows lists the rows of one bucket in the order of their keys. Manifests are not the engine's.
func (e *Engine) Rows(table Table, bucket int) []RowHash {
	var rows []RowHash
	e.eachOfBucket(bucket, func(n uint32, r *record) {
		switch table {
		case Nodes:
			rows = append(rows, RowHash{EdgeID{Source: r.id}, e.rowHash(n)})
		case Edges:
			rows = e.edgeRows(rows, n, r)
		}
	})
	slices.SortFunc(rows, func(a, b RowHash) int { return a.Key.Compare(b.Key) })
	return rows
}

// eachOfBucket goes through the stretch of the index where the bucket's keys stand.
func (e *Engine) eachOfBucket(bucket int, visit func(n uint32, r *record)) {
	x := &e.byID
	if len(x.slots) == 0 {
		return
	}
	i := x.slot(uint32(bucket) << (32 - bucketBits))
	end := x.slot(uint32(bucket+1)<<(32-bucketBits) - 1)
	for steps := 0; steps < len(x.slots); steps++ {
		n := x.slots[i]
		if n == 0 && (i-end)&uint32(len(x.slots)-1) < uint32(len(x.slots)/2) {
			return // past the stretch, and at the end of what it pushed on
		}
		if n != 0 && e.nodes.at(n).id.Bucket() == bucket {
			visit(n, e.nodes.at(n))
		}
		i = x.next(i)
	}
}

func (e *Engine) edgeRows(rows []RowHash, n uint32, r *record) []RowHash {
	for _, m := range r.made {
		if !e.variants[m.rule].Reverse {
			rows = append(rows, RowHash{EdgeID{r.id, e.madeID(n, m)}, e.madeHash(n, m)})
		}
	}
	e.eachPicked(n, func(sel *selector, m uint32) {
		rows = append(rows, RowHash{EdgeID{r.id, e.pickedID(sel, m)}, e.pickedHash(sel, m)})
	})
	if r.deps == 0 {
		return rows
	}
	for _, s := range e.deps.at(r.deps).slots {
		if s.node == 0 {
			continue
		}
		for _, m := range e.nodes.at(s.node).made {
			if m.other == n && m.key == s.key && e.variants[m.rule].Reverse {
				rows = append(rows, RowHash{EdgeID{r.id, e.madeID(s.node, m)}, e.madeHash(s.node, m)})
			}
		}
	}
	return rows
}

func (e *Engine) eachPicked(n uint32, visit func(sel *selector, m uint32)) {
	for s := e.nodes.at(n).sels; s != 0; s = e.sels.at(s).next {
		sel := e.sels.at(s)
		for _, slot := range sel.set.slots {
			if slot.node != 0 {
				visit(sel, slot.node)
			}
		}
	}
}

func (e *Engine) refOf(n uint32) Ref {
	r := e.nodes.at(n)
	c := e.classes.at(r.class)
	gk := e.kinds[c.kind].gk
	return Ref{Group: gk.Group, Kind: gk.Kind, Namespace: e.syms.text(c.ns), Name: r.name}
}

// row is a node in full.
func (e *Engine) row(n uint32) Node {
	if r := e.nodes.at(n); n == e.cur.node && e.cur.resource != nil && r.object {
		res := e.cur.resource
		return e.rowWith(n, res.UID, res.Labels, res.Attrs)
	}
	labels, attrs := e.pairsOf(n, nil, nil)
	return e.rowWith(n, e.uidText(n), labels, attrs)
}

// rowHash is the hash of a node's row. It makes the row of what it made the last one of.
func (e *Engine) rowHash(n uint32) ID {
	e.scratch.rowLabels, e.scratch.rowAttrs = e.pairsOf(n, e.scratch.rowLabels[:0], e.scratch.rowAttrs[:0])
	row := e.rowWith(n, e.uidText(n), e.scratch.rowLabels, e.scratch.rowAttrs)
	return row.Hash()
}

func (e *Engine) rowWith(n uint32, uid string, labels, attrs []Pair) Node {
	r := e.nodes.at(n)
	c, health := e.classes.at(r.class), r.health
	if !r.object && e.kinds[c.kind].virtual {
		health = OK // what needs no object is well by being named; unknown, it would cloud every roll-up
	}
	return Node{
		Ref: e.refOf(n), UID: uid, Version: e.syms.text(r.version), Presence: e.presence(r, c),
		Created: r.created, Labels: labels, Health: health, Status: e.syms.text(r.status), Attrs: attrs,
	}
}

// pairsOf appends a node's labels and attributes.
func (e *Engine) pairsOf(n uint32, labels, attrs []Pair) ([]Pair, []Pair) {
	r := e.nodes.at(n)
	for _, p := range e.classes.at(r.class).labels {
		labels = append(labels, e.pairText(p))
	}
	return labels, e.syms.unpack(attrs, r.attrs)
}

func (e *Engine) presence(r *record, c *class) Presence {
	switch k := &e.kinds[c.kind]; {
	case r.object || k.virtual:
		return Present
	case k.observed && e.looksInto(c):
		return Missing
	default:
		return Unobserved
	}
}

// looksInto tells whether objects of a class would be known if they were there.
func (e *Engine) looksInto(c *class) bool {
	return e.sees == nil || c.ns == 0 || e.sees(e.syms.text(c.ns))
}

// path is the text of where a fact stood.
func (e *Engine) path(buf []byte, rule uint16, at At) []byte {
	for i, piece := range e.variants[rule].Path {
		if i > 0 && i <= len(at) {
			buf = strconv.AppendInt(buf, int64(at[i-1]), 10)
		}
		buf = append(buf, piece...)
	}
	return buf
}

func (e *Engine) sourceOf(n uint32, m made) uint32 {
	if e.variants[m.rule].Reverse {
		return m.other
	}
	return n
}

func (e *Engine) endsOf(n uint32, m made) (source, target uint32) {
	if e.variants[m.rule].Reverse {
		return m.other, n
	}
	return n, m.other
}

func (e *Engine) madeID(n uint32, m made) ID {
	source, target := e.endsOf(n, m)
	return edgeOwnID(e.nodes.at(source).id, e.nodes.at(target).id, e.variants[m.rule].Name, e.extraDisc(m.extra))
}

func (e *Engine) madeEdge(n uint32, m made) Edge {
	source, target := e.endsOf(n, m)
	rule := &e.variants[m.rule]
	edge := Edge{Source: e.refOf(source), Target: e.refOf(target), Rule: rule.Name, Type: rule.Type}
	edge.Path = string(e.path(nil, m.rule, m.at))
	if m.extra != 0 {
		edge.Disc, edge.Attrs = e.extra(nil, m.extra)
	}
	return edge
}

func (e *Engine) pickedID(sel *selector, n uint32) ID {
	name := e.variants[sel.alts[0].rule].Name
	return edgeOwnID(e.nodes.at(sel.maker).id, e.nodes.at(n).id, name, sel.disc)
}

func (e *Engine) pickedEdge(sel *selector, alts []alt, n uint32, v *view) Edge {
	rule := &e.variants[alts[0].rule]
	return Edge{
		Source: e.refOf(sel.maker), Target: e.refOf(n), Rule: rule.Name, Type: rule.Type,
		Disc: sel.disc, Path: v.path, Attrs: v.attrs,
	}
}

func (e *Engine) madeHash(n uint32, m made) ID {
	source, target := e.endsOf(n, m)
	e.scratch.pairs = slices.Grow(e.scratch.pairs[:0], 8)
	disc, attrs := e.extra(e.scratch.pairs[:0], m.extra)
	rule := &e.variants[m.rule]
	e.scratch.bytes = e.path(e.scratch.bytes[:0], m.rule, m.at)
	return e.edgeHash(source, target, rule, disc, attrs)
}

func (e *Engine) pickedHash(sel *selector, n uint32) ID {
	rule := &e.variants[sel.alts[0].rule]
	if len(sel.alts) == 1 {
		a := &sel.alts[0]
		_, attrs := e.extra(e.scratch.pairs[:0], a.extra)
		e.scratch.bytes = e.path(e.scratch.bytes[:0], a.rule, a.at)
		return e.edgeHash(sel.maker, n, rule, sel.disc, attrs)
	}
	v := e.look(sel.alts, e.classes.at(e.nodes.at(n).class))
	e.scratch.bytes = append(e.scratch.bytes[:0], v.path...)
	return e.edgeHash(sel.maker, n, rule, sel.disc, v.attrs)
}

// edgeHash is EdgeHash with the path in scratch.bytes, so that summing up a graph makes no texts.
func (e *Engine) edgeHash(source, target uint32, rule *Rule, disc string, attrs []Pair) ID {
	var scratch [256]byte
	c := canon(scratch[:0])
	c = c.id(e.nodes.at(source).id)
	c = c.id(e.nodes.at(target).id)
	c = c.str(rule.Name)
	c = c.str(string(rule.Type))
	c = c.str(disc)
	c = append(binary.AppendUvarint(c, uint64(len(e.scratch.bytes))), e.scratch.bytes...)
	c = c.pairs(attrs)
	return c.sum()
}
