// Package image makes container images out of files, without a container engine: FROM scratch, the same bytes for the same files wherever and
// whenever it is done.
package image

import (
	"compress/gzip"
	"fmt"
	"time"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
	"github.com/google/go-containerregistry/pkg/v1/types"
)

// Image is what a container starts from.
type Image struct {
	Name       string // with the tag: "localhost/kubilitics-agent:dev"
	Platform   string // "linux/amd64"
	User       string // "65532:65532"; root if empty
	Files      []File
	Entrypoint []string
	Env        []string // "NAME=value"
	Labels     map[string]string
	Created    time.Time // that the image tells; 1970 if zero. Files are always of 1970
}

// File is a file of an image, or a folder with all that is in it. They belong to root.
type File struct {
	Path   string // in the image: "/kubilitics-agent"
	Source string // on this machine, links followed. Empty: an empty folder
	Mode   int64  // 0: 0755 of folders and of what somebody may execute, 0644 of other files. Of a folder's files it is always so
}

// Save writes the image as a docker-archive, which `docker load` and `ctr images import` take, and gives its digest, "sha256:…". Nothing in it is compressed,
// since it goes no further than an engine on this machine; so the digest is another than that of the same files in a Set.
func (i Image) Save(path string) (digest string, err error) {
	img, err := i.build(gzip.NoCompression)
	if err != nil {
		return "", err
	}
	if err := archive(path, i.Name, img); err != nil {
		return "", err
	}
	hash, err := img.Digest()
	return hash.String(), err
}

func archive(path, called string, img v1.Image) error {
	tag, err := name.NewTag(called)
	if err != nil {
		return fmt.Errorf("image %s: %w", called, err)
	}
	if err := tarball.WriteToFile(path, tag, img); err != nil {
		return fmt.Errorf("image %s: write %s: %w", called, path, err)
	}
	return nil
}

func (i Image) build(level int) (v1.Image, error) {
	platform, err := v1.ParsePlatform(i.Platform)
	if err != nil {
		return nil, fmt.Errorf("image %s: platform %q: %w", i.Name, i.Platform, err)
	}
	layer, err := layerOf(i.Files, level)
	if err != nil {
		return nil, fmt.Errorf("image %s: %w", i.Name, err)
	}
	created := v1.Time{Time: time.Unix(0, 0).UTC()}
	if !i.Created.IsZero() {
		created.Time = i.Created.UTC().Truncate(time.Second)
	}
	bare := mutate.MediaType(mutate.ConfigMediaType(empty.Image, types.OCIConfigJSON), types.OCIManifestSchema1)
	img, err := mutate.Append(bare, mutate.Addendum{Layer: layer, History: v1.History{Created: created, CreatedBy: "kubilitics e2e/image"}})
	if err != nil {
		return nil, fmt.Errorf("image %s: %w", i.Name, err)
	}
	config := v1.ConfigFile{Architecture: platform.Architecture, Variant: platform.Variant, OS: platform.OS, Created: created}
	config.Config = v1.Config{User: i.User, Entrypoint: i.Entrypoint, Env: i.Env, Labels: i.Labels, WorkingDir: "/"}
	old, err := img.ConfigFile()
	if err != nil {
		return nil, fmt.Errorf("image %s: %w", i.Name, err)
	}
	config.RootFS, config.History = old.RootFS, old.History
	return mutate.ConfigFile(img, &config)
}
