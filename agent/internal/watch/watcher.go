package watch

import (
	"context"
	"slices"
	"sync"
)

// watcher watches one kind: a lane for each namespace, or one for all, and one status of them together.
type watcher struct {
	src    *Source
	kind   Kind
	lanes  []*lane // none if the kind is excluded
	cancel context.CancelFunc
	done   chan struct{}

	mu      sync.Mutex // guards told and settled; taken before a lane's
	told    KindStatus
	settled bool
}

func newWatcher(s *Source, kind Kind) *watcher {
	w := &watcher{src: s, kind: kind, cancel: func() {}, done: make(chan struct{})}
	if slices.Contains(s.cfg.Exclude, kind.GroupKind) {
		return w
	}
	for _, namespace := range s.namespaces(kind) {
		w.lanes = append(w.lanes, newLane(w, namespace))
	}
	return w
}

func (w *watcher) excluded() bool { return len(w.lanes) == 0 }

// objects is how many are known.
func (w *watcher) objects() int {
	n := 0
	for _, l := range w.lanes {
		l.mu.Lock()
		n += len(l.known.seen)
		l.mu.Unlock()
	}
	return n
}

// inherit takes over what a stopped watcher of the same kind knew.
func (w *watcher) inherit(old *watcher) {
	for i := range min(len(w.lanes), len(old.lanes)) {
		w.lanes[i].known = old.lanes[i].known
	}
}

// start makes the kind known and begins to watch it.
func (w *watcher) start(ctx context.Context, wg *sync.WaitGroup) {
	ctx, w.cancel = context.WithCancel(ctx)
	w.report()
	var lanes sync.WaitGroup
	for _, l := range w.lanes {
		lanes.Go(func() { l.run(ctx) })
	}
	wg.Go(func() {
		lanes.Wait()
		close(w.done)
	})
}

// stop returns when nothing of the kind can get into the queue any more.
func (w *watcher) stop() {
	w.cancel()
	<-w.done
	w.mu.Lock()
	defer w.mu.Unlock()
	w.settle()
}

// settle is called with mu held.
func (w *watcher) settle() {
	if !w.settled {
		w.settled = true
		w.src.settleOne()
	}
}

// report tells how the kind stands if that has changed.
func (w *watcher) report() {
	w.mu.Lock()
	defer w.mu.Unlock()
	status, settled := w.status()
	if status != w.told {
		w.told = status
		w.src.queue.kind(status)
	}
	if settled {
		w.settle()
	}
}

// status is the worst of the lanes'.
func (w *watcher) status() (KindStatus, bool) {
	if w.excluded() {
		return KindStatus{Kind: w.kind, Reason: "excluded by the agent's configuration"}, true
	}
	status, settled := KindStatus{Kind: w.kind, Observed: true}, true
	for _, l := range w.lanes {
		l.mu.Lock()
		status.Observed = status.Observed && l.synced
		settled = settled && l.settled
		if status.Reason == "" {
			status.Reason = l.reason
		}
		l.mu.Unlock()
	}
	if !status.Observed && status.Reason == "" {
		status.Reason = "not yet listed"
	}
	return status, settled
}
