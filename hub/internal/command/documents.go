package command

import (
	"bytes"
	"io"
	"os"
	"path/filepath"
	"slices"

	"github.com/kubilitics/kubilitics/shared/fault"
)

// documents are all that is applied at once, and which file each part of the text is from.
type documents struct {
	text  []byte
	media string
	parts []part
}

type part struct {
	name string
	line int // at which it begins, from 1
}

// maxDocuments bounds them, in bytes; a hub takes no more.
const maxDocuments = 64 << 20

// documents reads what -f names.
func (a *app) documents(names []string) (*documents, error) {
	if len(names) == 0 {
		return nil, fault.New(fault.BadRequest, "-f says which file is applied; - is standard input")
	}
	out := &documents{media: "application/yaml"}
	for _, name := range names {
		files, err := filesOf(name)
		if err != nil {
			return nil, err
		}
		for _, f := range files {
			text, err := a.document(f)
			if err != nil {
				return nil, err
			}
			out.add(f, text)
		}
	}
	if len(out.text) > maxDocuments {
		return nil, fault.New(fault.BadRequest, "that is more than %d MiB; a hub takes no more at once", maxDocuments>>20)
	}
	if len(out.parts) == 1 && looksLikeJSON(out.text) {
		out.media = "application/json"
	}
	return out, nil
}

func looksLikeJSON(text []byte) bool { return bytes.HasPrefix(bytes.TrimSpace(text), []byte("{")) }

func (d *documents) add(name string, text []byte) {
	if len(d.parts) > 0 {
		d.text = append(bytes.TrimRight(d.text, "\n"), "\n---\n"...)
	}
	if name == "-" {
		name = "standard input"
	}
	d.parts = append(d.parts, part{name, 1 + bytes.Count(d.text, []byte("\n"))})
	d.text = append(d.text, text...)
}

func (a *app) document(name string) ([]byte, error) {
	if name == "-" {
		text, err := io.ReadAll(io.LimitReader(a.In, maxDocuments+1))
		if err != nil {
			return nil, fault.Wrap(err, fault.BadRequest, "standard input can't be read")
		}
		return text, nil
	}
	return readFile("-f", name)
}

// filesOf are the files that a name means: itself, or those of a directory, in order.
func filesOf(name string) ([]string, error) {
	info, err := os.Stat(name)
	if name == "-" || err == nil && !info.IsDir() {
		return []string{name}, nil
	}
	entries, err := os.ReadDir(name)
	if err != nil {
		return nil, fault.Wrap(err, fault.BadRequest, "what -f names can't be read")
	}
	var out []string
	for _, e := range entries {
		if e.Type().IsRegular() && slices.Contains([]string{".yaml", ".yml", ".json"}, filepath.Ext(e.Name())) {
			out = append(out, filepath.Join(name, e.Name()))
		}
	}
	if len(out) == 0 {
		return nil, fault.New(fault.BadRequest, "%s holds no file that ends in .yaml, .yml or .json", name)
	}
	return out, nil
}
