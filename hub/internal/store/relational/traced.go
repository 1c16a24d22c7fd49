package relational

import (
	"context"
	"strings"

	"github.com/kubilitics/kubilitics/shared/obs"
)

// Traced is the connection with a span for each statement, where the context's trace is recorded; else it is the connection as it is.
func Traced(ctx context.Context, c Conn) Conn {
	if !obs.Current(ctx).On() {
		return c
	}
	return tracedConn{c}
}

type tracedConn struct{ Conn }

// Exec implements Conn.
func (c tracedConn) Exec(ctx context.Context, sql string, args ...any) (int64, error) {
	ctx, span := obs.Call(ctx, Statement(sql))
	n, err := c.Conn.Exec(ctx, sql, args...)
	span.Number("db.response.affected_rows", n)
	span.End(err)
	return n, err
}

// Query implements Conn. The span ends with the last row.
func (c tracedConn) Query(ctx context.Context, sql string, args ...any) (Rows, error) {
	ctx, span := obs.Call(ctx, Statement(sql))
	rows, err := c.Conn.Query(ctx, sql, args...)
	if err != nil {
		span.End(err)
		return nil, err
	}
	return &tracedRows{Rows: rows, span: span}, nil
}

type tracedRows struct {
	Rows
	span  obs.Span
	count int64
}

// Next implements Rows.
func (r *tracedRows) Next() bool {
	more := r.Rows.Next()
	if more {
		r.count++
	}
	return more
}

// Close implements Rows.
func (r *tracedRows) Close() {
	r.span.Number("db.response.returned_rows", r.count)
	r.span.End(r.Err())
	r.Rows.Close()
}

// Statement is what a statement does, and to which table first: "SELECT resources". Its text stays here, for conditions are made of what people look for.
func Statement(sql string) string {
	words := strings.Fields(sql[:min(len(sql), 4096)])
	if len(words) == 0 {
		return "statement"
	}
	verb := strings.ToUpper(strings.Trim(words[0], "(;"))
	switch verb {
	case "UPDATE":
		return verb + " " + table(words[1:])
	case "SELECT", "WITH", "DELETE", "INSERT":
		for i, w := range words {
			if up := strings.ToUpper(w); up == "FROM" || up == "INTO" {
				return verb + " " + table(words[i+1:])
			}
		}
		return verb
	case "BEGIN", "COMMIT", "ROLLBACK", "LOCK", "COPY", "SET", "PRAGMA", "NOTIFY", "LISTEN", "SAVEPOINT", "RELEASE":
		return verb
	default:
		return "statement"
	}
}

// table is a name that the statement's author wrote: letters and underscores.
func table(words []string) string {
	for _, w := range words {
		if w = strings.ToLower(w); w == "only" {
			continue
		}
		if end := strings.IndexFunc(w, func(c rune) bool { return c != '_' && (c < 'a' || c > 'z') }); end > 0 {
			return w[:end]
		} else if end < 0 {
			return w
		}
		break
	}
	return "…"
}
