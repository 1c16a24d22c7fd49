package sqlite

import (
	"context"
	"time"

	"github.com/kubilitics/kubilitics/hub/internal/fleet"
	"github.com/kubilitics/kubilitics/hub/internal/store/relational"
)

// How often the feeds are looked at for what another process wrote.
const poll = 2 * time.Second

// Doorbell implements store.Feed. Writers of this process ring at once.
func (s *Store) Doorbell(ctx context.Context, ring func(fleet.TenantID)) error {
	defer s.bells.Add(ring)()
	seen := map[fleet.TenantID]int64{}
	tick := time.NewTicker(poll)
	defer tick.Stop()
	for {
		if err := s.moved(ctx, seen, ring); err != nil && ctx.Err() == nil {
			return err
		}
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
	}
}

// moved rings for the tenants whose feed has grown.
func (s *Store) moved(ctx context.Context, seen map[fleet.TenantID]int64, ring func(fleet.TenantID)) error {
	return s.Snapshot(ctx, func(ctx context.Context, c relational.Conn) error {
		rows, err := c.Query(ctx, `SELECT tenant_id, pos FROM tenant_feed`)
		if err != nil {
			return err
		}
		defer rows.Close()
		for rows.Next() {
			var tenant, pos int64
			if err := rows.Scan(&tenant, &pos); err != nil {
				return err
			}
			if seen[fleet.TenantID(tenant)] != pos {
				seen[fleet.TenantID(tenant)] = pos
				ring(fleet.TenantID(tenant))
			}
		}
		return rows.Err()
	})
}
