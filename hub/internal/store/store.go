// Package store is the seam to what the hub keeps: small interfaces, composed into one, with a body for Postgres and one
// for SQLite. Semantics are fixed by the conformance suite in storetest, which both bodies pass.
package store

import (
	"context"
	"time"

	"github.com/kubilitics/kubilitics/hub/internal/fleet"
	"github.com/kubilitics/kubilitics/shared/topo"
)

// Store is all of them: the one wide interface of the house, because one database stands behind it and a transaction may
// touch any of its tables. Consumers ask for the small parts they use.
//
// Every method returns faults: NotFound, Conflict, Gone and BadRequest where they are the caller's doing, Unavailable
// where the database can't be reached, Internal for the rest.
type Store interface {
	Tenants
	Clusters
	Enrolment
	Tokens
	Sessions
	Writer
	Digests
	Reader
	Feed
	Retention
	Checker
	Indexer
	FleetGraph
	Plugins
	Audit
	Describer
	// Ping tells whether the database answers.
	Ping(ctx context.Context) error
	// Close waits for what is under way and lets the database go.
	Close() error
}

// Scope names the cluster whose rows a call may touch.
type Scope struct {
	Tenant  fleet.TenantID
	Cluster fleet.ClusterID
}

// Tenants are the organisations.
type Tenants interface {
	// EnsureTenant gives the tenant with that slug, made now if there is none.
	EnsureTenant(ctx context.Context, slug string) (fleet.Tenant, error)
	Tenants(ctx context.Context) ([]fleet.Tenant, error)
}

// ClusterPatch changes what is not nil.
type ClusterPatch struct {
	Name   *string
	Labels *map[string]string
}

// Clusters are the enrolled clusters. Create, update and delete put an entry in the feed.
type Clusters interface {
	// CreateCluster keeps a new cluster; Conflict when its name is taken within the tenant.
	CreateCluster(ctx context.Context, c fleet.Cluster) error
	// Cluster gives one; a deleted one is NotFound.
	Cluster(ctx context.Context, at Scope) (fleet.Cluster, error)
	// Clusters lists those of a tenant by name, then id; deleted ones are left out.
	Clusters(ctx context.Context, tenant fleet.TenantID) ([]fleet.Cluster, error)
	UpdateCluster(ctx context.Context, at Scope, p ClusterPatch) (fleet.Cluster, error)
	// DeleteCluster hides the cluster and all its rows at once, fences its sessions and its certificates, and leaves the rows to Purge.
	DeleteCluster(ctx context.Context, at Scope) error
	// Purge deletes at most limit rows of deleted clusters and of loads that were abandoned; more tells that some are left.
	Purge(ctx context.Context, limit int) (more bool, err error)
}

// JoinToken permits one agent to enrol as one cluster.
type JoinToken struct {
	ID         string
	Scope      Scope
	SecretHash []byte // SHA-256 of the secret
	Expires    time.Time
	KeyHash    []byte // SHA-256 of the public key in the CSR that consumed it; nil before
	Created    time.Time
	CreatedBy  string
}

// Identity is what an enrolled agent is known by.
type Identity struct {
	KubeUID     string // of the kube-system namespace
	IdentityKey []byte // PKIX public key without expiry; proves who it is after the certificate ran out
}

// Certificate is the record of one certificate the hub signed.
type Certificate struct {
	Serial     string // hexadecimal
	Scope      Scope
	Generation int64
	NotAfter   time.Time
	Created    time.Time
}

// Enrolment keeps how agents come to be trusted.
type Enrolment interface {
	// PutJoinToken keeps a token. Earlier ones of the cluster that nobody has used end with it: one that got lost, or into wrong hands, is made
	// worthless by making another.
	PutJoinToken(ctx context.Context, t JoinToken) error
	// JoinToken gives one by id: O(1), also for ids that don't exist (NotFound).
	JoinToken(ctx context.Context, id string) (JoinToken, error)
	// Enrol consumes the token, binds the cluster to the identity and records the certificate, in one transaction. A token consumed
	// before by the same key passes again, as long as it hasn't expired; by another key it is a Conflict. A cluster already bound to
	// another KubeUID, or a KubeUID bound to another cluster of the tenant, is a Conflict.
	Enrol(ctx context.Context, tokenID string, keyHash []byte, id Identity, cert Certificate) error
	// Renew raises the cluster's generation from that of the certificate it renews and records the new certificate. A generation that isn't
	// the newest is a Conflict: a cloned identity. The same renewal repeated with the same serial is not.
	Renew(ctx context.Context, at Scope, fromGeneration int64, cert Certificate) error
	// Identity gives what the cluster was bound to.
	Identity(ctx context.Context, at Scope) (Identity, error)
}

// Token is an API token. Its secret is not kept, only the hash.
type Token struct {
	ID         string
	Tenant     fleet.TenantID
	Name       string
	Groups     []string
	Bindings   []fleet.Binding
	SecretHash []byte // SHA-256 of 32 random bytes; no password, so no slow hash
	Created    time.Time
	Expires    time.Time // zero: never
	LastUsed   time.Time // kept to about the minute
	CreatedBy  string
}

// Tokens keeps API tokens.
type Tokens interface {
	PutToken(ctx context.Context, t Token) error
	// Token gives one by id, of any tenant: the authentication's look-up.
	Token(ctx context.Context, id string) (Token, error)
	Tokens(ctx context.Context, tenant fleet.TenantID) ([]Token, error)
	DeleteToken(ctx context.Context, tenant fleet.TenantID, id string) error
	// TouchToken notes that it was used.
	TouchToken(ctx context.Context, id string, at time.Time) error
}

// Hello is what an agent says of itself and its cluster when a session opens.
type Hello struct {
	Instance string // random, one a process
	Agent    string
	Version  string
	Provider string
	Share    fleet.Share
	KubeUID  string
}

// Heard is when a session was last heard from.
type Heard struct {
	Scope Scope
	Epoch int64
	At    time.Time
}

// KindUse is how a number of clusters watch a kind alike.
type KindUse struct {
	topo.GroupKind
	Version    string
	Plural     string
	Namespaced bool
	Observed   bool
	Clusters   int
}

// Sessions keeps who may write a cluster's rows, and how fresh they are.
type Sessions interface {
	// OpenSession issues the cluster's next epoch, in one conditional UPDATE: every earlier session is fenced off by it. It answers the cluster
	// as it is now. NotFound when it was deleted; Conflict when the KubeUID isn't the one bound. A switch of Share to topology drops the cluster's
	// manifests, current and past.
	OpenSession(ctx context.Context, at Scope, h Hello) (fleet.Cluster, error)
	// MarkLive says that hub and agent agree: from now on the rows are current. It opens a freshness interval and puts an entry in the feed.
	MarkLive(ctx context.Context, at Scope, epoch int64) error
	// MarkHeard notes the last signs of life of many sessions at once; those that were fenced are passed over.
	MarkHeard(ctx context.Context, heard []Heard) error
	// CloseSession says that the session ended: the cluster is stale since it was last heard. A fenced session changes nothing.
	CloseSession(ctx context.Context, at Scope, epoch int64, lastHeard time.Time) error
	// ExpireSessions does the same for every live cluster not heard of since, and gives their number: what a hub that died left behind.
	ExpireSessions(ctx context.Context, before time.Time) (int, error)
	// PutKinds replaces what is known of how the cluster's kinds are watched.
	PutKinds(ctx context.Context, at Scope, epoch int64, kinds []topo.KindReport) error
	// Kinds gives it back, by group and kind.
	Kinds(ctx context.Context, at Scope) ([]topo.KindReport, error)
	// FleetKinds sums up the reports of those clusters (none: of all of the tenant), by group and kind.
	FleetKinds(ctx context.Context, tenant fleet.TenantID, clusters []fleet.ClusterID) ([]KindUse, error)
	// EventsThrough gives the Unix second of the newest event kept of the cluster; 0 when there is none.
	EventsThrough(ctx context.Context, at Scope) (int64, error)
}

// Delta is what a batch writes and removes.
type Delta = topo.Delta

// Batch is a delta of one session, with the place it has in its order.
type Batch struct {
	Scope Scope
	Epoch int64
	Seq   int64 // of the last frame in it; must be above what was applied
	Delta Delta
	// GapSince is set on what a resync found: when the gap began in which it happened unseen. The feed marks it late.
	GapSince time.Time
}

// Quarantined is a row that could not be stored, and why; its batch went on without it.
type Quarantined struct {
	Scope  Scope
	Table  string
	Key    string // the Ref, or the edge in words
	Reason string
	Count  int64
	First  time.Time
	Last   time.Time
}

// Applied is what came of a batch.
type Applied struct {
	Position    topo.Position // of the feed entry; 0 when nothing changed
	At          time.Time
	Changed     int // rows that were not already so
	Quarantined []Quarantined
}

// Writer is the one way by which a cluster's rows change. Each call checks the epoch in the transaction that writes: a fenced session gets
// Conflict and has written nothing.
type Writer interface {
	// Apply writes a batch: rows, closed versions, labels, digests, the session's seq and the feed entry with its position, in one
	// transaction. A batch whose Seq was applied before changes nothing. A row that the database refuses is quarantined, and the others are written.
	Apply(ctx context.Context, b Batch) (Applied, error)
	// BeginLoad starts a cluster's first load; rows that an abandoned one left behind are deleted first. Conflict when the cluster is loaded.
	BeginLoad(ctx context.Context, at Scope, epoch int64) (Load, error)
	// Quarantine records rows that were refused before they reached Apply.
	Quarantine(ctx context.Context, rows []Quarantined) error
	// Quarantined lists what a cluster's rows were refused for, newest first, at most limit.
	Quarantined(ctx context.Context, at Scope, limit int) ([]Quarantined, error)
}

// Load is the first load of a cluster: rows that no reader sees until Commit. One goroutine uses it.
type Load interface {
	// Add writes rows that no earlier Add of this load wrote. Input sorted by key is fastest. Gone… must be empty.
	Add(ctx context.Context, d Delta) ([]Quarantined, error)
	// Commit applies final, what changed while the load ran, and shows everything to readers, at one position, in one transaction. The feed
	// gets one entry that says "loaded".
	Commit(ctx context.Context, seq int64, final Delta) (Applied, error)
	// Abort gives the load up. After Commit it does nothing.
	Abort(ctx context.Context) error
}

// Digests is what hub and agent compare.
type Digests interface {
	// Digest gives the sums as kept by the transactions that wrote the rows.
	Digest(ctx context.Context, at Scope, table topo.Table) (*topo.Digest, error)
	// RowHashes gives keys and hashes of the rows in those buckets.
	RowHashes(ctx context.Context, at Scope, table topo.Table, buckets []int) ([]topo.RowHash, error)
	// Verify recomputes every hash of the table from the stored columns, corrects hashes and sums that don't tell what the
	// columns say, and gives the number of rows corrected: afterwards a comparison with the agent finds what was corrupted.
	Verify(ctx context.Context, at Scope, table topo.Table) (corrected int, err error)
}

// Violation is something that must not be.
type Violation struct {
	Rule   string // "edge-ends", "edge-type", "labels", "counts", "digest" …
	Key    string // the row in words
	Detail string
}

// Checker looks whether what must always hold does hold.
type Checker interface {
	// Check reads all rows of a cluster and gives what is wrong with them, at most limit: an edge without both ends, a duplicate, a type that doesn't exist,
	// labels, counts or digests that don't tell what the rows say, versions that overlap. It changes nothing.
	Check(ctx context.Context, at Scope, limit int) ([]Violation, error)
}

// Indexer keeps what searches go by, outside the transactions that write rows.
type Indexer interface {
	// Index takes in about limit changed rows of all feeds, from where it stopped; more tells that some are left. It is to be called when the
	// doorbell rings. Until then searches look at what changed since by themselves: they are right, only slower.
	Index(ctx context.Context, limit int) (more bool, err error)
}
