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
	// ReadAt calls fn with a snapshot of a past moment: rows, labels, manifests and freshness as they were then; events are those of now. A moment
	// before retention is Gone, and the error's field "at" names the earliest there is; one in the future is a BadRequest.
	ReadAt(ctx context.Context, tenant fleet.TenantID, when When, fn func(context.Context, Snapshot) error) error
	// Resolve gives the position and its instant that a moment means, with the faults of ReadAt.
	Resolve(ctx context.Context, tenant fleet.TenantID, when When) (topo.Position, time.Time, error)
}

// When names a moment: the newest (zero), a position, or an instant of the hub's clock.
type When struct {
	Position topo.Position
	Time     time.Time
}

// Now tells that the newest moment is meant.
func (w When) Now() bool { return w.Position == 0 && w.Time.IsZero() }

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
	Terms      []Term
	// Placeholders puts nodes in that stand for objects which aren't there (missing, unobserved); lists leave them out.
	Placeholders bool
}

// TermOp is how a term compares.
type TermOp string

// The operators of terms.
const (
	Like    TermOp = "like"    // one of the patterns fits the whole value; letter case doesn't count
	Less    TermOp = "less"    // a number below the first value
	Greater TermOp = "greater" // a number above the first value
)

// Keys of terms besides those of fields. A key that begins with LabelKey or AttrKey names a label or an attribute.
const (
	TextKey  = "text"    // name, label values, images or addresses
	ImageKey = "image"   // one of the images
	IPKey    = "ip"      // one of the addresses
	AppKey   = "app"     // the application, as graphs group by it
	AgeKey   = "created" // creation, Unix seconds
	LabelKey = "label:"
	AttrKey  = "attr:"
)

// Term is one condition of the query language. A row without the key fulfils it only with Not.
type Term struct {
	Key string
	Op  TermOp
	// Values are patterns for Like: * stands for any text, ? for one character, \ before either for itself.
	Values []string
	Not    bool
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
	// Fans gives edges that touch the ids in that direction, of those types, and both of whose ends the view shows, but of each id no more than each that lead
	// out and each that lead in; at most limit.
	Fans(ctx context.Context, v fleet.View, at Scope, ids []topo.ID, d Direction, types []topo.EdgeType, each, limit int) ([]EdgeRow, error)
	// EdgesAmong gives at most limit edges both of whose ends are among the ids.
	EdgesAmong(ctx context.Context, at Scope, ids []topo.ID, types []topo.EdgeType, limit int) ([]EdgeRow, error)
	// Manifest gives the text's hash and compressed body; NotFound where the cluster shares none.
	Manifest(ctx context.Context, at Scope, id topo.ID) (topo.Manifest, error)
	// Bodies gives the compressed texts of those of the ids that have one, by id.
	Bodies(ctx context.Context, at Scope, ids []topo.ID) (map[topo.ID][]byte, error)
	Events(ctx context.Context, f EventFilter) ([]EventRow, error)
	// Counts tells how many present resources there are of each kind and health, by cluster.
	Counts(ctx context.Context, v fleet.View, clusters []fleet.ClusterID) ([]Count, error)
	// Edges gives the number of edges by cluster.
	EdgeCounts(ctx context.Context, v fleet.View, clusters []fleet.ClusterID) (map[fleet.ClusterID]int, error)
	Grouped
	Past
	Found
	FleetReader
}

// Dimension is what resources are grouped by.
type Dimension string

// The dimensions.
const (
	ByCluster     Dimension = "cluster"
	ByNamespace   Dimension = "namespace"
	ByApplication Dimension = "application"
	ByKind        Dimension = "kind"
)

// Group is the resources that are alike in the dimensions asked for; the fields of other dimensions are empty.
type Group struct {
	Cluster     fleet.ClusterID
	Namespace   string
	Application string
	Kind        topo.GroupKind
	Health      [topo.Error + 1]int // present resources, by health
	Missing     int
	Unobserved  int
}

// GroupEdge is the edges of one type that lead from one group to another, or to itself: the groups by their place in the list.
type GroupEdge struct {
	Source, Target int
	Type           topo.EdgeType
	Number         int
}

// Grouped counts instead of listing.
type Grouped interface {
	// Groups counts what the filter means, placeholders apart, in the order of the dimensions, at most limit groups.
	Groups(ctx context.Context, f Filter, by []Dimension, limit int) ([]Group, error)
	// GroupEdges counts the edges, of those types (none: all), both of whose ends are in groups.
	GroupEdges(ctx context.Context, f Filter, by []Dimension, groups []Group, types []topo.EdgeType) ([]GroupEdge, error)
}

// Version is a row as it was from one position up to, without, another.
type Version struct {
	Row
	To       topo.Position // 0: still so
	Began    time.Time     // the instant of Since
	Ended    time.Time
	GapSince time.Time // set where the change that began it was found late: when the gap began in which it happened
	Manifest topo.ID   // hash of the manifest at the version's end; zero where there was none
}

// Text is a manifest by its hash, and how long it held: from one position up to, without, another (0: still so).
type Text struct {
	Hash      topo.ID
	Since, To topo.Position
}

// TextChange is another manifest of a resource, which itself may be as it was.
type TextChange struct {
	Key           Key
	Row           Row // as it is now
	Before, After topo.ID
	Since         topo.Position // of the newest text
}

// RowChange is what became of a resource between two positions. One that came has no Before, one that went no After.
type RowChange struct {
	Key    Key
	Before *Row
	After  *Row
}

// EdgeChange is what became of an edge between two positions.
type EdgeChange struct {
	Cluster fleet.ClusterID
	ID      topo.EdgeID
	Before  *EdgeRow
	After   *EdgeRow
}

// EdgePlace is the place of an edge in the order of changes: cluster, source, own id.
type EdgePlace struct {
	Cluster fleet.ClusterID
	ID      topo.EdgeID
}

// Instant is when a position came to be.
type Instant struct {
	At       time.Time
	GapSince time.Time // set where what changed then was found late: when the gap began in which it happened
}

// Past compares and tells what was. The snapshot's own position is the later end.
type Past interface {
	// History gives versions of a node, newest first, that began before a position (0: all), at most limit.
	History(ctx context.Context, at Scope, id topo.ID, before topo.Position, limit int) ([]Version, error)
	// ManifestAt gives the text of a version that began at a position; NotFound where none was shared then.
	ManifestAt(ctx context.Context, at Scope, id topo.ID, since topo.Position) (topo.Manifest, error)
	// Texts tells which manifests a node had, newest first, those that began before a position (0: all), at most limit. A text may change without the
	// node, and comes to the hub on its own, mostly a moment later.
	Texts(ctx context.Context, at Scope, id topo.ID, before topo.Position, limit int) ([]Text, error)
	// TextAt gives the manifest of a node as it was at a position; NotFound where none was shared then.
	TextAt(ctx context.Context, at Scope, id topo.ID, pos topo.Position) (topo.Manifest, error)
	// RowChanges gives resources that the filter means, before or after, and that differ between from and the snapshot, in the order of Key.
	RowChanges(ctx context.Context, f Filter, from topo.Position, after *Key, limit int) ([]RowChange, error)
	// Instants tells when positions came to be, of those that are still known.
	Instants(ctx context.Context, positions []topo.Position) (map[topo.Position]Instant, error)
	// TextChanges gives resources that the filter means now, that had a manifest at from and have another now, in the order of Key.
	TextChanges(ctx context.Context, f Filter, from topo.Position, after *Key, limit int) ([]TextChange, error)
	// EdgeChanges gives edges that differ, of the filter's clusters, with an end in its namespaces (none: all); its other parts don't count.
	EdgeChanges(ctx context.Context, f Filter, from topo.Position, after *EdgePlace, limit int) ([]EdgeChange, error)
}

// Value is a value that occurs, and how often.
type Value struct {
	Text   string
	Number int
}

// Found is what looks for something.
type Found interface {
	// Search gives at most limit rows that the filter means, best first: the terms of TextKey in the name, whole, then at its start, then in it, then
	// elsewhere, the worst of several counting; alike in that, in the order of Key. more tells that there are others. Where thousands fit, names that
	// begin with the word come first all the same, and of the others the best of a part of them.
	Search(ctx context.Context, f Filter, limit int) (rows []Row, more bool, err error)
	// Values gives values of a key (a term's, or LabelKey alone for the labels' keys) that begin with prefix, the most frequent first, of what the
	// filter means; kinds as GroupKind words them. The numbers may be estimates, and among very many rows rare values may be left out.
	Values(ctx context.Context, f Filter, key, prefix string, limit int) ([]Value, error)
	// Unlinked gives rows that the filter means and that no edge of those types touches in that direction, in the order of Key.
	Unlinked(ctx context.Context, f Filter, d Direction, types []topo.EdgeType, after *Key, limit int) ([]Row, error)
	// Dangling gives edges whose target is missing, and whose source the filter means, in the order of EdgePlace.
	Dangling(ctx context.Context, f Filter, after *EdgePlace, limit int) ([]EdgeRow, error)
	// OwnerCycles gives groups of resources of a cluster each of which owns the next, and the last the first, at most limit.
	OwnerCycles(ctx context.Context, at Scope, limit int) ([][]Row, error)
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
	Texts    []topo.Ref // what has another manifest, besides nodes in Diff
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
