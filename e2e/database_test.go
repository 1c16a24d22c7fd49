package e2e

import (
	"crypto/rand"
	"database/sql"
	"fmt"
	"net/url"
	"strings"
	"testing"

	_ "github.com/jackc/pgx/v5/stdlib"
	_ "modernc.org/sqlite"
)

// database is where a hub of the tests keeps its rows.
type database struct {
	name string // of the body: sqlite or postgres
	tag  string // of the test: what it makes in shared clusters is called by it
	url  string // of Postgres
	file string // of SQLite; known once its hub has started
}

// eachStore runs a test on both bodies of the store, side by side.
func eachStore(t *testing.T, test func(t *testing.T, db *database)) {
	t.Parallel()
	t.Run("sqlite", func(t *testing.T) {
		t.Parallel()
		test(t, &database{name: "sqlite", tag: tag("sqlite")})
	})
	t.Run("postgres", func(t *testing.T) {
		t.Parallel()
		test(t, newPostgres(t))
	})
}

func tag(name string) string { return name + "-" + strings.ToLower(rand.Text()[:6]) }

// newPostgres makes a database of the test's own on the shared server.
func newPostgres(t *testing.T) *database {
	t.Helper()
	if world.postgres == nil {
		t.Skip("SKIPPED LOUDLY: there is no Postgres on this machine, so this half of the tests did not run")
	}
	name := "e2e_" + strings.ToLower(rand.Text()[:12])
	admin, err := sql.Open("pgx", world.postgres.DSN)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = admin.Close() }()
	if _, err := admin.ExecContext(t.Context(), "CREATE DATABASE "+name); err != nil {
		t.Fatal(err)
	}
	u, err := url.Parse(world.postgres.DSN)
	if err != nil {
		t.Fatal(err)
	}
	u.Path = "/" + name
	return &database{name: "postgres", tag: tag("postgres"), url: u.String()}
}

// open gives the database as somebody who meddles with it sees it.
func (d *database) open(t *testing.T) *sql.DB {
	t.Helper()
	driver, source := "pgx", d.url
	if d.name == "sqlite" {
		driver, source = "sqlite", "file:"+d.file+"?_pragma=busy_timeout(10000)"
	}
	db, err := sql.Open(driver, source)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = db.Close() })
	return db
}

// exec runs a statement that must touch some rows.
func (d *database) exec(t *testing.T, text string) {
	t.Helper()
	db := d.open(t)
	defer func() { _ = db.Close() }()
	done, err := db.ExecContext(t.Context(), text)
	if err != nil {
		t.Fatalf("%s: %v", text, err)
	}
	if n, err := done.RowsAffected(); err != nil || n == 0 {
		t.Fatalf("%s: touched %d rows (%v)", text, n, err)
	}
}

// number answers a question with one.
func (d *database) number(t *testing.T, text string) (n int64) {
	t.Helper()
	db := d.open(t)
	defer func() { _ = db.Close() }()
	if err := db.QueryRowContext(t.Context(), text).Scan(&n); err != nil {
		t.Fatalf("%s: %v", text, err)
	}
	return n
}

// tables lists what the hub keeps.
func (d *database) tables(t *testing.T, db *sql.DB) (names []string) {
	t.Helper()
	text := "SELECT name FROM sqlite_master WHERE type = 'table'"
	if d.name == "postgres" {
		text = "SELECT format('%I.%I', schemaname, tablename) FROM pg_tables WHERE schemaname NOT IN ('pg_catalog', 'information_schema')"
	}
	rows, err := db.QueryContext(t.Context(), text)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = rows.Close() }()
	for rows.Next() {
		var name string
		if err := rows.Scan(&name); err != nil {
			t.Fatal(err)
		}
		names = append(names, name)
	}
	if err := rows.Err(); err != nil || len(names) < 10 {
		t.Fatalf("tables %q, %v", names, err)
	}
	return names
}

// cells gives every value of every row to visit, as text.
func (d *database) cells(t *testing.T, visit func(table, column string, value []byte)) {
	t.Helper()
	db := d.open(t)
	defer func() { _ = db.Close() }()
	for _, table := range d.tables(t, db) {
		if err := eachCell(t, db, table, visit); err != nil {
			t.Fatalf("%s: %v", table, err)
		}
	}
}

func eachCell(t *testing.T, db *sql.DB, table string, visit func(table, column string, value []byte)) error {
	rows, err := db.QueryContext(t.Context(), "SELECT * FROM "+table)
	if err != nil {
		return err
	}
	defer func() { _ = rows.Close() }()
	columns, err := rows.Columns()
	if err != nil {
		return err
	}
	values, at := make([]any, len(columns)), make([]any, len(columns))
	for i := range values {
		at[i] = &values[i]
	}
	for rows.Next() {
		if err := rows.Scan(at...); err != nil {
			return err
		}
		for i, v := range values {
			raw, isBytes := v.([]byte)
			if !isBytes {
				raw = fmt.Append(nil, v)
			}
			visit(table, columns[i], raw)
		}
	}
	return rows.Err()
}
