package live

import (
	"sort"
	"sync"

	"github.com/kubilitics/kubilitics/hub/internal/fleet"
	"github.com/kubilitics/kubilitics/shared/topo"
)

// tail is the end of one tenant's feed: the entries that some subscription has still to take, up to a bound. Subscriptions keep a place in
// it rather than a queue each, so memory doesn't grow with their number, and one that is slow costs nobody else anything: what it
// hasn't taken when the bound is reached, it has lost, and is told so.
type tail struct {
	tenant  fleet.TenantID
	entries int
	rows    int

	mu    sync.Mutex
	subs  map[*Subscription]struct{}
	items []*item
	base  topo.Position // the position before the first item: whoever has less has lost something
	head  topo.Position // the last position read
	held  int           // rows in items
}

func newTail(tenant fleet.TenantID, at topo.Position, cfg Config) *tail {
	return &tail{tenant: tenant, entries: cfg.Entries, rows: cfg.Rows, subs: map[*Subscription]struct{}{}, base: at, head: at}
}

func (t *tail) size() int {
	t.mu.Lock()
	defer t.mu.Unlock()
	return len(t.subs)
}

func (t *tail) position() topo.Position {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.head
}

func (t *tail) members() []*Subscription {
	t.mu.Lock()
	defer t.mu.Unlock()
	out := make([]*Subscription, 0, len(t.subs))
	for s := range t.subs {
		out = append(out, s)
	}
	return out
}

// publish appends what was read, lets go what everybody has, and wakes the subscriptions.
func (t *tail) publish(items []*item) {
	if len(items) == 0 {
		return
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.trim()
	for _, i := range items {
		t.items = append(t.items, i)
		t.held += i.rows()
		t.head = i.Position
	}
	for (len(t.items) > t.entries || t.held > t.rows) && len(t.items) > 1 {
		t.drop()
	}
	for s := range t.subs {
		s.poke()
	}
}

// trim drops what all who follow have taken.
func (t *tail) trim() {
	least := t.head
	for s := range t.subs {
		if s.following {
			least = min(least, s.taken)
		}
	}
	for len(t.items) > 0 && t.items[0].Position <= least {
		t.drop()
	}
	if len(t.items) == 0 {
		t.items, t.base = nil, t.head
	}
}

func (t *tail) drop() {
	t.base = t.items[0].Position
	t.held -= t.items[0].rows()
	t.items[0] = nil // the array stays; the entry must not
	t.items = t.items[1:]
}

// restart empties the tail: nothing before that position can be had here any more.
func (t *tail) restart(at topo.Position) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.items, t.held, t.base, t.head = nil, 0, at, at
	for s := range t.subs {
		s.poke()
	}
}

func (t *tail) end(err error) {
	for _, s := range t.members() {
		s.end(err)
	}
}

// maxTaken bounds what a subscription holds in its own hands.
const maxTaken = 32

// take gives a following subscription its next items; ok is false when some of them are lost.
func (t *tail) take(s *Subscription) (items []*item, ok bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if s.taken < t.base {
		return nil, false
	}
	first := sort.Search(len(t.items), func(i int) bool { return t.items[i].Position > s.taken })
	items = append(items, t.items[first:min(first+maxTaken, len(t.items))]...)
	if len(items) > 0 {
		s.taken = items[len(items)-1].Position
	}
	return items, true
}

// pin makes a subscription that is catching up follow from the tail's head, which it gives: what the subscription lacks up to there it
// reads from the store, and from there on nothing is let go that it hasn't taken.
func (t *tail) pin(s *Subscription) topo.Position {
	t.mu.Lock()
	defer t.mu.Unlock()
	s.taken, s.following = t.head, true
	return t.head
}

// advance notes that a following subscription has everything up to a position.
func (t *tail) advance(s *Subscription, at topo.Position) {
	t.mu.Lock()
	defer t.mu.Unlock()
	s.taken = max(s.taken, at)
}
