package store

import (
	"context"
	"time"

	"github.com/kubilitics/kubilitics/hub/internal/fleet"
	"github.com/kubilitics/kubilitics/shared/topo"
)

// Follower is somebody who goes through a tenant's feed on behalf of all replicas of the hub: a plugin, or a notifier's rule.
type Follower struct {
	Tenant fleet.TenantID
	Name   string
}

// Lease is a follower and the process that works for it.
type Lease struct {
	Follower
	Holder string
}

// Progress is how far a follower has come.
type Progress struct {
	Position topo.Position // of the last entry that is dealt with
	Note     string        // what else the follower must know when it goes on; its own
	Begun    bool          // Advance was called before
}

// Followers keeps the progress of those who follow feeds, and sees to it that only one process works for each.
type Followers interface {
	// Hold takes or prolongs a lease, unless another process holds it, and gives the progress.
	Hold(ctx context.Context, l Lease, term time.Duration) (p Progress, held bool, err error)
	// Advance notes progress. Conflict when the lease is another's.
	Advance(ctx context.Context, l Lease, p Progress) error
	// Release lets another process take the lease at once.
	Release(ctx context.Context, l Lease) error
	// Progress gives that of a tenant's followers, by name.
	Progress(ctx context.Context, tenant fleet.TenantID) (map[string]Progress, error)
	// Forget deletes the followers whose names begin with prefix and aren't among those to keep, unless some process works for them.
	Forget(ctx context.Context, tenant fleet.TenantID, prefix string, keep []string) error
}

// Severity is how much a finding matters.
type Severity uint8

// The severities.
const (
	Info Severity = iota + 1
	Warning
	Serious
)

var severityWords = [...]string{"invalid", "info", "warning", "error"}

// String is the word used in JSON.
func (s Severity) String() string {
	if int(s) < len(severityWords) {
		return severityWords[s]
	}
	return severityWords[0]
}

// ParseSeverity reads what String wrote.
func ParseSeverity(word string) (Severity, bool) {
	for s := Info; s <= Serious; s++ {
		if severityWords[s] == word {
			return s, true
		}
	}
	return 0, false
}

// Finding is something that a plugin says somebody should know of a node. Code tells a node's findings of one plugin apart.
type Finding struct {
	Code       string
	Severity   Severity
	Sentence   string
	Confidence float64 // 0 to 1
}

// AddedEdge is a relationship that a plugin knows of; one end is the node it is added to.
type AddedEdge struct {
	Source, Target topo.ID
	Type           topo.EdgeType
	Reason         string
}

// Addition is all that a plugin adds to one node. One that is empty removes what there was.
type Addition struct {
	Ref      topo.Ref
	UID      string      // of the object that was looked at; nothing of it is shown of another object with the same name
	Attrs    []topo.Pair // sorted by key
	Edges    []AddedEdge
	Findings []Finding
}

// AddedAttrs is what a plugin adds to a node's attributes.
type AddedAttrs struct {
	Node   topo.ID
	Plugin string
	Attrs  []topo.Pair
}

// FindingKey is the place of a finding in the order of lists.
type FindingKey struct {
	Cluster fleet.ClusterID
	Node    topo.ID
	Plugin  string
	Code    string
}

// FindingFilter says which findings are meant; empty parts don't restrict.
type FindingFilter struct {
	View       fleet.View // whose eyes; never empty
	Clusters   []fleet.ClusterID
	Namespaces []string
	Kinds      []topo.GroupKind
	Nodes      []topo.ID
	Plugins    []string
	Severity   Severity // at least
}

// FindingRow is a finding about a node that exists.
type FindingRow struct {
	Key     FindingKey
	Ref     topo.Ref
	Finding Finding
	Since   time.Time
}

// FindingNews tells that a finding came, became another, or was resolved.
type FindingNews struct {
	Seq      int64
	At       time.Time
	Cluster  fleet.ClusterID
	Ref      topo.Ref
	Plugin   string
	Finding  Finding
	Resolved bool
}

// PluginRule begins the rule of each edge that a plugin added, and EnricherPrefix the name of each plugin's follower; the plugin's name follows.
const (
	PluginRule     = "plugin:"
	EnricherPrefix = "enricher:"
)

// Plugins keeps what plugins add to the graph, apart from what agents tell. Reads show the newest, and only what hangs on nodes that exist, in
// clusters that readers see.
type Plugins interface {
	Followers
	// Enrich replaces what a plugin adds to the nodes. Conflict when the lease is another's.
	Enrich(ctx context.Context, l Lease, cluster fleet.ClusterID, plugin string, additions []Addition) error
	// AddedAttrs gives what plugins add to the nodes' attributes, by node and plugin.
	AddedAttrs(ctx context.Context, at Scope, ids []topo.ID) ([]AddedAttrs, error)
	// AddedEdges gives edges that touch the ids in that direction (no ids: all of the cluster) after a place, in its order, at most limit. Their rule is
	// PluginRule and the plugin's name.
	AddedEdges(ctx context.Context, at Scope, ids []topo.ID, d Direction, after *topo.EdgeID, limit int) ([]EdgeRow, error)
	// Findings gives findings after the key, in its order, at most limit.
	Findings(ctx context.Context, f FindingFilter, after *FindingKey, limit int) ([]FindingRow, error)
	// FindingNews gives at most limit news after a number, in order, and the newest number there is.
	FindingNews(ctx context.Context, tenant fleet.TenantID, after int64, limit int) (news []FindingNews, last int64, err error)
	// SweepPlugins deletes at most about limit of a tenant's rows: those of plugins that no follower works for, those of nodes that are gone, and news
	// from before an instant; more tells that some are left.
	SweepPlugins(ctx context.Context, tenant fleet.TenantID, before time.Time, limit int) (more bool, err error)
	DeadLetters
}

// DeadLetter is a notification that could not be delivered.
type DeadLetter struct {
	Tenant   fleet.TenantID
	ID       string // sorts by when it was made
	Notifier string
	Rule     string
	Key      string // of the notification
	Created  time.Time
	Tried    time.Time // last
	Attempts int
	Reason   string
	Body     []byte // the notification, as JSON
}

// DeadLetters keeps what could not be delivered until somebody tries again or gives it up; the newest 10,000 of a tenant.
type DeadLetters interface {
	// PutDeadLetter keeps one, in place of the one with the same id.
	PutDeadLetter(ctx context.Context, d DeadLetter) error
	// DeadLetters lists them, newest first, those before an id (empty: all), at most limit.
	DeadLetters(ctx context.Context, tenant fleet.TenantID, before string, limit int) ([]DeadLetter, error)
	DeadLetter(ctx context.Context, tenant fleet.TenantID, id string) (DeadLetter, error)
	DeleteDeadLetter(ctx context.Context, tenant fleet.TenantID, id string) error
}
