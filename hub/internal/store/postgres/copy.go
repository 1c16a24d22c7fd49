package postgres

import (
	"bytes"
	"cmp"
	"context"
	"slices"

	"github.com/jackc/pgx/v5"
	"golang.org/x/sync/errgroup"

	"github.com/kubilitics/kubilitics/hub/internal/store"
	"github.com/kubilitics/kubilitics/hub/internal/store/relational"
)

const (
	// A chunk of a load is written over so many connections, if it has so many rows.
	laneCount = 2
	laneRows  = 1000
)

// lanes gives transactions to write a chunk in: the one at hand, and others beside it when there are rows enough for them and connections to
// spare. done undoes what was not committed.
func (s *Store) lanes(ctx context.Context, first pgx.Tx, rows int) (lanes []pgx.Tx, done func(), err error) {
	lanes = []pgx.Tx{first}
	if rows < laneRows {
		return lanes, func() {}, nil
	}
	select {
	case s.wide <- struct{}{}:
	default:
		return lanes, func() {}, nil // enough other loads are at it
	}
	done = func() {
		for _, lane := range lanes[1:] {
			_ = lane.Rollback(context.WithoutCancel(ctx)) // nothing after Commit; a broken connection has rolled back
		}
		<-s.wide
	}
	for len(lanes) < laneCount {
		lane, err := s.pool.BeginTx(ctx, unflushed)
		if err != nil {
			done()
			return nil, nil, err
		}
		lanes = append(lanes, lane)
	}
	return lanes, done, nil
}

// job is one COPY: what it writes to, and the rows in the protocol's binary form.
type job struct {
	into string
	rows func() []byte
	cost int // about how much work it is, indexes included
}

const (
	copyRefs      = `COPY refs (tenant_id, cluster_id, id, api_group, kind, namespace, name) FROM STDIN BINARY`
	copyResources = `COPY resources (tenant_id, cluster_id, id, api_group, kind, namespace, name, uid, version, presence, health, status, created, labels,
		attrs, app, hash, origin, valid_from) FROM STDIN BINARY`
	copyLabels    = `COPY labels (tenant_id, cluster_id, key, value, id, valid_from) FROM STDIN BINARY`
	copyEdges     = `COPY edges (tenant_id, cluster_id, source, id, target, rule, type, disc, path, attrs, hash, origin, valid_from) FROM STDIN BINARY`
	copyManifests = `COPY manifests (tenant_id, cluster_id, id, hash, body, valid_from) FROM STDIN BINARY`
)

// copyRows writes rows of a load. Lanes get tables of their own where they can, since two that write to the same index wait for each other;
// what is sorted by key goes in fastest.
func copyRows(ctx context.Context, lanes []pgx.Tx, at store.Scope, k *relational.Keyed) error {
	labels := k.Labels()
	jobs := []job{
		{copyResources, func() []byte { return nodeTuples(at, k.Nodes) }, 6 * len(k.Nodes)},
		{copyRefs, func() []byte { return refTuples(at, k.Nodes) }, 2 * len(k.Nodes)},
		{copyLabels, func() []byte { return labelTuples(at, labels) }, len(labels)},
		{copyManifests, func() []byte { return manifestTuples(at, k.Manifests) }, 4 * len(k.Manifests)},
	}
	for i := range lanes {
		part := k.Edges[i*len(k.Edges)/len(lanes) : (i+1)*len(k.Edges)/len(lanes)]
		jobs = append(jobs, job{copyEdges, func() []byte { return edgeTuples(at, part) }, 3 * len(part)})
	}
	var g errgroup.Group // no context: one that fails must not break the others' connections
	for i, mine := range share(jobs, len(lanes)) {
		g.Go(func() error {
			for _, j := range mine {
				if _, err := lanes[i].Conn().PgConn().CopyFrom(ctx, bytes.NewReader(j.rows()), j.into); err != nil {
					return err
				}
			}
			return nil
		})
	}
	return g.Wait()
}

// share deals jobs out, the dearest first, to whoever has the least to do.
func share(jobs []job, n int) [][]job {
	slices.SortFunc(jobs, func(a, b job) int { return cmp.Compare(b.cost, a.cost) })
	dealt, load := make([][]job, n), make([]int, n)
	for _, j := range jobs {
		if j.cost == 0 {
			continue
		}
		least := slices.Index(load, slices.Min(load))
		dealt[least] = append(dealt[least], j)
		load[least] += j.cost
	}
	return dealt
}
