package e2e

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/kubilitics/kubilitics/e2e/stack"
)

// Any one stored column that no longer says what the agent said is found, and comes right again.
func TestDamagedColumnsAreRepaired(t *testing.T) {
	eachStore(t, func(t *testing.T, db *database) {
		r := start(t, db)
		m := r.join(t, world.eu, world.eu.agent)
		r.live(t, m)
		r.agrees(t, m, world.eu)
		checkout := "(SELECT id FROM refs WHERE kind = 'Deployment' AND namespace = 'payments' AND name = 'checkout')"
		for _, damage := range []string{
			"UPDATE resources SET status = 'made up' WHERE id = " + checkout,
			"UPDATE resources SET health = 4 WHERE id = " + checkout,
			"UPDATE resources SET uid = 'made-up' WHERE id = " + checkout,
			"UPDATE resources SET name = 'impostor' WHERE id = " + checkout,
			"UPDATE resources SET attrs = '' WHERE id = " + checkout,
			"UPDATE resources SET labels = '{\"made\": \"up\"}' WHERE id = " + checkout,
			"UPDATE resources SET hash = ZERO WHERE id = " + checkout,
			"DELETE FROM resources WHERE id = " + checkout,
			"UPDATE labels SET value = 'made up' WHERE key = 'app.kubernetes.io/name' AND id = " + checkout,
			"DELETE FROM labels WHERE key = 'app.kubernetes.io/name' AND id = " + checkout,
			"UPDATE refs SET name = 'made-up' WHERE id = " + checkout,
			"UPDATE edges SET path = 'made.up' WHERE source = " + checkout,
			"UPDATE edges SET target = " + checkout + " WHERE source = " + checkout,
			"DELETE FROM edges WHERE source = " + checkout,
			"UPDATE manifests SET body = BYTES WHERE id = " + checkout,
			"UPDATE manifests SET hash = ZERO WHERE id = " + checkout,
			"DELETE FROM manifests WHERE id = " + checkout,
			"UPDATE digests SET s3 = s3 + 1 WHERE bucket < 2000",
		} {
			db.exec(t, db.dialect(damage))
			if r.verify(t, m) == 0 {
				t.Errorf("not found: %s", damage)
			}
			r.agrees(t, m, world.eu)
			eventually(t, "labels and manifests are right", 10*time.Second, func() error {
				list := get[page[struct{ Name string }]](t, &r.hub.Client, "/api/v1/resources?kind=Deployment&labelSelector=app.kubernetes.io/name%3Dcheckout")
				if len(list.Items) != 1 || list.Items[0].Name != "checkout" {
					return fmt.Errorf("found by its label: %v", list.Items)
				}
				return differences(world.reference.db.manifests(t, "eu"), db.manifests(t, m.name))
			})
			if t.Failed() {
				return
			}
		}
		if n := r.verify(t, m); n != 0 {
			t.Errorf("after all repairs %d rows are wrong", n)
		}
	})
}

// dialect writes literals as the database wants them.
func (d *database) dialect(text string) string {
	if d.name == "postgres" {
		return strings.NewReplacer("ZERO", "'00000000-0000-0000-0000-000000000000'::uuid", "BYTES", `'\x00010203'::bytea`).Replace(text)
	}
	return strings.NewReplacer("ZERO", "zeroblob(16)", "BYTES", "x'00010203'").Replace(text)
}

// A hub doesn't touch the database of a newer one.
func TestNewerSchemaIsRefused(t *testing.T) {
	eachStore(t, func(t *testing.T, db *database) {
		r := start(t, db)
		if err := r.hub.Stop(); err != nil {
			t.Fatal(err)
		}
		version := db.number(t, "SELECT version FROM schema_migrations")
		db.exec(t, "UPDATE schema_migrations SET version = 4711")
		again, err := r.hub.Restart(t.Context())
		if err == nil {
			t.Error("it started")
			r.hub = again
			return
		}
		for _, want := range []string{"exit status 1", "version 4711", fmt.Sprintf("versions up to %d", version), "newer"} {
			if !strings.Contains(err.Error(), want) {
				t.Errorf("the error doesn't say %q: %v", want, err)
			}
		}
		db.exec(t, fmt.Sprintf("UPDATE schema_migrations SET version = %d", version))
		r.restartHub(t)
	})
}

// A hub that serves lets go of its database when another program migrates it, tells why it ends, and serves again if the schema is still its own.
func TestAMigrationEndsTheHubThatServes(t *testing.T) {
	t.Parallel()
	db := newPostgres(t)
	r := start(t, db)
	conn, err := db.open(t).Conn(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := stack.Within(t.Context(), 20*time.Second)
	defer cancel()
	for _, text := range []string{"SELECT pg_notify('kubilitics_schema', '')", "SELECT pg_advisory_lock(7310872642)"} { // as a program does that migrates
		if _, err := conn.ExecContext(ctx, text); err != nil {
			t.Fatal(err)
		}
	}
	select {
	case <-r.hub.Done():
	case <-ctx.Done():
		t.Fatal("the hub has let go and goes on")
	}
	if err := r.hub.Stop(); err == nil || !strings.Contains(err.Error(), "exit status 1") || !strings.Contains(err.Error(), "another program migrates the database's schema") {
		t.Errorf("its end: %v", err)
	}
	if _, err := conn.ExecContext(ctx, "SELECT pg_advisory_unlock(7310872642)"); err != nil {
		t.Error(err)
	}
	r.restartHub(t)
}
