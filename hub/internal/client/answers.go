package client

import (
	"encoding/json"
	"slices"
	"time"
)

// Kept is a part of an answer as it came, beside what is understood of it: printed again, it lacks nothing.
type Kept[T any] struct {
	Value T
	raw   json.RawMessage
}

// UnmarshalJSON reads it, and keeps the text.
func (k *Kept[T]) UnmarshalJSON(text []byte) error {
	k.raw = slices.Clone(text)
	return json.Unmarshal(text, &k.Value)
}

// MarshalJSON gives the text that was read.
func (k Kept[T]) MarshalJSON() ([]byte, error) {
	if k.raw == nil {
		return json.Marshal(k.Value)
	}
	return k.raw, nil
}

// Meta is what answers say of themselves.
type Meta struct {
	Position  int64                `json:"position,omitzero"`
	At        time.Time            `json:"at,omitzero"`        // the instant of the position
	Freshness map[string]Freshness `json:"freshness,omitzero"` // by the cluster's id
}

// Total is how many there are; with Exact false at least so many.
type Total struct {
	Count int  `json:"count"`
	Exact bool `json:"exact"`
}

// Truncation says that something is left out, and how to get it.
type Truncation struct {
	Reason string `json:"reason"`
	Hint   string `json:"hint"`
}

// Ref is what a resource is called.
type Ref struct {
	ID        string `json:"id"` // key within the cluster
	Group     string `json:"group"`
	Kind      string `json:"kind"`
	Namespace string `json:"namespace,omitempty"`
	Name      string `json:"name"`
}

// Resource is one as the hub knows it.
type Resource struct {
	Cluster string `json:"cluster"` // id
	Ref
	Presence string            `json:"presence"` // present, missing or unobserved
	Created  *time.Time        `json:"created,omitempty"`
	Labels   map[string]string `json:"labels"`
	Health   string            `json:"health"` // unknown, ok, progressing, warning or error
	Status   string            `json:"status,omitempty"`
	Attrs    map[string]string `json:"attrs"`
}

// Node is a resource in a graph.
type Node struct {
	Resource
	Depth *int `json:"depth,omitempty"` // steps from the focus
	More  bool `json:"more,omitempty"`  // edges of it may have been left out
}

// Edge is a relationship.
type Edge struct {
	Cluster string `json:"cluster"`
	Source  Ref    `json:"source"`
	Target  Ref    `json:"target"`
	Type    string `json:"type"`
	Rule    string `json:"rule"`
	Path    string `json:"path,omitempty"`
}

// Graph is what is around a focus.
type Graph struct {
	Meta
	Nodes     []Node      `json:"nodes"`
	Edges     []Edge      `json:"edges"`
	Truncated *Truncation `json:"truncated,omitempty"`
}

// Paths are the shortest ways from one resource to another.
type Paths struct {
	Meta
	Outcome   string      `json:"outcome"` // found, none, too-long or gave-up
	Length    int         `json:"length"`
	Paths     [][]string  `json:"paths"` // ids of nodes
	Total     Total       `json:"total"`
	Nodes     []Node      `json:"nodes"`
	Edges     []Edge      `json:"edges"`
	Truncated *Truncation `json:"truncated,omitempty"`
}

// Impact is what stops working if a resource goes.
type Impact struct {
	Meta
	Focus    Resource   `json:"focus"`
	Affected []Affected `json:"affected"` // nearest first
	Hits     []Hit      `json:"hits"`
	Counts   struct {
		Breaks   int `json:"breaks"`
		Degrades int `json:"degrades"`
		Blocked  int `json:"blocked"`
	} `json:"counts"`
	Truncated *Truncation `json:"truncated,omitempty"`
}

// Affected is a resource that is affected, and why.
type Affected struct {
	Resource
	Severity string `json:"severity"` // breaks, degrades or blocked
	Gone     bool   `json:"gone,omitempty"`
	Depth    int    `json:"depth"`
	Reason   string `json:"reason"`
	Via      Ref    `json:"via"`
	Causes   int    `json:"causes"`
	More     bool   `json:"more,omitempty"`
}

// Hit is something about an impact to look at first.
type Hit struct {
	Kind     string `json:"kind"` // single-replica, last-endpoint or budget
	Resource Ref    `json:"resource"`
	Sentence string `json:"sentence"`
}

// FieldChange is a field before and after; nil where it wasn't, or isn't, there.
type FieldChange struct {
	Field  string  `json:"field"`
	Before *string `json:"before,omitempty"`
	After  *string `json:"after,omitempty"`
}

// Change is one of a resource or a relationship, T.
type Change[T any] struct {
	Op       string        `json:"op"` // added, removed or changed
	Before   *T            `json:"before,omitempty"`
	After    *T            `json:"after,omitempty"`
	Changed  []FieldChange `json:"changed"`
	Late     bool          `json:"late,omitempty"`
	GapSince *time.Time    `json:"gapSince,omitempty"`
}

// Moment is a position and its instant.
type Moment struct {
	Position int64     `json:"position"`
	At       time.Time `json:"at"`
}

// DiffCounts is how much differs.
type DiffCounts struct {
	Added        int  `json:"added"`
	Removed      int  `json:"removed"`
	Changed      int  `json:"changed"`
	EdgesAdded   int  `json:"edgesAdded"`
	EdgesRemoved int  `json:"edgesRemoved"`
	EdgesChanged int  `json:"edgesChanged"`
	Exact        bool `json:"exact"`
}

// Diff is what differs between two moments.
type Diff struct {
	Meta
	From      Moment                   `json:"from"`
	Counts    DiffCounts               `json:"counts"`
	Nodes     []Kept[Change[Resource]] `json:"nodes"`
	Edges     []Kept[Change[Edge]]     `json:"edges"`
	Continue  string                   `json:"continue,omitempty"`
	Truncated *Truncation              `json:"truncated,omitempty"`
}

// Revision is what a resource was for some time.
type Revision struct {
	Revision int64         `json:"revision"`
	From     *time.Time    `json:"from,omitempty"`
	Until    int64         `json:"until,omitempty"`
	To       *time.Time    `json:"to,omitempty"`
	Late     bool          `json:"late,omitempty"`
	Came     bool          `json:"came,omitempty"`
	Went     bool          `json:"went,omitempty"`
	Changed  []FieldChange `json:"changed"`
	Manifest bool          `json:"manifest"`
	Resource Resource      `json:"resource"`
}

// RevisionText is the text of a revision.
type RevisionText struct {
	Revision Revision `json:"revision"`
	YAML     string   `json:"yaml"`
	Mode     string   `json:"mode"` // manifest or attributes
}

// Comparison is what differs between two revisions.
type Comparison struct {
	From    Revision      `json:"from"`
	To      Revision      `json:"to"`
	Mode    string        `json:"mode"`
	Changed []FieldChange `json:"changed"`
	Unified string        `json:"unified"`
}

// Finding is something that is wrong.
type Finding struct {
	Kind       string     `json:"kind"`
	Severity   string     `json:"severity"` // error, warning or info
	Cluster    string     `json:"cluster"`
	Object     Ref        `json:"object"`
	Sentence   string     `json:"sentence"`
	SinceAt    *time.Time `json:"sinceAt,omitempty"`
	Confidence string     `json:"confidence"`
	Doubts     []string   `json:"doubts,omitempty"`
}

// Event is a Kubernetes Event.
type Event struct {
	Cluster   string    `json:"cluster"`
	Namespace string    `json:"namespace,omitempty"`
	Regarding Ref       `json:"regarding"`
	Type      string    `json:"type"`
	Reason    string    `json:"reason"`
	Message   string    `json:"message"`
	Count     int64     `json:"count"`
	Last      time.Time `json:"last"` // by the cluster's clock
}

// AuditRecord is what one request wanted, and what came of it.
type AuditRecord struct {
	At        time.Time `json:"at"`
	Request   string    `json:"request,omitempty"`
	Who       string    `json:"who"`
	Via       string    `json:"via"`
	Cluster   string    `json:"cluster,omitempty"`
	Verb      string    `json:"verb"`
	Resource  string    `json:"resource,omitempty"`
	Namespace string    `json:"namespace,omitempty"`
	Name      string    `json:"name,omitempty"`
	Path      string    `json:"path,omitempty"`
	Command   []string  `json:"command,omitempty"`
	DryRun    bool      `json:"dryRun,omitempty"`
	Outcome   string    `json:"outcome"`
	Status    int       `json:"status,omitempty"`
	Reason    string    `json:"reason,omitempty"`
	TookMS    float64   `json:"tookMs,omitempty"`
}

// HealthCounts is how many fare how.
type HealthCounts struct {
	Error       int `json:"error"`
	Warning     int `json:"warning"`
	Progressing int `json:"progressing"`
	Unknown     int `json:"unknown"`
	OK          int `json:"ok"`
}

// BadObject fares badly.
type BadObject struct {
	Cluster string `json:"cluster"`
	Ref
	Health string `json:"health"`
	Why    string `json:"why"`
}

// HealthGroup is resources that are alike, and how they fare.
type HealthGroup struct {
	Cluster     string       `json:"cluster,omitempty"`
	Namespace   string       `json:"namespace,omitempty"`
	Application string       `json:"application,omitempty"`
	Count       int          `json:"count"`
	Health      HealthCounts `json:"health"`
	Worst       string       `json:"worst"`
	Missing     int          `json:"missing,omitempty"`
	Stale       bool         `json:"stale,omitempty"`
	Bad         []BadObject  `json:"bad,omitempty"`
}

// Workload is one, and how what it owns fares.
type Workload struct {
	Resource
	Rollup struct {
		Worst string       `json:"worst"`
		Owned HealthCounts `json:"owned"`
		Bad   []BadObject  `json:"bad"`
	} `json:"rollup"`
}

// Health is how resources fare, rolled up.
type Health struct {
	Meta
	Level     string           `json:"level"`
	Health    HealthCounts     `json:"health"`
	Worst     string           `json:"worst"`
	Stale     bool             `json:"stale"`
	Groups    []HealthGroup    `json:"groups,omitempty"`
	Workloads []Kept[Workload] `json:"workloads,omitempty"`
	Continue  string           `json:"continue,omitempty"`
	Truncated *Truncation      `json:"truncated,omitempty"`
}

// Applied is what came of applying documents.
type Applied struct {
	Summary struct {
		Created    int `json:"created"`
		Configured int `json:"configured"`
		Unchanged  int `json:"unchanged"`
		Failed     int `json:"failed"`
		Unchecked  int `json:"unchecked"`
	} `json:"summary"`
	Documents []AppliedDocument `json:"documents"`
	Impact    *struct {
		Objects []struct {
			Sentence string  `json:"sentence"`
			Loss     *Impact `json:"loss,omitempty"`
		} `json:"objects"`
	} `json:"impact,omitempty"`
}

// AppliedDocument is what came of one.
type AppliedDocument struct {
	Line      int    `json:"line"` // at which it begins, from 1
	Group     string `json:"group"`
	Kind      string `json:"kind"`
	Namespace string `json:"namespace,omitempty"`
	Name      string `json:"name"`
	Outcome   string `json:"outcome,omitempty"` // created, configured, unchanged, failed or unchecked
	Reason    string `json:"reason,omitempty"`
	Conflicts []struct {
		Manager string `json:"manager"`
		Field   string `json:"field"`
	} `json:"conflicts,omitempty"`
	Warnings []string `json:"warnings"`
	Diff     string   `json:"diff,omitempty"`
}

// Invited is what a new agent needs.
type Invited struct {
	ID      string    `json:"id"`
	Token   string    `json:"token"` // usable once
	Expires time.Time `json:"expires"`
	Command string    `json:"command"`          // runs the agent as a program
	Helm    string    `json:"helm,omitempty"`   // installs it into the cluster; "" where the hub doesn't know how it is reached
	HelmCA  string    `json:"helmCA,omitempty"` // what the file must hold that stands behind --ca-file there; "" where none does
}

// LogEntry is a line of a log, or a remark.
type LogEntry struct {
	Time      time.Time `json:"time"`
	Pod       string    `json:"pod"`
	Container string    `json:"container"`
	Line      string    `json:"line"`
	Partial   bool      `json:"partial,omitempty"` // the line goes on in the next of this container
	Note      string    `json:"note,omitempty"`    // joined, interrupted, resumed, restarted, failed, ended, limited or waiting; "" for a line
	Message   string    `json:"message,omitempty"`
}
