package audit

import (
	"context"
	"slices"
	"sync"
	"time"

	"go.uber.org/zap"

	"github.com/kubilitics/kubilitics/hub/internal/store"
	"github.com/kubilitics/kubilitics/shared/fault"
)

const (
	batchRows = 1000
	worthIt   = 500                    // so much that has ended is written at once
	flush     = 200 * time.Millisecond // and less after this
	lasts     = 700 * time.Millisecond // what is under way for longer shows up as open
	patience  = 10 * time.Second       // with one write

	seeEvery   = 5 * time.Second
	silent     = time.Minute // a hub not seen for that long is dead
	firstRetry = 50 * time.Millisecond
	lastRetry  = 5 * time.Second
)

// Run writes what comes until ctx has ended and everything that was begun is written, for which it waits no longer than Config.Drain. So it is to be
// stopped after those who begin requests.
func (l *Log) Run(ctx context.Context) error {
	writing, stop := context.WithCancel(context.WithoutCancel(ctx))
	defer stop()
	var running sync.WaitGroup
	for _, run := range []func(context.Context){l.writeFirm, l.writeEnded, l.beat} {
		running.Go(func() { run(writing) })
	}
	<-ctx.Done()
	l.drain()
	l.mu.Lock()
	l.closed = true
	l.mu.Unlock()
	close(l.stopped)
	stop()
	running.Wait()
	l.farewell()
	return nil
}

// drain waits until nothing is under way or to be written.
func (l *Log) drain() {
	late := time.NewTimer(l.cfg.Drain)
	defer late.Stop()
	look := time.NewTicker(5 * time.Millisecond)
	defer look.Stop()
	for !l.idle() {
		select {
		case <-look.C:
		case <-late.C:
			return
		}
	}
}

func (l *Log) idle() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.underway == 0 && len(l.room) == 0
}

// farewell says what is left: what was under way is on record as open, or not at all if it only read; what has ended is lost.
func (l *Log) farewell() {
	l.mu.Lock()
	defer l.mu.Unlock()
	firm := l.firm
	l.firm = nil
	for _, e := range firm {
		e.done <- errStopped()
	}
	lost := len(l.ended)
	l.metrics.lost.Add(float64(lost))
	if lost > 0 || l.underway > 0 {
		l.cfg.Log.Error("the record of requests isn't whole: the hub ended first", zap.Int("lost", lost), zap.Int("without an end", l.underway))
	}
}

// writeFirm writes what requests wait for: while one write is under way, others gather for the next.
func (l *Log) writeFirm(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-l.firmly:
		}
		for {
			l.mu.Lock()
			n := min(len(l.firm), batchRows)
			batch := l.firm[:n:n]
			l.firm = l.firm[n:]
			l.mu.Unlock()
			if n == 0 {
				break
			}
			l.settle(ctx, batch)
		}
	}
}

// settle writes entries, and tells those who wait for them.
func (l *Log) settle(ctx context.Context, batch []*Entry) {
	records := make([]store.AuditRecord, len(batch))
	for i, e := range batch {
		records[i] = e.record
	}
	err := l.put(ctx, records)
	if len(batch) > 1 && fault.Is(err, fault.BadRequest) { // one that no database takes isn't to fail the others
		for i := range batch {
			l.settle(ctx, batch[i:i+1])
		}
		return
	}
	var refusal error
	if err != nil {
		refusal = fault.Wrap(err, fault.Unavailable, "what changes something is put on record first; that failed, so it was not done").After(time.Second)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, e := range batch {
		switch {
		case err != nil:
			e.complete(503, "", "", refusal)
			l.finish(e)
		case e.left:
			e.complete(0, "the client left before it was on record, so it was not done", "", nil)
			l.finish(e)
		default:
			<-l.room
		}
		e.done <- refusal
	}
}

// writeEnded writes what has ended, and what lasts, until it is written.
func (l *Log) writeEnded(ctx context.Context) {
	tick := time.NewTicker(flush)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-l.plenty:
		case <-tick.C:
		}
		for full := true; full; {
			records := l.take(time.Now())
			full = len(records) == batchRows
			if len(records) > 0 && !l.persist(ctx, records) {
				return
			}
			for range records {
				<-l.room
			}
		}
	}
}

// take gives what is to be written now.
func (l *Log) take(now time.Time) (records []store.AuditRecord) {
	l.mu.Lock()
	defer l.mu.Unlock()
	n := min(len(l.ended), batchRows)
	for _, e := range l.ended[:n] {
		records = append(records, e.record)
	}
	l.ended = slices.Delete(l.ended, 0, n)
	done := 0
	for _, e := range l.young {
		if !e.over {
			if now.Sub(e.began) < lasts || len(records) == batchRows {
				break
			}
			e.held = false // its place is given up with this batch
			records = append(records, e.record)
		}
		done++
	}
	l.young = slices.Delete(l.young, 0, done)
	return records
}

// persist writes records, again and again until it is done; it gives up only with the context.
func (l *Log) persist(ctx context.Context, records []store.AuditRecord) bool {
	for wait := firstRetry; ; wait = min(2*wait, lastRetry) {
		err := l.put(ctx, records)
		switch {
		case err == nil:
			return true
		case fault.Is(err, fault.BadRequest) && len(records) > 1:
			half := len(records) / 2
			return l.persist(ctx, records[:half]) && l.persist(ctx, records[half:])
		case fault.Is(err, fault.BadRequest):
			r := &records[0]
			l.metrics.lost.Inc()
			l.cfg.Log.Error("a record is lost: no database takes it", zap.Error(err), zap.String("id", r.ID), zap.String("request", r.Request), zap.String("who", r.Who),
				zap.String("verb", r.Verb), zap.String("resource", r.Resource), zap.String("namespace", r.Namespace), zap.String("name", r.Name))
			return true
		}
		select {
		case <-ctx.Done():
			l.metrics.lost.Add(float64(len(records)))
			l.cfg.Log.Error("records are lost: the hub ended while the database didn't take them", zap.Int("lost", len(records)), zap.Error(err))
			return false
		case <-time.After(wait):
		}
	}
}

func (l *Log) put(ctx context.Context, records []store.AuditRecord) error {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	err := l.cfg.Store.PutAudit(ctx, records)
	if err == nil {
		l.metrics.written.Add(float64(len(records)))
	} else {
		l.metrics.failures.Inc()
	}
	l.note(err)
	return err
}

// note logs when writing begins to fail, and when that is over.
func (l *Log) note(err error) {
	l.mu.Lock()
	was := l.failing
	l.failing = err != nil
	l.mu.Unlock()
	switch {
	case err != nil && !was:
		l.cfg.Log.Error("the record of requests can't be written: what changes something is refused, and reads will have to wait", zap.Error(err))
	case err == nil && was:
		l.cfg.Log.Info("the record of requests is written again")
	}
}

// fails tells that writing has failed, which was logged then.
func (l *Log) fails() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.failing
}

// beat tells the other hubs that this one lives, and completes what dead ones left open.
func (l *Log) beat(ctx context.Context) {
	tick := time.NewTicker(seeEvery)
	defer tick.Stop()
	for rounds := 0; ; rounds++ {
		err := l.cfg.Store.SeeHub(ctx, l.hub)
		if err == nil && rounds%6 == 0 {
			err = l.abandon(ctx)
		}
		if err != nil && ctx.Err() == nil && !l.fails() {
			l.cfg.Log.Warn("the list of hubs that live was not kept", zap.Error(err))
		}
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

func (l *Log) abandon(ctx context.Context) error {
	for {
		n, err := l.cfg.Store.AbandonAudit(ctx, silent, batchRows)
		if n > 0 {
			l.cfg.Log.Warn("a hub ended before requests that it had taken: how they ended is unknown", zap.Int("requests", n))
		}
		if err != nil || n < batchRows {
			return err
		}
	}
}
