package relational

import (
	"context"
	"maps"
	"slices"
	"sync"

	"github.com/kubilitics/kubilitics/hub/internal/fleet"
)

// Bells are those within this process who want to hear of new feed entries.
type Bells struct {
	mu    sync.Mutex
	next  int
	rings map[int]func(fleet.TenantID)
}

// Add registers one; the function it gives takes it out again.
func (b *Bells) Add(ring func(fleet.TenantID)) (remove func()) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.rings == nil {
		b.rings = map[int]func(fleet.TenantID){}
	}
	id := b.next
	b.next++
	b.rings[id] = ring
	return func() {
		b.mu.Lock()
		defer b.mu.Unlock()
		delete(b.rings, id)
	}
}

// Ring calls all of them.
func (b *Bells) Ring(tenant fleet.TenantID) {
	b.mu.Lock()
	rings := slices.Collect(maps.Values(b.rings))
	b.mu.Unlock()
	for _, ring := range rings {
		ring(tenant)
	}
}

// Moved rings for the tenants whose feed has grown beyond what was seen, and notes how far it is now.
func (b *Base) Moved(ctx context.Context, seen map[fleet.TenantID]int64, ring func(fleet.TenantID)) error {
	type mark struct {
		tenant fleet.TenantID
		pos    int64
	}
	return b.db.Snapshot(ctx, func(ctx context.Context, c Conn) error {
		marks, err := queryAll(ctx, c, func(rows Rows, m *mark) error { return rows.Scan((*int64)(&m.tenant), &m.pos) }, `SELECT tenant_id, pos FROM tenant_feed`)
		for _, m := range marks {
			if seen[m.tenant] != m.pos {
				seen[m.tenant] = m.pos
				ring(m.tenant)
			}
		}
		return err
	})
}
