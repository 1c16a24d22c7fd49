package watch

import (
	"bytes"
	"context"
	"crypto/sha256"

	"github.com/klauspost/compress/zstd"
	apierrors "k8s.io/apimachinery/pkg/api/errors"

	"github.com/kubilitics/kubilitics/shared/topo"
)

// A kind is listed rather than each object asked for when these are many, and more than a small part of all: an object of a list is got for
// about a tenth of what one costs that is asked for.
const (
	manyOfKind = 32
	smallPart  = 10
)

// newCompressor makes the one encoder of a Source. Objects are small: a large window, or more encoders than processors
// that decode at once, would only be memory.
func newCompressor() *zstd.Encoder {
	enc, err := zstd.NewWriter(nil,
		zstd.WithEncoderLevel(zstd.SpeedFastest), zstd.WithWindowSize(64<<10), zstd.WithEncoderConcurrency(2),
		zstd.WithLowerEncoderMem(true), zstd.WithEncoderCRC(false)) // the hash checks the text
	if err != nil {
		panic(err) // the options are constants
	}
	return enc
}

// buffers are what one object at a time is worked on in.
type buffers struct{ text, zip []byte }

func (s *Source) borrow() *buffers { return s.scratch.Get().(*buffers) }

func (s *Source) giveBack(b *buffers) {
	if cap(b.text) <= keepBuffer && cap(b.zip) <= keepBuffer {
		s.scratch.Put(b)
	}
}

// compress gives bytes of their own, since they may wait for long and shouldn't be larger than they are.
func (s *Source) compress(b *buffers) []byte {
	b.zip = s.zip.EncodeAll(b.text, b.zip[:0])
	return bytes.Clone(b.zip)
}

func textHash(text []byte) topo.ID {
	full := sha256.Sum256(text)
	return topo.ID(full[:16])
}

// Read reads one object again and gives its manifest as it is now; found is false if it is gone, or its kind isn't
// watched.
func (s *Source) Read(ctx context.Context, ref topo.Ref) (m topo.Manifest, found bool, err error) {
	w, watched := s.watcherOf(ref.GroupKind())
	if !watched {
		return topo.Manifest{}, false, nil
	}
	s.metrics.readEach.Inc()
	raw, err := s.client.read(ctx, s.client.of(w.kind, ref.Namespace).Name(ref.Name))
	switch {
	case apierrors.IsNotFound(err):
		return topo.Manifest{}, false, nil
	case err != nil:
		return topo.Manifest{}, false, asFault(err, "%s can't be read again", ref)
	}
	return s.manifest(w.kind, headerOf(w.kind).typed(raw), func(topo.Ref) bool { return true })
}

// ReadMany is Read for many: it gives the manifests of those that are there, in no order, and leaves out the others. It
// stops at the first error, give's included.
func (s *Source) ReadMany(ctx context.Context, refs []topo.Ref, give func(topo.Manifest) error) error {
	byKind := map[topo.GroupKind][]topo.Ref{}
	for _, r := range refs {
		byKind[r.GroupKind()] = append(byKind[r.GroupKind()], r)
	}
	for gk, wanted := range byKind {
		w, watched := s.watcherOf(gk)
		if !watched {
			continue
		}
		read := s.readEach
		if len(wanted) >= max(manyOfKind, w.objects()/smallPart) {
			read = s.readListed
		}
		if err := read(ctx, w.kind, wanted, give); err != nil {
			return err
		}
	}
	return nil
}

func (s *Source) readEach(ctx context.Context, _ Kind, refs []topo.Ref, give func(topo.Manifest) error) error {
	for _, r := range refs {
		m, found, err := s.Read(ctx, r)
		if err != nil {
			return err
		}
		if !found {
			continue
		}
		if err := give(m); err != nil {
			return err
		}
	}
	return nil
}

func (s *Source) readListed(ctx context.Context, kind Kind, refs []topo.Ref, give func(topo.Manifest) error) error {
	s.metrics.readListed.Add(float64(len(refs)))
	wanted := make(map[topo.Ref]struct{}, len(refs))
	for _, r := range refs {
		wanted[r] = struct{}{}
	}
	for _, namespace := range s.namespaces(kind) {
		err := s.pages(ctx, kind, namespace, func(raw []byte) error {
			m, found, err := s.manifest(kind, raw, func(r topo.Ref) bool { _, want := wanted[r]; return want })
			if err != nil || !found {
				return nil // of what can't be read the watch has told
			}
			return give(m)
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// manifest packs an object's text if the object is wanted.
func (s *Source) manifest(kind Kind, raw []byte, wanted func(topo.Ref) bool) (m topo.Manifest, found bool, err error) {
	buf := s.borrow()
	defer s.giveBack(buf)
	obj, err := s.decode(kind, raw, buf, true)
	if err != nil || !wanted(obj.Resource.Ref) {
		return m, false, err
	}
	return topo.Manifest{Ref: obj.Resource.Ref, Hash: textHash(obj.Text), Body: s.compress(buf)}, true, nil
}
