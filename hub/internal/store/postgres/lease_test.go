package postgres

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/kubilitics/kubilitics/shared/fault"
)

func within(t *testing.T, what string, done <-chan struct{}) {
	t.Helper()
	select {
	case <-done:
	case <-time.After(20 * time.Second):
		t.Fatal("not in time: ", what)
	}
}

// Whoever migrates asks those who use the schema to let go, and begins when they have.
func TestAMigrationWaitsForThoseWhoUseTheSchema(t *testing.T) {
	t.Parallel()
	dsn := database(t)
	users := []*Store{openTest(t, dsn), openTest(t, dsn)}
	if err := migrator(t, dsn).Steps(-1); err != nil { // as if these were of an older version
		t.Fatal(err)
	}
	began, done := make(chan struct{}), make(chan error, 1)
	go func() {
		s, err := Open(context.Background(), Config{DSN: dsn, Migrate: true, Migrating: func(uint, uint) { close(began) }})
		if err == nil {
			err = s.Close()
		}
		done <- err
	}()
	within(t, "the migration begins", began)
	for _, s := range users {
		within(t, "a user is asked", s.Superseded())
		select {
		case err := <-done:
			t.Fatalf("a user wasn't waited for: %v", err)
		default:
		}
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	}
	if err := <-done; err != nil {
		t.Error(err)
	}
	select {
	case <-openTest(t, dsn).Superseded():
		t.Error("who comes after the migration is sent away")
	default:
	}
}

func TestAMigrationDoesNotWaitForEver(t *testing.T) {
	t.Parallel()
	dsn := database(t)
	s := openTest(t, dsn)
	if err := migrator(t, dsn).Steps(-1); err != nil {
		t.Fatal(err)
	}
	_, err := Open(t.Context(), Config{DSN: dsn, Migrate: true, Patience: time.Millisecond})
	if !fault.Is(err, fault.Unavailable) || !strings.Contains(err.Error(), "still used by kubilitics-hub from") {
		t.Errorf("%v", err)
	}
	if version, _, err := migrator(t, dsn).Version(); err != nil || version != s.lease.newest-1 {
		t.Errorf("version %d, %v", version, err)
	}
}

// A connection that breaks keeps nobody off, so the schema is looked at when there is another.
func TestALostLeaseIsTakenAgain(t *testing.T) {
	t.Parallel()
	dsn := database(t)
	s, other := openTest(t, dsn), openTest(t, dsn)
	m := migrator(t, dsn)
	cut := `SELECT pg_terminate_backend(pid) FROM pg_locks WHERE locktype = 'advisory' AND mode = 'ShareLock' AND database = (SELECT oid FROM pg_database WHERE datname = current_database())`
	if err := exec(t.Context(), dsn, cut); err != nil {
		t.Fatal(err)
	}
	held := func() (n int) {
		if err := s.pool.QueryRow(t.Context(), `SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND mode = 'ShareLock' AND granted
			AND database = (SELECT oid FROM pg_database WHERE datname = current_database())`).Scan(&n); err != nil {
			t.Fatal(err)
		}
		return n
	}
	for end := time.Now().Add(20 * time.Second); held() != 2; time.Sleep(10 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("%d of 2 are held", held())
		}
	}
	if err := m.Steps(-1); err != nil { // behind their backs
		t.Fatal(err)
	}
	if err := exec(t.Context(), dsn, cut); err != nil {
		t.Fatal(err)
	}
	within(t, "one sees another version", s.Superseded())
	within(t, "the other sees it", other.Superseded())
}
