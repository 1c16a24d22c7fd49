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
}

// BeginLoad implements store.Writer.
func (s *Store) BeginLoad(ctx context.Context, at store.Scope, epoch int64) (store.Load, error) {
	err := s.transact(ctx, pgx.TxOptions{}, func(ctx context.Context, tx pgx.Tx) error {
		f, err := fenceOf(ctx, tx, at)
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
		_, err = tx.Exec(ctx, `UPDATE clusters SET load_epoch = $3 WHERE tenant_id = $1 AND cluster_id = $2`, int64(at.Tenant), int64(at.Cluster), epoch)
		return err
	})
	if err != nil {
		return nil, err
	}
	return &load{s: s, at: at, epoch: epoch, kept: relational.NewLoading()}, nil
}

func fenceOf(ctx context.Context, tx pgx.Tx, at store.Scope) (*relational.Fence, error) {
	f := &relational.Fence{}
	err := tx.QueryRow(ctx, relational.SelectFence+` FOR UPDATE`, int64(at.Tenant), int64(at.Cluster)).Scan(f.Dest(instant{&f.Applied.At})...)
	if errors.Is(err, pgx.ErrNoRows) {
		return f, nil
	}
	f.Found = err == nil
	return f, err
}

var errOver = fault.New(fault.Conflict, "the load is over")

// check refuses to go on when the session was fenced, or another load of it began.
func (l *load) check(f *relational.Fence) error {
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
	l.rows += len(k.Nodes) + len(k.Edges)
	return relational.Named(l.at, bad), nil
}

func (l *load) add(ctx context.Context, k *relational.Keyed, bad []store.Quarantined, undo bool) error {
	return l.s.transact(ctx, pgx.TxOptions{}, func(ctx context.Context, tx pgx.Tx) error {
		f, err := fenceOf(ctx, tx, l.at)
		if err != nil {
			return err
		}
		if err := l.check(f); err != nil {
			return err
		}
		if err := copyRows(ctx, tx, l.at, k); err != nil {
			return err
		}
		w := newWrites(l.at, false)
		w.events(k.Events)
		if err := tx.SendBatch(ctx, &w.batch).Close(); err != nil {
			return err
		}
		if undo {
			return errUndo
		}
		return relational.PutQuarantined(ctx, txConn{tx}, relational.Named(l.at, bad))
	})
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
		if err := l.check(f); err != nil {
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

// copyRows writes rows of a load, a table at a time; what is sorted by key goes in fastest.
func copyRows(ctx context.Context, tx pgx.Tx, at store.Scope, k *relational.Keyed) error {
	for _, c := range []struct {
		table   string
		columns []string
		rows    pgx.CopyFromSource
	}{
		{"refs", refColumns, refSource(at, k.Nodes)},
		{"resources", resourceColumns, nodeSource(at, k.Nodes)},
		{"labels", labelsColumns, labelSource(at, k.Labels())},
		{"edges", edgesColumns, edgeSource(at, k.Edges)},
		{"manifests", manifestsColumns, manifestSource(at, k.Manifests)},
	} {
		if _, err := tx.CopyFrom(ctx, pgx.Identifier{c.table}, c.columns, c.rows); err != nil {
			return err
		}
	}
	return nil
}

var (
	refColumns      = []string{"tenant_id", "cluster_id", "id", "api_group", "kind", "namespace", "name"}
	resourceColumns = []string{"tenant_id", "cluster_id", "id", "api_group", "kind", "namespace", "name", "uid", "version", "presence", "health", "status",
		"created", "labels", "attrs", "hash", "origin", "valid_from"}
	labelsColumns    = []string{"tenant_id", "key", "value", "cluster_id", "id", "valid_from"}
	edgesColumns     = []string{"tenant_id", "cluster_id", "source", "id", "target", "rule", "type", "disc", "path", "attrs", "hash", "origin", "valid_from"}
	manifestsColumns = []string{"tenant_id", "cluster_id", "id", "hash", "body", "valid_from"}
)

func refSource(at store.Scope, rows []relational.NodeRow) pgx.CopyFromSource {
	return pgx.CopyFromSlice(len(rows), func(i int) ([]any, error) {
		r := &rows[i].Node.Ref
		return []any{int64(at.Tenant), int64(at.Cluster), [16]byte(rows[i].ID), r.Group, r.Kind, r.Namespace, r.Name}, nil
	})
}

func nodeSource(at store.Scope, rows []relational.NodeRow) pgx.CopyFromSource {
	return pgx.CopyFromSlice(len(rows), func(i int) ([]any, error) {
		n := rows[i].Node
		return []any{int64(at.Tenant), int64(at.Cluster), [16]byte(rows[i].ID), n.Ref.Group, n.Ref.Kind, n.Ref.Namespace, n.Ref.Name, n.UID, n.Version,
			int16(n.Presence), int16(n.Health), n.Status, n.Created, relational.EncodePairs(n.Labels), relational.EncodePairs(n.Attrs), [16]byte(rows[i].Hash),
			relational.OriginAgent, int64(0)}, nil
	})
}

func labelSource(at store.Scope, rows []relational.LabelRow) pgx.CopyFromSource {
	return pgx.CopyFromSlice(len(rows), func(i int) ([]any, error) {
		return []any{int64(at.Tenant), rows[i].Key, rows[i].Value, int64(at.Cluster), [16]byte(rows[i].ID), int64(0)}, nil
	})
}

func edgeSource(at store.Scope, rows []relational.EdgeRow) pgx.CopyFromSource {
	return pgx.CopyFromSlice(len(rows), func(i int) ([]any, error) {
		r, e := &rows[i], rows[i].Edge
		return []any{int64(at.Tenant), int64(at.Cluster), [16]byte(r.Key.Source), [16]byte(r.Key.ID), [16]byte(r.Target), e.Rule, string(e.Type), e.Disc, e.Path,
			relational.EncodePairs(e.Attrs), [16]byte(r.Hash), relational.OriginAgent, int64(0)}, nil
	})
}

func manifestSource(at store.Scope, rows []relational.ManifestRow) pgx.CopyFromSource {
	return pgx.CopyFromSlice(len(rows), func(i int) ([]any, error) {
		m := rows[i].Manifest
		body := m.Body
		if body == nil {
			body = []byte{} // nil would be NULL
		}
		return []any{int64(at.Tenant), int64(at.Cluster), [16]byte(rows[i].ID), [16]byte(m.Hash), body, int64(0)}, nil
	})
}
