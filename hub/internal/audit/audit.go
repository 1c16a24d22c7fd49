// Package audit keeps the record of who did what: what changes something is on record before it is done, and everything is completed when it has
// ended; a full batch makes requests wait and loses nothing.
package audit

import (
	"context"
	"crypto/rand"
	"net/http"
	"sync"
	"time"

	"github.com/google/uuid"
	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/zap"

	"github.com/kubilitics/kubilitics/hub/internal/store"
	"github.com/kubilitics/kubilitics/shared/fault"
)

// Store is what of the store is written here.
type Store interface {
	PutAudit(ctx context.Context, records []store.AuditRecord) error
	SeeHub(ctx context.Context, hub string) error
	AbandonAudit(ctx context.Context, silent time.Duration, limit int) (int, error)
}

// Config is what a log of requests stands on. Zero numbers mean the defaults.
type Config struct {
	Store      Store
	Log        *zap.Logger
	Registerer prometheus.Registerer

	Room  int           // records that may wait to be written; 16,384
	Drain time.Duration // how long Run waits, when its context has ended, for what was begun; 10 s
}

// Log takes records in. Its methods may be called by many at once.
type Log struct {
	cfg Config
	hub string

	// room has a place taken for each record that waits to be written. Who finds none free waits.
	room    chan struct{}
	stopped chan struct{} // closed when nothing is written any more
	firmly  chan struct{} // one place: something waits that must be on record before it is done
	plenty  chan struct{} // one place: as much has ended as is worth writing at once

	metrics metrics

	mu       sync.Mutex
	firm     []*Entry // whose Begin waits
	young    []*Entry // began a moment ago, in that order; those that are over stand in ended too
	ended    []*Entry // to be written
	underway int      // begun, and neither ended nor given up
	closed   bool
	failing  bool // the last write failed
}

// New makes a log; Run must be running for it to take records.
func New(cfg Config) *Log {
	if cfg.Room <= 0 {
		cfg.Room = 16384
	}
	if cfg.Drain <= 0 {
		cfg.Drain = 10 * time.Second
	}
	if cfg.Log == nil {
		cfg.Log = zap.NewNop()
	}
	l := &Log{
		cfg: cfg, hub: rand.Text(), room: make(chan struct{}, cfg.Room), stopped: make(chan struct{}), firmly: make(chan struct{}, 1), plenty: make(chan struct{}, 1),
	}
	l.metrics = newMetrics(cfg.Registerer, func() float64 { return float64(len(l.room)) })
	return l
}

// Entry is a request that is under way. All of it is guarded by the log's lock.
type Entry struct {
	log    *Log
	record store.AuditRecord
	began  time.Time
	done   chan error // of one that is to be on record first: what came of it
	held   bool       // it has a place in the room, and nobody writes it
	over   bool
	left   bool // whoever began it didn't wait for it to be on record
}

// Begin takes a request in. With firm, it is on record when Begin returns, and may not be done if that failed; otherwise it will be soon. ID, At,
// Hub and Outcome are filled in here, and texts are cut to what is kept of them. End must follow, unless Begin failed: then the request is over, and
// on record as such as soon as there is a way.
func (l *Log) Begin(ctx context.Context, r store.AuditRecord, firm bool) (*Entry, error) {
	return l.begin(ctx, r, time.Now, firm)
}

// Over takes in a request that has ended already.
func (l *Log) Over(ctx context.Context, r store.AuditRecord, began time.Time, status int) error {
	e, err := l.begin(ctx, r, func() time.Time { return began }, false)
	if err == nil {
		e.End(status, "", "", nil)
	}
	return err
}

func (l *Log) begin(ctx context.Context, r store.AuditRecord, clock func() time.Time, firm bool) (*Entry, error) {
	bound(&r)
	if err := l.place(ctx); err != nil {
		return nil, err
	}
	now := clock()
	id, err := uuid.NewV7()
	if err != nil {
		<-l.room
		return nil, fault.Wrap(err, fault.Unavailable, "the record of this request has no id, so it was not done")
	}
	r.ID, r.At, r.Hub, r.Outcome = id.String(), now.UTC().Truncate(time.Microsecond), l.hub, store.AuditOpen
	e := &Entry{log: l, record: r, began: now}
	if !l.enter(e, firm) {
		<-l.room
		return nil, errStopped()
	}
	if !firm {
		return e, nil
	}
	ring(l.firmly)
	defer func() { l.metrics.firm.Observe(time.Since(now).Seconds()) }()
	return e.onRecord(ctx)
}

// place takes one in the room.
func (l *Log) place(ctx context.Context) error {
	select {
	case l.room <- struct{}{}:
		return nil
	default:
	}
	l.metrics.waited.Inc()
	select {
	case l.room <- struct{}{}:
		return nil
	case <-ctx.Done():
		return fault.Wrap(ctx.Err(), fault.Unavailable, "the record of requests is behind, so this one was not done").After(time.Second)
	case <-l.stopped:
		return errStopped()
	}
}

func errStopped() error {
	return fault.New(fault.Unavailable, "this hub is shutting down").After(time.Second)
}

func (l *Log) enter(e *Entry, firm bool) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed {
		return false
	}
	l.underway++
	if firm {
		e.done = make(chan error, 1)
		l.firm = append(l.firm, e)
	} else {
		e.held = true
		l.young = append(l.young, e)
	}
	return true
}

// onRecord waits until the entry is written.
func (e *Entry) onRecord(ctx context.Context) (*Entry, error) {
	select {
	case err := <-e.done:
		if err != nil {
			return nil, err
		}
		return e, nil
	case <-ctx.Done():
	}
	e.log.mu.Lock()
	e.left = true
	e.log.mu.Unlock()
	gone := fault.Wrap(ctx.Err(), fault.Unavailable, "the record of this request was not waited for, so it was not done").After(time.Second)
	select {
	case err := <-e.done: // it had been settled before
		if err == nil {
			e.End(0, "", "", gone)
		}
	default:
	}
	return nil, gone
}

// End completes the record. An error is what kept the request from being answered; without one the status says how it ended. name is that of what
// was created, if it is known by now. It may wait for a place in the batch; only the first call counts.
func (e *Entry) End(status int, reason, name string, err error) {
	l := e.log
	l.mu.Lock()
	if e.over {
		l.mu.Unlock()
		return
	}
	e.complete(status, reason, name, err)
	if e.held {
		l.finish(e)
		l.mu.Unlock()
		return
	}
	l.mu.Unlock()
	select { // it was written as open, and gave its place up
	case l.room <- struct{}{}:
	case <-l.stopped:
		l.metrics.lost.Inc()
		return
	}
	l.mu.Lock()
	l.finish(e)
	l.mu.Unlock()
}

// complete says how it ended.
func (e *Entry) complete(status int, reason, name string, err error) {
	e.over = true
	r := &e.record
	if r.Name == "" {
		r.Name = clip(name, nameLimit)
	}
	if reason == "" && err != nil {
		reason = fault.Public(err).Message
	}
	r.Status, r.Reason, r.Took, r.Outcome = status, clip(reason, reasonLimit), time.Since(e.began), outcome(status, err)
}

func outcome(status int, err error) store.AuditOutcome {
	switch {
	case status == http.StatusUnauthorized, status == http.StatusForbidden, status == http.StatusTooManyRequests,
		fault.Is(err, fault.Unauthorized), fault.Is(err, fault.Forbidden), fault.Is(err, fault.TooManyRequests):
		return store.AuditRefused
	case err == nil && status > 0 && status < 400:
		return store.AuditDone
	default:
		return store.AuditFailed
	}
}

// finish puts an entry that is over, and has a place, where it is written from. The lock is held.
func (l *Log) finish(e *Entry) {
	l.underway--
	l.ended = append(l.ended, e)
	if len(l.ended) >= worthIt {
		ring(l.plenty)
	}
}

func ring(bell chan struct{}) {
	select {
	case bell <- struct{}{}:
	default:
	}
}
