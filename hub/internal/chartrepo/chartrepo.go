// Package chartrepo makes a Helm repository of one chart, in memory: its index, and the chart packed. The same chart gives the same bytes.
package chartrepo

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"io/fs"
	"path"
	"slices"
	"time"

	"sigs.k8s.io/yaml"

	"github.com/kubilitics/kubilitics/shared/fault"
)

// Repository is what `helm --repo` asks for. Nothing changes it.
type Repository struct {
	Chart   string // name of the chart
	Version string // of the chart
	File    string // name of the packed chart, <chart>-<version>.tgz, beside the index
	Index   []byte // index.yaml
	Packed  []byte // the file
	Digest  string // SHA-256 of Packed, in hexadecimal digits
}

// New packs the chart in a folder of files, whose Chart.yaml says what it is.
func New(files fs.FS, folder string) (*Repository, error) {
	meta, err := describe(files, folder)
	if err != nil {
		return nil, err
	}
	r := &Repository{}
	r.Chart, _ = meta["name"].(string)
	r.Version, _ = meta["version"].(string)
	if r.Chart == "" || r.Version == "" {
		return nil, fault.New(fault.Internal, "the chart in %s has no name or no version", folder)
	}
	r.File = r.Chart + "-" + r.Version + ".tgz"
	if r.Packed, err = pack(files, folder, r.Chart); err != nil {
		return nil, fault.Wrap(err, fault.Internal, "the chart %s can't be packed", r.Chart)
	}
	sum := sha256.Sum256(r.Packed)
	r.Digest = hex.EncodeToString(sum[:])
	r.Index, err = r.index(meta)
	return r, err
}

func describe(files fs.FS, folder string) (map[string]any, error) {
	text, err := fs.ReadFile(files, path.Join(folder, "Chart.yaml"))
	if err != nil {
		return nil, fault.Wrap(err, fault.Internal, "there is no chart in %s", folder)
	}
	var meta map[string]any
	if err := yaml.Unmarshal(text, &meta); err != nil {
		return nil, fault.Wrap(err, fault.Internal, "the chart in %s can't be read", folder)
	}
	return meta, nil
}

// never is the time of everything: when a hub was started says nothing of the chart in it.
var never = time.Unix(0, 0).UTC()

func (r *Repository) index(meta map[string]any) ([]byte, error) {
	meta["urls"] = []string{r.File} // helm takes it relative to the index
	meta["digest"] = r.Digest
	meta["created"] = never
	text, err := yaml.Marshal(map[string]any{"apiVersion": "v1", "generated": never, "entries": map[string]any{r.Chart: []any{meta}}})
	if err != nil {
		return nil, fault.Wrap(err, fault.Internal, "the index of charts can't be written")
	}
	return text, nil
}

func pack(files fs.FS, folder, name string) ([]byte, error) {
	var paths []string
	err := fs.WalkDir(files, folder, func(at string, d fs.DirEntry, err error) error {
		if err == nil && !d.IsDir() {
			paths = append(paths, at)
		}
		return err
	})
	if err != nil {
		return nil, err
	}
	// Helm reads Chart.yaml wherever it is; first is where others look.
	slices.SortFunc(paths, func(a, b string) int { return compare(folder, a, b) })
	var out bytes.Buffer
	zip, _ := gzip.NewWriterLevel(&out, gzip.BestCompression) // the level is one there is
	archive := tar.NewWriter(zip)
	for _, at := range paths {
		text, err := fs.ReadFile(files, at)
		if err != nil {
			return nil, err
		}
		head := &tar.Header{Typeflag: tar.TypeReg, Name: name + at[len(folder):], Size: int64(len(text)), Mode: 0o644, ModTime: never, Format: tar.FormatUSTAR}
		if err := archive.WriteHeader(head); err != nil {
			return nil, err
		}
		if _, err := archive.Write(text); err != nil {
			return nil, err
		}
	}
	err = errors.Join(archive.Close(), zip.Close())
	return out.Bytes(), err
}

func compare(folder, a, b string) int {
	first := path.Join(folder, "Chart.yaml")
	switch {
	case a == b:
		return 0
	case a == first, b != first && a < b:
		return -1
	default:
		return 1
	}
}
