package kubeproxy

import (
	"bytes"
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"io"
	"mime"
	"net/http"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/kubilitics/kubilitics/shared/fault"
	"github.com/kubilitics/kubilitics/shared/kube"
)

// body ends its passage when it ends.
type body struct {
	io.ReadCloser
	pass *passage
}

// Read notes the end.
func (b *body) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	b.note(err)
	return n, err
}

func (b *body) note(err error) {
	switch {
	case err == nil:
	case err == io.EOF: //nolint:errorlint // readers give it as it is
		b.pass.over(nil)
	case b.pass.ctx.Err() != nil:
		b.pass.left()
	case b.pass.changed():
		b.pass.over(nil)
	default:
		b.pass.over(fault.Wrap(err, fault.Unavailable, "the answer was cut off%s", because(err)))
	}
}

// changed tells of what the cluster did, whatever becomes of its answer.
func (s *passage) changed() bool { return !s.lasts() && !s.request.Reads() }

// left ends the passage where one side has ended it in the middle.
func (s *passage) left() {
	if s.lasts() || s.changed() {
		s.over(nil)
	} else {
		s.over(errCutOff)
	}
}

var errCutOff = fault.New(fault.Unavailable, "the client took no more of the answer")

// Close also ends what the client took in part only. What lasts ends so.
func (b *body) Close() error {
	err := b.ReadCloser.Close()
	b.pass.left()
	return err
}

// connBody is a connection.
type connBody struct {
	body
	io.Writer
}

// watchBody is the answer to a watch. Where it is broken off between two events, the client is told why, in an event where it understands one,
// and it ends in order; broken off within an event it stays broken.
type watchBody struct {
	body
	framing framing
	parting parting
}

// Read gives the cluster's bytes, then ours.
func (b *watchBody) Read(p []byte) (int, error) {
	return b.parting.read(p, &b.body, b.framing.pass, b.farewell)
}

// parting is what is said after the cluster's last byte.
type parting struct {
	last  []byte
	why   error // the error that ended the cluster's bytes
	ended error // of all; nil until the cluster's bytes have ended
}

// read gives the cluster's bytes, each of which pass sees, and then what farewell has to say of the error that ended them; it is over when that was taken.
func (w *parting) read(p []byte, from *body, pass func([]byte), farewell func(error) ([]byte, error)) (int, error) {
	for w.ended == nil {
		n, err := from.ReadCloser.Read(p)
		pass(p[:n])
		if err != nil {
			w.last, w.ended = farewell(err)
			w.why = err
		}
		if n > 0 {
			return n, nil
		}
	}
	n := copy(p, w.last)
	if w.last = w.last[n:]; n > 0 {
		return n, nil
	}
	from.note(w.why)
	return 0, w.ended
}

// farewell is what comes after the cluster's bytes when they end with err.
func (b *watchBody) farewell(err error) (last []byte, ended error) {
	if err == io.EOF || !b.framing.between() { //nolint:errorlint // readers give it as it is
		return nil, err
	}
	why := b.pass.ended(err)
	if why == nil || b.framing.kind != lines {
		return nil, io.EOF
	}
	return errorEvent(why), io.EOF
}

// ended is what a client is told of the end of a watch; nil where nothing is wrong. When the hub goes, that is nothing to a program: it goes on with
// another watch, where an error would have it list everything anew. kubectl get --watch doesn't go on: it would leave its reader without a word.
func (s *passage) ended(err error) error {
	cause := context.Cause(s.ctx)
	var why *fault.Error
	switch {
	case cause == nil:
		return fault.Wrap(err, fault.Unavailable, "the connection to cluster %s was lost%s", s.cluster, because(err))
	case errors.Is(cause, errClosing) && !s.table, !errors.As(cause, &why):
		return nil
	default:
		return why
	}
}

func errorEvent(why error) []byte {
	text, err := json.Marshal(struct {
		Type   string         `json:"type"`
		Object *metav1.Status `json:"object"`
	}{"ERROR", kube.Status(why)})
	if err != nil {
		return nil
	}
	return append(text, '\n')
}

// The framings of watches.
const (
	unknown = iota // an end in order could hide that an event is missing
	lines          // JSON, an event a line
	sized          // protobuf, four bytes of length before each event
)

// framing follows a watch's bytes, to know when it is between two events.
type framing struct {
	kind int
	mid  bool // lines: in one
	head [4]byte
	have int    // sized: bytes of head
	left uint32 // sized: bytes of the event
}

func framingOf(h http.Header) framing {
	kind, params, _ := mime.ParseMediaType(h.Get("Content-Type"))
	switch {
	case h.Get("Content-Encoding") != "":
		return framing{}
	case kind == "application/json":
		return framing{kind: lines}
	case kind == "application/vnd.kubernetes.protobuf" && params["stream"] == "watch":
		return framing{kind: sized}
	default:
		return framing{}
	}
}

func isJSON(h http.Header) bool {
	kind, _, _ := mime.ParseMediaType(h.Get("Content-Type"))
	return kind == "application/json" && h.Get("Content-Encoding") == ""
}

func (f *framing) between() bool {
	return f.kind == lines && !f.mid || f.kind == sized && f.have == 0 && f.left == 0
}

func (f *framing) pass(p []byte) {
	if f.kind == lines && len(p) > 0 {
		f.mid = p[len(p)-1] != '\n'
	}
	for f.kind == sized && len(p) > 0 {
		if f.left > 0 {
			n := min(f.left, uint32(min(len(p), 1<<30)))
			f.left -= n
			p = p[n:]
			continue
		}
		n := copy(f.head[f.have:], p)
		p, f.have = p[n:], f.have+n
		if f.have == len(f.head) {
			f.have, f.left = 0, binary.BigEndian.Uint32(f.head[:])
		}
	}
}

// nameWithin is how much of an answer is looked through for the name of what was created, which is near its beginning.
const nameWithin = 4 << 10

// namingBody reads, as it passes, the name that the cluster gave to what was created.
type namingBody struct {
	body
	head []byte
}

// Read looks at the first bytes.
func (b *namingBody) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	if b.pass.created == "" && len(b.head) < nameWithin {
		b.head = append(b.head, p[:min(n, nameWithin-len(b.head))]...)
		if b.pass.created = nameIn(b.head); b.pass.created != "" {
			b.head = nil
		}
	}
	b.note(err)
	return n, err
}

// nameIn gives metadata.name of an object of which the beginning is known; "" when it isn't in there.
func nameIn(head []byte) string {
	d := json.NewDecoder(bytes.NewReader(head))
	if !enter(d, "metadata") || !enter(d, "name") {
		return ""
	}
	t, _ := d.Token()
	name, _ := t.(string)
	return name
}

// enter goes into an object and up to the value of one of its keys.
func enter(d *json.Decoder, key string) bool {
	if t, err := d.Token(); err != nil || t != json.Delim('{') {
		return false
	}
	for {
		t, err := d.Token()
		if err != nil || t == json.Delim('}') {
			return false
		}
		if t == key {
			return true
		}
		var skipped json.RawMessage
		if d.Decode(&skipped) != nil {
			return false
		}
	}
}
