package relational

import (
	"context"
	"time"

	"github.com/kubilitics/kubilitics/hub/internal/fleet"
	"github.com/kubilitics/kubilitics/hub/internal/store"
	"github.com/kubilitics/kubilitics/shared/fault"
	"github.com/kubilitics/kubilitics/shared/topo"
)

// Tick allocates the tenant's next position. The row it holds keeps later writers of the tenant waiting until this transaction ends: so
// positions become visible in their order.
func (b *Base) Tick(ctx context.Context, c Conn, tenant fleet.TenantID) (pos topo.Position, at time.Time, err error) {
	sql, args := b.sql.Tick(int64(tenant))
	found, err := queryOne(ctx, c, sql, args, (*int64)(&pos), &at)
	if err == nil && !found {
		err = fault.New(fault.NotFound, "there is no tenant %s", tenant)
	}
	return pos, at, err
}

// InsertEntry is the statement that puts an entry in the feed; its arguments are EntryArgs.
const InsertEntry = `INSERT INTO feed (tenant_id, pos, at, kind, cluster_id, gap_since, payload) VALUES ($1, $2, $3, $4, $5, $6, $7)`

// announce puts an entry without payload in the feed.
func (b *Base) announce(ctx context.Context, c Conn, at store.Scope, kind store.EntryKind) (topo.Position, time.Time, error) {
	pos, instant, err := b.Tick(ctx, c, at.Tenant)
	if err != nil {
		return 0, time.Time{}, err
	}
	_, err = c.Exec(ctx, InsertEntry, int64(at.Tenant), int64(pos), instant, string(kind), int64(at.Cluster), time.Time{}, []byte(nil))
	return pos, instant, err
}

// FeedBounds implements store.Feed.
func (b *Base) FeedBounds(ctx context.Context, tenant fleet.TenantID) (first, last topo.Position, err error) {
	err = b.db.Snapshot(ctx, func(ctx context.Context, c Conn) error {
		var trimmed int64
		trimmed, last, err = bounds(ctx, c, tenant)
		first = topo.Position(trimmed + 1)
		return err
	})
	return first, last, err
}

func bounds(ctx context.Context, c Conn, tenant fleet.TenantID) (trimmed int64, last topo.Position, err error) {
	found, err := queryOne(ctx, c, `SELECT trimmed, pos FROM tenant_feed WHERE tenant_id = $1`, []any{int64(tenant)}, &trimmed, (*int64)(&last))
	if err == nil && !found {
		err = fault.New(fault.NotFound, "there is no tenant %s", tenant)
	}
	return trimmed, last, err
}

// Entries implements store.Feed.
func (b *Base) Entries(ctx context.Context, tenant fleet.TenantID, after topo.Position, limit int) (entries []store.Entry, err error) {
	err = b.db.Snapshot(ctx, func(ctx context.Context, c Conn) error {
		trimmed, _, err := bounds(ctx, c, tenant)
		if err != nil {
			return err
		}
		if int64(after) < trimmed {
			return fault.New(fault.Gone, "the feed is kept from position %d on, %d was asked for", trimmed+1, after+1)
		}
		entries, err = EntriesAfter(ctx, c, tenant, after, limit)
		return err
	})
	return entries, err
}

// EntriesAfter gives at most limit entries after a position, in order, of what is left of the feed.
func EntriesAfter(ctx context.Context, c Conn, tenant fleet.TenantID, after topo.Position, limit int) ([]store.Entry, error) {
	return queryAll(ctx, c, scanEntry, `SELECT pos, at, kind, cluster_id, gap_since, payload FROM feed WHERE tenant_id = $1 AND pos > $2 ORDER BY pos LIMIT $3`,
		int64(tenant), int64(after), limit)
}

func scanEntry(rows Rows, e *store.Entry) error {
	var payload []byte
	err := rows.Scan((*int64)(&e.Position), &e.At, (*string)(&e.Kind), (*int64)(&e.Cluster), &e.GapSince, &payload)
	if err != nil {
		return err
	}
	return DecodePayload(payload, e)
}
