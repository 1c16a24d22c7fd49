package sqlite

import (
	"context"
	"time"

	"github.com/kubilitics/kubilitics/hub/internal/fleet"
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
		if err := s.Moved(ctx, seen, ring); err != nil && ctx.Err() == nil {
			return err
		}
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
	}
}
