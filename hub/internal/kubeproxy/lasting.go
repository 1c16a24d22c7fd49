package kubeproxy

import (
	"context"
	"time"

	"github.com/kubilitics/kubilitics/hub/internal/fleet"
	"github.com/kubilitics/kubilitics/shared/fault"
)

const (
	recheckWithin = 10 * time.Second // one recheck
	cutWithin     = 5 * time.Second  // from the cut to the end of all that was
	lastWords     = time.Second      // for a command's client to be told that it was cut
)

// keep remembers what lasts, under a context of its own; false when the hub is about to stop.
func (p *Proxy) keep(s *passage) bool {
	s.ctx, s.end = context.WithCancelCause(s.ctx)
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.draining {
		return false
	}
	p.lasting[s] = struct{}{}
	return true
}

func (p *Proxy) drop(s *passage) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if _, kept := p.lasting[s]; !kept {
		return
	}
	delete(p.lasting, s)
	p.settle()
}

// settle tells when nothing lasts any more; mu is held.
func (p *Proxy) settle() {
	if p.draining && len(p.lasting) == 0 {
		close(p.idle)
	}
}

func (p *Proxy) all() []*passage {
	p.mu.Lock()
	defer p.mu.Unlock()
	out := make([]*passage, 0, len(p.lasting))
	for s := range p.lasting {
		out = append(out, s)
	}
	return out
}

// Run ends what lasts when its caller may have it no more, and streams that nobody needs any more, until ctx ends.
func (p *Proxy) Run(ctx context.Context) error {
	tick := time.NewTicker(p.cfg.Check)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
			p.spares.sweep(time.Now())
			p.recheck(ctx)
		}
	}
}

// who tells principals apart: what lasts by one token, or by one ticket of it, is checked once.
type who struct {
	user
	token, ticket string
}

func (p *Proxy) recheck(ctx context.Context) {
	groups := map[who][]*passage{}
	for _, s := range p.all() {
		w := who{s.user(), s.by.Principal.Token, s.by.Principal.Ticket}
		groups[w] = append(groups[w], s)
	}
	for _, group := range groups {
		now, err := p.still(ctx, group[0].by.Principal)
		for _, s := range group {
			s.checked(now, err)
		}
	}
}

func (p *Proxy) still(ctx context.Context, who fleet.Principal) (fleet.Principal, error) {
	if !who.Expires.IsZero() && !time.Now().Before(who.Expires) {
		return who, fault.New(fault.Unauthorized, "the API token ended at %s", who.Expires.UTC().Format(time.RFC3339))
	}
	if p.cfg.Recheck == nil {
		return who, nil
	}
	ctx, cancel := context.WithTimeout(ctx, recheckWithin)
	defer cancel()
	return p.cfg.Recheck(ctx, who)
}

// checked takes the outcome of a recheck. One that could not be made changes nothing.
func (s *passage) checked(now fleet.Principal, err error) {
	switch {
	case err == nil:
		err = decide(now, s.at.Cluster, s.request)
	case !fault.Is(err, fault.Unauthorized) && !fault.Is(err, fault.Forbidden) && !fault.Is(err, fault.NotFound):
		return
	}
	if err != nil {
		s.cut(err)
	}
}

// Drain begins the end: watches end in order, so that their clients go on elsewhere, and nothing that lasts begins any more. The rest goes on
// until Close.
func (p *Proxy) Drain() {
	p.mu.Lock()
	if !p.draining {
		p.draining = true
		p.settle()
	}
	p.mu.Unlock()
	for _, s := range p.all() {
		if s.request.Verb == "watch" && !s.request.Upgrades {
			s.end(errClosing)
		}
	}
}

// Close drains, waits for what lasts until ctx ends, then cuts it and returns when all of it is over. Connections that were upgraded are nobody
// else's to end.
func (p *Proxy) Close(ctx context.Context) {
	p.Drain()
	select {
	case <-p.idle:
	case <-ctx.Done():
		for _, s := range p.all() {
			s.cut(errClosing)
		}
		select {
		case <-p.idle:
		case <-time.After(cutWithin): // somebody within the hub neither reads on nor closes
			p.cfg.Log.Warn("not all requests to clusters have ended")
		}
	}
	p.spares.close()
	p.requests.CloseIdleConnections()
}
