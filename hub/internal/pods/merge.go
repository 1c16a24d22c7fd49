package pods

import (
	"context"
	"io"
	"slices"
	"time"

	"github.com/kubilitics/kubilitics/shared/fault"
)

// Kind is what an Entry is. The empty one is a line.
type Kind string

// What is told beside lines.
const (
	Joined      Kind = "joined"      // a container that began to be read after the others
	Interrupted Kind = "interrupted" // its log broke off; it is opened again
	Resumed     Kind = "resumed"
	Restarted   Kind = "restarted"
	Failed      Kind = "failed"  // its log can't be read; it isn't tried again
	Ended       Kind = "ended"   // there is no more of it; only told of what is followed
	Limited     Kind = "limited" // not all that is meant is read
	Waiting     Kind = "waiting" // nothing is there yet
)

// Entry is a line of a log, a piece of a very long one, or, with a Kind, a word about the logs.
type Entry struct {
	Kind      Kind
	Time      time.Time // of a line: as the node's clock has it; zero if the node didn't say
	Pod       string
	Container string
	Text      string
	Partial   bool // the line goes on in the next entry of this container
}

// feed is a source as the merge sees it.
type feed struct {
	from    *source
	state   state
	lines   []Entry
	arrived time.Time // the lines
	active  time.Time // when it last told anything
	pressed bool      // there is more than can be kept: its lines wait for no one who is quiet
}

// pressing is how many lines of a batch, or bytes, tell that more wait behind them.
const (
	pressingLines = 32
	pressingBytes = 4 << 10
)

// Logs is a stream of the logs of several containers, merged. It isn't safe for concurrent use.
//
// Each container's lines come in their order. Between containers, lines go by their times: of what isn't followed, all of them; of what is followed,
// those that come in within the Window.
type Logs struct {
	arrivals chan arrival
	window   time.Duration
	slow     time.Duration // after which who was asked and hasn't answered isn't waited for
	follow   bool

	feeds   []*feed
	last    *feed // whose line isn't whole yet
	notes   []Entry
	pending int   // sources and whatever else will tell when it is over
	failure error // of the first that failed
	opened  bool  // any

	stop context.CancelFunc
	wait func()
}

// Close ends the reading, and returns when all of it has ended.
func (l *Logs) Close() {
	l.stop()
	l.wait()
}

const mostEntries = 512 // at once

// Next gives what comes next, and waits until there is something; io.EOF when there is no more. After an error of the context it can be called again.
func (l *Logs) Next(ctx context.Context) ([]Entry, error) {
	for {
		l.drain()
		out, again := l.ready(time.Now())
		if len(out) > 0 {
			return out, nil
		}
		if l.pending == 0 && len(l.feeds) == 0 {
			return nil, io.EOF
		}
		if err := l.await(ctx, again); err != nil {
			return nil, err
		}
	}
}

func (l *Logs) drain() {
	for {
		select {
		case a := <-l.arrivals:
			l.take(a)
		default:
			return
		}
	}
}

// await waits for news, or until again if that isn't zero.
func (l *Logs) await(ctx context.Context, again time.Time) error {
	var alarm <-chan time.Time
	if !again.IsZero() {
		t := time.NewTimer(time.Until(again))
		defer t.Stop()
		alarm = t.C
	}
	select {
	case a := <-l.arrivals:
		l.take(a)
	case <-alarm:
	case <-ctx.Done():
		return ctx.Err()
	}
	return nil
}

// take enters what a source tells.
func (l *Logs) take(a arrival) {
	if a.from == nil {
		l.say(nil, a.note)
		if a.state == over {
			l.pending--
		}
		return
	}
	f := l.feed(a.from)
	l.say(f, a.note)
	f.active = time.Now()
	if a.state != same {
		f.state = a.state
	}
	if len(a.lines) > 0 {
		f.lines, f.arrived, f.pressed = a.lines, f.active, pressing(a.lines)
	}
	switch a.state {
	case reading:
		l.opened = true
	case over:
		l.ended(f, a.err)
	}
}

// say tells something of a feed, behind the lines that came before.
func (l *Logs) say(f *feed, note *Entry) {
	switch {
	case note == nil:
	case f == nil || len(f.lines) == 0:
		l.notes = append(l.notes, *note)
	default:
		e := *note
		e.Time = f.lines[len(f.lines)-1].Time
		f.lines = append(f.lines, e)
	}
}

func (l *Logs) ended(f *feed, err error) {
	l.pending--
	switch {
	case err != nil:
		if l.failure == nil {
			l.failure = err
		}
		l.say(f, f.from.note(Failed, fault.Public(err).Message))
	case l.follow:
		l.say(f, f.from.note(Ended, "there is no more of it"))
	}
	l.tidy()
}

// feed finds a source's, or enters one that is new.
func (l *Logs) feed(s *source) *feed {
	for _, f := range l.feeds {
		if f.from == s {
			return f
		}
	}
	f := &feed{from: s, state: opening, active: time.Now()}
	l.feeds = append(l.feeds, f)
	l.pending++
	return f
}

func pressing(lines []Entry) bool {
	size := 0
	for i := range lines {
		size += len(lines[i].Text)
	}
	return size >= pressingBytes || len(lines) >= pressingLines
}

// ready gives the lines whose turn it is, and when to look again if nothing comes in meanwhile.
func (l *Logs) ready(now time.Time) (out []Entry, again time.Time) {
	out, l.notes = l.notes, nil
	for len(out) < mostEntries {
		if at := l.unfinished(); at.After(now) {
			return out, at
		}
		f := l.first()
		if f == nil {
			break
		}
		if at := l.turn(f); at.After(now) {
			return out, at
		}
		out = append(out, l.pop(f))
	}
	return out, time.Time{}
}

// unfinished is until when the rest of a line that has begun is waited for; zero when it isn't.
func (l *Logs) unfinished() time.Time {
	if l.last == nil || len(l.last.lines) > 0 || l.last.state != reading {
		return time.Time{}
	}
	return l.last.active.Add(l.slow)
}

// first is the feed with the earliest line; the rest of a line that has begun goes before all others.
func (l *Logs) first() *feed {
	if l.last != nil && len(l.last.lines) > 0 {
		return l.last
	}
	var best *feed
	for _, f := range l.feeds {
		if len(f.lines) > 0 && (best == nil || f.lines[0].Time.Before(best.lines[0].Time)) {
			best = f
		}
	}
	return best
}

// turn is when the first line of f may go: at once if everybody else has shown a later one, else when those who are quiet can be taken to have nothing
// earlier.
func (l *Logs) turn(f *feed) (at time.Time) {
	if f == l.last {
		return at
	}
	for _, g := range l.feeds {
		if g == f || len(g.lines) > 0 || g.state != reading && g.state != opening {
			continue
		}
		quiet := g.active.Add(l.window)
		if g.state == opening {
			quiet = g.active.Add(l.slow)
		}
		at = later(at, quiet)
		if !f.pressed {
			at = later(at, f.arrived.Add(l.window))
		}
	}
	return at
}

func later(a, b time.Time) time.Time {
	if b.After(a) {
		return b
	}
	return a
}

// pop takes a feed's first line, and lets its source send more when it was the last.
func (l *Logs) pop(f *feed) Entry {
	e := f.lines[0]
	f.lines = f.lines[1:]
	l.last = nil
	if e.Partial {
		l.last = f
	}
	if len(f.lines) == 0 {
		f.lines, f.pressed, f.active = nil, false, time.Now()
		f.from.room <- struct{}{} // has room: the source took it for these lines
		l.tidy()
	}
	return e
}

// tidy forgets feeds that have ended and told all.
func (l *Logs) tidy() {
	l.feeds = slices.DeleteFunc(l.feeds, func(f *feed) bool { return f.state == over && len(f.lines) == 0 })
}
