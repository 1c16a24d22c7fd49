package pods

import (
	"context"
	"fmt"
	"sync"
	"time"

	"k8s.io/apimachinery/pkg/types"
)

const (
	patience = 10 * time.Second // with a log that isn't followed, and says nothing though it hasn't ended
	grace    = time.Second      // for the first answer of logs that are followed: a container that is silent gives none
)

// Logs opens the logs that a question is about. What is wrong with all of them is an error, with the cluster's own words; what is wrong with some is
// told in the stream. The stream ends with ctx at the latest; Close must follow.
func (p *Pods) Logs(ctx context.Context, where At, q LogQuery) (*Logs, error) {
	if err := q.check(); err != nil {
		return nil, err
	}
	ctx, stop := context.WithCancel(ctx)
	var group sync.WaitGroup
	l := &Logs{arrivals: make(chan arrival), window: p.cfg.Window, slow: grace, follow: q.Follow, stop: stop, wait: group.Wait}
	if !q.Follow {
		l.window, l.slow = patience, patience
	}
	g := &gathering{
		ctx: ctx, leaving: map[types.UID]leaving{},
		client: p.client(where, "logs"), query: &q, most: p.cfg.Sources, pause: p.cfg.Pause,
		out: l.arrivals, known: map[string]bool{}, group: &group, ended: make(chan struct{}),
	}
	if err := p.begin(ctx, l, g); err != nil {
		l.Close()
		return nil, err
	}
	return l, nil
}

// begin starts what there is to read and waits for what the cluster says to it.
func (p *Pods) begin(ctx context.Context, l *Logs, g *gathering) error {
	version, err := g.find(ctx)
	if err != nil {
		return err
	}
	started := g.fill()
	g.first = map[string]bool{}
	for _, s := range g.there {
		g.first[s.key()] = true
	}
	for _, s := range started {
		s.alone = len(started) == 1 && !g.watching
		l.feed(s)
	}
	l.notes = g.remarks(len(started))
	for _, s := range started {
		g.read(ctx, s)
	}
	if g.watching {
		l.pending++
		g.group.Go(func() { g.run(ctx, version) })
	}
	return l.settle(ctx)
}

// settle waits until one of the logs is open, or none will be.
func (l *Logs) settle(ctx context.Context) error {
	limit := time.Now().Add(l.slow)
	for !l.opened && l.pending > 0 && time.Now().Before(limit) {
		if len(l.feeds) == 0 { // nothing is there to read yet
			return nil
		}
		if err := l.await(ctx, limit); err != nil {
			return err
		}
	}
	if !l.opened && l.pending == 0 {
		return l.failure
	}
	return nil
}

// remarks are what must be said before the first line.
func (g *gathering) remarks(started int) (notes []Entry) {
	if started == 0 && g.watching {
		notes = append(notes, Entry{Kind: Waiting, Time: time.Now(), Text: "no container that is meant has a log yet; those that begin are read"})
	}
	if g.unborn > 0 && !g.watching {
		notes = append(notes, Entry{Kind: Waiting, Time: time.Now(), Text: fmt.Sprintf("%d containers haven't begun, and have no log yet", g.unborn)})
	}
	if g.limited != nil {
		notes = append(notes, *g.limited)
	}
	return notes
}
