package storetest

import (
	"context"
	"slices"
	"testing"
	"time"

	"github.com/kubilitics/kubilitics/hub/internal/fleet"
	"github.com/kubilitics/kubilitics/hub/internal/store"
	"github.com/kubilitics/kubilitics/shared/fault"
	"github.com/kubilitics/kubilitics/shared/topo"
)

func tenants(_ *testing.T, h *house) {
	again, err := h.Store.EnsureTenant(h.ctx, "default")
	h.must(err)
	h.equal(again.ID, h.tenant)
	other := h.newTenant("other")
	all, err := h.Store.Tenants(h.ctx)
	h.must(err)
	h.equal([]fleet.TenantID{all[0].ID, all[1].ID}, []fleet.TenantID{h.tenant, other})
	h.must(h.Store.Ping(h.ctx))
}

func clusters(_ *testing.T, h *house) {
	c := fleet.Cluster{Tenant: h.tenant, ID: fleet.NewClusterID(), Name: "prod", Labels: map[string]string{"env": "prod"}, Created: time.Unix(1_700_000_000, 0).UTC(),
		Freshness: fleet.Freshness{State: fleet.Never}}
	at := store.Scope{Tenant: h.tenant, Cluster: c.ID}
	h.must(h.Store.CreateCluster(h.ctx, c))
	got, err := h.Store.Cluster(h.ctx, at)
	h.must(err)
	h.equal(got, c)
	h.wantCode(h.Store.CreateCluster(h.ctx, fleet.Cluster{Tenant: h.tenant, ID: fleet.NewClusterID(), Name: "prod"}), fault.Conflict)
	h.wantCode(h.Store.CreateCluster(h.ctx, fleet.Cluster{Tenant: h.tenant, ID: c.ID, Name: "prod-again"}), fault.Conflict)

	second := h.newCluster(h.tenant)
	taken := "prod"
	_, err = h.Store.UpdateCluster(h.ctx, second, store.ClusterPatch{Name: &taken})
	h.wantCode(err, fault.Conflict)
	name, labels := "a-prod", map[string]string{"env": "live"}
	got, err = h.Store.UpdateCluster(h.ctx, at, store.ClusterPatch{Name: &name, Labels: &labels})
	h.must(err)
	c.Name, c.Labels = name, labels
	h.equal(got, c)
	list, err := h.Store.Clusters(h.ctx, h.tenant)
	h.must(err)
	h.equal(list[0], c)
	h.equal(len(list), 2)
	_, err = h.Store.UpdateCluster(h.ctx, store.Scope{Tenant: h.tenant, Cluster: 1}, store.ClusterPatch{Name: &name})
	h.wantCode(err, fault.NotFound)
}

func deleteAndPurge(_ *testing.T, h *house) {
	s := h.loaded(store.Delta{
		Nodes: []topo.Node{pod("a", "app", "web"), pod("b", "app", "web")},
		Edges: []topo.Edge{edge(ref("Pod", "a"), ref("Pod", "b"), "r")},
	})
	kept := h.loaded(store.Delta{Nodes: []topo.Node{pod("a", "app", "web")}})
	s.apply(store.Delta{Nodes: []topo.Node{with(pod("a"), func(n *topo.Node) { n.Status = "Failed" })}})
	cl, err := h.Store.Cluster(h.ctx, s.at)
	h.must(err)
	h.must(h.Store.DeleteCluster(h.ctx, s.at))
	h.wantCode(h.Store.DeleteCluster(h.ctx, s.at), fault.NotFound)
	_, err = h.Store.Cluster(h.ctx, s.at)
	h.wantCode(err, fault.NotFound)
	_, err = h.Store.Apply(h.ctx, store.Batch{Scope: s.at, Epoch: s.epoch, Seq: 9})
	h.wantCode(err, fault.NotFound)
	_, err = h.Store.OpenSession(h.ctx, s.at, store.Hello{KubeUID: cl.KubeUID})
	h.wantCode(err, fault.NotFound)
	h.wantCode(h.Store.Renew(h.ctx, s.at, 0, store.Certificate{Scope: s.at, Generation: 1}), fault.NotFound)
	h.equal(len(h.nodes(store.Filter{})), 1)

	// The name is free again, also before the rows are gone.
	h.must(h.Store.CreateCluster(h.ctx, fleet.Cluster{Tenant: h.tenant, ID: fleet.NewClusterID(), Name: cl.Name}))
	rounds := 0
	for more := true; more; rounds++ {
		more, err = h.Store.Purge(h.ctx, 2)
		h.must(err)
	}
	if rounds < 3 {
		h.Fatalf("purged in %d rounds of two rows", rounds)
	}
	h.equal(h.nodes(store.Filter{}), []topo.Node{pod("a", "app", "web")})
	h.equal(len(h.nodes(store.Filter{Labels: []store.Requirement{{Key: "app", Op: store.Exists}}})), 1)
	kept.apply(store.Delta{GoneNodes: []topo.ID{ref("Pod", "a").ID()}})
}

// isolation: ids of one tenant mean nothing to another.
func isolation(_ *testing.T, h *house) {
	s := h.loaded(store.Delta{Nodes: []topo.Node{pod("a", "app", "web")}, Manifests: []topo.Manifest{{Ref: ref("Pod", "a"), Body: []byte("x")}}})
	other := h.newTenant("other")
	foreign := store.Scope{Tenant: other, Cluster: s.at.Cluster}
	_, err := h.Store.Cluster(h.ctx, foreign)
	h.wantCode(err, fault.NotFound)
	h.wantCode(h.Store.DeleteCluster(h.ctx, foreign), fault.NotFound)
	_, err = h.Store.Apply(h.ctx, store.Batch{Scope: foreign, Epoch: s.epoch, Seq: 5})
	h.wantCode(err, fault.NotFound)
	_, err = h.Store.Digest(h.ctx, foreign, topo.Nodes)
	h.wantCode(err, fault.NotFound)
	_, err = h.Store.Identity(h.ctx, foreign)
	h.wantCode(err, fault.NotFound)
	h.must(h.Store.Read(h.ctx, other, func(ctx context.Context, snap store.Snapshot) error {
		rows, err := snap.Resources(ctx, store.Filter{View: fleet.View{Tenant: other, Everything: true}}, nil, 10)
		h.equal(len(rows), 0)
		h.must(err)
		_, err = snap.Resources(ctx, store.Filter{View: h.everything()}, nil, 10)
		h.wantCode(err, fault.Forbidden)
		_, err = snap.Nodes(ctx, s.at, []topo.ID{ref("Pod", "a").ID()})
		h.wantCode(err, fault.Forbidden)
		_, err = snap.Manifest(ctx, foreign, ref("Pod", "a").ID())
		h.wantCode(err, fault.NotFound)
		rows, err = snap.Nodes(ctx, foreign, []topo.ID{ref("Pod", "a").ID()})
		h.equal(len(rows), 0)
		return err
	}))
	entries, err := h.Store.Entries(h.ctx, other, 0, 10)
	h.must(err)
	h.equal(len(entries), 0)
	list, err := h.Store.Clusters(h.ctx, other)
	h.must(err)
	h.equal(len(list), 0)
}

func (h *house) joinToken(at store.Scope, id string) store.JoinToken {
	h.Helper()
	t := store.JoinToken{ID: id, Scope: at, SecretHash: []byte{1, 2}, Expires: time.Now().Add(time.Hour).UTC().Truncate(time.Microsecond),
		Created: time.Now().UTC().Truncate(time.Microsecond), CreatedBy: "me"}
	h.must(h.Store.PutJoinToken(h.ctx, t))
	return t
}

func enrol(_ *testing.T, h *house) {
	at := h.newCluster(h.tenant)
	t := h.joinToken(at, "t1")
	got, err := h.Store.JoinToken(h.ctx, "t1")
	h.must(err)
	h.equal(got, t)
	_, err = h.Store.JoinToken(h.ctx, "nobody's")
	h.wantCode(err, fault.NotFound)
	_, err = h.Store.Identity(h.ctx, at)
	h.wantCode(err, fault.NotFound)

	id := store.Identity{KubeUID: "kube-1", IdentityKey: []byte{9}}
	cert := store.Certificate{Serial: "01", Scope: at, Generation: 1, NotAfter: time.Now().Add(time.Hour), Created: time.Now()}
	h.must(h.Store.Enrol(h.ctx, "t1", []byte("key"), id, cert))
	h.must(h.Store.Enrol(h.ctx, "t1", []byte("key"), id, cert)) // its answer was lost
	h.wantCode(h.Store.Enrol(h.ctx, "t1", []byte("thief"), id, cert), fault.Conflict)
	bound, err := h.Store.Identity(h.ctx, at)
	h.must(err)
	h.equal(bound, id)
	cl, err := h.Store.Cluster(h.ctx, at)
	h.must(err)
	h.equal(cl.Generation, int64(1))

	h.joinToken(at, "t2")
	h.wantCode(h.Store.Enrol(h.ctx, "t2", []byte("key2"), store.Identity{KubeUID: "kube-2"}, cert), fault.Conflict)
	second := h.newCluster(h.tenant)
	h.joinToken(second, "t3")
	h.wantCode(h.Store.Enrol(h.ctx, "t3", []byte("key3"), id, store.Certificate{Serial: "02", Scope: second, Generation: 1}), fault.Conflict)
	h.wantCode(h.Store.Enrol(h.ctx, "t3", []byte("key3"), store.Identity{KubeUID: "kube-3"}, cert), fault.BadRequest)
	h.must(h.Store.PutJoinToken(h.ctx, store.JoinToken{ID: "old", Scope: second, SecretHash: []byte{1}, Expires: time.Now().Add(-time.Second), Created: time.Now()}))
	h.wantCode(h.Store.Enrol(h.ctx, "old", []byte("key3"), store.Identity{KubeUID: "kube-3"}, store.Certificate{Serial: "03", Scope: second}), fault.Unauthorized)
	h.wantCode(h.Store.PutJoinToken(h.ctx, store.JoinToken{ID: "old", Scope: second, SecretHash: []byte{1}, Expires: time.Now(), Created: time.Now()}), fault.Conflict)
	_, err = h.Store.JoinToken(h.ctx, "t3")
	h.wantCode(err, fault.NotFound) // another was made after it
	for _, kept := range []string{"t1", "t2", "old"} {
		_, err = h.Store.JoinToken(h.ctx, kept) // used; another cluster's; the newest
		h.must(err)
	}
	h.wantCode(h.Store.PutJoinToken(h.ctx, store.JoinToken{ID: "t4", Scope: store.Scope{Tenant: h.tenant, Cluster: 5}}), fault.NotFound)
}

func renew(_ *testing.T, h *house) {
	at := h.newCluster(h.tenant)
	h.joinToken(at, "t1")
	cert := func(serial string, generation int64) store.Certificate {
		return store.Certificate{Serial: serial, Scope: at, Generation: generation, NotAfter: time.Now().Add(time.Hour), Created: time.Now()}
	}
	h.must(h.Store.Enrol(h.ctx, "t1", []byte("k"), store.Identity{KubeUID: "u", IdentityKey: []byte{1}}, cert("01", 1)))
	h.must(h.Store.Renew(h.ctx, at, 1, cert("02", 2)))
	h.must(h.Store.Renew(h.ctx, at, 1, cert("02", 2))) // repeated
	h.wantCode(h.Store.Renew(h.ctx, at, 1, cert("03", 2)), fault.Conflict)
	h.wantCode(h.Store.Renew(h.ctx, at, 2, cert("04", 2)), fault.BadRequest)
	h.must(h.Store.Renew(h.ctx, at, 2, cert("05", 3)))
}

func tokens(_ *testing.T, h *house) {
	t := store.Token{ID: "k1", Tenant: h.tenant, Name: "ci", Groups: []string{"dev"}, SecretHash: []byte{1},
		Bindings: []fleet.Binding{{Verbs: []string{"get"}, Clusters: []string{"*"}, Namespaces: []string{"shop"}}},
		Created:  time.Unix(1_700_000_000, 0).UTC(), CreatedBy: "admin"}
	h.must(h.Store.PutToken(h.ctx, t))
	h.wantCode(h.Store.PutToken(h.ctx, t), fault.Conflict)
	got, err := h.Store.Token(h.ctx, "k1")
	h.must(err)
	h.equal(got, t)
	used := time.Unix(1_700_000_100, 0).UTC()
	h.must(h.Store.TouchToken(h.ctx, "k1", used))
	t.LastUsed = used
	list, err := h.Store.Tokens(h.ctx, h.tenant)
	h.must(err)
	h.equal(list, []store.Token{t})
	h.wantCode(h.Store.DeleteToken(h.ctx, h.newTenant("other"), "k1"), fault.NotFound)
	h.must(h.Store.DeleteToken(h.ctx, h.tenant, "k1"))
	_, err = h.Store.Token(h.ctx, "k1")
	h.wantCode(err, fault.NotFound)
}

func sessions(_ *testing.T, h *house) {
	at := h.newCluster(h.tenant)
	s := h.open(at)
	h.equal(s.epoch, int64(1))
	cl, err := h.Store.Cluster(h.ctx, at)
	h.must(err)
	h.equal([]string{cl.Version, cl.Provider, cl.Agent, cl.KubeUID}, []string{"v1.37.2", "kwok", "v0", "uid-" + at.Cluster.String()})
	_, err = h.Store.OpenSession(h.ctx, at, store.Hello{KubeUID: "another"})
	h.wantCode(err, fault.Conflict)
	h.wantCode(h.Store.MarkLive(h.ctx, at, 1), fault.Conflict) // nothing loaded yet
	s.load(store.Delta{})
	next := h.open(at)
	h.equal(next.epoch, int64(2))
	h.wantCode(h.Store.MarkLive(h.ctx, at, 1), fault.Conflict)
	h.must(h.Store.MarkLive(h.ctx, at, 2))
	h.must(h.Store.CloseSession(h.ctx, at, 1, time.Now().Add(time.Hour)))
	h.equal(h.state(at).State, fleet.Live)
	_, err = h.Store.OpenSession(h.ctx, store.Scope{Tenant: h.tenant, Cluster: 4}, store.Hello{})
	h.wantCode(err, fault.NotFound)
}

func (h *house) state(at store.Scope) fleet.Freshness {
	h.Helper()
	cl, err := h.Store.Cluster(h.ctx, at)
	h.must(err)
	return cl.Freshness
}

func freshness(_ *testing.T, h *house) {
	s := h.loaded(store.Delta{})
	h.equal(h.state(s.at).State, fleet.Never)
	h.must(h.Store.MarkLive(h.ctx, s.at, s.epoch))
	live := h.state(s.at)
	h.equal(live.State, fleet.Live)
	h.must(h.Store.MarkLive(h.ctx, s.at, s.epoch))
	h.equal(h.state(s.at), live)

	heard := live.Since.Add(time.Second)
	h.must(h.Store.MarkHeard(h.ctx, []store.Heard{{Scope: s.at, Epoch: s.epoch + 1, At: heard.Add(time.Hour)}, {Scope: s.at, Epoch: s.epoch, At: heard}}))
	h.equal(h.state(s.at).LastHeard, heard)
	n, err := h.Store.ExpireSessions(h.ctx, heard)
	h.must(err)
	h.equal(n, 0)
	n, err = h.Store.ExpireSessions(h.ctx, heard.Add(time.Microsecond))
	h.must(err)
	h.equal(n, 1)
	h.equal(h.state(s.at), fleet.Freshness{State: fleet.Stale, Since: heard, LastHeard: heard})
	n, err = h.Store.ExpireSessions(h.ctx, heard.Add(time.Hour))
	h.must(err)
	h.equal(n, 0)

	// A live session that another supersedes is no longer live, until the other says so.
	s = h.open(s.at)
	h.must(h.Store.MarkLive(h.ctx, s.at, s.epoch))
	s = h.open(s.at)
	h.equal(h.state(s.at).State, fleet.Stale)
	h.must(h.Store.MarkLive(h.ctx, s.at, s.epoch))
	last := h.state(s.at).Since.Add(time.Minute)
	h.must(h.Store.CloseSession(h.ctx, s.at, s.epoch, last))
	h.equal(h.state(s.at), fleet.Freshness{State: fleet.Stale, Since: last, LastHeard: last})
}

func share(_ *testing.T, h *house) {
	s := h.loaded(store.Delta{Nodes: []topo.Node{pod("a")}, Manifests: []topo.Manifest{{Ref: ref("Pod", "a"), Hash: topo.ID{1}, Body: []byte("x")}}})
	s.apply(store.Delta{Manifests: []topo.Manifest{{Ref: ref("Pod", "a"), Hash: topo.ID{2}, Body: []byte("y")}}})
	cl, err := h.Store.Cluster(h.ctx, s.at)
	h.must(err)
	_, err = h.Store.OpenSession(h.ctx, s.at, store.Hello{KubeUID: cl.KubeUID, Share: fleet.ShareTopology})
	h.must(err)
	d, err := h.Store.Digest(h.ctx, s.at, topo.Manifests)
	h.must(err)
	h.equal(*d, topo.Digest{})
	h.read(func(snap store.Snapshot) error {
		_, err := snap.Manifest(h.ctx, s.at, ref("Pod", "a").ID())
		h.wantCode(err, fault.NotFound)
		return nil
	})
	h.equal(h.count("manifests_history"), 0)
}

func kinds(_ *testing.T, h *house) {
	s := h.open(h.newCluster(h.tenant))
	reports := []topo.KindReport{
		{GroupKind: topo.GroupKind{Kind: "Pod"}, Version: "v1", Plural: "pods", Namespaced: true, Observed: true},
		{GroupKind: topo.GroupKind{Group: "apps", Kind: "Deployment"}, Version: "v1", Plural: "deployments", Namespaced: true, Reason: "forbidden"},
	}
	h.must(h.Store.PutKinds(h.ctx, s.at, s.epoch, reports))
	got, err := h.Store.Kinds(h.ctx, s.at)
	h.must(err)
	h.equal(got, reports)
	h.must(h.Store.PutKinds(h.ctx, s.at, s.epoch, reports[:1]))
	got, err = h.Store.Kinds(h.ctx, s.at)
	h.must(err)
	h.equal(got, reports[:1])
	h.wantCode(h.Store.PutKinds(h.ctx, s.at, s.epoch-1, nil), fault.Conflict)
}

// fleetKinds: reports that are alike are one, with their number; of clusters that are asked for, not deleted, and of this tenant.
func fleetKinds(_ *testing.T, h *house) {
	pods := topo.KindReport{GroupKind: topo.GroupKind{Kind: "Pod"}, Version: "v1", Plural: "pods", Namespaced: true, Observed: true}
	hidden := pods
	hidden.Observed, hidden.Reason = false, "forbidden"
	var all []*session
	for _, r := range []topo.KindReport{pods, pods, hidden, pods} {
		s := h.open(h.newCluster(h.tenant))
		h.must(h.Store.PutKinds(h.ctx, s.at, s.epoch, []topo.KindReport{r}))
		all = append(all, s)
	}
	foreign := h.open(h.newCluster(h.newTenant("other")))
	h.must(h.Store.PutKinds(h.ctx, foreign.at, foreign.epoch, []topo.KindReport{pods}))
	h.must(h.Store.DeleteCluster(h.ctx, all[3].at))
	use := func(observed bool, n int) store.KindUse {
		return store.KindUse{GroupKind: pods.GroupKind, Version: "v1", Plural: "pods", Namespaced: true, Observed: observed, Clusters: n}
	}
	got, err := h.Store.FleetKinds(h.ctx, h.tenant, nil)
	h.must(err)
	h.equal(got, []store.KindUse{use(false, 1), use(true, 2)})
	got, err = h.Store.FleetKinds(h.ctx, h.tenant, []fleet.ClusterID{all[0].at.Cluster, all[3].at.Cluster, foreign.at.Cluster})
	h.must(err)
	h.equal(got, []store.KindUse{use(true, 1)})
}

// retold: the feed tells what has another manifest but for nodes that it tells of anyway, and manifests are read many at once, as they are and were.
func retold(_ *testing.T, h *house) {
	s := h.loaded(store.Delta{Nodes: []topo.Node{pod("a"), pod("b")}, Manifests: []topo.Manifest{manifest("a", "1")}})
	before := s.apply(store.Delta{Nodes: []topo.Node{pod("c")}, Manifests: []topo.Manifest{manifest("c", "1")}})
	after := s.apply(store.Delta{Manifests: []topo.Manifest{manifest("a", "2"), manifest("b", "1"), manifest("c", "1")}})
	entries, err := h.Store.Entries(h.ctx, h.tenant, before.Position-1, 10)
	h.must(err)
	h.equal([]any{len(entries), len(entries[0].Texts), len(entries[1].Diff.Nodes)}, []any{2, 0, 0})
	slices.SortFunc(entries[1].Texts, topo.Ref.Compare)
	h.equal(entries[1].Texts, []topo.Ref{ref("Pod", "a"), ref("Pod", "b")})
	ids := []topo.ID{ref("Pod", "a").ID(), ref("Pod", "b").ID(), ref("Pod", "none").ID()}
	for at, want := range map[topo.Position]map[topo.ID][]byte{
		before.Position: {ids[0]: manifest("a", "1").Body}, after.Position: {ids[0]: manifest("a", "2").Body, ids[1]: manifest("b", "1").Body},
	} {
		h.must(h.Store.ReadAt(h.ctx, h.tenant, store.When{Position: at}, func(ctx context.Context, snap store.Snapshot) error {
			got, err := snap.Bodies(ctx, s.at, ids)
			h.equal(got, want)
			return err
		}))
	}
	h.must(h.Store.Read(h.ctx, h.tenant, func(ctx context.Context, snap store.Snapshot) error {
		_, err := snap.Bodies(ctx, store.Scope{Tenant: h.newTenant("other"), Cluster: s.at.Cluster}, ids)
		h.wantCode(err, fault.Forbidden)
		return nil
	}))
}
