package uplink

import "github.com/kubilitics/kubilitics/shared/topo"

// marks are the keys of rows that the hub may not have as they are now. Keys only: what to send is read when it is sent, so that a row
// that changes a hundred times while it waits costs one place, and is sent once.
type marks struct {
	nodes     map[topo.ID]struct{}
	edges     map[topo.EdgeID]struct{}
	gone      map[topo.ID]struct{} // nodes that were not there when their turn came: told last, after their edges
	manifests map[topo.ID]struct{}
}

func newMarks() marks {
	return marks{nodes: map[topo.ID]struct{}{}, edges: map[topo.EdgeID]struct{}{}, gone: map[topo.ID]struct{}{}, manifests: map[topo.ID]struct{}{}}
}

func (m *marks) len() int { return len(m.nodes) + len(m.edges) + len(m.gone) + len(m.manifests) }

func (m *marks) node(id topo.ID)     { m.nodes[id] = struct{}{} }
func (m *marks) edge(id topo.EdgeID) { m.edges[id] = struct{}{} }
func (m *marks) manifest(id topo.ID) { m.manifests[id] = struct{}{} }

// row marks a row of any table.
func (m *marks) row(t topo.Table, key topo.EdgeID) {
	switch t {
	case topo.Nodes:
		m.node(key.Source)
	case topo.Edges:
		m.edge(key)
	case topo.Manifests:
		m.manifest(key.Source)
	}
}

// diff marks what a change of the graph touched.
func (m *marks) diff(d *topo.Diff) {
	for i := range d.Nodes {
		m.node(d.Nodes[i].Node.Ref.ID())
	}
	for i := range d.Edges {
		m.edge(d.Edges[i].Edge.Key())
	}
}
