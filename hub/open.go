package hub

import (
	"context"
	"os"

	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/zap"

	"github.com/kubilitics/kubilitics/hub/internal/enroll"
	"github.com/kubilitics/kubilitics/hub/internal/store"
	"github.com/kubilitics/kubilitics/hub/internal/store/postgres"
	"github.com/kubilitics/kubilitics/hub/internal/store/sqlite"
	"github.com/kubilitics/kubilitics/shared/fault"
)

// openStore opens the body that the configuration names, and brings its schema up to date.
func openStore(ctx context.Context, cfg Config, reg prometheus.Registerer, log *zap.Logger) (store.Store, error) {
	return openBody(ctx, cfg, true, reg, log)
}

// openAsIs opens it to be looked at: a schema of another version is refused, and a file that isn't there isn't made.
func openAsIs(ctx context.Context, cfg Config, log *zap.Logger) (store.Store, error) {
	if !cfg.isPostgres() {
		file, err := cfg.sqliteFile()
		if err != nil {
			return nil, err
		}
		if _, err := os.Stat(file); err != nil {
			return nil, fault.Wrap(err, fault.NotFound, "there is no database file %s", file)
		}
	}
	return openBody(ctx, cfg, false, nil, log)
}

func openBody(ctx context.Context, cfg Config, migrate bool, reg prometheus.Registerer, log *zap.Logger) (store.Store, error) {
	migrating := func(from, to uint) {
		log.Info("the database's schema is brought to this program's version", zap.Uint("from", from), zap.Uint("to", to))
	}
	if cfg.isPostgres() {
		log.Info("the database is Postgres")
		s, err := postgres.Open(ctx, postgres.Config{DSN: cfg.Database, Migrate: migrate, Migrating: migrating, Registerer: reg})
		if err == nil && s.SlowSearch() != nil {
			log.Warn("searches read every text", zap.Error(s.SlowSearch()))
		}
		return opened(s, err)
	}
	file, err := cfg.sqliteFile()
	if err != nil {
		return nil, err
	}
	log.Info("the database is SQLite", zap.String("file", file))
	s, err := sqlite.Open(ctx, sqlite.Config{Path: file, Migrate: migrate, Migrating: migrating, Registerer: reg})
	return opened(s, err)
}

// opened gives no store when there is none: a nil body in the interface would be one that is not nil.
func opened[S store.Store](s S, err error) (store.Store, error) {
	if err != nil {
		return nil, err
	}
	return s, nil
}

// Migrate brings the database to this program's schema and lets it go: for those who do it apart from starting the hub.
func Migrate(ctx context.Context, cfg Config, log *zap.Logger) error {
	s, err := openStore(ctx, cfg, nil, log)
	if err != nil {
		return err
	}
	return s.Close()
}

// openAuthority reads the hub's root, or makes it.
func openAuthority(cfg Config) (*enroll.Authority, error) {
	if cfg.CA.Trusted != "" {
		if _, err := parseCertificates(cfg.CA.Trusted); err != nil {
			return nil, blame(err, "ca.trusted")
		}
	}
	a, err := enroll.OpenAuthority(enroll.AuthorityConfig{
		File: cfg.caFile(), MustExist: cfg.CA.File != "", TrustedFile: cfg.CA.Trusted, Names: cfg.Tunnel.Names,
	})
	if cfg.CA.File != "" {
		err = blame(err, "ca.file")
	}
	return a, err
}
