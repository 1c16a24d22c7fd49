package export

import (
	"cmp"
	"iter"
	"maps"
	"slices"

	"github.com/kubilitics/kubilitics/hub/internal/fleet"
	"github.com/kubilitics/kubilitics/hub/internal/query"
	"github.com/kubilitics/kubilitics/shared/fault"
	"github.com/kubilitics/kubilitics/shared/topo"
)

// merge joins pages. It holds the keys of what was written, and the nodes that were outside on all pages so far.
type merge struct {
	to       encoder
	clusters map[string]uint32
	nodes    map[element]bool
	edges    map[element]bool
	outside  map[element]*query.GraphNode
	whole    *query.Graph
	cut      *query.Truncation // of a page that has lost edges
}

// element is the key of a node or an edge, small, since there may be millions.
type element struct {
	cluster uint32
	id      topo.ID
}

func newMerge(to encoder) *merge {
	return &merge{to: to, clusters: map[string]uint32{}, nodes: map[element]bool{}, edges: map[element]bool{}, outside: map[element]*query.GraphNode{}}
}

func (m *merge) all(pages iter.Seq2[*query.Graph, error]) error {
	for page, err := range pages {
		if err != nil {
			return err
		}
		if m.whole == nil {
			if err := m.to.begin(page); err != nil {
				return err
			}
			m.whole = &query.Graph{Meta: page.Meta}
			m.whole.Freshness = map[string]fleet.Freshness{}
		}
		if err := m.page(page); err != nil {
			return err
		}
	}
	if m.whole == nil { // not one page: an empty graph
		m.whole = &query.Graph{}
		if err := m.to.begin(m.whole); err != nil {
			return err
		}
	}
	if err := m.rest(); err != nil {
		return err
	}
	return m.to.end(m.whole)
}

func (m *merge) page(page *query.Graph) error {
	last := page.Truncated == nil || page.Truncated.Continue == ""
	for i := range page.Nodes {
		if err := m.node(&page.Nodes[i], page.Truncated); err != nil {
			return err
		}
	}
	for i := range page.Edges {
		if err := m.edge(&page.Edges[i], last); err != nil {
			return err
		}
	}
	maps.Copy(m.whole.Freshness, page.Freshness)
	m.whole.Truncated = page.Truncated // the last page's is what none brings
	return nil
}

func (m *merge) node(n *query.GraphNode, t *query.Truncation) error {
	if n.More && t != nil {
		m.cut = t
	}
	key, err := m.key(n.Cluster, n.ID)
	switch {
	case err != nil:
		return err
	case m.nodes[key]:
		return nil
	case n.Outside:
		m.outside[key] = n
		return nil
	}
	m.nodes[key] = true
	delete(m.outside, key)
	return m.to.node(n)
}

func (m *merge) edge(e *query.Edge, last bool) error {
	key, err := m.key(e.Cluster, e.ID)
	if err != nil || m.edges[key] {
		return err
	}
	if !last {
		m.edges[key] = true
	}
	return m.to.edge(e)
}

func (m *merge) key(cluster, id string) (element, error) {
	n, ok := m.clusters[cluster]
	if !ok {
		n = uint32(len(m.clusters))
		m.clusters[cluster] = n
	}
	key, err := topo.ParseID(id)
	if err != nil {
		return element{}, fault.Wrap(err, fault.Internal, "a graph with the key %q can't be exported", id)
	}
	return element{n, key}, nil
}

// rest writes the nodes that no page was asked for, in the order of their keys.
func (m *merge) rest() error {
	keys := slices.SortedFunc(maps.Keys(m.outside), func(a, b element) int {
		return cmp.Or(cmp.Compare(a.cluster, b.cluster), a.id.Compare(b.id))
	})
	for _, k := range keys {
		if err := m.to.node(m.outside[k]); err != nil {
			return err
		}
	}
	if m.whole.Truncated == nil && m.cut != nil {
		cut := *m.cut
		cut.Continue = ""
		m.whole.Truncated = &cut
	}
	return nil
}
