package rules

import "github.com/kubilitics/kubilitics/shared/topo"

// Row is one rule as data. It says where in an object a reference stands, by exactly one of Ref, Select and Func.
// Users write rows of their own in the same form.
type Row struct {
	// Name is unique and says both ends: "pod-configmap-volume".
	Name string `json:"name"`
	// Section is the heading that the docs list a built-in row under.
	Section string `json:"-"`
	// Doc says what the edge means, in one sentence for people.
	Doc  string        `json:"doc,omitempty"`
	Type topo.EdgeType `json:"type"`
	// From is the kinds it reads: "Pod", "Deployment.apps"; "*" is every kind, "*.*" every one that Kubernetes doesn't
	// have by itself.
	From []string `json:"from"`
	// Versions are the API versions that its paths fit; all if empty.
	Versions []string `json:"versions,omitempty"`
	// At is where the reference stands: paths, of which {a,b} stands for several; the object itself if empty. The other
	// paths of the row start there, or at the object if they start with "$.".
	At []string `json:"at,omitempty"`

	Ref    *Ref    `json:"ref,omitempty"`
	Select *Select `json:"select,omitempty"`
	// Func is the name of a function for what can't be said as data, and Fields are the paths that it reads.
	Func   string   `json:"func,omitempty"`
	Fields []string `json:"fields,omitempty"`

	// Where must hold, all of it, for the reference to count.
	Where []Where `json:"where,omitempty"`
	// Keep is what the edge shows of the object's fields.
	Keep []Keep `json:"keep,omitempty"`
	// Disc is the path of what tells two edges between the same ends apart. Without it they are one.
	Disc string `json:"disc,omitempty"`
	// Reverse draws the edge from what is referred to.
	Reverse bool `json:"reverse,omitempty"`
	// Template: written for Pods, it holds also in the pod templates of all workloads.
	Template bool `json:"template,omitempty"`
}

// Ref is a reference by name. The kind is fixed (To), or read from the object. Without a namespace of its own, the
// target is in that of the object, if its kind has any.
type Ref struct {
	To         string `json:"to,omitempty"`
	Kind       string `json:"kind,omitempty"`       // path of the kind
	APIVersion string `json:"apiVersion,omitempty"` // path of its group with version, "apps/v1"
	Group      string `json:"group,omitempty"`      // path of its group; of both, the one that is there counts
	Name       string `json:"name,omitempty"`       // path of the name; what stands at At if empty
	Namespace  string `json:"namespace,omitempty"`  // path of the namespace
	// Default is the kind that is meant where the path of the kind leads to nothing. A kind of that name without a group is it,
	// too: "Gateway.gateway.networking.k8s.io".
	Default string `json:"default,omitempty"`
	// SameGroup says that an absent group means that of Default, whatever the kind.
	SameGroup bool `json:"sameGroup,omitempty"`
	// Granted says that a target in another namespace must be granted there, by a ReferenceGrant. Such edges show
	// "crossNamespace"; whether it is granted follows from the grants' edges.
	Granted bool `json:"granted,omitempty"`
	// Cluster says that the target's kind has no namespace, which is then known before discovery says it.
	Cluster bool `json:"cluster,omitempty"`
}

// Select is a reference by labels.
type Select struct {
	To   string `json:"to"`
	Path string `json:"path,omitempty"` // of the selector; what stands at At if empty
	// Form is "labels", a plain map, or "labelSelector", with matchLabels and matchExpressions.
	Form string `json:"form"`
	// Empty and Absent say what an empty selector and none select: "all" or "none".
	Empty  string `json:"empty"`
	Absent string `json:"absent"`
	// Namespaces is where: the object's own if empty, all if "*", else the path of a list of names, or of a label selector
	// of namespaces. No list, an empty one and no selector mean the object's own; an empty selector means all. A selector
	// that wants more than names (kubernetes.io/metadata.name) picks nothing: what labels namespaces have isn't looked up.
	Namespaces string `json:"namespaces,omitempty"`
	// Anywhere is the path of what says "true" where all namespaces are meant.
	Anywhere string `json:"anywhere,omitempty"`
	// UnlessOwned leaves out what the object owns, also through others.
	UnlessOwned bool `json:"unlessOwned,omitempty"`
}

// Where is a condition on a field: that it, or an item of it, is one of Is, and none of Not. "" is an absent field, or an
// empty list.
type Where struct {
	Path string   `json:"path"`
	Is   []string `json:"is,omitempty"`
	Not  []string `json:"not,omitempty"`
}

// Keep is an attribute of the edge: read from a path, or the Value that all edges of the row have.
type Keep struct {
	Attr  string `json:"attr"`
	Path  string `json:"path,omitempty"`
	Value string `json:"value,omitempty"`
}

// The words of Select.
const (
	Labels        = "labels"
	LabelSelector = "labelSelector"
	All           = "all"
	None          = "none"
)
