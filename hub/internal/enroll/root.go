package enroll

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"github.com/kubilitics/kubilitics/shared/fault"
)

// rootLifetime is long because a root is replaced by a rotation, not by its end.
const rootLifetime = 10 * 365 * 24 * time.Hour

// openRoot reads the root's file, made first if it may be.
func openRoot(cfg AuthorityConfig) (*x509.Certificate, crypto.Signer, error) {
	text, err := os.ReadFile(cfg.File)
	if errors.Is(err, fs.ErrNotExist) && !cfg.MustExist {
		if err := makeRoot(cfg.File); err != nil {
			return nil, nil, err
		}
		text, err = os.ReadFile(cfg.File)
	}
	if err != nil {
		return nil, nil, fault.Wrap(err, fault.Internal, "the hub's root certificate can't be read")
	}
	return parseRoot(cfg.File, text)
}

// makeRoot writes a new root. Of two processes that start at the same time on one directory, both go on with the root of one: a
// link, unlike a rename, never replaces what is there.
func makeRoot(path string) error {
	text, err := newRoot()
	if err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return fault.Wrap(err, fault.Internal, "the directory of the hub's root certificate can't be made")
	}
	temp, err := os.CreateTemp(filepath.Dir(path), ".root-*") // mode 0600
	if err != nil {
		return fault.Wrap(err, fault.Internal, "the hub's root certificate can't be written")
	}
	defer func() { _ = os.Remove(temp.Name()) }()
	_, err = temp.Write(text)
	err = errors.Join(err, temp.Sync(), temp.Close())
	if err == nil {
		err = os.Link(temp.Name(), path)
	}
	if err != nil && !errors.Is(err, fs.ErrExist) {
		return fault.Wrap(err, fault.Internal, "the hub's root certificate can't be written")
	}
	return nil
}

// newRoot gives a key and its self-signed certificate, PEM. P-256, because every TLS library knows it.
func newRoot() ([]byte, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, fault.Wrap(err, fault.Internal, "no key could be made for the hub's root")
	}
	now := time.Now()
	serial := randomSerial()
	template := &x509.Certificate{
		SerialNumber: serial,
		// The number keeps roots of two hubs apart where both are listed.
		Subject:               pkix.Name{CommonName: "Kubilitics hub root " + serial.Text(16)[:8]},
		NotBefore:             now.Add(-time.Hour),
		NotAfter:              now.Add(rootLifetime),
		IsCA:                  true,
		BasicConstraintsValid: true,
		MaxPathLenZero:        true,
		KeyUsage:              x509.KeyUsageCertSign | x509.KeyUsageCRLSign,
	}
	cert, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		return nil, fault.Wrap(err, fault.Internal, "the hub's root could not be signed")
	}
	secret, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return nil, fault.Wrap(err, fault.Internal, "the hub's root key can't be written")
	}
	text := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: cert})
	return append(text, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: secret})...), nil
}

// parseRoot reads a certificate and its key from PEM, in any order.
func parseRoot(path string, text []byte) (*x509.Certificate, crypto.Signer, error) {
	var certs []*x509.Certificate
	var key crypto.Signer
	for block, rest := pem.Decode(text); block != nil; block, rest = pem.Decode(rest) {
		var err error
		if block.Type == "CERTIFICATE" {
			var cert *x509.Certificate
			cert, err = x509.ParseCertificate(block.Bytes)
			certs = append(certs, cert)
		} else {
			key, err = parseKey(block)
		}
		if err != nil {
			return nil, nil, fault.Wrap(err, fault.BadRequest, "%s holds a %s that can't be read", path, block.Type)
		}
	}
	if len(certs) != 1 || key == nil {
		return nil, nil, fault.New(fault.BadRequest, "%s must hold the hub's root certificate and its private key, PEM; it holds %d certificates", path, len(certs))
	}
	return certs[0], key, checkRoot(path, certs[0], key)
}

func parseKey(block *pem.Block) (crypto.Signer, error) {
	if block.Type == "EC PRIVATE KEY" {
		return x509.ParseECPrivateKey(block.Bytes)
	}
	key, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	if err != nil {
		return nil, err
	}
	signer, ok := key.(crypto.Signer)
	if !ok {
		return nil, errors.New("a key that can't sign")
	}
	return signer, nil
}

func checkRoot(path string, cert *x509.Certificate, key crypto.Signer) error {
	public, err := x509.MarshalPKIXPublicKey(key.Public())
	switch {
	case err != nil || !bytes.Equal(public, cert.RawSubjectPublicKeyInfo):
		return fault.New(fault.BadRequest, "%s holds a private key that isn't its certificate's", path)
	case !cert.IsCA || cert.CheckSignatureFrom(cert) != nil:
		return fault.New(fault.BadRequest, "%s holds a certificate that isn't a root: a self-signed authority is needed", path)
	case time.Now().After(cert.NotAfter):
		return fault.New(fault.BadRequest, "the root certificate in %s ended on %s", path, cert.NotAfter.Format(time.DateOnly))
	}
	return nil
}

// readRoots reads certificates of authorities, PEM.
func readRoots(path string) ([]*x509.Certificate, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, fault.Wrap(err, fault.BadRequest, "the further roots can't be read")
	}
	var roots []*x509.Certificate
	for block, rest := pem.Decode(text); block != nil; block, rest = pem.Decode(rest) {
		cert, err := x509.ParseCertificate(block.Bytes)
		if err != nil || !cert.IsCA {
			return nil, fault.Wrap(err, fault.BadRequest, "%s holds something that is no certificate of an authority", path)
		}
		roots = append(roots, cert)
	}
	if len(roots) == 0 {
		return nil, fault.New(fault.BadRequest, "%s holds no certificate", path)
	}
	return roots, nil
}
