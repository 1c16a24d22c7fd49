package enroll

import (
	"crypto/tls"
	"encoding/pem"
	"sync"
)

// apiName is the subject of the API's certificate; who comes to the API by it is told by the names beside it.
const apiName = "Kubilitics API"

// RootPEM is the root's certificate, for those who come to what Serving's certificates are for.
func (a *Authority) RootPEM() []byte {
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: a.root.Raw})
}

// Serving gives certificates for the hub's API where it has no other, by DNS names and addresses: for tls.Config.GetCertificate. They are made anew
// when half their life is over.
func (a *Authority) Serving(names []string) func(*tls.ClientHelloInfo) (*tls.Certificate, error) {
	var mu sync.Mutex
	var current *tls.Certificate
	return func(*tls.ClientHelloInfo) (*tls.Certificate, error) {
		mu.Lock()
		defer mu.Unlock()
		if current != nil && current.Leaf.NotAfter.Sub(a.now()) >= a.lifetime/2 {
			return current, nil
		}
		made, err := a.issueServer(apiName, names)
		if err != nil {
			return nil, err
		}
		current = &made
		return current, nil
	}
}
