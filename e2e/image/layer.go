package image

import (
	"archive/tar"
	"bytes"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
	"github.com/google/go-containerregistry/pkg/v1/types"
)

// entry is one line of the layer. Source "" is a folder.
type entry struct {
	source string
	mode   int64
}

// layerOf packs files into one layer: sorted, of one date and owner, so that nothing but names, modes and contents counts.
func layerOf(files []File, level int) (v1.Layer, error) {
	all, err := entries(files)
	if err != nil {
		return nil, err
	}
	var packed bytes.Buffer
	if err := pack(&packed, all); err != nil {
		return nil, err
	}
	open := func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(packed.Bytes())), nil }
	return tarball.LayerFromOpener(open, tarball.WithCompressionLevel(level), tarball.WithCompressedCaching, tarball.WithMediaType(types.OCILayer))
}

// entries lists what the layer holds by its path without the leading slash: the files, what is in folders, and the folders above them.
func entries(files []File) (map[string]entry, error) {
	all := map[string]entry{}
	for _, f := range files {
		to := strings.TrimPrefix(path.Clean("/"+f.Path), "/")
		if to == "" {
			return nil, fmt.Errorf("a file has the path %q", f.Path)
		}
		if err := add(all, to, f); err != nil {
			return nil, err
		}
	}
	for to := range maps.Clone(all) {
		for up := path.Dir(to); up != "."; up = path.Dir(up) {
			if have, ok := all[up]; !ok {
				all[up] = entry{mode: 0o755}
			} else if have.source != "" {
				return nil, fmt.Errorf("/%s is a file, and /%s within it", up, to)
			}
		}
	}
	return all, nil
}

func add(all map[string]entry, to string, f File) error {
	if f.Source == "" {
		all[to] = entry{mode: modeOr(f.Mode, 0o755)}
		return nil
	}
	info, err := os.Stat(f.Source) // links are followed
	if err != nil {
		return err
	}
	if !info.IsDir() {
		all[to] = entry{source: f.Source, mode: modeOr(f.Mode, plainMode(info))}
		return nil
	}
	all[to] = entry{mode: modeOr(f.Mode, 0o755)}
	inside, err := os.ReadDir(f.Source)
	if err != nil {
		return err
	}
	for _, i := range inside {
		if err := add(all, to+"/"+i.Name(), File{Source: filepath.Join(f.Source, i.Name())}); err != nil {
			return err
		}
	}
	return nil
}

func modeOr(mode, otherwise int64) int64 {
	if mode != 0 {
		return mode
	}
	return otherwise
}

// plainMode drops what depends on somebody's umask.
func plainMode(info fs.FileInfo) int64 {
	if info.Mode()&0o111 != 0 {
		return 0o755
	}
	return 0o644
}

func pack(to io.Writer, all map[string]entry) error {
	w := tar.NewWriter(to)
	for _, name := range slices.Sorted(maps.Keys(all)) {
		if err := packOne(w, name, all[name]); err != nil {
			return fmt.Errorf("pack /%s: %w", name, err)
		}
	}
	return w.Close()
}

func packOne(w *tar.Writer, name string, e entry) error {
	head := tar.Header{Name: name, Mode: e.mode, ModTime: time.Unix(0, 0), Format: tar.FormatPAX}
	if e.source == "" {
		head.Typeflag, head.Name = tar.TypeDir, name+"/"
		return w.WriteHeader(&head)
	}
	f, err := os.Open(e.source)
	if err != nil {
		return err
	}
	defer func() { _ = f.Close() }() // it was read alone
	info, err := f.Stat()
	if err != nil {
		return err
	}
	head.Typeflag, head.Size = tar.TypeReg, info.Size()
	if err := w.WriteHeader(&head); err != nil {
		return err
	}
	_, err = io.Copy(w, f)
	return err
}
