package query

import (
	"context"
	"slices"

	"github.com/kubilitics/kubilitics/hub/internal/fleet"
	"github.com/kubilitics/kubilitics/hub/internal/store"
	"github.com/kubilitics/kubilitics/shared/topo"
)

// Rollup is how a resource fares together with all that it owns, directly or not.
type Rollup struct {
	Worst string       `json:"worst" enum:"unknown,ok,progressing,warning,error" doc:"the worst of its own health and that of what it owns"`
	Owned HealthCounts `json:"owned" doc:"what it owns, directly or not"`
	Bad   []BadObject  `json:"bad" doc:"the first few of those that fare worst"`
	More  bool         `json:"more,omitempty" doc:"it owns more than was looked at"`
}

// WorkloadHealth is a workload and how it fares with what it owns.
type WorkloadHealth struct {
	Resource
	Rollup Rollup `json:"rollup"`
}

// workloadKinds are what people call workloads, unless something else owns them.
var workloadKinds = []topo.GroupKind{
	{Group: "apps", Kind: "Deployment"}, {Group: "apps", Kind: "StatefulSet"}, {Group: "apps", Kind: "DaemonSet"}, {Group: "apps", Kind: "ReplicaSet"},
	{Group: "batch", Kind: "CronJob"}, {Group: "batch", Kind: "Job"}, {Kind: "ReplicationController"}, {Kind: "Pod"},
}

// Bounds of a roll-up.
const (
	rollupDepth = 6
	rollupEdges = 2000 // of all resources that are rolled up together, at least
	maxWorkload = 500
)

// workloads answers a HealthQuestion about workloads: what nothing owns, of the kinds that are meant.
func (q *Querier) workloads(ctx context.Context, p fleet.Principal, h HealthQuestion) (*Health, error) {
	limit, err := h.limit(DefaultLimit, maxWorkload)
	if err != nil {
		return nil, err
	}
	if len(h.Kinds) == 0 {
		h.Kinds = workloadKinds
	}
	var place listPlace
	question := []any{h.lasting(), h.Level}
	at, err := pin(p.Tenant, question, h.Continue, h.At, &place)
	if err != nil {
		return nil, err
	}
	var out *Health
	err = q.read(ctx, "workloads", scope{p, fleet.List, h.Clusters, at}, func(ctx context.Context, r *reading) error {
		out, err = r.workloads(ctx, h, place, question, limit)
		return err
	})
	return out, late(h.Continue, err)
}

func (r *reading) workloads(ctx context.Context, h HealthQuestion, place listPlace, question any, limit int) (*Health, error) {
	f, err := h.filter(r.view)
	if err != nil {
		return nil, err
	}
	var after *store.Key
	if place.Position != 0 {
		after = &place.After
	}
	rows, err := r.Unlinked(ctx, f, store.Into, []topo.EdgeType{topo.Owns}, after, limit+1)
	if err != nil {
		return nil, err
	}
	out := &Health{Level: string(OfWorkload), Stale: r.anyStale(), Workloads: make([]WorkloadHealth, 0, min(limit, len(rows)))}
	if len(rows) > limit {
		rows = rows[:limit]
		out.Continue = seal(r.view.Tenant, question, listPlace{pinned: pinned{r.Position()}, After: keyOf(&rows[limit-1])})
	}
	ups, err := r.rollups(ctx, rows, h.Bad)
	if err != nil {
		return nil, err
	}
	appear := map[fleet.ClusterID]bool{}
	for i := range rows {
		appear[rows[i].Cluster] = true
		out.Workloads = append(out.Workloads, WorkloadHealth{resource(&rows[i]), ups[i]})
		out.Health.sum(ups[i].Owned)
		out.Health.add(rows[i].Node.Health, 1)
	}
	out.Meta, out.Worst = r.meta(appear), out.Health.Worst().String()
	return out, nil
}

// descent walks down from resources of one cluster to what they own, all together.
type descent struct {
	*reading
	at     store.Scope
	roots  []int                // places in the list
	of     map[topo.ID][]int    // the roots that own a node
	front  []topo.ID            // reached last
	fresh  map[topo.ID][]int    // reached now
	owned  map[int][]*store.Row // by root
	budget int
	more   bool
}

// rollups rolls up each resource with what it owns, telling a few of the worst of it.
func (r *reading) rollups(ctx context.Context, rows []store.Row, each int) ([]Rollup, error) {
	out := make([]Rollup, len(rows))
	by := map[fleet.ClusterID]*descent{}
	for i := range rows {
		d := by[rows[i].Cluster]
		if d == nil {
			d = &descent{reading: r, at: r.scope(rows[i].Cluster), of: map[topo.ID][]int{}, owned: map[int][]*store.Row{}}
			by[rows[i].Cluster] = d
		}
		d.roots, d.front = append(d.roots, i), append(d.front, rows[i].ID)
		d.of[rows[i].ID] = append(d.of[rows[i].ID], i)
	}
	for _, d := range by {
		d.budget = max(rollupEdges, len(d.roots)*20)
		for range rollupDepth {
			if len(d.front) == 0 {
				break
			}
			if err := d.down(ctx); err != nil {
				return nil, err
			}
		}
		for _, root := range d.roots {
			out[root] = rollup(&rows[root], d.owned[root], each)
			out[root].More = d.more
		}
	}
	return out, nil
}

func (d *descent) down(ctx context.Context) error {
	d.fresh = map[topo.ID][]int{}
	for chunk := range slices.Chunk(d.front, chunkNodes) {
		edges, err := d.EdgesOf(ctx, d.at, chunk, store.Out, []topo.EdgeType{topo.Owns}, d.budget+1)
		if err != nil {
			return err
		}
		if len(edges) > d.budget {
			edges, d.more = edges[:d.budget], true
		}
		d.budget -= len(edges)
		for i := range edges {
			if d.seesEdge(&edges[i]) {
				d.reach(edges[i].ID.Source, edges[i].Edge.Target.ID())
			}
		}
	}
	d.front = d.front[:0]
	for id := range d.fresh {
		d.front = append(d.front, id)
	}
	rows, err := d.rows(ctx, d.at.Cluster, d.front)
	for id, row := range rows {
		if row.Node.Presence == topo.Present {
			for _, root := range d.fresh[id] {
				d.owned[root] = append(d.owned[root], row)
			}
		}
	}
	return err
}

// reach notes that the roots of an owner own a node too; each root owns it once.
func (d *descent) reach(owner, owned topo.ID) {
	for _, root := range d.of[owner] {
		if !slices.Contains(d.of[owned], root) {
			d.of[owned] = append(d.of[owned], root)
			d.fresh[owned] = append(d.fresh[owned], root)
		}
	}
}

func rollup(own *store.Row, owned []*store.Row, each int) Rollup {
	out := Rollup{Bad: []BadObject{}}
	all := HealthCounts{}
	all.add(own.Node.Health, 1)
	slices.SortFunc(owned, func(a, b *store.Row) int {
		switch {
		case a.Node.Health.Worse(b.Node.Health):
			return -1
		case b.Node.Health.Worse(a.Node.Health):
			return 1
		}
		return a.Node.Ref.Compare(b.Node.Ref)
	})
	for _, row := range owned {
		out.Owned.add(row.Node.Health, 1)
		if len(out.Bad) < each && row.Node.Health.Worse(topo.Progressing) {
			out.Bad = append(out.Bad, badObject(row))
		}
	}
	all.sum(out.Owned)
	out.Worst = all.Worst().String()
	return out
}
