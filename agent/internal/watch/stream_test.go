package watch

import (
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"
	"testing/iotest"
)

func TestFrames(t *testing.T) {
	big := strings.Repeat("x", 3*keepBuffer)
	in := `{"type":"ADDED","object":{"a":"}\"{"}}` + "\n" +
		`{"type":"MODIFIED","object":{"big":"` + big + `"}}` + `{"type":"BOOKMARK","object":{}}` + "\n\n" +
		` { "more": [1,2], "object" : {"b":1} , "type":"DELETED", "then": null }` + "\n"
	want := []string{`ADDED {"a":"}\"{"}`, `MODIFIED {"big":"` + big + `"}`, `BOOKMARK {}`, `DELETED {"b":1}`}
	for name, body := range map[string]io.Reader{
		"at once": strings.NewReader(in), "in halves": iotest.HalfReader(strings.NewReader(in)), "byte by byte": iotest.OneByteReader(strings.NewReader(in)),
	} {
		t.Run(name, func(t *testing.T) {
			f := newFrames(body)
			for _, w := range want {
				word, raw, err := f.next()
				if got := word + " " + string(raw); err != nil || got != w {
					t.Fatalf("got %.60s, %v; want %.60s", got, err, w)
				}
			}
			if _, _, err := f.next(); err != io.EOF {
				t.Errorf("the end is %v", err)
			}
		})
	}
}

// A buffer that a large object needed isn't kept, and nothing that was read ahead is lost with it.
func TestFramesShedLargeBuffers(t *testing.T) {
	f := newFrames(strings.NewReader(`{"type":"A","object":"` + strings.Repeat("x", 1<<20) + `"}{"type":"B","object":1}{"type":"C","object":2}`))
	for _, w := range []string{"A", "B", "C"} {
		if word, _, err := f.next(); err != nil || word != w {
			t.Fatalf("%q, %v", word, err)
		}
	}
	if n := cap(f.dec.UnreadBuffer()); n > keepBuffer {
		t.Errorf("a buffer of %d bytes is kept", n)
	}
}

func TestBrokenFrames(t *testing.T) {
	for _, in := range []string{`{"type":"ADDED","object":{"a":`, `{"type":"ADDED"}`, `[]`, `<html>`, `{"type":"ADDED","obj`, `{`} {
		f := newFrames(strings.NewReader(in))
		if word, _, err := f.next(); err == nil || err == io.EOF {
			t.Errorf("%s: %q, %v", in, word, err)
		}
	}
	f := newFrames(strings.NewReader(`{"type":"ADDED","object":{}`))
	if _, _, err := f.next(); err != nil {
		t.Fatal(err)
	}
	if _, _, err := f.next(); !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("cut after the object: %v", err)
	}
}

func TestReadList(t *testing.T) {
	for in, want := range map[string]string{
		`{"kind":"PodList","metadata":{"resourceVersion":"7","continue":"x"},"items":[{"a":1},{"b":[2]}]}`: `7 x [{"a":1} {"b":[2]}]`,
		`{"items":null,"metadata":{"resourceVersion":"7"}}`:                                                `7  []`,
		`{}`: `  []`,
	} {
		got := []string{}
		meta, err := readList(iotest.OneByteReader(strings.NewReader(in)), func(raw []byte) { got = append(got, string(raw)) })
		if s := fmt.Sprint(meta.ResourceVersion, " ", meta.Continue, " ", got); err != nil || s != want {
			t.Errorf("%s: %s, %v", in, s, err)
		}
	}
	for _, in := range []string{``, `[]`, `{"items":[{},`, `{"items":[{}]`, `{"metadata":{"resourceVersion":7}}`} {
		if _, err := readList(strings.NewReader(in), func([]byte) {}); err == nil || err == io.EOF {
			t.Errorf("%s: %v", in, err)
		}
	}
}

func FuzzFrames(f *testing.F) {
	f.Add(`{"type":"ADDED","object":{"a":1}}`)
	f.Add(`{"object":{},"type":"X"}{"type":"Y","object":[`)
	f.Fuzz(func(_ *testing.T, in string) {
		fr := newFrames(strings.NewReader(in))
		for range 100 {
			if _, _, err := fr.next(); err != nil {
				return
			}
		}
		_, _ = readList(strings.NewReader(in), func([]byte) {})
	})
}

func TestTyped(t *testing.T) {
	for in, want := range map[string]string{
		`{"metadata":{}}`:                      `{"kind":"Widget","apiVersion":"example.com/v1","metadata":{}}`,
		`{"apiVersion":"x/v1","kind":"Other"}`: `{"apiVersion":"x/v1","kind":"Other"}`,
		`{"kind":"Other"}`:                     `{"kind":"Other"}`,
		`null`:                                 `null`,
	} {
		if got := string(headerOf(widgets).typed([]byte(in))); got != want {
			t.Errorf("%s: %s", in, got)
		}
	}
}
