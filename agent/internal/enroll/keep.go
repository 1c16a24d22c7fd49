package enroll

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/kubilitics/kubilitics/shared/fault"
)

// Keep is where a member's keys and certificate outlive the process. It holds one text, which is secret. One goroutine uses it.
type Keep interface {
	// Load gives what was saved last; NotFound when nothing was.
	Load(ctx context.Context) ([]byte, error)
	// Save replaces it as a whole or not at all. Conflict says that another process has saved since the last Load or Save: load again.
	Save(ctx context.Context, text []byte) error
}

// Memory keeps it nowhere: the member ends with its process, and the next one enrols anew.
func Memory() Keep { return new(unkept) }

type unkept struct{ text []byte }

func (m *unkept) Load(context.Context) ([]byte, error) {
	if m.text == nil {
		return nil, fault.New(fault.NotFound, "nothing is kept yet")
	}
	return m.text, nil
}

func (m *unkept) Save(_ context.Context, text []byte) error {
	m.text = text
	return nil
}

// Dir keeps it in a directory's file, readable by the owner alone.
func Dir(path string) Keep { return dir(path) }

type dir string

func (d dir) file() string { return filepath.Join(string(d), "identity.json") }

func (d dir) Load(context.Context) ([]byte, error) {
	text, err := os.ReadFile(d.file())
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fault.New(fault.NotFound, "nothing is kept in %s yet", string(d))
	}
	if err != nil {
		return nil, fault.Wrap(err, fault.Internal, "the agent's identity can't be read")
	}
	return text, nil
}

func (d dir) Save(_ context.Context, text []byte) error {
	if err := d.save(text); err != nil {
		return fault.Wrap(err, fault.Internal, "the agent's identity can't be written")
	}
	return nil
}

// save writes beside, and renames: whoever reads sees the old text or the new one, also after a power cut.
func (d dir) save(text []byte) error {
	if err := os.MkdirAll(string(d), 0o700); err != nil {
		return err
	}
	temp, err := os.CreateTemp(string(d), ".identity-*") // mode 0600
	if err != nil {
		return err
	}
	defer func() { _ = os.Remove(temp.Name()) }() // fails after the rename, as it should
	_, err = temp.Write(text)
	if err := errors.Join(err, temp.Sync(), temp.Close()); err != nil {
		return err
	}
	if err := os.Rename(temp.Name(), d.file()); err != nil {
		return err
	}
	return syncDir(string(d))
}

func syncDir(path string) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	return errors.Join(f.Sync(), f.Close())
}
