package plugin

import (
	"context"
	"strings"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/kubilitics/kubilitics/hub/internal/turn"
	pluginv1 "github.com/kubilitics/kubilitics/proto/plugin/v1"
	"github.com/kubilitics/kubilitics/shared/fault"
	contract "github.com/kubilitics/kubilitics/shared/plugin"
	"github.com/kubilitics/kubilitics/shared/topo"
)

// description is what a plugin says of itself, checked.
type description struct {
	name, version string
	kinds         []topo.GroupKind
	adds          []string
}

const (
	maxKinds = 64
	maxAdds  = 20
	maxWord  = 100 // bytes of names and versions
)

// describe asks a plugin who it is.
func describe(ctx context.Context, as string, conn *grpc.ClientConn, hub string) (d description, err error) {
	ask := &pluginv1.DescribeRequest{HubVersion: hub}
	if as == contract.Notifier {
		said, err := pluginv1.NewNotifierClient(conn).Describe(ctx, ask)
		if err != nil {
			return d, err
		}
		return description{name: plainText(said.GetName(), maxWord), version: plainText(said.GetVersion(), maxWord)}, nil
	}
	said, err := pluginv1.NewEnricherClient(conn).Describe(ctx, ask)
	if err != nil {
		return d, err
	}
	d = description{name: plainText(said.GetName(), maxWord), version: plainText(said.GetVersion(), maxWord)}
	for i, a := range said.GetAdds() {
		if i < maxAdds {
			d.adds = append(d.adds, plainText(a, maxText))
		}
	}
	for _, k := range said.GetKinds() {
		if k.GetKind() == "" || refuseText(k.GetGroup()+k.GetKind(), 500) != "" {
			return d, fault.New(fault.BadRequest, "the plugin wants objects of a kind without a name, or with one that can't be")
		}
		d.kinds = append(d.kinds, topo.GroupKind{Group: k.GetGroup(), Kind: k.GetKind()})
	}
	if len(d.kinds) == 0 || len(d.kinds) > maxKinds {
		return d, fault.New(fault.BadRequest, "the plugin wants objects of %d kinds; 1 to %d is what it may", len(d.kinds), maxKinds)
	}
	return d, nil
}

// await gives the session there is, as soon as there is one and it isn't left alone.
func (r *runner) await(ctx context.Context) (*session, error) {
	for {
		r.mu.Lock()
		s, changed, rest := r.live, r.changed, time.Until(r.rest)
		r.mu.Unlock()
		if s != nil && rest <= 0 {
			return s, nil
		}
		var wake <-chan time.Time
		if s != nil {
			t := time.NewTimer(rest)
			defer t.Stop()
			wake = t.C
		}
		select {
		case <-ctx.Done():
			return nil, fault.Wrap(ctx.Err(), fault.Unavailable, "the plugin %s doesn't answer", r.spec.Name)
		case <-changed:
		case <-wake:
		}
	}
}

// call calls the plugin within its timeout, and draws the consequences of how it went.
func (r *runner) call(ctx context.Context, s *session, fn func(context.Context, *grpc.ClientConn) error) error {
	began := time.Now()
	limited, cancel := context.WithTimeout(ctx, r.spec.Timeout)
	defer cancel()
	err := fn(limited, s.conn)
	if err != nil && ctx.Err() != nil {
		return ctx.Err() // the hub gave up, not the plugin
	}
	r.host.metrics.seconds.WithLabelValues(r.spec.Name).Observe(time.Since(began).Seconds())
	r.judge(s, err)
	return err
}

// judge counts a call. Timeouts in a row end the process, failures in a row give it a rest.
func (r *runner) judge(s *session, err error) {
	result := "ok"
	r.mu.Lock()
	defer r.mu.Unlock()
	r.status.Calls++
	switch {
	case err == nil:
		s.strikes, r.bad, r.well = 0, 0, time.Now()
	case status.Code(err) == codes.DeadlineExceeded:
		result = "timeout"
		r.status.Timeouts++
		if s.strikes++; s.strikes >= r.host.cfg.Strikes {
			s.hung.Do(func() { close(s.broken) })
		}
	default:
		result, s.strikes = "error", 0
		if r.bad++; r.bad >= r.host.cfg.Strikes {
			r.rest = time.Now().Add(turn.Backoff(r.bad-r.host.cfg.Strikes, r.host.cfg.FirstPause, r.host.cfg.MostPause))
		}
	}
	if err != nil {
		r.status.Failed++
		r.status.LastError, r.status.LastErrorAt = plainText(err.Error(), 500), time.Now().UTC()
	}
	r.host.metrics.calls.WithLabelValues(r.spec.Name, result).Inc()
}

// enriched counts nodes.
func (r *runner) enriched(n int) {
	r.mu.Lock()
	r.status.Nodes += int64(n)
	r.mu.Unlock()
	r.host.metrics.nodes.WithLabelValues(r.spec.Name).Add(float64(n))
}

// refuse counts a row that broke a rule.
func (r *runner) refuse(why string) {
	r.mu.Lock()
	r.status.Refused++
	first := r.status.Refused == 1
	r.status.LastRefused = plainText(why, 500)
	r.mu.Unlock()
	r.host.metrics.refused.WithLabelValues(r.spec.Name).Inc()
	if first {
		r.log.Warn("the plugin's answer breaks a rule; further ones are counted", zapReason(why))
	} else {
		r.log.Debug("the plugin's answer breaks a rule", zapReason(why))
	}
}

// later tells failures by which a plugin asks to be called again, or that may pass.
func later(err error) bool {
	switch status.Code(err) {
	case codes.Unavailable, codes.Aborted, codes.DeadlineExceeded:
		return true
	case codes.ResourceExhausted: // which gRPC also says of an answer that is too large
		return !strings.Contains(err.Error(), "larger than max")
	}
	return false
}

// crashTime is how long the end of a process may take to be seen after the end of its connection was.
const crashTime = time.Second

// busy tells that a plugin which is well itself asks to be called again: something that it needs is away.
func busy(ctx context.Context, s *session, err error) bool {
	if !later(err) || status.Code(err) == codes.DeadlineExceeded {
		return false
	}
	t := time.NewTimer(crashTime)
	defer t.Stop()
	select {
	case <-ctx.Done():
	case <-s.proc.Load().ended:
		return false
	case <-t.C:
	}
	return true
}

// Notify has a notifier deliver a notification, once. NotFound when there is no such notifier; Unavailable when it may be tried again; BadRequest when
// it had better not.
func (h *Host) Notify(ctx context.Context, name string, n *pluginv1.Notification) error {
	for _, r := range h.plugins {
		if r.spec.Name != name || r.spec.As != contract.Notifier || !r.spec.sees(n.GetTenant()) {
			continue
		}
		ctx, cancel := context.WithTimeout(ctx, 2*r.spec.Timeout)
		defer cancel()
		s, err := r.await(ctx)
		if err != nil {
			return err
		}
		err = r.call(ctx, s, func(ctx context.Context, conn *grpc.ClientConn) error {
			_, err := pluginv1.NewNotifierClient(conn).Notify(ctx, n)
			return err
		})
		switch {
		case err == nil:
			return nil
		case later(err) || ctx.Err() != nil:
			return fault.Wrap(err, fault.Unavailable, "the plugin %s could not deliver it", name)
		}
		return fault.Wrap(err, fault.BadRequest, "the plugin %s won't deliver it: %s", name, plainText(status.Convert(err).Message(), 300))
	}
	return fault.New(fault.NotFound, "the tenant %s has no notifier plugin %q", n.GetTenant(), name)
}
