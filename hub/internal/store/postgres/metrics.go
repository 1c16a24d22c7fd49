package postgres

import (
	"context"

	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/kubilitics/kubilitics/hub/internal/store/relational"
)

// pools tells how connections are used.
func (s *Store) pools() []relational.Pool {
	return []relational.Pool{poolOf("read", s.pool), poolOf("write", s.writers), poolOf("record", s.recorders)}
}

func poolOf(name string, p *pgxpool.Pool) relational.Pool {
	st := p.Stat()
	return relational.Pool{Name: name, Used: int(st.AcquiredConns()), Idle: int(st.IdleConns()), Max: int(st.MaxConns()), Waited: st.EmptyAcquireWaitTime()}
}

// Size is how many bytes the database takes on the server's disk.
func (s *Store) Size(ctx context.Context) (bytes int64, err error) {
	err = s.pool.QueryRow(ctx, `SELECT pg_database_size(current_database())`).Scan(&bytes)
	return bytes, translate(err)
}
