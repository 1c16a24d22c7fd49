package query

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"

	"github.com/kubilitics/kubilitics/hub/internal/fleet"
	"github.com/kubilitics/kubilitics/hub/internal/store"
	"github.com/kubilitics/kubilitics/shared/fault"
	"github.com/kubilitics/kubilitics/shared/topo"
)

// A continue token says where a list goes on. It is opaque by promise, not secret: it names a place in an order, and what
// may be seen from there is decided anew at each page. The sum in front keeps a token from being used with another
// question or tenant than the one it was given for, and finds damaged ones.
const (
	cursorVersion = 1
	cursorSum     = 8
)

// seal makes the token for place in the answer to that question.
func seal(tenant fleet.TenantID, question, place any) string {
	body, err := json.Marshal(place)
	if err != nil {
		return "" // can't be: places are plain structs
	}
	return base64.RawURLEncoding.EncodeToString(append(cursorSumOf(tenant, question, body), body...))
}

// open reads what seal made for the same question.
func open(tenant fleet.TenantID, question any, token string, place any) error {
	raw, err := base64.RawURLEncoding.DecodeString(token)
	if err != nil || len(raw) < cursorSum || !bytes.Equal(raw[:cursorSum], cursorSumOf(tenant, question, raw[cursorSum:])) {
		return badCursor()
	}
	if err := json.Unmarshal(raw[cursorSum:], place); err != nil {
		return badCursor()
	}
	return nil
}

// pinned stands in the place of every token: the position that all pages are read at. Zero is that of a first page.
type pinned struct {
	Position topo.Position
}

func (p *pinned) first() topo.Position { return p.Position }

// pin gives the moment to read the page of a token at, which is that of the first page, or without one the moment asked for. The token's place is read too.
func pin(tenant fleet.TenantID, question any, token string, at store.When, place interface{ first() topo.Position }) (store.When, error) {
	if token == "" {
		return at, nil
	}
	if err := open(tenant, question, token, place); err != nil {
		return at, err
	}
	if place.first() <= 0 {
		return at, badCursor()
	}
	return store.When{Position: place.first()}, nil
}

// late words what it means that the position of a list's first page isn't kept any more.
func late(token string, err error) error {
	if token == "" || !fault.Is(err, fault.Gone) {
		return err
	}
	gone := fault.Wrap(err, fault.Gone, "the list was begun too long ago: what its first page was read at isn't kept any more; begin it anew without continue")
	gone.Fields = fault.Public(err).Fields
	return gone
}

func badCursor() error {
	return fault.New(fault.BadRequest, "the continue token doesn't belong to this question").
		WithField("continue", "must be used as it was given, with the same parameters; only limit may differ")
}

func cursorSumOf(tenant fleet.TenantID, question any, body []byte) []byte {
	h := sha256.New()
	enc := json.NewEncoder(h)
	_ = enc.Encode([]any{cursorVersion, tenant, question}) // a hash takes everything
	h.Write(body)
	return h.Sum(nil)[:cursorSum]
}
