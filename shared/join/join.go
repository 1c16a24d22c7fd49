// Package join is what hub and agent must both know before they trust each other: the text of a join token, the pin of the
// hub's root in it, and the name by which every hub's certificate is checked.
package join

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"strings"

	"github.com/kubilitics/kubilitics/shared/fault"
	"github.com/kubilitics/kubilitics/shared/tunnel"
)

// HubName is a DNS name in every hub's certificate, whatever address it is reached at. The chain to the pinned root is what
// tells the hub from others; so a missing name in a certificate can't lock agents out.
const HubName = "hub.kubilitics.internal"

const (
	prefix    = "kbl1."
	idLen     = 12
	secretLen = 32
)

// Token permits one agent to enrol. Its text is secret as a whole.
type Token struct {
	ID     string     // 24 hexadecimal digits; may be logged
	Secret string     // 32 random bytes, base64url
	Pin    tunnel.Pin // of the hub's root
}

// NewToken draws a token for the hub with that root.
func NewToken(root tunnel.Pin) Token {
	raw := make([]byte, idLen+secretLen)
	_, _ = rand.Read(raw) // never fails: crypto/rand ends the process instead
	return Token{ID: hex.EncodeToString(raw[:idLen]), Secret: base64.RawURLEncoding.EncodeToString(raw[idLen:]), Pin: root}
}

// Text is what people paste: "kbl1.<id>.<secret>.<pin>".
func (t Token) Text() string {
	return t.Credential() + "." + base64.RawURLEncoding.EncodeToString(t.Pin[:])
}

// Credential is the part that is sent to the hub: "kbl1.<id>.<secret>".
func (t Token) Credential() string { return prefix + t.ID + "." + t.Secret }

// String hides the secret, so that a token printed by accident gives nothing away.
func (t Token) String() string { return prefix + t.ID + ".…" }

// GoString hides the secret from %#v as well.
func (t Token) GoString() string { return t.String() }

// Parse reads what Text wrote, with white space around it; anything else is a BadRequest that doesn't repeat it.
func Parse(text string) (Token, error) {
	credential, pin := cutLast(strings.TrimSpace(text))
	id, secret, ok := ParseCredential(credential)
	raw, okPin := decode(pin, sha256.Size)
	if !ok || !okPin {
		return Token{}, fault.New(fault.BadRequest, "this is no join token: one is kbl1, an id, a secret and a pin, joined by dots")
	}
	return Token{ID: id, Secret: secret, Pin: tunnel.Pin(raw)}, nil
}

// ParseCredential takes apart what Credential wrote.
func ParseCredential(text string) (id, secret string, ok bool) {
	body, ok := strings.CutPrefix(text, prefix)
	if !ok {
		return "", "", false
	}
	id, secret, ok = strings.Cut(body, ".")
	_, okID := decodeHex(id)
	_, okSecret := decode(secret, secretLen)
	if !ok || !okID || !okSecret {
		return "", "", false
	}
	return id, secret, true
}

// decode takes the one spelling only: the decoder alone would pass over line breaks.
func decode(s string, size int) ([]byte, bool) {
	raw, err := base64.RawURLEncoding.Strict().DecodeString(s)
	return raw, err == nil && len(raw) == size && base64.RawURLEncoding.EncodeToString(raw) == s
}

func decodeHex(s string) ([]byte, bool) {
	raw, err := hex.DecodeString(s)
	return raw, err == nil && len(raw) == idLen && hex.EncodeToString(raw) == s
}

// cutLast parts at the last dot.
func cutLast(s string) (before, after string) {
	i := strings.LastIndexByte(s, '.')
	if i < 0 {
		return s, ""
	}
	return s[:i], s[i+1:]
}
