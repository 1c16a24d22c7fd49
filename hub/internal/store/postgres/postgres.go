// Package postgres is the store's body for servers: any number of hubs on one Postgres.
package postgres

import (
	"cmp"
	"context"
	"errors"
	"strconv"
	"time"

	migratepgx "github.com/golang-migrate/migrate/v4/database/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/jackc/pgx/v5/stdlib"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/kubilitics/kubilitics/hub/internal/fleet"
	"github.com/kubilitics/kubilitics/hub/internal/store"
	"github.com/kubilitics/kubilitics/hub/internal/store/relational"
	"github.com/kubilitics/kubilitics/shared/fault"
)

// Config says where the database is.
type Config struct {
	// DSN is a URL or the key=value form, as libpq knows them.
	DSN string
	// Migrate brings the schema up to date at the start; without it, an older schema is refused.
	Migrate bool
	// Migrating is told from and to which version, before the schema is brought there; nobody is if nil.
	Migrating func(from, to uint)
	// Patience is how long a migration waits for those who use the schema, whom it asks to let go; 0 is 30 s.
	Patience time.Duration
	// MaxConns is how many connections this hub may hold, besides two for the record of who did what and one that keeps migrations off; 0 is 16.
	MaxConns int32
	// Registerer is of its metrics; nobody sees them if nil.
	Registerer prometheus.Registerer
}

// Store is the body. Make it with Open.
type Store struct {
	*relational.Base
	pool *pgxpool.Pool
	// writers are the connections of Apply and Commit. Their statements always go by keys, so one plan serves all values; a plan made for one
	// cluster's values would trust statistics that don't know the cluster yet.
	writers *pgxpool.Pool
	// recorders are the connections of PutAudit, whose statements go by keys as well.
	recorders *pgxpool.Pool
	// wide has a place for each load that may write over several connections. They are few enough that loads can't wait for each other's.
	wide   chan struct{}
	bells  relational.Bells
	herald *herald
	lease  *lease

	noLetters error // why there is no index by letters
}

var _ store.Store = (*Store)(nil)

// Open connects to the database.
func Open(ctx context.Context, cfg Config) (*Store, error) {
	conf, err := pgxpool.ParseConfig(cfg.DSN)
	if err != nil {
		return nil, fault.New(fault.BadRequest, "the Postgres DSN can't be read") // its error would quote the password
	}
	if cfg.MaxConns <= 0 {
		cfg.MaxConns = 16
	}
	// Every statement here is short: compiling it costs more than running it.
	conf.ConnConfig.RuntimeParams["jit"] = "off"
	conf.ConnConfig.RuntimeParams["application_name"] = "kubilitics-hub"
	conf.ConnConfig.Tracer = traced{}
	if err := migrateUp(ctx, conf, cfg); err != nil {
		return nil, err
	}
	lease, err := newLease(ctx, conf.ConnConfig)
	if err != nil {
		return nil, err
	}
	s, err := open(ctx, conf, cfg)
	if err != nil {
		lease.close()
		return nil, err
	}
	s.lease = lease
	return s, nil
}

func open(ctx context.Context, conf *pgxpool.Config, cfg Config) (s *Store, err error) {
	s = &Store{}
	conf.MaxConns = max(cfg.MaxConns/2, 1)
	// Questions differ in what they mean by the same words: a plan that is made for any of them is fit for none.
	conf.ConnConfig.RuntimeParams["plan_cache_mode"] = "force_custom_plan"
	if s.pool, err = pgxpool.NewWithConfig(ctx, conf.Copy()); err != nil {
		return nil, translate(err)
	}
	conf.ConnConfig.RuntimeParams["plan_cache_mode"] = "force_generic_plan"
	s.wide = make(chan struct{}, conf.MaxConns/(laneCount+1))
	if s.writers, err = pgxpool.NewWithConfig(ctx, conf.Copy()); err != nil {
		s.pool.Close()
		return nil, translate(err)
	}
	conf.MaxConns = recorderConns
	// What is under way are few rows in a table of many dead ones, which a plan that was made while it was empty would walk.
	conf.ConnConfig.RuntimeParams["enable_seqscan"] = "off"
	if s.recorders, err = pgxpool.NewWithConfig(ctx, conf); err != nil {
		s.pool.Close()
		s.writers.Close()
		return nil, translate(err)
	}
	if err := s.ready(ctx, cfg); err != nil {
		s.closePools()
		return nil, err
	}
	s.herald = newHerald(context.WithoutCancel(ctx), s.pool) // it ends with Close, not with the caller's context
	return s, nil
}

// ready prepares what the schema leaves to the store.
func (s *Store) ready(ctx context.Context, cfg Config) (err error) {
	d := dialect
	if d.Texts, err = s.letters(ctx, cfg.Migrate); err != nil {
		return err
	}
	s.Base = relational.NewBase(relational.NewMetrics(cfg.Registerer, s.pools).Measure(s), d)
	return s.makeDays(ctx)
}

func (s *Store) closePools() {
	s.recorders.Close()
	s.writers.Close()
	s.pool.Close()
}

func migrateUp(ctx context.Context, conf *pgxpool.Config, cfg Config) error {
	release := func() {}
	defer func() { release() }()
	begin := func(from, to uint) error {
		if cfg.Migrating != nil {
			cfg.Migrating(from, to)
		}
		end, err := alone(ctx, conf.ConnConfig, cmp.Or(cfg.Patience, 30*time.Second))
		if err == nil {
			release = end
		}
		return err
	}
	db := stdlib.OpenDB(*conf.ConnConfig)
	driver, err := migratepgx.WithInstance(db, &migratepgx.Config{})
	if err != nil {
		return fault.Wrap(errors.Join(err, db.Close()), fault.Unavailable, "the Postgres at %s can't be reached", conf.ConnConfig.Host)
	}
	return relational.Migrate(driver, "postgres", cfg.Migrate, begin)
}

var dialect = relational.Dialect{
	Lock:  ` FOR UPDATE`,
	Clock: `clock_timestamp()`,
	Tick:  func(tenant int64) (string, []any) { return tick, []any{tenant} },
	InInts: func(column string, n int) string {
		return column + ` = ANY($` + strconv.Itoa(n) + `::bigint[])`
	},
	InStrings: func(column string, n int) string {
		return column + ` = ANY($` + strconv.Itoa(n) + `::text[])`
	},
	InIDs: func(column string, n int) string {
		return column + ` = ANY($` + strconv.Itoa(n) + `::uuid[])`
	},
	// Of the same types as the columns, or the planner takes current and closed rows for two things, and works out columns that nobody asks for.
	PastUID:      `(CASE WHEN h.uid <> '` + noUID + `' THEN h.uid::text ELSE h.odd_uid END COLLATE "C")`,
	PastPresence: `((h.state >> 8) & 63)::smallint`,
	PastHealth:   `(h.state & 255)::smallint`,
	FirstVersion: `x.state >= 16384`,
	Once:         func(c relational.Conn) relational.Conn { return once{c} },
	Pin:          pin,
	PastAttrs:    pastAttrs,
	Closed:       closedDays,
	EachID:       func(n int) string { return `unnest($` + strconv.Itoa(n) + `::uuid[]) AS u(id)` },
	EachLabel:    `CROSS JOIN LATERAL json_each_text(nullif(r.labels, '')::json) AS kv(key, value)`,
	Like: func(expression string, n int) string {
		return expression + ` ILIKE $` + strconv.Itoa(n) + ` ESCAPE '\'`
	},
	Pairs: func(column string) string {
		return `json_each_text(CASE WHEN ` + column + ` LIKE '{%}' THEN ` + column + `::json END) AS kv(key, value)`
	},
	Pair: func(column, key string) string {
		return `(CASE WHEN ` + column + ` LIKE '{%}' THEN ` + column + `::json ->> ` + key + `::text END COLLATE "C")`
	},
	Lateral: `LATERAL `,
	FewRows: 5000,
	Words:   func(text string) string { return `unnest(string_to_array(` + text + `, ' ')) AS x(value)` },
	Number: func(text string) string {
		return `(SELECT CASE WHEN length(n.v) <= 20 AND n.v ~ '^-?(?=\.?[0-9])[0-9]*\.?[0-9]*$' THEN n.v::float8 END FROM (SELECT ` + text + ` AS v) AS n)`
	},
}

const tick = `UPDATE tenant_feed SET pos = pos + 1, at = greatest(clock_timestamp(), at + interval '1 microsecond') WHERE tenant_id = $1 RETURNING pos, at`

// Ring implements relational.Backend: who listens in this process hears at once, the others by a notification.
func (s *Store) Ring(tenant fleet.TenantID) {
	s.bells.Ring(tenant)
	s.herald.tell(tenant)
}

// Ping implements store.Store.
func (s *Store) Ping(ctx context.Context) error { return translate(s.pool.Ping(ctx)) }

// Superseded is closed when somebody else migrates the schema, who waits for this program to Close, or has migrated it.
func (s *Store) Superseded() <-chan struct{} { return s.lease.over }

// Close implements store.Store.
func (s *Store) Close() error {
	s.herald.close()
	s.closePools()
	s.lease.close()
	return nil
}
