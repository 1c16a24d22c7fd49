// Package bigstore gives benchmarks a large store on Postgres: a tenant with 200 clusters, 1,000,000 resources and 2,000,000 edges, 20 of the clusters
// with ten versions of each object. Filling it takes minutes, so it is kept between runs, under a name made from the schema and the shape.
package bigstore

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/kubilitics/kubilitics/hub/internal/fleet"
	"github.com/kubilitics/kubilitics/hub/internal/store"
	"github.com/kubilitics/kubilitics/hub/internal/store/postgres"
	"github.com/kubilitics/kubilitics/migrations"
	"github.com/kubilitics/kubilitics/shared/pgtest"
	"github.com/kubilitics/kubilitics/shared/topo"
)

// shape is raised when what is filled in changes.
const shape = "4"

// DirEnv names the variable with the directory in which the database is kept.
const DirEnv = "KUBILITICS_BENCH_DIR"

// Big is the store, open.
type Big struct {
	store.Store
	Tenant   fleet.TenantID
	Clusters []fleet.Cluster // by name; the first has 20,000 objects, the next 20 have a past
	Before   topo.Position   // when the clusters with a past were at about half of it

	server *pgtest.Server
}

// Open gives the store, filled now if it isn't there; say tells what is being done. pgtest.ErrNone where there is no Postgres.
func Open(ctx context.Context, say func(format string, args ...any)) (*Big, error) {
	dir := os.Getenv(DirEnv)
	if dir == "" {
		dir = filepath.Join("/var/tmp", fmt.Sprintf("kubilitics-bench-%d", os.Getuid())) // another user runs Postgres, who may not enter a home
	}
	server, err := pgtest.Kept(ctx, dir)
	if err != nil {
		return nil, err
	}
	b := &Big{server: server}
	if err := b.open(ctx, say); err != nil {
		return nil, errors.Join(err, b.Close())
	}
	return b, nil
}

// Close lets the database go; its files stay.
func (b *Big) Close() error {
	var err error
	if b.Store != nil {
		err = b.Store.Close()
	}
	return errors.Join(err, b.server.Stop())
}

func (b *Big) open(ctx context.Context, say func(format string, args ...any)) error {
	name, err := nameOf()
	if err != nil {
		return err
	}
	filled, err := b.database(ctx, name)
	if err != nil {
		return err
	}
	conf, err := pgx.ParseConfig(b.server.DSN)
	if err != nil {
		return err
	}
	dsn := fmt.Sprintf("host=%s port=%d user=%s password='%s' dbname=%s sslmode=disable", conf.Host, conf.Port, conf.User, conf.Password, name)
	s, err := postgres.Open(ctx, postgres.Config{DSN: dsn, Migrate: true})
	if err != nil {
		return err
	}
	b.Store = s
	tenant, err := s.EnsureTenant(ctx, "bench")
	if err != nil {
		return err
	}
	b.Tenant = tenant.ID
	if !filled {
		if err := b.fill(ctx, dsn, say); err != nil {
			return err
		}
		if err := b.exec(ctx, b.server.DSN, `COMMENT ON DATABASE `+name+` IS 'filled'`); err != nil {
			return err
		}
	}
	if err := b.exec(ctx, dsn, warm); err != nil {
		say("the database starts cold: %v", err)
	}
	return b.look(ctx)
}

// warm brings tables and indexes into the server's memory, where those of a hub are that has run for a while.
const warm = `CREATE EXTENSION IF NOT EXISTS pg_prewarm; SELECT sum(pg_prewarm(oid)) FROM pg_class WHERE relkind IN ('r', 'i') AND relnamespace = 'public'::regnamespace`

// nameOf makes the database's name from the schema's text and the shape.
func nameOf() (string, error) {
	files, err := fs.Glob(migrations.FS, "postgres/*.up.sql")
	if err != nil {
		return "", err
	}
	h := sha256.New()
	h.Write([]byte(shape))
	for _, f := range files {
		text, err := fs.ReadFile(migrations.FS, f)
		if err != nil {
			return "", err
		}
		h.Write(text)
	}
	return "kubilitics_bench_" + hex.EncodeToString(h.Sum(nil)[:6]), nil
}

// database makes the database, unless it is there and filled. Those of other schemas go.
func (b *Big) database(ctx context.Context, name string) (filled bool, err error) {
	conn, err := pgx.Connect(ctx, b.server.DSN)
	if err != nil {
		return false, err
	}
	defer func() { err = errors.Join(err, conn.Close(context.WithoutCancel(ctx))) }()
	rows, err := conn.Query(ctx, `SELECT datname, coalesce(shobj_description(oid, 'pg_database'), '') FROM pg_database WHERE datname LIKE 'kubilitics_bench_%'`)
	if err != nil {
		return false, err
	}
	type found struct{ Name, Comment string }
	all, err := pgx.CollectRows(rows, pgx.RowToStructByPos[found])
	if err != nil {
		return false, err
	}
	for _, f := range all {
		if f.Name == name && f.Comment == "filled" {
			filled = true
			continue
		}
		if _, err := conn.Exec(ctx, `DROP DATABASE `+f.Name+` WITH (FORCE)`); err != nil {
			return false, err
		}
	}
	if !filled {
		_, err = conn.Exec(ctx, `CREATE DATABASE `+name)
	}
	return filled, err
}

func (b *Big) exec(ctx context.Context, dsn, sql string) (err error) {
	conn, err := pgx.Connect(ctx, dsn)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, conn.Close(context.WithoutCancel(ctx))) }()
	_, err = conn.Exec(ctx, sql)
	return err
}

// look finds what was filled in.
func (b *Big) look(ctx context.Context) (err error) {
	if b.Clusters, err = b.Store.Clusters(ctx, b.Tenant); err != nil {
		return err
	}
	_, last, err := b.Store.FeedBounds(ctx, b.Tenant)
	if err != nil {
		return err
	}
	// The rounds of change are the last entries, as many in each.
	b.Before = last - topo.Position(versions*past*batches)/2
	return nil
}

func (b *Big) fill(ctx context.Context, dsn string, say func(format string, args ...any)) error {
	began := time.Now()
	say("filling a store of %d clusters; it is kept for later runs", clusters)
	writers := make([]*writer, clusters)
	for i := range clusters {
		w, err := b.load(ctx, i)
		if err != nil {
			return err
		}
		writers[i] = w
		if (i+1)%20 == 0 {
			say("%d clusters loaded after %v", i+1, time.Since(began).Round(time.Second))
		}
	}
	for round := range versions {
		for _, w := range writers[1 : past+1] {
			if err := w.change(ctx, round); err != nil {
				return err
			}
		}
		say("round %d of %d changes written after %v", round+1, versions, time.Since(began).Round(time.Second))
	}
	for {
		more, err := b.settle(ctx)
		if err != nil || !more {
			if err != nil {
				return err
			}
			break
		}
	}
	if err := b.exec(ctx, dsn, `VACUUM (ANALYZE, FREEZE)`); err != nil {
		return err
	}
	say("filled in %v", time.Since(began).Round(time.Second))
	return nil
}

// settle does what a hub does in the background after such a load.
func (b *Big) settle(ctx context.Context) (more bool, err error) {
	if indexer, ok := b.Store.(interface {
		Index(ctx context.Context, limit int) (more bool, err error)
	}); ok {
		return indexer.Index(ctx, 20_000)
	}
	return false, nil
}
