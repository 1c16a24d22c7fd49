package enroll

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"net"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"google.golang.org/grpc"

	"github.com/kubilitics/kubilitics/hub/internal/fleet"
	"github.com/kubilitics/kubilitics/hub/internal/store"
	"github.com/kubilitics/kubilitics/hub/internal/store/sqlite"
	tunnelv1 "github.com/kubilitics/kubilitics/proto/tunnel/v1"
	"github.com/kubilitics/kubilitics/shared/fault"
	"github.com/kubilitics/kubilitics/shared/fault/grpcfault"
	"github.com/kubilitics/kubilitics/shared/join"
	"github.com/kubilitics/kubilitics/shared/tunnel"
)

// renewals stands for the sync service, of which renewal is a part.
type renewals struct {
	tunnelv1.UnimplementedSyncServer
	*Service
}

func (r renewals) Renew(ctx context.Context, req *tunnelv1.RenewRequest) (*tunnelv1.RenewReply, error) {
	return r.Service.Renew(ctx, req)
}

// listen serves first contacts and tunnels on loopback, and ends with the test.
func listen(t *testing.T, s *Service) tunnel.Endpoint {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	first, calls := tunnel.NewListener("enrol"), tunnel.NewListener("sync")
	server := tunnel.NewServer(tunnel.ServerConfig{
		Credentials: s.authority.Credentials, Admit: s.Admit, Enroll: first, Streams: map[tunnel.Kind]*tunnel.Listener{tunnel.GRPC: calls},
	})
	sync := grpc.NewServer(append(tunnel.ServerOptions(), grpc.UnaryInterceptor(grpcfault.Unary(s.hidden)))...)
	tunnelv1.RegisterSyncServer(sync, renewals{Service: s})
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	running := run(t, func() error { return s.Serve(ctx, first) }, func() error { return server.Serve(ctx, l) }, func() error { return sync.Serve(calls) })
	t.Cleanup(func() { cancel(); sync.Stop(); running.Wait() })
	return tunnel.Endpoint{URL: "tls://" + l.Addr().String(), ServerName: join.HubName}
}

func run(t *testing.T, parts ...func() error) *sync.WaitGroup {
	var running sync.WaitGroup
	for _, part := range parts {
		running.Go(func() {
			if err := part(); err != nil && !errors.Is(err, grpc.ErrServerStopped) {
				t.Error(err)
			}
		})
	}
	return &running
}

func enrolOver(t *testing.T, at tunnel.Endpoint, token join.Token, a agent) (*tunnelv1.EnrolReply, error) {
	t.Helper()
	conn, err := tunnel.DialEnroll(t.Context(), at, token.Pin)
	if err != nil {
		return nil, err
	}
	client, err := tunnel.NewGRPCClient(func(context.Context) (net.Conn, error) { return conn, nil })
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = client.Close() }()
	reply, err := tunnelv1.NewEnrolmentClient(client).Enrol(t.Context(), a.request(t, token))
	return reply, grpcfault.From(err)
}

func dial(t *testing.T, at tunnel.Endpoint, s *Service, a agent, der []byte) (*tunnel.Session, error) {
	t.Helper()
	return tunnel.Dial(t.Context(), tunnel.DialConfig{Endpoint: at, Credentials: tunnel.Credentials{
		Certificate: tls.Certificate{Certificate: [][]byte{der}, PrivateKey: a.tls}, Roots: s.authority.pool,
	}})
}

func renewOver(t *testing.T, session *tunnel.Session, a agent) (*x509.Certificate, error) {
	t.Helper()
	client, err := session.DialGRPC()
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = client.Close() }()
	reply, err := tunnelv1.NewSyncClient(client).Renew(t.Context(), &tunnelv1.RenewRequest{Csr: a.csr(t)})
	if err != nil {
		return nil, grpcfault.From(err)
	}
	return certificate(t, reply.Certificate), nil
}

// whole is a store with what ends a cluster.
type whole interface {
	Store
	DeleteCluster(ctx context.Context, at store.Scope) error
}

func TestEnrolAndRenewOverTheTunnel(t *testing.T) {
	t.Run("memory", func(t *testing.T) { lifeOfAnAgent(t, newMemory(), admin) })
	t.Run("sqlite", func(t *testing.T) {
		db, err := sqlite.Open(t.Context(), sqlite.Config{Path: filepath.Join(t.TempDir(), "hub.db"), Migrate: true})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = db.Close() })
		tenant, err := db.EnsureTenant(t.Context(), "default")
		if err != nil {
			t.Fatal(err)
		}
		by := admin
		by.Tenant = tenant.ID
		lifeOfAnAgent(t, db, by)
	})
}

// lifeOfAnAgent is the whole life of an agent's trust, over TLS on loopback.
func lifeOfAnAgent(t *testing.T, db whole, by fleet.Principal) {
	s := serviceOn(t, db, Config{Lifetime: time.Minute})
	at := listen(t, s)
	inv, token := mintBy(t, s, by, "east")
	a := newAgent(t)
	reply, err := enrolOver(t, at, token, a)
	if err != nil {
		t.Fatal(err)
	}
	der := reply.Certificate
	for generation := int64(1); generation <= 3; generation++ {
		session, err := dial(t, at, s, a, der)
		if err != nil {
			t.Fatalf("generation %d is not admitted: %v", generation, err)
		}
		next := agent{tls: p256(t), identity: a.identity}
		cert, err := renewOver(t, session, next)
		if err != nil {
			t.Fatal(err)
		}
		again, err := renewOver(t, session, next) // the reply was lost
		if err != nil || again.SerialNumber.Cmp(cert.SerialNumber) != 0 {
			t.Fatalf("repeated: %v", err)
		}
		if _, err := renewOver(t, session, newAgent(t)); !fault.Is(err, fault.Conflict) {
			t.Fatalf("a second renewal of one generation, as by a clone: %v", err)
		}
		if _, got, err := s.Verify(cert); got != generation+1 || err != nil {
			t.Fatalf("generation %d, %v", got, err)
		}
		session.Close(nil)
		old, err := dial(t, at, s, a, der) // a certificate that was renewed holds to its end
		if err != nil {
			t.Fatal(err)
		}
		if generation == 3 {
			break
		}
		old.Close(nil)
		a, der = next, cert.Raw
	}
	if _, err := enrolOver(t, at, token, newAgent(t)); !fault.Is(err, fault.Conflict) {
		t.Errorf("a second claimant of the token got %v", err)
	}
	scope := store.Scope{Tenant: by.Tenant, Cluster: inv.Cluster.ID}
	if c, err := db.Cluster(t.Context(), scope); err != nil || c.Generation != 4 || c.KubeUID != "uid-1" {
		t.Errorf("generation %d of %q, %v", c.Generation, c.KubeUID, err)
	}
	if err := db.DeleteCluster(t.Context(), scope); err != nil {
		t.Fatal(err)
	}
	if _, err := dial(t, at, s, a, der); !fault.Is(err, fault.Gone) || fault.RetryAfter(err) != deletedWait {
		t.Errorf("the agent of a deleted cluster got %v", err)
	}
}

// A store that went back in time doesn't know the newest certificate of an agent: it takes it on record, and who was shut out by it stays out.
func TestAStoreOfYesterday(t *testing.T) {
	s, m := service(t, Config{})
	inv, token := mint(t, s, "east")
	a := newAgent(t)
	reply, err := s.Enrol(t.Context(), a.request(t, token))
	if err != nil {
		t.Fatal(err)
	}
	scope, peers := store.Scope{Tenant: admin.Tenant, Cluster: inv.Cluster.ID}, []tunnel.Peer{{Certificate: certificate(t, reply.Certificate)}}
	backup := m.clusters[scope]
	for range 3 {
		next, err := s.renew(t.Context(), peers[len(peers)-1].Certificate, &tunnelv1.RenewRequest{Csr: newAgent(t).csr(t)})
		if err != nil {
			t.Fatal(err)
		}
		peers = append(peers, tunnel.Peer{Certificate: certificate(t, next.Certificate)})
	}
	m.clusters[scope], m.certs = backup, map[string]store.Certificate{}
	if err := s.Admit(t.Context(), peers[3]); err != nil {
		t.Fatal(err)
	}
	if c := m.clusters[scope]; c.Generation != 4 || len(m.certs) != 1 {
		t.Errorf("on record is generation %d, and %d certificates", c.Generation, len(m.certs))
	}
	for i, want := range []bool{false, false, true, true} {
		if err := s.Admit(t.Context(), peers[i]); (err == nil) != want {
			t.Errorf("generation %d: %v", i+1, err)
		}
	}
	if _, err := s.renew(t.Context(), peers[3].Certificate, &tunnelv1.RenewRequest{Csr: newAgent(t).csr(t)}); err != nil {
		t.Errorf("it can't be renewed: %v", err)
	}
}

// A renewal that others have followed isn't repeated: a copy of an agent's state can't live on by it.
func TestOldRenewalIsNotRepeated(t *testing.T) {
	s, _ := service(t, Config{})
	_, token := mint(t, s, "east")
	a, b, c := newAgent(t), newAgent(t), newAgent(t)
	reply, err := s.Enrol(t.Context(), a.request(t, token))
	if err != nil {
		t.Fatal(err)
	}
	one := certificate(t, reply.Certificate)
	renew := func(old *x509.Certificate, with agent) *x509.Certificate {
		reply, err := s.renew(t.Context(), old, &tunnelv1.RenewRequest{Csr: with.csr(t)})
		if err != nil {
			t.Fatal(err)
		}
		return certificate(t, reply.Certificate)
	}
	two := renew(one, b)
	renew(two, c)
	if _, err := s.renew(t.Context(), one, &tunnelv1.RenewRequest{Csr: b.csr(t)}); !fault.Is(err, fault.Conflict) {
		t.Errorf("got %v", err)
	}
}

func TestFirstContactRefusals(t *testing.T) {
	s, _ := service(t, Config{})
	at := listen(t, s)
	_, token := mint(t, s, "east")
	stranger := join.NewToken(token.Pin)
	if _, err := enrolOver(t, at, stranger, newAgent(t)); !fault.Is(err, fault.Unauthorized) {
		t.Errorf("an unknown token: %v", err)
	}
	pinned := token
	pinned.Pin[0] ^= 1
	if _, err := enrolOver(t, at, pinned, newAgent(t)); err == nil {
		t.Error("a hub without the pinned root was trusted")
	}
	big := newAgent(t)
	big.subject = string(make([]byte, maxRequest))
	if _, err := enrolOver(t, at, token, big); !fault.Is(err, fault.BadRequest) {
		t.Errorf("a request above the limit: %v", err)
	}
	other, _ := service(t, Config{})
	_, foreign := mint(t, other, "x")
	a := newAgent(t)
	reply, err := other.Enrol(t.Context(), a.request(t, foreign))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := dial(t, at, s, a, reply.Certificate); err == nil {
		t.Error("an agent of another hub was admitted")
	}
}
