package credential

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"strings"
)

// Ticket is a short-lived credential that no record stands behind: its secret is what it says, under a MAC of who gave it.
const Ticket Kind = "kbs1"

// maxClaims bounds what a sealed credential may say, in bytes.
const maxClaims = 512

// Seal makes a credential with a random id whose secret is claims, at most 512 bytes, under a MAC by key. Whoever holds it can read the claims.
func Seal(kind Kind, key, claims []byte) Credential {
	id := make([]byte, idLen)
	_, _ = rand.Read(id) // never fails: crypto/rand ends the process instead
	c := Credential{Kind: kind, ID: hex.EncodeToString(id)}
	c.Secret = base64.RawURLEncoding.EncodeToString(append(claims[:len(claims):len(claims)], c.mac(key, claims)...))
	return c
}

// Unseal reads what Seal made with the same kind and key, and gives its claims. On anything else ok is false; nothing of a text is looked at before
// its MAC is found to be right, and comparing takes the same time wherever it isn't.
func Unseal(kind Kind, key []byte, text string) (c Credential, claims []byte, ok bool) {
	c, sealed, ok := parseSealed(kind, text)
	if !ok {
		return Credential{Kind: kind}, nil, false
	}
	claims, mac := sealed[:len(sealed)-sha256.Size], sealed[len(sealed)-sha256.Size:]
	if !hmac.Equal(mac, c.mac(key, claims)) {
		return Credential{Kind: kind}, nil, false
	}
	return c, claims, true
}

// Looks tells whether a text has the form of a sealed credential of that kind. Whether it is one, only who has the key can tell.
func Looks(kind Kind, text string) bool {
	_, _, ok := parseSealed(kind, text)
	return ok
}

// parseSealed takes the one spelling only, as Parse does.
func parseSealed(kind Kind, text string) (c Credential, sealed []byte, ok bool) {
	body, isKind := strings.CutPrefix(text, string(kind)+".")
	id, secret, _ := strings.Cut(body, ".")
	if !isKind || !isID(id) || len(secret) > base64.RawURLEncoding.EncodedLen(maxClaims+sha256.Size) {
		return Credential{}, nil, false
	}
	sealed, err := base64.RawURLEncoding.Strict().DecodeString(secret)
	if err != nil || len(sealed) < sha256.Size || base64.RawURLEncoding.EncodeToString(sealed) != secret {
		return Credential{}, nil, false
	}
	return Credential{Kind: kind, ID: id, Secret: secret}, sealed, true
}

// mac covers the kind and the id too; both have a fixed length.
func (c Credential) mac(key, claims []byte) []byte {
	h := hmac.New(sha256.New, key)
	_, _ = h.Write([]byte(string(c.Kind) + "." + c.ID + ".")) // a hash takes everything
	_, _ = h.Write(claims)
	return h.Sum(nil)
}
