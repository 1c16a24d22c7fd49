package hub

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"context"
	"encoding/json"
	"errors"
	"io"
	"os"
	"path/filepath"
	"time"

	"github.com/kubilitics/kubilitics/hub/internal/store/sqlite"
	"github.com/kubilitics/kubilitics/shared/fault"
	"github.com/kubilitics/kubilitics/shared/version"
)

// A backup is a tar of these, gzipped, in this order.
const (
	backupAbout    = "backup.json"
	backupCA       = "ca.pem"
	backupDatabase = "kubilitics.db"
)

// BackupAbout is what a backup says of itself.
type BackupAbout struct {
	Format  int       `json:"format"` // 1
	Made    time.Time `json:"made"`
	Version string    `json:"version"` // of the program that made it
}

const backupFormat = 1

// Backup writes what a hub on SQLite keeps, its database as of one moment and its root, into a file that doesn't exist yet. The hub may run meanwhile. The
// file holds the root's key and is as secret as that.
func Backup(ctx context.Context, cfg Config, file string) (err error) {
	source, err := cfg.backedUp()
	if err != nil {
		return err
	}
	root, err := os.ReadFile(cfg.caFile())
	if err != nil {
		return fault.Wrap(err, fault.NotFound, "the hub's root can't be read")
	}
	dir, err := os.MkdirTemp(filepath.Dir(file), ".backup-")
	if err != nil {
		return fault.Wrap(err, fault.BadRequest, "%s can't be written", file)
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	about := BackupAbout{Format: backupFormat, Made: time.Now().UTC().Truncate(time.Second), Version: version.String()}
	copied := filepath.Join(dir, backupDatabase)
	if err := sqlite.Backup(ctx, source, copied); err != nil {
		return err
	}
	packed := filepath.Join(dir, "packed")
	if err := pack(packed, about, root, copied); err != nil {
		return fault.Wrap(err, fault.Unavailable, "%s can't be written", file)
	}
	return place(packed, file)
}

// place puts a whole file where none is. A link takes nobody's place, unlike a rename, but not every file system has links.
func place(from, to string) error {
	err := os.Link(from, to)
	if err == nil {
		return nil
	}
	if _, there := os.Lstat(to); errors.Is(there, os.ErrNotExist) {
		err = os.Rename(from, to)
	}
	if err != nil {
		return fault.Wrap(err, fault.Conflict, "%s can't be written", to)
	}
	return nil
}

// backedUp is the database file, if there is one to back up here.
func (c Config) backedUp() (string, error) {
	if c.isPostgres() {
		return "", fault.New(fault.BadRequest, "the database is Postgres, which has tools of its own: pg_dump and pg_restore, or its archive of the write-ahead log. "+
			"Keep also %s, the hub's root with its key, without which no agent is known again, and the hub's configuration", c.caFile()).WithField("database", "is Postgres")
	}
	return c.sqliteFile()
}

func pack(file string, about BackupAbout, root []byte, database string) (err error) {
	out, err := os.OpenFile(file, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, out.Close()) }()
	zipped, _ := gzip.NewWriterLevel(out, gzip.BestSpeed) // fails on a level that doesn't exist only
	archive := tar.NewWriter(zipped)
	text, err := json.Marshal(about)
	if err != nil {
		return err
	}
	for _, part := range []struct {
		name string
		text []byte
	}{{backupAbout, text}, {backupCA, root}} {
		if err := putPart(archive, part.name, int64(len(part.text)), about.Made, bytes.NewReader(part.text)); err != nil {
			return err
		}
	}
	db, err := os.Open(database)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	info, err := db.Stat()
	if err != nil {
		return err
	}
	if err := putPart(archive, backupDatabase, info.Size(), about.Made, db); err != nil {
		return err
	}
	return errors.Join(archive.Close(), zipped.Close(), out.Sync())
}

func putPart(to *tar.Writer, name string, size int64, made time.Time, from io.Reader) error {
	if err := to.WriteHeader(&tar.Header{Name: name, Mode: 0o600, Size: size, ModTime: made}); err != nil {
		return err
	}
	_, err := io.Copy(to, from)
	return err
}

// Restore puts back what Backup wrote, where no hub has anything yet: a database or another root that is there is a Conflict, and nothing is changed.
func Restore(ctx context.Context, cfg Config, file string) (about BackupAbout, err error) {
	database, err := cfg.backedUp()
	if err != nil {
		return about, err
	}
	if _, err := os.Stat(database); !errors.Is(err, os.ErrNotExist) {
		return about, fault.New(fault.Conflict, "there is a database at %s already: stop the hub and move it away, with the two files beside it (-wal, -shm), or name another data-dir", database)
	}
	for _, dir := range []string{cfg.DataDir, filepath.Dir(database), filepath.Dir(cfg.caFile())} {
		if err := os.MkdirAll(dir, 0o700); err != nil {
			return about, fault.Wrap(err, fault.BadRequest, "the directory %s can't be made", dir)
		}
	}
	dir, err := os.MkdirTemp(filepath.Dir(database), ".restore-")
	if err != nil {
		return about, fault.Wrap(err, fault.BadRequest, "the database can't be written")
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	root, about, err := unpack(file, filepath.Join(dir, backupDatabase))
	if err != nil {
		return about, fault.Wrap(err, fault.BadRequest, "%s is no backup, or not a whole one", file)
	}
	if err := sqlite.Check(ctx, filepath.Join(dir, backupDatabase)); err != nil {
		return about, err
	}
	if err := restoreRoot(cfg.caFile(), root); err != nil {
		return about, err
	}
	return about, place(filepath.Join(dir, backupDatabase), database)
}

// restoreRoot writes the root, unless it is there.
func restoreRoot(file string, root []byte) error {
	there, err := os.ReadFile(file)
	switch {
	case err == nil && bytes.Equal(there, root):
		return nil
	case err == nil:
		return fault.New(fault.Conflict, "%s holds another root than the backup: move it away", file)
	case !errors.Is(err, os.ErrNotExist):
		return fault.Wrap(err, fault.BadRequest, "%s can't be read", file)
	}
	if err := os.WriteFile(file, root, 0o600); err != nil {
		return fault.Wrap(err, fault.Unavailable, "%s can't be written", file)
	}
	return nil
}

// maxSmall bounds what is read into memory of a backup.
const maxSmall = 1 << 20

func unpack(file, database string) (root []byte, about BackupAbout, err error) {
	in, err := os.Open(file)
	if err != nil {
		return nil, about, err
	}
	defer func() { err = errors.Join(err, in.Close()) }()
	zipped, err := gzip.NewReader(in)
	if err != nil {
		return nil, about, err
	}
	archive := tar.NewReader(zipped)
	text, err := small(archive, backupAbout)
	if err == nil {
		err = json.Unmarshal(text, &about)
	}
	if err == nil && about.Format != backupFormat {
		err = fault.New(fault.BadRequest, "it has the format %d; this program knows %d", about.Format, backupFormat)
	}
	if err == nil {
		root, err = small(archive, backupCA)
	}
	if err == nil {
		err = large(archive, database)
	}
	if err == nil {
		_, err = io.Copy(io.Discard, zipped) // to its end, where its checksum is
	}
	return root, about, err
}

// next goes on to the part that must come.
func next(archive *tar.Reader, name string) error {
	h, err := archive.Next()
	if err == nil && h.Name != name {
		err = fault.New(fault.BadRequest, "it has %q where %q should be", h.Name, name)
	}
	return err
}

func small(archive *tar.Reader, name string) ([]byte, error) {
	if err := next(archive, name); err != nil {
		return nil, err
	}
	return io.ReadAll(io.LimitReader(archive, maxSmall))
}

func large(archive *tar.Reader, database string) (err error) {
	if err := next(archive, backupDatabase); err != nil {
		return err
	}
	out, err := os.OpenFile(database, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	_, err = io.Copy(out, archive)
	return errors.Join(err, out.Sync(), out.Close())
}
