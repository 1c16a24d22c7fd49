package topo

import (
	"cmp"
	"strings"
)

// GroupKind names a kind of object: the API group ("" is the core group) and the kind as Kubernetes spells it.
type GroupKind struct {
	Group string
	Kind  string
}

// String gives "Pod" for the core group and "Deployment.apps" otherwise, as kubectl words it.
func (k GroupKind) String() string {
	if k.Group == "" {
		return k.Kind
	}
	return k.Kind + "." + k.Group
}

// Ref names an object within one cluster. The served API version is no part of it: an object is the same one under
// every version. Namespace is empty for cluster-scoped kinds.
type Ref struct {
	Group     string
	Kind      string
	Namespace string
	Name      string
}

// GroupKind gives the kind of the object named.
func (r Ref) GroupKind() GroupKind { return GroupKind{Group: r.Group, Kind: r.Kind} }

// String gives "Deployment.apps shop/web", or "Node n1" without a namespace.
func (r Ref) String() string {
	var b strings.Builder
	b.WriteString(r.GroupKind().String())
	b.WriteByte(' ')
	if r.Namespace != "" {
		b.WriteString(r.Namespace)
		b.WriteByte('/')
	}
	b.WriteString(r.Name)
	return b.String()
}

// Compare orders by group, kind, namespace, name.
func (r Ref) Compare(o Ref) int {
	return cmp.Or(
		cmp.Compare(r.Group, o.Group),
		cmp.Compare(r.Kind, o.Kind),
		cmp.Compare(r.Namespace, o.Namespace),
		cmp.Compare(r.Name, o.Name),
	)
}

// ID is the key of the node that the Ref names: 128 bits, the same wherever it is computed.
func (r Ref) ID() ID {
	var scratch [192]byte
	return canon(scratch[:0]).str(r.Group).str(r.Kind).str(r.Namespace).str(r.Name).sum()
}
