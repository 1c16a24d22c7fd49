package topo

// Resource is an object reduced to what the rules and the display need: the engine's input. Its facts are what the
// rules of its kind found in it, in the terms of the table that reduced it.
type Resource struct {
	Ref     Ref
	UID     string
	Version string
	Created int64 // Unix seconds
	Labels  []Pair
	Owners  []Owner
	Health  Health
	Status  string
	Attrs   []Pair
	Facts   []Fact
}

// Owner is one entry of metadata.ownerReferences.
type Owner struct {
	Group      string
	Kind       string
	Name       string
	UID        string
	Controller bool
}

// Fact is one occurrence of what one rule looks for: the values of its fields, and where it stood.
type Fact struct {
	Rule   uint16 // which row, by the number its table gave it
	At     At
	Values []string // one a field of the row, "" where the field is absent
}

// At is where a fact stood: the indices of the lists on the way to it, 0 where there is none. An index beyond an int16
// is its largest value.
type At [3]int16

// Change is one news of an object: its newest state, or nil when it is gone.
type Change struct {
	Ref      Ref
	Resource *Resource
}

// Manifest is an object's full text as far as its cluster shares it: compressed JSON, and the hash of the text before
// compression. The text names its object, so that no two objects have the same hash: digests sum it as it is.
type Manifest struct {
	Ref  Ref
	Hash ID
	Body []byte // zstd
}

// Event is one Kubernetes Event: a row of a stream with retention, not a node.
type Event struct {
	UID       string
	Namespace string
	Name      string
	Regarding Ref    // what it is about
	Type      string // Normal or Warning
	Reason    string
	Message   string
	Source    string // the component that reports it
	Count     int64
	First     int64 // Unix seconds, by the cluster's clock
	Last      int64
}

// KindReport says how a kind of a cluster is watched, or why it isn't.
type KindReport struct {
	GroupKind
	Version    string // the served version in use
	Plural     string // as in URLs
	Namespaced bool
	Observed   bool
	Reason     string // why not, when not Observed
}

// Delta is rows as they are now, and keys of rows that are gone: what travels and what a store applies. Writing a row that is there
// already, or removing one that isn't, changes nothing.
type Delta struct {
	Nodes         []Node
	Edges         []Edge
	Manifests     []Manifest
	Events        []Event
	GoneNodes     []ID
	GoneEdges     []EdgeID
	GoneManifests []ID
}

// Len is the number of rows and keys.
func (d *Delta) Len() int {
	return len(d.Nodes) + len(d.Edges) + len(d.Manifests) + len(d.Events) + len(d.GoneNodes) + len(d.GoneEdges) + len(d.GoneManifests)
}
