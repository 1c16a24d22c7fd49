package enroll

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"math/big"
	"net"
	"sync"
	"time"

	"github.com/kubilitics/kubilitics/shared/fault"
	"github.com/kubilitics/kubilitics/shared/join"
	"github.com/kubilitics/kubilitics/shared/tunnel"
)

// AuthorityConfig says where the root is and what the hub's own certificates say.
type AuthorityConfig struct {
	// File holds the root's certificate and key, PEM, readable by the owner alone. It is made when it doesn't exist, unless
	// MustExist: replicas that share a database must be given the same root.
	File      string
	MustExist bool
	// TrustedFile holds further roots that agents are to trust, PEM; "" for none. During a rotation it is the next root's, or the
	// last one's.
	TrustedFile string
	// Names are the DNS names and addresses in the hub's certificate, besides join.HubName, which always is.
	Names []string
	// ServerLifetime is that of the hub's own certificates; 0 means 7 days.
	ServerLifetime time.Duration
}

// Authority is the hub's certificate authority. It is safe for concurrent use.
type Authority struct {
	root     *x509.Certificate
	key      crypto.Signer
	trusted  []*x509.Certificate // root first
	pool     *x509.CertPool
	names    []string
	lifetime time.Duration
	now      func() time.Time

	mu     sync.Mutex
	server tls.Certificate
}

// OpenAuthority reads the root, or makes one.
func OpenAuthority(cfg AuthorityConfig) (*Authority, error) {
	root, key, err := openRoot(cfg)
	if err != nil {
		return nil, err
	}
	a := &Authority{root: root, key: key, trusted: []*x509.Certificate{root}, names: cfg.Names, lifetime: cfg.ServerLifetime, now: time.Now}
	if a.lifetime == 0 {
		a.lifetime = 7 * 24 * time.Hour
	}
	if cfg.TrustedFile != "" {
		more, err := readRoots(cfg.TrustedFile)
		if err != nil {
			return nil, err
		}
		a.trusted = append(a.trusted, more...)
	}
	a.pool = x509.NewCertPool()
	for _, cert := range a.trusted {
		a.pool.AddCert(cert)
	}
	return a, a.renewServer()
}

// Pin is what join tokens carry of the root.
func (a *Authority) Pin() tunnel.Pin { return tunnel.PinOf(a.root) }

// Bundle is every root that agents are to trust, DER.
func (a *Authority) Bundle() [][]byte {
	var bundle [][]byte
	for _, cert := range a.trusted {
		bundle = append(bundle, cert.Raw)
	}
	return bundle
}

// Credentials are the hub's for a handshake. Its certificate is made anew when half its life is over, here, so that no hub runs
// into its end; making one takes less than a millisecond.
func (a *Authority) Credentials() tunnel.Credentials {
	a.mu.Lock()
	defer a.mu.Unlock()
	if left := a.server.Leaf.NotAfter.Sub(a.now()); left < a.lifetime/2 {
		_ = a.renewServer() // what is left of the old one is used up first; signing fails only for a reason that made opening fail before
	}
	return tunnel.Credentials{Certificate: a.server, Roots: a.pool}
}

// renewServer is called under mu, or before anybody else knows the authority.
func (a *Authority) renewServer() error {
	cert, err := a.issueServer(join.HubName, append([]string{join.HubName}, a.names...))
	if err == nil {
		a.server = cert
	}
	return err
}

// issueServer makes a key and its certificate for a server that is reached by those DNS names and addresses.
func (a *Authority) issueServer(common string, names []string) (tls.Certificate, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return tls.Certificate{}, fault.Wrap(err, fault.Internal, "no key could be made for the hub's certificate")
	}
	template := &x509.Certificate{
		SerialNumber: randomSerial(),
		Subject:      pkix.Name{CommonName: common},
		KeyUsage:     x509.KeyUsageDigitalSignature,
		ExtKeyUsage:  []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}
	for _, name := range names {
		if ip := net.ParseIP(name); ip != nil {
			template.IPAddresses = append(template.IPAddresses, ip)
		} else {
			template.DNSNames = append(template.DNSNames, name)
		}
	}
	cert, err := a.sign(template, key.Public(), a.lifetime)
	if err != nil {
		return tls.Certificate{}, err
	}
	// The root goes along: by it a first contact finds the pin.
	return tls.Certificate{Certificate: [][]byte{cert.Raw, a.root.Raw}, PrivateKey: key, Leaf: cert}, nil
}

// backdate forgives clocks that are a little behind, as far as the lifetime allows.
func backdate(lifetime time.Duration) time.Duration { return min(5*time.Minute, lifetime/20) }

// sign completes a template with its validity and signs it.
func (a *Authority) sign(template *x509.Certificate, key crypto.PublicKey, lifetime time.Duration) (*x509.Certificate, error) {
	now := a.now()
	template.NotBefore, template.NotAfter = now.Add(-backdate(lifetime)), now.Add(lifetime)
	if template.NotAfter.After(a.root.NotAfter) {
		template.NotAfter = a.root.NotAfter
	}
	template.BasicConstraintsValid = true
	der, err := x509.CreateCertificate(rand.Reader, template, a.root, key, a.key)
	if err != nil {
		return nil, fault.Wrap(err, fault.Internal, "the hub's authority could not sign a certificate")
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		return nil, fault.Wrap(err, fault.Internal, "the hub's authority signed a certificate that can't be read")
	}
	return cert, nil
}

func randomSerial() *big.Int {
	var b [16]byte
	_, _ = rand.Read(b[:]) // never fails: crypto/rand ends the process instead
	return serialFrom(b[:])
}

// serialFrom takes 16 bytes for a serial number; the highest bit but one keeps it positive and of one length.
func serialFrom(b []byte) *big.Int {
	n := new(big.Int).SetBytes(b[:16])
	return n.SetBit(n.SetBit(n, 127, 0), 126, 1)
}
