package watch

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"

	"github.com/go-json-experiment/json/jsontext"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// keepBuffer is how large a buffer a quiet watch may keep. The largest object that came by decides otherwise, and there
// are a hundred watches.
const keepBuffer = 32 << 10

// An API server writes valid JSON; what the strings in it hold is for the Decoder to clean.
var lenient = []jsontext.Options{jsontext.AllowInvalidUTF8(true), jsontext.AllowDuplicateNames(true)}

// frames reads the stream of a watch, event by event.
type frames struct {
	src  *refill
	dec  *jsontext.Decoder
	open bool // within an event, whose object was handed out
	big  bool // the last object made the buffer grow
}

func newFrames(body io.Reader) *frames {
	src := &refill{body: body}
	return &frames{src: src, dec: jsontext.NewDecoder(src, lenient...)}
}

// next gives an event's type and the JSON of its object, which is good until the next call. The error is io.EOF when the
// stream ended between two events.
func (f *frames) next() (string, []byte, error) {
	if err := f.finish(); err != nil {
		return "", nil, err
	}
	f.shed()
	switch tok, err := f.dec.ReadToken(); {
	case err != nil:
		return "", nil, err
	case tok.Kind() != '{':
		return "", nil, fmt.Errorf("a watch event that is no JSON object")
	}
	f.open = true
	var word string
	var object []byte
	for f.dec.PeekKind() == '"' {
		name, err := f.dec.ReadToken()
		if err != nil {
			return "", nil, err
		}
		field := name.String()
		value, err := f.dec.ReadValue()
		if err != nil {
			return "", nil, noEOF(err)
		}
		switch field {
		case "type":
			word = string(bytes.Trim(value, `"`))
		case "object":
			if word != "" { // as every API server writes it: the object needn't be copied
				f.big = len(value) > keepBuffer
				return word, value, nil
			}
			object = bytes.Clone(value)
		}
		if word != "" && object != nil {
			return word, object, nil
		}
	}
	if _, err := f.dec.ReadToken(); err != nil {
		return "", nil, noEOF(err)
	}
	return "", nil, fmt.Errorf("a watch event without type or object")
}

// finish reads what follows the object in its event.
func (f *frames) finish() error {
	if !f.open {
		return nil
	}
	for f.dec.PeekKind() != '}' {
		if err := f.dec.SkipValue(); err != nil {
			return noEOF(err)
		}
	}
	if _, err := f.dec.ReadToken(); err != nil {
		return noEOF(err)
	}
	f.open = false
	return nil
}

// shed gives up a buffer that has grown, and keeps what was read ahead.
func (f *frames) shed() {
	if !f.big {
		return
	}
	f.big = false
	f.src.head = append(bytes.Clone(f.dec.UnreadBuffer()), f.src.head...)
	f.dec = jsontext.NewDecoder(f.src, lenient...)
}

// refill reads what was put back before it reads on.
type refill struct {
	head []byte
	body io.Reader
}

func (r *refill) Read(p []byte) (int, error) {
	if len(r.head) == 0 {
		return r.body.Read(p)
	}
	n := copy(p, r.head)
	if r.head = r.head[n:]; len(r.head) == 0 {
		r.head = nil
	}
	return n, nil
}

// readList reads the answer to a list and gives each item's JSON to item as it comes by, never the whole.
func readList(body io.Reader, item func(raw []byte)) (metav1.ListMeta, error) {
	var meta metav1.ListMeta
	dec := jsontext.NewDecoder(body, lenient...)
	if tok, err := dec.ReadToken(); err != nil || tok.Kind() != '{' {
		return meta, fmt.Errorf("the list is no JSON object: %w", noEOF(err))
	}
	for dec.PeekKind() == '"' {
		name, err := dec.ReadToken()
		if err != nil {
			return meta, noEOF(err)
		}
		if err := readListField(dec, name.String(), &meta, item); err != nil {
			return meta, noEOF(err)
		}
	}
	_, err := dec.ReadToken()
	return meta, noEOF(err)
}

func readListField(dec *jsontext.Decoder, name string, meta *metav1.ListMeta, item func(raw []byte)) error {
	switch {
	case name == "metadata":
		value, err := dec.ReadValue()
		if err != nil {
			return err
		}
		return json.Unmarshal(value, meta)
	case name == "items" && dec.PeekKind() == '[':
		return readItems(dec, item)
	default:
		return dec.SkipValue()
	}
}

func readItems(dec *jsontext.Decoder, item func(raw []byte)) error {
	if _, err := dec.ReadToken(); err != nil {
		return err
	}
	for dec.PeekKind() != ']' {
		raw, err := dec.ReadValue()
		if err != nil {
			return err
		}
		item(raw)
	}
	_, err := dec.ReadToken()
	return err
}

// noEOF: an end within something is a cut, which a reader must not take for the end of the stream.
func noEOF(err error) error {
	if err == io.EOF {
		return io.ErrUnexpectedEOF
	}
	return err
}
