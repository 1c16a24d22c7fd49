package bundle

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"io"
	"strings"
	"testing"

	"github.com/kubilitics/kubilitics/shared/credential"
)

func unpack(t *testing.T, raw []byte) map[string]string {
	t.Helper()
	z, err := gzip.NewReader(bytes.NewReader(raw))
	if err != nil {
		t.Fatal(err)
	}
	out := map[string]string{}
	for archive := tar.NewReader(z); ; {
		head, err := archive.Next()
		if errors.Is(err, io.EOF) {
			return out
		}
		body, failed := io.ReadAll(archive)
		if err = errors.Join(err, failed); err != nil {
			t.Fatal(err)
		}
		out[head.Name] = string(body)
	}
}

func text(name, body string) Part {
	return Part{Name: name, Make: func(_ context.Context, w io.Writer) error { _, err := io.WriteString(w, body); return err }}
}

// Parts that fail and parts that are too large don't keep the others from being there, and say what they are.
func TestPartsStandAlone(t *testing.T) {
	var out bytes.Buffer
	err := Write(t.Context(), &out, "b", nil,
		text("one.txt", "one"),
		JSON("bad.json", func(context.Context) (any, error) { return nil, errors.New("no database") }),
		text("large.txt", strings.Repeat("x", maxPart+10)),
		JSON("two.json", func(context.Context) (any, error) { return map[string]int{"n": 2}, nil }),
	)
	if err != nil {
		t.Fatal(err)
	}
	got := unpack(t, out.Bytes())
	if got["b/one.txt"] != "one" || !strings.Contains(got["b/bad.json"], "could not be made: no database") || !strings.Contains(got["b/two.json"], `"n": 2`) {
		t.Errorf("parts: %.200q", got)
	}
	if large := got["b/large.txt"]; len(large) > maxPart+200 || !strings.HasSuffix(large, "the rest is left out\n") {
		t.Errorf("the large part has %d bytes and ends with %q", len(large), large[len(large)-50:])
	}
}

func TestABundleThatNobodyWaitsForIsBrokenOff(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := Write(ctx, io.Discard, "b", nil, text("one.txt", "one")); err == nil {
		t.Error("it was written")
	}
}

// What may not be seen is taken out, known or not, also of errors and of JSON.
func TestMask(t *testing.T) {
	token := credential.New(credential.API)
	m := newMask([]string{"pass", "password\"1", "password-2"})
	for in, want := range map[string]string{
		"it is password-2":                                                  "it is ********",
		`{"a":"password\"1"}`:                                               `{"a":"********"}`,
		"Authorization: Bearer abcdefgh12345":                               "Authorization: Bearer ********",
		"postgres://kube:hunter2@db/x failed":                               "postgres://kube:********@db/x failed",
		"token " + token.Text() + " of alice":                               "token kbt1." + token.ID + ".******** of alice",
		"x eyJhbGciOiJIU.eyJzdWIiOiIx.c2lnbmF0 y":                           "x ******** y",
		"-----BEGIN EC PRIVATE KEY-----\nMHc\n-----END EC PRIVATE KEY-----": "-----BEGIN EC PRIVATE KEY-----********-----END EC PRIVATE KEY-----",
		"https://hub.example:8400/api/v1 is fine":                           "https://hub.example:8400/api/v1 is fine",
	} {
		if got := string(m.take([]byte(in))); got != want {
			t.Errorf("%q becomes %q, want %q", in, got, want)
		}
	}
}
