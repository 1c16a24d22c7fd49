package watch

import (
	"cmp"
	"context"
	"slices"
	"sync"
	"time"

	"github.com/klauspost/compress/zstd"
	"go.uber.org/zap"

	"github.com/kubilitics/kubilitics/shared/fault"
	"github.com/kubilitics/kubilitics/shared/topo"
)

// atOnce is how many kinds are listed at the same time. More don't make the first sync faster, but its peak higher.
const atOnce = 8

// Source watches one cluster. Run does the work; Next, Read and the like may be called while it runs.
type Source struct {
	cfg     Config
	log     *zap.Logger
	client  *client
	queue   *queue
	zip     *zstd.Encoder
	scratch sync.Pool // of *buffers
	pace    pace
	metrics *metrics
	turns   chan struct{}
	poke    chan struct{} // one token: kinds may have come or gone

	mu        sync.Mutex // guards all below
	watchers  map[topo.GroupKind]*watcher
	unsettled int  // watchers of the first discovery whose first list isn't decided
	begun     bool // the first discovery is done
}

// New makes a Source, without speaking to the cluster.
func New(cfg Config) (*Source, error) {
	if cfg.RESTConfig == nil || cfg.Decoder == nil {
		return nil, fault.New(fault.BadRequest, "a watch needs a connection to a Kubernetes API and a decoder")
	}
	if cfg.Log == nil {
		cfg.Log = zap.NewNop()
	}
	if cfg.ManifestBytes <= 0 {
		cfg.ManifestBytes = 4 << 20
	}
	s := &Source{
		cfg: cfg, log: cfg.Log, queue: newQueue(cfg.ManifestBytes), zip: newCompressor(), pace: defaultPace(cfg),
		turns: make(chan struct{}, atOnce), poke: make(chan struct{}, 1), watchers: map[topo.GroupKind]*watcher{},
	}
	s.scratch.New = func() any { return &buffers{text: make([]byte, 0, 4<<10)} }
	var err error
	if s.client, err = newClient(cfg.RESTConfig, s.queue.reached); err != nil {
		return nil, err
	}
	s.metrics = newMetrics(cfg.Registerer)
	s.ask(cfg.Registerer)
	return s, nil
}

// Next waits for news and gives some of it, at most a few hundred changes. It is for one caller; the error is ctx's.
func (s *Source) Next(ctx context.Context) (Batch, error) { return s.queue.next(ctx) }

// Run watches until ctx ends, and returns nil when all that it started has stopped. It is called once.
func (s *Source) Run(ctx context.Context) error {
	var wg sync.WaitGroup
	defer s.client.close()
	defer wg.Wait()
	next, looks := time.Now(), 0
	for failures := 0; ; {
		switch s.wait(ctx, next) {
		case ended:
			return nil
		case poked:
			// What a definition says is served only some time after it is stored: look more than once.
			looks = 3
			if soon := time.Now().Add(s.pace.settle); next.After(soon) {
				next = soon
			}
			continue
		}
		if err := s.look(ctx, &wg); err != nil && ctx.Err() == nil {
			failures++
			s.log.Warn("the kinds that the cluster serves can't be learned", zap.Error(err))
			next = time.Now().Add(backoff(s.pace.failed, s.pace.failedMax, failures))
			continue
		}
		failures = 0
		next, looks = s.schedule(looks)
	}
}

func (s *Source) schedule(looks int) (time.Time, int) {
	if looks <= 1 {
		return time.Now().Add(jitter(s.pace.rediscover)), 0
	}
	return time.Now().Add(s.pace.settle << (2 * (4 - looks))), looks - 1
}

type waited int

const (
	due waited = iota
	poked
	ended
)

func (s *Source) wait(ctx context.Context, until time.Time) waited {
	t := time.NewTimer(time.Until(until))
	defer t.Stop()
	select {
	case <-ctx.Done():
		return ended
	case <-s.poke:
		return poked
	case <-t.C:
		return due
	}
}

// nudge says that kinds may have come or gone.
func (s *Source) nudge() {
	select {
	case s.poke <- struct{}{}:
	default:
	}
}

// look compares what is served with what is watched, and stops and starts accordingly.
func (s *Source) look(ctx context.Context, wg *sync.WaitGroup) error {
	inv, err := s.discover(ctx)
	if err != nil {
		return err
	}
	for _, w := range s.outdated(inv) {
		w.stop()
		if _, still := inv.kinds[w.kind.GroupKind]; !still {
			s.remove(w)
		}
	}
	var fresh []*watcher
	for _, kind := range inv.sorted() {
		if w := s.enter(kind); w != nil {
			fresh = append(fresh, w)
		}
	}
	s.begin()
	for _, w := range fresh {
		w.start(ctx, wg)
	}
	return nil
}

func (inv *inventory) sorted() []Kind {
	kinds := make([]Kind, 0, len(inv.kinds))
	for _, k := range inv.kinds {
		kinds = append(kinds, k)
	}
	slices.SortFunc(kinds, func(a, b Kind) int {
		return cmp.Or(cmp.Compare(a.Group, b.Group), cmp.Compare(a.Kind, b.Kind))
	})
	return kinds
}

// outdated are the watchers of what isn't served any more, or at another version.
func (s *Source) outdated(inv inventory) []*watcher {
	s.mu.Lock()
	defer s.mu.Unlock()
	var out []*watcher
	for gk, w := range s.watchers {
		kind, served := inv.kinds[gk]
		if served && kind != w.kind || !served && !inv.silent[gk.Group] {
			out = append(out, w)
		}
	}
	return out
}

func (s *Source) remove(w *watcher) {
	s.mu.Lock()
	delete(s.watchers, w.kind.GroupKind)
	s.mu.Unlock()
	s.queue.kind(KindStatus{Kind: w.kind, Gone: true, Reason: "the API serves it no more"})
}

// enter makes a watcher for a kind that has none at this version, or nil. What one at another version knew is handed on:
// the objects are the same.
func (s *Source) enter(kind Kind) *watcher {
	s.mu.Lock()
	defer s.mu.Unlock()
	old := s.watchers[kind.GroupKind]
	if old != nil && old.kind == kind {
		return nil
	}
	w := newWatcher(s, kind)
	if old != nil {
		w.inherit(old)
	}
	s.watchers[kind.GroupKind] = w
	if !s.begun {
		s.unsettled++
	} else {
		w.settled = true
	}
	return w
}

// begin ends the first discovery. Of a cluster that serves nothing, all is known by then.
func (s *Source) begin() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.begun && s.unsettled == 0 {
		s.queue.settle()
	}
	s.begun = true
}

func (s *Source) settleOne() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.unsettled--; s.unsettled == 0 && s.begun {
		s.queue.settle()
	}
}

func (s *Source) watcherOf(gk topo.GroupKind) (w *watcher, watched bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	w, watched = s.watchers[gk]
	return w, watched && !w.excluded()
}

// namespaces are those in which a kind is watched; the empty one is all of them.
func (s *Source) namespaces(k Kind) []string {
	if !k.Namespaced || len(s.cfg.Namespaces) == 0 {
		return []string{""}
	}
	return s.cfg.Namespaces
}

// turn waits until few enough lists run. The turn ends with the function given back, or after a while: a kind that is
// slow to list, or hangs, must not keep the others waiting.
func (s *Source) turn(ctx context.Context) (func(), error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	select {
	case <-ctx.Done():
		return nil, ctx.Err()
	case s.turns <- struct{}{}:
	}
	var once sync.Once
	free := func() { once.Do(func() { <-s.turns }) }
	late := time.AfterFunc(s.pace.turn, free)
	return func() { late.Stop(); free() }, nil
}
