// Package credential is the text of the secrets the hub hands out: "<prefix>.<id>.<secret>". The id finds the record and may
// be logged; the secret has 256 random bits, so that a plain hash of it is all that a record needs to keep.
package credential

import (
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"encoding/hex"
	"strings"
)

// Kind is the prefix, which tells people and scanners what they have found.
type Kind string

// The kinds.
const (
	Join Kind = "kbl1" // part of a join token
	API  Kind = "kbt1" // an API token
)

const (
	idLen     = 12
	secretLen = 32
)

// Credential is an id with its secret.
type Credential struct {
	Kind   Kind
	ID     string // 24 hexadecimal digits
	Secret string // 32 random bytes, base64url
}

// New draws one.
func New(kind Kind) Credential {
	raw := make([]byte, idLen+secretLen)
	_, _ = rand.Read(raw) // never fails: crypto/rand ends the process instead
	return Credential{Kind: kind, ID: hex.EncodeToString(raw[:idLen]), Secret: base64.RawURLEncoding.EncodeToString(raw[idLen:])}
}

// Text is the whole, secret included.
func (c Credential) Text() string { return string(c.Kind) + "." + c.ID + "." + c.Secret }

// String hides the secret, so that a credential printed by accident gives nothing away.
func (c Credential) String() string { return string(c.Kind) + "." + c.ID + ".…" }

// GoString hides the secret from %#v as well.
func (c Credential) GoString() string { return c.String() }

// Hash is what a record keeps of the secret: its SHA-256.
func (c Credential) Hash() []byte {
	h := sha256.Sum256([]byte(c.Secret))
	return h[:]
}

// Matches compares with a record's hash in constant time. A nil hash, of a record that isn't there, costs the same and matches nothing.
func (c Credential) Matches(hash []byte) bool {
	known := make([]byte, sha256.Size) // all zero: what no secret is known to hash to
	copy(known, hash)
	return subtle.ConstantTimeCompare(c.Hash(), known) == 1 && len(hash) == sha256.Size
}

// Parse reads what Text wrote. On anything else ok is false and the credential is one that no record has.
func Parse(kind Kind, text string) (c Credential, ok bool) {
	body, isKind := strings.CutPrefix(text, string(kind)+".")
	id, secret, _ := strings.Cut(body, ".")
	if !isKind || !isID(id) || !isSecret(secret) {
		return Credential{Kind: kind}, false
	}
	return Credential{Kind: kind, ID: id, Secret: secret}, true
}

func isID(s string) bool {
	raw, err := hex.DecodeString(s)
	return err == nil && len(raw) == idLen && hex.EncodeToString(raw) == s
}

// isSecret takes the one spelling only: the decoder alone would pass over line breaks.
func isSecret(s string) bool {
	raw, err := base64.RawURLEncoding.Strict().DecodeString(s)
	return err == nil && len(raw) == secretLen && base64.RawURLEncoding.EncodeToString(raw) == s
}
