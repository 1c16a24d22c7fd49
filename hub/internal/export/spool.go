package export

import (
	"bytes"
	"errors"
	"io"
	"os"

	"github.com/kubilitics/kubilitics/shared/fault"
)

const spoolMemory = 8 << 20 // bytes that a spool keeps in memory; what comes after lies in a temporary file

// spool keeps text for later. Its file has no name from the beginning, so that nothing stays behind whatever happens.
type spool struct {
	head bytes.Buffer
	file *os.File
}

func (s *spool) write(p []byte) error {
	if s.file == nil && s.head.Len()+len(p) <= spoolMemory {
		s.head.Write(p)
		return nil
	}
	if s.file == nil {
		f, err := os.CreateTemp("", "kubilitics-export-")
		if err != nil {
			return fault.Wrap(err, fault.Unavailable, "there is no room for a temporary file, which so large an export needs")
		}
		s.file = f
		if err := os.Remove(f.Name()); err != nil {
			return fault.Wrap(err, fault.Internal, "a temporary file can't be removed")
		}
	}
	s.head.Write(p)
	if s.head.Len() < spoolMemory {
		return nil
	}
	if _, err := s.head.WriteTo(s.file); err != nil {
		return fault.Wrap(err, fault.Unavailable, "the temporary file of an export can't be written")
	}
	return nil
}

func (s *spool) copy(w io.Writer) error {
	if s.file != nil {
		if _, err := s.file.Seek(0, io.SeekStart); err != nil {
			return fault.Wrap(err, fault.Internal, "the temporary file of an export can't be read")
		}
		if _, err := io.Copy(w, s.file); err != nil {
			return err
		}
	}
	_, err := s.head.WriteTo(w)
	return err
}

func (s *spool) close() error {
	if s == nil || s.file == nil {
		return nil
	}
	if err := s.file.Close(); err != nil && !errors.Is(err, os.ErrClosed) {
		return err
	}
	return nil
}
