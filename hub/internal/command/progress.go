package command

import (
	"fmt"
	"strings"
	"sync"
	"time"
)

const (
	patience = time.Second // before anything is told of what takes long
	turn     = 120 * time.Millisecond
)

// progress tells a person what is waited for, on a line of the terminal that is gone afterwards. Elsewhere it tells nothing.
type progress struct {
	app   *app
	began time.Time
	end   chan struct{}
	ended sync.WaitGroup

	mu   sync.Mutex
	what string
}

// wait begins to tell of what takes longer than a second, until stop.
func (a *app) wait(what string) *progress {
	p := &progress{app: a, what: what, began: time.Now(), end: make(chan struct{})}
	if isTerminal(a.Err) {
		p.ended.Go(p.run)
	}
	return p
}

// tell changes what is told.
func (p *progress) tell(format string, args ...any) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.what = fmt.Sprintf(format, args...)
}

// stop ends it; the line is gone when it returns. It may be called again.
func (p *progress) stop() {
	select {
	case <-p.end:
	default:
		close(p.end)
	}
	p.ended.Wait()
}

func (p *progress) run() {
	select {
	case <-p.end:
		return
	case <-time.After(patience):
	}
	tick := time.NewTicker(turn)
	defer tick.Stop()
	for frames, n := []rune("⠋⠙⠹⠸⠼⠴⠦⠧⠇⠏"), 0; ; n++ {
		p.mu.Lock()
		what := p.what
		p.mu.Unlock()
		fmt.Fprintf(p.app.Err, "\r\x1b[K%c %s (%ds)", frames[n%len(frames)], strings.TrimSpace(what), int(time.Since(p.began).Seconds()))
		select {
		case <-p.end:
			fmt.Fprint(p.app.Err, "\r\x1b[K")
			return
		case <-tick.C:
		}
	}
}
