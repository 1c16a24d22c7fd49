// Package querytest fills stores with a small, well-known cluster for tests of what reads them.
package querytest

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/klauspost/compress/zstd"

	"github.com/kubilitics/kubilitics/hub/internal/fleet"
	"github.com/kubilitics/kubilitics/hub/internal/store"
	"github.com/kubilitics/kubilitics/shared/topo"
)

// Ref reads "Kind.group namespace/name" or "Kind.group name".
func Ref(text string) topo.Ref {
	kind, name, _ := strings.Cut(text, " ")
	var r topo.Ref
	r.Kind, r.Group, _ = strings.Cut(kind, ".")
	if space, rest, ok := strings.Cut(name, "/"); ok {
		r.Namespace, name = space, rest
	}
	r.Name = name
	return r
}

// Node is a healthy, present node of that name, with labels "k=v".
func Node(ref string, labels ...string) topo.Node {
	n := topo.Node{Ref: Ref(ref), UID: "uid-" + ref, Version: "v1", Created: 1_700_000_000, Health: topo.OK, Status: "Active"}
	slices.Sort(labels)
	for _, l := range labels {
		k, v, _ := strings.Cut(l, "=")
		n.Labels = append(n.Labels, topo.Pair{Key: k, Value: v})
	}
	return n
}

// Missing is the place of an object that isn't there.
func Missing(ref string) topo.Node { return topo.Node{Ref: Ref(ref), Presence: topo.Missing} }

// Edge is an edge between two names.
func Edge(source string, t topo.EdgeType, target string) topo.Edge {
	return topo.Edge{Source: Ref(source), Target: Ref(target), Type: t, Rule: "test-" + string(t), Path: "spec"}
}

// Manifest is the text of an object, as an agent sends it.
func Manifest(ref, text string) topo.Manifest {
	z, err := zstd.NewWriter(nil)
	if err != nil {
		panic(err) // the options are constants
	}
	return topo.Manifest{Ref: Ref(ref), Hash: topo.Ref{Name: text}.ID(), Body: z.EncodeAll([]byte(text), nil)}
}

// Shop is a cluster with two namespaces: shop, whose Deployment web has two Pods, one naming a ConfigMap that doesn't exist; and
// bank, whose ServiceAccount a RoleBinding of shop names.
func Shop() topo.Delta {
	failing := Node("Pod shop/web-b", "app=web", "tier=front")
	failing.Health, failing.Status = topo.Error, "CreateContainerConfigError"
	unsure := Node("Pod bank/vault", "app=vault")
	unsure.Health = topo.Unknown
	return topo.Delta{
		Nodes: []topo.Node{
			Node("Namespace shop"), Node("Namespace bank"), Node("Node n1"),
			Node("Deployment.apps shop/web", "app=web"), Node("ReplicaSet.apps shop/web-1", "app=web"),
			Node("Pod shop/web-a", "app=web", "tier=front"), failing, Node("Service shop/web", "app=web"), Node("ConfigMap shop/web"),
			Missing("ConfigMap shop/absent"), unsure, Node("ServiceAccount bank/robot"), Node("RoleBinding.rbac.authorization.k8s.io shop/robots"),
		},
		Edges: []topo.Edge{
			Edge("Deployment.apps shop/web", topo.Owns, "ReplicaSet.apps shop/web-1"),
			Edge("ReplicaSet.apps shop/web-1", topo.Owns, "Pod shop/web-a"), Edge("ReplicaSet.apps shop/web-1", topo.Owns, "Pod shop/web-b"),
			Edge("Service shop/web", topo.Selects, "Pod shop/web-a"), Edge("Service shop/web", topo.Selects, "Pod shop/web-b"),
			Edge("Pod shop/web-a", topo.RunsOn, "Node n1"), Edge("Pod bank/vault", topo.RunsOn, "Node n1"),
			Edge("Pod shop/web-a", topo.Mounts, "ConfigMap shop/web"), Edge("Pod shop/web-b", topo.Mounts, "ConfigMap shop/absent"),
			Edge("RoleBinding.rbac.authorization.k8s.io shop/robots", topo.Grants, "ServiceAccount bank/robot"),
		},
		Manifests: []topo.Manifest{Manifest("ConfigMap shop/web", `{"kind":"ConfigMap","metadata":{"name":"web"},"data":{"color":"blue"}}`)},
		Events: []topo.Event{
			{UID: "e1", Namespace: "shop", Name: "web-b.1", Regarding: Ref("Pod shop/web-b"), Type: "Warning", Reason: "Failed", Message: `configmap "absent" not found`, Count: 7, First: 1_700_000_000, Last: 1_700_000_300},
			{UID: "e2", Namespace: "shop", Name: "web-a.1", Regarding: Ref("Pod shop/web-a"), Type: "Normal", Reason: "Started", Message: "started", Count: 1, First: 1_700_000_100, Last: 1_700_000_100},
			{UID: "e3", Namespace: "bank", Name: "vault.1", Regarding: Ref("Pod bank/vault"), Type: "Normal", Reason: "Started", Message: "started", Count: 1, First: 1_700_000_200, Last: 1_700_000_200},
		},
	}
}

// Cluster is a cluster of a test, and the session that writes it.
type Cluster struct {
	Scope store.Scope
	ID    fleet.ClusterID
	t     testing.TB
	store store.Store
	epoch int64
	seq   int64
}

// New makes a cluster without any rows, whose agent never came.
func New(t testing.TB, s store.Store, tenant fleet.TenantID, name string) *Cluster {
	t.Helper()
	c := &Cluster{ID: fleet.NewClusterID(), t: t, store: s}
	c.Scope = store.Scope{Tenant: tenant, Cluster: c.ID}
	c.must(s.CreateCluster(t.Context(), fleet.Cluster{Tenant: tenant, ID: c.ID, Name: name, Created: time.Now()}))
	return c
}

// Load opens a session and loads rows as a first contact does; the cluster is live then.
func (c *Cluster) Load(d topo.Delta) *Cluster {
	c.t.Helper()
	ctx := c.t.Context()
	c.must(c.store.Enrol(ctx, c.joinToken(), []byte("key"), store.Identity{KubeUID: c.kubeUID(), IdentityKey: []byte("key")},
		store.Certificate{Serial: c.ID.String(), Scope: c.Scope, Generation: 1, NotAfter: time.Now().Add(time.Hour), Created: time.Now()}))
	opened, err := c.store.OpenSession(ctx, c.Scope, store.Hello{
		Instance: "i", Agent: "v0.1.0", Version: "v1.37.2", Provider: "kwok", Share: fleet.ShareManifests, KubeUID: c.kubeUID(),
	})
	c.must(err)
	c.epoch = opened.Epoch
	load, err := c.store.BeginLoad(ctx, c.Scope, c.epoch)
	c.must(err)
	_, err = load.Add(ctx, d)
	c.must(err)
	c.seq = 1
	_, err = load.Commit(ctx, c.seq, topo.Delta{})
	c.must(err)
	c.must(c.store.MarkLive(ctx, c.Scope, c.epoch))
	return c
}

func (c *Cluster) kubeUID() string { return "uid-of-" + c.ID.String() }

func (c *Cluster) joinToken() string {
	id := "join-" + c.ID.String()
	c.must(c.store.PutJoinToken(c.t.Context(), store.JoinToken{
		ID: id, Scope: c.Scope, SecretHash: []byte("x"), Expires: time.Now().Add(time.Hour), Created: time.Now(), CreatedBy: "test",
	}))
	return id
}

// Apply writes a delta, and gives its position.
func (c *Cluster) Apply(d topo.Delta) topo.Position {
	c.t.Helper()
	c.seq++
	a, err := c.store.Apply(c.t.Context(), store.Batch{Scope: c.Scope, Epoch: c.epoch, Seq: c.seq, Delta: d})
	c.must(err)
	return a.Position
}

// ApplyLate writes what a resync found, after a gap that began then.
func (c *Cluster) ApplyLate(gapSince time.Time, d topo.Delta) topo.Position {
	c.t.Helper()
	c.seq++
	a, err := c.store.Apply(c.t.Context(), store.Batch{Scope: c.Scope, Epoch: c.epoch, Seq: c.seq, Delta: d, GapSince: gapSince})
	c.must(err)
	return a.Position
}

// Kinds reports kinds, as an agent does.
func (c *Cluster) Kinds(kinds ...topo.KindReport) {
	c.t.Helper()
	c.must(c.store.PutKinds(c.t.Context(), c.Scope, c.epoch, kinds))
}

// Leave ends the session: the cluster is stale.
func (c *Cluster) Leave() {
	c.t.Helper()
	c.must(c.store.CloseSession(c.t.Context(), c.Scope, c.epoch, time.Now()))
}

func (c *Cluster) must(err error) {
	c.t.Helper()
	if err != nil {
		c.t.Fatal(err)
	}
}
