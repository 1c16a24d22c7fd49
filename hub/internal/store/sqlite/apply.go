package sqlite

import (
	"context"
	"errors"
	"time"

	"github.com/kubilitics/kubilitics/hub/internal/store"
	"github.com/kubilitics/kubilitics/hub/internal/store/relational"
	"github.com/kubilitics/kubilitics/shared/fault"
	"github.com/kubilitics/kubilitics/shared/topo"
)

func fenceOf(ctx context.Context, w *writer, at store.Scope) (f relational.Fence, err error) {
	rows, err := w.Query(ctx, relational.SelectFence, int64(at.Tenant), int64(at.Cluster))
	if err != nil {
		return f, err
	}
	defer rows.Close()
	if f.Found = rows.Next(); f.Found {
		err = rows.Scan(f.Dest(&f.Applied.At)...)
	}
	return f, errors.Join(err, rows.Err())
}

// Apply implements store.Writer.
func (s *Store) Apply(ctx context.Context, b store.Batch) (store.Applied, error) {
	k, bad := relational.Prepare(&b.Delta)
	applied, err := s.apply(ctx, &b, k, bad)
	var row *relational.RowError
	if errors.As(err, &row) {
		var more []store.Quarantined
		k, more, err = relational.Refine(k, func(part *relational.Keyed) error { return s.try(ctx, &b, part) })
		if err == nil {
			applied, err = s.apply(ctx, &b, k, append(bad, more...))
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

// try applies a part and undoes it.
func (s *Store) try(ctx context.Context, b *store.Batch, k *relational.Keyed) error {
	return s.writer.transact(ctx, func(ctx context.Context, w *writer) error {
		f, err := fenceOf(ctx, w, b.Scope)
		if err == nil {
			err = f.CheckApply(b)
		}
		if err != nil {
			return err
		}
		if _, _, _, err = s.rows(ctx, w, b, k); err != nil {
			return err
		}
		return errUndo
	})
}

func (s *Store) apply(ctx context.Context, b *store.Batch, k *relational.Keyed, bad []store.Quarantined) (applied store.Applied, err error) {
	err = s.writer.transact(ctx, func(ctx context.Context, w *writer) error {
		f, err := fenceOf(ctx, w, b.Scope)
		if err != nil {
			return err
		}
		if err := f.CheckApply(b); err != nil {
			return err
		}
		if b.Seq <= f.Seq {
			applied = f.Applied
			return nil
		}
		pos, at, changed, err := s.rows(ctx, w, b, k)
		if err != nil {
			return err
		}
		applied = store.Applied{Position: pos, At: at, Changed: changed, Quarantined: relational.Named(b.Scope, bad)}
		if err := relational.PutQuarantined(ctx, w, applied.Quarantined); err != nil {
			return err
		}
		_, err = w.Exec(ctx, relational.UpdateSeq, relational.SeqArgs(b.Scope, b.Seq, pos, at, changed)...)
		return err
	})
	return applied, err
}

// rows plans and writes the rows of a delta, and the feed's entry.
func (s *Store) rows(ctx context.Context, w *writer, b *store.Batch, k *relational.Keyed) (pos topo.Position, at time.Time, changed int, err error) {
	now, err := w.current(ctx, b.Scope, k)
	if err != nil {
		return 0, at, 0, err
	}
	plan := k.Plan(now)
	if !plan.Moves() {
		return 0, at, 0, nil
	}
	payload, err := relational.EncodePayload(&plan.Diff, plan.FeedEvents(), plan.FeedTexts())
	if err != nil {
		return 0, at, 0, err
	}
	if pos, at, err = s.Tick(ctx, w, b.Scope.Tenant); err != nil {
		return 0, at, 0, err
	}
	if err := w.write(ctx, b.Scope, plan, pos, true); err != nil {
		return 0, at, 0, err
	}
	if err := w.sums(ctx, b.Scope, plan.Sums); err != nil {
		return 0, at, 0, err
	}
	if err := w.counts(ctx, b.Scope, plan.Counts, plan.EdgeCounts); err != nil {
		return 0, at, 0, err
	}
	_, err = w.Exec(ctx, relational.InsertEntry, relational.EntryArgs(b.Scope, pos, at, store.EntryDiff, b.GapSince, payload)...)
	return pos, at, plan.Changed, err
}
