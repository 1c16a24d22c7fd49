package relational

import (
	"context"
	"time"

	"github.com/kubilitics/kubilitics/hub/internal/fleet"
)

// Conn runs statements within one transaction. Parameters are written $1, $2, …; arguments may be time.Time (zero: NULL), topo.ID, and
// lists as Dialect.In takes them, besides plain values.
type Conn interface {
	// Exec gives the number of rows touched.
	Exec(ctx context.Context, sql string, args ...any) (int64, error)
	Query(ctx context.Context, sql string, args ...any) (Rows, error)
}

// Rows is an answer. Scan takes *time.Time (NULL: zero) and *topo.ID besides pointers to plain values.
type Rows interface {
	Next() bool
	Scan(dest ...any) error
	Err() error
	Close()
}

// Dialect is where the two databases differ within shared statements.
type Dialect struct {
	// Lock ends a SELECT that keeps the rows for this transaction.
	Lock string
	// Clock is the expression of the database's time.
	Clock string
	// Tick gives the statement that allocates the tenant's next position and answers it with its instant.
	Tick func(tenant int64) (sql string, args []any)
	// InInts, InStrings and InIDs give the condition that the column is in the list passed as parameter n ([]int64, []string, []topo.ID).
	InInts, InStrings, InIDs func(column string, n int) string
	// EachID gives the ids passed as parameter n as rows u (id), to be joined sideways; nil where joins can't look sideways.
	EachID func(n int) string
	// EachLabel joins to a row r of resources its labels as kv (key, value); the column must hold what EncodePairs wrote.
	EachLabel string
	// PastUID, PastPresence, PastHealth and PastAttrs are what a closed version h of a resource has for the columns of resources. Of attributes, later
	// ones of the same key count.
	PastUID, PastPresence, PastHealth string
	PastAttrs                         func(inherited func(column string) string) string
	// Once gives the connection for statements whose text won't come again.
	Once func(Conn) Conn
	// Pin gives the expression by which statements of this transaction name a position, under a name of its own.
	Pin func(ctx context.Context, c Conn, name string, pos int64) (expression string, err error)
	// FirstVersion is the condition that a version x began with its resource.
	FirstVersion string
	// Closed gives " AND " and what is known of the versions, by that alias, that were closed not before one instant nor after another (zero: any); it may be nothing.
	Closed func(alias string, first, last time.Time) string
	// Like gives the condition that an expression fits the LIKE pattern passed as parameter n, whose escape is a backslash; letter case doesn't count.
	Like func(expression string, n int) string
	// Pairs gives what to select from to get the pairs of a column, as kv (key, value); Pair gives the value of one key, NULL where there is none. A
	// damaged column has none. Words gives what to select from to get the words of a text, as x (value).
	Pairs func(column string) string
	Pair  func(column, key string) string
	Words func(text string) string
	// Lateral stands before what is selected from when it looks at the row before it.
	Lateral string
	// Texts tells whether there is an index of texts (see TextsOf) by any three letters in a row.
	Texts bool
	// FewRows is how many rows a search looks at one by one rather than by an index.
	FewRows int
	// Number gives the number that a text is, NULL where it is none.
	Number func(text string) string
}

// Backend is a database that runs transactions.
type Backend interface {
	// Write runs fn in one transaction that writes, and commits unless fn fails. Errors come back as faults.
	Write(ctx context.Context, fn func(context.Context, Conn) error) error
	// Snapshot runs fn in one transaction that sees one state and writes nothing.
	Snapshot(ctx context.Context, fn func(context.Context, Conn) error) error
	// TrimHistory deletes versions closed before an instant, at most about limit; more tells that some are left.
	TrimHistory(ctx context.Context, before time.Time, limit int) (more bool, err error)
	// Ring tells those who listen that the tenant's feed has grown.
	Ring(tenant fleet.TenantID)
}

// Base holds the methods of the store that need no more than shared statements; a body embeds it.
type Base struct {
	db    Backend
	sql   Dialect
	sweep sweep
}

// NewBase makes the shared part of a body.
func NewBase(db Backend, dialect Dialect) *Base { return &Base{db: db, sql: dialect} }

// writeFeed runs a transaction that may put entries in the tenant's feed.
func (b *Base) writeFeed(ctx context.Context, tenant fleet.TenantID, fn func(context.Context, Conn) error) error {
	err := b.db.Write(ctx, fn)
	if err == nil {
		b.db.Ring(tenant)
	}
	return err
}

// queryOne scans the first row of the answer and tells whether there was one.
func queryOne(ctx context.Context, c Conn, sql string, args []any, dest ...any) (bool, error) {
	rows, err := c.Query(ctx, sql, args...)
	if err != nil {
		return false, err
	}
	defer rows.Close()
	if !rows.Next() {
		return false, rows.Err()
	}
	if err := rows.Scan(dest...); err != nil {
		return false, err
	}
	rows.Close() // now, since a connection serves one answer at a time
	return true, rows.Err()
}

// queryAll scans every row of the answer.
func queryAll[T any](ctx context.Context, c Conn, scan func(Rows, *T) error, sql string, args ...any) ([]T, error) {
	rows, err := c.Query(ctx, sql, args...)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var all []T
	for rows.Next() {
		var one T
		if err := scan(rows, &one); err != nil {
			return nil, err
		}
		all = append(all, one)
	}
	return all, rows.Err()
}
