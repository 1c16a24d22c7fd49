package ingest

import (
	"context"
	"errors"
	"io"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/goleak"
	"go.uber.org/zap"
	"google.golang.org/grpc"

	"github.com/kubilitics/kubilitics/hub/internal/fleet"
	"github.com/kubilitics/kubilitics/hub/internal/store"
	"github.com/kubilitics/kubilitics/hub/internal/store/sqlite"
	tunnelv1 "github.com/kubilitics/kubilitics/proto/tunnel/v1"
	"github.com/kubilitics/kubilitics/shared/fault"
	"github.com/kubilitics/kubilitics/shared/fault/grpcfault"
	"github.com/kubilitics/kubilitics/shared/topo"
	"github.com/kubilitics/kubilitics/shared/wire"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// wireStream is the hub's end of a stream whose other end is the test.
type wireStream struct {
	grpc.ServerStream
	ctx context.Context
	in  chan *tunnelv1.AgentFrame
	out chan *tunnelv1.HubFrame
}

func (s *wireStream) Context() context.Context { return s.ctx }

func (s *wireStream) Recv() (*tunnelv1.AgentFrame, error) {
	select {
	case f, ok := <-s.in:
		if !ok {
			return nil, io.EOF
		}
		return f, nil
	case <-s.ctx.Done():
		return nil, s.ctx.Err()
	}
}

func (s *wireStream) Send(f *tunnelv1.HubFrame) error {
	select {
	case s.out <- f:
		return nil
	case <-s.ctx.Done():
		return s.ctx.Err()
	}
}

// onlyOne is a registry for one cluster.
type onlyOne struct{ at store.Scope }

func (o onlyOne) Peer(context.Context) (store.Scope, func() time.Time, error) {
	return o.at, time.Now, nil
}
func (o onlyOne) Admit(ctx context.Context, _ string) (context.Context, func(), error) {
	return ctx, func() {}, nil
}
func (o onlyOne) Opened(context.Context, int64) {}

// rig is a server over a real store, with one cluster.
type rig struct {
	t      *testing.T
	store  *sqlite.Store
	server *Server
	at     store.Scope
}

func newRig(t *testing.T) *rig {
	t.Helper()
	s, err := sqlite.Open(t.Context(), sqlite.Config{Path: filepath.Join(t.TempDir(), "hub.db"), Migrate: true})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	tenant, err := s.EnsureTenant(t.Context(), "default")
	if err != nil {
		t.Fatal(err)
	}
	at := store.Scope{Tenant: tenant.ID, Cluster: fleet.NewClusterID()}
	if err := s.CreateCluster(t.Context(), fleet.Cluster{Tenant: at.Tenant, ID: at.Cluster, Name: "c", Created: time.Now()}); err != nil {
		t.Fatal(err)
	}
	return &rig{t: t, store: s, at: at, server: &Server{store: s, registry: onlyOne{at}, log: zap.NewNop(), metrics: newMetrics(prometheus.NewRegistry()), credit: Credit}}
}

// talk is one session, from the agent's side.
type talk struct {
	*wireStream
	t     *testing.T
	end   chan error
	epoch int64
	seq   int64
}

// open says hello and takes the welcome.
func (r *rig) open(share tunnelv1.Share) (*talk, *tunnelv1.Welcome) {
	r.t.Helper()
	k := r.dial()
	k.in <- hello(share)
	w := k.next().GetWelcome()
	k.epoch = w.GetEpoch()
	return k, w
}

func (r *rig) dial() *talk {
	ctx, cancel := context.WithCancel(r.t.Context())
	k := &talk{t: r.t, end: make(chan error, 1), wireStream: &wireStream{ctx: ctx, in: make(chan *tunnelv1.AgentFrame), out: make(chan *tunnelv1.HubFrame)}}
	go func() { k.end <- r.server.Session(k.wireStream) }()
	r.t.Cleanup(func() {
		cancel()
		<-k.end
	})
	return k
}

func hello(share tunnelv1.Share) *tunnelv1.AgentFrame {
	return &tunnelv1.AgentFrame{Frame: &tunnelv1.AgentFrame_Hello{Hello: &tunnelv1.Hello{
		Capability: 1, Instance: "i", DigestVersions: []int32{topo.DigestVersion}, Share: share, KubeSystemUid: "uid",
	}}}
}

func (k *talk) next() *tunnelv1.HubFrame {
	k.t.Helper()
	select {
	case f := <-k.out:
		return f
	case err := <-k.end:
		k.end <- err
		k.t.Fatalf("the session ended: %v", err)
	case <-time.After(10 * time.Second):
		k.t.Fatal("the hub says nothing")
	}
	return nil
}

// delta makes the next delta of a session.
func (k *talk) delta(d topo.Delta, change func(*tunnelv1.Delta)) *tunnelv1.AgentFrame {
	k.t.Helper()
	rows, err := wire.Encode(&d)
	if err != nil {
		k.t.Fatal(err)
	}
	k.seq++
	f := &tunnelv1.Delta{Epoch: k.epoch, Seq: k.seq, Rows: rows}
	if change != nil {
		change(f)
	}
	return &tunnelv1.AgentFrame{Frame: &tunnelv1.AgentFrame_Delta{Delta: f}}
}

// refused waits for the end and gives its fault.
func (k *talk) refused() error {
	k.t.Helper()
	select {
	case err := <-k.end:
		k.end <- nil
		return grpcfault.From(err)
	case <-time.After(10 * time.Second):
		k.t.Fatal("the session goes on")
		return nil
	}
}

func loadEnd(d *tunnelv1.Delta) { d.LoadEnd = true }

func pod(name, status string) topo.Node {
	return topo.Node{Ref: topo.Ref{Kind: "Pod", Namespace: "shop", Name: name}, UID: "u-" + name, Version: "v1", Status: status, Health: topo.OK}
}

func (r *rig) pods() map[string]string {
	r.t.Helper()
	out := map[string]string{}
	err := r.store.Read(r.t.Context(), r.at.Tenant, func(ctx context.Context, s store.Snapshot) error {
		rows, err := s.Resources(ctx, store.Filter{View: fleet.View{Tenant: r.at.Tenant, Everything: true}}, nil, 100)
		for _, row := range rows {
			out[row.Node.Ref.Name] = row.Node.Status
		}
		return err
	})
	if err != nil {
		r.t.Fatal(err)
	}
	return out
}

// loaded opens a session whose load is complete.
func (r *rig) loaded(nodes ...topo.Node) *talk {
	r.t.Helper()
	k, w := r.open(tunnelv1.Share_SHARE_MANIFESTS)
	if !w.GetLoad() {
		r.t.Fatal("the hub wants no load of a cluster it has nothing of")
	}
	k.in <- k.delta(topo.Delta{Nodes: nodes}, loadEnd)
	if ack := k.next().GetAck(); ack.GetSeq() != 1 || ack.GetPosition() == 0 {
		r.t.Fatalf("the load was acknowledged as %v", ack)
	}
	return k
}

func TestLoadThenDeltas(t *testing.T) {
	r := newRig(t)
	k := r.loaded(pod("a", "Running"), pod("b", "Running"))
	k.in <- k.delta(topo.Delta{Nodes: []topo.Node{pod("a", "Failed")}, GoneNodes: []topo.ID{pod("b", "").Ref.ID()}}, nil)
	if ack := k.next().GetAck(); ack.GetSeq() != 2 {
		t.Fatalf("acknowledged %v", ack)
	}
	if got := r.pods(); len(got) != 1 || got["a"] != "Failed" {
		t.Errorf("the hub has %v", got)
	}
	close(k.in)
	if err := k.refused(); err != nil {
		t.Errorf("an orderly end is an error: %v", err)
	}
	c, err := r.store.Cluster(t.Context(), r.at)
	if err != nil || c.Freshness.State != fleet.Stale {
		t.Errorf("after its session the cluster is %s (%v)", c.Freshness.State, err)
	}
}

// Whatever breaks the protocol ends the session with a sentence, and has written nothing.
func TestProtocolIsHeldTo(t *testing.T) {
	one := topo.Delta{Nodes: []topo.Node{pod("intruder", "Running")}}
	cases := map[string]struct {
		frame func(k *talk) *tunnelv1.AgentFrame
		says  string
	}{
		"another epoch": {func(k *talk) *tunnelv1.AgentFrame { return k.delta(one, func(d *tunnelv1.Delta) { d.Epoch++ }) }, "epoch"},
		"a gap":         {func(k *talk) *tunnelv1.AgentFrame { return k.delta(one, func(d *tunnelv1.Delta) { d.Seq++ }) }, "one is missing"},
		"a repetition":  {func(k *talk) *tunnelv1.AgentFrame { return k.delta(one, func(d *tunnelv1.Delta) { d.Seq-- }) }, "came twice"},
		"a second load": {func(k *talk) *tunnelv1.AgentFrame { return k.delta(one, loadEnd) }, "first load"},
		"malformed rows": {func(k *talk) *tunnelv1.AgentFrame {
			return k.delta(one, func(d *tunnelv1.Delta) { d.Rows = []byte("x") })
		}, "decompress"},
		"an empty frame": {func(*talk) *tunnelv1.AgentFrame { return &tunnelv1.AgentFrame{} }, "empty frame"},
		"hello again":    {func(*talk) *tunnelv1.AgentFrame { return hello(tunnelv1.Share_SHARE_TOPOLOGY) }, "once"},
		"buckets first": {func(*talk) *tunnelv1.AgentFrame {
			return &tunnelv1.AgentFrame{Frame: &tunnelv1.AgentFrame_Buckets{Buckets: &tunnelv1.Buckets{}}}
		}, "after their groups"},
		"short sums": {func(*talk) *tunnelv1.AgentFrame {
			return &tunnelv1.AgentFrame{Frame: &tunnelv1.AgentFrame_Groups{Groups: &tunnelv1.Groups{Tables: []*tunnelv1.TableSums{{Table: 1, Sums: []byte("x")}}}}}
		}, "64 sums"},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			r := newRig(t)
			k := r.loaded(pod("a", "Running"))
			k.in <- c.frame(k)
			if err := k.refused(); !fault.Is(err, fault.BadRequest) || !strings.Contains(err.Error(), c.says) {
				t.Errorf("refused with %v, want a BadRequest that says %q", err, c.says)
			}
			if got := r.pods(); len(got) != 1 || got["a"] != "Running" {
				t.Errorf("the hub has %v", got)
			}
		})
	}
}

func TestHelloIsHeldTo(t *testing.T) {
	change := func(f func(*tunnelv1.Hello)) *tunnelv1.AgentFrame {
		h := hello(tunnelv1.Share_SHARE_MANIFESTS)
		f(h.GetHello())
		return h
	}
	cases := map[string]*tunnelv1.AgentFrame{
		"no hello":             {Frame: &tunnelv1.AgentFrame_Kinds{Kinds: &tunnelv1.Kinds{}}},
		"no instance":          change(func(h *tunnelv1.Hello) { h.Instance = "" }),
		"no capability":        change(func(h *tunnelv1.Hello) { h.Capability = 0 }),
		"no share":             change(func(h *tunnelv1.Hello) { h.Share = 0 }),
		"digest of the future": change(func(h *tunnelv1.Hello) { h.DigestVersions = []int32{99} }),
	}
	for name, f := range cases {
		t.Run(name, func(t *testing.T) {
			k := newRig(t).dial()
			k.in <- f
			if err := k.refused(); !fault.Is(err, fault.BadRequest) {
				t.Errorf("refused with %v, want a BadRequest", err)
			}
		})
	}
}

// A session that was fenced by a newer one writes nothing.
func TestFencedSessionWritesNothing(t *testing.T) {
	r := newRig(t)
	old := r.loaded(pod("a", "Running"))
	fresh, w := r.open(tunnelv1.Share_SHARE_MANIFESTS)
	if w.GetLoad() || w.GetEpoch() <= old.epoch {
		t.Fatalf("the second welcome is %v", w)
	}
	old.in <- old.delta(topo.Delta{Nodes: []topo.Node{pod("late", "Running")}}, nil)
	if err := old.refused(); !fault.Is(err, fault.Conflict) {
		t.Errorf("the fenced session got %v, want a Conflict", err)
	}
	fresh.in <- fresh.delta(topo.Delta{Nodes: []topo.Node{pod("b", "Running")}}, nil)
	fresh.next()
	if got := r.pods(); len(got) != 2 || got["late"] != "" {
		t.Errorf("the hub has %v", got)
	}
}

// What a comparison finds happened after the last sign of life of the session before; or, later in a session, after hub and agent agreed last.
func TestTheGapBeginsWhereNothingWasSeenAnyMore(t *testing.T) {
	r := newRig(t)
	k := r.loaded(pod("a", "Running"))
	close(k.in)
	if err := k.refused(); err != nil {
		t.Fatal(err)
	}
	away, err := r.store.Cluster(t.Context(), r.at)
	if err != nil || away.Freshness.State != fleet.Stale {
		t.Fatalf("%+v, %v", away.Freshness, err)
	}
	k, w := r.open(tunnelv1.Share_SHARE_MANIFESTS)
	if w.GetLoad() {
		t.Fatal("the hub wants a load of what it has")
	}
	found := func(status string) time.Time {
		t.Helper()
		k.in <- k.delta(topo.Delta{Nodes: []topo.Node{pod("a", status)}}, func(d *tunnelv1.Delta) { d.Resync, d.ResyncEnd = true, true })
		at := topo.Position(k.next().GetAck().GetPosition())
		entries, err := r.store.Entries(t.Context(), r.at.Tenant, at-1, 1)
		if err != nil || len(entries) != 1 || entries[0].Position != at {
			t.Fatalf("the feed has %v, %v", entries, err)
		}
		return entries[0].GapSince
	}
	if gap := found("Failed"); !gap.Equal(away.Freshness.Since) {
		t.Errorf("the gap began at %v; the last session was heard until %v", gap, away.Freshness.Since)
	}
	agreed := time.Now()
	if gap := found("Pending"); !gap.After(away.Freshness.Since) || gap.After(agreed) {
		t.Errorf("the gap began at %v; hub and agent had agreed in this session by %v", gap, agreed)
	}
}

func TestABadRowIsSetAsideAndTheOthersStay(t *testing.T) {
	r := newRig(t)
	k := r.loaded()
	k.in <- k.delta(topo.Delta{Nodes: []topo.Node{pod("good", "Running"), pod("ba\x00d", "Running")}}, nil)
	k.next()
	if got := r.pods(); len(got) != 1 || got["good"] == "" {
		t.Errorf("the hub has %v", got)
	}
	rows, err := r.store.Quarantined(t.Context(), r.at, 10)
	if err != nil || len(rows) != 1 || !strings.Contains(rows[0].Reason, "U+0000") {
		t.Errorf("set aside: %v, %v", rows, err)
	}
}

// A comparison names what differs, down to the rows of the buckets.
func TestComparison(t *testing.T) {
	r := newRig(t)
	a, b := pod("a", "Running"), pod("b", "Running")
	r.loaded(a, b)
	k, _ := r.open(tunnelv1.Share_SHARE_MANIFESTS)
	changed := pod("a", "Failed")
	var mine topo.Digest
	mine[changed.Ref.ID().Bucket()].Add(changed.Hash())
	mine[b.Ref.ID().Bucket()].Add(b.Hash())
	groups := mine.Groups()
	k.in <- &tunnelv1.AgentFrame{Frame: &tunnelv1.AgentFrame_Groups{Groups: &tunnelv1.Groups{Tables: []*tunnelv1.TableSums{{Table: wire.TableTo(topo.Nodes), Sums: wire.SumsTo(groups[:])}}}}}
	u := k.next().GetUnequalGroups()
	bucket := a.Ref.ID().Bucket()
	group := int32(bucket / topo.GroupSize)
	if len(u.GetTables()) != 1 || len(u.GetTables()[0].GetGroups()) != 1 || u.GetTables()[0].GetGroups()[0] != group {
		t.Fatalf("unequal groups: %v, want group %d", u, group)
	}
	sums := mine[int(group)*topo.GroupSize : (int(group)+1)*topo.GroupSize]
	k.in <- &tunnelv1.AgentFrame{Frame: &tunnelv1.AgentFrame_Buckets{Buckets: &tunnelv1.Buckets{Groups: []*tunnelv1.GroupSums{{Table: wire.TableTo(topo.Nodes), Group: group, Sums: wire.HalvesTo(sums)}}}}}
	told := k.next().GetUnequalBuckets()
	if len(told.GetBuckets()) != 1 || int(told.GetBuckets()[0].GetBucket()) != bucket {
		t.Fatalf("unequal buckets: %v, want bucket %d", told, bucket)
	}
	rows, err := wire.RowMarksFrom(topo.Nodes, told.GetBuckets()[0].GetRows())
	if err != nil || len(rows) == 0 || rows[0] != wire.MarkOf(topo.RowHash{Key: topo.EdgeID{Source: a.Ref.ID()}, Hash: a.Hash()}) {
		t.Errorf("rows of the bucket: %v, %v", rows, err)
	}
	if last := k.next().GetUnequalBuckets(); last == nil || last.GetMore() {
		t.Errorf("the list has no end: %v", last)
	}
	k.in <- k.delta(topo.Delta{Nodes: []topo.Node{changed}}, func(d *tunnelv1.Delta) { d.Resync, d.ResyncEnd = true, true })
	k.next()
	c, err := r.store.Cluster(t.Context(), r.at)
	if err != nil || c.Freshness.State != fleet.Live {
		t.Errorf("after the comparison the cluster is %s (%v)", c.Freshness.State, err)
	}
}

func TestStoreFailureEndsTheSession(t *testing.T) {
	r := newRig(t)
	k := r.loaded(pod("a", "Running"))
	if err := r.store.DeleteCluster(t.Context(), r.at); err != nil {
		t.Fatal(err)
	}
	k.in <- k.delta(topo.Delta{Nodes: []topo.Node{pod("b", "Running")}}, nil)
	if err := k.refused(); err == nil || errors.Is(err, context.Canceled) {
		t.Errorf("a deleted cluster's session ended with %v", err)
	}
}
