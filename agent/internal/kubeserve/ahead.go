package kubeserve

import "io"

const (
	aheadAfter  = 64 << 10 // an answer that is so long is read ahead
	aheadPieces = 4        // so many buffers at the most, what one reader who is slow can hold here
)

// ahead is the body of a long answer. It is read while what came before is still being written: each takes about as long as the other, and one after
// the other would halve what passes.
type ahead struct {
	body   io.ReadCloser
	direct int        // bytes read before it was worth it
	pieces chan piece // nil until then
	stop   chan struct{}
	ended  chan struct{} // nothing reads body any more
	piece                // the one that is being given
}

// piece is a part of a body, and the error that followed it.
type piece struct {
	buf, left []byte
	err       error
}

// Read implements io.Reader.
func (a *ahead) Read(p []byte) (int, error) {
	if a.pieces == nil {
		if a.direct < aheadAfter {
			n, err := a.body.Read(p)
			a.direct += n
			return n, err
		}
		a.pieces, a.stop, a.ended = make(chan piece, aheadPieces-2), make(chan struct{}), make(chan struct{}) // one is being filled, one given
		go a.fetch()
	}
	if len(a.left) == 0 {
		if a.err != nil {
			return 0, a.err
		}
		a.giveBack()
		a.piece = <-a.pieces
	}
	n := copy(p, a.left)
	if a.left = a.left[n:]; n == 0 {
		return 0, a.err
	}
	return n, nil
}

// fetch reads until the end, or until nobody wants more.
func (a *ahead) fetch() {
	defer close(a.ended)
	for {
		buf := large.Get()
		n, err := a.body.Read(buf)
		select {
		case a.pieces <- piece{buf, buf[:n], err}:
		case <-a.stop:
			large.Put(buf)
			return
		}
		if err != nil {
			return
		}
	}
}

func (a *ahead) giveBack() {
	if a.buf != nil {
		large.Put(a.buf)
	}
	a.piece = piece{err: a.err}
}

// Close ends the reading and waits for it.
func (a *ahead) Close() error {
	err := a.body.Close()
	if a.pieces != nil {
		close(a.stop)
		<-a.ended
		a.giveBack()
	}
	return err
}
