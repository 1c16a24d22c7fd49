package sqlite

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"time"

	"github.com/kubilitics/kubilitics/hub/internal/store/relational"
)

// pools tells how connections are used.
func (s *Store) pools() []relational.Pool {
	read := s.readers.db.Stats()
	free := len(s.writer.slot)
	return []relational.Pool{
		{Name: "read", Used: read.InUse, Idle: read.Idle, Max: read.MaxOpenConnections, Waited: read.WaitDuration},
		{Name: "write", Used: 1 - free, Idle: free, Max: 1, Waited: time.Duration(s.writer.waited.Load())},
	}
}

// Size is how many bytes the database's files take.
func (s *Store) Size(context.Context) (bytes int64, err error) {
	for _, suffix := range []string{"", "-wal"} {
		st, err := os.Stat(s.path + suffix)
		switch {
		case errors.Is(err, fs.ErrNotExist):
		case err != nil:
			return 0, translate(err)
		default:
			bytes += st.Size()
		}
	}
	return bytes, nil
}
