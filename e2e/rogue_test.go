package e2e

import (
	"bytes"
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/klauspost/compress/zstd"
	"google.golang.org/grpc"
	"google.golang.org/protobuf/proto"

	"github.com/kubilitics/kubilitics/e2e/stack"
	tunnelv1 "github.com/kubilitics/kubilitics/proto/tunnel/v1"
	"github.com/kubilitics/kubilitics/shared/fault"
	"github.com/kubilitics/kubilitics/shared/fault/grpcfault"
	"github.com/kubilitics/kubilitics/shared/join"
	"github.com/kubilitics/kubilitics/shared/topo"
	"github.com/kubilitics/kubilitics/shared/tunnel"
	"github.com/kubilitics/kubilitics/shared/wire"
)

// rogue is an agent that is enrolled as any other, and says what it likes.
type rogue struct {
	id       string
	endpoint tunnel.Endpoint
	cred     tunnel.Credentials
	instance string
	uid      string
}

// enrolRogue becomes a member by the protocol's own words.
func enrolRogue(t *testing.T, r *rig, name string) *rogue {
	t.Helper()
	made, err := r.hub.CreateCluster(t.Context(), name, nil)
	if err != nil {
		t.Fatal(err)
	}
	x := &rogue{id: made.ID, endpoint: tunnel.Endpoint{URL: r.hub.Tunnels, ServerName: join.HubName}, instance: rand.Text(), uid: rand.Text()}
	if err := x.enrol(t, made.Token); err != nil {
		t.Fatal(err)
	}
	return x
}

// enrol gives the rogue a certificate for a token.
func (x *rogue) enrol(t *testing.T, text string) error {
	t.Helper()
	token, err := join.Parse(text)
	if err != nil {
		t.Fatal(err)
	}
	key, req := enrolRequest(t, token, x.uid)
	conn, err := tunnel.DialEnroll(t.Context(), x.endpoint, token.Pin)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close() }()
	client, err := tunnel.NewGRPCClient(func(context.Context) (net.Conn, error) { return conn, nil })
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = client.Close() }()
	reply, err := tunnelv1.NewEnrolmentClient(client).Enrol(t.Context(), req)
	if err != nil {
		return grpcfault.From(err)
	}
	x.cred = tunnel.Credentials{Certificate: tls.Certificate{Certificate: [][]byte{reply.GetCertificate()}, PrivateKey: key}, Roots: x509.NewCertPool()}
	for _, der := range reply.GetTrustBundle() {
		root, err := x509.ParseCertificate(der)
		if err != nil {
			t.Fatal(err)
		}
		x.cred.Roots.AddCert(root)
	}
	return nil
}

func enrolRequest(t *testing.T, token join.Token, uid string) (*ecdsa.PrivateKey, *tunnelv1.EnrolRequest) {
	t.Helper()
	var keys [2]*ecdsa.PrivateKey
	for i := range keys {
		var err error
		if keys[i], err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader); err != nil {
			t.Fatal(err)
		}
	}
	csr, err1 := x509.CreateCertificateRequest(rand.Reader, &x509.CertificateRequest{}, keys[0])
	identity, err2 := x509.MarshalPKIXPublicKey(keys[1].Public())
	digest := sha256.Sum256(csr)
	proof, err3 := keys[1].Sign(rand.Reader, digest[:], crypto.SHA256)
	if err := errors.Join(err1, err2, err3); err != nil {
		t.Fatal(err)
	}
	return keys[0], &tunnelv1.EnrolRequest{Token: token.Text(), Csr: csr, IdentityKey: identity, IdentityProof: proof, KubeSystemUid: uid}
}

// talk is one sync stream of a rogue.
type talk struct {
	*testing.T
	session *tunnel.Session
	stream  grpc.BidiStreamingClient[tunnelv1.AgentFrame, tunnelv1.HubFrame]
	epoch   int64
	seq     int64
	load    bool
}

// dial opens a stream and says nothing yet.
func (x *rogue) dial(t *testing.T) *talk {
	t.Helper()
	s, err := tunnel.Dial(t.Context(), tunnel.DialConfig{Endpoint: x.endpoint, Credentials: x.cred})
	if err != nil {
		t.Fatal(err)
	}
	conn, err := s.DialGRPC()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		s.Close(nil)
		_ = conn.Close()
		_ = s.Wait(context.WithoutCancel(t.Context()))
	})
	stream, err := tunnelv1.NewSyncClient(conn).Session(s.Context())
	if err != nil {
		t.Fatal(err)
	}
	return &talk{T: t, session: s, stream: stream}
}

func (x *rogue) hello() *tunnelv1.Hello {
	return &tunnelv1.Hello{
		Capability: wire.Capability, Instance: x.instance, AgentVersion: "rogue", DigestVersions: []int32{topo.DigestVersion},
		KubeSystemUid: x.uid, KubernetesVersion: "v1.37.2", Share: tunnelv1.Share_SHARE_MANIFESTS,
	}
}

// open says hello and is welcomed.
func (x *rogue) open(t *testing.T) *talk {
	t.Helper()
	k := x.dial(t)
	k.send(&tunnelv1.AgentFrame{Frame: &tunnelv1.AgentFrame_Hello{Hello: x.hello()}})
	first, err := k.stream.Recv()
	if err != nil || first.GetWelcome() == nil {
		t.Fatalf("no welcome: %v, %v", first, err)
	}
	k.epoch, k.load = first.GetWelcome().GetEpoch(), first.GetWelcome().GetLoad()
	return k
}

func (k *talk) send(f *tunnelv1.AgentFrame) {
	k.Helper()
	if err := k.stream.Send(f); err != nil {
		k.Logf("send: %v", err) // what came of it, the answer tells
	}
}

// delta sends rows as the next delta, altered by change.
func (k *talk) delta(rows []byte, change func(*tunnelv1.Delta)) {
	k.Helper()
	k.seq++
	d := &tunnelv1.Delta{Epoch: k.epoch, Seq: k.seq, Rows: rows}
	if change != nil {
		change(d)
	}
	k.send(&tunnelv1.AgentFrame{Frame: &tunnelv1.AgentFrame_Delta{Delta: d}})
}

// acked waits until everything sent is committed.
func (k *talk) acked() {
	k.Helper()
	for {
		f, err := k.stream.Recv()
		if err != nil {
			k.Fatal(grpcfault.From(err))
		}
		if f.GetAck().GetSeq() == k.seq {
			return
		}
	}
}

// refusal waits until the stream ends, and gives why.
func (k *talk) refusal() error {
	k.Helper()
	for {
		if _, err := k.stream.Recv(); err != nil {
			return grpcfault.From(err)
		}
	}
}

// encoded gives rows as they travel.
func encoded(t *testing.T, d topo.Delta) []byte {
	t.Helper()
	raw, err := wire.Encode(&d)
	if err != nil {
		t.Fatal(err)
	}
	return raw
}

func configMap(name string) topo.Node {
	return topo.Node{Ref: topo.Ref{Kind: "ConfigMap", Namespace: "rogue", Name: name}, UID: "uid-" + name, Version: "v1", Health: topo.OK}
}

func nodes(names ...string) topo.Delta {
	var d topo.Delta
	for _, n := range names {
		d.Nodes = append(d.Nodes, configMap(n))
	}
	return d
}

// packed compresses what is no delta.
func packed(t *testing.T, raw []byte) []byte {
	t.Helper()
	z, err := zstd.NewWriter(nil)
	if err != nil {
		t.Fatal(err)
	}
	return z.EncodeAll(raw, nil)
}

// bomb is a small frame that would unpack to more than is allowed.
func bomb(t *testing.T) []byte { return packed(t, make([]byte, wire.MaxRows+1)) }

func garbage(t *testing.T) []byte { return packed(t, bytes.Repeat([]byte{0xff}, 100)) }

func shortKey(t *testing.T) []byte {
	t.Helper()
	raw, err := proto.Marshal(&tunnelv1.Rows{Nodes: []*tunnelv1.Node{{Ref: &tunnelv1.Ref{Kind: "ConfigMap", Name: "evil"}}}, GoneNodes: [][]byte{{1, 2, 3}}})
	if err != nil {
		t.Fatal(err)
	}
	return packed(t, raw)
}

func load(d *tunnelv1.Delta)    { d.Load = true }
func loadEnd(d *tunnelv1.Delta) { d.LoadEnd = true }

// settle brings the first load to its end.
func (x *rogue) settle(t *testing.T) *talk {
	t.Helper()
	k := x.open(t)
	k.delta(encoded(t, nodes("one", "two")), load)
	k.delta(encoded(t, topo.Delta{}), loadEnd)
	k.acked()
	return k
}

// names lists what the hub has of a cluster.
func (r *rig) names(t *testing.T, id string) (out []string) {
	t.Helper()
	list := get[page[stack.Resource]](t, &r.hub.Client, "/api/v1/resources?limit=1000&cluster="+id)
	for _, n := range list.Items {
		out = append(out, n.Name)
	}
	return out
}

// Whatever an enrolled agent says against the protocol is refused in clear words, ends its session, and leaves nothing behind.
func TestRogueAgentIsRefused(t *testing.T) {
	eachStore(t, func(t *testing.T, db *database) {
		r := start(t, db)
		honest := r.join(t, world.eu, world.eu.agent)
		r.live(t, honest)
		x := enrolRogue(t, r, "rogue")
		x.settle(t).session.Close(nil)

		more := encoded(t, nodes("evil"))
		kept := []string{"one", "two"}
		for _, c := range []struct {
			name string
			want []string
			do   func(*talk)
		}{
			{"a frame too large", []string{"larger than max"}, func(k *talk) { k.delta(make([]byte, wire.MaxFrame+1), nil) }},
			{"rows that unpack to too much", []string{"decompress"}, func(k *talk) { k.delta(bomb(t), nil) }},
			{"rows that don't decompress", []string{"decompress"}, func(k *talk) { k.delta([]byte("not zstd"), nil) }},
			{"rows that are no rows", []string{"malformed"}, func(k *talk) { k.delta(garbage(t), nil) }},
			{"a delta that skips one", []string{"one is missing"}, func(k *talk) { k.delta(more, func(d *tunnelv1.Delta) { d.Seq = 2 }) }},
			{"a delta of another epoch", []string{"epoch"}, func(k *talk) { k.delta(more, func(d *tunnelv1.Delta) { d.Epoch++ }) }},
			{"a delta of an epoch before", []string{"epoch"}, func(k *talk) { k.delta(more, func(d *tunnelv1.Delta) { d.Epoch-- }) }},
			{"a load after the load", []string{"first load"}, func(k *talk) { k.delta(more, load) }},
			{"another end of the load", []string{"first load"}, func(k *talk) { k.delta(more, loadEnd) }},
			{"a second hello", []string{"hello once"}, func(k *talk) {
				k.send(&tunnelv1.AgentFrame{Frame: &tunnelv1.AgentFrame_Hello{Hello: x.hello()}})
			}},
			{"an empty frame", []string{"empty frame"}, func(k *talk) { k.send(&tunnelv1.AgentFrame{}) }},
			{"buckets without groups", []string{"after their groups"}, func(k *talk) {
				k.send(&tunnelv1.AgentFrame{Frame: &tunnelv1.AgentFrame_Buckets{Buckets: &tunnelv1.Buckets{}}})
			}},
			{"groups of a wrong size", []string{"sums"}, func(k *talk) {
				k.send(&tunnelv1.AgentFrame{Frame: &tunnelv1.AgentFrame_Groups{Groups: &tunnelv1.Groups{Tables: []*tunnelv1.TableSums{{Table: tunnelv1.Table_TABLE_NODES, Sums: []byte{1}}}}}})
			}},
			{"a malformed key", []string{"malformed key"}, func(k *talk) { k.delta(shortKey(t), nil) }},
		} {
			t.Run(c.name, func(t *testing.T) {
				k := x.open(t)
				c.do(k)
				k.refusedWith(c.want...)
				if got := r.names(t, x.id); !slices.Equal(got, kept) {
					t.Errorf("the hub has %q", got)
				}
			})
		}
		t.Run("a delta before hello", func(t *testing.T) {
			k := x.dial(t)
			k.delta(more, nil)
			k.refusedWith("begins with hello")
		})
		t.Run("hellos that say too little", func(t *testing.T) { x.badHellos(t) })
		t.Run("a row that is twice there comes once", func(t *testing.T) {
			k := x.open(t)
			k.delta(encoded(t, nodes("two", "two")), nil)
			k.acked()
			k.session.Close(nil)
		})
		t.Run("nobody keeps a tunnel without a session", func(t *testing.T) {
			t.Parallel()
			k := x.dial(t)
			select {
			case <-k.session.Done():
			case <-time.After(25 * time.Second):
				t.Error("it is still open")
			}
		})
		t.Run("rows for another cluster", func(t *testing.T) { r.foreignRows(t, x, honest) })
		if got := r.names(t, x.id); !slices.Equal(got, kept) {
			t.Errorf("in the end the hub has %q", got)
		}
		if n := r.log.count("sync session ended", "larger than"); n == 0 {
			t.Error("the hub's log doesn't tell of the frame that was too large")
		}
		r.told(t, honest, world.eu, 5*time.Second)
	})
}

// refusedWith waits for the refusal, and for the session to be of no more use.
func (k *talk) refusedWith(words ...string) {
	k.Helper()
	err := k.refusal()
	for _, w := range words {
		if !strings.Contains(err.Error(), w) {
			k.Errorf("the refusal doesn't say %q: %v", w, err)
		}
	}
}

func (x *rogue) badHellos(t *testing.T) {
	for _, c := range []struct {
		want   string
		change func(*tunnelv1.Hello)
	}{
		{"capability", func(h *tunnelv1.Hello) { h.Capability = 0 }},
		{"digests", func(h *tunnelv1.Hello) { h.DigestVersions = []int32{99} }},
		{"instance", func(h *tunnelv1.Hello) { h.Instance = "" }},
		{"instance", func(h *tunnelv1.Hello) { h.Instance = strings.Repeat("x", 65) }},
		{"shares", func(h *tunnelv1.Hello) { h.Share = 0 }},
		{"another Kubernetes cluster", func(h *tunnelv1.Hello) { h.KubeSystemUid = "another cluster's" }},
	} {
		h := x.hello()
		c.change(h)
		k := x.dial(t)
		k.send(&tunnelv1.AgentFrame{Frame: &tunnelv1.AgentFrame_Hello{Hello: h}})
		k.refusedWith(c.want)
	}
}

// foreignRows: no frame has a word for a cluster, so rows that are named as another's become the sender's own, and what it deletes is its own.
func (r *rig) foreignRows(t *testing.T, x *rogue, honest *member) {
	victim := topo.Ref{Group: "apps", Kind: "Deployment", Namespace: "payments", Name: "checkout"}
	k := x.open(t)
	mine := topo.Node{Ref: victim, UID: "stolen", Version: "v1", Health: topo.Error, Status: "stolen"}
	k.delta(encoded(t, topo.Delta{Nodes: []topo.Node{mine}}), nil)
	k.delta(encoded(t, topo.Delta{GoneNodes: []topo.ID{victim.ID()}}), nil)
	k.delta(encoded(t, topo.Delta{GoneNodes: []topo.ID{topo.Ref{Kind: "Namespace", Name: "payments"}.ID()}}), nil)
	k.acked()
	k.session.Close(nil)
	got := get[detail](t, &r.hub.Client, "/api/v1/clusters/"+honest.id+"/resources/apps/-/deployments/payments/checkout")
	if got.Resource.UID == "stolen" || got.Resource.Status == "stolen" {
		t.Errorf("another cluster's row became %+v", got.Resource)
	}
	if got := get[detail](t, &r.hub.Client, "/api/v1/clusters/"+honest.id+"/resources/-/-/namespaces/-/payments"); got.Resource.Presence != "present" {
		t.Errorf("another cluster's namespace is %+v", got.Resource)
	}
	r.agrees(t, honest, world.eu) // and of all the others, which come and go, none is missing that is there
}

// Rows that no store can hold are set aside, counted and shown; the rest of their frame is kept.
func TestBadRowsAreSetAside(t *testing.T) {
	eachStore(t, func(t *testing.T, db *database) {
		r := start(t, db)
		x := enrolRogue(t, r, "odd")
		k := x.settle(t)
		nul, long, unsorted := configMap("nul\x00inside"), configMap("long"), configMap("unsorted")
		long.Status = strings.Repeat("x", wire.MaxText+1)
		unsorted.Labels = []topo.Pair{{Key: "b"}, {Key: "a"}}
		wrong := topo.Edge{Source: configMap("one").Ref, Target: configMap("two").Ref, Rule: "x", Type: "conquers"}
		right := topo.Edge{Source: configMap("one").Ref, Target: configMap("two").Ref, Rule: "x", Type: topo.References}
		k.delta(encoded(t, topo.Delta{Nodes: []topo.Node{nul, configMap("kept"), long, unsorted}, Edges: []topo.Edge{wrong, right}}), nil)
		k.delta(encoded(t, topo.Delta{Nodes: []topo.Node{nul}}), nil)
		k.acked()
		if got, want := r.names(t, x.id), []string{"kept", "one", "two"}; !slices.Equal(got, want) {
			t.Errorf("the hub has %q, want %q", got, want)
		}
		g := get[graph](t, &r.hub.Client, "/api/v1/clusters/"+x.id+"/topology")
		if len(g.Edges) != 1 || g.Edges[0].Type != "references" {
			t.Errorf("edges %+v", g.Edges)
		}
		aside := get[page[struct {
			Table, Key, Reason string
			Count              int
		}]](t, &r.hub.Client, "/api/v1/clusters/"+x.id+"/quarantine")
		for _, want := range []struct {
			table, key, reason string
			count              int
		}{
			{"nodes", "ConfigMap rogue/nul\uFFFDinside", "U+0000", 2}, {"nodes", "ConfigMap rogue/long", "bytes long", 1},
			{"nodes", "ConfigMap rogue/unsorted", "sorted", 1}, {"edges", "ConfigMap rogue/one", "conquers", 1},
		} {
			found := false
			for _, q := range aside.Items {
				found = found || q.Table == want.table && strings.HasPrefix(q.Key, want.key) && strings.Contains(q.Reason, want.reason) && q.Count == want.count
			}
			if !found {
				t.Errorf("want %+v among %+v", want, aside.Items)
			}
		}
		if n := r.metric(t, "kubilitics_hub_ingest_quarantined_total"); n != 5 {
			t.Errorf("the metric counts %v", n)
		}
		k.delta(encoded(t, nodes("later")), nil) // the session goes on
		k.acked()
	})
}

// A load that breaks off is never seen, and the next one begins anew.
func TestBrokenOffLoadIsNotSeen(t *testing.T) {
	eachStore(t, func(t *testing.T, db *database) {
		r := start(t, db)
		x := enrolRogue(t, r, "halfway")
		k := x.open(t)
		if !k.load {
			t.Fatal("no load was asked for")
		}
		var names []string
		for i := range 9000 { // enough to be written before its end
			names = append(names, fmt.Sprintf("half-%d", i))
		}
		for some := range slices.Chunk(names, 1000) {
			k.delta(encoded(t, nodes(some...)), load)
		}
		eventually(t, "the rows are written", 10*time.Second, func() error {
			if n := db.number(t, "SELECT count(*) FROM resources"); n < 8000 {
				return fmt.Errorf("%d so far", n)
			}
			return nil
		})
		if got := r.names(t, x.id); len(got) != 0 {
			t.Errorf("%d rows of an unfinished load are seen", len(got))
		}
		k.delta(encoded(t, topo.Delta{GoneNodes: []topo.ID{configMap("half-1").Ref.ID()}}), load)
		k.refusedWith("removes nothing")
		began := time.Now()
		x.settle(t)
		if took := time.Since(began); took > 5*time.Second {
			t.Errorf("what was left of the load took %s to be cleared", took)
		}
		if got, want := r.names(t, x.id), []string{"one", "two"}; !slices.Equal(got, want) {
			t.Errorf("the hub has %q, want %q", got[:min(len(got), 5)], want)
		}
		for _, table := range []string{"resources", "refs"} {
			if n := db.number(t, "SELECT count(*) FROM "+table); n != 2 {
				t.Errorf("%d rows are left in %s", n, table)
			}
		}
	})
}

// What isn't right about a first contact is refused, and the token stays good for the one it was made for.
func TestEnrolmentIsGuarded(t *testing.T) {
	t.Parallel()
	r := start(t, &database{name: "sqlite"})
	x := enrolRogue(t, r, "first")
	made, err := r.hub.CreateCluster(t.Context(), "second", nil)
	if err != nil {
		t.Fatal(err)
	}
	token, err := join.Parse(made.Token)
	if err != nil {
		t.Fatal(err)
	}
	enrol := func(change func(*tunnelv1.EnrolRequest)) error {
		_, req := enrolRequest(t, token, rand.Text())
		change(req)
		conn, err := tunnel.DialEnroll(t.Context(), x.endpoint, token.Pin)
		if err != nil {
			return err
		}
		defer func() { _ = conn.Close() }()
		client, err := tunnel.NewGRPCClient(func(context.Context) (net.Conn, error) { return conn, nil })
		if err != nil {
			return err
		}
		defer func() { _ = client.Close() }()
		_, err = tunnelv1.NewEnrolmentClient(client).Enrol(t.Context(), req)
		return grpcfault.From(err)
	}
	for name, change := range map[string]func(*tunnelv1.EnrolRequest){
		"a wrong secret":           func(q *tunnelv1.EnrolRequest) { q.Token = token.Text()[:len(token.Text())-4] + "AAAA" },
		"no token":                 func(q *tunnelv1.EnrolRequest) { q.Token = "" },
		"a request without proof":  func(q *tunnelv1.EnrolRequest) { q.IdentityProof = []byte("x") },
		"a request that is broken": func(q *tunnelv1.EnrolRequest) { q.Csr = []byte("x") },
		"another cluster's UID":    func(q *tunnelv1.EnrolRequest) { q.KubeSystemUid = x.uid },
	} {
		if err := enrol(change); err == nil || fault.Retryable(err) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := tunnel.DialEnroll(t.Context(), x.endpoint, tunnel.Pin{1}); !fault.Is(err, fault.Unauthorized) {
		t.Errorf("a hub with another root: %v", err)
	}
	if err := enrol(func(*tunnelv1.EnrolRequest) {}); err != nil {
		t.Errorf("the right one: %v", err)
	}
	if err := enrol(func(*tunnelv1.EnrolRequest) {}); err == nil {
		t.Error("the token was good for a second key")
	}
	if err := r.hub.Do(t.Context(), http.MethodDelete, "/api/v1/clusters/"+x.id, nil, nil); err != nil {
		t.Fatal(err)
	}
	if _, err := tunnel.Dial(t.Context(), tunnel.DialConfig{Endpoint: x.endpoint, Credentials: x.cred}); err == nil || !strings.Contains(err.Error(), "deleted") {
		t.Errorf("an agent of a deleted cluster: %v", err)
	}
}

// Whoever has an agent's key, and holds the cluster's session by it, is shut out by a new join token, which the owner's agent is given.
func TestANewJoinTokenShutsOutAThief(t *testing.T) {
	t.Parallel()
	r := start(t, &database{name: "sqlite"})
	thief := enrolRogue(t, r, "house")
	session := thief.settle(t).session
	invite := func() (token string) {
		t.Helper()
		var made struct{ Token string }
		if err := r.hub.Do(t.Context(), http.MethodPost, "/api/v1/clusters/"+thief.id+"/join-tokens", nil, &made); err != nil {
			t.Fatal(err)
		}
		return made.Token
	}
	owner := &rogue{id: thief.id, endpoint: thief.endpoint, instance: rand.Text(), uid: thief.uid}
	lost, token := invite(), invite()
	if err := owner.enrol(t, lost); !fault.Is(err, fault.Unauthorized) {
		t.Errorf("a join token after which another was made: %v", err)
	}
	if err := owner.enrol(t, token); err != nil {
		t.Fatal(err)
	}
	select {
	case <-session.Done():
	case <-time.After(5 * time.Second):
		t.Error("the thief goes on")
	}
	if _, err := tunnel.Dial(t.Context(), tunnel.DialConfig{Endpoint: thief.endpoint, Credentials: thief.cred}); !fault.Is(err, fault.Forbidden) {
		t.Errorf("the thief comes back: %v", err)
	}
	owner.open(t)
	if got := r.names(t, thief.id); len(got) == 0 {
		t.Error("what was known of the cluster is gone")
	}
}
