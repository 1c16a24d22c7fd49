package join

import (
	"fmt"
	"strings"
	"testing"

	"github.com/kubilitics/kubilitics/shared/fault"
	"github.com/kubilitics/kubilitics/shared/tunnel"
)

func TestTextRoundTrip(t *testing.T) {
	want := NewToken(tunnel.Pin{1, 2, 3})
	got, err := Parse("\n " + want.Text() + "\n")
	if err != nil || got != want {
		t.Fatalf("got %v, %v", got.Text(), err)
	}
	if NewToken(tunnel.Pin{}).Secret == want.Secret {
		t.Fatal("two tokens share a secret")
	}
}

func TestTokenNeverPrintsItsSecret(t *testing.T) {
	token := NewToken(tunnel.Pin{})
	for _, verb := range []string{"%v", "%+v", "%s", "%#v", "%q"} {
		if strings.Contains(fmt.Sprintf(verb, token), token.Secret) {
			t.Errorf("%s shows the secret", verb)
		}
	}
	_, err := Parse(token.Credential())
	if err == nil || strings.Contains(err.Error(), token.Secret) {
		t.Errorf("error %v", err)
	}
}

func FuzzParse(f *testing.F) {
	f.Add(NewToken(tunnel.Pin{9}).Text())
	f.Add("")
	f.Add("kbl1...")
	f.Add("kbl1.000000000000000000000000.AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA\nAAAAAA.AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA")
	f.Add("kbt1.00.00.00")
	f.Fuzz(func(t *testing.T, text string) {
		token, err := Parse(text)
		if err != nil {
			if !fault.Is(err, fault.BadRequest) || token != (Token{}) {
				t.Fatalf("%q: %v, %v", text, token, err)
			}
			return
		}
		if token.Text() != strings.TrimSpace(text) {
			t.Fatalf("%q has a second spelling, %q", text, token.Text())
		}
	})
}
