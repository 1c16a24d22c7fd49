package watch

import (
	"bytes"
	"encoding/json"
	"fmt"
	"slices"

	"go.uber.org/zap"

	"github.com/kubilitics/kubilitics/shared/topo"
)

// resource takes in an object that is there. The error means that not even its version could be learned.
func (l *lane) resource(raw []byte) (string, error) {
	buf := l.src.borrow()
	defer l.src.giveBack(buf)
	obj, err := l.src.decode(l.kind, raw, buf, l.src.cfg.Manifests)
	if err != nil {
		return l.skip(raw, err)
	}
	c := Change{Change: topo.Change{Ref: obj.Resource.Ref, Resource: obj.Resource}}
	if l.src.passesOver(c.Ref.Namespace) {
		return obj.ResourceVersion, nil
	}
	if l.src.cfg.Manifests {
		c.Hash = textHash(obj.Text)
		if l.src.queue.room() {
			c.Body = l.src.compress(buf)
		}
	}
	l.give(c)
	return obj.ResourceVersion, nil
}

// deleted takes in that an object is gone.
func (l *lane) deleted(raw []byte) (string, error) {
	m, err := partial(raw)
	if err != nil {
		return "", err
	}
	if l.kind.GroupKind != eventKind && !l.src.passesOver(m.Namespace) {
		l.give(Change{Change: topo.Change{Ref: l.ref(m.Namespace, m.Name)}})
	}
	return m.ResourceVersion, nil
}

// give puts a change in the queue and in what is known, as one step.
func (l *lane) give(c Change) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed {
		return
	}
	if c.Resource == nil {
		l.known.forget(c.Ref)
	} else {
		l.known.met(c.Ref)
	}
	l.src.queue.change(c)
	if definesKinds(l.kind.GroupKind) {
		l.src.nudge()
	}
}

// skip reports an object that can't be understood. What was known of it before stays.
func (l *lane) skip(raw []byte, cause error) (string, error) {
	m, err := partial(raw)
	p := Problem{Ref: l.ref(m.Namespace, m.Name), Reason: cause.Error()}
	l.src.metrics.passed.Inc()
	l.src.log.Debug("an object was passed over", zap.Stringer("ref", p.Ref), zap.Error(cause))
	l.src.queue.problem(p)
	l.mu.Lock()
	defer l.mu.Unlock()
	l.known.still(p.Ref)
	return m.ResourceVersion, err
}

// decode calls the Decoder; what it does to a single object is that object's problem. The text, if one is wanted, is in buf.
func (s *Source) decode(kind Kind, raw []byte, buf *buffers, text bool) (obj Object, err error) {
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("internal error: %v", r)
		}
	}()
	var into []byte
	if buf.text = buf.text[:0]; text {
		into = buf.text
	}
	obj, err = s.cfg.Decoder.Decode(kind, raw, into)
	if obj.Text != nil {
		buf.text = obj.Text
	}
	if err == nil && obj.Resource == nil {
		err = fmt.Errorf("nothing was made of it")
	}
	return obj, err
}

func (s *Source) passesOver(namespace string) bool {
	return namespace != "" && slices.Contains(s.cfg.ExcludeNamespaces, namespace)
}

// header is what the items of a list are given at their front: the kind and version that each has in a watch or alone. API servers leave them
// out of the items of built-in kinds, and the text of an object must not depend on how it was read.
type header struct{ text, item []byte }

func headerOf(k Kind) *header {
	version := k.Version
	if k.Group != "" {
		version = k.Group + "/" + k.Version
	}
	kindJSON, _ := json.Marshal(k.Kind) // a string can't fail
	versionJSON, _ := json.Marshal(version)
	return &header{text: fmt.Appendf(nil, `{"kind":%s,"apiVersion":%s,`, kindJSON, versionJSON)}
}

// typed gives an item with its kind and version, good until the next call.
func (h *header) typed(raw []byte) []byte {
	body := bytes.TrimLeft(raw, " \t\r\n")
	if !bytes.HasPrefix(body, []byte("{")) || bytes.HasPrefix(body, []byte(`{"kind":`)) || bytes.HasPrefix(body, []byte(`{"apiVersion":`)) {
		return raw
	}
	h.item = append(append(h.item[:0], h.text...), body[1:]...)
	return h.item
}
