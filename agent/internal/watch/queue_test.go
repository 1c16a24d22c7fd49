package watch

import (
	"context"
	"errors"
	"fmt"
	"testing"

	"github.com/kubilitics/kubilitics/shared/topo"
)

func podChange(name, status string, body int) Change {
	ref := topo.Ref{Kind: "Pod", Namespace: "shop", Name: name}
	c := Change{Change: topo.Change{Ref: ref, Resource: &topo.Resource{Ref: ref, Status: status}}}
	if body > 0 {
		c.Body = make([]byte, body)
	}
	return c
}

func taken(t *testing.T, q *queue) Batch {
	t.Helper()
	b, some := q.take()
	if !some {
		t.Fatal("nothing to take")
	}
	return b
}

func TestQueueKeepsTheNewestOfEachObject(t *testing.T) {
	q := newQueue(100)
	for i := range 1000 {
		q.change(podChange("a", fmt.Sprint(i), 0))
	}
	q.change(podChange("b", "x", 0))
	q.change(podChange("a", "last", 0))
	b := taken(t, q)
	if len(b.Changes) != 2 || b.Changes[0].Resource.Status != "last" || b.Changes[1].Ref.Name != "b" {
		t.Errorf("got %+v", b.Changes)
	}
	if _, some := q.take(); some || len(q.pending) != 0 {
		t.Error("something is left")
	}
}

func TestQueueBoundsManifests(t *testing.T) {
	q := newQueue(100)
	q.change(podChange("a", "", 60))
	q.change(podChange("b", "", 60)) // no room
	q.change(podChange("a", "", 90)) // in the place of the first
	q.change(podChange("c", "", 5))
	b := taken(t, q)
	if l := []int{len(b.Changes[0].Body), len(b.Changes[1].Body), len(b.Changes[2].Body)}; l[0] != 90 || l[1] != 0 || l[2] != 5 {
		t.Errorf("bodies of %v bytes", l)
	}
	if q.held != 0 || !q.room() {
		t.Errorf("%d bytes held by an empty queue", q.held)
	}
	q.change(podChange("a", "", 100))
	q.kind(KindStatus{Kind: pods, Gone: true})
	if q.held != 0 {
		t.Errorf("%d bytes held of a kind that is gone", q.held)
	}
}

func TestQueueOfAKindThatGoesAndComesBack(t *testing.T) {
	q := newQueue(0)
	q.kind(KindStatus{Kind: pods})
	q.change(podChange("old", "", 0))
	q.kind(KindStatus{Kind: pods, Observed: true})
	q.kind(KindStatus{Kind: pods, Gone: true})
	q.kind(KindStatus{Kind: pods})
	q.change(podChange("new", "", 0))
	q.kind(KindStatus{Kind: pods, Observed: true})
	first := taken(t, q)
	if len(first.Kinds) != 2 || !first.Kinds[0].Gone || first.Kinds[1].Gone || first.Kinds[1].Observed || len(first.Changes) != 1 || first.Changes[0].Ref.Name != "new" {
		t.Errorf("first %+v", first)
	}
	second := taken(t, q)
	if len(second.Kinds) != 1 || !second.Kinds[0].Observed || len(second.Changes) != 0 {
		t.Errorf("second %+v", second)
	}
}

func TestQueueSyncedComesWithTheLastOfTheFirstSync(t *testing.T) {
	q := newQueue(0)
	for i := range batchChanges + 1 {
		q.change(podChange(fmt.Sprint(i), "", 0))
	}
	q.kind(KindStatus{Kind: pods, Observed: true})
	q.settle()
	for n, want := range []bool{false, false, true} { // two with objects, one with the kind
		if b := taken(t, q); b.Synced != want {
			t.Errorf("batch %d: synced %v", n, b.Synced)
		}
	}
	q.change(podChange("later", "", 0))
	q.kind(KindStatus{Kind: nodes, Observed: true})
	if b := taken(t, q); !b.Synced {
		t.Error("synced was taken back")
	}
}

func TestQueueLosesTheOldestEventsAndSaysSo(t *testing.T) {
	q := newQueue(0)
	for i := range ringEvents + 3 {
		q.event(topo.Event{Name: fmt.Sprint(i)})
	}
	if b := taken(t, q); b.EventsLost != 3 || len(b.Events) != ringEvents || b.Events[0].Name != "3" {
		t.Errorf("lost %d, kept %d", b.EventsLost, len(b.Events))
	}
}

func TestQueueGivesMemoryBack(t *testing.T) {
	q := newQueue(0)
	for i := range 2 * shrinkAt {
		q.change(podChange(fmt.Sprint(i), "", 0))
	}
	for {
		if _, some := q.take(); !some {
			break
		}
	}
	if q.peak != 0 || q.order != nil {
		t.Errorf("peak %d, order of %d", q.peak, cap(q.order))
	}
}

func TestNextEndsWithItsContext(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := newQueue(0).next(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
}
