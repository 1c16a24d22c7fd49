package enroll

import (
	"crypto/hkdf"
	"crypto/sha256"
	"crypto/x509"

	"github.com/kubilitics/kubilitics/shared/fault"
)

// Derive gives 32 secret bytes for a purpose, the same at every hub that has this root's key, and telling nothing of it. They change when the root does.
func (a *Authority) Derive(purpose string) ([]byte, error) {
	secret, err := x509.MarshalPKCS8PrivateKey(a.key)
	if err != nil {
		return nil, fault.Wrap(err, fault.Internal, "no key can be derived from the hub's root")
	}
	key, err := hkdf.Key(sha256.New, secret, nil, purpose, sha256.Size)
	if err != nil {
		return nil, fault.Wrap(err, fault.Internal, "no key can be derived from the hub's root")
	}
	return key, nil
}
