package kubeserve

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"io"
	"net"
	"net/http"
	"slices"
	"testing"
)

// written notes what is written in one call each.
type written struct {
	net.Conn
	sizes []int
	all   bytes.Buffer
	err   error
}

func (w *written) Write(p []byte) (int, error) {
	if w.err != nil {
		return 0, w.err
	}
	w.sizes = append(w.sizes, len(p))
	return w.all.Write(p)
}

func (w *written) request(t *testing.T) (*joiner, *http.Request) {
	j := &joiner{Conn: w}
	r, err := http.NewRequestWithContext(withJoiner(t.Context(), j), http.MethodGet, "/", nil)
	if err != nil {
		t.Fatal(err)
	}
	return j, r
}

// Whatever is written in whatever pieces arrives whole and in order, also around the sizes where something changes.
func TestJoinedIsTheSame(t *testing.T) {
	full := httpBuffer
	for _, c := range []struct{ pieces, want []int }{
		{[]int{full, 28000}, []int{full + 28000}},
		{[]int{full, full, full, full}, []int{2 * full, 2 * full}},
		{[]int{100, full, 7, full}, []int{100, full + 7, full}}, // the last one waits until the end
		{[]int{full, frame.size - full}, []int{frame.size}},
		{[]int{full, frame.size}, []int{frame.size, full}},
		{[]int{full, 3 * frame.size, 5}, []int{frame.size, 2*frame.size + full, 5}},
		{[]int{full - 1, full + 1}, []int{full - 1, full + 1}},
	} {
		w := &written{}
		j, r := w.request(t)
		end := join(r)
		var sent []byte
		for _, size := range c.pieces {
			p := make([]byte, size)
			_, _ = rand.Read(p) // never fails
			sent = append(sent, p...)
			if n, err := j.Write(p); n != size || err != nil {
				t.Fatalf("%v: %d bytes and %v", c.pieces, n, err)
			}
			clear(p) // it was the writer's to use again
		}
		end()
		if !bytes.Equal(w.all.Bytes(), sent) || !slices.Equal(w.sizes, c.want) {
			t.Errorf("%v went as %v, not %v, and as it was: %v", c.pieces, w.sizes, c.want, bytes.Equal(w.all.Bytes(), sent))
		}
	}
}

// Nothing waits before a request is joined, nor after.
func TestOnlyJoinedWaits(t *testing.T) {
	w := &written{}
	j, r := w.request(t)
	full := make([]byte, httpBuffer)
	_, _ = j.Write(full)
	join(r)()
	_, _ = j.Write(full)
	if !slices.Equal(w.sizes, []int{httpBuffer, httpBuffer}) {
		t.Errorf("written are %v", w.sizes)
	}
	join(r.WithContext(context.Background()))() // of a server without joiners
}

// A failure is told to whoever writes next, and what waited isn't written twice.
func TestJoinedFails(t *testing.T) {
	w := &written{err: io.ErrClosedPipe}
	j, r := w.request(t)
	end := join(r)
	if _, err := j.Write(make([]byte, httpBuffer)); err != nil {
		t.Error(err)
	}
	if _, err := j.Write([]byte("more")); !errors.Is(err, io.ErrClosedPipe) {
		t.Errorf("the error is %v", err)
	}
	w.err = nil
	end()
	if len(w.sizes) != 0 {
		t.Errorf("written are %v", w.sizes)
	}
}
