package topo

import (
	"cmp"
	"slices"
)

// selector is what one object selects by one rule and discriminator. Where the object says it more than once, an object
// that any of the alternatives picks is selected.
type selector struct {
	maker uint32
	next  uint32 // of the same maker
	stamp uint32 // of the search that saw it last
	name  uint16
	disc  string
	alts  []alt
	set   edgeSet // the edges drawn
}

// alt is a selector compiled: what it wants, and where it is looked for.
type alt struct {
	want   []uint64 // pairs that must be there
	rest   Selector // the other requirements
	spaces []*space
	anchor uint64 // the pair that leads to it; 0 when none does
	extra  uint32
	rule   uint16
	at     At
}

// view is what a selector's edge to the objects of a class shows.
type view struct {
	ok    bool
	path  string
	attrs []Pair
}

func (v *view) equal(o *view) bool { return v.path == o.path && slices.Equal(v.attrs, o.attrs) }

func (e *Engine) newPick(n uint32, l *Link) pick {
	a := alt{rule: l.Rule, at: l.At, extra: e.packExtra("", l.Attrs)}
	for _, r := range *l.Selector {
		if r.Op == In && len(r.Values) == 1 {
			a.want = append(a.want, e.holdPair(Pair{r.Key, r.Values[0]}))
		} else {
			a.rest = append(a.rest, r)
		}
	}
	slices.Sort(a.want)
	picked := e.variants[l.Rule].Selects
	if picked == (GroupKind{}) {
		picked = l.To.GroupKind()
	}
	kind := e.kindOf(picked)
	e.makeSelectable(kind)
	for _, ns := range l.Namespaces {
		sym := e.syms.hold(ns)
		key := spaceKey{kind: kind, ns: sym}
		if ns == "*" {
			key = spaceKey{kind: kind, wide: true}
		}
		a.spaces = append(a.spaces, e.space(key))
		e.syms.release(sym)
	}
	if l.Namespaces == nil {
		own := e.classes.at(e.nodes.at(n).class).ns
		a.spaces = []*space{e.space(spaceKey{kind: kind, ns: own})}
	}
	for _, s := range a.spaces {
		s.holds++
	}
	return pick{name: e.names[l.Rule], disc: l.Disc, alt: a}
}

func (a *alt) equal(b *alt) bool {
	return a.rule == b.rule && a.at == b.at && a.extra == b.extra &&
		slices.Equal(a.want, b.want) && slices.Equal(a.spaces, b.spaces) &&
		slices.EqualFunc(a.rest, b.rest, func(x, y Requirement) bool {
			return x.Key == y.Key && x.Op == y.Op && slices.Equal(x.Values, y.Values)
		})
}

// setSelectors makes the selectors of an object be those in scratch.picks.
func (e *Engine) setSelectors(n uint32) {
	picks := e.scratch.picks
	slices.SortFunc(picks, func(a, b pick) int {
		return cmp.Or(cmp.Compare(a.name, b.name), cmp.Compare(a.disc, b.disc),
			cmp.Compare(a.alt.rule, b.alt.rule), a.alt.at.compare(b.alt.at))
	})
	r := e.nodes.at(n)
	old := r.sels
	r.sels = 0
	for len(picks) > 0 {
		size := 1
		for size < len(picks) && picks[size].name == picks[0].name && picks[size].disc == picks[0].disc {
			size++
		}
		alts := make([]alt, size)
		for i := range alts {
			alts[i] = picks[i].alt
		}
		s := e.takeSelector(&old, picks[0].name, picks[0].disc)
		sel := e.sels.at(s)
		sel.maker, sel.next, r.sels = n, r.sels, s
		e.reselect(s, alts)
		picks = picks[size:]
	}
	for old != 0 {
		s := old
		old = e.sels.at(s).next
		e.reselect(s, nil)
		e.sels.give(s)
	}
	clear(e.scratch.picks)
	e.scratch.picks = e.scratch.picks[:0]
}

// takeSelector takes the selector of this name out of a list, or makes one.
func (e *Engine) takeSelector(list *uint32, name uint16, disc string) uint32 {
	for at := list; *at != 0; at = &e.sels.at(*at).next {
		if s := e.sels.at(*at); s.name == name && s.disc == disc {
			found := *at
			*at = s.next
			return found
		}
	}
	s := e.sels.take()
	e.sels.at(s).name, e.sels.at(s).disc = name, disc
	return s
}

// reselect gives a selector other alternatives, and moves its edges accordingly.
func (e *Engine) reselect(s uint32, alts []alt) {
	sel := e.sels.at(s)
	old := sel.alts
	if slices.EqualFunc(old, alts, func(a, b alt) bool { return a.equal(&b) }) {
		e.releaseAlts(alts)
		return
	}
	for i := range alts {
		e.register(s, &alts[i])
	}
	e.dropUnpicked(sel, old, alts)
	sel.alts = alts
	e.addPicked(s, old)
	for i := range old {
		e.unregister(s, &old[i])
	}
	e.releaseAlts(old)
}

// dropUnpicked takes away the edges that the new alternatives don't draw, and updates those that they draw differently.
func (e *Engine) dropUnpicked(sel *selector, old, alts []alt) {
	was, now := map[uint32]view{}, map[uint32]view{}
	gone := e.scratch.slots[:0]
	var edge Edge
	var v, w view
	last := uint32(0) // the class that v and w are of
	for _, slot := range sel.set.slots {
		if slot.node == 0 {
			continue
		}
		if c := e.nodes.at(slot.node).class; c != last {
			v, w, last = e.viewOnce(now, alts, c), e.viewOnce(was, old, c), c
			shown := &v
			if !v.ok {
				shown = &w
			}
			edge = e.pickedEdge(sel, old, slot.node, shown)
			if len(gone) == 0 && !v.ok {
				e.cur.edges = slices.Grow(e.cur.edges, int(sel.set.used))
			}
		}
		edge.Target = e.refOf(slot.node)
		switch {
		case !v.ok:
			e.emitAll(Remove, &edge)
			gone = append(gone, slot)
		case !v.equal(&w):
			e.emitAll(Update, &edge)
		}
	}
	for _, slot := range gone {
		sel.set.drop(slot.key, slot.node)
	}
	e.scratch.slots = gone
}

// addPicked adds the edges that a selector's new alternatives draw and its old ones didn't.
func (e *Engine) addPicked(s uint32, old []alt) {
	sel := e.sels.at(s)
	done := map[uint32]bool{}
	for i := range sel.alts {
		e.eachCandidate(&sel.alts[i], func(id uint32) {
			c := e.classes.at(id)
			if done[id] || !e.accepts(&sel.alts[i], c) {
				return
			}
			done[id] = true
			e.addClass(sel, c, e.acceptsAny(old, c))
		})
	}
}

// addClass draws the edges to the objects of a class. Some are there if the class was picked before: unless owned ones
// are passed over, that is all of them.
func (e *Engine) addClass(sel *selector, c *class, before bool) {
	unlessOwned := e.variants[sel.alts[0].rule].UnlessOwned
	if before && !unlessOwned {
		return
	}
	v := e.look(sel.alts, c)
	edge := e.pickedEdge(sel, sel.alts, c.members[0], &v)
	if !unlessOwned {
		e.cur.edges = slices.Grow(e.cur.edges, len(c.members))
	}
	for _, n := range c.members {
		if unlessOwned && e.owns(sel.maker, n, ownerDepth) {
			continue
		}
		key := hashID(e.pickedID(sel, n))
		if !before || !sel.set.has(key, n) {
			sel.set.put(key, n)
			edge.Target = e.refOf(n)
			e.emitAll(Add, &edge)
		}
	}
}

func (e *Engine) eachCandidate(a *alt, visit func(class uint32)) {
	for _, s := range a.spaces {
		if !s.wide {
			s.candidates(a.anchor, visit)
			continue
		}
		for _, each := range e.kinds[s.kind].spaces {
			each.candidates(a.anchor, visit)
		}
	}
}

func (s *space) candidates(anchor uint64, visit func(class uint32)) {
	all := s.classes
	if anchor != 0 {
		post := s.pairs[anchor]
		if post == nil {
			return
		}
		all = post.classes
	}
	for _, c := range all {
		visit(c)
	}
}

// register makes a selector found from the classes it may pick: by the rarest pair that it wants.
func (e *Engine) register(s uint32, a *alt) {
	least := -1
	for _, p := range a.want {
		count := 0
		for _, each := range a.spaces {
			if post := each.pairs[p]; post != nil {
				count += len(post.classes) + len(post.sels)
			}
		}
		if least < 0 || count < least {
			least, a.anchor = count, p
		}
	}
	for _, each := range a.spaces {
		if a.anchor == 0 {
			each.sels = append(each.sels, s)
			continue
		}
		post := each.posting(a.anchor)
		post.sels = append(post.sels, s)
	}
}

func (e *Engine) unregister(s uint32, a *alt) {
	for _, each := range a.spaces {
		if a.anchor == 0 {
			each.sels = without(each.sels, s)
			continue
		}
		post := each.pairs[a.anchor]
		post.sels = without(post.sels, s)
		each.tidy(a.anchor)
	}
}

func (e *Engine) releaseAlts(alts []alt) {
	for i := range alts {
		e.syms.release(alts[i].extra)
		e.dropPairs(alts[i].want)
		for _, s := range alts[i].spaces {
			s.holds--
			e.tidySpace(s)
		}
	}
}

// matching appends the selectors that pick a listed class, each once.
func (e *Engine) matching(id uint32, into []uint32) []uint32 {
	c := e.classes.at(id)
	e.stamp++
	wide := e.spaces[spaceKey{kind: c.kind, wide: true}]
	for _, s := range [...]*space{c.space, wide} {
		if s == nil {
			continue
		}
		into = e.accepting(into, s.sels, c)
		for _, p := range c.labels {
			if post := s.pairs[p]; post != nil {
				into = e.accepting(into, post.sels, c)
			}
		}
	}
	return into
}

func (e *Engine) accepting(into, from []uint32, c *class) []uint32 {
	for _, s := range from {
		sel := e.sels.at(s)
		if sel.stamp == e.stamp {
			continue
		}
		sel.stamp = e.stamp
		if e.acceptsAny(sel.alts, c) {
			into = append(into, s)
		}
	}
	return into
}

func (e *Engine) acceptsAny(alts []alt, c *class) bool {
	for i := range alts {
		if e.accepts(&alts[i], c) {
			return true
		}
	}
	return false
}

func (e *Engine) accepts(a *alt, c *class) bool {
	if !slices.ContainsFunc(a.spaces, func(s *space) bool { return s == c.space || s.wide && s.kind == c.kind }) {
		return false
	}
	for _, p := range a.want {
		if !slices.Contains(c.labels, p) {
			return false
		}
	}
	for i := range a.rest {
		value, has := e.label(c, a.rest[i].Key)
		if !a.rest[i].fulfilled(value, has) {
			return false
		}
	}
	return true
}

func (e *Engine) label(c *class, key string) (string, bool) {
	for _, p := range c.labels {
		if e.syms.text(uint32(p>>32)) == key {
			return e.syms.text(uint32(p)), true
		}
	}
	return "", false
}

// look is what the edges of these alternatives to a class show.
func (e *Engine) look(alts []alt, c *class) view {
	var v view
	for i := range alts {
		a := &alts[i]
		if !e.accepts(a, c) {
			continue
		}
		_, attrs := e.extra(nil, a.extra)
		if !v.ok {
			v = view{ok: true, path: string(e.path(nil, a.rule, a.at)), attrs: attrs}
		} else {
			v.attrs = common(v.attrs, attrs)
		}
	}
	return v
}

func (e *Engine) viewOnce(seen map[uint32]view, alts []alt, class uint32) view {
	v, ok := seen[class]
	if !ok {
		v = e.look(alts, e.classes.at(class))
		seen[class] = v
	}
	return v
}

// member makes an object be among what a selector picks, unless it is owned where that matters, or not be. The class is
// the one for which the selector picks it, or picked it.
func (e *Engine) member(s, n uint32, want bool, c *class) {
	sel := e.sels.at(s)
	want = want && !(e.variants[sel.alts[0].rule].UnlessOwned && e.owns(sel.maker, n, ownerDepth))
	key := hashID(e.pickedID(sel, n))
	if sel.set.has(key, n) == want {
		return
	}
	v := e.look(sel.alts, c)
	if want {
		sel.set.put(key, n)
		e.emit(Add, e.pickedEdge(sel, sel.alts, n, &v))
	} else {
		sel.set.drop(key, n)
		e.emit(Remove, e.pickedEdge(sel, sel.alts, n, &v))
	}
}

// review updates an edge that other alternatives of its selector draw, now that the object's labels are others.
func (e *Engine) review(s, n uint32, was *class) {
	sel := e.sels.at(s)
	if len(sel.alts) == 1 || !sel.set.has(hashID(e.pickedID(sel, n)), n) {
		return
	}
	before, now := e.look(sel.alts, was), e.look(sel.alts, e.classes.at(e.nodes.at(n).class))
	if !now.equal(&before) {
		e.emit(Update, e.pickedEdge(sel, sel.alts, n, &now))
	}
}
