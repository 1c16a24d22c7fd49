package hub

import (
	"context"
	"crypto/sha256"
	"crypto/tls"
	"os"
	"slices"
	"sync/atomic"
	"time"

	"go.uber.org/zap"

	"github.com/kubilitics/kubilitics/hub/internal/httpapi"
	"github.com/kubilitics/kubilitics/shared/fault"
)

// lookEvery is how often the files of the API's certificate are looked at. Those who renew one do it days before it ends.
const lookEvery = 10 * time.Second

// face is what clients of the API see of it: its certificate, and the roots that kubeconfigs name. Both come from files that others write anew while
// the hub runs; what can't be used of them changes nothing.
type face struct {
	cfg   Config
	own   []byte // PEM of the hub's own root, for where it has no certificate
	log   *zap.Logger
	every time.Duration
	now   atomic.Pointer[features]
	read  [sha256.Size]byte // what the files held when they were looked at last; for one goroutine
}

// features are a face at a moment.
type features struct {
	certificate *tls.Certificate // nil without one
	public      httpapi.Public
}

// openFace reads the files for the first time; what can't be used is an error here.
func openFace(cfg Config, own []byte, log *zap.Logger) (*face, error) {
	f := &face{cfg: cfg, own: own, log: log, every: lookEvery}
	f.read = f.sum()
	made, err := f.make()
	if err != nil {
		return nil, err
	}
	if made.ended() { // a hub that doesn't start would be of less use still
		log.Error("the API's certificate has ended", made.tell()...)
	}
	f.now.Store(made)
	return f, nil
}

func (f *face) public() httpapi.Public { return f.now.Load().public }

func (f *face) certificate(*tls.ClientHelloInfo) (*tls.Certificate, error) {
	return f.now.Load().certificate, nil
}

// run looks at the files until the context ends. It looks rather than be told: what is told of files that a cluster mounts differs from place to place.
func (f *face) run(ctx context.Context) error {
	tick := time.NewTicker(f.every)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
			f.look()
		}
	}
}

// look takes over what the files hold, if it is new.
func (f *face) look() {
	sum := f.sum()
	if sum == f.read {
		return
	}
	f.read = sum
	made, err := f.make()
	if err == nil && made.ended() && !f.now.Load().ended() {
		err = fault.New(fault.BadRequest, "the certificate in %s has ended", f.cfg.TLSCert)
	}
	if err != nil {
		f.log.Error("what the files of the API's certificate hold now can't be used; it goes on with what they held before", append(f.now.Load().tell(), zap.Error(err))...)
		return
	}
	f.now.Store(made)
	f.log.Info("the files of the API's certificate were read anew", made.tell()...)
}

func (f *features) ended() bool {
	return f.certificate != nil && time.Now().After(f.certificate.Leaf.NotAfter)
}

func (f *features) tell() []zap.Field {
	if f.certificate == nil {
		return nil
	}
	leaf := f.certificate.Leaf
	return []zap.Field{zap.Time("ends", leaf.NotAfter), zap.Strings("names", leaf.DNSNames), zap.String("serial", leaf.SerialNumber.Text(16))}
}

func (f *face) files() []string {
	return slices.DeleteFunc([]string{f.cfg.TLSCert, f.cfg.TLSKey, f.cfg.PublicCA}, func(file string) bool { return file == "" })
}

// sum tells what the files hold apart from what they held; one that can't be read holds nothing.
func (f *face) sum() (out [sha256.Size]byte) {
	h := sha256.New()
	for _, file := range f.files() {
		text, _ := os.ReadFile(file) // make tells
		one := sha256.Sum256(text)
		h.Write(one[:])
	}
	h.Sum(out[:0])
	return out
}

func (f *face) make() (*features, error) {
	out := &features{public: httpapi.Public{URL: f.cfg.PublicURL}}
	var err error
	if f.cfg.PublicCA != "" {
		if out.public.CA, err = readCertificates(f.cfg.PublicCA); err != nil {
			return nil, blame(err, "public-ca")
		}
	}
	if f.cfg.TLSCert == "" {
		out.public.OwnCA = f.own
		return out, nil
	}
	if out.certificate, err = readPair(f.cfg.TLSCert, f.cfg.TLSKey); err != nil {
		return nil, blame(err, "tls-cert")
	}
	if out.public.CA == nil {
		if out.public.CA, err = rootOf(f.cfg.TLSCert); err != nil {
			return nil, blame(err, "tls-cert")
		}
	}
	out.public.OwnCA = out.public.CA
	return out, nil
}

func readPair(certFile, keyFile string) (*tls.Certificate, error) {
	pair, err := tls.LoadX509KeyPair(certFile, keyFile)
	if err != nil {
		return nil, fault.Wrap(err, fault.BadRequest, "the certificate in %s and the key in %s can't be used", certFile, keyFile)
	}
	return &pair, nil
}

// blame names the key of the configuration whose file it was.
func blame(err error, key string) error {
	if err == nil {
		return nil
	}
	return fault.Wrap(err, fault.CodeOf(err), "%s can't be used", key).WithField(key, "can't be used")
}
