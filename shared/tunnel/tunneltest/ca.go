// Package tunneltest gives tests and measurements what a tunnel needs around it: certificates, and relays that stand for a
// network that is slow, counts its bytes, or falls silent.
package tunneltest

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"math/big"
	"net/url"
	"time"

	"github.com/kubilitics/kubilitics/shared/tunnel"
)

// HubName is the name in the certificates of NewCA's hubs.
const HubName = "hub.kubilitics.test"

// CA signs certificates as a hub's CA does. It panics where a random source or a template fails, which no test survives.
type CA struct {
	Cert *x509.Certificate
	key  *ecdsa.PrivateKey
}

// NewCA makes a root.
func NewCA() *CA {
	key := must(ecdsa.GenerateKey(elliptic.P256(), rand.Reader))
	template := &x509.Certificate{
		SerialNumber: serial(), Subject: pkix.Name{CommonName: "test root"},
		NotBefore: time.Now().Add(-time.Minute), NotAfter: time.Now().AddDate(10, 0, 0),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	}
	der := must(x509.CreateCertificate(rand.Reader, template, template, key.Public(), key))
	return &CA{Cert: must(x509.ParseCertificate(der)), key: key}
}

// Pin is the pin of the root.
func (ca *CA) Pin() tunnel.Pin { return tunnel.PinOf(ca.Cert) }

// Hub makes a hub's credentials, valid for an hour.
func (ca *CA) Hub() tunnel.Credentials {
	return ca.sign(&x509.Certificate{DNSNames: []string{HubName}, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}}, time.Hour)
}

// Agent makes an agent's credentials with a SPIFFE URI such as spiffe://test/tenant/t/cluster/c.
func (ca *CA) Agent(spiffe string, valid time.Duration) tunnel.Credentials {
	uri := must(url.Parse(spiffe))
	return ca.sign(&x509.Certificate{URIs: []*url.URL{uri}, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}}, valid)
}

func (ca *CA) sign(template *x509.Certificate, valid time.Duration) tunnel.Credentials {
	key := must(ecdsa.GenerateKey(elliptic.P256(), rand.Reader))
	template.SerialNumber = serial()
	template.NotBefore, template.NotAfter = time.Now().Add(-time.Minute), time.Now().Add(valid)
	template.KeyUsage = x509.KeyUsageDigitalSignature
	der := must(x509.CreateCertificate(rand.Reader, template, ca.Cert, key.Public(), ca.key))
	roots := x509.NewCertPool()
	roots.AddCert(ca.Cert)
	return tunnel.Credentials{
		Certificate: tls.Certificate{Certificate: [][]byte{der, ca.Cert.Raw}, PrivateKey: key, Leaf: must(x509.ParseCertificate(der))},
		Roots:       roots,
	}
}

func serial() *big.Int { return must(rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 120))) }

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}
