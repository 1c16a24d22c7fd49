package topo

import (
	"encoding/hex"
)

// UIDs are UUIDs in practice, kept as 16 bytes; any other text is kept as it is, beside.

func (e *Engine) setUID(n uint32, text string) {
	r := e.nodes.at(n)
	if r.odd {
		delete(e.oddUIDs, n)
	}
	var plain bool
	r.uid, plain = parseUUID(text)
	r.odd = !plain && text != ""
	if r.odd {
		e.oddUIDs[n] = text
	}
}

func (e *Engine) uidText(n uint32) string {
	r := e.nodes.at(n)
	switch {
	case r.odd:
		return e.oddUIDs[n]
	case r.uid.IsZero():
		return ""
	}
	var b [36]byte
	return string(appendUUID(b[:0], r.uid))
}

// hasUID is uidText(n) == text without making the text.
func (e *Engine) hasUID(n uint32, text string) bool {
	r := e.nodes.at(n)
	if r.odd {
		return e.oddUIDs[n] == text
	}
	id, plain := parseUUID(text)
	return id == r.uid && (plain || text == "")
}

var uuidParts = [...][2]int{{0, 8}, {9, 13}, {14, 18}, {19, 23}, {24, 36}}

// parseUUID reads the canonical form only: what it takes, appendUUID gives back. The UUID of zeros isn't one.
func parseUUID(s string) (ID, bool) {
	var id ID
	if len(s) != 36 {
		return id, false
	}
	var scratch [36]byte
	at := 0
	for _, p := range uuidParts {
		size, err := hex.Decode(id[at:], []byte(s[p[0]:p[1]]))
		if err != nil {
			return ID{}, false
		}
		at += size
	}
	if id.IsZero() || string(appendUUID(scratch[:0], id)) != s {
		return ID{}, false
	}
	return id, true
}

func appendUUID(b []byte, id ID) []byte {
	at := 0
	for i, p := range uuidParts {
		if i > 0 {
			b = append(b, '-')
		}
		size := (p[1] - p[0]) / 2
		b = hex.AppendEncode(b, id[at:at+size])
		at += size
	}
	return b
}
