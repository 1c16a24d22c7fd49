package postgres

import (
	"context"
	"errors"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/kubilitics/kubilitics/hub/internal/store"
	"github.com/kubilitics/kubilitics/hub/internal/store/relational"
	"github.com/kubilitics/kubilitics/shared/fault"
	"github.com/kubilitics/kubilitics/shared/obs"
)

// Apply implements store.Writer. It takes two round trips: one begins the transaction, takes the cluster's lock and reads what is stored; the
// other allocates the position, writes, and commits, so that the tenant's feed row is held only while the database works.
func (s *Store) Apply(ctx context.Context, b store.Batch) (store.Applied, error) {
	k, bad := relational.Prepare(&b.Delta)
	applied, err := s.apply(ctx, &b, k, bad, swift)
	var row *relational.RowError
	if errors.As(err, &row) {
		var more []store.Quarantined
		k, more, err = relational.Refine(k, func(part *relational.Keyed) error {
			_, err := s.apply(ctx, &b, part, nil, undone)
			return err
		})
		if err == nil {
			applied, err = s.apply(ctx, &b, k, append(bad, more...), careful)
		}
	}
	if errors.As(err, &row) {
		err = fault.Wrap(err, fault.Internal, "the rows pass one by one, but not together")
	}
	if applied.Position > 0 && err == nil {
		s.Ring(b.Scope.Tenant)
	}
	return applied, err
}

// manner is how a batch is applied.
type manner int

const (
	swift   manner = iota // labels that damage has left behind in their index fail it
	careful               // they are met with
	undone                // careful, and rolled back when the rows have shown that they pass
)

// apply runs one transaction.
func (s *Store) apply(ctx context.Context, b *store.Batch, k *relational.Keyed, bad []store.Quarantined, how manner) (applied store.Applied, err error) {
	err = s.pipeline(ctx, func(ctx context.Context, conn *pgx.Conn) error {
		hashed := make(chan struct{})
		go func() { // while the database reads
			defer close(hashed)
			k.Hash()
		}()
		f, now, err := current(ctx, conn, b.Scope, k)
		<-hashed
		if err != nil {
			return err
		}
		if err := f.CheckApply(b); err != nil {
			return err
		}
		if b.Seq <= f.Seq {
			applied = f.Applied
			return errUndo
		}
		plan := k.Plan(now)
		applied = store.Applied{Changed: plan.Changed, Quarantined: relational.Named(b.Scope, bad)}
		if len(bad) > 0 {
			if err := relational.PutQuarantined(ctx, plainConn{conn}, applied.Quarantined); err != nil {
				return err
			}
		}
		return s.finish(ctx, conn, b, plan, &applied, how)
	})
	return applied, err
}

// finish sends what is left of the transaction in one go.
func (s *Store) finish(ctx context.Context, conn *pgx.Conn, b *store.Batch, plan *relational.Plan, applied *store.Applied, how manner) error {
	w := newWrites(b.Scope, true)
	w.careful = how != swift
	if plan.Moves() {
		payload := pack(plan)
		defer payload.BytesValue() // so that it doesn't outlive this call, whatever fails
		w.tick(&applied.Position, &applied.At)
		w.plan(plan)
		w.sums(plan.Sums)
		w.counts(plan.Counts, plan.EdgeCounts)
		w.entry(store.EntryDiff, b.GapSince, payload)
	}
	w.queue(updateSeq, w.tenant, w.cluster, b.Seq, plan.Moves(), int64(plan.Changed))
	if how == undone {
		w.queue(`ROLLBACK`)
	} else {
		w.queue(`COMMIT`)
	}
	return conn.SendBatch(ctx, &w.batch).Close()
}

const updateSeq = `UPDATE clusters c SET seq = $3, applied_pos = CASE WHEN $4 THEN f.pos ELSE 0 END, applied_at = CASE WHEN $4 THEN f.at END, applied_changed = $5
	FROM tenant_feed f WHERE f.tenant_id = $1 AND c.tenant_id = $1 AND c.cluster_id = $2`

// pipeline lends a connection to a transaction that begins and ends in the batches that fn sends. Whatever of it is left open is rolled back.
func (s *Store) pipeline(ctx context.Context, fn func(context.Context, *pgx.Conn) error) (err error) {
	ctx, span := obs.Call(ctx, "store.transaction")
	defer func() { span.End(err) }()
	pooled, err := s.writers.Acquire(ctx)
	if err != nil {
		return translate(err)
	}
	defer pooled.Release()
	conn := pooled.Conn()
	err = fn(ctx, conn)
	if err != nil && conn.IsClosed() && !errors.As(err, new(*fault.Error)) {
		return fault.Wrap(err, fault.Unavailable, "the connection to the database broke")
	}
	if !conn.IsClosed() && conn.PgConn().TxStatus() != 'I' {
		// Bounded apart from ctx, which may have ended; a connection that can't even roll back is closed by the pool.
		after, cancel := context.WithTimeout(context.WithoutCancel(ctx), 10*time.Second)
		defer cancel()
		if _, failed := conn.Exec(after, `ROLLBACK`); failed != nil && err == nil {
			err = failed
		}
	}
	if errors.Is(err, errUndo) {
		return nil
	}
	return translate(err)
}

// plainConn runs shared statements in a transaction that pipeline keeps open.
type plainConn struct{ conn *pgx.Conn }

// Exec implements relational.Conn.
func (c plainConn) Exec(ctx context.Context, text string, args ...any) (int64, error) {
	tag, err := c.conn.Exec(ctx, text, encodeAll(args)...)
	return tag.RowsAffected(), err
}

// Query implements relational.Conn.
func (c plainConn) Query(ctx context.Context, text string, args ...any) (relational.Rows, error) {
	rows, err := c.conn.Query(ctx, text, encodeAll(args)...)
	if err != nil {
		return nil, err
	}
	return answer{rows}, nil
}
