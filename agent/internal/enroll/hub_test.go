package enroll

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"math/big"
	"net"
	"net/url"
	"strconv"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"
	"google.golang.org/grpc"

	tunnelv1 "github.com/kubilitics/kubilitics/proto/tunnel/v1"
	"github.com/kubilitics/kubilitics/shared/credential"
	"github.com/kubilitics/kubilitics/shared/fault"
	"github.com/kubilitics/kubilitics/shared/fault/grpcfault"
	"github.com/kubilitics/kubilitics/shared/join"
	"github.com/kubilitics/kubilitics/shared/tunnel"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// hub behaves as the real one does to an agent: tokens bound to a key, a generation raised at each renewal, repetitions allowed. It can be
// told to lose replies.
type hub struct {
	tunnelv1.UnimplementedEnrolmentServer
	tunnelv1.UnimplementedSyncServer

	t        *testing.T
	root     *x509.Certificate
	key      *ecdsa.PrivateKey
	server   tls.Certificate
	endpoint tunnel.Endpoint
	lifetime time.Duration
	piped    bool
	stop     func()

	mu         sync.Mutex
	tokens     map[string][]byte // id -> hash of the key that consumed it; nil before
	generation int64
	serials    map[string]bool
	enrolled   int // certificates given, repetitions included
	renewed    int
	lose       int // so many replies
	refuse     error
}

const spiffe = "spiffe://test/tenant/t/cluster/c"

// newHub listens on loopback.
func newHub(t *testing.T, lifetime time.Duration) *hub { return anyHub(t, lifetime, false) }

// anyHub listens on a pipe where a test has a clock of its own, which sockets don't keep.
func anyHub(t *testing.T, lifetime time.Duration, piped bool) *hub {
	t.Helper()
	h := &hub{t: t, lifetime: lifetime, piped: piped, tokens: map[string][]byte{}, serials: map[string]bool{}}
	h.key = h.newKey()
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), NotBefore: time.Now().Add(-48 * time.Hour), NotAfter: time.Now().Add(1000 * time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	}
	h.root = template
	h.root = h.sign(template, h.key)
	leafKey := h.newKey()
	leaf := h.sign(&x509.Certificate{
		SerialNumber: big.NewInt(2), NotBefore: template.NotBefore, NotAfter: template.NotAfter,
		DNSNames: []string{join.HubName}, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}, leafKey)
	h.server = tls.Certificate{Certificate: [][]byte{leaf.Raw, h.root.Raw}, PrivateKey: leafKey, Leaf: leaf}
	h.serve()
	return h
}

func (h *hub) newKey() *ecdsa.PrivateKey {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		h.t.Fatal(err)
	}
	return key
}

func (h *hub) sign(template *x509.Certificate, key *ecdsa.PrivateKey) *x509.Certificate {
	return h.signFor(template, key.Public())
}

func (h *hub) signFor(template *x509.Certificate, public any) *x509.Certificate {
	der, err := x509.CreateCertificate(rand.Reader, template, h.root, public, h.key)
	if err != nil {
		h.t.Error(err)
		return nil
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		h.t.Error(err)
	}
	return cert
}

// serve runs until the test ends.
func (h *hub) serve() {
	ctx, cancel := context.WithCancel(h.t.Context())
	first, calls := tunnel.NewListener("enrol"), tunnel.NewListener("sync")
	server := tunnel.NewServer(tunnel.ServerConfig{
		Credentials: func() tunnel.Credentials {
			return tunnel.Credentials{Certificate: h.server, Roots: pool([]*x509.Certificate{h.root})}
		},
		Enroll: first, Streams: map[tunnel.Kind]*tunnel.Listener{tunnel.GRPC: calls},
	})
	options := append(tunnel.ServerOptions(), grpc.UnaryInterceptor(grpcfault.Unary(func(context.Context, string, error) {})))
	enrol, sync := grpc.NewServer(options...), grpc.NewServer(options...)
	tunnelv1.RegisterEnrolmentServer(enrol, h)
	tunnelv1.RegisterSyncServer(sync, h)
	l, endpoint := h.listen()
	h.endpoint = endpoint
	running := running(h.t, func() error { return enrol.Serve(first) }, func() error { return sync.Serve(calls) }, func() error { return server.Serve(ctx, l) })
	h.stop = func() { cancel(); enrol.Stop(); sync.Stop(); running.Wait() }
	h.t.Cleanup(h.stop)
}

func (h *hub) listen() (net.Listener, tunnel.Endpoint) {
	if h.piped {
		pipe := tunnel.NewPipe()
		return pipe, tunnel.Endpoint{Dial: pipe.Dial}
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		h.t.Fatal(err)
	}
	return l, tunnel.Endpoint{URL: "tls://" + l.Addr().String()}
}

func running(t *testing.T, parts ...func() error) *sync.WaitGroup {
	var all sync.WaitGroup
	for _, part := range parts {
		all.Go(func() {
			if err := part(); err != nil && !errors.Is(err, grpc.ErrServerStopped) {
				t.Error(err)
			}
		})
	}
	return &all
}

// token mints one.
func (h *hub) token() join.Token {
	token := join.NewToken(tunnel.PinOf(h.root))
	h.mu.Lock()
	defer h.mu.Unlock()
	h.tokens[token.ID] = nil
	return token
}

func (h *hub) Enrol(_ context.Context, req *tunnelv1.EnrolRequest) (*tunnelv1.EnrolReply, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.refuse != nil {
		return nil, h.refuse
	}
	c, _ := credential.Parse(credential.Join, req.GetToken())
	bound, known := h.tokens[c.ID]
	csr, err := x509.ParseCertificateRequest(req.GetCsr())
	identity, errKey := x509.ParsePKIXPublicKey(req.GetIdentityKey())
	digest := sha256.Sum256(req.GetCsr())
	if err != nil || errKey != nil || csr.CheckSignature() != nil || !ecdsa.VerifyASN1(identity.(*ecdsa.PublicKey), digest[:], req.GetIdentityProof()) {
		return nil, fault.New(fault.BadRequest, "the request isn't right")
	}
	hash := sha256.Sum256(csr.RawSubjectPublicKeyInfo)
	switch {
	case !known:
		return nil, fault.New(fault.Unauthorized, "the join token isn't known")
	case bound != nil && !bytes.Equal(bound, hash[:]):
		return nil, fault.New(fault.Conflict, "the join token was used by another agent")
	case req.GetKubeSystemUid() == "":
		return nil, fault.New(fault.BadRequest, "no cluster")
	}
	if bound == nil {
		h.generation++
	}
	h.tokens[c.ID] = hash[:]
	h.enrolled++
	if h.lost() {
		return nil, fault.New(fault.Unavailable, "lost")
	}
	return &tunnelv1.EnrolReply{Certificate: h.issue(csr, h.generation).Raw, TrustBundle: [][]byte{h.root.Raw}, Tenant: "t", Cluster: "c"}, nil
}

func (h *hub) lost() bool {
	h.lose--
	return h.lose >= 0
}

func (h *hub) issue(csr *x509.CertificateRequest, generation int64) *x509.Certificate {
	hash := sha256.Sum256(csr.RawSubjectPublicKeyInfo)
	uri, _ := url.Parse(spiffe)
	now := time.Now()
	h.serials[string(hash[:])] = true
	return h.signFor(&x509.Certificate{
		SerialNumber: new(big.Int).SetBytes(hash[:16]), NotBefore: now.Add(-h.lifetime / 20), NotAfter: now.Add(h.lifetime),
		Subject: pkix.Name{SerialNumber: strconv.FormatInt(generation, 10)}, URIs: []*url.URL{uri},
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}, KeyUsage: x509.KeyUsageDigitalSignature,
	}, csr.PublicKey)
}

func (h *hub) Renew(ctx context.Context, req *tunnelv1.RenewRequest) (*tunnelv1.RenewReply, error) {
	session, ok := tunnel.SessionOf(ctx)
	csr, err := x509.ParseCertificateRequest(req.GetCsr())
	if err != nil || !ok {
		return nil, fault.New(fault.BadRequest, "the request isn't right")
	}
	from, _ := strconv.ParseInt(session.Peer().Certificate.Subject.SerialNumber, 10, 64)
	return h.renew(from, csr)
}

func (h *hub) renew(from int64, csr *x509.CertificateRequest) (*tunnelv1.RenewReply, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	hash := sha256.Sum256(csr.RawSubjectPublicKeyInfo)
	switch repeated := h.serials[string(hash[:])]; {
	case h.refuse != nil:
		return nil, h.refuse
	case !repeated && from != h.generation:
		return nil, fault.New(fault.Conflict, "generation %d isn't the newest, %d", from, h.generation)
	case !repeated:
		h.generation = from + 1
	}
	h.renewed++
	cert := h.issue(csr, from+1)
	if h.lost() {
		return nil, fault.New(fault.Unavailable, "lost")
	}
	return &tunnelv1.RenewReply{Certificate: cert.Raw, TrustBundle: [][]byte{h.root.Raw}}, nil
}

// set changes what the hub does from now on.
func (h *hub) set(change func()) {
	h.mu.Lock()
	defer h.mu.Unlock()
	change()
}
