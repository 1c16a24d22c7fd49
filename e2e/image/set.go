package image

import (
	"compress/gzip"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/layout"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/types"
)

// Set is one program's image for several platforms, under one name and tag, each with its bill of materials.
type Set struct {
	Name    string // "kubilitics-agent"
	Tag     string // "0.1.0"
	Members []Member
	index   v1.ImageIndex
}

// Member is the image for one platform.
type Member struct {
	Platform string
	Digest   string
	Size     int64  // bytes to be transferred: what is compressed in it, and what describes it
	SBOM     []byte // CycloneDX, JSON
	img      v1.Image
	referrer v1.Image
}

// Set builds a program and makes its images.
func (r Release) Set(ctx context.Context, program string, platforms ...string) (*Set, error) {
	s := &Set{Name: program, Tag: r.tag()}
	adds := make([]mutate.IndexAddendum, 0, len(platforms))
	for _, platform := range platforms {
		i, err := r.Program(ctx, program, platform)
		if err != nil {
			return nil, err
		}
		m, err := r.member(program, i)
		if err != nil {
			return nil, fmt.Errorf("image %s for %s: %w", program, platform, err)
		}
		s.Members = append(s.Members, m)
		p, err := v1.ParsePlatform(platform)
		if err != nil {
			return nil, err
		}
		adds = append(adds, mutate.IndexAddendum{Add: m.img, Descriptor: v1.Descriptor{Platform: p}})
	}
	s.index = mutate.AppendManifests(mutate.IndexMediaType(empty.Index, types.OCIImageIndex), adds...)
	s.index = mutate.Annotations(s.index, r.labels(program)).(v1.ImageIndex)
	return s, nil
}

func (r Release) member(program string, i Image) (m Member, err error) {
	m.Platform = i.Platform
	if m.img, err = i.build(gzip.DefaultCompression); err != nil {
		return m, err
	}
	if m.SBOM, err = r.sbom(program, i.Files[0].Source); err != nil {
		return m, err
	}
	if m.Size, err = weigh(m.img); err != nil {
		return m, err
	}
	hash, err := m.img.Digest()
	if err != nil {
		return m, err
	}
	m.Digest = hash.String()
	m.referrer, err = refer(m.img, m.SBOM)
	return m, err
}

func weigh(img v1.Image) (int64, error) {
	manifest, err := img.Manifest()
	if err != nil {
		return 0, err
	}
	own, err := img.Size()
	sum := own + manifest.Config.Size
	for _, l := range manifest.Layers {
		sum += l.Size
	}
	return sum, err
}

// Digest of the index: what a chart's image.digest would name.
func (s *Set) Digest() (string, error) {
	hash, err := s.index.Digest()
	return hash.String(), err
}

// Save writes the set into a directory: NAME is an OCI layout of all platforms with their bills of materials as referrers, and beside it lies for each
// platform NAME-OS-ARCH.cdx.json, the bill, and NAME-OS-ARCH.tar, a docker-archive called localhost/NAME:TAG.
func (s *Set) Save(dir string) error {
	at := filepath.Join(dir, s.Name)
	if err := os.RemoveAll(at); err != nil { // blobs of an earlier one would stay
		return err
	}
	if err := os.MkdirAll(at, 0o755); err != nil {
		return err
	}
	all, err := layout.Write(at, empty.Index)
	if err != nil {
		return fmt.Errorf("write %s: %w", at, err)
	}
	if err := all.AppendIndex(s.index, layout.WithAnnotations(map[string]string{"org.opencontainers.image.ref.name": s.Tag})); err != nil {
		return fmt.Errorf("write %s: %w", at, err)
	}
	for _, m := range s.Members {
		if err := all.AppendImage(m.referrer); err != nil {
			return fmt.Errorf("write %s: %w", at, err)
		}
		beside := filepath.Join(dir, s.Name+"-"+strings.ReplaceAll(m.Platform, "/", "-"))
		if err := os.WriteFile(beside+".cdx.json", m.SBOM, 0o644); err != nil {
			return err
		}
		if err := archive(beside+".tar", "localhost/"+s.Name+":"+s.Tag, m.img); err != nil {
			return err
		}
	}
	return nil
}

// Push sends the set to REGISTRY/NAME:TAG, with the credentials that docker login has left, and gives the index's digest.
func (s *Set) Push(ctx context.Context, registry string, options ...name.Option) (string, error) {
	to, err := name.NewTag(registry+"/"+s.Name+":"+s.Tag, options...)
	if err != nil {
		return "", err
	}
	with := []remote.Option{remote.WithContext(ctx), remote.WithAuthFromKeychain(authn.DefaultKeychain)}
	if err := remote.WriteIndex(to, s.index, with...); err != nil {
		return "", fmt.Errorf("push %s: %w", to, err)
	}
	for _, m := range s.Members {
		hash, err := m.referrer.Digest()
		if err != nil {
			return "", err
		}
		if err := remote.Write(to.Context().Digest(hash.String()), m.referrer, with...); err != nil {
			return "", fmt.Errorf("push the bill of materials of %s: %w", to, err)
		}
	}
	return s.Digest()
}

// Bounds of an image's size, compressed, in bytes.
var bounds = map[string]int64{"kubilitics-agent": 30e6, "kubilitics-hub": 45e6}

// Check says which images are larger than they may be.
func (s *Set) Check() error {
	for _, m := range s.Members {
		if most := bounds[s.Name]; m.Size > most {
			return fmt.Errorf("the image of %s for %s has %.1f MB: more than %.0f", s.Name, m.Platform, float64(m.Size)/1e6, float64(most)/1e6)
		}
	}
	return nil
}
