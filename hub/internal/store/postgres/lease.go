package postgres

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/kubilitics/kubilitics/hub/internal/store/relational"
	"github.com/kubilitics/kubilitics/shared/fault"
)

// Programs of different versions must not write to one database. So whoever uses the schema shares a lock, and whoever migrates it asks the others to let
// go, by a notification, and waits until it has the lock for itself alone.
const (
	schemaLock    = 7310872642
	schemaChannel = "kubilitics_schema"
)

// lease holds the shared lock until close. A connection that breaks is replaced; the schema is looked at anew then, since nobody was kept off meanwhile.
type lease struct {
	conf   *pgx.ConnConfig
	newest uint
	over   chan struct{} // closed when somebody migrates, or has migrated
	stop   context.CancelFunc
	done   chan struct{}
}

// newLease returns with the lock held and the schema of this program's version.
func newLease(ctx context.Context, conf *pgx.ConnConfig) (*lease, error) {
	newest, err := relational.Newest("postgres")
	if err != nil {
		return nil, fault.Wrap(err, fault.Internal, "the migrations can't be listed")
	}
	l := &lease{conf: conf, newest: newest, over: make(chan struct{}), done: make(chan struct{})}
	conn, err := l.take(ctx)
	if err != nil {
		return nil, err
	}
	ctx, l.stop = context.WithCancel(context.WithoutCancel(ctx)) // it ends with close, not with the caller's context
	go func() {
		defer close(l.done)
		l.run(ctx, conn)
	}()
	return l, nil
}

func (l *lease) close() {
	l.stop()
	<-l.done
}

// take waits for whoever migrates just now.
func (l *lease) take(ctx context.Context) (*pgx.Conn, error) {
	conn, err := pgx.ConnectConfig(ctx, l.conf.Copy())
	if err != nil {
		return nil, translate(err)
	}
	if err := l.hold(ctx, conn); err != nil {
		return nil, errors.Join(err, conn.Close(context.WithoutCancel(ctx)))
	}
	return conn, nil
}

func (l *lease) hold(ctx context.Context, conn *pgx.Conn) error {
	if _, err := conn.Exec(ctx, `LISTEN `+schemaChannel); err != nil {
		return translate(err)
	}
	if _, err := conn.Exec(ctx, `SELECT pg_advisory_lock_shared($1)`, int64(schemaLock)); err != nil {
		return translate(err)
	}
	var version int64
	if err := conn.QueryRow(ctx, `SELECT version FROM schema_migrations`).Scan(&version); err != nil {
		return translate(err)
	}
	if version != int64(l.newest) {
		return fault.New(fault.Conflict, "the database's schema has become version %d, and this hub needs version %d", version, l.newest)
	}
	return nil
}

// run ends with its context, or when the schema has become another version's.
func (l *lease) run(ctx context.Context, conn *pgx.Conn) {
	for conn != nil {
		if _, err := conn.WaitForNotification(ctx); err == nil {
			close(l.over)
			<-ctx.Done() // what this program has begun may still end: the lock is let go after it
		}
		_ = conn.Close(context.WithoutCancel(ctx))
		conn = l.again(ctx)
	}
}

// again replaces a connection; nil when there is nothing to hold any more.
func (l *lease) again(ctx context.Context) *pgx.Conn {
	for ctx.Err() == nil {
		conn, err := l.take(ctx)
		switch {
		case err == nil:
			return conn
		case fault.Is(err, fault.Conflict):
			close(l.over)
			return nil
		}
		select {
		case <-ctx.Done():
		case <-time.After(time.Second):
		}
	}
	return nil
}

// askAgain is how often who still holds the lock is asked: a program may have come to it just after it was asked for.
const askAgain = "1s"

// alone asks all who use the schema to let go, and waits until they have. What it gives lets others in again.
func alone(ctx context.Context, conf *pgx.ConnConfig, patience time.Duration) (release func(), err error) {
	conn, err := pgx.ConnectConfig(ctx, conf.Copy())
	if err != nil {
		return nil, translate(err)
	}
	release = func() { _ = conn.Close(context.WithoutCancel(ctx)) }
	_, err = conn.Exec(ctx, `SELECT set_config('lock_timeout', $1, false)`, askAgain)
	for begun := time.Now(); err == nil; {
		if _, err = conn.Exec(ctx, `SELECT pg_notify($1, '')`, schemaChannel); err != nil {
			break
		}
		_, err = conn.Exec(ctx, `SELECT pg_advisory_lock($1)`, int64(schemaLock))
		if err == nil {
			return release, nil
		}
		if !isHeld(err) {
			break
		}
		if err = nil; time.Since(begun) > patience {
			err = fault.New(fault.Unavailable, "the database is still used by %s, which was asked to let go: stop that, then migrate again", holders(ctx, conn))
		}
	}
	release()
	return nil, translate(err)
}

// holders tells who holds the lock, for people.
func holders(ctx context.Context, conn *pgx.Conn) string {
	const unknown = "another program"
	rows, err := conn.Query(ctx, `SELECT a.application_name, coalesce(host(a.client_addr), 'this machine'), a.pid FROM pg_locks l JOIN pg_stat_activity a USING (pid)
		WHERE l.locktype = 'advisory' AND l.granted AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database())
			AND (l.classid::bigint << 32) + l.objid::bigint = $1 ORDER BY a.pid`, int64(schemaLock))
	if err != nil {
		return unknown
	}
	all, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (string, error) {
		var name, from string
		var pid int32
		err := row.Scan(&name, &from, &pid)
		return fmt.Sprintf("%s from %s (its server process is %d)", name, from, pid), err
	})
	if err != nil || len(all) == 0 {
		return unknown
	}
	return strings.Join(all, ", ")
}
