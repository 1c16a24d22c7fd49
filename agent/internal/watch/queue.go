package watch

import (
	"context"
	"slices"
	"sync"
	"time"

	"github.com/kubilitics/kubilitics/shared/topo"
)

const (
	batchChanges = 512  // so that the taker gets to look at other things too
	ringEvents   = 1024 // Events may be lost: they are told again by EventsSince
	maxProblems  = 128  // the log has them all
	shrinkAt     = 4096 // above this an emptied queue gives its memory back
)

// queue holds what was not yet taken: per object the newest state only, so that it is bounded by the number of objects,
// not of changes. Manifests' bytes are bounded beneath that, by limit.
type queue struct {
	limit int // of held

	mu       sync.Mutex // guards all below; never held over anything that waits
	pending  map[topo.Ref]*entry
	order    []*entry // in the order in which objects first entered; an object that changes again keeps its place
	peak     int      // the most entries that pending had since it was made
	put      uint64   // how many entries were ever put in
	taken    uint64   // how many of those were taken out: what is marked with a number up to this one was handed out
	held     int      // bytes of manifests in pending
	kinds    []kindNews
	events   []topo.Event
	lost     int
	problems []Problem
	reach    *Reach
	settled  bool
	syncedAt uint64
	said     bool // Synced was handed out

	coalesced, allLost uint64 // ever

	wake chan struct{} // one token: something is there
}

type entry struct {
	change Change
	since  time.Time // when it began to wait
	dead   bool      // its kind is gone
}

// kindNews is a status that may be told once all entries up to after were taken.
type kindNews struct {
	status KindStatus
	after  uint64
}

func newQueue(limit int) *queue {
	return &queue{limit: limit, pending: map[topo.Ref]*entry{}, wake: make(chan struct{}, 1)}
}

func (q *queue) ring() {
	select {
	case q.wake <- struct{}{}:
	default:
	}
}

// room tells whether it is worth to make a manifest's bytes.
func (q *queue) room() bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.held < q.limit
}

func (q *queue) change(c Change) {
	defer q.ring()
	q.mu.Lock()
	defer q.mu.Unlock()
	e, waits := q.pending[c.Ref]
	if !waits {
		e = &entry{since: time.Now()}
		q.pending[c.Ref] = e
		q.order = append(q.order, e)
		q.put++
		q.peak = max(q.peak, len(q.pending))
	} else {
		q.coalesced++
	}
	q.held -= len(e.change.Body)
	if q.held+len(c.Body) > q.limit {
		c.Body = nil
	}
	q.held += len(c.Body)
	e.change = c
}

// kind tells how a kind stands. It replaces what was to be told of it, with two exceptions: that it is gone, and, as
// being observed is told only behind the objects, what comes before them.
func (q *queue) kind(s KindStatus) {
	defer q.ring()
	q.mu.Lock()
	defer q.mu.Unlock()
	q.kinds = slices.DeleteFunc(q.kinds, func(n kindNews) bool {
		replaced := s.Gone || !n.status.Gone && (!s.Observed || n.status.Observed)
		return n.status.GroupKind == s.GroupKind && replaced
	})
	news := kindNews{status: s}
	if s.Observed {
		news.after = q.put
	}
	if s.Gone {
		q.purge(s.GroupKind)
	}
	q.kinds = append(q.kinds, news)
}

// purge is called with mu held.
func (q *queue) purge(gk topo.GroupKind) {
	for _, e := range q.order {
		if e.change.Ref.GroupKind() == gk && !e.dead {
			e.dead = true
			q.held -= len(e.change.Body)
			delete(q.pending, e.change.Ref)
			e.change = Change{}
		}
	}
}

func (q *queue) event(e topo.Event) {
	defer q.ring()
	q.mu.Lock()
	defer q.mu.Unlock()
	if len(q.events) == ringEvents {
		q.events = slices.Delete(q.events, 0, 1)
		q.lost++
		q.allLost++
	}
	q.events = append(q.events, e)
}

func (q *queue) problem(p Problem) {
	defer q.ring()
	q.mu.Lock()
	defer q.mu.Unlock()
	if len(q.problems) < maxProblems {
		q.problems = append(q.problems, p)
	}
}

func (q *queue) reached(r Reach) {
	defer q.ring()
	q.mu.Lock()
	defer q.mu.Unlock()
	q.reach = &r
}

// settle marks the end of the first sync: what was put in up to now belongs to it.
func (q *queue) settle() {
	defer q.ring()
	q.mu.Lock()
	defer q.mu.Unlock()
	if !q.settled {
		q.settled, q.syncedAt = true, q.put
	}
}

// next waits until there is something and takes a batch of it.
func (q *queue) next(ctx context.Context) (Batch, error) {
	for {
		if b, some := q.take(); some {
			return b, nil
		}
		select {
		case <-ctx.Done():
			return Batch{}, ctx.Err()
		case <-q.wake:
		}
	}
}

func (q *queue) take() (Batch, bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	b := Batch{Events: q.events, EventsLost: q.lost, Problems: q.problems, Reach: q.reach}
	q.events, q.lost, q.problems, q.reach = nil, 0, nil, nil
	b.Kinds = q.takeKinds()
	b.Changes, b.Since = q.takeChanges()
	news := len(b.Kinds)+len(b.Changes)+len(b.Events)+b.EventsLost+len(b.Problems) > 0 || b.Reach != nil
	b.Synced = q.synced()
	news = news || b.Synced && !q.said
	q.said = q.said || b.Synced
	return b, news
}

// takeKinds leaves those whose objects are still in the queue.
func (q *queue) takeKinds() []KindStatus {
	var out []KindStatus
	q.kinds = slices.DeleteFunc(q.kinds, func(n kindNews) bool {
		if n.after > q.taken {
			return false
		}
		out = append(out, n.status)
		return true
	})
	return out
}

// takeChanges gives the oldest, and since when the first of them has waited.
func (q *queue) takeChanges() (out []Change, since time.Time) {
	n := 0
	for ; n < len(q.order) && len(out) < batchChanges; n++ {
		e := q.order[n]
		q.order[n] = nil
		if e.dead {
			continue
		}
		if out == nil {
			out, since = make([]Change, 0, min(len(q.order)-n, batchChanges)), e.since
		}
		out = append(out, e.change)
		q.held -= len(e.change.Body)
		delete(q.pending, e.change.Ref)
	}
	q.taken += uint64(n)
	q.order = q.order[n:]
	if len(q.order) == 0 {
		q.emptied()
	}
	return out, since
}

// emptied gives back what a flood left behind: a map doesn't shrink by itself.
func (q *queue) emptied() {
	q.order = nil
	if q.peak > shrinkAt {
		q.pending, q.peak = map[topo.Ref]*entry{}, 0
	}
}

func (q *queue) synced() bool {
	if !q.settled || q.taken < q.syncedAt {
		return false
	}
	return q.said || !slices.ContainsFunc(q.kinds, func(n kindNews) bool { return n.after <= q.syncedAt })
}
