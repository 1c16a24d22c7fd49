package topo

import (
	"cmp"
	"slices"
)

// wantUID is the attribute of an edge whose owner isn't the object that the dependent means.
const wantUID = "wantUID"

// pick is a selector that an object's fields hold, before it is compared with those known.
type pick struct {
	name uint16
	disc string
	alt  alt
}

// setLinks makes the edges that the facts of an object name be those it says now, and gathers its selectors in
// scratch.picks. It tells whether the object's owners changed.
func (e *Engine) setLinks(n uint32, res *Resource) bool {
	e.scratch.made = e.scratch.made[:0]
	e.scratch.picks = e.scratch.picks[:0]
	e.rules.Links(res, func(l *Link) {
		if l.Selector != nil {
			e.scratch.picks = append(e.scratch.picks, e.newPick(n, l))
			return
		}
		if m, ok := e.newMade(n, l); ok {
			e.scratch.made = append(e.scratch.made, m)
		}
	})
	return e.adopt(n, e.scratch.made)
}

func (e *Engine) newMade(n uint32, l *Link) (made, bool) {
	owner := e.variants[l.Rule].Owner
	if l.To.Name == "" || owner && l.UID == "" {
		return made{}, false
	}
	m := made{other: e.target(n, l), rule: l.Rule, at: l.At}
	attrs := l.Attrs
	if owner && !e.hasUID(m.other, l.UID) {
		e.scratch.pairs = insert(append(e.scratch.pairs[:0], attrs...), Pair{wantUID, l.UID})
		attrs = e.scratch.pairs
	}
	m.extra = e.packExtra(l.Disc, attrs)
	return m, true
}

// target is the node that a link names.
func (e *Engine) target(n uint32, l *Link) uint32 {
	kind := e.kindOf(l.To.GroupKind())
	to := l.To
	switch k := &e.kinds[kind]; {
	case k.virtual:
		other := e.ensure(to)
		if r := e.nodes.at(other); r.attrs == "" && len(l.TargetAttrs) > 0 {
			e.scratch.bytes = e.syms.pack(e.scratch.bytes[:0], l.TargetAttrs)
			r.attrs = string(e.scratch.bytes)
		}
		return other
	case k.cluster:
		to.Namespace = ""
	case to.Namespace == "":
		to.Namespace = e.syms.text(e.classes.at(e.nodes.at(n).class).ns)
	}
	return e.ensure(to)
}

func insert(pairs []Pair, p Pair) []Pair {
	i, _ := slices.BinarySearchFunc(pairs, p.Key, func(a Pair, key string) int { return cmp.Compare(a.Key, key) })
	return slices.Insert(pairs, i, p)
}

// An extra is the symbol of what few edges have: the discriminator, as a pair without a key, and the attributes.

func (e *Engine) packExtra(disc string, attrs []Pair) uint32 {
	if disc == "" && len(attrs) == 0 {
		return 0
	}
	buf := e.scratch.bytes[:0]
	if disc != "" {
		buf = e.syms.pack(buf, []Pair{{Value: disc}})
	}
	e.scratch.bytes = e.syms.pack(buf, attrs)
	return e.syms.hold(string(e.scratch.bytes))
}

// extra takes apart what packExtra made; the attributes stand in into.
func (e *Engine) extra(into []Pair, sym uint32) (disc string, attrs []Pair) {
	all := e.syms.unpack(into, e.syms.text(sym))
	if len(all) > 0 && all[0].Key == "" {
		return all[0].Value, all[1:]
	}
	return "", all
}

func (e *Engine) extraDisc(sym uint32) string {
	if sym == 0 {
		return ""
	}
	if p, _ := e.syms.cut(e.syms.text(sym)); p.Key == "" {
		return p.Value
	}
	return ""
}

func (e *Engine) dropExtras(all []made) {
	for i := range all {
		e.syms.release(all[i].extra)
	}
}

// adopt makes the edges that an object names be those wanted, whose extras it takes over. It tells whether owners
// changed.
func (e *Engine) adopt(n uint32, want []made) bool {
	r := e.nodes.at(n)
	want = e.merge(want)
	old := r.made
	owners, same := false, len(old) == len(want)
	for i, j := 0, 0; i < len(old) || j < len(want); {
		c := e.orderAt(old, i, want, j)
		switch {
		case c < 0:
			owners = e.unlink(n, old[i]) || owners
			i++
		case c > 0:
			owners = e.link(n, &want[j]) || owners
			same = false
			j++
		default:
			want[j].key = old[i].key
			if old[i] != want[j] {
				e.emit(Update, e.madeEdge(n, want[j]))
				owners = owners || e.variants[want[j].rule].Owner
				same = false
			}
			i++
			j++
		}
	}
	if same {
		e.dropExtras(want)
		return owners
	}
	e.dropExtras(old)
	r.made = slices.Clone(want)
	if len(want) == 0 {
		r.made = nil
	}
	return owners
}

// link draws an edge, and unlink takes one away. They tell whether it says who owns the object.
func (e *Engine) link(n uint32, m *made) bool {
	id := e.madeID(n, *m)
	m.key = hashID(id)
	rule := &e.variants[m.rule]
	other := e.nodes.at(m.other)
	if other.refs++; other.refs == 1 {
		e.touch(m.other)
	}
	if rule.Reverse {
		if other.deps == 0 {
			other.deps = e.deps.take()
		}
		e.deps.at(other.deps).put(m.key, n)
	}
	e.emit(Add, e.madeEdge(n, *m))
	return rule.Owner
}

func (e *Engine) unlink(n uint32, m made) bool {
	rule := &e.variants[m.rule]
	e.emit(Remove, e.madeEdge(n, m))
	other := e.nodes.at(m.other)
	if other.refs--; other.refs == 0 {
		e.touch(m.other)
	}
	if rule.Reverse {
		set := e.deps.at(other.deps)
		set.drop(m.key, n)
		if set.used == 0 {
			e.deps.give(other.deps)
			other.deps = 0
		}
	}
	return rule.Owner
}

func (e *Engine) orderAt(a []made, i int, b []made, j int) int {
	switch {
	case i == len(a):
		return 1
	case j == len(b):
		return -1
	}
	return e.order(&a[i], &b[j])
}

// order sorts edges of one object so that those of one key stand together: owners first.
func (e *Engine) order(a, b *made) int {
	if a.rule != b.rule {
		if c := cmp.Compare(e.names[a.rule], e.names[b.rule]); c != 0 {
			return c
		}
	}
	if a.other != b.other {
		return cmp.Compare(a.other, b.other)
	}
	if a.extra == b.extra {
		return 0
	}
	return cmp.Compare(e.extraDisc(a.extra), e.extraDisc(b.extra))
}

// merge sorts, and makes one edge of several occurrences: at the first place, with the attributes that all agree in.
func (e *Engine) merge(all []made) []made {
	slices.SortFunc(all, func(a, b made) int {
		return cmp.Or(e.order(&a, &b), cmp.Compare(a.rule, b.rule), a.at.compare(b.at))
	})
	out := all[:0]
	for i := range all {
		last := len(out) - 1
		if last < 0 || e.order(&out[last], &all[i]) != 0 {
			out = append(out, all[i])
			continue
		}
		if out[last].extra != all[i].extra && !e.variants[all[i].rule].Owner {
			out[last].extra = e.agree(out[last].extra, all[i].extra)
		} else {
			e.syms.release(all[i].extra)
		}
	}
	return out
}

func (a At) compare(b At) int { return slices.Compare(a[:], b[:]) }

// agree takes over two extras of one discriminator and gives what is the same in both.
func (e *Engine) agree(a, b uint32) uint32 {
	disc, left := e.extra(nil, a)
	_, right := e.extra(nil, b)
	both := e.packExtra(disc, common(left, right))
	e.syms.release(a)
	e.syms.release(b)
	return both
}

func common(a, b []Pair) []Pair {
	var both []Pair
	for _, p := range a {
		if slices.Contains(b, p) {
			both = append(both, p)
		}
	}
	return both
}
