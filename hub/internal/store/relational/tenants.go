package relational

import (
	"context"
	"time"

	"github.com/kubilitics/kubilitics/hub/internal/fleet"
)

// now is the hub's clock, as finely as both databases keep it.
func now() time.Time { return time.Now().UTC().Truncate(time.Microsecond) }

const selectTenant = `SELECT tenant_id, slug, created FROM tenants`

func scanTenant(rows Rows, t *fleet.Tenant) error {
	return rows.Scan((*int64)(&t.ID), &t.Slug, &t.Created)
}

// EnsureTenant implements store.Tenants.
func (b *Base) EnsureTenant(ctx context.Context, slug string) (tenant fleet.Tenant, err error) {
	err = b.db.Write(ctx, func(ctx context.Context, c Conn) error {
		id := fleet.NewTenantID()
		made, err := c.Exec(ctx, `INSERT INTO tenants (tenant_id, slug, created) VALUES ($1, $2, $3) ON CONFLICT (slug) DO NOTHING`, int64(id), slug, now())
		if err != nil {
			return err
		}
		if made > 0 {
			if _, err := c.Exec(ctx, `INSERT INTO tenant_feed (tenant_id) VALUES ($1)`, int64(id)); err != nil {
				return err
			}
		}
		found, err := queryAll(ctx, c, scanTenant, selectTenant+` WHERE slug = $1`, slug)
		if err == nil {
			tenant = found[0]
		}
		return err
	})
	return tenant, err
}

// Tenants implements store.Tenants.
func (b *Base) Tenants(ctx context.Context) (tenants []fleet.Tenant, err error) {
	err = b.db.Snapshot(ctx, func(ctx context.Context, c Conn) error {
		tenants, err = queryAll(ctx, c, scanTenant, selectTenant+` ORDER BY slug`)
		return err
	})
	return tenants, err
}
