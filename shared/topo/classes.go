package topo

import "slices"

// A class is what objects of one kind, one namespace and equal labels share: selectors pick classes. The pods of a
// ReplicaSet are one class, so a selector is compared once, not once a pod.
type class struct {
	kind    uint32
	ns      uint32
	labels  []uint64 // symbols of key and value, in the order of the keys
	nodes   uint32   // how many are of it, with those that stand for no object
	members []uint32 // the objects, of a selectable kind
	space   *space   // where selectors look for it; nil while without members
	pos     uint32   // among the space's classes
}

// A space is the classes of one selectable kind in one namespace, and the selectors that look for them.
type space struct {
	kind    uint32
	ns      uint32
	wide    bool // all namespaces: selectors only
	classes []uint32
	sels    []uint32 // those that no pair of key and value leads to
	pairs   map[uint64]*posting
	holds   int // how many selectors mean it
}

type spaceKey struct {
	kind uint32
	ns   uint32
	wide bool
}

// posting is what one pair of key and value leads to.
type posting struct{ classes, sels []uint32 }

func mix(h, x uint64) uint64 {
	h = (h ^ x) * 0x9E3779B97F4A7C15
	return h ^ h>>29
}

func hashClass(kind, ns uint32, labels []uint64) uint32 {
	h := mix(uint64(kind), uint64(ns))
	for _, p := range labels {
		h = mix(h, p)
	}
	return uint32(h >> 32)
}

func (e *Engine) hashClassOf(c uint32) uint32 {
	r := e.classes.at(c)
	return hashClass(r.kind, r.ns, r.labels)
}

// holdClass finds or makes a class and counts one node more.
func (e *Engine) holdClass(kind uint32, ns string, labels []Pair) uint32 {
	nsym := e.syms.hold(ns)
	pairs := e.scratch.labels[:0]
	for _, p := range labels {
		pairs = append(pairs, e.holdPair(p))
	}
	e.scratch.labels = pairs
	hash := hashClass(kind, nsym, pairs)
	c := e.classIx.find(hash, func(c uint32) bool {
		r := e.classes.at(c)
		return r.kind == kind && r.ns == nsym && slices.Equal(r.labels, pairs)
	})
	if c != 0 {
		e.dropPairs(pairs)
		e.syms.release(nsym)
	} else {
		c = e.classes.take()
		r := e.classes.at(c)
		r.kind, r.ns, r.labels = kind, nsym, slices.Clone(pairs)
		e.classIx.put(hash, c, e.hashClassOf)
	}
	e.classes.at(c).nodes++
	return c
}

func (e *Engine) releaseClass(c uint32) {
	r := e.classes.at(c)
	if r.nodes--; r.nodes > 0 {
		return
	}
	e.classIx.drop(e.hashClassOf(c), c, e.hashClassOf)
	e.dropPairs(r.labels)
	e.syms.release(r.ns)
	e.classes.give(c)
}

func (e *Engine) holdPair(p Pair) uint64 {
	return uint64(e.syms.hold(p.Key))<<32 | uint64(e.syms.hold(p.Value))
}

func (e *Engine) dropPairs(pairs []uint64) {
	for _, p := range pairs {
		e.syms.release(uint32(p >> 32))
		e.syms.release(uint32(p))
	}
}

func (e *Engine) pairText(p uint64) Pair {
	return Pair{Key: e.syms.text(uint32(p >> 32)), Value: e.syms.text(uint32(p))}
}

func (e *Engine) hasLabels(c *class, labels []Pair) bool {
	if len(c.labels) != len(labels) {
		return false
	}
	for i, p := range c.labels {
		if e.pairText(p) != labels[i] {
			return false
		}
	}
	return true
}

// setLabels moves an object to the class of its labels, and in and out of what selects it.
func (e *Engine) setLabels(n uint32, fresh bool, labels []Pair) {
	r := e.nodes.at(n)
	old := e.classes.at(r.class)
	same := e.hasLabels(old, labels)
	if same && !fresh {
		return
	}
	e.touch(n).dirty = true
	from, to := r.class, r.class
	var was left
	if !fresh {
		was = e.leave(n)
	}
	if !same {
		to = e.holdClass(old.kind, e.syms.text(old.ns), labels)
	}
	r.class = to
	e.join(n, &was)
	if !same {
		e.releaseClass(from)
	}
}

// left is what an object came from: its class as it was, and the selectors that picked it there.
type left struct {
	class  class
	picked []uint32
}

// leaveLabels takes an object that goes out of its class, and out of what selects it.
func (e *Engine) leaveLabels(n uint32) {
	r := e.nodes.at(n)
	from := r.class
	was := e.leave(n)
	for _, s := range was.picked {
		e.member(s, n, false, &was.class)
	}
	c := e.classes.at(from)
	r.class = e.holdClass(c.kind, e.syms.text(c.ns), nil)
	e.releaseClass(from)
}

// leave takes an object out of its class.
func (e *Engine) leave(n uint32) left {
	r := e.nodes.at(n)
	c := e.classes.at(r.class)
	if c.space == nil {
		return left{}
	}
	was := left{class: *c, picked: slices.Clone(e.matching(r.class, e.scratch.found[:0]))}
	last := len(c.members) - 1
	c.members[r.pos] = c.members[last]
	e.nodes.at(c.members[r.pos]).pos = r.pos
	c.members = c.members[:last]
	if last == 0 {
		c.members = nil
		e.unlist(r.class)
	}
	return was
}

// join puts an object into its class, and into what selects that.
func (e *Engine) join(n uint32, was *left) {
	r := e.nodes.at(n)
	c := e.classes.at(r.class)
	if !e.kinds[c.kind].selectable {
		return
	}
	if c.space == nil {
		e.list(r.class)
	}
	r.pos = uint32(len(c.members))
	c.members = append(c.members, n)
	now := e.matching(r.class, e.scratch.found[:0])
	e.scratch.found = now
	for _, s := range was.picked {
		if !slices.Contains(now, s) {
			e.member(s, n, false, &was.class)
		} else {
			e.review(s, n, &was.class)
		}
	}
	for _, s := range now {
		e.member(s, n, true, c)
	}
}

// makeSelectable lets selectors pick the objects of a kind. Those that are there join their classes; the object of this
// change joins in its turn.
func (e *Engine) makeSelectable(kind uint32) {
	if e.kinds[kind].selectable {
		return
	}
	e.kinds[kind].selectable = true
	if e.kinds[kind].objects == 0 {
		return
	}
	e.eachNode(func(n uint32, r *record) {
		if r.object && n != e.cur.fresh && e.classes.at(r.class).kind == kind {
			e.join(n, &left{})
		}
	})
}

// list makes a class known to selectors, and unlist makes it unknown.
func (e *Engine) list(id uint32) {
	c := e.classes.at(id)
	c.space = e.space(spaceKey{kind: c.kind, ns: c.ns})
	c.pos = uint32(len(c.space.classes))
	c.space.classes = append(c.space.classes, id)
	for _, p := range c.labels {
		post := c.space.posting(p)
		post.classes = append(post.classes, id)
	}
}

func (e *Engine) unlist(id uint32) {
	c := e.classes.at(id)
	s := c.space
	last := len(s.classes) - 1
	s.classes[c.pos] = s.classes[last]
	e.classes.at(s.classes[c.pos]).pos = c.pos
	s.classes = s.classes[:last]
	for _, p := range c.labels {
		post := s.pairs[p]
		post.classes = without(post.classes, id)
		s.tidy(p)
	}
	c.space = nil
	e.tidySpace(s)
}

// without takes one occurrence out; the order is lost.
func without(all []uint32, one uint32) []uint32 {
	i := slices.Index(all, one)
	last := len(all) - 1
	all[i] = all[last]
	if last == 0 {
		return nil
	}
	return all[:last]
}

func (e *Engine) space(key spaceKey) *space {
	s := e.spaces[key]
	if s == nil {
		s = &space{kind: key.kind, ns: key.ns, wide: key.wide, pairs: map[uint64]*posting{}}
		if e.spaces[key] = s; !key.wide {
			e.kinds[key.kind].spaces = append(e.kinds[key.kind].spaces, s)
			e.syms.again(key.ns)
		}
	}
	return s
}

func (e *Engine) tidySpace(s *space) {
	if s.holds > 0 || len(s.classes) > 0 {
		return
	}
	delete(e.spaces, spaceKey{kind: s.kind, ns: s.ns, wide: s.wide})
	if !s.wide {
		k := &e.kinds[s.kind]
		k.spaces = slices.DeleteFunc(k.spaces, func(o *space) bool { return o == s })
		e.syms.release(s.ns)
	}
}

func (s *space) posting(p uint64) *posting {
	post := s.pairs[p]
	if post == nil {
		post = &posting{}
		s.pairs[p] = post
	}
	return post
}

func (s *space) tidy(p uint64) {
	if post := s.pairs[p]; len(post.classes) == 0 && len(post.sels) == 0 {
		delete(s.pairs, p)
	}
}
