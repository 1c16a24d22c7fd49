package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"net/url"
	"os"

	"github.com/kubilitics/kubilitics/shared/fault"
)

// Backup writes the database as it is at one moment into a file that doesn't exist yet, packed, and looks whether the copy is whole. The database may be in
// use meanwhile: nobody waits for it, and it waits for nobody.
func Backup(ctx context.Context, path, into string) error {
	if _, err := os.Stat(path); err != nil {
		return fault.Wrap(err, fault.NotFound, "there is no database at %s", path)
	}
	db, err := sql.Open("sqlite", plain(path))
	if err != nil {
		return translate(err)
	}
	_, err = db.ExecContext(ctx, `VACUUM INTO ?`, into)
	if err = errors.Join(translate(err), db.Close()); err != nil {
		return err
	}
	return Check(ctx, into)
}

// Check looks whether a database file is whole. It changes nothing of it.
func Check(ctx context.Context, path string) error {
	db, err := sql.Open("sqlite", plain(path, "query_only(1)"))
	if err != nil {
		return translate(err)
	}
	var said string
	err = db.QueryRowContext(ctx, `PRAGMA quick_check(1)`).Scan(&said)
	if err == nil && said != "ok" {
		err = fault.New(fault.Internal, "the database file %s is damaged: %s", path, said)
	}
	return errors.Join(translate(err), db.Close())
}

// plain names a database for one who leaves its journal as it is.
func plain(path string, pragmas ...string) string {
	q := url.Values{"_pragma": append([]string{"busy_timeout(10000)"}, pragmas...)}
	return (&url.URL{Scheme: "file", Opaque: (&url.URL{Path: path}).EscapedPath(), RawQuery: q.Encode()}).String()
}
