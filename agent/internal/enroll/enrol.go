package enroll

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"errors"
	"net"
	"time"

	"go.uber.org/zap"

	tunnelv1 "github.com/kubilitics/kubilitics/proto/tunnel/v1"
	"github.com/kubilitics/kubilitics/shared/fault"
	"github.com/kubilitics/kubilitics/shared/fault/grpcfault"
	"github.com/kubilitics/kubilitics/shared/join"
	"github.com/kubilitics/kubilitics/shared/tunnel"
)

// Config says how to become a member.
type Config struct {
	// Endpoint is the hub's. An empty ServerName is the name that every hub's certificate has.
	Endpoint tunnel.Endpoint
	Settings tunnel.Settings // of the sessions that Dial opens
	// Token is a join token's text; "" for an agent that has enrolled. One that is new makes an agent that has enrolled do so again.
	Token string
	// KubeUID gives the UID of the kube-system namespace. Its faults decide whether it is asked again.
	KubeUID func(ctx context.Context) (string, error)
	Keep    Keep
	Log     *zap.Logger
}

const callTimeout = 30 * time.Second

// Ensure gives the membership that is kept, or enrols. It tries until the hub answers, the context ends or trying again is of no use: the
// fault then says what is to be done.
func Ensure(ctx context.Context, cfg Config) (*Member, error) {
	if cfg.Endpoint.ServerName == "" {
		cfg.Endpoint.ServerName = join.HubName
	}
	var token *join.Token
	if cfg.Token != "" {
		parsed, err := join.Parse(cfg.Token)
		if err != nil {
			return nil, err
		}
		token = &parsed
	}
	e := &enrolment{cfg: cfg, token: token}
	backoff := tunnel.Backoff{First: time.Second, Cap: time.Minute}
	for {
		s, err := e.attempt(ctx)
		if err == nil {
			return newMember(cfg, s), nil
		}
		if !tryAgain(err) || ctx.Err() != nil {
			return nil, err
		}
		cfg.Log.Warn("the agent is not enrolled yet", zap.Error(err))
		if backoff.Wait(ctx, err) != nil {
			return nil, err
		}
	}
}

// errTaken says that another process has saved: what it saved is to be looked at first.
var errTaken = errors.New("the kept identity was changed by another process")

func tryAgain(err error) bool { return fault.Retryable(err) || errors.Is(err, errTaken) }

type enrolment struct {
	cfg   Config
	token *join.Token
}

func (e *enrolment) attempt(ctx context.Context) (state, error) {
	s, err := load(ctx, e.cfg.Keep)
	if err != nil {
		return state{}, err
	}
	if s.Certificate != nil && (e.token == nil || e.token.ID == s.TokenID) {
		return s, unended(s)
	}
	if e.token == nil {
		return state{}, fault.New(fault.BadRequest, "this agent has not enrolled yet and was given no join token")
	}
	fresh, err := e.enrol(ctx, s)
	if err != nil && !tryAgain(err) && s.Certificate != nil && unended(s) == nil {
		e.cfg.Log.Warn("the hub refused the new join token; the agent goes on as it was enrolled before", zap.String("token", e.token.ID), zap.Error(err))
		return s, nil
	}
	return fresh, err
}

func unended(s state) error {
	if now := time.Now(); now.After(s.Certificate.NotAfter) {
		return fault.New(fault.Gone, "the agent's certificate ended at %s (it is %s by this machine's clock): make a new join token for the cluster %s and give it to the agent",
			s.Certificate.NotAfter.UTC().Format(time.RFC3339), now.UTC().Format(time.RFC3339), s.Cluster)
	}
	return nil
}

// load gives what is kept; what isn't is begun, and has an identity key.
func load(ctx context.Context, k Keep) (state, error) {
	text, err := k.Load(ctx)
	if fault.Is(err, fault.NotFound) {
		return newState()
	}
	if err != nil {
		return state{}, err
	}
	return unmarshal(text)
}

func save(ctx context.Context, k Keep, s state) error {
	text, err := s.marshal()
	if err != nil {
		return err
	}
	if err := k.Save(ctx, text); fault.Is(err, fault.Conflict) {
		return fault.Wrap(errors.Join(errTaken, err), fault.Conflict, "the kept identity was changed by another process")
	} else if err != nil {
		return err
	}
	return nil
}

// enrol asks for the first certificate. The keys are kept before they are sent: the token is bound to them when it arrives.
func (e *enrolment) enrol(ctx context.Context, s state) (state, error) {
	uid, err := e.cfg.KubeUID(ctx)
	if err != nil {
		return state{}, err
	}
	if s, err = s.withPending(); err != nil {
		return state{}, err
	}
	if err := save(ctx, e.cfg.Keep, s); err != nil {
		return state{}, err
	}
	req, err := request(s, uid)
	if err != nil {
		return state{}, err
	}
	req.Token = e.token.Text()
	reply, err := e.call(ctx, req)
	if err != nil {
		return state{}, err
	}
	next, err := s.accept(reply.GetCertificate(), reply.GetTrustBundle(), time.Now())
	if err != nil {
		return state{}, err
	}
	if !pinned(next.Trust, e.token.Pin) {
		return state{}, fault.New(fault.Internal, "the hub's trust bundle lacks the root that the join token names")
	}
	next.Tenant, next.Cluster, next.TokenID = reply.GetTenant(), reply.GetCluster(), e.token.ID
	if err := save(ctx, e.cfg.Keep, next); err != nil {
		return state{}, err
	}
	e.cfg.Log.Info("the agent has enrolled", zap.String("cluster", next.Cluster), zap.Time("until", next.Certificate.NotAfter))
	return next, nil
}

func pinned(roots []*x509.Certificate, pin tunnel.Pin) bool {
	for _, cert := range roots {
		if tunnel.PinOf(cert) == pin {
			return true
		}
	}
	return false
}

func request(s state, uid string) (*tunnelv1.EnrolRequest, error) {
	csr, err := newCSR(s.Pending)
	if err != nil {
		return nil, err
	}
	public, err := x509.MarshalPKIXPublicKey(s.Identity.Public())
	if err != nil {
		return nil, fault.Wrap(err, fault.Internal, "the identity key has no public form")
	}
	digest := sha256.Sum256(csr)
	proof, err := s.Identity.Sign(rand.Reader, digest[:], crypto.SHA256)
	if err != nil {
		return nil, fault.Wrap(err, fault.Internal, "the identity key can't sign")
	}
	return &tunnelv1.EnrolRequest{Csr: csr, IdentityKey: public, IdentityProof: proof, KubeSystemUid: uid}, nil
}

func newCSR(key *ecdsa.PrivateKey) ([]byte, error) {
	der, err := x509.CreateCertificateRequest(rand.Reader, &x509.CertificateRequest{}, key)
	if err != nil {
		return nil, fault.Wrap(err, fault.Internal, "no certificate request could be made")
	}
	return der, nil
}

// call makes the one call of a first contact, on a connection of its own.
func (e *enrolment) call(ctx context.Context, req *tunnelv1.EnrolRequest) (*tunnelv1.EnrolReply, error) {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	conn, err := tunnel.DialEnroll(ctx, e.cfg.Endpoint, e.token.Pin)
	if err != nil {
		return nil, err
	}
	defer func() { _ = conn.Close() }()
	client, err := tunnel.NewGRPCClient(func(context.Context) (net.Conn, error) { return conn, nil })
	if err != nil {
		return nil, fault.Wrap(err, fault.Internal, "no client could be made for the enrolment")
	}
	defer func() { _ = client.Close() }()
	reply, err := tunnelv1.NewEnrolmentClient(client).Enrol(ctx, req)
	return reply, grpcfault.From(err)
}

// accept gives the state with a certificate for its pending key, once everything about it was checked.
func (s state) accept(der []byte, bundle [][]byte, now time.Time) (state, error) {
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		return state{}, fault.Wrap(err, fault.Internal, "the hub sent a certificate that can't be read")
	}
	roots, err := parseCerts(bundle)
	if err != nil || len(roots) == 0 {
		return state{}, fault.Wrap(err, fault.Internal, "the hub sent no roots to trust")
	}
	_, err = cert.Verify(x509.VerifyOptions{
		Roots: pool(roots), KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
		CurrentTime: cert.NotBefore, // clocks differ, and the hub's is the one that counts
	})
	if err != nil || !belongs(cert, s.Pending) || len(cert.URIs) != 1 {
		return state{}, fault.Wrap(err, fault.Internal, "the hub sent a certificate that isn't for this agent")
	}
	s.Certificate, s.Trust, s.Obtained = cert, roots, now.Round(0) // the wall clock goes on while a machine sleeps
	s.Key, s.Pending = s.Pending, nil
	return s, nil
}
