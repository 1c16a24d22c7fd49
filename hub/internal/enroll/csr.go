package enroll

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/sha256"
	"crypto/x509"

	"github.com/kubilitics/kubilitics/shared/fault"
)

// No request of an agent is larger; parsing is bounded by it.
const (
	maxCSR         = 8 << 10
	maxIdentityKey = 1 << 10
)

// readCSR checks a request: that whoever sent it has the key, and that the key is of a kind the hub signs for. It gives the SHA-256 of
// the public key. Nothing else in the request is looked at.
func readCSR(der []byte) (*x509.CertificateRequest, []byte, error) {
	if len(der) == 0 || len(der) > maxCSR {
		return nil, nil, fault.New(fault.BadRequest, "the certificate request has %d bytes; 1 to %d are allowed", len(der), maxCSR)
	}
	csr, err := x509.ParseCertificateRequest(der)
	if err != nil {
		return nil, nil, fault.Wrap(err, fault.BadRequest, "the certificate request can't be read")
	}
	if err := csr.CheckSignature(); err != nil {
		return nil, nil, fault.Wrap(err, fault.BadRequest, "the certificate request isn't signed by its own key")
	}
	if err := checkKey(csr.PublicKey); err != nil {
		return nil, nil, err
	}
	hash := sha256.Sum256(csr.RawSubjectPublicKeyInfo)
	return csr, hash[:], nil
}

func checkKey(key crypto.PublicKey) error {
	switch key := key.(type) {
	case ed25519.PublicKey:
		return nil
	case *ecdsa.PublicKey:
		if key.Curve == elliptic.P256() || key.Curve == elliptic.P384() {
			return nil
		}
	}
	return fault.New(fault.BadRequest, "keys must be ECDSA P-256, ECDSA P-384 or Ed25519")
}

// checkIdentity checks that whoever sent the CSR has the identity key as well, and that it is a key of its own: the TLS key comes and goes.
func checkIdentity(csr *x509.CertificateRequest, der, proof []byte) error {
	if len(der) == 0 || len(der) > maxIdentityKey {
		return fault.New(fault.BadRequest, "the identity key has %d bytes; 1 to %d are allowed", len(der), maxIdentityKey)
	}
	key, err := x509.ParsePKIXPublicKey(der)
	if err != nil {
		return fault.Wrap(err, fault.BadRequest, "the identity key can't be read")
	}
	if err := checkKey(key); err != nil {
		return err
	}
	if bytes.Equal(der, csr.RawSubjectPublicKeyInfo) {
		return fault.New(fault.BadRequest, "the identity key and the key of the certificate request must differ")
	}
	if !verify(key, csr.Raw, proof) {
		return fault.New(fault.BadRequest, "the certificate request isn't signed by the identity key")
	}
	return nil
}

func verify(key crypto.PublicKey, message, signature []byte) bool {
	switch key := key.(type) {
	case ed25519.PublicKey:
		return ed25519.Verify(key, message, signature)
	case *ecdsa.PublicKey:
		digest := sha256.Sum256(message)
		return ecdsa.VerifyASN1(key, digest[:], signature)
	}
	return false
}
