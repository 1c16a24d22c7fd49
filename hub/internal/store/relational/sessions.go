package relational

import (
	"cmp"
	"context"
	"slices"
	"time"

	"github.com/kubilitics/kubilitics/hub/internal/fleet"
	"github.com/kubilitics/kubilitics/hub/internal/store"
	"github.com/kubilitics/kubilitics/shared/fault"
)

// OpenSession implements store.Sessions. A live session that is superseded ends the live interval: until MarkLive, what is known is as old as
// its last sign of life.
func (b *Base) OpenSession(ctx context.Context, at store.Scope, h store.Hello) (cl fleet.Cluster, err error) {
	err = b.writeFeed(ctx, at.Tenant, func(ctx context.Context, c Conn) error {
		old, err := cluster(ctx, c, at, b.sql.Lock)
		if err != nil {
			return err
		}
		opened, err := c.Exec(ctx, `UPDATE clusters SET epoch = epoch + 1, seq = 0, session_open = TRUE, kube_uid = $3, version = $4, provider = $5,
			agent = $6, instance = $7, share = $8, last_heard = $9
			WHERE tenant_id = $1 AND cluster_id = $2 AND (kube_uid = '' OR kube_uid = $3)`,
			int64(at.Tenant), int64(at.Cluster), h.KubeUID, h.Version, h.Provider, h.Agent, h.Instance, string(h.Share), now())
		if err != nil {
			return err
		}
		if opened == 0 {
			return fault.New(fault.Conflict, "cluster %s is bound to another Kubernetes cluster than the agent's", at.Cluster)
		}
		if h.Share == fleet.ShareTopology && old.Share != fleet.ShareTopology {
			if err := dropManifests(ctx, c, at); err != nil {
				return err
			}
		}
		if err := b.takeOver(ctx, c, at, old, h); err != nil {
			return err
		}
		cl, err = cluster(ctx, c, at, "")
		return err
	})
	return cl, err
}

// takeOver tells the feed what the new session changes for those who look at the cluster.
func (b *Base) takeOver(ctx context.Context, c Conn, at store.Scope, old fleet.Cluster, h store.Hello) error {
	wasLive := old.Freshness.State == fleet.Live
	if !wasLive && old.Version == h.Version && old.Provider == h.Provider && old.Agent == h.Agent && old.Share == h.Share {
		return nil
	}
	if _, _, err := b.announce(ctx, c, at, store.EntryCluster); err != nil {
		return err
	}
	if !wasLive {
		return nil
	}
	return setFreshness(ctx, c, at, fleet.Stale, later(old.Freshness.Since, old.Freshness.LastHeard))
}

func dropManifests(ctx context.Context, c Conn, at store.Scope) error {
	for _, sql := range []string{
		`DELETE FROM manifests WHERE tenant_id = $1 AND cluster_id = $2`,
		`DELETE FROM manifests_history WHERE tenant_id = $1 AND cluster_id = $2`,
		`DELETE FROM digests WHERE tenant_id = $1 AND cluster_id = $2 AND tbl = 2`,
	} {
		if _, err := c.Exec(ctx, sql, int64(at.Tenant), int64(at.Cluster)); err != nil {
			return err
		}
	}
	return nil
}

// setFreshness ends the cluster's freshness interval and begins another.
func setFreshness(ctx context.Context, c Conn, at store.Scope, state fleet.FreshnessState, since time.Time) error {
	args := []any{int64(at.Tenant), int64(at.Cluster), since}
	for _, sql := range []string{
		`UPDATE freshness SET until = $3 WHERE tenant_id = $1 AND cluster_id = $2 AND until IS NULL`,
		// An interval that begins with the one before had no length.
		`DELETE FROM freshness WHERE tenant_id = $1 AND cluster_id = $2 AND since = $3`,
	} {
		if _, err := c.Exec(ctx, sql, args...); err != nil {
			return err
		}
	}
	args = append(args, string(state))
	if _, err := c.Exec(ctx, `INSERT INTO freshness (tenant_id, cluster_id, since, state) VALUES ($1, $2, $3, $4)`, args...); err != nil {
		return err
	}
	_, err := c.Exec(ctx, `UPDATE clusters SET since = $3, state = $4 WHERE tenant_id = $1 AND cluster_id = $2`, args...)
	return err
}

func later(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}

// Fenced is what a session gets to hear whose epoch isn't the newest.
func Fenced(at store.Scope, epoch int64) error {
	return fault.New(fault.Conflict, "session %d of cluster %s was superseded", epoch, at.Cluster)
}

// MarkLive implements store.Sessions.
func (b *Base) MarkLive(ctx context.Context, at store.Scope, epoch int64) error {
	return b.writeFeed(ctx, at.Tenant, func(ctx context.Context, c Conn) error {
		cl, err := cluster(ctx, c, at, b.sql.Lock)
		switch {
		case err != nil:
			return err
		case cl.Epoch != epoch:
			return Fenced(at, epoch)
		case !cl.Synced:
			return fault.New(fault.Conflict, "cluster %s has not completed its first load", at.Cluster)
		case cl.Freshness.State == fleet.Live:
			return nil
		}
		_, instant, err := b.announce(ctx, c, at, store.EntryCluster)
		if err != nil {
			return err
		}
		if _, err := c.Exec(ctx, `UPDATE clusters SET last_heard = $3 WHERE tenant_id = $1 AND cluster_id = $2`,
			int64(at.Tenant), int64(at.Cluster), instant); err != nil {
			return err
		}
		return setFreshness(ctx, c, at, fleet.Live, instant)
	})
}

// MarkHeard implements store.Sessions. Rows are taken in one order, so that two hubs don't wait for each other.
func (b *Base) MarkHeard(ctx context.Context, heard []store.Heard) error {
	sorted := slices.SortedFunc(slices.Values(heard), func(x, y store.Heard) int {
		return cmp.Or(cmp.Compare(x.Scope.Tenant, y.Scope.Tenant), cmp.Compare(x.Scope.Cluster, y.Scope.Cluster), x.At.Compare(y.At))
	})
	return b.db.Write(ctx, func(ctx context.Context, c Conn) error {
		for _, h := range sorted {
			if _, err := c.Exec(ctx, `UPDATE clusters SET last_heard = $4
				WHERE tenant_id = $1 AND cluster_id = $2 AND epoch = $3 AND deleted IS NULL AND (last_heard IS NULL OR last_heard < $4)`,
				int64(h.Scope.Tenant), int64(h.Scope.Cluster), h.Epoch, h.At); err != nil {
				return err
			}
		}
		return nil
	})
}

// CloseSession implements store.Sessions.
func (b *Base) CloseSession(ctx context.Context, at store.Scope, epoch int64, lastHeard time.Time) error {
	return b.writeFeed(ctx, at.Tenant, func(ctx context.Context, c Conn) error {
		cl, err := cluster(ctx, c, at, b.sql.Lock)
		if fault.Is(err, fault.NotFound) {
			return nil // deleted: there is nothing left to say of it
		}
		if err != nil || cl.Epoch != epoch {
			return err
		}
		return b.endSession(ctx, c, at, cl, lastHeard)
	})
}

func (b *Base) endSession(ctx context.Context, c Conn, at store.Scope, cl fleet.Cluster, lastHeard time.Time) error {
	lastHeard = later(lastHeard, cl.Freshness.LastHeard)
	if _, err := c.Exec(ctx, `UPDATE clusters SET session_open = FALSE, last_heard = $3 WHERE tenant_id = $1 AND cluster_id = $2`,
		int64(at.Tenant), int64(at.Cluster), lastHeard); err != nil {
		return err
	}
	if cl.Freshness.State != fleet.Live {
		return nil
	}
	if _, _, err := b.announce(ctx, c, at, store.EntryCluster); err != nil {
		return err
	}
	return setFreshness(ctx, c, at, fleet.Stale, later(lastHeard, cl.Freshness.Since))
}

// ExpireSessions implements store.Sessions: each cluster in its own transaction, so that none holds two.
func (b *Base) ExpireSessions(ctx context.Context, before time.Time) (n int, err error) {
	var quiet []store.Scope
	err = b.db.Snapshot(ctx, func(ctx context.Context, c Conn) error {
		quiet, err = queryAll(ctx, c, scanScope, `SELECT tenant_id, cluster_id FROM clusters
			WHERE session_open AND deleted IS NULL AND (last_heard IS NULL OR last_heard < $1) ORDER BY tenant_id, cluster_id`, before)
		return err
	})
	if err != nil {
		return 0, err
	}
	for _, at := range quiet {
		ended, err := b.expire(ctx, at, before)
		if err != nil {
			return n, err
		}
		if ended {
			n++
		}
	}
	return n, nil
}

func scanScope(rows Rows, s *store.Scope) error {
	return rows.Scan((*int64)(&s.Tenant), (*int64)(&s.Cluster))
}

func (b *Base) expire(ctx context.Context, at store.Scope, before time.Time) (ended bool, err error) {
	err = b.writeFeed(ctx, at.Tenant, func(ctx context.Context, c Conn) error {
		cl, err := cluster(ctx, c, at, b.sql.Lock)
		if fault.Is(err, fault.NotFound) {
			return nil
		}
		if err != nil || !cl.Freshness.LastHeard.Before(before) {
			return err // heard of since the list was made
		}
		ended = true
		return b.endSession(ctx, c, at, cl, cl.Freshness.LastHeard)
	})
	return ended, err
}
