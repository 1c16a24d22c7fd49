package topo

// A slab keeps records in pages, so that growing copies nothing and a record is named by 4 bytes. Number 0 is no record.
type slab[T any] struct {
	pages []*[pageLen]T
	next  uint32
	free  []uint32
}

const (
	pageBits = 9
	pageLen  = 1 << pageBits
)

func (s *slab[T]) at(i uint32) *T { return &s.pages[i>>pageBits][i&(pageLen-1)] }

func (s *slab[T]) take() uint32 {
	if last := len(s.free) - 1; last >= 0 {
		i := s.free[last]
		s.free = s.free[:last]
		return i
	}
	s.next++
	if int(s.next>>pageBits) >= len(s.pages) {
		s.pages = append(s.pages, new([pageLen]T))
	}
	return s.next
}

func (s *slab[T]) give(i uint32) {
	var zero T
	*s.at(i) = zero
	s.free = append(s.free, i)
}

// index finds records by a hash of their key: open addressing over record numbers, the top bits of the hash being the
// slot, so that records of near hashes stand together. The key itself stays in the record.
type index struct {
	slots []uint32
	used  int
	shift uint8
}

func (x *index) slot(hash uint32) uint32 { return hash >> x.shift }

func (x *index) next(i uint32) uint32 { return (i + 1) & uint32(len(x.slots)-1) }

// find gives the record of this hash that is the one looked for, or 0.
func (x *index) find(hash uint32, same func(uint32) bool) uint32 {
	if x.used == 0 {
		return 0
	}
	for i := x.slot(hash); x.slots[i] != 0; i = x.next(i) {
		if same(x.slots[i]) {
			return x.slots[i]
		}
	}
	return 0
}

// put adds a record that isn't there yet.
func (x *index) put(hash, record uint32, hashOf func(uint32) uint32) {
	if (x.used+1)*4 > len(x.slots)*3 {
		x.grow(hashOf)
	}
	x.used++
	x.place(hash, record)
}

func (x *index) place(hash, record uint32) {
	i := x.slot(hash)
	for x.slots[i] != 0 {
		i = x.next(i)
	}
	x.slots[i] = record
}

func (x *index) grow(hashOf func(uint32) uint32) {
	old := x.slots
	if len(old) == 0 {
		x.slots, x.shift = make([]uint32, 16), 28
		return
	}
	x.slots = make([]uint32, 2*len(old))
	x.shift--
	for _, record := range old {
		if record != 0 {
			x.place(hashOf(record), record)
		}
	}
}

// drop takes a record out and closes the gap it leaves.
func (x *index) drop(hash, record uint32, hashOf func(uint32) uint32) {
	i := x.slot(hash)
	for x.slots[i] != record {
		i = x.next(i)
	}
	x.used--
	mask := uint32(len(x.slots) - 1)
	for j := x.next(i); x.slots[j] != 0; j = x.next(j) {
		home := x.slot(hashOf(x.slots[j]))
		if (j-home)&mask >= (j-i)&mask {
			x.slots[i] = x.slots[j]
			i = j
		}
	}
	x.slots[i] = 0
}

// edgeSet holds edges of one source or one selector: the first 32 bits of each edge's own key, and the node at the
// other end. Same scheme as index, 8 bytes a slot.
type edgeSet struct {
	slots []edgeSlot
	used  uint32
}

type edgeSlot struct{ key, node uint32 }

// home spreads keys by their top bits; the table's length is a power of two.
func (s *edgeSet) home(key uint32) uint32 {
	return uint32(uint64(key) * uint64(len(s.slots)) >> 32)
}

func (s *edgeSet) next(i uint32) uint32 { return (i + 1) & uint32(len(s.slots)-1) }

func (s *edgeSet) find(key uint32, same func(node uint32) bool) (uint32, bool) {
	if s.used == 0 {
		return 0, false
	}
	for i := s.home(key); s.slots[i].node != 0; i = s.next(i) {
		if s.slots[i].key == key && same(s.slots[i].node) {
			return s.slots[i].node, true
		}
	}
	return 0, false
}

func (s *edgeSet) has(key, node uint32) bool {
	_, ok := s.find(key, func(n uint32) bool { return n == node })
	return ok
}

func (s *edgeSet) put(key, node uint32) {
	if int(s.used+1)*5 > len(s.slots)*4 { // one slot at least stays empty: it ends searches
		old := s.slots
		s.slots = make([]edgeSlot, max(2, 2*len(old)))
		for _, e := range old {
			if e.node != 0 {
				s.place(e)
			}
		}
	}
	s.used++
	s.place(edgeSlot{key, node})
}

func (s *edgeSet) place(e edgeSlot) {
	i := s.home(e.key)
	for s.slots[i].node != 0 {
		i = s.next(i)
	}
	s.slots[i] = e
}

func (s *edgeSet) drop(key, node uint32) {
	i := s.home(key)
	for s.slots[i] != (edgeSlot{key, node}) {
		i = s.next(i)
	}
	s.used--
	mask := uint32(len(s.slots) - 1)
	for j := s.next(i); s.slots[j].node != 0; j = s.next(j) {
		if (j-s.home(s.slots[j].key))&mask >= (j-i)&mask {
			s.slots[i] = s.slots[j]
			i = j
		}
	}
	s.slots[i] = edgeSlot{}
	if s.used == 0 {
		s.slots = nil
	}
}
