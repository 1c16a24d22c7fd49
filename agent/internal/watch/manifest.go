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

// compress works in a buffer that is used again, since the bytes may wait for long and shouldn't be larger than they are.
func (s *Source) compress(text []byte) []byte {
	buf := s.scratch.Get().(*[]byte)
	*buf = s.zip.EncodeAll(text, (*buf)[:0])
	out := bytes.Clone(*buf)
	if cap(*buf) <= keepBuffer {
		s.scratch.Put(buf)
	}
	return out
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
	raw, err := s.client.read(ctx, s.client.of(w.kind, ref.Namespace).Name(ref.Name))
	switch {
	case apierrors.IsNotFound(err):
		return topo.Manifest{}, false, nil
	case err != nil:
		return topo.Manifest{}, false, asFault(err, "%s can't be read again", ref)
	}
	m, err = s.manifest(w.kind, typed(w.kind, raw))
	return m, err == nil, err
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
	wanted := make(map[topo.Ref]struct{}, len(refs))
	for _, r := range refs {
		wanted[r] = struct{}{}
	}
	for _, namespace := range s.namespaces(kind) {
		err := s.pages(ctx, kind, namespace, func(raw []byte) error {
			obj, err := s.decode(kind, raw, true)
			if err != nil {
				return nil // the watch has told of it
			}
			if _, want := wanted[obj.Resource.Ref]; !want {
				return nil
			}
			return give(s.pack(obj))
		})
		if err != nil {
			return err
		}
	}
	return nil
}

func (s *Source) manifest(kind Kind, raw []byte) (topo.Manifest, error) {
	obj, err := s.decode(kind, raw, true)
	if err != nil {
		return topo.Manifest{}, err
	}
	return s.pack(obj), nil
}

func (s *Source) pack(obj Object) topo.Manifest {
	return topo.Manifest{Ref: obj.Resource.Ref, Hash: textHash(obj.Text), Body: s.compress(obj.Text)}
}
