// Package join is what hub and agent must both know before they trust each other: the text of a join token, the pin of the
// hub's root in it, and the name by which every hub's certificate is checked.
package join

import (
	"encoding/base64"
	"strings"

	"github.com/kubilitics/kubilitics/shared/credential"
	"github.com/kubilitics/kubilitics/shared/fault"
	"github.com/kubilitics/kubilitics/shared/tunnel"
)

// HubName is a DNS name in every hub's certificate, whatever address it is reached at. The chain to the pinned root is what
// tells the hub from others; so a missing name in a certificate can't lock agents out.
const HubName = "hub.kubilitics.internal"

// Token permits one agent to enrol.
type Token struct {
	credential.Credential            // what the hub is sent of it
	Pin                   tunnel.Pin // of the hub's root
}

// NewToken draws a token for the hub with that root.
func NewToken(root tunnel.Pin) Token {
	return Token{Credential: credential.New(credential.Join), Pin: root}
}

// Full is what people paste: "kbl1.<id>.<secret>.<pin>".
func (t Token) Full() string {
	return t.Text() + "." + base64.RawURLEncoding.EncodeToString(t.Pin[:])
}

// Parse reads what Full wrote, with white space around it; anything else is a BadRequest that doesn't repeat it.
func Parse(text string) (Token, error) {
	text = strings.TrimSpace(text)
	dot := max(strings.LastIndexByte(text, '.'), 0)
	c, ok := credential.Parse(credential.Join, text[:dot])
	raw, err := base64.RawURLEncoding.Strict().DecodeString(strings.TrimPrefix(text[dot:], "."))
	if !ok || err != nil || len(raw) != len(tunnel.Pin{}) {
		return Token{}, notAToken()
	}
	t := Token{Credential: c, Pin: tunnel.Pin(raw)}
	if t.Full() != text { // the decoder passes over line breaks
		return Token{}, notAToken()
	}
	return t, nil
}

func notAToken() error {
	return fault.New(fault.BadRequest, "this is no join token: one is kbl1, an id, a secret and a pin, joined by dots")
}
