package postgres

import (
	"context"
	"errors"
	"math"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/kubilitics/kubilitics/hub/internal/store"
	"github.com/kubilitics/kubilitics/hub/internal/store/relational"
	"github.com/kubilitics/kubilitics/shared/fault"
)

// load is a cluster's first load. Its rows carry valid_from 0 and belong to a cluster that isn't synced, so chunks are committed as they come.
type load struct {
	s     *Store
	at    store.Scope
	epoch int64
	kept  *relational.Loading
	rows  int // resources and edges written
	over  bool

	chunks int64 // written
}

// BeginLoad implements store.Writer.
func (s *Store) BeginLoad(ctx context.Context, at store.Scope, epoch int64) (store.Load, error) {
	err := s.transact(ctx, pgx.TxOptions{}, func(ctx context.Context, tx pgx.Tx) error {
		f, err := fenceOf(ctx, tx, at, selectFence)
		if err != nil {
			return err
		}
		if err := f.CheckLoad(at, epoch); err != nil {
			return err
		}
		if f.LoadEpoch != 0 {
			if _, err := s.PurgeRows(ctx, txConn{tx}, at, math.MaxInt, false); err != nil {
				return err
			}
		}
		_, err = tx.Exec(ctx, `UPDATE clusters SET load_epoch = $3, load_chunks = 0 WHERE tenant_id = $1 AND cluster_id = $2`, int64(at.Tenant), int64(at.Cluster), epoch)
		return err
	})
	if err != nil {
		return nil, err
	}
	return &load{s: s, at: at, epoch: epoch, kept: relational.NewLoading()}, nil
}

// fence is what a writer must know of the cluster, and how many chunks of its first load the database has.
type fence struct {
	relational.Fence
	chunks int64
}

func (f *fence) dest(at any) []any { return append(f.Dest(at), &f.chunks) }

const (
	fenceColumns = `epoch, seq, load_epoch, synced, applied_pos, applied_at, applied_changed, load_chunks`
	selectFence  = `SELECT ` + fenceColumns + ` FROM clusters WHERE tenant_id = $1 AND cluster_id = $2 AND deleted IS NULL FOR UPDATE`
	countChunk   = `UPDATE clusters SET load_chunks = load_chunks + 1 WHERE tenant_id = $1 AND cluster_id = $2 AND deleted IS NULL RETURNING ` + fenceColumns
)

// fenceOf takes the cluster's lock with one of the statements above.
func fenceOf(ctx context.Context, tx pgx.Tx, at store.Scope, statement string) (*fence, error) {
	f := &fence{}
	err := tx.QueryRow(ctx, statement, int64(at.Tenant), int64(at.Cluster)).Scan(f.dest(instant{&f.Applied.At})...)
	if errors.Is(err, pgx.ErrNoRows) {
		return f, nil
	}
	f.Found = err == nil
	return f, err
}

var errOver = fault.New(fault.Conflict, "the load is over")

// check refuses to go on when the session was fenced, or another load of it began, or the database has lost chunks: it keeps what it wrote first,
// so the last one's count stands for all before it.
func (l *load) check(f *fence, chunks int64) error {
	if err := f.CheckLoad(l.at, l.epoch); err != nil {
		return err
	}
	if f.LoadEpoch != l.epoch {
		return errOver
	}
	if f.chunks != chunks {
		return fault.New(fault.Conflict, "the database has lost rows of the load of cluster %s: it must begin anew", l.at.Cluster)
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
	l.chunks++
	l.rows += len(k.Nodes) + len(k.Edges)
	return relational.Named(l.at, bad), nil
}

// unflushed begins the transaction of a chunk. It need not be on disk when it ends: nobody sees its rows before the load's last transaction, whose
// flush takes everything before it along; and a load of which a crash of the database took chunks begins anew (see check).
var unflushed = pgx.TxOptions{BeginQuery: `BEGIN; SET LOCAL synchronous_commit = off`}

// add writes a chunk. A large one goes in over several connections at once; the first keeps the cluster's lock until the others have committed.
func (l *load) add(ctx context.Context, k *relational.Keyed, bad []store.Quarantined, undo bool) error {
	return l.s.transact(ctx, unflushed, func(ctx context.Context, tx pgx.Tx) error {
		f, err := fenceOf(ctx, tx, l.at, countChunk)
		if err != nil {
			return err
		}
		if err := l.check(f, l.chunks+1); err != nil {
			return err
		}
		lanes, done, err := l.s.lanes(ctx, tx, k.Len())
		if err != nil {
			return err
		}
		defer done()
		if err := copyRows(ctx, lanes, l.at, k); err != nil {
			return err
		}
		if len(k.Events) > 0 {
			w := newWrites(l.at, false)
			w.events(k.Events)
			if err := tx.SendBatch(ctx, &w.batch).Close(); err != nil {
				return err
			}
		}
		if undo {
			return errUndo
		}
		if err := relational.PutQuarantined(ctx, txConn{tx}, relational.Named(l.at, bad)); err != nil {
			return err
		}
		return l.commitLanes(ctx, lanes[1:])
	})
}

// commitLanes ends the connections beside the first. If that fails half-way, some rows of the chunk are there: the load can't go on.
func (l *load) commitLanes(ctx context.Context, lanes []pgx.Tx) error {
	for _, lane := range lanes {
		if err := lane.Commit(ctx); err != nil {
			l.over = true
			return err
		}
	}
	return nil
}

// Commit implements store.Load.
func (l *load) Commit(ctx context.Context, seq int64, final store.Delta) (applied store.Applied, err error) {
	if l.over {
		return applied, errOver
	}
	if err := l.s.learn(ctx, l.rows); err != nil {
		return applied, err
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
	return applied, relational.Blame(err)
}

func (l *load) commit(ctx context.Context, seq int64, k *relational.Keyed, bad []store.Quarantined, undo bool) (applied store.Applied, err error) {
	err = l.s.pipeline(ctx, func(ctx context.Context, conn *pgx.Conn) error {
		f, now, err := current(ctx, conn, l.at, k)
		if err != nil {
			return err
		}
		if err := l.check(f, l.chunks); err != nil {
			return err
		}
		plan := k.Plan(now)
		applied = store.Applied{Changed: plan.Changed, Quarantined: relational.Named(l.at, bad)}
		if err := relational.PutQuarantined(ctx, plainConn{conn}, applied.Quarantined); err != nil {
			return err
		}
		w := newWrites(l.at, false)
		w.tick(&applied.Position, &applied.At)
		w.plan(plan)
		if undo {
			w.queue(`ROLLBACK`)
		} else {
			l.finish(w, plan, seq)
		}
		return conn.SendBatch(ctx, &w.batch).Close()
	})
	return applied, err
}

// learn has the planner look at the keys of tables that the load has made much larger. Autovacuum would come to it within a minute; until then it
// would take a whole cluster for one row. The keys' samples are small (see the migrations), so this takes milliseconds.
func (s *Store) learn(ctx context.Context, loaded int) error {
	var known float64
	err := s.pool.QueryRow(ctx, `SELECT sum(greatest(reltuples, 0))::float8 FROM pg_class WHERE oid IN ('resources'::regclass, 'edges'::regclass)`).Scan(&known)
	if err != nil || float64(loaded) < known/10 {
		return translate(err)
	}
	_, err = s.pool.Exec(ctx, `ANALYZE refs (tenant_id, cluster_id, id), resources (tenant_id, cluster_id, id), labels (tenant_id, cluster_id, id),
		edges (tenant_id, cluster_id, source, id, target)`)
	return translate(err)
}

// finish writes what the load kept to itself, shows the cluster, and commits.
func (l *load) finish(w *writes, plan *relational.Plan, seq int64) {
	sums, refs := l.kept.Finish(plan)
	w.refs(refs)
	w.sums(sums)
	w.counts(l.kept.FinishCounts(plan))
	w.queue(finishLoad, w.tenant, w.cluster, seq, int64(plan.Changed))
	w.entry(store.EntryLoaded, time.Time{}, nil)
	w.queue(`COMMIT`)
}

const finishLoad = `UPDATE clusters c SET seq = $3, applied_pos = f.pos, applied_at = f.at, applied_changed = $4, first_seen = f.pos, synced = TRUE, load_epoch = 0
	FROM tenant_feed f WHERE f.tenant_id = $1 AND c.tenant_id = $1 AND c.cluster_id = $2`

// Abort implements store.Load. The rows go when the next load begins, or with Purge.
func (l *load) Abort(context.Context) error {
	l.over = true
	return nil
}
