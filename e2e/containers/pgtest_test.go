package containers

import (
	"errors"
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/moby/moby/client"

	"github.com/kubilitics/kubilitics/shared/pgtest"
)

// TestPostgresForTests: where a machine has no Postgres programs, tests get theirs from the engine, and nothing of it stays.
func TestPostgresForTests(t *testing.T) {
	t.Setenv(pgtest.Env, "container")
	before := running(t)
	s, err := pgtest.Start(t.Context(), false)
	check(t, err)
	defer func() {
		check(t, s.Stop())
		if after := running(t); !slices.Equal(before, after) {
			t.Errorf("before there were containers %v, now there are %v", before, after)
		}
	}()
	conn, err := pgx.Connect(t.Context(), s.DSN)
	check(t, err)
	var fsync string
	err = conn.QueryRow(t.Context(), "SHOW fsync").Scan(&fsync)
	if err = errors.Join(err, conn.Close(t.Context())); err != nil || fsync != "off" {
		t.Errorf("fsync is %q: %v", fsync, err)
	}
}

// TestStoreInContainer: the store's own suite, where there is no other Postgres.
func TestStoreInContainer(t *testing.T) {
	t.Parallel()
	suite := exec.CommandContext(t.Context(), "go", "test", "-count=1", "-v", "-run", "^TestConformance$", "../../hub/internal/store/postgres")
	suite.Env = append(os.Environ(), pgtest.Env+"=container")
	out, err := suite.CombinedOutput()
	if err != nil || !strings.Contains(string(out), "--- PASS: TestConformance") {
		t.Errorf("%v\n%s", err, out)
	}
}

func running(t *testing.T) (ids []string) {
	t.Helper()
	list, err := world.engine.client.ContainerList(t.Context(), client.ContainerListOptions{})
	check(t, err)
	for _, c := range list.Items {
		ids = append(ids, c.ID)
	}
	slices.Sort(ids)
	return ids
}
