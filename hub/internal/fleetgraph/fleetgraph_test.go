package fleetgraph

import (
	"context"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"
	"go.uber.org/zap"

	"github.com/kubilitics/kubilitics/hub/internal/fleet"
	"github.com/kubilitics/kubilitics/hub/internal/query/querytest"
	"github.com/kubilitics/kubilitics/hub/internal/store"
	"github.com/kubilitics/kubilitics/hub/internal/store/sqlite"
	"github.com/kubilitics/kubilitics/shared/topo"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const (
	shop  = "Host.kubilitics.io shop.example.com"
	blog  = "Host.kubilitics.io blog.example.com"
	nginx = "Image.kubilitics.io nginx@sha256:00"
)

// rig is a store with a keeper on it.
type rig struct {
	*testing.T
	store.Store
	keeper *Keeper
	names  map[fleet.ClusterID]string
}

func newRig(t *testing.T) *rig {
	st, err := sqlite.Open(t.Context(), sqlite.Config{Path: filepath.Join(t.TempDir(), "hub.db"), Migrate: true})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = st.Close() })
	return &rig{T: t, Store: st, keeper: New(st, zap.NewNop()), names: map[fleet.ClusterID]string{}}
}

func (r *rig) tenant(slug string) fleet.TenantID {
	tenant, err := r.EnsureTenant(r.Context(), slug)
	if err != nil {
		r.Fatal(err)
	}
	return tenant.ID
}

func (r *rig) cluster(tenant fleet.TenantID, name string, shared ...string) *querytest.Cluster {
	d := topo.Delta{Nodes: []topo.Node{querytest.Node("Pod shop/" + name)}}
	for _, s := range shared {
		d.Nodes = append(d.Nodes, querytest.Node(s))
	}
	c := querytest.New(r, r.Store, tenant, name).Load(d)
	r.names[c.ID] = name
	return c
}

// level steps until there is nothing to do.
func (r *rig) level(tenant fleet.TenantID) {
	r.Helper()
	for {
		more, err := r.keeper.Step(r.Context(), tenant)
		if err != nil {
			r.Fatal(err)
		}
		if !more {
			return
		}
	}
}

// shared says what is shared: "shop.example.com: a b, …".
func (r *rig) shared(view fleet.View) string {
	r.Helper()
	var words []string
	err := r.Read(r.Context(), view.Tenant, func(ctx context.Context, s store.Snapshot) error {
		found, err := s.Shared(ctx, view, nil, nil, nil, 100)
		for _, x := range found {
			var names []string
			for _, c := range x.Clusters {
				names = append(names, r.names[c])
			}
			slices.Sort(names)
			words = append(words, x.Ref.Name+": "+strings.Join(names, " "))
		}
		return err
	})
	if err != nil {
		r.Fatal(err)
	}
	return strings.Join(words, ", ")
}

func (r *rig) want(view fleet.View, want string) {
	r.Helper()
	r.level(view.Tenant)
	if got := r.shared(view); got != want {
		r.Errorf("shared is %q, want %q", got, want)
	}
}

func all(tenant fleet.TenantID) fleet.View { return fleet.View{Tenant: tenant, Everything: true} }

func TestSharedFollowsTheFeed(t *testing.T) {
	r := newRig(t)
	tenant := r.tenant("default")
	a := r.cluster(tenant, "a", shop, nginx)
	r.want(all(tenant), "")
	b := r.cluster(tenant, "b", shop)
	r.want(all(tenant), "shop.example.com: a b")
	c := r.cluster(tenant, "c", blog)
	c.Apply(topo.Delta{Nodes: []topo.Node{querytest.Node(nginx), querytest.Node(shop)}})
	r.want(all(tenant), "shop.example.com: a b c, nginx@sha256:00: a c")
	b.Apply(topo.Delta{GoneNodes: []topo.ID{querytest.Ref(shop).ID()}})
	c.Apply(topo.Delta{GoneNodes: []topo.ID{querytest.Ref(shop).ID()}})
	r.want(all(tenant), "nginx@sha256:00: a c")
	if err := r.DeleteCluster(t.Context(), a.Scope); err != nil {
		t.Fatal(err)
	}
	r.want(all(tenant), "")
}

// What two tenants have is no edge, and what one cluster's viewer may not see doesn't tell of itself.
func TestSharedKeepsToTenantsAndViews(t *testing.T) {
	r := newRig(t)
	one, other := r.tenant("one"), r.tenant("other")
	a := r.cluster(one, "a", shop)
	r.cluster(other, "x", shop)
	r.want(all(one), "")
	r.want(all(other), "")
	b := r.cluster(one, "b", shop)
	c := r.cluster(one, "c", shop)
	r.want(all(one), "shop.example.com: a b c")
	r.want(fleet.View{Tenant: one, Clusters: map[fleet.ClusterID][]string{a.ID: nil, b.ID: nil}}, "shop.example.com: a b")
	r.want(fleet.View{Tenant: one, Clusters: map[fleet.ClusterID][]string{a.ID: nil, c.ID: {"shop"}}}, "")
}

// A keeper that comes late, or finds the feed trimmed, begins from the nodes themselves.
func TestSharedIsRebuilt(t *testing.T) {
	r := newRig(t)
	tenant := r.tenant("default")
	a := r.cluster(tenant, "a", shop, blog)
	r.cluster(tenant, "b", shop)
	c := r.cluster(tenant, "c", blog)
	r.want(all(tenant), "blog.example.com: a c, shop.example.com: a b")
	a.Apply(topo.Delta{GoneNodes: []topo.ID{querytest.Ref(blog).ID()}})
	c.Apply(topo.Delta{Nodes: []topo.Node{querytest.Node(shop)}})
	if _, err := r.Trim(t.Context(), store.Keep{Feed: -time.Hour, History: time.Hour, Events: time.Hour}, 1000); err != nil {
		t.Fatal(err)
	}
	r.want(all(tenant), "shop.example.com: a b c")
}

// Two replicas follow the same feed; whoever is second is told, and nothing is written twice.
func TestTwoKeepers(t *testing.T) {
	r := newRig(t)
	tenant := r.tenant("default")
	a := r.cluster(tenant, "a", shop)
	r.cluster(tenant, "b", shop)
	r.level(tenant)
	for i := range 20 {
		a.Apply(topo.Delta{Nodes: []topo.Node{querytest.Node(fmt.Sprint("Pod shop/p", i))}})
	}
	from, _, err := r.FleetPosition(t.Context(), tenant)
	if err != nil {
		t.Fatal(err)
	}
	r.level(tenant)
	if err := r.ApplyFleet(t.Context(), tenant, from, from+1, []store.FleetChange{{Cluster: a.ID, Ref: querytest.Ref(blog), At: from + 1}}); err == nil {
		t.Error("a keeper that was overtaken has written")
	}
	r.want(all(tenant), "shop.example.com: a b")
}
