// Package sqlite is the store's body for one process: a desktop, a demo, an air gap. One connection writes, others read.
package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"net/url"
	"os"
	"strconv"
	"time"

	migratesqlite "github.com/golang-migrate/migrate/v4/database/sqlite"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/kubilitics/kubilitics/hub/internal/fleet"
	"github.com/kubilitics/kubilitics/hub/internal/store"
	"github.com/kubilitics/kubilitics/hub/internal/store/relational"
	"github.com/kubilitics/kubilitics/shared/fault"
)

// Config says where the database is.
type Config struct {
	// Path of the file, made when it isn't there. SQLite keeps two more beside it, with -wal and -shm added.
	Path string
	// Migrate brings the schema up to date at the start; without it, an older schema is refused.
	Migrate bool
	// Migrating is told from and to which version, before the schema is brought there; nobody is if nil.
	Migrating func(from, to uint)
	// Readers is how many reads may run at once; 0 is 8.
	Readers int
	// Registerer is of its metrics; nobody sees them if nil.
	Registerer prometheus.Registerer
}

// Store is the body. Make it with Open.
type Store struct {
	*relational.Base
	flushed *relational.Base // whose transactions survive a power cut
	path    string
	bells   relational.Bells
	writer  *writer
	readers *readers
}

var _ store.Store = (*Store)(nil)

// Open opens the database.
func Open(ctx context.Context, cfg Config) (*Store, error) {
	if cfg.Path == "" {
		return nil, fault.New(fault.BadRequest, "the SQLite store needs the path of a file")
	}
	if err := claim(cfg.Path); err != nil {
		return nil, err
	}
	if err := migrateUp(cfg); err != nil {
		return nil, err
	}
	s := &Store{path: cfg.Path}
	var err error
	// 64 MiB of pages and a log of as many keep a bulk load's index pages in memory between two checkpoints.
	if s.writer, err = openWriter(ctx, source(cfg.Path, "cache_size(-65536)", "wal_autocheckpoint(16384)")); err != nil {
		return nil, err
	}
	count := cfg.Readers
	if count <= 0 {
		count = 8
	}
	if s.readers, err = openReaders(source(cfg.Path, "cache_size(-8192)", "query_only(1)"), count); err != nil {
		return nil, errors.Join(err, s.writer.close())
	}
	m := relational.NewMetrics(cfg.Registerer, s.pools)
	s.Base, s.flushed = relational.NewBase(m.Measure(s), dialect), relational.NewBase(m.Measure(flushed{s}), dialect)
	return s, nil
}

// claim makes the file where it isn't there, for its owner's eyes alone; SQLite gives the two beside it the same mode.
func claim(path string) error {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o600)
	if err == nil {
		err = f.Close()
	}
	if err != nil {
		return fault.Wrap(err, fault.Unavailable, "the database file %s can't be opened", path)
	}
	return nil
}

// source names the database and how its connections behave. synchronous(NORMAL) with a write-ahead log: a power cut may take the newest
// commits with it but never damages the file, and what is lost the agents send again, since digests don't agree.
func source(path string, pragmas ...string) string {
	q := url.Values{"_pragma": append([]string{"busy_timeout(10000)", "journal_mode(WAL)", "synchronous(NORMAL)", "temp_store(MEMORY)"}, pragmas...)}
	return (&url.URL{Scheme: "file", Opaque: (&url.URL{Path: path}).EscapedPath(), RawQuery: q.Encode()}).String()
}

func migrateUp(cfg Config) error {
	db, err := sql.Open("sqlite", source(cfg.Path))
	if err != nil {
		return translate(err)
	}
	driver, err := migratesqlite.WithInstance(db, &migratesqlite.Config{})
	if err != nil {
		return fault.Wrap(errors.Join(err, db.Close()), fault.Unavailable, "the database file %s can't be opened", cfg.Path)
	}
	return relational.Migrate(driver, "sqlite", cfg.Migrate, func(from, to uint) error {
		if cfg.Migrating != nil {
			cfg.Migrating(from, to)
		}
		return nil
	})
}

var dialect = relational.Dialect{
	Clock: `CAST(unixepoch('subsec') * 1000000 AS INTEGER)`,
	Tick: func(tenant int64) (string, []any) {
		return `UPDATE tenant_feed SET pos = pos + 1, at = max(at + 1, $2) WHERE tenant_id = $1 RETURNING pos, at`, []any{tenant, nowMicro()}
	},
	InInts:    inList,
	InStrings: inList,
	InIDs: func(column string, n int) string {
		return column + ` IN (SELECT unhex(value) FROM json_each($` + strconv.Itoa(n) + `))`
	},
	PastUID:      `h.uid`,
	PastPresence: `h.presence`,
	PastHealth:   `h.health`,
	PastAttrs:    func(func(string) string) string { return `h.attrs` },
	Once:         func(c relational.Conn) relational.Conn { return c },
	Pin: func(_ context.Context, _ relational.Conn, _ string, pos int64) (string, error) {
		return strconv.FormatInt(pos, 10), nil
	},
	FirstVersion: `x.born = x.valid_from`,
	Closed:       func(string, time.Time, time.Time) string { return "" },
	EachLabel:    `JOIN json_each(nullif(r.labels, '')) AS kv`,
	Like: func(expression string, n int) string {
		return expression + ` LIKE $` + strconv.Itoa(n) + ` ESCAPE '\'`
	},
	Pairs: pairs,
	Pair: func(column, key string) string {
		return `(SELECT kv.value FROM ` + pairs(column) + ` WHERE kv.key = ` + key + `)`
	},
	Words: func(text string) string {
		return `json_each('[' || replace(json_quote(` + text + `), ' ', '","') || ']') AS x`
	},
	Number: func(text string) string {
		return `(SELECT CASE WHEN length(n.v) <= 20 AND n.v GLOB '*[0-9]*' AND n.v NOT GLOB '*[^-.0-9]*' AND n.v NOT GLOB '?*-*' AND n.v NOT GLOB '*.*.*'
			THEN CAST(n.v AS REAL) END FROM (SELECT ` + text + ` AS v) AS n)`
	},
}

func pairs(column string) string {
	return `json_each(CASE WHEN json_valid(` + column + `) THEN ` + column + ` END) AS kv`
}

func inList(column string, n int) string {
	return column + ` IN (SELECT value FROM json_each($` + strconv.Itoa(n) + `))`
}

// Ring implements relational.Backend.
func (s *Store) Ring(tenant fleet.TenantID) { s.bells.Ring(tenant) }

// Ping implements store.Store.
func (s *Store) Ping(ctx context.Context) error {
	return s.Snapshot(ctx, func(ctx context.Context, c relational.Conn) error {
		_, err := c.Exec(ctx, `SELECT 1`)
		return err
	})
}

// Close implements store.Store.
func (s *Store) Close() error { return errors.Join(s.readers.close(), s.writer.close()) }

// Index implements store.Indexer: searches go by the rows themselves.
func (s *Store) Index(context.Context, int) (more bool, err error) { return false, nil }
