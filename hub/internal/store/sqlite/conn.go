package sqlite

import (
	"context"
	"database/sql"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	driver "modernc.org/sqlite"
	lib "modernc.org/sqlite/lib"

	"github.com/kubilitics/kubilitics/hub/internal/store/relational"
	"github.com/kubilitics/kubilitics/shared/fault"
	"github.com/kubilitics/kubilitics/shared/obs"
	"github.com/kubilitics/kubilitics/shared/topo"
)

// Statements are kept prepared up to this number; then the cache starts anew, since filters make texts without end.
const maxStatements = 300

func nowMicro() int64 { return time.Now().UnixMicro() }

// encode gives an argument the form SQLite takes it in.
func encode(arg any) any {
	switch v := arg.(type) {
	case topo.ID:
		return v[:]
	case time.Time:
		if v.IsZero() {
			return nil
		}
		return v.UnixMicro()
	case []topo.ID:
		return hexList(v)
	case []int64, []string:
		text, _ := json.Marshal(v) // lists of plain values always have a JSON form
		return string(text)
	}
	return arg
}

// hexList is a JSON list of keys, which SQLite turns back with unhex.
func hexList(ids []topo.ID) string {
	buf := make([]byte, 0, len(ids)*35+2)
	buf = append(buf, '[')
	for i := range ids {
		if i > 0 {
			buf = append(buf, ',')
		}
		buf = append(buf, '"')
		buf = hex.AppendEncode(buf, ids[i][:])
		buf = append(buf, '"')
	}
	return string(append(buf, ']'))
}

func encodeAll(args []any) []any {
	for i := range args {
		args[i] = encode(args[i])
	}
	return args
}

// cell scans what isn't a plain value.
type cell struct{ dest any }

// Scan implements sql.Scanner.
func (c cell) Scan(v any) error {
	switch dest := c.dest.(type) {
	case *time.Time:
		if v == nil {
			*dest = time.Time{}
			return nil
		}
		if micro, ok := v.(int64); ok {
			*dest = time.UnixMicro(micro).UTC()
			return nil
		}
	case *topo.ID:
		if raw, ok := v.([]byte); ok {
			id, err := topo.IDFromBytes(raw)
			*dest = id
			return err
		}
	}
	return fmt.Errorf("the column holds %T, not what was expected of it", v)
}

type answer struct{ *sql.Rows }

// Scan implements relational.Rows.
func (a answer) Scan(dest ...any) error {
	for i, d := range dest {
		switch d.(type) {
		case *time.Time, *topo.ID:
			dest[i] = cell{d}
		}
	}
	return a.Rows.Scan(dest...)
}

// Close implements relational.Rows; what went wrong is told by Err.
func (a answer) Close() { _ = a.Rows.Close() }

// writer is the one connection that writes. Its statements aren't cut off by a context that ends: each is short, and a transaction is checked
// before it begins and before it commits. Watching a context would cost a goroutine a statement.
type writer struct {
	slot   chan struct{} // holds one token while the connection is free
	waited atomic.Int64  // nanoseconds in all, for the slot
	db     *sql.DB
	conn   *sql.Conn
	stmts  map[string]*sql.Stmt
}

func openWriter(ctx context.Context, source string) (*writer, error) {
	db, err := sql.Open("sqlite", source)
	if err != nil {
		return nil, translate(err)
	}
	conn, err := db.Conn(ctx)
	if err != nil {
		return nil, errors.Join(translate(err), db.Close())
	}
	w := &writer{slot: make(chan struct{}, 1), db: db, conn: conn, stmts: map[string]*sql.Stmt{}}
	w.slot <- struct{}{}
	return w, nil
}

// close waits for the transaction under way.
func (w *writer) close() error {
	<-w.slot
	w.forget()
	return errors.Join(w.conn.Close(), w.db.Close())
}

func (w *writer) forget() {
	for _, s := range w.stmts {
		_ = s.Close() // the connection goes, or the next statement will tell
	}
	clear(w.stmts)
}

func (w *writer) prepare(ctx context.Context, text string) (*sql.Stmt, error) {
	if s, ok := w.stmts[text]; ok {
		return s, nil
	}
	if len(w.stmts) >= maxStatements {
		w.forget()
	}
	s, err := w.conn.PrepareContext(ctx, text)
	if err == nil {
		w.stmts[text] = s
	}
	return s, err
}

// Exec implements relational.Conn.
func (w *writer) Exec(ctx context.Context, text string, args ...any) (int64, error) {
	s, err := w.prepare(ctx, text)
	if err != nil {
		return 0, err
	}
	r, err := s.ExecContext(ctx, encodeAll(args)...)
	if err != nil {
		return 0, err
	}
	return r.RowsAffected()
}

// Query implements relational.Conn.
func (w *writer) Query(ctx context.Context, text string, args ...any) (relational.Rows, error) {
	s, err := w.prepare(ctx, text)
	if err != nil {
		return nil, err
	}
	rows, err := s.QueryContext(ctx, encodeAll(args)...)
	if err != nil {
		return nil, err
	}
	return answer{rows}, nil
}

// errUndo has a transaction undone that did what it was to.
var errUndo = errors.New("undone on purpose")

// acquire takes the connection; it is given back by release.
func (w *writer) acquire(ctx context.Context) error {
	select {
	case <-w.slot:
		return nil
	default:
	}
	began := time.Now()
	defer func() { w.waited.Add(int64(time.Since(began))) }()
	select {
	case <-w.slot:
		return nil
	case <-ctx.Done():
		return translate(ctx.Err())
	}
}

func (w *writer) release() { w.slot <- struct{}{} }

// transact runs fn in a transaction.
func (w *writer) transact(ctx context.Context, fn func(context.Context, *writer) error) (err error) {
	ctx, span := obs.Call(ctx, "store.write")
	defer func() { span.End(err) }()
	if err := w.acquire(ctx); err != nil {
		return err
	}
	defer w.release()
	return w.within(ctx, fn)
}

// transactFlushed is transact, and has the log flushed to the disk with the commit: together with everything that was committed before.
func (w *writer) transactFlushed(ctx context.Context, fn func(context.Context, *writer) error) error {
	if err := w.acquire(ctx); err != nil {
		return err
	}
	defer w.release()
	// Not as a statement that is kept: it has its effect when it is prepared.
	whole := context.WithoutCancel(ctx)
	if _, err := w.conn.ExecContext(whole, `PRAGMA synchronous = FULL`); err != nil {
		return translate(err)
	}
	err := w.within(ctx, fn)
	_, usual := w.conn.ExecContext(whole, `PRAGMA synchronous = NORMAL`)
	if err == nil && usual != nil {
		err = translate(usual)
	}
	return err
}

// within runs fn in a transaction on the connection that was taken.
func (w *writer) within(ctx context.Context, fn func(context.Context, *writer) error) error {
	if err := ctx.Err(); err != nil {
		return translate(err)
	}
	whole := context.WithoutCancel(ctx)
	if _, err := w.Exec(whole, `BEGIN IMMEDIATE`); err != nil {
		return translate(err)
	}
	end := `ROLLBACK`
	// A panic of fn must not leave the transaction open.
	defer func() {
		if end != "" {
			_, _ = w.Exec(whole, end) // the failure that led here is what is told
		}
	}()
	if err := fn(whole, w); err != nil {
		if errors.Is(err, errUndo) {
			return nil
		}
		return translate(err)
	}
	if err := ctx.Err(); err != nil {
		return translate(err)
	}
	if _, err := w.Exec(whole, `COMMIT`); err != nil {
		return translate(err)
	}
	end = ""
	return nil
}

// Write implements relational.Backend.
func (s *Store) Write(ctx context.Context, fn func(context.Context, relational.Conn) error) error {
	return relational.Blame(s.writer.transact(ctx, func(ctx context.Context, w *writer) error { return fn(ctx, relational.Traced(ctx, w)) }))
}

// readers are the connections that read.
type readers struct{ db *sql.DB }

func openReaders(source string, count int) (*readers, error) {
	db, err := sql.Open("sqlite", source)
	if err != nil {
		return nil, translate(err)
	}
	db.SetMaxOpenConns(count)
	db.SetMaxIdleConns(count)
	return &readers{db}, nil
}

func (r *readers) close() error { return r.db.Close() }

type readConn struct{ tx *sql.Tx }

// Exec implements relational.Conn.
func (c readConn) Exec(ctx context.Context, text string, args ...any) (int64, error) {
	r, err := c.tx.ExecContext(ctx, text, encodeAll(args)...)
	if err != nil {
		return 0, err
	}
	return r.RowsAffected()
}

// Query implements relational.Conn.
func (c readConn) Query(ctx context.Context, text string, args ...any) (relational.Rows, error) {
	rows, err := c.tx.QueryContext(ctx, text, encodeAll(args)...)
	if err != nil {
		return nil, err
	}
	return answer{rows}, nil
}

// Snapshot implements relational.Backend: the first read fixes what a deferred transaction sees.
func (s *Store) Snapshot(ctx context.Context, fn func(context.Context, relational.Conn) error) (err error) {
	ctx, span := obs.Call(ctx, "store.read")
	defer func() { span.End(err) }()
	tx, err := s.readers.db.BeginTx(ctx, nil)
	if err != nil {
		return translate(err)
	}
	defer func() { _ = tx.Rollback() }() // it has read only; there is nothing to lose
	return relational.Blame(translate(fn(ctx, relational.Traced(ctx, readConn{tx}))))
}

// translate makes a fault of an error.
func translate(err error) error {
	var f *fault.Error
	var row *relational.RowError
	if err == nil || errors.As(err, &f) || errors.As(err, &row) {
		return err
	}
	var e *driver.Error
	switch {
	case errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded):
		return fault.Wrap(err, fault.Unavailable, "the database was not waited for")
	case errors.Is(err, sql.ErrConnDone), err.Error() == "sql: database is closed":
		return fault.Wrap(err, fault.Unavailable, "the database is closed")
	case !errors.As(err, &e):
		return fault.Wrap(err, fault.Internal, "the database could not do it")
	}
	switch e.Code() & 0xff {
	case lib.SQLITE_CONSTRAINT, lib.SQLITE_TOOBIG, lib.SQLITE_MISMATCH:
		return &relational.RowError{Cause: err}
	case lib.SQLITE_BUSY, lib.SQLITE_LOCKED, lib.SQLITE_FULL, lib.SQLITE_IOERR, lib.SQLITE_CANTOPEN, lib.SQLITE_READONLY, lib.SQLITE_INTERRUPT:
		return fault.Wrap(err, fault.Unavailable, "the database file can't be used now")
	}
	return fault.Wrap(err, fault.Internal, "the database could not do it")
}
