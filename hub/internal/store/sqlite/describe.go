package sqlite

import (
	"context"
	"strings"

	"github.com/kubilitics/kubilitics/hub/internal/store"
	"github.com/kubilitics/kubilitics/hub/internal/store/relational"
)

// Describe implements store.Describer. Rows are counted; a table whose count takes too long for ctx fails it.
func (s *Store) Describe(ctx context.Context) (store.Description, error) {
	out := store.Description{Body: "sqlite"}
	err := s.Snapshot(ctx, func(ctx context.Context, c relational.Conn) error {
		about := `SELECT sqlite_version(), (SELECT page_count FROM pragma_page_count()) * (SELECT page_size FROM pragma_page_size()), (SELECT max(version) FROM schema_migrations)`
		if err := each(ctx, c, about, &out.Version, &out.Bytes, &out.Schema)(nil); err != nil {
			return err
		}
		var t store.Table
		names := `SELECT name FROM sqlite_schema WHERE type = 'table' AND name NOT LIKE 'sqlite\_%' ESCAPE '\' ORDER BY name`
		if err := each(ctx, c, names, &t.Name)(func() { out.Tables = append(out.Tables, t) }); err != nil {
			return err
		}
		for i := range out.Tables {
			quoted := `"` + strings.ReplaceAll(out.Tables[i].Name, `"`, `""`) + `"`
			if err := each(ctx, c, `SELECT count(*) FROM `+quoted, &out.Tables[i].Rows)(nil); err != nil {
				return err
			}
		}
		return nil
	})
	return out, err
}

// each scans the rows of an answer, one after the other, into the same places.
func each(ctx context.Context, c relational.Conn, text string, dest ...any) func(then func()) error {
	return func(then func()) error {
		rows, err := c.Query(ctx, text)
		if err != nil {
			return err
		}
		defer rows.Close()
		for rows.Next() {
			if err := rows.Scan(dest...); err != nil {
				return err
			}
			if then != nil {
				then()
			}
		}
		return rows.Err()
	}
}
