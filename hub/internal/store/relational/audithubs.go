package relational

import (
	"context"
	"time"

	"github.com/kubilitics/kubilitics/hub/internal/store"
	"github.com/kubilitics/kubilitics/shared/topo"
)

// SeeHub implements store.Audit.
func (b *Base) SeeHub(ctx context.Context, hub string) error {
	return b.db.Write(ctx, func(ctx context.Context, c Conn) error {
		_, err := c.Exec(ctx, `INSERT INTO audit_hubs (hub, seen) VALUES ($1, `+b.sql.Clock+`) ON CONFLICT (hub) DO UPDATE SET seen = excluded.seen`, hub)
		return err
	})
}

// AbandonAudit implements store.Audit.
func (b *Base) AbandonAudit(ctx context.Context, silent time.Duration, limit int) (n int, err error) {
	err = b.db.Write(ctx, func(ctx context.Context, c Conn) error {
		n = 0
		var now time.Time
		if _, err := queryOne(ctx, c, `SELECT `+b.sql.Clock, nil, &now); err != nil {
			return err
		}
		before := now.Add(-silent)
		// What a hub that isn't known took only now is by one that has yet to be seen. Rows are locked, so that two hubs don't move the same.
		left, err := queryAll(ctx, c, scanAudit, `SELECT `+AuditColumns+` FROM audit_open o WHERE at < $1
			AND NOT EXISTS (SELECT 1 FROM audit_hubs h WHERE h.hub = o.hub AND h.seen >= $1) ORDER BY tenant_id, id LIMIT $2`+b.sql.Lock, before, limit)
		if err != nil {
			return err
		}
		for i := range left {
			if err := b.abandon(ctx, c, left[i].AuditRecord, left[i].ID); err != nil {
				return err
			}
		}
		n = len(left)
		_, err = c.Exec(ctx, `DELETE FROM audit_hubs WHERE seen < $1 AND NOT EXISTS (SELECT 1 FROM audit_open o WHERE o.hub = audit_hubs.hub)`, before)
		return err
	})
	return n, err
}

// abandon moves a record that nobody will complete, unless it was completed after all.
func (b *Base) abandon(ctx context.Context, c Conn, r *store.AuditRecord, id topo.ID) error {
	if _, err := c.Exec(ctx, `DELETE FROM audit_open WHERE tenant_id = $1 AND id = $2`, int64(r.Tenant), id); err != nil {
		return err
	}
	r.Outcome, r.Reason = store.AuditUnknown, abandoned
	row := AuditRow{ID: id, Groups: jsonList(r.Groups), Command: jsonList(r.Command), AuditRecord: r}
	_, err := c.Exec(ctx, leaveAudit.one, row.Cells()...)
	return err
}

var leaveAudit = newAuditInsert("audit", ` ON CONFLICT (tenant_id, id) DO NOTHING`)

// DropAudit implements store.Audit row by row.
func (b *Base) DropAudit(ctx context.Context, before time.Time, limit int) (more bool, err error) {
	tenants, err := b.Tenants(ctx)
	if err != nil {
		return false, err
	}
	for _, t := range tenants {
		left, err := b.sweepTable(ctx, `DELETE FROM audit WHERE tenant_id = $1 AND id IN (SELECT id FROM audit WHERE tenant_id = $1 AND id < $2 ORDER BY id LIMIT $3)`,
			limit, int64(t.ID), AuditFloor(before), limit)
		if err != nil {
			return false, err
		}
		more = more || left
	}
	return more, nil
}
