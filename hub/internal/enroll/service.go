package enroll

import (
	"context"
	"crypto/subtle"
	"crypto/x509"
	"net"
	"time"

	"go.uber.org/zap"
	"google.golang.org/grpc"
	"google.golang.org/grpc/peer"

	"github.com/kubilitics/kubilitics/hub/internal/fleet"
	"github.com/kubilitics/kubilitics/hub/internal/store"
	"github.com/kubilitics/kubilitics/hub/internal/throttle"
	tunnelv1 "github.com/kubilitics/kubilitics/proto/tunnel/v1"
	"github.com/kubilitics/kubilitics/shared/credential"
	"github.com/kubilitics/kubilitics/shared/fault"
	"github.com/kubilitics/kubilitics/shared/fault/grpcfault"
	"github.com/kubilitics/kubilitics/shared/tunnel"
)

// Config sets the service's times and bounds. A zero field means the default named beside it.
type Config struct {
	TrustDomain   string        // of the SPIFFE URIs; kubilitics.internal
	Lifetime      time.Duration // of agents' certificates; 24 h
	TokenLifetime time.Duration // of join tokens; 1 h
	EachAddress   throttle.Rate // enrolments tried from one address; 50 a second, 200 at once
	AllAddresses  throttle.Rate // enrolments tried in all; 200 a second, 1000 at once

	// Enrolled is told of each cluster whose agent was enrolled anew: whoever holds a certificate of before is not that agent any more, and
	// their sessions are to be ended. Nil is told nothing.
	Enrolled func(at store.Scope)
}

func (c Config) withDefaults() Config {
	if c.TrustDomain == "" {
		c.TrustDomain = "kubilitics.internal"
	}
	if c.Lifetime == 0 {
		c.Lifetime = 24 * time.Hour
	}
	if c.TokenLifetime == 0 {
		c.TokenLifetime = time.Hour
	}
	if c.EachAddress == (throttle.Rate{}) {
		c.EachAddress = throttle.Rate{PerSecond: 50, Burst: 200}
	}
	if c.AllAddresses == (throttle.Rate{}) {
		c.AllAddresses = throttle.Rate{PerSecond: 200, Burst: 1000}
	}
	return c
}

// Store is what enrolment keeps.
type Store interface {
	store.Enrolment
	CreateCluster(ctx context.Context, c fleet.Cluster) error
	Cluster(ctx context.Context, at store.Scope) (fleet.Cluster, error)
}

// Service makes join tokens and signs agents' certificates. It answers the enrolment service of the tunnel's listener.
type Service struct {
	tunnelv1.UnimplementedEnrolmentServer

	store     Store
	authority *Authority
	cfg       Config
	throttle  *throttle.Throttle
	log       *zap.Logger
	now       func() time.Time
}

// New makes a service.
func New(s Store, a *Authority, cfg Config, log *zap.Logger) *Service {
	cfg = cfg.withDefaults()
	return &Service{
		store: s, authority: a, cfg: cfg, log: log, now: time.Now,
		throttle: throttle.New(cfg.EachAddress, cfg.AllAddresses),
	}
}

// What strangers may make gRPC hold.
const (
	maxRequest  = 64 << 10
	maxCalls    = 4
	lastAnswers = 5 * time.Second // for calls under way when the hub stops
)

// Serve answers first contacts until the context ends.
func (s *Service) Serve(ctx context.Context, l net.Listener) error {
	server := grpc.NewServer(append(tunnel.ServerOptions(),
		grpc.MaxRecvMsgSize(maxRequest), grpc.MaxConcurrentStreams(maxCalls), grpc.UnaryInterceptor(grpcfault.Unary(s.hidden)))...)
	tunnelv1.RegisterEnrolmentServer(server, s)
	stop := context.AfterFunc(ctx, func() {
		force := time.AfterFunc(lastAnswers, server.Stop)
		defer force.Stop()
		server.GracefulStop()
	})
	defer stop()
	err := server.Serve(l)
	server.Stop()
	if ctx.Err() != nil || err == nil {
		return nil
	}
	return fault.Wrap(err, fault.Internal, "the listener of first contacts failed")
}

func (s *Service) hidden(_ context.Context, method string, err error) {
	s.log.Error("a call failed here", zap.String("method", method), zap.Error(err))
}

// Enrol exchanges a join token for a certificate. What a stranger makes it do is one look-up and one hash; keys and signatures are
// looked at once the secret was right.
func (s *Service) Enrol(ctx context.Context, req *tunnelv1.EnrolRequest) (*tunnelv1.EnrolReply, error) {
	from := remote(ctx)
	if err := s.throttle.Take(from); err != nil {
		return nil, err
	}
	token, err := s.authenticate(ctx, req.GetToken())
	if err != nil {
		s.log.Debug("enrolment refused", zap.String("from", from), zap.Error(err))
		return nil, err
	}
	log := s.log.With(zap.Stringer("cluster", token.Scope.Cluster), zap.String("token", token.ID), zap.String("from", from))
	reply, err := s.enrol(ctx, token, req)
	if err != nil {
		log.Warn("enrolment refused", zap.String("code", string(fault.CodeOf(err))), zap.Error(err))
		return nil, err
	}
	log.Info("agent enrolled", zap.String("kubeSystemUID", req.GetKubeSystemUid()))
	return reply, nil
}

func remote(ctx context.Context) string {
	if p, ok := peer.FromContext(ctx); ok && p.Addr != nil {
		return throttle.Host(p.Addr.String())
	}
	return ""
}

// authenticate finds the token of a credential. A credential that is malformed, unknown or wrong costs the same and is answered the same.
func (s *Service) authenticate(ctx context.Context, text string) (store.JoinToken, error) {
	c, _ := credential.Parse(credential.Join, text)
	token, err := s.store.JoinToken(ctx, c.ID)
	if err != nil && !fault.Is(err, fault.NotFound) {
		return store.JoinToken{}, err
	}
	if !c.Matches(token.SecretHash) || err != nil {
		return store.JoinToken{}, fault.New(fault.Unauthorized, "the join token isn't known to this hub; make a new one for the cluster")
	}
	if !s.now().Before(token.Expires) {
		return store.JoinToken{}, fault.New(fault.Gone, "the join token ended at %s; make a new one for the cluster", token.Expires.UTC().Format(time.RFC3339))
	}
	return token, nil
}

func (s *Service) enrol(ctx context.Context, token store.JoinToken, req *tunnelv1.EnrolRequest) (*tunnelv1.EnrolReply, error) {
	csr, keyHash, err := readCSR(req.GetCsr())
	if err != nil {
		return nil, err
	}
	if err := checkIdentity(csr, req.GetIdentityKey(), req.GetIdentityProof()); err != nil {
		return nil, err
	}
	if uid := req.GetKubeSystemUid(); uid == "" || len(uid) > maxName || checkName(uid) != "" {
		return nil, fault.New(fault.BadRequest, "the UID of the cluster's kube-system namespace is missing or not valid")
	}
	generation, anew, err := s.nextGeneration(ctx, token, keyHash)
	if err != nil {
		return nil, err
	}
	serial := serialOf("enrol "+token.ID, token.Scope, generation, keyHash)
	template := agentTemplate(s.cfg.TrustDomain, token.Scope, generation, serial)
	identity := store.Identity{KubeUID: req.GetKubeSystemUid(), IdentityKey: req.GetIdentityKey()}
	cert, err := s.issue(template, csr, token.Scope, generation, func(record store.Certificate) error {
		return s.store.Enrol(ctx, token.ID, keyHash, identity, record)
	})
	if err != nil {
		return nil, err
	}
	if anew && s.cfg.Enrolled != nil {
		s.cfg.Enrolled(token.Scope)
	}
	return &tunnelv1.EnrolReply{
		Certificate: cert.Raw, TrustBundle: s.authority.Bundle(),
		Tenant: token.Scope.Tenant.String(), Cluster: token.Scope.Cluster.String(),
	}, nil
}

// nextGeneration is the first of a cluster; for a token that this key has consumed before, the cluster's own: the certificate that got lost on the
// way; and for an agent that is enrolled anew, one so far on that no certificate of before is admitted any more.
func (s *Service) nextGeneration(ctx context.Context, token store.JoinToken, keyHash []byte) (generation int64, anew bool, err error) {
	c, err := s.store.Cluster(ctx, token.Scope)
	switch {
	case err != nil:
		return 0, false, err
	case c.Generation == 0:
		return 1, false, nil
	case subtle.ConstantTimeCompare(token.KeyHash, keyHash) == 1:
		return c.Generation, false, nil
	default:
		return c.Generation + stillAdmitted + 1, true, nil
	}
}

// issue signs a certificate, and gives it out only once it is on record: what isn't can't be revoked.
func (s *Service) issue(template *x509.Certificate, csr *x509.CertificateRequest, at store.Scope, generation int64, record func(store.Certificate) error) (*x509.Certificate, error) {
	cert, err := s.authority.sign(template, csr.PublicKey, s.cfg.Lifetime)
	if err != nil {
		return nil, err
	}
	err = record(store.Certificate{
		Serial: cert.SerialNumber.Text(16), Scope: at, Generation: generation, NotAfter: cert.NotAfter, Created: s.now(),
	})
	if err != nil {
		return nil, err
	}
	return cert, nil
}
