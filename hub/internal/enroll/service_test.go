package enroll

import (
	"bytes"
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"fmt"
	"net/url"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"
	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"
	"google.golang.org/protobuf/proto"

	"github.com/kubilitics/kubilitics/hub/internal/fleet"
	"github.com/kubilitics/kubilitics/hub/internal/store"
	"github.com/kubilitics/kubilitics/hub/internal/throttle"
	tunnelv1 "github.com/kubilitics/kubilitics/proto/tunnel/v1"
	"github.com/kubilitics/kubilitics/shared/fault"
	"github.com/kubilitics/kubilitics/shared/join"
	"github.com/kubilitics/kubilitics/shared/tunnel"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var admin = fleet.Principal{Tenant: 7, Name: "ann", Bindings: []fleet.Binding{{Verbs: []string{"*"}, Clusters: []string{"*"}, Namespaces: []string{"*"}}}}

func service(t *testing.T, cfg Config) (*Service, *memory) {
	t.Helper()
	m := newMemory()
	return serviceOn(t, m, cfg), m
}

func serviceOn(t *testing.T, s Store, cfg Config) *Service {
	t.Helper()
	return New(s, open(t, AuthorityConfig{File: filepath.Join(t.TempDir(), "root.pem")}), cfg, zap.NewNop())
}

func mint(t *testing.T, s *Service, name string) (Invitation, join.Token) {
	t.Helper()
	return mintBy(t, s, admin, name)
}

func mintBy(t *testing.T, s *Service, by fleet.Principal, name string) (Invitation, join.Token) {
	t.Helper()
	inv, err := s.Mint(t.Context(), by, name, nil)
	if err != nil {
		t.Fatal(err)
	}
	token, err := join.Parse(inv.Token)
	if err != nil || token.Pin != s.authority.Pin() {
		t.Fatalf("the token %v, %v", token, err)
	}
	return inv, token
}

// agent is one side of an enrolment, as far as keys go.
type agent struct {
	tls, identity crypto.Signer
	subject       string
}

func newAgent(t *testing.T) agent {
	t.Helper()
	return agent{tls: p256(t), identity: p256(t)}
}

func p256(t *testing.T) crypto.Signer {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

func (a agent) csr(t *testing.T) []byte {
	t.Helper()
	der, err := x509.CreateCertificateRequest(rand.Reader, &x509.CertificateRequest{
		Subject: pkix.Name{CommonName: a.subject}, DNSNames: []string{"kubernetes.default"},
		URIs: []*url.URL{{Scheme: "spiffe", Host: "kubilitics.internal", Path: "/tenant/other/cluster/other"}},
	}, a.tls)
	if err != nil {
		t.Fatal(err)
	}
	return der
}

func (a agent) request(t *testing.T, token join.Token) *tunnelv1.EnrolRequest {
	t.Helper()
	csr := a.csr(t)
	public, err := x509.MarshalPKIXPublicKey(a.identity.Public())
	if err != nil {
		t.Fatal(err)
	}
	var proof []byte
	if _, ed := a.identity.(ed25519.PrivateKey); ed {
		proof, err = a.identity.Sign(rand.Reader, csr, crypto.Hash(0))
	} else {
		digest := sha256.Sum256(csr)
		proof, err = a.identity.Sign(rand.Reader, digest[:], crypto.SHA256)
	}
	if err != nil {
		t.Fatal(err)
	}
	return &tunnelv1.EnrolRequest{Token: token.Text(), Csr: csr, IdentityKey: public, IdentityProof: proof, KubeSystemUid: "uid-1"}
}

func certificate(t *testing.T, der []byte) *x509.Certificate {
	t.Helper()
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return cert
}

func TestEnrol(t *testing.T) {
	s, m := service(t, Config{})
	inv, token := mint(t, s, "east")
	a := newAgent(t)
	a.subject = "system:masters"
	reply, err := s.Enrol(t.Context(), a.request(t, token))
	if err != nil {
		t.Fatal(err)
	}
	cert := certificate(t, reply.Certificate)
	at := store.Scope{Tenant: 7, Cluster: inv.Cluster.ID}
	if got, generation, err := s.Verify(cert); got != at || generation != 1 || err != nil {
		t.Errorf("the certificate is of %v, generation %d, %v", got, generation, err)
	}
	if cert.Subject.CommonName != at.Cluster.String() || len(cert.DNSNames) != 0 || len(cert.URIs) != 1 {
		t.Errorf("what the request said of itself got in: %v %v %v", cert.Subject, cert.DNSNames, cert.URIs)
	}
	if want := "spiffe://kubilitics.internal/tenant/" + at.Tenant.String() + "/cluster/" + at.Cluster.String(); cert.URIs[0].String() != want {
		t.Errorf("identity %s", cert.URIs[0])
	}
	if life := cert.NotAfter.Sub(cert.NotBefore); life < 24*time.Hour || life > 24*time.Hour+6*time.Minute {
		t.Errorf("it holds for %s", life)
	}
	only := func(usage x509.ExtKeyUsage) error {
		_, err := cert.Verify(x509.VerifyOptions{Roots: s.authority.pool, KeyUsages: []x509.ExtKeyUsage{usage}})
		return err
	}
	if only(x509.ExtKeyUsageClientAuth) != nil || only(x509.ExtKeyUsageServerAuth) == nil || cert.IsCA {
		t.Error("it is good for more, or less, than being an agent")
	}
	if reply.Tenant != at.Tenant.String() || reply.Cluster != at.Cluster.String() || len(reply.TrustBundle) != 1 {
		t.Errorf("reply %v", reply)
	}
	if id := m.identities[at]; id.KubeUID != "uid-1" || !bytes.Equal(id.IdentityKey, a.request(t, token).IdentityKey) {
		t.Errorf("identity %+v", id)
	}
	if record, ok := m.certs[cert.SerialNumber.Text(16)]; !ok || record.Generation != 1 || !record.NotAfter.Equal(cert.NotAfter) {
		t.Errorf("record %+v", record)
	}
}

func TestEnrolWithEd25519(t *testing.T) {
	s, _ := service(t, Config{})
	_, token := mint(t, s, "east")
	_, tlsKey, _ := ed25519.GenerateKey(rand.Reader)
	_, identity, _ := ed25519.GenerateKey(rand.Reader)
	if _, err := s.Enrol(t.Context(), agent{tls: tlsKey, identity: identity}.request(t, token)); err != nil {
		t.Error(err)
	}
}

// A token is consumed by a key: the same key may come again, another may not.
func TestTokenIsBoundToTheKey(t *testing.T) {
	s, m := service(t, Config{})
	inv, token := mint(t, s, "east")
	first, second := newAgent(t), newAgent(t)
	one, err := s.Enrol(t.Context(), first.request(t, token))
	if err != nil {
		t.Fatal(err)
	}
	two, err := s.Enrol(t.Context(), first.request(t, token)) // the reply was lost
	if err != nil {
		t.Fatal(err)
	}
	if a, b := certificate(t, one.Certificate), certificate(t, two.Certificate); a.SerialNumber.Cmp(b.SerialNumber) != 0 || a.Subject.SerialNumber != b.Subject.SerialNumber {
		t.Error("the repetition is another certificate in the record")
	}
	if len(m.certs) != 1 {
		t.Errorf("%d records", len(m.certs))
	}
	if _, err := s.Enrol(t.Context(), second.request(t, token)); !fault.Is(err, fault.Conflict) || fault.Retryable(err) {
		t.Errorf("a second claimant got %v", err)
	}
	// A new token lets the second in, but not as another Kubernetes cluster.
	again, err := s.Invite(t.Context(), admin, inv.Cluster.ID)
	if err != nil {
		t.Fatal(err)
	}
	fresh, _ := join.Parse(again.Token)
	req := second.request(t, fresh)
	req.KubeSystemUid = "uid-2"
	if _, err := s.Enrol(t.Context(), req); !fault.Is(err, fault.Conflict) {
		t.Errorf("another cluster got %v", err)
	}
	reply, err := s.Enrol(t.Context(), second.request(t, fresh))
	if err != nil {
		t.Fatal(err)
	}
	if _, generation, _ := s.Verify(certificate(t, reply.Certificate)); generation != 3 {
		t.Errorf("generation %d", generation)
	}
}

// Whoever has a copy of an agent's key is shut out by a new join token, at once and wherever its certificate stands in its life.
func TestANewTokenEndsWhatWasBefore(t *testing.T) {
	var ended []store.Scope
	s, _ := service(t, Config{Enrolled: func(at store.Scope) { ended = append(ended, at) }})
	inv, token := mint(t, s, "east")
	enrol := func(a agent, with join.Token) tunnel.Peer {
		t.Helper()
		reply, err := s.Enrol(t.Context(), a.request(t, with))
		if err != nil {
			t.Fatal(err)
		}
		return tunnel.Peer{Certificate: certificate(t, reply.Certificate)}
	}
	first, a := newAgent(t), newAgent(t)
	old := enrol(first, token)
	renewed, err := s.renew(t.Context(), old.Certificate, &tunnelv1.RenewRequest{Csr: a.csr(t)})
	if err != nil {
		t.Fatal(err)
	}
	next := tunnel.Peer{Certificate: certificate(t, renewed.Certificate)}
	if err := errors.Join(s.Admit(t.Context(), old), s.Admit(t.Context(), next)); err != nil || len(ended) > 0 {
		t.Fatalf("one that was just renewed, and the newest: %v; ended %v", err, ended)
	}
	again, err := s.Invite(t.Context(), admin, inv.Cluster.ID)
	if err != nil {
		t.Fatal(err)
	}
	fresh, _ := join.Parse(again.Token)
	b := newAgent(t)
	anew := enrol(b, fresh)
	enrol(b, fresh) // the reply was lost: nothing of before is there to be ended
	if at := (store.Scope{Tenant: admin.Tenant, Cluster: inv.Cluster.ID}); len(ended) != 1 || ended[0] != at {
		t.Errorf("sessions of %v are ended", ended)
	}
	if err := s.Admit(t.Context(), anew); err != nil {
		t.Error(err)
	}
	for name, peer := range map[string]tunnel.Peer{"the first": old, "the renewed": next} {
		if err := s.Admit(t.Context(), peer); !fault.Is(err, fault.Forbidden) {
			t.Errorf("%s certificate: %v", name, err)
		}
		if _, err := s.renew(t.Context(), peer.Certificate, &tunnelv1.RenewRequest{Csr: newAgent(t).csr(t)}); !fault.Is(err, fault.Conflict) {
			t.Errorf("%s certificate is renewed: %v", name, err)
		}
	}
}

func TestEnrolRefusals(t *testing.T) {
	s, m := service(t, Config{})
	_, token := mint(t, s, "east")
	rsaKey, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	p521, _ := ecdsa.GenerateKey(elliptic.P521(), rand.Reader)
	good := newAgent(t)
	cases := []struct {
		name   string
		agent  agent
		change func(r *tunnelv1.EnrolRequest)
		code   fault.Code
	}{
		{"no token", good, func(r *tunnelv1.EnrolRequest) { r.Token = "" }, fault.Unauthorized},
		{"a malformed token", good, func(r *tunnelv1.EnrolRequest) { r.Token = "kbl1.x.y" }, fault.Unauthorized},
		{"an unknown token", good, func(r *tunnelv1.EnrolRequest) { r.Token = join.NewToken(token.Pin).Text() }, fault.Unauthorized},
		{"a known id, a wrong secret", good, func(r *tunnelv1.EnrolRequest) {
			other := join.NewToken(token.Pin)
			other.ID = token.ID
			r.Token = other.Text()
		}, fault.Unauthorized},
		{"no request", good, func(r *tunnelv1.EnrolRequest) { r.Csr = nil }, fault.BadRequest},
		{"a huge request", good, func(r *tunnelv1.EnrolRequest) { r.Csr = make([]byte, maxCSR+1) }, fault.BadRequest},
		{"a request that was changed", good, func(r *tunnelv1.EnrolRequest) { r.Csr[len(r.Csr)-1] ^= 1 }, fault.BadRequest},
		{"an RSA key", agent{tls: rsaKey, identity: good.identity}, nil, fault.BadRequest},
		{"a curve that isn't supported", agent{tls: p521, identity: good.identity}, nil, fault.BadRequest},
		{"one key for both", agent{tls: good.tls, identity: good.tls}, nil, fault.BadRequest},
		{"no identity key", good, func(r *tunnelv1.EnrolRequest) { r.IdentityKey = nil }, fault.BadRequest},
		{"an RSA identity key", agent{tls: good.tls, identity: rsaKey}, nil, fault.BadRequest},
		{"no proof", good, func(r *tunnelv1.EnrolRequest) { r.IdentityProof = nil }, fault.BadRequest},
		{"another's proof", good, func(r *tunnelv1.EnrolRequest) { r.IdentityProof = newAgent(t).request(t, token).IdentityProof }, fault.BadRequest},
		{"no cluster", good, func(r *tunnelv1.EnrolRequest) { r.KubeSystemUid = "" }, fault.BadRequest},
		{"a line break in the cluster", good, func(r *tunnelv1.EnrolRequest) { r.KubeSystemUid = "a\nb" }, fault.BadRequest},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			req := c.agent.request(t, token)
			if c.change != nil {
				c.change(req)
			}
			reply, err := s.Enrol(t.Context(), req)
			if !fault.Is(err, c.code) || reply != nil || fault.Retryable(err) {
				t.Errorf("got %v", err)
			}
		})
	}
	if m.tokens[token.ID].KeyHash != nil || len(m.certs) != 0 {
		t.Error("something that was refused consumed the token")
	}
	if _, err := s.Enrol(t.Context(), good.request(t, token)); err != nil {
		t.Errorf("afterwards the good one got %v", err)
	}
}

func TestExpiredTokenAndDeletedCluster(t *testing.T) {
	s, m := service(t, Config{TokenLifetime: time.Minute})
	inv, token := mint(t, s, "east")
	req := newAgent(t).request(t, token)
	if err := m.DeleteCluster(t.Context(), store.Scope{Tenant: 7, Cluster: inv.Cluster.ID}); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Enrol(t.Context(), req); !fault.Is(err, fault.NotFound) {
		t.Errorf("for a deleted cluster: %v", err)
	}
	s.now = func() time.Time { return time.Now().Add(time.Minute) }
	if _, err := s.Enrol(t.Context(), req); !fault.Is(err, fault.Gone) || !strings.Contains(err.Error(), "ended at") {
		t.Errorf("after its end: %v", err)
	}
}

// What a stranger can make the hub do is bounded, and is one look-up each.
func TestStrangersAreThrottled(t *testing.T) {
	s, m := service(t, Config{EachAddress: throttle.Rate{PerSecond: 0.001, Burst: 5}})
	_, token := mint(t, s, "east")
	req := proto.Clone(newAgent(t).request(t, token)).(*tunnelv1.EnrolRequest)
	req.Token = "kbl1.nonsense"
	var err error
	for range 100 {
		_, err = s.Enrol(t.Context(), req)
	}
	if !fault.Is(err, fault.TooManyRequests) || fault.RetryAfter(err) == 0 || m.lookups != 5 {
		t.Errorf("%d look-ups, %v", m.lookups, err)
	}
}

func TestMint(t *testing.T) {
	s, _ := service(t, Config{})
	if _, err := s.Mint(t.Context(), fleet.Principal{Tenant: 7}, "x", nil); !fault.Is(err, fault.Forbidden) {
		t.Errorf("by nobody: %v", err)
	}
	inv, _ := mint(t, s, "gke_proj_europe-west1_prod")
	if inv.Cluster.Tenant != 7 || inv.Cluster.Freshness.State != fleet.Never || time.Until(inv.Expires) < 59*time.Minute {
		t.Errorf("invitation %+v", inv.Cluster)
	}
	if _, err := s.Mint(t.Context(), admin, "gke_proj_europe-west1_prod", nil); !fault.Is(err, fault.Conflict) {
		t.Errorf("a name twice: %v", err)
	}
	if _, err := s.Invite(t.Context(), admin, 99); !fault.Is(err, fault.NotFound) {
		t.Errorf("no such cluster: %v", err)
	}
	other := admin
	other.Tenant = 8
	if _, err := s.Invite(t.Context(), other, inv.Cluster.ID); !fault.Is(err, fault.NotFound) {
		t.Errorf("another tenant's cluster: %v", err)
	}
	for field, c := range map[string]struct {
		name   string
		labels map[string]string
	}{
		"name":                {"", nil},
		"labels.a b":          {"x", map[string]string{"a b": "c"}},
		"labels.env":          {"x", map[string]string{"env": "über"}},
		"labels.example.com/": {"x", map[string]string{"example.com/": ""}},
	} {
		_, err := s.Mint(t.Context(), admin, c.name, c.labels)
		if f := fault.Public(err); f.Code != fault.BadRequest || len(f.Fields) != 1 || f.Fields[0].Name != field {
			t.Errorf("%s: %v %v", field, err, f.Fields)
		}
	}
	for _, name := range []string{" a", "a\n", strings.Repeat("a", 254), "\xff", "a\u0000"} {
		if CheckCluster(name, nil) == nil {
			t.Errorf("the name %q passed", name)
		}
	}
}

func TestVerifyTakesOneSpellingOnly(t *testing.T) {
	s, _ := service(t, Config{TrustDomain: "fleet.example"})
	at := store.Scope{Tenant: 7, Cluster: 9}
	good := uriOf("fleet.example", at).String()
	forge := func(generation string, uris ...string) *x509.Certificate {
		cert := &x509.Certificate{Subject: pkix.Name{SerialNumber: generation}, NotAfter: time.Now().Add(time.Hour)}
		for _, text := range uris {
			u, err := url.Parse(text)
			if err != nil {
				t.Fatal(err)
			}
			cert.URIs = append(cert.URIs, u)
		}
		return cert
	}
	if got, generation, err := s.Verify(forge("3", good)); got != at || generation != 3 || err != nil {
		t.Fatalf("%v, %d, %v", got, generation, err)
	}
	for _, bad := range []*x509.Certificate{
		nil, forge("3"), forge("3", good, good), forge("", good), forge("x", good),
		forge("3", strings.Replace(good, "fleet.example", "fleet.example:443", 1)),
		forge("3", strings.Replace(good, "fleet.example", "other.example", 1)),
		forge("3", strings.Replace(good, "spiffe:", "https:", 1)),
		forge("3", strings.Replace(good, "//fleet", "//me@fleet", 1)),
		forge("3", good+"/"), forge("3", good+"?a=b"), forge("3", good+"#f"), forge("3", strings.ToUpper(good)),
		forge("3", strings.Replace(good, "/tenant/", "/tenant%2f", 1)), forge("3", strings.Replace(good, "/cluster/", "/./cluster/", 1)),
	} {
		if _, _, err := s.Verify(bad); !fault.Is(err, fault.Unauthorized) {
			t.Errorf("%v passed: %v", bad.URIs, err)
		}
	}
	ended := forge("3", good)
	ended.NotAfter = time.Now().Add(-time.Second)
	if _, _, err := s.Verify(ended); !fault.Is(err, fault.Unauthorized) {
		t.Errorf("a certificate that ended: %v", err)
	}
}

// Neither what is kept nor what is logged holds a token's secret or a key.
func TestNothingKeepsTheSecret(t *testing.T) {
	s, m := service(t, Config{})
	core, logs := observer.New(zap.DebugLevel)
	s.log = zap.New(core)
	_, token := mint(t, s, "east")
	req := newAgent(t).request(t, token)
	_, err := s.Enrol(context.Background(), req)
	_, errOther := s.Enrol(context.Background(), newAgent(t).request(t, token))
	if err != nil || errOther == nil {
		t.Fatal(err, errOther)
	}
	if kept := fmt.Sprintf("%+v %+v %v", m.tokens, logs.All(), errOther); strings.Contains(kept, token.Secret) {
		t.Error("the secret was kept or logged")
	}
	if logs.FilterMessage("enrolment refused").FilterField(zap.String("token", token.ID)).Len() != 1 {
		t.Error("the second claimant was not reported")
	}
}
