package credential

import (
	"bytes"
	"regexp"
	"strings"
	"testing"
)

// pattern is what scanners of secrets are told to look for.
var pattern = regexp.MustCompile(`\b(kbl1|kbt1|kbs1)\.[0-9a-f]{24}\.[A-Za-z0-9_-]{43,}`)

func TestSeal(t *testing.T) {
	key, claims := []byte("key"), []byte("who and until when")
	made := Seal(Ticket, key, claims)
	got, said, ok := Unseal(Ticket, key, made.Text())
	if !ok || got != made || !bytes.Equal(said, claims) {
		t.Fatalf("got %v, %q, %v", got, said, ok)
	}
	if again := Seal(Ticket, key, claims); again.ID == made.ID || again.Secret == made.Secret {
		t.Error("two have one id")
	}
	for _, text := range []string{made.Text(), New(API).Text(), New(Join).Text()} {
		if !pattern.MatchString("see " + text + ", there") {
			t.Errorf("a scanner doesn't see %s", text)
		}
	}
	if _, ok := Parse(API, made.Text()); ok {
		t.Error("it passed for an API token")
	}
	if !Looks(Ticket, made.Text()) || Looks(Ticket, New(API).Text()) || Looks(Ticket, New(Ticket).Text()[:40]) {
		t.Error("Looks is wrong")
	}
}

// One bit less or more, anywhere, makes it nothing.
func TestUnsealRefusesWhatWasChanged(t *testing.T) {
	key := []byte("key")
	text := Seal(Ticket, key, []byte("claims")).Text()
	for i := range text {
		changed := []byte(text)
		changed[i] ^= 1
		if c, claims, ok := Unseal(Ticket, key, string(changed)); ok || claims != nil || c.ID != "" {
			t.Errorf("changed at %d, it gave %v", i, c)
		}
	}
	other := Seal(Ticket, key, []byte("claims"))
	mixed := Credential{Kind: Ticket, ID: other.ID, Secret: strings.Split(text, ".")[2]}
	for name, bad := range map[string]string{
		"another's id": mixed.Text(), "no secret": string(Ticket) + "." + other.ID + ".", "longer": text + "A", "a line break": text + "\n",
		"another key": Seal(Ticket, []byte("other"), []byte("claims")).Text(), "a key of nothing": Seal(Ticket, nil, []byte("claims")).Text(),
		"too much": Seal(Ticket, key, make([]byte, maxClaims+1)).Text(),
	} {
		if _, _, ok := Unseal(Ticket, key, bad); ok {
			t.Errorf("%s was taken", name)
		}
	}
	if _, _, ok := Unseal(Join, key, "kbl1"+strings.TrimPrefix(text, string(Ticket))); ok {
		t.Error("it passed for another kind")
	}
}

func FuzzUnseal(f *testing.F) {
	key := []byte("key")
	f.Add(Seal(Ticket, key, []byte("claims")).Text())
	f.Add(Seal(Ticket, key, nil).Text())
	f.Add("kbs1.000000000000000000000000.AAAA")
	f.Add("kbs1..")
	f.Fuzz(func(t *testing.T, text string) {
		if c, sealed, ok := parseSealed(Ticket, text); ok && (c.Text() != text || len(sealed) < 32) {
			t.Fatalf("%q has a second spelling, %q", text, c.Text())
		}
		c, claims, ok := Unseal(Ticket, key, text)
		if !ok && (claims != nil || c.ID != "" || c.Secret != "") {
			t.Fatalf("%q was refused and yet gave %v", text, c)
		}
	})
}
