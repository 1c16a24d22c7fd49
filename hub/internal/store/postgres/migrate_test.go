package postgres

import (
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/golang-migrate/migrate/v4"
	migratepgx "github.com/golang-migrate/migrate/v4/database/pgx/v5"
	"github.com/golang-migrate/migrate/v4/source/iofs"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/stdlib"

	"github.com/kubilitics/kubilitics/hub/internal/store/relational"
	"github.com/kubilitics/kubilitics/hub/internal/store/storetest"
	"github.com/kubilitics/kubilitics/migrations"
	"github.com/kubilitics/kubilitics/shared/fault"
)

func migrator(t *testing.T, dsn string) *migrate.Migrate {
	t.Helper()
	conf, err := pgx.ParseConfig(dsn)
	if err != nil {
		t.Fatal(err)
	}
	driver, err := migratepgx.WithInstance(stdlib.OpenDB(*conf), &migratepgx.Config{})
	if err != nil {
		t.Fatal(err)
	}
	source, err := iofs.New(migrations.FS, "postgres")
	if err != nil {
		t.Fatal(err)
	}
	m, err := migrate.NewWithInstance("embedded", source, "postgres", driver)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _, _ = m.Close() })
	return m
}

// TestEachMigrationGoesUpAndDown: one step at a time, each way twice, so that down leaves nothing in up's way.
func TestEachMigrationGoesUpAndDown(t *testing.T) {
	t.Parallel()
	dsn := database(t)
	m := migrator(t, dsn)
	newest, err := relational.Newest("postgres")
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
	openTest(t, dsn)
}

// TestMigrationsCountWhatIsThere: rows that were written before their counts and applications were kept.
func TestMigrationsCountWhatIsThere(t *testing.T) {
	t.Parallel()
	dsn := database(t)
	s := openTest(t, dsn)
	f := storetest.Fill(t, s, 2, 50)
	newest, err := relational.Newest("postgres")
	if err != nil {
		t.Fatal(err)
	}
	m := migrator(t, dsn)
	for _, steps := range []int{4 - int(newest), int(newest) - 4} {
		if err := m.Steps(steps); err != nil {
			t.Fatal(err)
		}
	}
	if found, err := openTest(t, dsn).Check(t.Context(), f.At, 10); err != nil || len(found) > 0 {
		t.Error(found, err)
	}
}

// TestAMigrationThatEndsEarlyHasNotHappened: nothing of it stays, and it is begun anew.
func TestAMigrationThatEndsEarlyHasNotHappened(t *testing.T) {
	t.Parallel()
	dsn := database(t)
	if err := exec(t.Context(), dsn, "CREATE TABLE audit_open (x int)"); err != nil { // which 0010 makes after another
		t.Fatal(err)
	}
	if _, err := Open(t.Context(), Config{DSN: dsn, Migrate: true}); !fault.Is(err, fault.Internal) {
		t.Errorf("the migration that can't be: %v", err)
	}
	if version, dirty, err := migrator(t, dsn).Version(); version != 9 || dirty || err != nil {
		t.Errorf("version %d, dirty %t, %v", version, dirty, err)
	}
	if err := exec(t.Context(), dsn, "DROP TABLE audit_open"); err != nil {
		t.Fatal(err)
	}
	openTest(t, dsn) // finds nothing in its way
}

func TestNewerAndHalfDoneSchemasAreRefused(t *testing.T) {
	t.Parallel()
	dsn := database(t)
	openTest(t, dsn)
	newest, err := relational.Newest("postgres")
	if err != nil {
		t.Fatal(err)
	}
	for sql, want := range map[string]string{
		"UPDATE schema_migrations SET version = 4711": "version 4711, and this hub knows versions up to",
		"UPDATE schema_migrations SET dirty = true":   "cut off",
		"UPDATE schema_migrations SET version = 2":    "needs version",
	} {
		if err := exec(t.Context(), dsn, sql); err != nil {
			t.Fatal(err)
		}
		_, err := Open(t.Context(), Config{DSN: dsn, Migrate: want != "needs version"})
		if !fault.Is(err, fault.Conflict) || !strings.Contains(err.Error(), want) {
			t.Errorf("after %s: %v", sql, err)
		}
		if err := exec(t.Context(), dsn, fmt.Sprint("UPDATE schema_migrations SET dirty = false, version = ", newest)); err != nil {
			t.Fatal(err)
		}
	}
}

// TestHubsStartAtOnce: on one empty database.
func TestHubsStartAtOnce(t *testing.T) {
	t.Parallel()
	dsn := database(t)
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			s, err := Open(t.Context(), Config{DSN: dsn, Migrate: true, MaxConns: 2})
			if err != nil {
				t.Error(err)
				return
			}
			if err := s.Close(); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
}

func TestOpenSaysWhatIsWrong(t *testing.T) {
	t.Parallel()
	_, err := Open(t.Context(), Config{DSN: "postgres://u:secret@127.0.0.1:1/x?connect_timeout=1"})
	if !fault.Is(err, fault.Unavailable) || strings.Contains(err.Error(), "secret") {
		t.Error(err)
	}
	_, err = Open(t.Context(), Config{DSN: "postgres://u:secret@%zz"})
	if !fault.Is(err, fault.BadRequest) || strings.Contains(err.Error(), "secret") {
		t.Error(err)
	}
}

// TestDaysOfHistoryAreMadeAndDropped: a day that is past goes whole; one that has rows beside it stays beside it.
func TestDaysOfHistoryAreMadeAndDropped(t *testing.T) {
	t.Parallel()
	dsn := database(t)
	s := openTest(t, dsn)
	for _, sql := range []string{
		`CREATE TABLE labels_history_20200101 PARTITION OF labels_history FOR VALUES FROM ('2020-01-01') TO ('2020-01-02')`,
		`INSERT INTO labels_history (tenant_id, cluster_id, id, key, valid_to, valid_from, value, closed)
			SELECT 1, 1, gen_random_uuid(), 'k', 2, 1, 'v', d::date FROM unnest(ARRAY['2020-01-01', '2020-01-05', (now() + '9 days'::interval)::date::text]) d`,
	} {
		if err := exec(t.Context(), dsn, sql); err != nil {
			t.Fatal(err)
		}
	}
	yesterday := time.Now().AddDate(0, 0, -1)
	if more, err := s.TrimHistory(t.Context(), yesterday, 10); more || err != nil {
		t.Fatal(more, err)
	}
	var left, days int
	if err := s.pool.QueryRow(t.Context(), `SELECT count(*) FROM labels_history`).Scan(&left); err != nil || left != 1 {
		t.Errorf("%d rows are left (%v)", left, err)
	}
	if err := s.pool.QueryRow(t.Context(), `SELECT count(*) FROM pg_inherits WHERE inhparent = 'labels_history'::regclass`).Scan(&days); err != nil || days != daysAhead+1 {
		t.Errorf("%d partitions (%v)", days, err)
	}
}
