package relational

import (
	"context"
	"time"

	"github.com/kubilitics/kubilitics/hub/internal/fleet"
	"github.com/kubilitics/kubilitics/hub/internal/store"
	"github.com/kubilitics/kubilitics/shared/fault"
	"github.com/kubilitics/kubilitics/shared/topo"
)

// unbegun is the position of a follower that hasn't begun.
const unbegun = -1

func progress(position int64, note string) store.Progress {
	return store.Progress{Position: topo.Position(max(position, 0)), Note: note, Begun: position != unbegun}
}

// Hold implements store.Followers.
func (b *Base) Hold(ctx context.Context, l store.Lease, term time.Duration) (p store.Progress, held bool, err error) {
	err = b.db.Write(ctx, func(ctx context.Context, c Conn) error {
		instant := now()
		if _, err := c.Exec(ctx, `INSERT INTO followers (tenant_id, name, position, note, holder) VALUES ($1, $2, $3, '', '')
			ON CONFLICT (tenant_id, name) DO NOTHING`, int64(l.Tenant), l.Name, unbegun); err != nil {
			return err
		}
		n, err := c.Exec(ctx, `UPDATE followers SET holder = $3, until = $4 WHERE tenant_id = $1 AND name = $2
			AND (holder = $3 OR until IS NULL OR until <= $5)`, int64(l.Tenant), l.Name, l.Holder, instant.Add(term), instant)
		if err != nil {
			return err
		}
		held = n > 0
		var position int64
		var note string
		_, err = queryOne(ctx, c, `SELECT position, note FROM followers WHERE tenant_id = $1 AND name = $2`, []any{int64(l.Tenant), l.Name}, &position, &note)
		p = progress(position, note)
		return err
	})
	return p, held, err
}

func lost(l store.Lease) error {
	return fault.New(fault.Conflict, "another process follows the feed for %q", l.Name)
}

// Advance implements store.Followers.
func (b *Base) Advance(ctx context.Context, l store.Lease, p store.Progress) error {
	return b.db.Write(ctx, func(ctx context.Context, c Conn) error {
		n, err := c.Exec(ctx, `UPDATE followers SET position = $4, note = $5 WHERE tenant_id = $1 AND name = $2 AND holder = $3`,
			int64(l.Tenant), l.Name, l.Holder, int64(p.Position), p.Note)
		if err == nil && n == 0 {
			err = lost(l)
		}
		return err
	})
}

// Release implements store.Followers.
func (b *Base) Release(ctx context.Context, l store.Lease) error {
	return b.db.Write(ctx, func(ctx context.Context, c Conn) error {
		_, err := c.Exec(ctx, `UPDATE followers SET holder = '', until = NULL WHERE tenant_id = $1 AND name = $2 AND holder = $3`, int64(l.Tenant), l.Name, l.Holder)
		return err
	})
}

// guard keeps the lease for this transaction, or fails.
func (b *Base) guard(ctx context.Context, c Conn, l store.Lease) error {
	var one int64
	held, err := queryOne(ctx, c, `SELECT 1 FROM followers WHERE tenant_id = $1 AND name = $2 AND holder = $3`+b.sql.Lock,
		[]any{int64(l.Tenant), l.Name, l.Holder}, &one)
	if err == nil && !held {
		err = lost(l)
	}
	return err
}

// Progress implements store.Followers.
func (b *Base) Progress(ctx context.Context, tenant fleet.TenantID) (map[string]store.Progress, error) {
	type row struct {
		name, note string
		position   int64
	}
	all := map[string]store.Progress{}
	err := b.db.Snapshot(ctx, func(ctx context.Context, c Conn) error {
		rows, err := queryAll(ctx, c, func(rows Rows, r *row) error { return rows.Scan(&r.name, &r.position, &r.note) },
			`SELECT name, position, note FROM followers WHERE tenant_id = $1`, int64(tenant))
		for _, r := range rows {
			all[r.name] = progress(r.position, r.note)
		}
		return err
	})
	return all, err
}

// Forget implements store.Followers.
func (b *Base) Forget(ctx context.Context, tenant fleet.TenantID, prefix string, keep []string) error {
	if keep == nil {
		keep = []string{} // a list of nothing, not nothing
	}
	return b.db.Write(ctx, func(ctx context.Context, c Conn) error {
		_, err := c.Exec(ctx, `DELETE FROM followers WHERE tenant_id = $1 AND substr(name, 1, length($2)) = $2 AND (until IS NULL OR until <= $3) AND NOT (`+
			b.sql.InStrings("name", 4)+`)`, int64(tenant), prefix, now(), keep)
		return err
	})
}
