package topo

import (
	"encoding/binary"
	"hash/maphash"
	"strings"
)

// Engine keeps the graph of one cluster and tells what each change of an object changes in it. A change costs what it
// touches. It is a pure machine: no clock, no goroutine, no lock; its caller calls one method at a time. It is the only
// copy of the graph, so rows are packed: texts kept once, records numbered, what can be computed not kept.
type Engine struct {
	rules    Rules
	sees     func(namespace string) bool // nil: all
	variants []Rule
	names    []uint16 // by rule number: the number of its name, those of Owner rules first

	kinds    []kind
	kindNums map[GroupKind]uint32

	syms    symbols
	nodes   slab[record]
	byID    index
	oddUIDs map[uint32]string // of nodes whose UID isn't the text of a UUID
	deps    slab[edgeSet]     // by source: the edges drawn from it that others' fields say

	classes slab[class]
	classIx index
	spaces  map[spaceKey]*space
	sels    slab[selector]
	stamp   uint32

	nodeCount, edgeCount int
	cur                  delta
	scratch              scratch
}

// scratch is what calls reuse.
type scratch struct {
	bytes  []byte
	pairs  []Pair
	labels []uint64
	made   []made
	picks  []pick
	found  []uint32
	slots  []edgeSlot

	rowLabels, rowAttrs []Pair
	hash                maphash.Hash
}

// kind is what the engine knows of a kind of objects.
type kind struct {
	gk         GroupKind
	cluster    bool // has no namespace
	observed   bool
	virtual    bool
	selectable bool
	ghosts     int      // nodes that stand for no object
	objects    int      // nodes that stand for one
	spaces     []*space // of a selectable kind, one a namespace
}

// record is a node.
type record struct {
	id      ID
	uid     ID
	facts   uint64 // hash of what the links follow from
	created int64
	name    string
	attrs   string // packed
	made    []made // sorted by name of rule, other end, discriminator
	class   uint32
	pos     uint32 // among the class's members
	deps    uint32
	sels    uint32 // the first of its selectors
	status  uint32
	version uint32
	refs    uint32 // how many edges that others make end here
	health  Health
	object  bool   // an object is there
	listed  bool   // the graph had it before this change
	odd     bool   // its UID is in oddUIDs
	touchAt uint32 // its place in the change's list, from 1; 0 while untouched
}

// made is an edge that the fields of one object name.
type made struct {
	other uint32 // the node at the other end
	key   uint32 // the first half of the first half of the edge's own key
	extra uint32 // symbol of the discriminator and the attributes, packed
	rule  uint16
	at    At
}

// Sees limits what is observed to objects in the namespaces of which it is true: what is referred to in another isn't missing when it isn't there, but
// unobserved. It is to be called before the first change, and must always answer the same.
func (e *Engine) Sees(namespace func(string) bool) { e.sees = namespace }

// NewEngine gives an engine with an empty graph.
func NewEngine(rules Rules) *Engine {
	e := &Engine{
		rules:    rules,
		variants: rules.Rules(),
		kinds:    make([]kind, 1),
		kindNums: map[GroupKind]uint32{},
		syms:     newSymbols(),
		oddUIDs:  map[uint32]string{},
		spaces:   map[spaceKey]*space{},
	}
	e.syms.key("") // the discriminator's place among packed attributes
	e.names = numberNames(e.variants)
	for _, r := range e.variants {
		if r.Selects != (GroupKind{}) {
			e.kinds[e.kindOf(r.Selects)].selectable = true
		}
	}
	for _, gk := range rules.ClusterScoped() {
		e.kinds[e.kindOf(gk)].cluster = true
	}
	return e
}

func numberNames(rules []Rule) []uint16 {
	nums := map[string]uint16{}
	for _, owner := range []bool{true, false} {
		for _, r := range rules {
			if _, ok := nums[r.Name]; !ok && r.Owner == owner {
				nums[r.Name] = uint16(len(nums))
			}
		}
	}
	names := make([]uint16, len(rules))
	for i, r := range rules {
		names[i] = nums[r.Name]
	}
	return names
}

// Apply takes the newest state of an object and tells what it changes. The Resource belongs to the engine from then on:
// the Diff shares its slices.
func (e *Engine) Apply(c Change) Diff {
	e.begin()
	if c.Resource != nil {
		e.set(c.Ref, c.Resource)
	} else if n := e.lookup(c.Ref.ID()); n != 0 && e.nodes.at(n).object {
		e.gone(n)
	}
	return e.finish()
}

// Observe tells what is known of a kind. What isn't there turns from unobserved to missing when the kind is observed,
// and back. A kind of unknown scope is taken for a namespaced one; once it proves to have no namespace, what refers to
// it is drawn anew.
func (e *Engine) Observe(gk GroupKind, s KindState) Diff {
	e.begin()
	num := e.kindOf(gk)
	k := &e.kinds[num]
	if !s.Namespaced && !k.cluster {
		k.cluster = true
		if k.ghosts > 0 {
			e.relocate(num)
		}
	}
	k = &e.kinds[num]
	k.cluster = !s.Namespaced
	if k.observed != s.Observed {
		k.observed = s.Observed
		e.turnGhosts(num)
	}
	return e.finish()
}

func (e *Engine) turnGhosts(kind uint32) {
	if e.kinds[kind].ghosts == 0 || e.kinds[kind].virtual {
		return
	}
	e.eachNode(func(n uint32, r *record) {
		if !r.object && e.classes.at(r.class).kind == kind {
			e.touch(n).dirty = true
		}
	})
}

// Forget takes out all objects of a kind that is no longer served or watched. What refers to them finds them unobserved.
func (e *Engine) Forget(gk GroupKind) Diff {
	e.begin()
	e.cur.repeats = true
	num := e.kindOf(gk)
	if e.kinds[num].observed {
		e.kinds[num].observed = false
		e.turnGhosts(num)
	}
	e.eachNode(func(n uint32, r *record) {
		if r.object && e.classes.at(r.class).kind == num {
			e.gone(n)
		}
	})
	return e.finish()
}

// relocate draws anew what refers to objects of a kind that has no namespace, as it turned out.
func (e *Engine) relocate(kind uint32) {
	e.cur.repeats = true
	e.eachNode(func(n uint32, r *record) {
		want := append(e.scratch.made[:0], r.made...)
		moved := false
		for i := range want {
			e.syms.again(want[i].extra)
			other := e.nodes.at(want[i].other)
			if c := e.classes.at(other.class); c.kind == kind && c.ns != 0 {
				ref := e.refOf(want[i].other)
				ref.Namespace = ""
				from := want[i].other
				want[i].other = e.ensure(ref)
				want[i].extra = e.moved(want[i], from, want[i].other)
				moved = true
			}
		}
		e.scratch.made = want
		if !moved {
			e.dropExtras(want)
			return
		}
		if e.adopt(n, want) {
			e.recheck(n, ownerDepth)
		}
	})
}

// eachNode visits the nodes that are there when it starts.
func (e *Engine) eachNode(visit func(n uint32, r *record)) {
	for n := uint32(1); n <= e.nodes.next; n++ {
		if r := e.nodes.at(n); r.class != 0 {
			visit(n, r)
		}
	}
}

func (e *Engine) kindOf(gk GroupKind) uint32 {
	n, ok := e.kindNums[gk]
	if !ok {
		n = uint32(len(e.kinds))
		e.kinds = append(e.kinds, kind{gk: gk, virtual: e.rules.Virtual(gk)})
		e.kindNums[gk] = n
	}
	return n
}

func hashID(id ID) uint32 { return binary.BigEndian.Uint32(id[:4]) }

func (e *Engine) hashNode(n uint32) uint32 { return hashID(e.nodes.at(n).id) }

func (e *Engine) lookup(id ID) uint32 {
	return e.byID.find(hashID(id), func(n uint32) bool { return e.nodes.at(n).id == id })
}

// ensure gives the node of a Ref, made when it isn't there. One that nothing refers to in the end goes with the change.
func (e *Engine) ensure(ref Ref) uint32 {
	id := ref.ID()
	if n := e.lookup(id); n != 0 {
		return n
	}
	kind := e.kindOf(ref.GroupKind())
	n := e.nodes.take()
	r := e.nodes.at(n)
	r.id, r.name = id, strings.Clone(ref.Name)
	r.class = e.holdClass(kind, ref.Namespace, nil)
	e.kinds[kind].ghosts++
	e.byID.put(hashID(id), n, e.hashNode)
	e.touch(n)
	return n
}

func (e *Engine) release(n uint32) {
	r := e.nodes.at(n)
	e.kinds[e.classes.at(r.class).kind].ghosts--
	e.byID.drop(hashID(r.id), n, e.hashNode)
	e.releaseClass(r.class)
	e.nodes.give(n)
}

// set makes an object be as it is now. The order matters: what it is and owns comes before what selects it.
func (e *Engine) set(ref Ref, res *Resource) {
	n := e.ensure(ref)
	r := e.nodes.at(n)
	fresh := !r.object
	old := e.uidText(n)
	anew := old != res.UID
	if anew && !fresh && old != "" && res.UID != "" {
		e.touch(n).replaced = e.row(n)
	}
	if fresh {
		r.object = true
		e.count(n, 1)
		e.cur.fresh = n
	}
	if e.setFields(n, res, anew) || fresh {
		e.touch(n).dirty = true
	}
	turned := anew && e.turnOwned(n, old)
	if facts := e.hashFacts(res); fresh || facts != r.facts {
		r.facts = facts
		turned = e.setLinks(n, res) || turned
		e.setLabels(n, fresh, res.Labels)
		e.setSelectors(n)
	} else {
		e.setLabels(n, fresh, res.Labels)
	}
	if turned {
		e.recheck(n, ownerDepth)
	}
	e.cur.node, e.cur.resource = n, res
}

// gone takes the object of a node away. The node stays while something refers to it.
func (e *Engine) gone(n uint32) {
	r := e.nodes.at(n)
	t := e.touch(n)
	t.dirty = true
	if t.removed.Ref.Kind == "" {
		t.removed = e.row(n)
	}
	old := e.uidText(n)
	e.leaveLabels(n)
	e.scratch.picks = e.scratch.picks[:0]
	e.setSelectors(n)
	e.adopt(n, nil)
	r.object, r.facts = false, 0
	e.count(n, -1)
	e.setFields(n, &Resource{}, old != "")
	if old != "" && e.turnOwned(n, old) {
		e.recheck(n, ownerDepth)
	}
}

// count notes that a node came to stand for an object, or ceased to.
func (e *Engine) count(n uint32, by int) {
	k := &e.kinds[e.classes.at(e.nodes.at(n).class).kind]
	k.objects += by
	k.ghosts -= by
}

// setFields copies what the node shows, and tells whether anything of it changed.
func (e *Engine) setFields(n uint32, res *Resource, anew bool) bool {
	r := e.nodes.at(n)
	changed := anew || r.created != res.Created || r.health != res.Health
	if anew {
		e.setUID(n, res.UID)
	}
	r.created, r.health = res.Created, res.Health
	changed = e.setSymbol(&r.status, res.Status) || changed
	changed = e.setSymbol(&r.version, res.Version) || changed
	if !e.syms.packs(r.attrs, res.Attrs) {
		e.scratch.bytes = e.syms.pack(e.scratch.bytes[:0], res.Attrs)
		r.attrs = string(e.scratch.bytes)
		changed = true
	}
	return changed
}

func (e *Engine) setSymbol(s *uint32, text string) bool {
	if e.syms.text(*s) == text {
		return false
	}
	e.syms.release(*s)
	*s = e.syms.hold(text)
	return true
}

// hashFacts sums up all that Links depends on but the Ref.
func (e *Engine) hashFacts(res *Resource) uint64 {
	h := &e.scratch.hash
	h.Reset()
	number := func(n int) {
		var b [4]byte
		binary.LittleEndian.PutUint32(b[:], uint32(n))
		_, _ = h.Write(b[:])
	}
	text := func(s string) {
		number(len(s))
		_, _ = h.WriteString(s)
	}
	for i := range res.Owners {
		o := &res.Owners[i]
		text(o.Group)
		text(o.Kind)
		text(o.Name)
		text(o.UID)
		if o.Controller {
			number(1)
		}
	}
	number(-1)
	for i := range res.Facts {
		f := &res.Facts[i]
		number(int(f.Rule))
		number(int(f.At[0])<<16 | int(uint16(f.At[1])))
		number(int(f.At[2]))
		for _, v := range f.Values {
			text(v)
		}
	}
	return h.Sum64()
}
