package watch

import (
	"context"
	"fmt"
	"math/rand/v2"
	"runtime/debug"
	"sync"
	"time"

	"github.com/go-logr/logr"
	"go.uber.org/zap"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/client-go/tools/cache"
	"k8s.io/klog/v2"

	"github.com/kubilitics/kubilitics/shared/topo"
)

// pace is how long things take; tests have shorter ones.
type pace struct {
	refusedFirst time.Duration // after a refusal; it doubles, since an API server that starts refuses what it will soon allow
	refused      time.Duration // the last such pause
	failed       time.Duration // the first pause after a failure; it doubles
	failedMax    time.Duration
	healthy      time.Duration // a watch that lasted this long begins anew with the first pause
	turn         time.Duration // how long a slow list may keep others waiting
	silence      time.Duration // how long a stream of initial objects may stop before it is taken for one that never ends
	settle       time.Duration // after news of a kind, until the API serves it
	rediscover   time.Duration
}

func defaultPace(cfg Config) pace {
	p := pace{
		refusedFirst: time.Second,
		refused:      5 * time.Minute,
		failed:       500 * time.Millisecond,
		failedMax:    30 * time.Second,
		healthy:      time.Minute,
		turn:         5 * time.Second,
		silence:      30 * time.Second,
		settle:       500 * time.Millisecond,
		rediscover:   10 * time.Minute,
	}
	if cfg.Retry > 0 {
		p.refused = cfg.Retry
		p.refusedFirst = min(p.refusedFirst, cfg.Retry)
	}
	if cfg.Rediscover > 0 {
		p.rediscover = cfg.Rediscover
	}
	return p
}

// forgetAfter is how many refusals of a list in a row make its objects unknown. One may be a hiccup of an API server
// that hasn't read its roles yet; later there is nothing left to say what became of them.
const forgetAfter = 6

// lane watches one kind in one namespace, or in all.
type lane struct {
	src       *Source
	owner     *watcher
	kind      Kind
	namespace string
	consume   func(raw []byte) (resourceVersion string, err error)

	reflector *cache.Reflector

	lists sync.WaitGroup // lists that are being read: the reflector forsakes them when it is told to stop, the lane doesn't

	mu       sync.Mutex // guards all below, and orders what is known with what is put in the queue
	known    known
	listed   bool
	streams  bool // the last list was begun as a stream
	closed   bool // nothing more may get into the queue
	synced   bool
	settled  bool
	reason   string
	trouble  error // that the reflector keeps to itself
	noStream bool  // the server doesn't end its initial events: it is to be listed
	failures int   // in a row
	refusals int   // in a row, with nothing else between them: a server that couldn't be reached may be another one when it can
}

func newLane(w *watcher, namespace string) *lane {
	l := &lane{src: w.src, owner: w, kind: w.kind, namespace: namespace}
	l.consume = l.resource
	if w.kind.GroupKind == eventKind {
		l.consume = l.event
	}
	quiet := logr.Discard() // all that goes wrong is met by the lane and told as a status
	l.reflector = cache.NewReflectorWithOptions(lister{l}, nil, store{l}, cache.ReflectorOptions{
		Logger: &quiet, Name: w.kind.String(), TypeDescription: w.kind.Plural,
	})
	return l
}

// run keeps a reflector going until ctx ends. The loop is the lane's own, since the library's would ask every 30
// seconds for what it may not have, and would end the process if something panics.
func (l *lane) run(ctx context.Context) {
	defer l.close()
	ctx = klog.NewContext(ctx, logr.Discard())
	for ctx.Err() == nil {
		began := time.Now()
		err := l.attempt(ctx)
		if ctx.Err() != nil {
			return
		}
		wait, cut := l.judge(err, time.Since(began))
		l.src.client.reach.pause(ctx, wait, cut)
	}
}

// close returns when nothing of this lane can get into the queue any more.
func (l *lane) close() {
	l.mu.Lock()
	l.closed = true
	l.mu.Unlock()
	l.lists.Wait()
}

func (l *lane) attempt(ctx context.Context) (err error) {
	defer func() {
		if r := recover(); r != nil {
			l.src.log.Error("a watch panicked", zap.Stringer("kind", l.kind), zap.Any("panic", r), zap.ByteString("stack", debug.Stack()))
			err = fmt.Errorf("internal error: %v", r)
		}
	}()
	return l.reflector.ListAndWatchWithContext(ctx)
}

// judge decides what the end of an attempt means, when the next one is due, and whether this one was cut by a server that
// can't be reached.
func (l *lane) judge(err error, lasted time.Duration) (wait time.Duration, cut bool) {
	l.mu.Lock()
	defer l.owner.report()
	defer l.mu.Unlock()
	if err == nil {
		err = l.trouble
	}
	if lasted >= l.src.pace.healthy {
		l.failures = 0
	}
	l.failures++
	if !refused(err) || lasted >= l.src.pace.healthy {
		l.refusals = 0
	}
	switch {
	case err == nil:
	case refused(err):
		l.src.metrics.refused.Inc()
		return l.refuse(err), false
	case answered(err):
		l.src.metrics.answered.Inc()
		if !l.synced || l.failures > 1 {
			l.reason = sentence(err)
		}
		l.settled = true
	default:
		l.src.metrics.unreachable.Inc()
		cut = true
		if !l.synced {
			l.reason = "the API server can't be reached"
		}
	}
	return backoff(l.src.pace.failed, l.src.pace.failedMax, l.failures), cut
}

// refuse is called with mu held. Of a first refusal nobody needs to hear who has seen the objects: the next answer may be another.
func (l *lane) refuse(err error) time.Duration {
	l.refusals++
	l.settled = true
	if l.refusals > 1 || !l.synced {
		l.synced, l.reason = false, sentence(err)
	}
	if l.refusals >= forgetAfter && !l.listed {
		l.known.begin()
		l.sweep()
	}
	l.listed = false
	if apierrors.IsNotFound(err) {
		l.src.nudge() // its CustomResourceDefinition may be gone
	}
	return jitter(doubled(l.src.pace.refusedFirst, l.src.pace.refused, l.refusals))
}

// replaced is called when everything was listed.
func (l *lane) replaced(watched bool) {
	l.mu.Lock()
	l.sweep()
	l.listed = true
	l.mu.Unlock()
	if watched {
		l.watched()
	}
}

// sweep tells what is gone; it is called with mu held.
func (l *lane) sweep() {
	for _, name := range l.known.sweep() {
		l.src.queue.change(Change{Change: topo.Change{Ref: l.ref(name.namespace, name.name)}})
	}
}

// watched is called when a watch is open: with a list behind it, there is no gap.
func (l *lane) watched() {
	l.mu.Lock()
	fresh := l.listed && !l.synced || l.reason != ""
	if l.listed {
		l.synced, l.settled, l.reason = true, true, ""
	}
	l.trouble = nil
	l.mu.Unlock()
	if fresh {
		l.owner.report()
	}
}

func (l *lane) note(err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.trouble = err
}

func (l *lane) ref(namespace, name string) topo.Ref {
	return topo.Ref{Group: l.kind.Group, Kind: l.kind.Kind, Namespace: namespace, Name: name}
}

func jitter(d time.Duration) time.Duration { return d/2 + rand.N(d+1) }

// backoff is full jitter below a bound that doubles.
func backoff(first, most time.Duration, n int) time.Duration {
	return rand.N(doubled(first, most, n)) + time.Millisecond
}

// doubled is first the first time, then twice that each time, up to most.
func doubled(first, most time.Duration, n int) time.Duration {
	if n > 15 {
		return most
	}
	return min(most, first<<(n-1))
}
