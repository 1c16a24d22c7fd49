package sqlite

import (
	"context"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/golang-migrate/migrate/v4"
	migratesqlite "github.com/golang-migrate/migrate/v4/database/sqlite"
	"github.com/golang-migrate/migrate/v4/source/iofs"
	"github.com/google/uuid"

	"github.com/kubilitics/kubilitics/hub/internal/store"
	"github.com/kubilitics/kubilitics/hub/internal/store/relational"
	"github.com/kubilitics/kubilitics/hub/internal/store/storetest"
	"github.com/kubilitics/kubilitics/migrations"
	"github.com/kubilitics/kubilitics/shared/fault"
)

// TestEachMigrationGoesUpAndDown: one step at a time, each way twice, so that down leaves nothing in up's way.
func TestEachMigrationGoesUpAndDown(t *testing.T) {
	path := filepath.Join(t.TempDir(), "x.db")
	driver, err := migratesqlite.WithInstance(raw(t, path), &migratesqlite.Config{})
	if err != nil {
		t.Fatal(err)
	}
	files, err := iofs.New(migrations.FS, "sqlite")
	if err != nil {
		t.Fatal(err)
	}
	m, err := migrate.NewWithInstance("embedded", files, "sqlite", driver)
	if err != nil {
		t.Fatal(err)
	}
	newest, err := relational.Newest("sqlite")
	if err != nil {
		t.Fatal(err)
	}
	for range 2 {
		for range newest {
			for _, step := range []int{1, -1, 1} {
				if err := m.Steps(step); err != nil {
					t.Fatal(err)
				}
			}
		}
		if err := m.Steps(-int(newest)); err != nil {
			t.Fatal(err)
		}
	}
	openTest(t, path)
}

// TestMigrationsCountWhatIsThere: rows that were written before their counts and applications were kept.
func TestMigrationsCountWhatIsThere(t *testing.T) {
	path := filepath.Join(t.TempDir(), "x.db")
	s := openTest(t, path)
	f := storetest.Fill(t, s, 2, 50)
	newest, err := relational.Newest("sqlite")
	if err != nil {
		t.Fatal(err)
	}
	driver, err := migratesqlite.WithInstance(raw(t, path), &migratesqlite.Config{})
	if err != nil {
		t.Fatal(err)
	}
	files, err := iofs.New(migrations.FS, "sqlite")
	if err != nil {
		t.Fatal(err)
	}
	m, err := migrate.NewWithInstance("embedded", files, "sqlite", driver)
	if err != nil {
		t.Fatal(err)
	}
	for _, steps := range []int{4 - int(newest), int(newest) - 4} {
		if err := m.Steps(steps); err != nil {
			t.Fatal(err)
		}
	}
	if found, err := openTest(t, path).Check(t.Context(), f.At, 10); err != nil || len(found) > 0 {
		t.Error(found, err)
	}
}

// TestAMigrationIsTold before it begins, and only where there is something to do.
func TestAMigrationIsTold(t *testing.T) {
	path := filepath.Join(t.TempDir(), "x.db")
	newest, err := relational.Newest("sqlite")
	if err != nil {
		t.Fatal(err)
	}
	var told []uint
	for range 2 {
		s, err := Open(t.Context(), Config{Path: path, Migrate: true, Migrating: func(from, to uint) { told = append(told, from, to) }})
		if err != nil {
			t.Fatal(err)
		}
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
	}
	if !slices.Equal(told, []uint{0, newest}) {
		t.Errorf("told %v", told)
	}
}

// TestAMigrationThatEndsEarlyHasNotHappened: nothing of it stays, and it is begun anew.
func TestAMigrationThatEndsEarlyHasNotHappened(t *testing.T) {
	path := filepath.Join(t.TempDir(), "x.db")
	db := raw(t, path)
	if _, err := db.Exec("CREATE TABLE audit_open (x)"); err != nil { // which 0009 makes after another
		t.Fatal(err)
	}
	if _, err := Open(t.Context(), Config{Path: path, Migrate: true}); !fault.Is(err, fault.Internal) {
		t.Errorf("the migration that can't be: %v", err)
	}
	var version, made int
	var dirty bool
	if err := db.QueryRow("SELECT version, dirty, (SELECT count(*) FROM sqlite_master WHERE name = 'audit') FROM schema_migrations").Scan(&version, &dirty, &made); err != nil {
		t.Fatal(err)
	}
	if version != 8 || dirty || made != 0 {
		t.Errorf("version %d, dirty %t, %d tables of the next", version, dirty, made)
	}
	if _, err := db.Exec("DROP TABLE audit_open"); err != nil {
		t.Fatal(err)
	}
	openTest(t, path)
}

func TestNewerAndHalfDoneSchemasAreRefused(t *testing.T) {
	path := filepath.Join(t.TempDir(), "x.db")
	openTest(t, path)
	db := raw(t, path)
	newest, err := relational.Newest("sqlite")
	if err != nil {
		t.Fatal(err)
	}
	for sql, want := range map[string]string{
		"UPDATE schema_migrations SET version = 4711": "version 4711, and this hub knows versions up to",
		"UPDATE schema_migrations SET dirty = true":   "cut off",
		"UPDATE schema_migrations SET version = 2":    "needs version",
	} {
		if _, err := db.Exec(sql); err != nil {
			t.Fatal(err)
		}
		_, err := Open(t.Context(), Config{Path: path, Migrate: want != "needs version"})
		if !fault.Is(err, fault.Conflict) || !strings.Contains(err.Error(), want) {
			t.Errorf("after %s: %v", sql, err)
		}
		if _, err := db.Exec(fmt.Sprint("UPDATE schema_migrations SET dirty = false, version = ", newest)); err != nil {
			t.Fatal(err)
		}
	}
}

func TestOpenSaysWhatIsWrong(t *testing.T) {
	if _, err := Open(t.Context(), Config{}); !fault.Is(err, fault.BadRequest) {
		t.Error(err)
	}
	if _, err := Open(t.Context(), Config{Path: t.TempDir() + "/none/x.db", Migrate: true}); !fault.Is(err, fault.Unavailable) {
		t.Error(err)
	}
}

// explained has the database say how it would answer each query before it does.
type explained struct {
	*Store
	tell func(sql, plan string)
}

func (e explained) Snapshot(ctx context.Context, fn func(context.Context, relational.Conn) error) error {
	return e.Store.Snapshot(ctx, func(ctx context.Context, c relational.Conn) error { return fn(ctx, explainedConn{c, e.tell}) })
}

type explainedConn struct {
	relational.Conn
	tell func(sql, plan string)
}

func (c explainedConn) Query(ctx context.Context, sql string, args ...any) (relational.Rows, error) {
	rows, err := c.Conn.Query(ctx, "EXPLAIN QUERY PLAN "+sql, append([]any(nil), args...)...)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var plan strings.Builder
	for rows.Next() {
		var id, parent, unused int64
		var line string
		if err := rows.Scan(&id, &parent, &unused, &line); err != nil {
			return nil, err
		}
		plan.WriteString(line + "\n")
	}
	rows.Close()
	c.tell(sql, plan.String())
	return c.Conn.Query(ctx, sql, args...)
}

func TestHotQueriesGoByIndexes(t *testing.T) {
	s := openTest(t, filepath.Join(t.TempDir(), "x.db"))
	f := storetest.Fill(t, s, 2, 500)
	name := ""
	base := relational.NewBase(explained{s, func(sql, plan string) {
		for line := range strings.Lines(plan) {
			walks := strings.HasPrefix(line, "SCAN ") && !strings.Contains(line, "json_each") && !strings.Contains(line, "few")
			if walks || (strings.Contains(line, "USE TEMP B-TREE FOR ORDER BY") && !strings.Contains(name, "rare")) {
				t.Errorf("%s:\n%s\n%s", name, sql, plan)
			}
		}
	}}, dialect)
	storetest.HotQueries(t.Context(), t, base, f, func(n string) { name = n })
}

func TestHotQueriesOfThePastGoByIndexes(t *testing.T) {
	s := openTest(t, filepath.Join(t.TempDir(), "x.db"))
	f := storetest.Fill(t, s, 2, 500)
	middle := storetest.Churn(t, s, f, 4)
	name := ""
	base := relational.NewBase(explained{s, func(sql, plan string) {
		for line := range strings.Lines(plan) {
			line = strings.TrimSpace(line)
			// r, e and t are what stands for tables, and was searched for what is wanted of it; clusters are few.
			walks := strings.HasPrefix(line, "SCAN ") && !strings.Contains(line, "json_each") && !slices.Contains([]string{"SCAN r", "SCAN e", "SCAN t"}, line)
			if walks || strings.HasSuffix(line, "(tenant_id=?)") && !strings.HasPrefix(line, "SEARCH clusters") {
				t.Errorf("%s: %s\n%s\n%s", name, line, sql, plan)
				return
			}
		}
	}}, dialect)
	storetest.HotPast(t.Context(), t, base, f, middle, func(n string) { name = n })
}

func TestAuditQueriesGoByIndexes(t *testing.T) {
	s := openTest(t, filepath.Join(t.TempDir(), "hub.db"))
	tenant, err := s.EnsureTenant(t.Context(), "default")
	if err != nil {
		t.Fatal(err)
	}
	f := storetest.Fleet{Tenant: tenant.ID, At: store.Scope{Tenant: tenant.ID, Cluster: 7}, First: 8}
	storetest.HotRecords(t.Context(), t, s, f, 20_000)
	name := ""
	base := relational.NewBase(explained{s, func(sql, plan string) {
		if strings.Contains(plan, "SCAN audit") || strings.Contains(plan, "TEMP B-TREE") {
			t.Errorf("%s:\n%s\n%s", name, sql, plan)
		}
	}}, dialect)
	storetest.AuditQueries(t.Context(), t, base, f, func(n string) { name = n })
}

// BenchmarkPutAudit writes alone what must be on the disk before it is done, and a thousand at once of what has ended.
func BenchmarkPutAudit(b *testing.B) {
	s, err := Open(b.Context(), Config{Path: filepath.Join(b.TempDir(), "hub.db"), Migrate: true})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = s.Close() })
	for name, size := range map[string]int{"alone": 1, "ended": 1000} {
		b.Run(name, func(b *testing.B) {
			page := make([]store.AuditRecord, 0, size)
			for b.Loop() {
				page = append(page, storetest.Record(1, time.Now(), 1, func(r *store.AuditRecord) {
					if r.ID = uuid.Must(uuid.NewV7()).String(); size == 1 {
						r.Outcome = store.AuditOpen
					}
				}))
				if len(page) < size {
					continue
				}
				if err := s.PutAudit(b.Context(), page); err != nil {
					b.Fatal(err)
				}
				page = page[:0]
			}
		})
	}
}

// TestWhatIsUnderWayIsFlushed: and only that, and what comes after is as before.
func TestWhatIsUnderWayIsFlushed(t *testing.T) {
	s := openTest(t, filepath.Join(t.TempDir(), "hub.db"))
	var level int64
	look := func(ctx context.Context, w *writer) error {
		return w.conn.QueryRowContext(ctx, `PRAGMA synchronous`).Scan(&level)
	}
	for _, c := range []struct {
		run  func(context.Context, func(context.Context, *writer) error) error
		want int64
	}{{s.writer.transact, 1}, {s.writer.transactFlushed, 2}, {s.writer.transact, 1}} {
		if err := c.run(t.Context(), look); err != nil || level != c.want {
			t.Errorf("synchronous is %d, want %d (%v)", level, c.want, err)
		}
	}
}
