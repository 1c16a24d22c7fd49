package kube

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"time"

	"k8s.io/client-go/tools/clientcmd"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"
)

// pki is a cluster's certificate authority and the directory its files are in.
type pki struct {
	dir   string
	cert  *x509.Certificate
	key   *ecdsa.PrivateKey
	caPEM []byte
}

// lifetime is generous: a cluster is meant to live for hours, a forgotten one for weeks.
const lifetime = 365 * 24 * time.Hour

func newPKI(dir, cluster string) (*pki, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("make a directory for the certificates: %w", err)
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, fmt.Errorf("make the key of the certificate authority: %w", err)
	}
	tmpl, err := template(pkix.Name{CommonName: "kubernetes " + cluster})
	if err != nil {
		return nil, err
	}
	tmpl.IsCA, tmpl.BasicConstraintsValid = true, true
	tmpl.KeyUsage = x509.KeyUsageCertSign | x509.KeyUsageCRLSign | x509.KeyUsageDigitalSignature
	p := &pki{dir: dir, cert: tmpl, key: key}
	if p.caPEM, err = p.sign(tmpl, key); err != nil {
		return nil, err
	}
	if p.cert, err = parse(p.caPEM); err != nil {
		return nil, err
	}
	if err := p.write("ca.crt", p.caPEM); err != nil {
		return nil, err
	}
	return p, p.writeKey("ca.key", key)
}

// serving writes NAME.crt and NAME.key for a server that is reached by hosts, names or addresses.
func (p *pki) serving(name string, hosts ...string) error {
	tmpl, err := template(pkix.Name{CommonName: name})
	if err != nil {
		return err
	}
	tmpl.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}
	for _, h := range hosts {
		if ip := net.ParseIP(h); ip != nil {
			tmpl.IPAddresses = append(tmpl.IPAddresses, ip)
		} else {
			tmpl.DNSNames = append(tmpl.DNSNames, h)
		}
	}
	cert, key, err := p.issue(tmpl)
	if err != nil {
		return err
	}
	if err := p.write(name+".crt", cert); err != nil {
		return err
	}
	return p.write(name+".key", key)
}

// client issues a certificate for a user and its groups, as RBAC sees them.
func (p *pki) client(user string, groups ...string) (cert, key []byte, err error) {
	tmpl, err := template(pkix.Name{CommonName: user, Organization: groups})
	if err != nil {
		return nil, nil, err
	}
	tmpl.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}
	return p.issue(tmpl)
}

// clientFiles writes NAME.crt and NAME.key of a user.
func (p *pki) clientFiles(name, user string, groups ...string) error {
	cert, key, err := p.client(user, groups...)
	if err != nil {
		return err
	}
	if err := p.write(name+".crt", cert); err != nil {
		return err
	}
	return p.write(name+".key", key)
}

// signingKey writes the key that signs ServiceAccount tokens.
func (p *pki) signingKey(name string) error {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return fmt.Errorf("make the key for ServiceAccount tokens: %w", err)
	}
	return p.writeKey(name, key)
}

func (p *pki) file(name string) string { return filepath.Join(p.dir, name) }

func template(subject pkix.Name) (*x509.Certificate, error) {
	serial, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 120))
	if err != nil {
		return nil, fmt.Errorf("choose a serial number: %w", err)
	}
	now := time.Now()
	return &x509.Certificate{
		SerialNumber: serial,
		Subject:      subject,
		NotBefore:    now.Add(-time.Hour), // clocks of containers and virtual machines step back
		NotAfter:     now.Add(lifetime),
		KeyUsage:     x509.KeyUsageDigitalSignature,
	}, nil
}

func (p *pki) issue(tmpl *x509.Certificate) (cert, key []byte, err error) {
	k, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, nil, fmt.Errorf("make a key for %s: %w", tmpl.Subject.CommonName, err)
	}
	if cert, err = p.sign(tmpl, k); err != nil {
		return nil, nil, err
	}
	key, err = keyPEM(k)
	return cert, key, err
}

func (p *pki) sign(tmpl *x509.Certificate, key *ecdsa.PrivateKey) ([]byte, error) {
	der, err := x509.CreateCertificate(rand.Reader, tmpl, p.cert, key.Public(), p.key)
	if err != nil {
		return nil, fmt.Errorf("sign the certificate of %s: %w", tmpl.Subject.CommonName, err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), nil
}

func parse(certPEM []byte) (*x509.Certificate, error) {
	block, _ := pem.Decode(certPEM)
	cert, err := x509.ParseCertificate(block.Bytes)
	if err != nil {
		return nil, fmt.Errorf("read back the certificate authority: %w", err)
	}
	return cert, nil
}

func keyPEM(key *ecdsa.PrivateKey) ([]byte, error) {
	der, err := x509.MarshalECPrivateKey(key)
	if err != nil {
		return nil, fmt.Errorf("encode a key: %w", err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "EC PRIVATE KEY", Bytes: der}), nil
}

func (p *pki) writeKey(name string, key *ecdsa.PrivateKey) error {
	data, err := keyPEM(key)
	if err != nil {
		return err
	}
	return p.write(name, data)
}

func (p *pki) write(name string, data []byte) error {
	if err := os.WriteFile(p.file(name), data, 0o600); err != nil {
		return fmt.Errorf("write %s: %w", name, err)
	}
	return nil
}

// kubeconfig is the file with which user, holding the credentials in auth, reaches the API server at url.
func kubeconfig(cluster, url string, ca []byte, user string, auth clientcmdapi.AuthInfo) ([]byte, error) {
	cfg := clientcmdapi.NewConfig()
	cfg.Clusters[cluster] = &clientcmdapi.Cluster{Server: url, CertificateAuthorityData: ca}
	cfg.AuthInfos[user] = &auth
	cfg.Contexts[cluster] = &clientcmdapi.Context{Cluster: cluster, AuthInfo: user}
	cfg.CurrentContext = cluster
	data, err := clientcmd.Write(*cfg)
	if err != nil {
		return nil, fmt.Errorf("write a kubeconfig for %s: %w", user, err)
	}
	return data, nil
}
