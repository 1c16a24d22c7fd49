package relational

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path"
	"slices"
	"strconv"
	"strings"

	"github.com/golang-migrate/migrate/v4"
	"github.com/golang-migrate/migrate/v4/database"
	"github.com/golang-migrate/migrate/v4/source/iofs"

	"github.com/kubilitics/kubilitics/migrations"
	"github.com/kubilitics/kubilitics/shared/fault"
)

// Newest gives the number of the newest migration in a folder of the migrations.
func Newest(folder string) (uint, error) {
	files, err := fs.Glob(migrations.FS, folder+"/*.up.sql")
	if err != nil || len(files) == 0 {
		return 0, err
	}
	name, _, _ := strings.Cut(path.Base(slices.Max(files)), "_")
	newest, err := strconv.ParseUint(name, 10, 32)
	return uint(newest), err
}

// Migrate brings a schema up to the newest version, or, unless up is wanted, only checks that it is there. A schema that is newer than this
// program, or that a migration left half done, is refused. What is about to be migrated is told first, and not done if begin fails. It closes the driver.
func Migrate(driver database.Driver, folder string, up bool, begin func(from, to uint) error) error {
	source, err := iofs.New(migrations.FS, folder)
	if err != nil {
		return fault.Wrap(err, fault.Internal, "the migrations can't be read")
	}
	m, err := migrate.NewWithInstance("embedded", source, folder, &atomically{Driver: driver})
	if err != nil {
		return fault.Wrap(err, fault.Internal, "the migrations can't be started")
	}
	defer m.Close()
	newest, err := Newest(folder)
	if err != nil {
		return fault.Wrap(err, fault.Internal, "the migrations can't be listed")
	}
	version, err := checkVersion(m, driver, newest)
	if err != nil {
		return err
	}
	if up && version < newest {
		if err := begin(version, newest); err != nil {
			return err
		}
		if err := m.Up(); err != nil && !errors.Is(err, migrate.ErrNoChange) {
			return fault.Wrap(err, fault.Internal, "the database's schema could not be brought up to version %d", newest)
		}
	}
	version, _, err = m.Version()
	if err != nil && !errors.Is(err, migrate.ErrNilVersion) {
		return fault.Wrap(err, fault.Unavailable, "the database's schema version can't be read")
	}
	if version != newest {
		return fault.New(fault.Conflict, "the database's schema is version %d and this hub needs version %d: run the migrations first", version, newest)
	}
	return nil
}

// atomically notes a migration's version in the migration's own transaction: one that is cut off, by whatever ends the program, has not happened, and
// the next start begins it anew. Both drivers run the text that they are given as one transaction.
type atomically struct {
	database.Driver
	next int
}

// SetVersion is called before a migration, with dirty, and after it.
func (a *atomically) SetVersion(version int, dirty bool) error {
	if dirty {
		a.next = version
		return nil
	}
	return a.Driver.SetVersion(version, false)
}

func (a *atomically) Run(migration io.Reader) error {
	noted := fmt.Sprintf("\n;DELETE FROM schema_migrations; INSERT INTO schema_migrations (version, dirty) VALUES (%d, FALSE);", a.next)
	return a.Driver.Run(io.MultiReader(migration, strings.NewReader(noted)))
}

// checkVersion gives the schema's version, 0 for none. It looks under the lock, and so waits for another hub that migrates just now.
func checkVersion(m *migrate.Migrate, driver database.Driver, newest uint) (uint, error) {
	if err := driver.Lock(); err != nil {
		return 0, fault.Wrap(err, fault.Unavailable, "the database's schema can't be locked")
	}
	version, dirty, err := m.Version()
	if failed := driver.Unlock(); failed != nil {
		return 0, fault.Wrap(failed, fault.Unavailable, "the database's schema can't be unlocked")
	}
	switch {
	case errors.Is(err, migrate.ErrNilVersion):
		return 0, nil
	case err != nil:
		return 0, fault.Wrap(err, fault.Unavailable, "the database's schema version can't be read")
	case version > newest:
		return 0, fault.New(fault.Conflict, "the database's schema is version %d, and this hub knows versions up to %d: start the hub that wrote it, or a newer one", version, newest)
	case dirty:
		return 0, fault.New(fault.Conflict, "a migration to version %d of the database's schema was cut off: restore the database, or repair it and set the version by hand", version)
	}
	return version, nil
}
