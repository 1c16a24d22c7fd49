package postgres

import (
	"context"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/kubilitics/kubilitics/hub/internal/store"
	"github.com/kubilitics/kubilitics/hub/internal/store/relational"
)

// recorderConns are the connections of PutAudit. Requests wait for it, so it doesn't wait for those who ask or load.
const recorderConns = 2

const (
	auditRows = ` (` + relational.AuditColumns + `) SELECT $1::bigint, u.* FROM unnest($2::uuid[], $3::timestamptz[], $4::text[], $5::text[], $6::text[], $7::text[],
		$8::text[], $9::text[], $10::text[], $11::text[], $12::bigint[], $13::text[], $14::text[], $15::text[], $16::text[], $17::text[], $18::text[], $19::text[],
		$20::text[], $21::smallint[], $22::text[], $23::bigint[], $24::text[], $25::bigint[]) u`
	openAudit   = `INSERT INTO audit_open` + auditRows + ` ON CONFLICT (tenant_id, id) DO NOTHING`
	closeAudit  = `DELETE FROM audit_open WHERE tenant_id = $1 AND id = ANY($2)`
	appendAudit = `INSERT INTO audit` + auditRows + relational.MeetAudit
)

// PutAudit implements store.Audit in one round trip, whose statements are one transaction.
func (s *Store) PutAudit(ctx context.Context, records []store.AuditRecord) error {
	batches, err := relational.PrepareAudit(records)
	if err != nil || len(batches) == 0 {
		return err
	}
	var b pgx.Batch
	for i := range batches {
		tenant := int64(batches[i].Tenant)
		if open := batches[i].Open; len(open) > 0 {
			b.Queue(openAudit, append([]any{tenant}, auditCells(open)...)...)
		}
		if ended := batches[i].Ended; len(ended) > 0 {
			b.Queue(closeAudit, tenant, keys(batches[i].IDs()))
			b.Queue(appendAudit, append([]any{tenant}, auditCells(ended)...)...)
		}
	}
	return relational.Blame(translate(s.recorders.SendBatch(ctx, &b).Close()))
}

// auditCells gives the columns of rows, each as an array.
func auditCells(rows []relational.AuditRow) []any {
	n := len(rows)
	ids, times, clusters, dry := make(keys, n), make([]time.Time, n), make([]int64, n), make([]int16, n)
	statuses, took := make([]int64, n), make([]int64, n)
	all := make([]string, 18*n)
	var texts [18][]string
	for i := range texts {
		texts[i] = all[i*n : (i+1)*n : (i+1)*n]
	}
	for i := range rows {
		r := &rows[i]
		ids[i], times[i], clusters[i], statuses[i], took[i] = r.ID, r.At, int64(r.Cluster), int64(r.Status), r.Took.Microseconds()
		if r.DryRun {
			dry[i] = 1
		}
		for j, text := range [...]string{
			r.Hub, r.Request, r.Who, r.Groups, r.Token, r.From, r.Agent, r.Via, r.Verb, r.Group, r.Version, r.Resource, r.Namespace, r.Name, r.Path, r.Command,
			string(r.Outcome), r.Reason,
		} {
			texts[j][i] = text
		}
	}
	t := &texts
	return []any{
		ids, times, t[0], t[1], t[2], t[3], t[4], t[5], t[6], t[7], clusters, t[8], t[9], t[10], t[11], t[12], t[13], t[14], t[15], dry, t[16], statuses, t[17], took,
	}
}

// makeAuditDay makes the part of the record for a day, unless rows of it stand in the rest already.
func makeAuditDay(ctx context.Context, tx pgx.Tx, have map[string]bool, day time.Time) error {
	name := "audit_" + day.Format(dayForm)
	if have[name] {
		return nil
	}
	from, to := relational.AuditFloor(day), relational.AuditFloor(day.AddDate(0, 0, 1))
	var beside bool
	if err := tx.QueryRow(ctx, `SELECT EXISTS (SELECT 1 FROM audit_rest WHERE id >= $1 AND id < $2)`, encode(from), encode(to)).Scan(&beside); err != nil || beside {
		return err
	}
	_, err := tx.Exec(ctx, `CREATE TABLE `+name+` PARTITION OF audit FOR VALUES FROM ('`+uuid.UUID(from).String()+`') TO ('`+uuid.UUID(to).String()+`')`)
	return err
}

// DropAudit implements store.Audit: days that are past altogether are dropped, one a call; what fell beside them is deleted row by row.
func (s *Store) DropAudit(ctx context.Context, before time.Time, limit int) (more bool, err error) {
	day := before.UTC().Truncate(24 * time.Hour)
	done, err := s.alter(ctx, func(ctx context.Context, tx pgx.Tx) error {
		have, err := partitions(ctx, tx, auditTables)
		if err != nil {
			return err
		}
		more = false
		for name := range have {
			of, err := time.Parse(dayForm, name[strings.LastIndexByte(name, '_')+1:])
			if err != nil || !of.Before(day) {
				continue // the rest, or too young
			}
			if more {
				return nil
			}
			if _, err := tx.Exec(ctx, `DROP TABLE `+name); err != nil {
				return err
			}
			more = true
		}
		return nil
	})
	if err != nil || !done {
		return false, err // somebody reads; the next round tries again
	}
	err = s.transact(ctx, pgx.TxOptions{}, func(ctx context.Context, tx pgx.Tx) error {
		tag, err := tx.Exec(ctx, `DELETE FROM audit_rest WHERE (tenant_id, id) IN (SELECT tenant_id, id FROM audit_rest WHERE id < $1 LIMIT $2)`,
			encode(relational.AuditFloor(day)), limit)
		more = more || tag.RowsAffected() >= int64(limit)
		return err
	})
	return more, err
}
