package enroll

import (
	"context"
	"math/rand/v2"
	"sync"
	"time"

	tunnelv1 "github.com/kubilitics/kubilitics/proto/tunnel/v1"
	"github.com/kubilitics/kubilitics/shared/tunnel"
)

// Member is an agent that has enrolled. Run renews its certificate; the rest may be called by anyone.
type Member struct {
	cfg  Config
	wake chan struct{} // a session was attached

	mu       sync.Mutex
	state    state
	due      float64 // the age at which to renew: drawn for each certificate, so that agents that enrolled together don't renew together
	dialled  dialled
	attached attached
}

// dialled is the newest session, and the certificate it was opened with.
type dialled struct {
	session *tunnel.Session
	serial  string
}

// attached is where renewals are asked for.
type attached struct {
	ctx    context.Context // of the session
	client tunnelv1.SyncClient
	serial string
}

func newMember(cfg Config, s state) *Member {
	m := &Member{cfg: cfg, wake: make(chan struct{}, 1)}
	m.use(s)
	return m
}

func (m *Member) use(s state) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.state, m.due = s, 0.5+0.16*rand.Float64()
}

func (m *Member) now() (s state, due float64) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.state, m.due
}

// Tenant is the id of the tenant that the agent's cluster belongs to.
func (m *Member) Tenant() string { s, _ := m.now(); return s.Tenant }

// Cluster is the id of the agent's cluster at the hub.
func (m *Member) Cluster() string { s, _ := m.now(); return s.Cluster }

// NotAfter is when the present certificate ends.
func (m *Member) NotAfter() time.Time { s, _ := m.now(); return s.Certificate.NotAfter }

// Credentials are those of the present certificate.
func (m *Member) Credentials() tunnel.Credentials {
	s, _ := m.now()
	cert, roots := s.credentials()
	return tunnel.Credentials{Certificate: cert, Roots: roots}
}

// Dial opens a tunnel with the present certificate. Its faults are those of tunnel.Dial, and Gone when the certificate has ended.
func (m *Member) Dial(ctx context.Context, streams map[tunnel.Kind]*tunnel.Listener) (*tunnel.Session, error) {
	s, _ := m.now()
	if err := unended(s); err != nil {
		return nil, err
	}
	cert, roots := s.credentials()
	session, err := tunnel.Dial(ctx, tunnel.DialConfig{
		Endpoint: m.cfg.Endpoint, Credentials: tunnel.Credentials{Certificate: cert, Roots: roots}, Streams: streams, Settings: m.cfg.Settings,
	})
	if err != nil {
		return nil, err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.dialled = dialled{session: session, serial: serial(s)}
	return session, nil
}

// Attach names a session that Dial opened as the one over which to renew, with a client of its own; the newest is used.
func (m *Member) Attach(session *tunnel.Session, client tunnelv1.SyncClient) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.dialled.session != session {
		return
	}
	m.attached = attached{ctx: session.Context(), client: client, serial: m.dialled.serial}
	select {
	case m.wake <- struct{}{}:
	default:
	}
}

func serial(s state) string { return s.Certificate.SerialNumber.Text(16) }
