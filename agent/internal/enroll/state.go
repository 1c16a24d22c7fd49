package enroll

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"time"

	"github.com/kubilitics/kubilitics/shared/fault"
)

// state is what makes this agent a member. It is replaced, never changed.
type state struct {
	Identity    *ecdsa.PrivateKey // for as long as the agent lives
	Key         *ecdsa.PrivateKey // of Certificate; nil before the first
	Pending     *ecdsa.PrivateKey // of a certificate that was asked for; nil when none was
	Certificate *x509.Certificate // nil before the enrolment
	Trust       []*x509.Certificate
	Tenant      string
	Cluster     string
	TokenID     string    // of the join token that it enrolled with
	Obtained    time.Time // when Certificate came, by this machine's clock
}

// document is a state's text: JSON with PEM in it, so that people can look at it with their usual tools.
type document struct {
	Version     int       `json:"version"`
	Tenant      string    `json:"tenant,omitempty"`
	Cluster     string    `json:"cluster,omitempty"`
	TokenID     string    `json:"tokenId,omitempty"`
	Obtained    time.Time `json:"obtained,omitzero"`
	Identity    string    `json:"identityKey"`
	Key         string    `json:"tlsKey,omitempty"`
	Pending     string    `json:"pendingKey,omitempty"`
	Certificate string    `json:"certificate,omitempty"`
	Trust       string    `json:"trustBundle,omitempty"`
}

const documentVersion = 1

func newState() (state, error) {
	key, err := newKey()
	return state{Identity: key}, err
}

func newKey() (*ecdsa.PrivateKey, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, fault.Wrap(err, fault.Internal, "no key could be made")
	}
	return key, nil
}

// withPending has a pending key, made now if there is none: one that was asked for before is asked for again, so that the hub
// can tell a repetition.
func (s state) withPending() (state, error) {
	if s.Pending != nil {
		return s, nil
	}
	var err error
	s.Pending, err = newKey()
	return s, err
}

// credentials are what a handshake needs.
func (s state) credentials() (tls.Certificate, *x509.CertPool) {
	return tls.Certificate{Certificate: [][]byte{s.Certificate.Raw}, PrivateKey: s.Key, Leaf: s.Certificate}, pool(s.Trust)
}

func pool(roots []*x509.Certificate) *x509.CertPool {
	p := x509.NewCertPool()
	for _, cert := range roots {
		p.AddCert(cert)
	}
	return p
}

// lifetime is how long the certificate held when it came: by this machine's clock, unless that differs so much from the hub's that it makes no
// sense.
func (s state) lifetime() time.Duration {
	whole := s.Certificate.NotAfter.Sub(s.Certificate.NotBefore)
	return min(whole, max(whole/2, s.Certificate.NotAfter.Sub(s.Obtained)))
}

// age is the part of the certificate's life that is over, 0 to 1 and above. It counts from when the certificate came, so that a clock that differs
// from the hub's doesn't keep an agent renewing. A clock that was set back counts as renewal being due.
func (s state) age(now time.Time) float64 {
	if now.Before(s.Obtained) {
		return 1
	}
	return float64(now.Sub(s.Obtained)) / float64(s.lifetime())
}

func (s state) marshal() ([]byte, error) {
	d := document{Version: documentVersion, Tenant: s.Tenant, Cluster: s.Cluster, TokenID: s.TokenID, Obtained: s.Obtained}
	for to, key := range map[*string]*ecdsa.PrivateKey{&d.Identity: s.Identity, &d.Key: s.Key, &d.Pending: s.Pending} {
		if key == nil {
			continue
		}
		der, err := x509.MarshalPKCS8PrivateKey(key)
		if err != nil {
			return nil, fault.Wrap(err, fault.Internal, "a key has no text")
		}
		*to = string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}))
	}
	if s.Certificate != nil {
		d.Certificate = certText(s.Certificate)
	}
	for _, cert := range s.Trust {
		d.Trust += certText(cert)
	}
	text, err := json.MarshalIndent(d, "", "  ")
	if err != nil {
		return nil, fault.Wrap(err, fault.Internal, "the agent's identity has no JSON form")
	}
	return text, nil
}

func certText(cert *x509.Certificate) string {
	return string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: cert.Raw}))
}

func unmarshal(text []byte) (state, error) {
	var d document
	if err := json.Unmarshal(text, &d); err != nil {
		return state{}, damaged(err)
	}
	if d.Version != documentVersion {
		return state{}, fault.New(fault.Internal, "the kept identity has version %d; this agent reads version %d", d.Version, documentVersion)
	}
	s := state{Tenant: d.Tenant, Cluster: d.Cluster, TokenID: d.TokenID, Obtained: d.Obtained}
	for to, text := range map[**ecdsa.PrivateKey]string{&s.Identity: d.Identity, &s.Key: d.Key, &s.Pending: d.Pending} {
		key, err := readKey(text)
		if err != nil {
			return state{}, damaged(err)
		}
		*to = key
	}
	certs, err := readCerts(d.Certificate)
	if err != nil {
		return state{}, damaged(err)
	}
	if s.Trust, err = readCerts(d.Trust); err != nil {
		return state{}, damaged(err)
	}
	if len(certs) > 0 {
		s.Certificate = certs[0]
	}
	return s, s.check()
}

// check refuses a text whose parts don't belong together.
func (s state) check() error {
	switch {
	case s.Identity == nil, s.Certificate != nil && (s.Key == nil || len(s.Trust) == 0):
		return damaged(nil)
	case s.Certificate != nil && !belongs(s.Certificate, s.Key):
		return damaged(nil)
	}
	return nil
}

func belongs(cert *x509.Certificate, key *ecdsa.PrivateKey) bool {
	return key.PublicKey.Equal(cert.PublicKey)
}

func damaged(cause error) error {
	return fault.Wrap(cause, fault.Internal, "the kept identity of this agent is damaged; delete it and enrol with a new join token")
}

func readKey(text string) (*ecdsa.PrivateKey, error) {
	if text == "" {
		return nil, nil
	}
	block, _ := pem.Decode([]byte(text))
	if block == nil {
		return nil, damaged(nil)
	}
	var key crypto.PrivateKey
	key, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	if own, ok := key.(*ecdsa.PrivateKey); ok && err == nil {
		return own, nil
	}
	return nil, damaged(err)
}

func readCerts(text string) ([]*x509.Certificate, error) {
	var der [][]byte
	for block, rest := pem.Decode([]byte(text)); block != nil; block, rest = pem.Decode(rest) {
		der = append(der, block.Bytes)
	}
	return parseCerts(der)
}

func parseCerts(der [][]byte) ([]*x509.Certificate, error) {
	var certs []*x509.Certificate
	for _, raw := range der {
		cert, err := x509.ParseCertificate(raw)
		if err != nil {
			return nil, err
		}
		certs = append(certs, cert)
	}
	return certs, nil
}
