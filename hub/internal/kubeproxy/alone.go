package kubeproxy

import (
	"bufio"
	"context"
	"errors"
	"io"
	"math"
	"net/http"
	"sync"

	"github.com/kubilitics/kubilitics/shared/tunnel"
)

const (
	aloneBuffer = 1 << 10
	maxHeaders  = 1 << 20 // bytes of an answer's headers
	maxInterim  = 5       // answers before the answer
)

// alone is the way of what lasts and sends nothing: a watch, a log. It speaks on a stream of its own in its caller's goroutine, where net/http's
// transport would keep two more and their buffers for as long as the watch does.
type alone struct{ *Proxy }

// RoundTrip sends a request without a body. Its context's end, or the body's, ends the stream.
func (a alone) RoundTrip(r *http.Request) (*http.Response, error) {
	st, err := a.open(r.Context(), r.URL.Host)
	if err != nil {
		return nil, &notOpened{err}
	}
	unbind := context.AfterFunc(r.Context(), func() { _ = st.Reset() })
	resp, err := exchange(st, r)
	if err != nil {
		unbind()
		_ = st.Reset()
		return nil, err
	}
	resp.Request = nil // a copy of what the server holds too, for as long as the watch lasts
	resp.Body = &aloneBody{ReadCloser: resp.Body, stream: st, unbind: unbind}
	return resp, nil
}

var requestBuffers = sync.Pool{New: func() any { return bufio.NewWriterSize(nil, aloneBuffer) }}

func exchange(st *tunnel.Stream, r *http.Request) (*http.Response, error) {
	if err := send(st, r); err != nil {
		return nil, err
	}
	bounded := &io.LimitedReader{R: st, N: maxHeaders}
	resp, err := receive(bufio.NewReaderSize(bounded, aloneBuffer), r)
	bounded.N = math.MaxInt64
	return resp, err
}

// send writes a request that has no body.
func send(st *tunnel.Stream, r *http.Request) error {
	w := requestBuffers.Get().(*bufio.Writer)
	w.Reset(st)
	err := r.Write(w)
	if err == nil {
		err = w.Flush()
	}
	w.Reset(nil)
	requestBuffers.Put(w)
	return err
}

// receive reads an answer's head, past those that only say that it takes time.
func receive(br *bufio.Reader, r *http.Request) (*http.Response, error) {
	for range maxInterim {
		resp, err := http.ReadResponse(br, r)
		if err != nil || resp.StatusCode >= http.StatusOK {
			return resp, err
		}
	}
	return nil, errors.New("the agent answers without an end")
}

// aloneBody ends its stream.
type aloneBody struct {
	io.ReadCloser
	stream *tunnel.Stream
	unbind func() bool
}

// Close reads nothing more: the rest of a watch has no end.
func (b *aloneBody) Close() error {
	b.unbind()
	return b.stream.Reset()
}
