package stack

import (
	"crypto/tls"
	"crypto/x509"
	"net"
	"net/http"
	"os"
	"path/filepath"

	"k8s.io/client-go/util/cert"
)

// secure makes a certificate for the API, if it is to have one, and adds the flags that name it. A hub that is started again keeps what it had.
func (o HubOptions) secure(args *[]string) (ca []byte, trusting *http.Client, err error) {
	if !o.TLS {
		return nil, nil, nil
	}
	certFile, keyFile := filepath.Join(o.Dir, "api.crt"), filepath.Join(o.Dir, "api.key")
	if ca, err = os.ReadFile(certFile); err != nil {
		if ca, err = makeCertificate(o.Dir, certFile, keyFile); err != nil {
			return nil, nil, err
		}
	}
	*args = append(*args, "--tls-cert", certFile, "--tls-key", keyFile)
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(ca)
	return ca, &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: pool, MinVersion: tls.VersionTLS12}, ForceAttemptHTTP2: true}}, nil
}

func makeCertificate(dir, certFile, keyFile string) ([]byte, error) {
	chain, key, err := cert.GenerateSelfSignedCertKey("localhost", []net.IP{net.IPv4(127, 0, 0, 1)}, nil)
	if err != nil {
		return nil, err
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, err
	}
	if err := os.WriteFile(certFile, chain, 0o600); err != nil {
		return nil, err
	}
	return chain, os.WriteFile(keyFile, key, 0o600)
}
