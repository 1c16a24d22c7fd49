package query

import (
	"context"

	"github.com/kubilitics/kubilitics/hub/internal/fleet"
	"github.com/kubilitics/kubilitics/hub/internal/store"
	"github.com/kubilitics/kubilitics/shared/fault"
	"github.com/kubilitics/kubilitics/shared/topo"
)

// Bounds of an impact's answer.
const (
	DefaultAffected = 1000
	MaxAffected     = 10_000
	MaxImpactDepth  = 20
)

// ImpactQuestion asks what stops working if a node goes.
type ImpactQuestion struct {
	Cluster fleet.ClusterID
	Focus   topo.ID
	Depth   int // steps at most; 0: MaxImpactDepth
	Limit   int // nodes; 0: DefaultAffected
	At      store.When
}

// The words of severity.
const (
	Breaks   = "breaks"
	Degrades = "degrades"
	Blocked  = "blocked"
)

// Impact is what stops working if a node goes.
type Impact struct {
	Meta
	Focus     Resource     `json:"focus"`
	Affected  []Affected   `json:"affected" doc:"what is affected, nearest first"`
	Hits      []Hit        `json:"hits" doc:"what deserves to be looked at first: only replicas, last endpoints, budgets that allow no disruption"`
	Counts    ImpactCounts `json:"counts"`
	Truncated *Truncation  `json:"truncated,omitempty" doc:"present where something is left out: what, and how to get it; the counts are at least then"`
}

// Affected is a node that is affected, and why.
type Affected struct {
	Resource
	Severity string `json:"severity" enum:"breaks,degrades,blocked" doc:"blocked: a budget that refuses the eviction"`
	Gone     bool   `json:"gone,omitempty" doc:"it doesn't only stop working, it goes too"`
	Depth    int    `json:"depth" doc:"steps from the focus"`
	Reason   string `json:"reason" doc:"why, in words that go on from its name"`
	Via      Ref    `json:"via" doc:"the loss of which affects it; the focus, or affected itself"`
	Edge     *Edge  `json:"edge,omitempty" doc:"the relationship to it; absent where it is the namespace that it is in"`
	Causes   int    `json:"causes" doc:"relationships by which it is affected, of which this one is the gravest"`
	More     bool   `json:"more,omitempty" doc:"what depends on it may have been left out"`
}

// Hit is something about an impact that deserves to be looked at first.
type Hit struct {
	Kind     string `json:"kind" enum:"single-replica,last-endpoint,budget" doc:"single-replica: a workload loses its only replica; last-endpoint: a Service loses its only ready Pod; budget: an eviction is refused"`
	Resource Ref    `json:"resource"`
	Sentence string `json:"sentence"`

	why string
}

// ImpactCounts is how many nodes are affected how.
type ImpactCounts struct {
	Breaks   int           `json:"breaks"`
	Degrades int           `json:"degrades"`
	Blocked  int           `json:"blocked"`
	ByKind   []ImpactCount `json:"byKind"`
}

// ImpactCount is how many nodes of a kind are affected.
type ImpactCount struct {
	Group    string `json:"group"`
	Kind     string `json:"kind"`
	Breaks   int    `json:"breaks"`
	Degrades int    `json:"degrades"`
	Blocked  int    `json:"blocked"`
}

func (a ImpactQuestion) complete() (ImpactQuestion, error) {
	var err error
	if a.Limit, err = (Page{Limit: a.Limit}).limit(DefaultAffected, MaxAffected); err != nil {
		return a, err
	}
	if a.Depth == 0 {
		a.Depth = MaxImpactDepth
	}
	if a.Depth < 0 || a.Depth > MaxImpactDepth {
		return a, fault.New(fault.BadRequest, "the depth is out of range").WithField("depth", "must be from 1 to %d", MaxImpactDepth)
	}
	return a, nil
}

// Impact answers an ImpactQuestion by a table of who depends on whom, two queries for edges and at most three more a step. NotFound when the focus isn't there.
func (q *Querier) Impact(ctx context.Context, p fleet.Principal, a ImpactQuestion) (*Impact, error) {
	a, err := a.complete()
	if err != nil {
		return nil, err
	}
	var out *Impact
	err = q.read(ctx, "impact", scope{p, fleet.Get, []fleet.ClusterID{a.Cluster}, a.At}, func(ctx context.Context, r *reading) error {
		row, err := r.one(ctx, r.scope(a.Cluster), a.Focus)
		if err != nil {
			return err
		}
		if row == nil {
			return fault.New(fault.NotFound, "the focus isn't in the graph")
		}
		w := &wave{reading: r, ask: a, at: r.scope(a.Cluster), budget: max(r.q.edges, a.Limit*edgesPerNode), victims: map[topo.ID]*victim{}, causes: map[[2]topo.ID]bool{}}
		if err := w.run(ctx, row); err != nil {
			return err
		}
		out = w.tell(row)
		return nil
	})
	return out, err
}

// wave is the loss of a node as it spreads, a step at a time.
type wave struct {
	*reading
	ask      ImpactQuestion
	at       store.Scope
	budget   int // edges that may still be read
	victims  map[topo.ID]*victim
	order    []*victim // as they were reached
	frontier []topo.ID
	cut      bool
	hits     []Hit
	causes   map[[2]topo.ID]bool // nodes and edges that were counted
}

// victim is a node that is affected.
type victim struct {
	row     *store.Row
	how     loss
	blocks  bool
	depth   int
	why     string
	via     topo.Ref
	edge    *store.EdgeRow
	causes  int
	more    bool
	evicted bool // it goes by an eviction, which a budget may refuse
}

func (w *wave) run(ctx context.Context, focus *store.Row) error {
	w.victims[focus.ID] = &victim{row: focus, how: gone, evicted: focus.Node.Ref.GroupKind() == topo.GroupKind{Kind: "Pod"}}
	w.frontier = []topo.ID{focus.ID}
	if focus.Node.Ref.GroupKind() == (topo.GroupKind{Kind: "Namespace"}) {
		if err := w.flood(ctx, focus); err != nil {
			return err
		}
	}
	first := 1
	if len(w.frontier) > 1 {
		first = 2 // what is in a namespace is one step from it
	}
	for depth := first; depth <= w.ask.Depth && len(w.frontier) > 0 && !w.cut; depth++ {
		if err := w.spread(ctx, depth); err != nil {
			return err
		}
	}
	return nil
}

// flood is the end of a namespace: all that is in it goes too.
func (w *wave) flood(ctx context.Context, space *store.Row) error {
	f := store.Filter{View: w.view, Clusters: []fleet.ClusterID{w.ask.Cluster}, Namespaces: []string{space.Node.Ref.Name}}
	rows, err := w.Resources(ctx, f, nil, w.ask.Limit+1)
	if err != nil {
		return err
	}
	if len(rows) > w.ask.Limit {
		rows, w.cut = rows[:w.ask.Limit], true
	}
	for i := range rows {
		w.add(rows[i].ID, &victim{row: &rows[i], how: gone, depth: 1, why: "is deleted with its Namespace", via: space.Node.Ref, causes: 1})
	}
	return nil
}

func (w *wave) add(id topo.ID, v *victim) {
	w.victims[id] = v
	w.order = append(w.order, v)
	w.frontier = append(w.frontier, id)
}

// spread works out what the newest losses do to others.
func (w *wave) spread(ctx context.Context, depth int) error {
	blows, err := w.blows(ctx)
	if err != nil {
		return err
	}
	last := w.frontier
	w.frontier = nil
	if err := w.strike(ctx, blows, depth); err != nil {
		return err
	}
	if w.cut {
		for _, id := range last {
			w.victims[id].more = true
		}
	}
	return nil
}

// tell words what came of it.
func (w *wave) tell(focus *store.Row) *Impact {
	out := &Impact{Meta: w.meta(nil), Focus: resource(focus), Affected: []Affected{}, Hits: []Hit{}}
	for _, h := range w.hits {
		out.Hits = append(out.Hits, w.raise(h))
	}
	counts := map[topo.GroupKind]*ImpactCount{}
	for _, v := range w.order {
		a := v.word()
		out.Affected = append(out.Affected, a)
		gk := v.row.Node.Ref.GroupKind()
		if counts[gk] == nil {
			counts[gk] = &ImpactCount{Group: gk.Group, Kind: gk.Kind}
		}
		counts[gk].add(a.Severity)
	}
	out.Counts.sum(counts)
	if w.cut {
		out.Truncated = &Truncation{
			Reason: "more is affected, or may be, than fits into one answer; what depends on the nodes marked \"more\" may be left out",
			Hint:   "raise limit, or ask for the impact of one of these nodes",
		}
	}
	return out
}

func (v *victim) word() Affected {
	a := Affected{
		Resource: resource(v.row), Severity: Breaks, Gone: v.how == gone, Depth: v.depth, Reason: v.why, Via: RefOf(v.via), Causes: v.causes, More: v.more,
	}
	switch {
	case v.blocks:
		a.Severity, a.Gone = Blocked, false
	case v.how == degraded:
		a.Severity = Degrades
	}
	if v.edge != nil {
		a.Edge = new(edge(v.edge))
	}
	return a
}
