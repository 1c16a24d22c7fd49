package query

import (
	"context"

	"github.com/kubilitics/kubilitics/hub/internal/fleet"
	"github.com/kubilitics/kubilitics/hub/internal/store"
	"github.com/kubilitics/kubilitics/shared/rules"
	"github.com/kubilitics/kubilitics/shared/topo"
)

// Bounds of what clusters share.
const (
	DefaultShared  = 50
	MaxShared      = 500
	maxSharedEdges = 1000 // of one cluster, in one answer
)

// SharedQuestion asks what ties clusters together.
type SharedQuestion struct {
	Clusters []fleet.ClusterID // at least two of these; none: of all
	Kinds    []topo.GroupKind  // none: all that clusters can share
	At       store.When
	Page
}

// SharedList is a page of what several clusters have, in the order of Ref.
type SharedList struct {
	Meta
	Items    []SharedNode `json:"items"`
	Continue string       `json:"continue,omitempty" doc:"gives the next page; absent on the last"`
}

// SharedNode is something that several clusters have: the same host name, image, Git source or exported service.
type SharedNode struct {
	Ref
	Clusters []SharedIn `json:"clusters" doc:"those that have it, at least two"`
}

// SharedIn is what one cluster has to do with it.
type SharedIn struct {
	Cluster string `json:"cluster"`
	Edges   []Edge `json:"edges" doc:"the relationships of the cluster's own resources to it"`
	More    bool   `json:"more,omitempty" doc:"there are others; the cluster's topology with it as focus has them"`
}

type sharedPlace struct {
	pinned
	After topo.Ref
}

// Shared answers a SharedQuestion. Clusters of which only some namespaces may be seen take no part.
func (q *Querier) Shared(ctx context.Context, p fleet.Principal, s SharedQuestion) (*SharedList, error) {
	limit, err := s.limit(DefaultShared, MaxShared)
	if err != nil {
		return nil, err
	}
	question := []any{s.Clusters, s.Kinds}
	var place sharedPlace
	at, err := pin(p.Tenant, question, s.Continue, s.At, &place)
	if err != nil {
		return nil, err
	}
	var out *SharedList
	err = q.read(ctx, "shared", scope{p, fleet.List, s.Clusters, at}, func(ctx context.Context, r *reading) error {
		var after *topo.Ref
		if s.Continue != "" {
			after = &place.After
		}
		rows, err := r.Snapshot.Shared(ctx, r.view, s.Clusters, s.Kinds, after, limit+1)
		if err != nil {
			return err
		}
		out = &SharedList{Items: []SharedNode{}}
		if len(rows) > limit {
			rows = rows[:limit]
			out.Continue = seal(p.Tenant, question, sharedPlace{pinned{r.Position()}, rows[limit-1].Ref})
		}
		return r.tellShared(ctx, rows, out)
	})
	return out, late(s.Continue, err)
}

// tellShared adds each cluster's own edges, by one query a cluster.
func (r *reading) tellShared(ctx context.Context, rows []store.Shared, out *SharedList) error {
	ids := map[fleet.ClusterID][]topo.ID{}
	for _, row := range rows {
		for _, c := range row.Clusters {
			ids[c] = append(ids[c], row.Ref.ID())
		}
	}
	found := map[nodeKey][]Edge{}
	cut := map[fleet.ClusterID]bool{}
	appear := map[fleet.ClusterID]bool{}
	for c, some := range ids {
		edges, err := r.EdgesOf(ctx, r.scope(c), some, store.Both, nil, maxSharedEdges+1)
		if err != nil {
			return err
		}
		if cut[c] = len(edges) > maxSharedEdges; cut[c] {
			edges = edges[:maxSharedEdges]
		}
		for i := range edges {
			e := edge(&edges[i])
			found[nodeKey{c, edges[i].ID.Source}] = append(found[nodeKey{c, edges[i].ID.Source}], e)
			found[nodeKey{c, edges[i].Edge.Target.ID()}] = append(found[nodeKey{c, edges[i].Edge.Target.ID()}], e)
		}
		appear[c] = true
	}
	for _, row := range rows {
		node := SharedNode{Ref: RefOf(row.Ref)}
		for _, c := range row.Clusters {
			edges := found[nodeKey{c, row.Ref.ID()}]
			if edges == nil {
				edges = []Edge{}
			}
			node.Clusters = append(node.Clusters, SharedIn{Cluster: c.String(), Edges: edges, More: cut[c]})
		}
		out.Items = append(out.Items, node)
	}
	out.Meta = r.meta(appear)
	return nil
}

// SharedRef is something that several clusters have.
type SharedRef struct {
	Ref
	Clusters []string `json:"clusters" doc:"ids of those that have it, at least two"`
}

// addShared tells which nodes of a graph lead to other clusters. Nodes that stand for no object are few, so it is cheap to ask of each.
func (r *reading) addShared(ctx context.Context, g *Graph) error {
	var ids []topo.ID
	for i := range g.Nodes {
		if n := &g.Nodes[i]; n.Group == rules.OwnGroup {
			if id, err := topo.ParseID(n.ID); err == nil {
				ids = append(ids, id)
			}
		}
	}
	if len(ids) == 0 {
		return nil
	}
	found, err := r.SharedAmong(ctx, r.view, ids)
	for _, x := range found {
		ref := SharedRef{Ref: RefOf(x.Ref)}
		for _, c := range x.Clusters {
			ref.Clusters = append(ref.Clusters, c.String())
		}
		g.Shared = append(g.Shared, ref)
	}
	return err
}
