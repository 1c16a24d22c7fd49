package relational

import (
	"context"
	"time"

	"github.com/kubilitics/kubilitics/hub/internal/fleet"
	"github.com/kubilitics/kubilitics/hub/internal/store"
)

// Trim implements store.Retention. A feed entry loses its payload first; the bare row stays as long as history does, since it tells which
// instant a position was.
func (b *Base) Trim(ctx context.Context, keep store.Keep, limit int) (more bool, err error) {
	instant := now()
	tenants, err := b.Tenants(ctx)
	if err != nil {
		return false, err
	}
	for _, t := range tenants {
		left, err := b.trimFeed(ctx, t.ID, instant, keep, limit)
		if err != nil {
			return false, err
		}
		more = more || left
	}
	left, err := b.db.TrimHistory(ctx, instant.Add(-keep.History), limit)
	if err != nil {
		return false, err
	}
	if err := b.sweepRefs(ctx, limit); err != nil {
		return false, err
	}
	stale, err := b.trimStreams(ctx, instant.Add(-keep.Events), instant.Add(-keep.History), limit)
	return more || left || stale, err
}

// trimFeed moves two marks up the tenant's feed: below the first, entries are no longer read; before the second, nothing of the past is. The second moves
// all the way at once, and before anything is deleted, so that no reader misses what it was promised. Its own row stays, for its instant.
func (b *Base) trimFeed(ctx context.Context, tenant fleet.TenantID, instant time.Time, keep store.Keep, limit int) (more bool, err error) {
	err = b.db.Write(ctx, func(ctx context.Context, c Conn) error {
		var trimmed, floor int64
		if _, err := queryOne(ctx, c, `SELECT trimmed, history_floor FROM tenant_feed WHERE tenant_id = $1`, []any{int64(tenant)}, &trimmed, &floor); err != nil {
			return err
		}
		unread, left, err := older(ctx, c, tenant, trimmed, instant.Add(-keep.Feed), limit)
		if err != nil {
			return err
		}
		forgotten := floor
		if _, err := queryOne(ctx, c, `SELECT pos FROM feed WHERE tenant_id = $1 AND at < $2 ORDER BY at DESC LIMIT 1`,
			[]any{int64(tenant), instant.Add(-keep.History)}, &forgotten); err != nil {
			return err
		}
		forgotten = max(forgotten, floor)
		if unread != trimmed || forgotten != floor {
			if _, err := c.Exec(ctx, `UPDATE feed SET payload = NULL WHERE tenant_id = $1 AND pos > $2 AND pos <= $3 AND payload IS NOT NULL`, int64(tenant), trimmed, unread); err != nil {
				return err
			}
			if _, err := c.Exec(ctx, `UPDATE tenant_feed SET trimmed = $2, history_floor = $3 WHERE tenant_id = $1`, int64(tenant), unread, forgotten); err != nil {
				return err
			}
		}
		gone, err := c.Exec(ctx, `DELETE FROM feed WHERE tenant_id = $1 AND pos IN (SELECT pos FROM feed WHERE tenant_id = $1 AND pos < $2 ORDER BY pos LIMIT $3)`,
			int64(tenant), min(forgotten, unread+1), limit)
		more = left || gone >= int64(limit)
		return err
	})
	return more, err
}

// older gives the newest position, at most limit after the mark, whose instant is before.
func older(ctx context.Context, c Conn, tenant fleet.TenantID, mark int64, before time.Time, limit int) (pos int64, more bool, err error) {
	var n int64
	_, err = queryOne(ctx, c, `SELECT coalesce(max(pos), 0), count(*) FROM (SELECT pos, at FROM feed WHERE tenant_id = $1 AND pos > $2 ORDER BY pos LIMIT $4) AS old
		WHERE at < $3`, []any{int64(tenant), mark, before, limit}, &pos, &n)
	return max(pos, mark), n >= int64(limit), err
}

// trimStreams deletes Kubernetes Events and quarantine records not heard of since, and freshness that ended before all history.
func (b *Base) trimStreams(ctx context.Context, before, past time.Time, limit int) (more bool, err error) {
	err = b.db.Write(ctx, func(ctx context.Context, c Conn) error {
		for i, sql := range []string{
			`DELETE FROM events WHERE (tenant_id, cluster_id, uid) IN (SELECT tenant_id, cluster_id, uid FROM events WHERE seen < $1 ORDER BY seen LIMIT $2)`,
			`DELETE FROM quarantine WHERE (tenant_id, cluster_id, tbl, row_key) IN (SELECT tenant_id, cluster_id, tbl, row_key FROM quarantine WHERE last < $1 LIMIT $2)`,
			`DELETE FROM freshness WHERE (tenant_id, cluster_id, since) IN (SELECT tenant_id, cluster_id, since FROM freshness WHERE until < $1 LIMIT $2)`,
		} {
			n, err := c.Exec(ctx, sql, []time.Time{before, before, past}[i], limit)
			if err != nil {
				return err
			}
			more = more || n >= int64(limit)
		}
		return nil
	})
	return more, err
}
