package credential

import (
	"fmt"
	"strings"
	"testing"
)

func TestRoundTripAndMatch(t *testing.T) {
	want, other := New(API), New(API)
	got, ok := Parse(API, want.Text())
	if !ok || got != want || want.ID == other.ID || want.Secret == other.Secret {
		t.Fatalf("got %v, %v", got, ok)
	}
	if !got.Matches(want.Hash()) || got.Matches(other.Hash()) || got.Matches(nil) || got.Matches(want.Hash()[:31]) {
		t.Error("Matches is wrong")
	}
	if _, ok := Parse(Join, want.Text()); ok {
		t.Error("an API token passed for a join token")
	}
	if nobody, ok := Parse(API, "nonsense"); ok || nobody.ID != "" || nobody.Matches(make([]byte, 32)) {
		t.Error("nonsense matched an empty record")
	}
}

func TestSecretIsNeverPrinted(t *testing.T) {
	c := New(Join)
	for _, verb := range []string{"%v", "%+v", "%s", "%#v", "%q"} {
		if strings.Contains(fmt.Sprintf(verb, c), c.Secret) {
			t.Errorf("%s shows the secret", verb)
		}
	}
}

func FuzzParse(f *testing.F) {
	f.Add(New(API).Text())
	f.Add("")
	f.Add("kbt1..")
	f.Add("kbt1.000000000000000000000000.AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA\nAAAAAA")
	f.Add("kbt1.000000000000000000000000.AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAB")
	f.Fuzz(func(t *testing.T, text string) {
		c, ok := Parse(API, text)
		if ok && c.Text() != text {
			t.Fatalf("%q has a second spelling, %q", text, c.Text())
		}
		if !ok && (c.ID != "" || c.Secret != "") {
			t.Fatalf("%q was refused and yet gave %v", text, c)
		}
	})
}
