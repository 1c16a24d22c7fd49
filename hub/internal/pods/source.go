package pods

import (
	"context"
	"io"
	"math/rand/v2"
	"net/url"
	"strconv"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/kubilitics/kubilitics/shared/fault"
)

// source reads the log of one container, over breaks and restarts, and hands it on as it is taken.
type source struct {
	client    client
	query     *LogQuery
	pod       string
	uid       types.UID
	container string
	first     time.Duration // the shortest pause before it is opened again
	alone     bool          // the only one that was asked for: what is wrong at its start is the answer

	leaving context.Context // ends some time after its pod went: what is still open then is given up

	out  chan<- arrival
	room chan struct{} // one when the merge has room for another batch

	began    time.Time
	opened   bool
	done     mark  // passed on so far
	handed   int   // batches
	bytes    int64 // read so far, with their times
	late     bool  // it began after the question was put: all of it is new
	restarts int32 // of the container, when last looked at
	broken   bool  // told so
	tries    int   // that failed
}

// arrival is what a source tells the merge.
type arrival struct {
	from  *source
	state state
	lines []Entry
	note  *Entry
	err   error // with over: what it was that ended it, if it was no good end
}

type state int

const (
	same    state = iota
	opening       // was asked for
	reading       // the cluster answers
	pausing       // will be opened again
	over
)

// run ends when there is no more to read, or nobody reads.
func (s *source) run(ctx context.Context) {
	s.began = time.Now()
	for pause := s.first; ; pause = min(2*pause, 20*s.first) {
		before := s.handed
		err := s.read(ctx)
		if end, why := s.ends(ctx, err); end {
			s.tell(ctx, arrival{state: over, err: why})
			return
		}
		s.tell(ctx, arrival{state: pausing, note: s.interrupted(err)})
		if s.handed > before {
			pause = s.first
		}
		if !sleep(ctx, pause/2+rand.N(pause)) { // not all at once where they all broke at once
			return
		}
	}
}

func sleep(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-ctx.Done():
		return false
	}
}

// tell hands something on; false when nobody listens any more.
func (s *source) tell(ctx context.Context, a arrival) bool {
	a.from = s
	select {
	case s.out <- a:
		return true
	case <-ctx.Done():
		return false
	}
}

// read reads the log to its end, from where it was read to before.
func (s *source) read(ctx context.Context) error {
	if !s.tell(ctx, arrival{state: opening}) {
		return ctx.Err()
	}
	within, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(s.leaving, cancel)()
	body, err := s.client.open(within, s.options(), core(s.query.Namespace, "pods", s.pod, "log")...)
	if err != nil {
		return err
	}
	defer body.Close()
	if !s.tell(ctx, arrival{state: reading, note: s.resumed()}) {
		return ctx.Err()
	}
	s.opened = true
	return s.pass(within, body)
}

// pass hands on the lines of a body.
func (s *source) pass(ctx context.Context, body io.Reader) error {
	lines := newLineReader(body)
	sift := &sieve{had: s.done}
	if sift.had.at.IsZero() && !s.query.After.IsZero() {
		sift.had = until(s.query.After)
	}
	for {
		batch, err := s.batch(lines, sift)
		if len(batch) > 0 && !s.hand(ctx, batch) {
			return ctx.Err()
		}
		switch {
		case err == io.EOF: //nolint:errorlint // readers give it bare
			return nil
		case err != nil:
			return broken(ctx, err)
		}
	}
}

// batch waits for a line and takes what has come with it.
func (s *source) batch(lines *lineReader, sift *sieve) (batch []Entry, err error) {
	for {
		begins := !lines.inside
		p, err := lines.next()
		if err != nil {
			return batch, err
		}
		s.bytes += int64(p.size)
		if !sift.holds(p, begins) {
			batch = append(batch, Entry{Time: p.at, Pod: s.pod, Container: s.container, Text: string(p.text), Partial: p.goesOn})
			if !p.goesOn && !p.at.IsZero() {
				s.done.passed(p.at)
			}
		}
		if !lines.waiting() && len(batch) > 0 {
			return batch, nil
		}
	}
}

// hand waits for room: a source reads no further ahead than the batch at the merge and the one in its hands.
func (s *source) hand(ctx context.Context, batch []Entry) bool {
	select {
	case <-s.room:
		s.handed++
		return s.tell(ctx, arrival{lines: batch})
	case <-ctx.Done():
		return false
	}
}

// options go on from the last line. Where none has come yet, it is from when this began: what was left out at first stays left out.
func (s *source) options() url.Values {
	v := s.query.options(s.container)
	if s.opened && s.query.LimitBytes > 0 {
		v.Set("limitBytes", strconv.FormatInt(max(1, s.query.LimitBytes-s.bytes), 10))
	}
	if s.late || !s.done.at.IsZero() {
		v.Del("tailLines")
		v.Del("sinceSeconds")
		v.Del("sinceTime")
	}
	switch {
	case !s.done.at.IsZero():
		v.Set("sinceTime", wholeSecond(s.done.at))
	case s.late:
	case s.opened && s.query.Tail != nil && s.query.After.IsZero():
		v.Del("tailLines")
		v.Del("sinceTime")
		v.Set("sinceSeconds", seconds(time.Since(s.began)+time.Second))
	}
	return v
}

const attempts = 3 // at a log that isn't followed

// ends tells, after the log ended with err, whether that was all, and why if it wasn't meant to be.
func (s *source) ends(ctx context.Context, err error) (bool, error) {
	switch {
	case ctx.Err() != nil, s.leaving.Err() != nil:
		return true, nil
	case s.query.LimitBytes > 0 && s.bytes >= s.query.LimitBytes:
		return true, nil
	case err != nil && !s.opened && s.alone, final(err):
		return true, err
	case !s.query.Follow:
		return s.endsOnce(err)
	case !s.opened && fault.Is(err, fault.BadRequest): // it hasn't begun
		s.late = true
	}
	p, lookErr := s.client.pod(ctx, s.query.Namespace, s.pod)
	switch {
	case fault.Is(lookErr, fault.NotFound), lookErr == nil && p.UID != s.uid:
		return true, nil
	case final(lookErr):
		return true, lookErr
	case lookErr != nil:
		return false, nil
	}
	return s.endsWith(ctx, p, err), nil
}

func (s *source) endsOnce(err error) (bool, error) {
	if err == nil || fault.Is(err, fault.BadRequest) {
		return true, err
	}
	s.tries++
	return s.tries >= attempts, err
}

// endsWith tells whether the container has ended for good and its log was read to the end.
func (s *source) endsWith(ctx context.Context, p *corev1.Pod, err error) bool {
	for _, c := range containersOf(p) {
		if c.name != s.container {
			continue
		}
		if n := c.restartCount(); n > s.restarts {
			s.restarts = n
			s.tell(ctx, arrival{note: s.note(Restarted, "it was restarted; "+strconv.Itoa(int(n))+" times so far")})
			return false
		}
		return err == nil && c.silent(p)
	}
	return true
}

// final tells that asking again is of no use.
func final(err error) bool {
	return err != nil && (fault.Is(err, fault.Forbidden) || fault.Is(err, fault.Unauthorized) || fault.Is(err, fault.NotFound) || fault.Is(err, fault.Gone))
}

func (s *source) note(kind Kind, text string) *Entry {
	return &Entry{Kind: kind, Time: time.Now(), Pod: s.pod, Container: s.container, Text: text}
}

// interrupted is told once until it goes on.
func (s *source) interrupted(err error) *Entry {
	if err == nil || s.broken {
		return nil
	}
	s.broken = true
	return s.note(Interrupted, fault.Public(err).Message)
}

func (s *source) resumed() *Entry {
	if !s.broken {
		return nil
	}
	s.broken = false
	return s.note(Resumed, "it goes on where it broke off")
}
