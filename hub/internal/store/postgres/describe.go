package postgres

import (
	"context"

	"github.com/jackc/pgx/v5"

	"github.com/kubilitics/kubilitics/hub/internal/store"
	"github.com/kubilitics/kubilitics/hub/internal/store/relational"
)

// sizes are as the last ANALYZE counted: to count now would read everything.
const sizes = `SELECT coalesce(pg_partition_root(c.oid)::regclass::text, c.relname::text) AS name, sum(greatest(c.reltuples, 0))::bigint, sum(pg_total_relation_size(c.oid))::bigint
	FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace WHERE n.nspname = current_schema() AND c.relkind = 'r' GROUP BY 1 ORDER BY 1`

// Describe implements store.Describer.
func (s *Store) Describe(ctx context.Context) (store.Description, error) {
	out := store.Description{Body: "postgres"}
	err := s.transact(ctx, pgx.TxOptions{AccessMode: pgx.ReadOnly}, func(ctx context.Context, tx pgx.Tx) error {
		row := tx.QueryRow(ctx, `SELECT current_setting('server_version'), pg_database_size(current_database()), (SELECT max(version) FROM schema_migrations)`)
		if err := row.Scan(&out.Version, &out.Bytes, &out.Schema); err != nil {
			return err
		}
		rows, err := tx.Query(ctx, sizes)
		if err != nil {
			return err
		}
		out.Tables, err = pgx.CollectRows(rows, pgx.RowToStructByPos[store.Table])
		return err
	})
	return out, relational.Blame(err)
}
