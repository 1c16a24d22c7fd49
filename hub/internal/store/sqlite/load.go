package sqlite

import (
	"context"
	"errors"
	"math"

	"github.com/kubilitics/kubilitics/hub/internal/store"
	"github.com/kubilitics/kubilitics/hub/internal/store/relational"
	"github.com/kubilitics/kubilitics/shared/fault"
)

// load is a cluster's first load. Its rows carry valid_from 0 and belong to a cluster that isn't synced.
type load struct {
	s     *Store
	at    store.Scope
	epoch int64
	kept  *relational.Loading
	over  bool
}

// BeginLoad implements store.Writer.
func (s *Store) BeginLoad(ctx context.Context, at store.Scope, epoch int64) (store.Load, error) {
	err := s.writer.transact(ctx, func(ctx context.Context, w *writer) error {
		f, err := fenceOf(ctx, w, at)
		if err != nil {
			return err
		}
		if err := f.CheckLoad(at, epoch); err != nil {
			return err
		}
		if f.LoadEpoch != 0 {
			if _, err := s.PurgeRows(ctx, w, at, math.MaxInt, false); err != nil {
				return err
			}
		}
		_, err = w.Exec(ctx, `UPDATE clusters SET load_epoch = $3 WHERE tenant_id = $1 AND cluster_id = $2`, int64(at.Tenant), int64(at.Cluster), epoch)
		return err
	})
	if err != nil {
		return nil, err
	}
	return &load{s: s, at: at, epoch: epoch, kept: relational.NewLoading()}, nil
}

var errOver = fault.New(fault.Conflict, "the load is over")

// check refuses to go on when the session was fenced, or another load of it began.
func (l *load) check(ctx context.Context, w *writer) error {
	f, err := fenceOf(ctx, w, l.at)
	if err != nil {
		return err
	}
	if err := f.CheckLoad(l.at, l.epoch); err != nil {
		return err
	}
	if f.LoadEpoch != l.epoch {
		return errOver
	}
	return nil
}

// Add implements store.Load.
func (l *load) Add(ctx context.Context, d store.Delta) ([]store.Quarantined, error) {
	if l.over {
		return nil, errOver
	}
	if len(d.GoneNodes)+len(d.GoneEdges)+len(d.GoneManifests) > 0 {
		return nil, fault.New(fault.BadRequest, "a first load has nothing to remove")
	}
	k, bad := relational.Prepare(&d)
	k.Hash()
	err := l.add(ctx, k, bad, false)
	var row *relational.RowError
	if errors.As(err, &row) {
		var more []store.Quarantined
		k, more, err = relational.Refine(k, func(part *relational.Keyed) error { return l.add(ctx, part, nil, true) })
		bad = append(bad, more...)
		if err == nil {
			err = l.add(ctx, k, bad, false)
		}
	}
	if err != nil {
		return nil, err
	}
	l.kept.Added(k)
	return relational.Named(l.at, bad), nil
}

func (l *load) add(ctx context.Context, k *relational.Keyed, bad []store.Quarantined, undo bool) error {
	return l.s.writer.transact(ctx, func(ctx context.Context, w *writer) error {
		if err := l.check(ctx, w); err != nil {
			return err
		}
		b := &batch{ctx: ctx, w: w, tenant: int64(l.at.Tenant), cluster: int64(l.at.Cluster)}
		b.loadNodes(k)
		b.addEdges(k.Edges)
		b.addManifests(k.Manifests)
		b.events(k.Events)
		if b.err != nil {
			return b.err
		}
		if undo {
			return errUndo
		}
		return relational.PutQuarantined(ctx, w, relational.Named(l.at, bad))
	})
}

// loadNodes writes table by table in the order of their keys, so that each works on pages it has at hand.
func (b *batch) loadNodes(k *relational.Keyed) {
	for i := range k.Nodes {
		r := &k.Nodes[i]
		b.run(insertRef, b.tenant, b.cluster, r.ID[:], r.Node.Ref.Group, r.Node.Ref.Kind, r.Node.Ref.Namespace, r.Node.Ref.Name)
	}
	b.addNodes(k.Nodes)
	b.addLabels(k.Labels())
}

// Commit implements store.Load.
func (l *load) Commit(ctx context.Context, seq int64, final store.Delta) (applied store.Applied, err error) {
	if l.over {
		return applied, errOver
	}
	k, bad := relational.Prepare(&final)
	applied, err = l.commit(ctx, seq, k, bad, false)
	var row *relational.RowError
	if errors.As(err, &row) {
		var more []store.Quarantined
		k, more, err = relational.Refine(k, func(part *relational.Keyed) error {
			_, err := l.commit(ctx, seq, part, nil, true)
			return err
		})
		if err == nil {
			applied, err = l.commit(ctx, seq, k, append(bad, more...), false)
		}
	}
	if err == nil {
		l.over = true
		l.s.Ring(l.at.Tenant)
	}
	return applied, err
}

func (l *load) commit(ctx context.Context, seq int64, k *relational.Keyed, bad []store.Quarantined, undo bool) (applied store.Applied, err error) {
	err = l.s.writer.transact(ctx, func(ctx context.Context, w *writer) error {
		if err := l.check(ctx, w); err != nil {
			return err
		}
		now, err := w.current(ctx, l.at, k)
		if err != nil {
			return err
		}
		plan := k.Plan(now)
		pos, at, err := l.s.Tick(ctx, w, l.at.Tenant)
		if err != nil {
			return err
		}
		if err := w.write(ctx, l.at, plan, pos, false); err != nil {
			return err
		}
		if undo {
			return errUndo
		}
		applied = store.Applied{Position: pos, At: at, Changed: plan.Changed, Quarantined: relational.Named(l.at, bad)}
		return l.finish(ctx, w, seq, plan, applied)
	})
	return applied, err
}

// finish writes what the load kept to itself, and shows the cluster.
func (l *load) finish(ctx context.Context, w *writer, seq int64, plan *relational.Plan, a store.Applied) error {
	sums, refs := l.kept.Finish(plan)
	b := &batch{ctx: ctx, w: w, tenant: int64(l.at.Tenant), cluster: int64(l.at.Cluster)}
	b.refs(refs)
	if b.err != nil {
		return b.err
	}
	if err := w.sums(ctx, l.at, sums); err != nil {
		return err
	}
	nodes, edges := l.kept.FinishCounts(plan)
	if err := w.counts(ctx, l.at, nodes, edges); err != nil {
		return err
	}
	if err := relational.PutQuarantined(ctx, w, a.Quarantined); err != nil {
		return err
	}
	if _, err := w.Exec(ctx, relational.FinishLoad, relational.SeqArgs(l.at, seq, a.Position, a.At, a.Changed)...); err != nil {
		return err
	}
	var none store.Batch
	_, err := w.Exec(ctx, relational.InsertEntry, relational.EntryArgs(l.at, a.Position, a.At, store.EntryLoaded, none.GapSince, nil)...)
	return err
}

// Abort implements store.Load. The rows go when the next load begins, or with Purge.
func (l *load) Abort(context.Context) error {
	l.over = true
	return nil
}
