package postgres

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgtype"
	"github.com/jackc/puddle/v2"

	"github.com/kubilitics/kubilitics/hub/internal/store/relational"
	"github.com/kubilitics/kubilitics/shared/fault"
	"github.com/kubilitics/kubilitics/shared/obs"
	"github.com/kubilitics/kubilitics/shared/topo"
)

// keys are sent as one array of uuid.
type keys []topo.ID

// Dimensions implements pgtype.ArrayGetter.
func (k keys) Dimensions() []pgtype.ArrayDimension {
	return []pgtype.ArrayDimension{{Length: int32(len(k)), LowerBound: 1}}
}

// Index implements pgtype.ArrayGetter.
func (k keys) Index(i int) any { return pgtype.UUID{Bytes: k[i], Valid: true} }

// IndexType implements pgtype.ArrayGetter.
func (k keys) IndexType() any { return pgtype.UUID{} }

// encode gives an argument the form pgx takes it in.
func encode(arg any) any {
	switch v := arg.(type) {
	case topo.ID:
		return [16]byte(v)
	case time.Time:
		if v.IsZero() {
			return nil
		}
	case []topo.ID:
		return keys(v)
	}
	return arg
}

func encodeAll(args []any) []any {
	for i := range args {
		args[i] = encode(args[i])
	}
	return args
}

// instant scans a timestamptz that may be NULL.
type instant struct{ dest *time.Time }

// ScanTimestamptz implements pgtype.TimestamptzScanner.
func (i instant) ScanTimestamptz(v pgtype.Timestamptz) error {
	if v.InfinityModifier != pgtype.Finite {
		return fmt.Errorf("an instant can't be infinite")
	}
	*i.dest = time.Time{}
	if v.Valid {
		*i.dest = v.Time.UTC()
	}
	return nil
}

type answer struct{ pgx.Rows }

// Scan implements relational.Rows.
func (a answer) Scan(dest ...any) error {
	for i, d := range dest {
		switch v := d.(type) {
		case *time.Time:
			dest[i] = instant{v}
		case *topo.ID:
			dest[i] = (*[16]byte)(v)
		}
	}
	return a.Rows.Scan(dest...)
}

type txConn struct{ tx pgx.Tx }

// Exec implements relational.Conn.
func (c txConn) Exec(ctx context.Context, text string, args ...any) (int64, error) {
	tag, err := c.tx.Exec(ctx, text, encodeAll(args)...)
	return tag.RowsAffected(), err
}

// Query implements relational.Conn.
func (c txConn) Query(ctx context.Context, text string, args ...any) (relational.Rows, error) {
	rows, err := c.tx.Query(ctx, text, encodeAll(args)...)
	if err != nil {
		return nil, err
	}
	return answer{rows}, nil
}

// errUndo has a transaction undone that did what it was to.
var errUndo = errors.New("undone on purpose")

// transact runs fn in a transaction.
func (s *Store) transact(ctx context.Context, how pgx.TxOptions, fn func(context.Context, pgx.Tx) error) error {
	ctx, span := obs.Call(ctx, "store.transaction")
	err := pgx.BeginTxFunc(ctx, s.pool, how, func(tx pgx.Tx) error {
		err := fn(ctx, tx)
		if err != nil && tx.Conn().IsClosed() {
			return fault.Wrap(err, fault.Unavailable, "the connection to the database broke")
		}
		return err
	})
	if errors.Is(err, errUndo) {
		err = nil
	}
	err = translate(err)
	span.End(err)
	return err
}

// Write implements relational.Backend.
func (s *Store) Write(ctx context.Context, fn func(context.Context, relational.Conn) error) error {
	return relational.Blame(s.transact(ctx, pgx.TxOptions{}, func(ctx context.Context, tx pgx.Tx) error { return fn(ctx, txConn{tx}) }))
}

// once runs statements whose text won't come again, so that the server doesn't keep them.
type once struct{ relational.Conn }

// Query implements relational.Conn.
func (c once) Query(ctx context.Context, text string, args ...any) (relational.Rows, error) {
	return c.Conn.Query(ctx, text, append([]any{pgx.QueryExecModeCacheDescribe}, args...)...)
}

// reading begins a transaction that sees one state. Before it sees anything it keeps the days of history from being dropped, which no snapshot outlives:
// what was dropped before, the floor that it reads tells.
var reading = pgx.TxOptions{BeginQuery: `BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY;
	LOCK TABLE ONLY resources_history, labels_history, edges_history, manifests_history IN ACCESS SHARE MODE`}

// Snapshot implements relational.Backend.
func (s *Store) Snapshot(ctx context.Context, fn func(context.Context, relational.Conn) error) error {
	return relational.Blame(s.transact(ctx, reading, func(ctx context.Context, tx pgx.Tx) error { return fn(ctx, txConn{tx}) }))
}

// translate makes a fault of an error.
func translate(err error) error {
	var f *fault.Error
	var row *relational.RowError
	if err == nil || errors.As(err, &f) || errors.As(err, &row) {
		return err
	}
	var refused *pgconn.PgError
	if errors.As(err, &refused) {
		return translateCode(refused.Code, err)
	}
	var network net.Error
	var connect *pgconn.ConnectError
	switch {
	case errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded):
		return fault.Wrap(err, fault.Unavailable, "the database was not waited for")
	case errors.As(err, &network), errors.As(err, &connect), errors.Is(err, io.ErrUnexpectedEOF), errors.Is(err, net.ErrClosed),
		errors.Is(err, puddle.ErrClosedPool), errors.Is(err, pgx.ErrTxClosed), pgconn.SafeToRetry(err):
		return fault.Wrap(err, fault.Unavailable, "the database can't be reached")
	}
	return fault.Wrap(err, fault.Internal, "the database could not do it")
}

// translateCode goes by the class, which is the first two characters.
func translateCode(code string, err error) error {
	switch code[:2] {
	case "22", "23", "54", "P0": // data, constraint, limit, raised by a trigger
		return &relational.RowError{Cause: err}
	case "08", "53", "57", "58": // connection, resources, operator, system
		return fault.Wrap(err, fault.Unavailable, "the database can't do it now")
	case "40": // deadlock, serialization
		return fault.Wrap(err, fault.Unavailable, "the database had to break the transaction off")
	}
	return fault.Wrap(err, fault.Internal, "the database could not do it")
}
