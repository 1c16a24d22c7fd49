package store

import (
	"context"

	"github.com/kubilitics/kubilitics/hub/internal/fleet"
	"github.com/kubilitics/kubilitics/shared/topo"
)

// FleetChange says that a cluster has something that clusters share, or no longer, since a position.
type FleetChange struct {
	Cluster fleet.ClusterID
	Ref     topo.Ref
	Gone    bool
	At      topo.Position
}

// FleetGraph keeps the rows of fleet scope: which clusters have which of the things that clusters share. Rows are derived from the feed, and follow it.
type FleetGraph interface {
	// FleetPosition tells up to where the tenant's feed has been followed; ok is false before the first time.
	FleetPosition(ctx context.Context, tenant fleet.TenantID) (pos topo.Position, ok bool, err error)
	// ApplyFleet writes changes and moves the position from one to another, in one transaction. It is a Conflict when the position isn't that one any
	// more: somebody else was faster. from 0 begins. What is so already stays as it is.
	ApplyFleet(ctx context.Context, tenant fleet.TenantID, from, to topo.Position, changes []FleetChange) error
	// ReplaceFleet makes refs the things that a cluster has, from a position on.
	ReplaceFleet(ctx context.Context, at Scope, since topo.Position, refs []topo.Ref) error
}

// Shared is something that several clusters have.
type Shared struct {
	Ref      topo.Ref
	Clusters []fleet.ClusterID // at least two, sorted
}

// FleetReader tells what ties clusters together.
type FleetReader interface {
	// Shared gives what at least two of the clusters that the view shows whole have in common, of those kinds (none: all), in the order of Ref, after one,
	// at most limit.
	Shared(ctx context.Context, v fleet.View, clusters []fleet.ClusterID, kinds []topo.GroupKind, after *topo.Ref, limit int) ([]Shared, error)
	// SharedAmong gives those of the ids that at least two of the clusters have.
	SharedAmong(ctx context.Context, v fleet.View, ids []topo.ID) ([]Shared, error)
}
