package relational

import (
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
