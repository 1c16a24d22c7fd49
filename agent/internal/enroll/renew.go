package enroll

import (
	"context"
	"errors"
	"time"

	"go.uber.org/zap"

	tunnelv1 "github.com/kubilitics/kubilitics/proto/tunnel/v1"
	"github.com/kubilitics/kubilitics/shared/fault"
	"github.com/kubilitics/kubilitics/shared/fault/grpcfault"
	"github.com/kubilitics/kubilitics/shared/tunnel"
)

// alarm is the age of a certificate from which on it is an error that it wasn't renewed.
const alarm = 0.8

// longestSleep bounds every wait: a machine that was suspended looks at the clock soon after it wakes.
const longestSleep = time.Minute

// Run renews the certificate when half to two thirds of its life are over, for as long as the context lasts. It returns early only with a
// fault: Gone when the certificate has ended all the same, so that a new join token is needed.
//
// A session is good for one renewal, since it shows the certificate that was renewed; it may stay until that one's end, and the next is opened
// with the new one.
func (m *Member) Run(ctx context.Context) error {
	r := &renewal{m: m, log: m.cfg.Log.With(zap.String("cluster", m.Cluster()))}
	for {
		s, due := m.now()
		if err := unended(s); err != nil {
			return err
		}
		r.watch(s)
		if s.age(time.Now()) >= due {
			if r.try(ctx, s) {
				continue
			}
		}
		if !m.sleep(ctx, r.pause(s, due)) {
			return nil
		}
	}
}

// sleep waits until then, or for a new session; false when the context ended.
func (m *Member) sleep(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-m.wake:
	case <-timer.C:
	}
	return true
}

// renewal is the memory of Run.
type renewal struct {
	m       *Member
	log     *zap.Logger
	refused string    // the serial of a certificate that the hub won't renew
	next    time.Time // not before then, after a failure
	backoff tunnel.Backoff
	alarmed time.Time
}

// watch raises the alarm when a certificate grows old, again and again.
func (r *renewal) watch(s state) {
	now := time.Now()
	if s.age(now) < alarm || now.Sub(r.alarmed) < min(time.Hour, s.lifetime()/20) {
		return
	}
	r.alarmed = now
	r.log.Error("the agent's certificate nears its end and could not be renewed", zap.Time("ends", s.Certificate.NotAfter))
}

// pause is how long nothing can be done.
func (r *renewal) pause(s state, due float64) time.Duration {
	now := time.Now()
	wait := longestSleep
	for _, at := range []time.Time{s.at(due), s.at(alarm), s.Certificate.NotAfter, r.next} {
		if d := at.Sub(now); d > 0 {
			wait = min(wait, d)
		}
	}
	return wait + time.Millisecond // timers are as exact as that: not a moment too early
}

func (s state) at(age float64) time.Time {
	return s.Obtained.Add(time.Duration(age * float64(s.lifetime())))
}

// try renews if it can be done now; true when there is a certificate to look at anew.
func (r *renewal) try(ctx context.Context, s state) bool {
	r.m.mu.Lock()
	over := r.m.attached
	r.m.mu.Unlock()
	if over.client == nil || over.ctx.Err() != nil || over.serial != serial(s) || r.refused == over.serial || time.Now().Before(r.next) {
		return false
	}
	err := r.renew(ctx, over, s)
	switch {
	case err == nil, errors.Is(err, errTaken):
		return r.look(ctx, err)
	case ctx.Err() != nil, over.ctx.Err() != nil:
		return false // asked again over the next session
	case fault.Retryable(err), fault.Is(err, fault.Internal):
		r.next = time.Now().Add(r.wait(s, err))
		r.log.Warn("the agent's certificate could not be renewed yet", zap.Error(err))
	default:
		r.refused = over.serial
		r.log.Error("the hub refuses to renew the agent's certificate", zap.String("code", string(fault.CodeOf(err))), zap.Error(err))
	}
	return false
}

// wait is in proportion to what is left of a short life.
func (r *renewal) wait(s state, err error) time.Duration {
	r.backoff.First, r.backoff.Cap = min(time.Second, s.lifetime()/100), min(time.Minute, s.lifetime()/20)
	return r.backoff.Next(err)
}

// look takes over what another process with this identity has saved, such as the agent's next instance during a roll-out.
func (r *renewal) look(ctx context.Context, taken error) bool {
	r.backoff.Reset()
	r.next, r.alarmed = time.Time{}, time.Time{}
	if taken == nil {
		return true
	}
	s, err := load(ctx, r.m.cfg.Keep)
	if err != nil || s.Certificate == nil {
		r.next = time.Now().Add(time.Second)
		r.log.Warn("the kept identity was changed and can't be read", zap.Error(err))
		return false
	}
	r.log.Info("another process has changed the kept identity; it is used from now on", zap.Time("until", s.Certificate.NotAfter))
	r.m.use(s)
	return true
}

// renew asks for a certificate for a fresh key. Key and certificate are each kept before they are used.
func (r *renewal) renew(ctx context.Context, over attached, s state) error {
	keep := r.m.cfg.Keep
	had := s.Pending
	s, err := s.withPending()
	if err != nil {
		return err
	}
	if had == nil {
		if err := save(ctx, keep, s); err != nil {
			return err
		}
		r.m.pending(s)
	}
	csr, err := newCSR(s.Pending)
	if err != nil {
		return err
	}
	call, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	defer context.AfterFunc(over.ctx, cancel)()
	reply, err := over.client.Renew(call, &tunnelv1.RenewRequest{Csr: csr})
	if err != nil {
		return grpcfault.From(err)
	}
	next, err := s.accept(reply.GetCertificate(), reply.GetTrustBundle(), time.Now())
	if err != nil {
		return err
	}
	if next.Certificate.URIs[0].String() != s.Certificate.URIs[0].String() {
		return fault.New(fault.Internal, "the hub sent a certificate for somebody else")
	}
	if err := save(ctx, keep, next); err != nil {
		return err
	}
	r.m.use(next)
	r.log.Info("the agent's certificate was renewed", zap.Time("until", next.Certificate.NotAfter))
	return nil
}

// pending notes a key that is kept, so that the next attempt asks for the same one.
func (m *Member) pending(s state) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.state = s
}
