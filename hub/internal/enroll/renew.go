package enroll

import (
	"context"
	"crypto/x509"
	"time"

	"go.uber.org/zap"

	"github.com/kubilitics/kubilitics/hub/internal/store"
	tunnelv1 "github.com/kubilitics/kubilitics/proto/tunnel/v1"
	"github.com/kubilitics/kubilitics/shared/fault"
	"github.com/kubilitics/kubilitics/shared/tunnel"
)

// Verify tells whose certificate it is, and of which generation. The chain was verified by the TLS handshake; that the certificate still
// holds is asked again here, since a session may outlive the instant of its handshake.
func (s *Service) Verify(cert *x509.Certificate) (store.Scope, int64, error) {
	at, generation, err := scopeOf(s.cfg.TrustDomain, cert)
	if err != nil {
		return store.Scope{}, 0, err
	}
	if s.now().After(cert.NotAfter) {
		return store.Scope{}, 0, fault.New(fault.Unauthorized, "the agent's certificate has ended")
	}
	return at, generation, nil
}

// stillAdmitted is how many generations before a cluster's newest are admitted: the one that was just renewed, since the answer may have got lost.
const stillAdmitted = 1

// deletedWait is when an agent whose cluster was deleted may ask again. It isn't told to end: where it runs as a Pod it would be started again at once and
// read its whole cluster anew each time; and a hub that is restored from a backup may know the cluster again.
const deletedWait = 30 * time.Minute

// Admit is for the tunnel's server: it refuses agents whose certificate isn't this hub's, those whose cluster was deleted, and those in whose place
// another was enrolled.
func (s *Service) Admit(ctx context.Context, p tunnel.Peer) error {
	at, generation, err := s.Verify(p.Certificate)
	if err != nil {
		return err
	}
	c, err := s.store.Cluster(ctx, at)
	switch {
	case fault.Is(err, fault.NotFound):
		return fault.New(fault.Gone, "the cluster %s was deleted at the hub", at.Cluster).After(deletedWait)
	case err != nil:
		return err
	case generation < c.Generation-stillAdmitted:
		return fault.New(fault.Forbidden, "the cluster's agent was enrolled anew, or its certificate was renewed more than once since: this one isn't its any more")
	case generation > c.Generation:
		return s.readopt(ctx, p.Certificate, at, generation, c.Generation)
	}
	return nil
}

// readopt puts a certificate on record that this hub's root signed and its store has no record of: the store went back in time, as it does when a backup
// is restored. Nothing is given out before it is on record, so there is no other way to come by such a certificate; and without this every agent
// that has renewed since the backup would need a new join token.
func (s *Service) readopt(ctx context.Context, cert *x509.Certificate, at store.Scope, generation, known int64) error {
	err := s.store.Renew(ctx, at, known, store.Certificate{
		Serial: cert.SerialNumber.Text(16), Scope: at, Generation: generation, NotAfter: cert.NotAfter, Created: cert.NotBefore,
	})
	if err == nil {
		s.log.Warn("the store had no record of an agent's certificate, as after a backup was restored; it is on record again",
			zap.Stringer("cluster", at.Cluster), zap.Int64("generation", generation), zap.Int64("known", known))
	}
	return err
}

// Renew gives the agent at the other end of the tunnel its next certificate. Who asks is told by the connection's certificate alone.
func (s *Service) Renew(ctx context.Context, req *tunnelv1.RenewRequest) (*tunnelv1.RenewReply, error) {
	session, ok := tunnel.SessionOf(ctx)
	if !ok {
		return nil, fault.New(fault.Unauthorized, "a certificate is renewed over the tunnel only")
	}
	return s.renew(ctx, session.Peer().Certificate, req)
}

func (s *Service) renew(ctx context.Context, old *x509.Certificate, req *tunnelv1.RenewRequest) (*tunnelv1.RenewReply, error) {
	at, generation, err := s.Verify(old)
	if err != nil {
		return nil, err
	}
	csr, keyHash, err := readCSR(req.GetCsr())
	if err != nil {
		return nil, err
	}
	next := generation + 1
	if err := s.checkNewest(ctx, at, next); err != nil {
		return nil, err
	}
	template := agentTemplate(s.cfg.TrustDomain, at, next, serialOf("renew", at, next, keyHash))
	cert, err := s.issue(template, csr, at, next, func(record store.Certificate) error {
		return s.store.Renew(ctx, at, generation, record)
	})
	if err != nil {
		s.log.Warn("renewal refused", zap.Stringer("cluster", at.Cluster), zap.Int64("generation", generation), zap.Error(err))
		return nil, err
	}
	s.log.Info("certificate renewed", zap.Stringer("cluster", at.Cluster), zap.Int64("generation", next))
	return &tunnelv1.RenewReply{Certificate: cert.Raw, TrustBundle: s.authority.Bundle()}, nil
}

// checkNewest refuses to repeat a renewal that others have followed: a copy of an agent's state would live on by it.
func (s *Service) checkNewest(ctx context.Context, at store.Scope, next int64) error {
	c, err := s.store.Cluster(ctx, at)
	if err == nil && c.Generation > next {
		err = fault.New(fault.Conflict, "the certificate isn't the cluster's newest, or the one before: its identity is in use twice")
	}
	return err
}
