package relational

import (
	"context"

	"github.com/kubilitics/kubilitics/hub/internal/fleet"
	"github.com/kubilitics/kubilitics/hub/internal/store"
	"github.com/kubilitics/kubilitics/shared/fault"
)

// maxDeadLetters is how many a tenant keeps.
const maxDeadLetters = 10_000

const letterColumns = `tenant_id, id, notifier, rule, key, created, tried, attempts, reason, body`

func scanLetter(rows Rows, d *store.DeadLetter) error {
	return rows.Scan((*int64)(&d.Tenant), &d.ID, &d.Notifier, &d.Rule, &d.Key, &d.Created, &d.Tried, &d.Attempts, &d.Reason, &d.Body)
}

// PutDeadLetter implements store.DeadLetters.
func (b *Base) PutDeadLetter(ctx context.Context, d store.DeadLetter) error {
	return b.db.Write(ctx, func(ctx context.Context, c Conn) error {
		if _, err := c.Exec(ctx, `INSERT INTO dead_letters (`+letterColumns+`) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)
			ON CONFLICT (tenant_id, id) DO UPDATE SET tried = excluded.tried, attempts = excluded.attempts, reason = excluded.reason`,
			int64(d.Tenant), d.ID, d.Notifier, d.Rule, d.Key, d.Created, d.Tried, d.Attempts, cleaned(d.Reason, 1000), d.Body); err != nil {
			return err
		}
		_, err := c.Exec(ctx, `DELETE FROM dead_letters WHERE tenant_id = $1 AND id < (SELECT min(id) FROM
			(SELECT id FROM dead_letters WHERE tenant_id = $1 ORDER BY id DESC LIMIT $2) AS newest)`, int64(d.Tenant), maxDeadLetters)
		return err
	})
}

// DeadLetters implements store.DeadLetters.
func (b *Base) DeadLetters(ctx context.Context, tenant fleet.TenantID, before string, limit int) (list []store.DeadLetter, err error) {
	err = b.db.Snapshot(ctx, func(ctx context.Context, c Conn) error {
		list, err = queryAll(ctx, c, scanLetter, `SELECT `+letterColumns+` FROM dead_letters WHERE tenant_id = $1 AND ($2 = '' OR id < $2)
			ORDER BY id DESC LIMIT $3`, int64(tenant), before, limit)
		return err
	})
	return list, err
}

func noLetter(id string) error {
	return fault.New(fault.NotFound, "there is no undelivered notification %q", id)
}

// DeadLetter implements store.DeadLetters.
func (b *Base) DeadLetter(ctx context.Context, tenant fleet.TenantID, id string) (d store.DeadLetter, err error) {
	err = b.db.Snapshot(ctx, func(ctx context.Context, c Conn) error {
		found, err := queryAll(ctx, c, scanLetter, `SELECT `+letterColumns+` FROM dead_letters WHERE tenant_id = $1 AND id = $2`, int64(tenant), id)
		if err != nil {
			return err
		}
		if len(found) == 0 {
			return noLetter(id)
		}
		d = found[0]
		return nil
	})
	return d, err
}

// DeleteDeadLetter implements store.DeadLetters.
func (b *Base) DeleteDeadLetter(ctx context.Context, tenant fleet.TenantID, id string) error {
	return b.db.Write(ctx, func(ctx context.Context, c Conn) error {
		n, err := c.Exec(ctx, `DELETE FROM dead_letters WHERE tenant_id = $1 AND id = $2`, int64(tenant), id)
		if err == nil && n == 0 {
			err = noLetter(id)
		}
		return err
	})
}
