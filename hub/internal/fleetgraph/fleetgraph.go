// Package fleetgraph ties clusters together. Some nodes have the same Ref wherever they are: a host name, an image by its digest, a Git source, a
// service exported to a cluster set. Which clusters have which of them are the rows of fleet scope; two clusters with the same one have an edge.
// The rows are kept up from each tenant's own feed, and so never across tenants: a change costs what it touches.
package fleetgraph

import (
	"context"
	"slices"

	"go.uber.org/zap"

	"github.com/kubilitics/kubilitics/hub/internal/fleet"
	"github.com/kubilitics/kubilitics/hub/internal/follow"
	"github.com/kubilitics/kubilitics/hub/internal/store"
	"github.com/kubilitics/kubilitics/shared/fault"
	"github.com/kubilitics/kubilitics/shared/rules"
	"github.com/kubilitics/kubilitics/shared/topo"
)

// Kinds are the kinds whose nodes tie clusters together.
var Kinds = []topo.GroupKind{
	{Group: rules.OwnGroup, Kind: "ClusterSetService"}, {Group: rules.OwnGroup, Kind: "GitSource"},
	{Group: rules.OwnGroup, Kind: "Host"}, {Group: rules.OwnGroup, Kind: "Image"},
}

func shared(ref topo.Ref) bool { return slices.Contains(Kinds, ref.GroupKind()) }

const (
	page     = 256  // entries of the feed a step
	nodePage = 5000 // nodes a query
)

// Store is what the rows are made from and kept in.
type Store interface {
	follow.Store
	store.FleetGraph
	Read(ctx context.Context, tenant fleet.TenantID, fn func(context.Context, store.Snapshot) error) error
	Entries(ctx context.Context, tenant fleet.TenantID, after topo.Position, limit int) ([]store.Entry, error)
}

// Keeper keeps the rows.
type Keeper struct {
	store Store
	log   *zap.Logger
}

// New makes a Keeper.
func New(s Store, log *zap.Logger) *Keeper { return &Keeper{store: s, log: log} }

// Run follows the feeds until ctx ends.
func (k *Keeper) Run(ctx context.Context) error {
	return follow.Run(ctx, k.store, "what clusters share", k.Step, k.log)
}

// Step takes some entries of a tenant's feed; more tells that there may be others. It begins anew from the nodes themselves where the feed can't be
// followed: the first time, and after it was trimmed unread.
func (k *Keeper) Step(ctx context.Context, tenant fleet.TenantID) (more bool, err error) {
	from, ok, err := k.store.FleetPosition(ctx, tenant)
	if err != nil {
		return false, err
	}
	if !ok {
		return true, k.rebuild(ctx, tenant, 0)
	}
	entries, err := k.store.Entries(ctx, tenant, from, page)
	if fault.Is(err, fault.Gone) {
		return true, k.rebuild(ctx, tenant, from)
	}
	if err != nil || len(entries) == 0 {
		return false, err
	}
	var changes []store.FleetChange
	for i := range entries {
		some, err := k.entry(ctx, tenant, &entries[i])
		if err != nil {
			return false, err
		}
		changes = append(changes, some...)
	}
	return len(entries) == page, k.store.ApplyFleet(ctx, tenant, from, entries[len(entries)-1].Position, changes)
}

// entry gives what an entry changes. A cluster that was loaded is read as it is by now, and one that was deleted has nothing: what comes of either is
// written at once, since later entries change it again in the same direction.
func (k *Keeper) entry(ctx context.Context, tenant fleet.TenantID, e *store.Entry) (changes []store.FleetChange, err error) {
	at := store.Scope{Tenant: tenant, Cluster: e.Cluster}
	switch e.Kind {
	case store.EntryLoaded:
		return nil, k.replace(ctx, at, e.Position)
	case store.EntryDeleted:
		return nil, k.store.ReplaceFleet(ctx, at, e.Position, nil)
	}
	for _, n := range e.Diff.Nodes {
		if shared(n.Node.Ref) && n.Op != topo.Update {
			changes = append(changes, store.FleetChange{Cluster: e.Cluster, Ref: n.Node.Ref, Gone: n.Op == topo.Remove, At: e.Position})
		}
	}
	return changes, nil
}

func (k *Keeper) replace(ctx context.Context, at store.Scope, since topo.Position) error {
	var refs []topo.Ref
	err := k.store.Read(ctx, at.Tenant, func(ctx context.Context, s store.Snapshot) error {
		var err error
		refs, err = nodes(ctx, s, at)
		return err
	})
	if err != nil {
		return err
	}
	return k.store.ReplaceFleet(ctx, at, since, refs)
}

func nodes(ctx context.Context, s store.Snapshot, at store.Scope) (refs []topo.Ref, err error) {
	f := store.Filter{View: fleet.View{Tenant: at.Tenant, Everything: true}, Clusters: []fleet.ClusterID{at.Cluster}, Kinds: Kinds}
	var after *store.Key
	for {
		rows, err := s.Resources(ctx, f, after, nodePage)
		if err != nil {
			return nil, err
		}
		for i := range rows {
			refs = append(refs, rows[i].Node.Ref)
		}
		if len(rows) < nodePage {
			return refs, nil
		}
		after = &store.Key{Ref: rows[len(rows)-1].Node.Ref, Cluster: at.Cluster}
	}
}

// rebuild makes the rows say what the clusters have now, and goes on from there.
func (k *Keeper) rebuild(ctx context.Context, tenant fleet.TenantID, from topo.Position) error {
	var clusters []fleet.Cluster
	var now topo.Position
	err := k.store.Read(ctx, tenant, func(ctx context.Context, s store.Snapshot) (err error) {
		now = s.Position()
		clusters, err = s.Clusters(ctx)
		return err
	})
	if err != nil {
		return err
	}
	for _, c := range clusters {
		if err := k.replace(ctx, store.Scope{Tenant: tenant, Cluster: c.ID}, now); err != nil {
			return err
		}
	}
	return k.store.ApplyFleet(ctx, tenant, from, now, nil)
}
