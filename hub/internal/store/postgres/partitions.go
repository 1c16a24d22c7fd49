package postgres

import (
	"context"
	"errors"
	"slices"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
)

var (
	historyTables = []string{"resources_history", "labels_history", "edges_history", "manifests_history"}
	auditTables   = []string{"audit"}
)

// Partitions are made this many days ahead, each time a hub starts or trims.
const daysAhead = 7

const dayForm = "20060102"

// One number for all hubs, so that only one makes or drops partitions at a time.
const partitionLock = `SELECT pg_advisory_xact_lock(7310872641)`

// brief begins a transaction that makes or drops partitions, for which a table must be nobody else's for a moment. While it waits for that moment, nobody
// else gets the table: so it waits for long readers no more than this, and tries again with the next trimming.
var brief = pgx.TxOptions{BeginQuery: `BEGIN; SET LOCAL lock_timeout = '500ms'`}

// alter runs a transaction that makes or drops partitions; done is false when the tables weren't to be had.
func (s *Store) alter(ctx context.Context, fn func(context.Context, pgx.Tx) error) (done bool, err error) {
	err = s.transact(ctx, brief, func(ctx context.Context, tx pgx.Tx) error {
		if _, err := tx.Exec(ctx, partitionLock); err != nil {
			return err
		}
		return fn(ctx, tx)
	})
	if isHeld(err) {
		return false, nil
	}
	return err == nil, err
}

// isHeld tells of a lock that somebody else held for longer than lock_timeout.
func isHeld(err error) bool {
	var refused *pgconn.PgError
	return errors.As(err, &refused) && refused.Code == "55P03" // lock_not_available
}

// makeDays makes the partitions of history and of the record for today and the days to come. A day that has rows in the rest already stays there.
func (s *Store) makeDays(ctx context.Context) error {
	_, err := s.alter(ctx, func(ctx context.Context, tx pgx.Tx) error {
		have, err := partitions(ctx, tx, slices.Concat(auditTables, historyTables))
		if err != nil {
			return err
		}
		today := time.Now().UTC().Truncate(24 * time.Hour)
		for d := range daysAhead {
			for _, table := range historyTables {
				if err := makeDay(ctx, tx, have, table, today.AddDate(0, 0, d)); err != nil {
					return err
				}
			}
			if err := makeAuditDay(ctx, tx, have, today.AddDate(0, 0, d)); err != nil {
				return err
			}
		}
		return nil
	})
	return err // days that weren't made are made the next time: there are some ahead
}

func makeDay(ctx context.Context, tx pgx.Tx, have map[string]bool, table string, day time.Time) error {
	name := table + "_" + day.Format(dayForm)
	if have[name] {
		return nil
	}
	from, to := day.Format(time.DateOnly), day.AddDate(0, 0, 1).Format(time.DateOnly)
	var beside bool
	if err := tx.QueryRow(ctx, `SELECT EXISTS (SELECT 1 FROM `+table+`_rest WHERE closed = $1)`, day).Scan(&beside); err != nil || beside {
		return err
	}
	_, err := tx.Exec(ctx, `CREATE TABLE `+name+` PARTITION OF `+table+` FOR VALUES FROM ('`+from+`') TO ('`+to+`')`)
	return err
}

// partitions gives the names of tables' partitions.
func partitions(ctx context.Context, tx pgx.Tx, tables []string) (map[string]bool, error) {
	rows, err := tx.Query(ctx, `SELECT c.relname FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid WHERE i.inhparent::regclass::text = ANY($1)`, tables)
	if err != nil {
		return nil, err
	}
	names, err := pgx.CollectRows(rows, pgx.RowTo[string])
	have := map[string]bool{}
	for _, n := range names {
		have[n] = true
	}
	return have, err
}

// TrimHistory implements relational.Backend: days that are past altogether are dropped; what fell beside them is deleted row by row.
func (s *Store) TrimHistory(ctx context.Context, before time.Time, limit int) (more bool, err error) {
	if err := s.makeDays(ctx); err != nil {
		return false, err
	}
	dropped, err := s.alter(ctx, func(ctx context.Context, tx pgx.Tx) error {
		have, err := partitions(ctx, tx, historyTables)
		if err != nil {
			return err
		}
		for name := range have {
			day, err := time.Parse(dayForm, name[strings.LastIndexByte(name, '_')+1:])
			if err != nil || day.AddDate(0, 0, 1).After(before) {
				continue // the rest, or too young
			}
			if _, err := tx.Exec(ctx, `DROP TABLE `+name); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return false, err
	}
	err = s.transact(ctx, pgx.TxOptions{}, func(ctx context.Context, tx pgx.Tx) error {
		more, err = trimRest(ctx, tx, before, limit)
		return err
	})
	return more || !dropped, err
}

func trimRest(ctx context.Context, tx pgx.Tx, before time.Time, limit int) (more bool, err error) {
	for _, table := range historyTables {
		tag, err := tx.Exec(ctx, `DELETE FROM `+table+`_rest WHERE ctid IN (SELECT ctid FROM `+table+`_rest WHERE closed < $1 LIMIT $2)`,
			before.UTC().Truncate(24*time.Hour), limit)
		if err != nil {
			return false, err
		}
		more = more || tag.RowsAffected() >= int64(limit)
	}
	return more, nil
}
