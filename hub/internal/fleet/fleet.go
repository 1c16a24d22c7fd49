package fleet

import "time"

// Tenant is an organisation; a managed-service provider has many.
type Tenant struct {
	ID      TenantID
	Slug    string // "default"; unique, lower case
	Created time.Time
}

// Share is what leaves a cluster, by its owner's choice.
type Share string

// The share modes.
const (
	ShareTopology  Share = "topology"  // names, labels, status, edges
	ShareManifests Share = "manifests" // the full objects too, without Secret values
)

// Cluster is one enrolled Kubernetes cluster, as the hub knows it.
type Cluster struct {
	Tenant  TenantID
	ID      ClusterID
	Name    string
	Labels  map[string]string
	Created time.Time
	Deleted time.Time // zero while it is wanted; afterwards its rows are being purged

	KubeUID    string // UID of the kube-system namespace, "" until its agent has said so
	Version    string // of Kubernetes, "v1.37.2"
	Provider   string // "eks", "kind", "kwok" …; "" when unknown
	Agent      string // version of the agent
	Share      Share
	Epoch      int64
	Seq        int64 // last applied in Epoch
	Synced     bool  // its first load is complete: readers may see it
	FirstSeen  int64 // the position of the first load's swap; 0 before
	Freshness  Freshness
	Generation int64 // raised at each renewal of the agent's certificate
}

// FreshnessState says how old what is known of a cluster is.
type FreshnessState string

// The states of freshness.
const (
	Live  FreshnessState = "live"  // a session is open and heard from
	Stale FreshnessState = "stale" // what is known is as of Since
	Never FreshnessState = "never" // no session has completed a first load
)

// Freshness is how old what is known of a cluster is. Since is when State began.
type Freshness struct {
	State     FreshnessState `json:"state"`
	Since     time.Time      `json:"since,omitzero"`
	LastHeard time.Time      `json:"lastHeard,omitzero"`
}
