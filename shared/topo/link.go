package topo

import "slices"

// Rules is what the engine asks of a table of relationships. Its answers never change while an engine uses it.
type Rules interface {
	// Rules lists the rules by number. One row of the table may stand under several numbers, one a path: rules of
	// equal names are one rule to the graph.
	Rules() []Rule
	// Links gives what an object refers to. It depends on nothing but the Ref, Owners and Facts of the object; what is
	// emitted belongs to the engine only during the call.
	Links(r *Resource, emit func(*Link))
	// Virtual tells a kind that needs no object to be there: a User, a CIDR block, a set.
	Virtual(GroupKind) bool
	// ClusterScoped lists kinds known to have no namespace before discovery says so.
	ClusterScoped() []GroupKind
}

// Rule is a row of a table as far as the engine needs it.
type Rule struct {
	Name string
	Type EdgeType
	// Reverse: the edge is drawn from what is referred to, to the object that refers.
	Reverse bool
	// Owner: the reference is verified by UID. While the object at that place has another one, the edge says which is
	// wanted (attribute wantUID).
	Owner bool
	// UnlessOwned: a selector's edge is not drawn to an object that the selecting one owns, also through others.
	UnlessOwned bool
	// Selects is the kind whose objects a selector picks; zero in rules that name their targets, and in those whose links
	// say the kind.
	Selects GroupKind
	// Path is the text of the field path, cut where the indices stand: "spec.volumes[", "].configMap.name".
	Path []string
}

// Link is one thing that an object refers to: by name or, when Selector is set, by label.
type Link struct {
	Rule uint16
	At   At
	// To is the target. Without a namespace, the target's is that of the object that refers, unless the target's kind
	// has none. A virtual target stands as given. Of a selector's target only the kind counts, and that is the rule's where
	// the rule has one.
	To Ref
	// UID is what an Owner rule wants the target to have.
	UID string
	// Selector picks the targets in the object's own namespace, in those listed or, for "*", in all.
	Selector   *Selector
	Namespaces []string
	Disc       string
	Attrs      []Pair
	// TargetAttrs are the attributes of a virtual target. They follow from its Ref: every link to it gives the same.
	TargetAttrs []Pair
}

// Operator is how a requirement compares.
type Operator uint8

// The operators of label selectors.
const (
	In Operator = iota
	NotIn
	Exists
	DoesNotExist
)

// Requirement is one condition on one label.
type Requirement struct {
	Key    string
	Op     Operator
	Values []string
}

// Selector is a conjunction of requirements. Without any it matches everything.
type Selector []Requirement

func (r *Requirement) fulfilled(value string, has bool) bool {
	switch r.Op {
	case In:
		return has && slices.Contains(r.Values, value)
	case NotIn:
		return !has || !slices.Contains(r.Values, value)
	case Exists:
		return has
	default:
		return !has
	}
}

// KindState is what discovery and the watches know of a kind.
type KindState struct {
	Namespaced bool
	Observed   bool // watched and listed once: what isn't there is missing
}
