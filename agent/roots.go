package agent

import (
	"bytes"
	"crypto/x509"
	"os"
	"sync"

	"go.uber.org/zap"

	"github.com/kubilitics/kubilitics/shared/fault"
)

// roots are those of the file of hub-ca, which may be written anew while the agent runs: it is read at each dial. What can't be used changes nothing.
type roots struct {
	file string
	log  *zap.Logger

	mu   sync.Mutex
	text []byte // as it was read last
	pool *x509.CertPool
}

// latest gives the newest that could be used.
func (r *roots) latest() *x509.CertPool {
	r.mu.Lock()
	defer r.mu.Unlock()
	before := r.pool
	if err := r.read(); err != nil {
		r.log.Error("the file of hub-ca can't be used as it is now; the agent goes on with what it held before", zap.Error(err))
	} else if r.pool != before {
		r.log.Info("the file of hub-ca was read anew")
	}
	return r.pool
}

func (r *roots) read() error {
	text, err := os.ReadFile(r.file)
	if err != nil {
		return fault.Wrap(err, fault.BadRequest, "the file of hub-ca can't be read").WithField("hub-ca", "can't be read")
	}
	if r.pool != nil && bytes.Equal(text, r.text) {
		return nil
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(text) {
		return fault.New(fault.BadRequest, "the file of hub-ca holds no certificate").WithField("hub-ca", "holds no certificate")
	}
	r.text, r.pool = text, pool
	return nil
}
