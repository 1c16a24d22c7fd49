package kubeserve

import (
	"bytes"
	"errors"
	"io"
	"math/rand/v2"
	"testing"
	"testing/iotest"
)

// TestAhead: what is read ahead is what was sent, however it is cut, with its end or its failure; and it may be left at any time.
func TestAhead(t *testing.T) {
	text := make([]byte, 1<<20+7)
	for i := range text {
		text[i] = byte(rand.Uint32())
	}
	broken := errors.New("broken")
	for name, body := range map[string]io.Reader{
		"whole": bytes.NewReader(text), "halves": iotest.HalfReader(bytes.NewReader(text)), "end with the last bytes": iotest.DataErrReader(bytes.NewReader(text)),
		"broken": io.MultiReader(bytes.NewReader(text), iotest.ErrReader(broken)),
	} {
		a := &ahead{body: io.NopCloser(body)}
		got, err := io.ReadAll(iotest.OneByteReader(io.LimitReader(a, 70_000)))
		rest, end := io.ReadAll(a)
		if got = append(got, rest...); err != nil || !bytes.Equal(got, text) || name == "broken" != errors.Is(end, broken) {
			t.Errorf("%s: %d of %d bytes, %v, %v", name, len(got), len(text), err, end)
		}
		if n, again := a.Read(make([]byte, 1)); n != 0 || name == "broken" != errors.Is(again, broken) {
			t.Errorf("%s: after the end %d, %v", name, n, again)
		}
		_ = a.Close()
	}
	for _, after := range []int64{0, aheadAfter, 5 * aheadAfter} {
		a := &ahead{body: io.NopCloser(bytes.NewReader(text))}
		_, _ = io.CopyN(io.Discard, a, after)
		if err := a.Close(); err != nil {
			t.Error(err)
		}
	}
}
