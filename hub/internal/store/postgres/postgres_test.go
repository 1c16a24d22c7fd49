package postgres

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"os"
	"sync/atomic"
	"testing"

	"github.com/jackc/pgx/v5"
	"go.uber.org/goleak"

	"github.com/kubilitics/kubilitics/hub/internal/fleet"
	"github.com/kubilitics/kubilitics/hub/internal/store"
	"github.com/kubilitics/kubilitics/hub/internal/store/relational"
	"github.com/kubilitics/kubilitics/hub/internal/store/storetest"
	"github.com/kubilitics/kubilitics/shared/fault"
	"github.com/kubilitics/kubilitics/shared/pgtest"
	"github.com/kubilitics/kubilitics/shared/topo"
)

var (
	server    *pgtest.Server
	databases atomic.Int64
)

func TestMain(m *testing.M) {
	os.Exit(run(m))
}

func run(m *testing.M) int {
	var err error
	if server, err = pgtest.Start(context.Background(), false); err != nil && !errors.Is(err, pgtest.ErrNone) {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	code := m.Run()
	if server != nil {
		if err := server.Stop(); err != nil {
			fmt.Fprintln(os.Stderr, err)
			code = 1
		}
	}
	if err := goleak.Find(); err != nil && code == 0 {
		fmt.Fprintln(os.Stderr, err)
		code = 1
	}
	return code
}

// database makes one, empty, and gives its DSN.
func database(t testing.TB) string {
	t.Helper()
	if server == nil {
		t.Skip("NOTHING OF POSTGRES WAS TESTED: ", pgtest.ErrNone)
	}
	ctx := context.Background()
	admin, err := pgx.Connect(ctx, server.DSN)
	if err != nil {
		t.Fatal(err)
	}
	defer admin.Close(ctx)
	name := fmt.Sprintf("test_%d_%d", os.Getpid(), databases.Add(1))
	if _, err := admin.Exec(ctx, "CREATE DATABASE "+name); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		admin, err := pgx.Connect(ctx, server.DSN)
		if err != nil {
			t.Error(err)
			return
		}
		defer admin.Close(ctx)
		if _, err := admin.Exec(ctx, "DROP DATABASE "+name+" WITH (FORCE)"); err != nil {
			t.Error(err)
		}
	})
	dsn, err := url.Parse(server.DSN)
	if err != nil {
		t.Fatal(err)
	}
	dsn.Path = "/" + name
	return dsn.String()
}

func openTest(t testing.TB, dsn string) *Store {
	t.Helper()
	s, err := Open(context.Background(), Config{DSN: dsn, Migrate: true, MaxConns: 8})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}

func exec(ctx context.Context, dsn, sql string) error {
	conn, err := pgx.Connect(ctx, dsn)
	if err != nil {
		return err
	}
	defer conn.Close(ctx)
	_, err = conn.Exec(ctx, sql)
	return err
}

func TestConformance(t *testing.T) {
	storetest.Exercise(t, func(t *testing.T) storetest.Body {
		dsn := database(t)
		return storetest.Body{
			Store:    openTest(t, dsn),
			DropDays: true,
			Exec:     func(ctx context.Context, sql string) error { return exec(ctx, dsn, sql) },
			Poison: func(ctx context.Context, name string) error {
				return exec(ctx, dsn, fmt.Sprintf(`CREATE FUNCTION poison() RETURNS trigger LANGUAGE plpgsql AS
					$$ BEGIN IF NEW.name = '%s' THEN RAISE 'refused by the test'; END IF; RETURN NEW; END $$;
					CREATE TRIGGER poison BEFORE INSERT ON resources FOR EACH ROW EXECUTE FUNCTION poison()`, name))
			},
		}
	})
}

// TestSearchByIndexes: the ways that searches among many rows go find the same.
func TestSearchByIndexes(t *testing.T) {
	storetest.ExerciseSearch(t, func(t *testing.T) storetest.Body {
		dsn := database(t)
		s := openTest(t, dsn)
		d := dialect
		d.Texts, d.FewRows = true, -1
		s.Base = relational.NewBase(s, d)
		return storetest.Body{Store: s, Exec: func(ctx context.Context, sql string) error { return exec(ctx, dsn, sql) }}
	})
}

// TestALoadThatLostRowsIsRefused: a database that crashed forgets the newest chunks, which were not flushed.
func TestALoadThatLostRowsIsRefused(t *testing.T) {
	t.Parallel()
	dsn := database(t)
	s := openTest(t, dsn)
	tenant, err := s.EnsureTenant(t.Context(), "default")
	if err != nil {
		t.Fatal(err)
	}
	at := store.Scope{Tenant: tenant.ID, Cluster: 7}
	if err := s.CreateCluster(t.Context(), fleet.Cluster{Tenant: at.Tenant, ID: at.Cluster, Name: "c"}); err != nil {
		t.Fatal(err)
	}
	c, err := s.OpenSession(t.Context(), at, store.Hello{})
	if err != nil {
		t.Fatal(err)
	}
	l, err := s.BeginLoad(t.Context(), at, c.Epoch)
	if err != nil {
		t.Fatal(err)
	}
	for i := range 2 {
		if _, err := l.Add(t.Context(), store.Delta{Nodes: []topo.Node{storetest.Pod(i)}}); err != nil {
			t.Fatal(err)
		}
	}
	if err := exec(t.Context(), dsn, `UPDATE clusters SET load_chunks = 1`); err != nil {
		t.Fatal(err)
	}
	if _, err := l.Add(t.Context(), store.Delta{}); !fault.Is(err, fault.Conflict) {
		t.Error(err)
	}
	if _, err := l.Commit(t.Context(), 1, store.Delta{}); !fault.Is(err, fault.Conflict) {
		t.Error(err)
	}
}
