package join

import (
	"fmt"
	"strings"
	"testing"

	"github.com/kubilitics/kubilitics/shared/fault"
	"github.com/kubilitics/kubilitics/shared/tunnel"
)

func TestRoundTrip(t *testing.T) {
	want := NewToken(tunnel.Pin{1, 2, 3})
	got, err := Parse("\n " + want.Full() + "\n")
	if err != nil || got != want {
		t.Fatalf("got %v, %v", got, err)
	}
	if strings.Contains(fmt.Sprintf("%v %+v %#v", want, want, want), want.Secret) {
		t.Error("a printed token shows its secret")
	}
}

func TestRefusalDoesNotRepeatTheToken(t *testing.T) {
	token := NewToken(tunnel.Pin{})
	_, err := Parse(token.Text()) // without its pin
	if !fault.Is(err, fault.BadRequest) || strings.Contains(err.Error(), token.Secret) {
		t.Errorf("error %v", err)
	}
}

func FuzzParse(f *testing.F) {
	f.Add(NewToken(tunnel.Pin{9}).Full())
	f.Add("")
	f.Add("kbl1...")
	f.Add(NewToken(tunnel.Pin{}).Text() + ".AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA\nAAAAAA")
	f.Fuzz(func(t *testing.T, text string) {
		token, err := Parse(text)
		if err != nil {
			if !fault.Is(err, fault.BadRequest) || token != (Token{}) {
				t.Fatalf("%q: %v, %v", text, token, err)
			}
			return
		}
		if token.Full() != strings.TrimSpace(text) {
			t.Fatalf("%q has a second spelling, %q", text, token.Full())
		}
	})
}
