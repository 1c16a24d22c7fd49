package watch

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"sync"
	"time"

	"github.com/go-json-experiment/json/jsontext"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/apis/meta/internalversion"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	utilnet "k8s.io/apimachinery/pkg/util/net"
	kwatch "k8s.io/apimachinery/pkg/watch"
)

// The reflector is the library's, and with it the order of list and watch, bookmarks, expired versions, streaming of the
// initial objects and paging. Objects don't go through it, though: they are decoded and put in the queue as they come
// off the wire, and what the reflector gets is a record of the version alone. So the objects of a list are never all in
// memory at once, and the first of them is on its way while the last is still being read.

// record stands for an object towards the reflector. Its name is empty, so that all records are one in the store in
// which the reflector collects a list.
type record struct{ metav1.ObjectMeta }

func newRecord(version string) *record {
	return &record{metav1.ObjectMeta{ResourceVersion: version}}
}

// GetObjectKind is part of runtime.Object.
func (*record) GetObjectKind() schema.ObjectKind { return schema.EmptyObjectKind }

// DeepCopyObject is part of runtime.Object.
func (r *record) DeepCopyObject() runtime.Object { return &record{*r.DeepCopy()} }

// store is where the reflector believes its objects to be.
type store struct{ l *lane }

func (store) Add(any) error    { return nil }
func (store) Update(any) error { return nil }
func (store) Delete(any) error { return nil }
func (store) Resync() error    { return nil }

// Replace is called when a list is complete. If its objects were streamed, their watch is open by now.
func (s store) Replace([]any, string) error {
	s.l.replaced(s.l.streaming())
	return nil
}

// lister does the requests of a lane's reflector.
type lister struct{ l *lane }

// ListWithContext reads one page, or everything.
func (r lister) ListWithContext(ctx context.Context, opts metav1.ListOptions) (runtime.Object, error) {
	if err := r.l.enterList(opts.Continue == ""); err != nil {
		return nil, err
	}
	defer r.l.lists.Done()
	free, err := r.l.src.turn(ctx)
	if err != nil {
		return nil, err
	}
	defer free()
	body, err := r.l.open(ctx, opts)
	if err != nil {
		return nil, err
	}
	defer body.Close()
	front := headerOf(r.l.kind)
	meta, err := readList(body, func(raw []byte) {
		r.l.src.metrics.listed.Inc()
		_, _ = r.l.consume(front.typed(raw))
	})
	if err != nil {
		return nil, fmt.Errorf("read the list of %s: %w", r.l.kind.Plural, err)
	}
	return &internalversion.List{ListMeta: meta}, nil
}

// List is part of cache.ListerWatcher; the reflector prefers ListWithContext.
func (r lister) List(metav1.ListOptions) (runtime.Object, error) { return nil, errNoContext }

// Watch is part of cache.ListerWatcher; the reflector prefers WatchWithContext.
func (r lister) Watch(metav1.ListOptions) (kwatch.Interface, error) { return nil, errNoContext }

var (
	errNoContext = errors.New("a request without a context")
	errClosed    = errors.New("the watch has ended")
	errNoStream  = errors.New("this server doesn't stream the initial objects of this kind")
)

// WatchWithContext opens a watch, with the initial objects in it if the options say so.
func (r lister) WatchWithContext(ctx context.Context, opts metav1.ListOptions) (kwatch.Interface, error) {
	opts.Watch = true
	if opts.SendInitialEvents != nil {
		return r.stream(ctx, opts)
	}
	for n := 1; ; n++ {
		w, err := r.watch(ctx, opts, func() {})
		if err == nil {
			r.l.watched()
			return w, nil
		}
		if !utilnet.IsConnectionRefused(err) || ctx.Err() != nil {
			return nil, err
		}
		// The reflector would retry too, without a list, but sleep longer than the server is away.
		r.l.src.client.reach.pause(ctx, backoff(r.l.src.pace.failed, r.l.src.pace.failedMax, n), true)
	}
}

func (r lister) stream(ctx context.Context, opts metav1.ListOptions) (kwatch.Interface, error) {
	if r.l.cannotStream() {
		return nil, errNoStream
	}
	free, err := r.l.src.turn(ctx)
	if err != nil {
		return nil, err
	}
	r.l.begin()
	w, err := r.watch(ctx, opts, free)
	if err == nil {
		return w, nil
	}
	free()
	if utilnet.IsConnectionRefused(err) || apierrors.IsTooManyRequests(err) {
		// The reflector would wait for up to a minute without looking whether it was told to stop. With any other
		// error it tries a list, and then comes back to the lane.
		err = errors.New(err.Error())
	}
	return nil, err
}

func (r lister) watch(ctx context.Context, opts metav1.ListOptions, free func()) (*stream, error) {
	ctx, cancel := context.WithCancel(ctx)
	body, err := r.l.open(ctx, opts)
	if err != nil {
		cancel()
		return nil, err
	}
	s := &stream{
		l: r.l, body: body, cancel: cancel, free: free, initial: opts.SendInitialEvents != nil,
		result: make(chan kwatch.Event), stopped: make(chan struct{}), ended: make(chan struct{}),
	}
	go s.run()
	return s, nil
}

func (l *lane) open(ctx context.Context, opts metav1.ListOptions) (io.ReadCloser, error) {
	body, err := l.src.client.open(ctx, withOptions(l.src.client.of(l.kind, l.namespace), opts))
	if err != nil && ctx.Err() == nil {
		l.note(err)
	}
	return body, err
}

// enterList begins to read a list, or the next page of it.
func (l *lane) enterList(first bool) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed {
		return errClosed
	}
	l.lists.Add(1)
	if first {
		l.src.metrics.lists.Inc()
		l.round(false)
	}
	return nil
}

// begin is called before everything is streamed.
func (l *lane) begin() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.src.metrics.streams.Inc()
	l.round(true)
}

// round is called with mu held before each list of everything.
func (l *lane) round(stream bool) {
	l.known.begin()
	l.listed, l.streams = false, stream
}

// streaming tells whether the last list was begun as a stream.
func (l *lane) streaming() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.streams
}

func (l *lane) cannotStream() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.noStream
}

// stream is one watch: its goroutine reads, decodes, puts in the queue and tells the reflector. It is owned by the
// reflector, which stops every watch it was given; Stop returns when nothing more of this watch can get into the queue.
type stream struct {
	l       *lane
	body    io.ReadCloser
	cancel  context.CancelFunc
	free    func() // gives back the turn
	initial bool   // the initial objects are still coming
	silent  *time.Timer
	result  chan kwatch.Event
	once    sync.Once
	stopped chan struct{}
	ended   chan struct{}
}

// ResultChan is part of watch.Interface.
func (s *stream) ResultChan() <-chan kwatch.Event { return s.result }

// Stop is part of watch.Interface.
func (s *stream) Stop() {
	s.once.Do(func() {
		close(s.stopped)
		s.cancel()
		_ = s.body.Close()
	})
	<-s.ended
}

func (s *stream) run() {
	defer close(s.ended)
	defer close(s.result)
	defer s.free()
	defer s.cancel()
	defer func() {
		if r := recover(); r != nil {
			s.send(failure(fmt.Errorf("internal error: %v", r)))
		}
	}()
	s.guardSilence()
	defer s.silent.Stop()
	for f := newFrames(s.body); ; {
		word, raw, err := f.next()
		if err != nil {
			s.cut(err)
			return
		}
		if s.initial {
			s.silent.Reset(s.l.src.pace.silence)
		}
		if !s.send(s.event(word, raw)) {
			return
		}
	}
}

// guardSilence ends a watch whose initial objects never end: servers that don't know the option ignore it.
func (s *stream) guardSilence() {
	s.silent = time.AfterFunc(s.l.src.pace.silence, func() {
		s.l.mu.Lock()
		s.l.noStream = true
		s.l.mu.Unlock()
		s.cancel()
	})
	if !s.initial {
		s.silent.Stop()
	}
}

// cut tells the reflector why a watch ended, where it shouldn't just go on from the version it has: a server ends every
// watch after some minutes, and connections break.
func (s *stream) cut(err error) {
	var garbled *jsontext.SyntacticError
	switch {
	case s.initial:
		s.send(failure(fmt.Errorf("the initial objects weren't complete: %w", err)))
	case errors.As(err, &garbled) && !errors.Is(err, io.ErrUnexpectedEOF):
		s.send(failure(err))
	}
}

func (s *stream) send(e kwatch.Event) bool {
	select {
	case <-s.stopped:
		return false
	case s.result <- e:
		return true
	}
}

// event takes in an event and gives what the reflector needs of it.
func (s *stream) event(word string, raw []byte) kwatch.Event {
	s.l.src.metrics.event(word)
	switch t := kwatch.EventType(word); t {
	case kwatch.Added, kwatch.Modified:
		version, err := s.l.consume(raw)
		if err != nil {
			return failure(err)
		}
		return kwatch.Event{Type: t, Object: newRecord(version)}
	case kwatch.Deleted:
		version, err := s.l.deleted(raw)
		if err != nil {
			return failure(err)
		}
		return kwatch.Event{Type: t, Object: newRecord(version)}
	case kwatch.Bookmark:
		return s.bookmark(raw)
	case kwatch.Error:
		return s.refusal(raw)
	default:
		return failure(fmt.Errorf("an event of the unknown type %q", word))
	}
}

func (s *stream) bookmark(raw []byte) kwatch.Event {
	m, err := partial(raw)
	if err != nil {
		return failure(err)
	}
	r := newRecord(m.ResourceVersion)
	if m.Annotations[metav1.InitialEventsAnnotationKey] == "true" {
		r.Annotations = m.Annotations
		s.initial = false
		s.silent.Stop()
		s.free()
	}
	return kwatch.Event{Type: kwatch.Bookmark, Object: r}
}

func (s *stream) refusal(raw []byte) kwatch.Event {
	status := &metav1.Status{}
	if err := json.Unmarshal(raw, status); err != nil {
		return failure(fmt.Errorf("an error event that can't be read: %w", err))
	}
	if status.Code != 410 { // an expired version is how watches go on, no trouble
		s.l.note(apierrors.FromObject(status))
	}
	return kwatch.Event{Type: kwatch.Error, Object: status}
}

// failure ends a watch in the reflector, which then begins anew.
func failure(err error) kwatch.Event {
	status := apierrors.NewInternalError(err).Status()
	return kwatch.Event{Type: kwatch.Error, Object: &status}
}

// partial reads an object's metadata where nothing else of it is needed, or nothing else can be had.
func partial(raw []byte) (metav1.ObjectMeta, error) {
	var m metav1.PartialObjectMetadata
	if err := json.Unmarshal(raw, &m); err != nil {
		return metav1.ObjectMeta{}, fmt.Errorf("an object whose metadata can't be read: %w", err)
	}
	return m.ObjectMeta, nil
}
