package hub

import (
	"bytes"
	"crypto/x509"
	"encoding/pem"
	"net/url"
	"os"

	"github.com/kubilitics/kubilitics/shared/fault"
)

// readCertificates gives the certificates of a file, and nothing else that may be in it.
func readCertificates(file string) ([]byte, error) {
	var out []byte
	certs, err := parseCertificates(file)
	for _, c := range certs {
		out = append(out, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: c.Raw})...)
	}
	return out, err
}

func parseCertificates(file string) ([]*x509.Certificate, error) {
	text, err := os.ReadFile(file)
	if err != nil {
		return nil, fault.Wrap(err, fault.BadRequest, "the certificates in %s can't be read", file)
	}
	var certs []*x509.Certificate
	for block, rest := pem.Decode(text); block != nil; block, rest = pem.Decode(rest) {
		if block.Type != "CERTIFICATE" {
			continue
		}
		cert, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			return nil, fault.Wrap(err, fault.BadRequest, "%s holds a certificate that can't be read", file)
		}
		certs = append(certs, cert)
	}
	if len(certs) == 0 {
		return nil, fault.New(fault.BadRequest, "%s holds no certificate, PEM", file)
	}
	return certs, nil
}

// rootOf gives the root that a chain in a file ends in; nil where it ends below one, as the chains of well-known authorities do.
func rootOf(file string) ([]byte, error) {
	certs, err := parseCertificates(file)
	if err != nil {
		return nil, err
	}
	last := certs[len(certs)-1]
	if !bytes.Equal(last.RawIssuer, last.RawSubject) || last.CheckSignature(last.SignatureAlgorithm, last.RawTBSCertificate, last.Signature) != nil {
		return nil, nil
	}
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: last.Raw}), nil
}

// checkPublicURL gives what is wrong with it.
func checkPublicURL(text string) string {
	if text == "" {
		return ""
	}
	u, err := url.Parse(text)
	switch {
	case err != nil || u.Host == "" || u.User != nil || u.RawQuery != "" || u.Fragment != "":
		return "is no address such as https://hub.example"
	case u.Scheme != "https":
		return "must begin with https://: clients of Kubernetes send no credentials without TLS"
	}
	return ""
}

// publicHost is the name in the public address.
func (c Config) publicHost() string {
	u, err := url.Parse(c.PublicURL)
	if err != nil {
		return ""
	}
	return u.Hostname()
}
