package store

import (
	"context"
	"time"

	"github.com/kubilitics/kubilitics/hub/internal/fleet"
	"github.com/kubilitics/kubilitics/shared/topo"
)

// Reader opens snapshots. A snapshot sees one position of one tenant, however many queries are asked of it.
type Reader interface {
	// Read calls fn with a snapshot of the newest position and ends it when fn returns.
	Read(ctx context.Context, tenant fleet.TenantID, fn func(context.Context, Snapshot) error) error
}

// Operator is how a requirement on a label or field compares.
type Operator string

// The operators of Kubernetes selectors.
const (
	In        Operator = "in"
	NotIn     Operator = "notin" // also where the key is absent
	Exists    Operator = "exists"
	NotExists Operator = "!"
)

// Requirement is one condition; In and NotIn have at least one value.
type Requirement struct {
	Key    string
	Op     Operator
	Values []string
}

// Filter says which resources are meant; empty parts don't restrict. Conditions of different parts all hold.
type Filter struct {
	View       fleet.View // whose eyes; never empty
	Clusters   []fleet.ClusterID
	Kinds      []topo.GroupKind
	Namespaces []string
	Names      []string
	Labels     []Requirement
	Fields     []Requirement // keys: name, namespace, kind, status, health, presence, uid
	// Placeholders puts nodes in that stand for objects which aren't there (missing, unobserved); lists leave them out.
	Placeholders bool
}

// Key is the place of a resource in the order of lists: group, kind, namespace, name, cluster.
type Key struct {
	Ref     topo.Ref
	Cluster fleet.ClusterID
}

// Row is a node of a cluster, with the position since which it has been so.
type Row struct {
	Cluster fleet.ClusterID
	ID      topo.ID
	Node    topo.Node
	Since   topo.Position
}

// EdgeRow is an edge of a cluster.
type EdgeRow struct {
	Cluster fleet.ClusterID
	ID      topo.EdgeID
	Edge    topo.Edge
	Since   topo.Position
}

// Direction is how edges are followed from a node.
type Direction string

// The directions.
const (
	Out  Direction = "out" // from source to target
	Into Direction = "in"
	Both Direction = "both"
)

// Count is a number of resources that are alike.
type Count struct {
	Cluster fleet.ClusterID
	Kind    topo.GroupKind
	Health  topo.Health
	Number  int
}

// EventFilter says which events are meant, newest first.
type EventFilter struct {
	View       fleet.View
	Clusters   []fleet.ClusterID
	Namespaces []string
	Regarding  *topo.Ref
	Types      []string
	// Before continues a list: only events older than this one, in the order (Last descending, cluster, UID).
	Before *EventKey
	Limit  int
}

// EventKey is the place of an event in the order of lists.
type EventKey struct {
	Last    int64
	Cluster fleet.ClusterID
	UID     string
}

// EventRow is an event of a cluster.
type EventRow struct {
	Cluster fleet.ClusterID
	Event   topo.Event
}

// Snapshot answers from one position. Only clusters whose first load is complete are seen, and no deleted ones.
type Snapshot interface {
	Position() topo.Position
	At() time.Time
	// Clusters gives the tenant's clusters by name.
	Clusters(ctx context.Context) ([]fleet.Cluster, error)
	// Resources gives at most limit rows after the key (nil: from the start) in the order of Key.
	Resources(ctx context.Context, f Filter, after *Key, limit int) ([]Row, error)
	// Number counts what the filter means, up to limit: exact tells that there are no more.
	Number(ctx context.Context, f Filter, limit int) (n int, exact bool, err error)
	// Nodes gives those of the ids that are there, in no order.
	Nodes(ctx context.Context, at Scope, ids []topo.ID) ([]Row, error)
	// EdgesOf gives edges that touch the ids in that direction, of those types (none: of all), at most limit.
	EdgesOf(ctx context.Context, at Scope, ids []topo.ID, d Direction, types []topo.EdgeType, limit int) ([]EdgeRow, error)
	// EdgesAmong gives at most limit edges both of whose ends are among the ids.
	EdgesAmong(ctx context.Context, at Scope, ids []topo.ID, types []topo.EdgeType, limit int) ([]EdgeRow, error)
	// Manifest gives the text's hash and compressed body; NotFound where the cluster shares none.
	Manifest(ctx context.Context, at Scope, id topo.ID) (topo.Manifest, error)
	Events(ctx context.Context, f EventFilter) ([]EventRow, error)
	// Counts tells how many present resources there are of each kind and health, by cluster.
	Counts(ctx context.Context, v fleet.View, clusters []fleet.ClusterID) ([]Count, error)
	// Edges gives the number of edges by cluster.
	EdgeCounts(ctx context.Context, v fleet.View, clusters []fleet.ClusterID) (map[fleet.ClusterID]int, error)
}

// EntryKind says what a feed entry tells.
type EntryKind string

// The kinds of feed entries.
const (
	EntryDiff    EntryKind = "diff"    // rows of a cluster changed
	EntryLoaded  EntryKind = "loaded"  // a cluster's first load became visible: read it anew
	EntryCluster EntryKind = "cluster" // the cluster itself changed: name, labels, freshness
	EntryDeleted EntryKind = "deleted" // the cluster was deleted
)

// Entry is one position of the feed and all that happened at it.
type Entry struct {
	Position topo.Position
	At       time.Time
	Kind     EntryKind
	Cluster  fleet.ClusterID
	GapSince time.Time // set where the change was found late, by a resync
	Diff     topo.Diff
	Events   []topo.Event
}

// Feed is every change of a tenant in order. Readers pull.
type Feed interface {
	// FeedBounds gives the first position still readable and the newest.
	FeedBounds(ctx context.Context, tenant fleet.TenantID) (first, last topo.Position, err error)
	// Entries gives at most limit entries after a position, in order. Gone when some of them have been trimmed already.
	Entries(ctx context.Context, tenant fleet.TenantID, after topo.Position, limit int) ([]Entry, error)
	// Doorbell calls ring, which must not block, when a tenant may have new entries; also for those written by other processes, and now and
	// then without cause. It returns when ctx ends.
	Doorbell(ctx context.Context, ring func(fleet.TenantID)) error
}

// Keep is how long what is past is kept.
type Keep struct {
	Feed    time.Duration
	History time.Duration
	Events  time.Duration
}

// Retention deletes what is older than it is kept.
type Retention interface {
	// Trim deletes at most about limit rows; more tells that some are left.
	Trim(ctx context.Context, keep Keep, limit int) (more bool, err error)
}
