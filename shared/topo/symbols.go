package topo

import (
	"encoding/binary"
	"hash/maphash"
	"strings"
)

// symbols keeps each text once and counts who holds it. Symbol 0 is the empty text and is not counted.
type symbols struct {
	seed  maphash.Seed
	texts slab[symbol]
	ix    index

	keys    []string // words of the tables, held for ever
	keyNums map[string]uint32
}

type symbol struct {
	text  string
	holds uint32
}

func newSymbols() symbols {
	return symbols{seed: maphash.MakeSeed(), keyNums: map[string]uint32{}}
}

func (s *symbols) hash(text string) uint32 { return uint32(maphash.String(s.seed, text)) }

func (s *symbols) hashOf(i uint32) uint32 { return s.hash(s.texts.at(i).text) }

func (s *symbols) text(i uint32) string {
	if i == 0 {
		return ""
	}
	return s.texts.at(i).text
}

// look finds a text without holding it; 0 when nobody holds it.
func (s *symbols) look(text string) uint32 {
	if text == "" {
		return 0
	}
	return s.ix.find(s.hash(text), func(i uint32) bool { return s.texts.at(i).text == text })
}

// hold finds or adds a text, and counts one holder more.
func (s *symbols) hold(text string) uint32 {
	if text == "" {
		return 0
	}
	i := s.look(text)
	if i == 0 {
		i = s.texts.take()
		// The text may be a piece of a large buffer: a copy lets that go.
		s.texts.at(i).text = strings.Clone(text)
		s.ix.put(s.hash(text), i, s.hashOf)
	}
	s.texts.at(i).holds++
	return i
}

// again counts one holder more of a symbol that is held.
func (s *symbols) again(i uint32) {
	if i != 0 {
		s.texts.at(i).holds++
	}
}

func (s *symbols) release(i uint32) {
	if i == 0 {
		return
	}
	if sym := s.texts.at(i); sym.holds > 1 {
		sym.holds--
		return
	}
	s.ix.drop(s.hashOf(i), i, s.hashOf)
	s.texts.give(i)
}

// Packed pairs are one text: for each the number of its key, and the value with its length before it. Keys are words of
// the tables, so they are few.

func (s *symbols) key(text string) uint32 {
	n, ok := s.keyNums[text]
	if !ok {
		n = uint32(len(s.keys))
		text = strings.Clone(text)
		s.keys = append(s.keys, text)
		s.keyNums[text] = n
	}
	return n
}

func (s *symbols) pack(buf []byte, pairs []Pair) []byte {
	for _, p := range pairs {
		buf = binary.AppendUvarint(buf, uint64(s.key(p.Key)))
		buf = binary.AppendUvarint(buf, uint64(len(p.Value)))
		buf = append(buf, p.Value...)
	}
	return buf
}

// packs tells whether packed is what pack would make of pairs, without making it.
func (s *symbols) packs(packed string, pairs []Pair) bool {
	for _, p := range pairs {
		if packed == "" {
			return false
		}
		var got Pair
		got, packed = s.cut(packed)
		if got != p {
			return false
		}
	}
	return packed == ""
}

func (s *symbols) unpack(into []Pair, packed string) []Pair {
	for packed != "" {
		var p Pair
		p, packed = s.cut(packed)
		into = append(into, p)
	}
	return into
}

func (s *symbols) cut(packed string) (Pair, string) {
	key, packed := cutNumber(packed)
	size, packed := cutNumber(packed)
	return Pair{Key: s.keys[key], Value: packed[:size]}, packed[size:]
}

func cutNumber(s string) (uint64, string) {
	var n uint64
	for i := 0; ; i++ {
		n |= uint64(s[i]&0x7f) << (7 * i)
		if s[i] < 0x80 {
			return n, s[i+1:]
		}
	}
}
