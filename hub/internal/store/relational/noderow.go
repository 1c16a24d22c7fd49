package relational

import (
	"github.com/kubilitics/kubilitics/shared/topo"
)

// NodeColumns are the columns of resources that make a node, after the key.
const NodeColumns = `r.api_group, r.kind, r.namespace, r.name, r.uid, r.version, r.presence, r.health, r.status, r.created, r.labels, r.attrs`

// NodeCells takes the columns of one row in the order of NodeColumns.
type NodeCells struct {
	Node             topo.Node
	presence, health int64
	labels, attrs    string
}

// Dest gives where to scan to, after the row's own destinations.
func (n *NodeCells) Dest(before ...any) []any {
	r := &n.Node.Ref
	return append(before, &r.Group, &r.Kind, &r.Namespace, &r.Name, &n.Node.UID, &n.Node.Version, &n.presence, &n.health,
		&n.Node.Status, &n.Node.Created, &n.labels, &n.attrs)
}

// Decode finishes the node. An error says that a column was damaged; the node then has what is readable.
func (n *NodeCells) Decode() error {
	n.Node.Presence = topo.Presence(narrow(n.presence))
	n.Node.Health = topo.Health(narrow(n.health))
	var errLabels, errAttrs error
	n.Node.Labels, errLabels = DecodePairs(n.labels)
	n.Node.Attrs, errAttrs = DecodePairs(n.attrs)
	if errLabels != nil {
		return errLabels
	}
	return errAttrs
}

// narrow keeps a damaged number from passing for another that is valid.
func narrow(n int64) uint8 {
	if n < 0 || n > 254 {
		return 255
	}
	return uint8(n)
}

// EdgeColumns are the columns of edges and of the identities of both ends that make an edge, after the key.
const EdgeColumns = `e.rule, e.type, e.disc, e.path, e.attrs,
	coalesce(s.api_group, ''), coalesce(s.kind, ''), coalesce(s.namespace, ''), coalesce(s.name, ''),
	coalesce(t.api_group, ''), coalesce(t.kind, ''), coalesce(t.namespace, ''), coalesce(t.name, '')`

// EdgeEnds joins the identities of both ends. An edge without one, which only damage explains, must still be found to be removed.
const EdgeEnds = ` LEFT JOIN refs s ON s.tenant_id = e.tenant_id AND s.cluster_id = e.cluster_id AND s.id = e.source
	LEFT JOIN refs t ON t.tenant_id = e.tenant_id AND t.cluster_id = e.cluster_id AND t.id = e.target`

// EdgeCells takes the columns of one row in the order of EdgeColumns.
type EdgeCells struct {
	Edge  topo.Edge
	attrs string
}

// Dest gives where to scan to, after the row's own destinations.
func (e *EdgeCells) Dest(before ...any) []any {
	x := &e.Edge
	return append(before, &x.Rule, (*string)(&x.Type), &x.Disc, &x.Path, &e.attrs,
		&x.Source.Group, &x.Source.Kind, &x.Source.Namespace, &x.Source.Name, &x.Target.Group, &x.Target.Kind, &x.Target.Namespace, &x.Target.Name)
}

// Decode finishes the edge; see NodeCells.Decode.
func (e *EdgeCells) Decode() (err error) {
	e.Edge.Attrs, err = DecodePairs(e.attrs)
	return err
}

// AppOf gives the application of a node, which has a column of its own besides its attribute.
func AppOf(n *topo.Node) string {
	app, _ := topo.Value(n.Attrs, "app")
	return app
}
