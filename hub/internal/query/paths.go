package query

import (
	"cmp"
	"context"
	"math"
	"slices"

	"github.com/kubilitics/kubilitics/hub/internal/fleet"
	"github.com/kubilitics/kubilitics/hub/internal/store"
	"github.com/kubilitics/kubilitics/shared/fault"
	"github.com/kubilitics/kubilitics/shared/topo"
)

// Bounds of a search for paths.
const (
	DefaultPathLength = 8
	MaxPathLength     = 12
	DefaultPaths      = 20
	MaxPaths          = 200
	maxPathWork       = 60_000 // edges looked at, by both sides together
)

// PathQuestion asks for the shortest paths between two nodes of a cluster.
type PathQuestion struct {
	Cluster   fleet.ClusterID
	From, To  topo.ID
	Direction store.Direction // Out: along the edges, Into: against them, Both: either way; "" is Both
	Types     []topo.EdgeType // none: all
	MaxLength int             // edges; 0: DefaultPathLength
	Limit     int             // paths; 0: DefaultPaths
	At        store.When
}

// What came of a search for paths.
const (
	PathsFound   = "found"
	PathsNone    = "none"     // nothing leads from one to the other
	PathsTooLong = "too-long" // nothing of that length does
	PathsGaveUp  = "gave-up"  // too much was looked at
)

// Paths is all shortest paths between two nodes, and what they consist of.
type Paths struct {
	Meta
	Outcome string      `json:"outcome" enum:"found,none,too-long,gave-up" doc:"none: nothing leads there; too-long: not within the length; gave-up: too much was looked at before either was known"`
	Length  int         `json:"length" doc:"edges of each path; 0 where none was found"`
	Paths   [][]string  `json:"paths" doc:"ids of the nodes of each path, from one end to the other; parallel edges are one step"`
	Total   Total       `json:"total" doc:"shortest paths in all"`
	Looked  int         `json:"looked" doc:"edges that were looked at, of those one may see"`
	Nodes   []GraphNode `json:"nodes" doc:"of the paths, with their distance from the first as depth"`
	Edges   []Edge      `json:"edges" doc:"of the paths"`
	// Truncated tells why paths may be missing, and how to get them.
	Truncated *Truncation `json:"truncated,omitempty" doc:"present where paths are left out or may be: why, and how to get them"`
}

func (a PathQuestion) complete() (PathQuestion, error) {
	var err error
	if a.Limit, err = (Page{Limit: a.Limit}).limit(DefaultPaths, MaxPaths); err != nil {
		return a, err
	}
	if a.MaxLength == 0 {
		a.MaxLength = DefaultPathLength
	}
	if a.MaxLength < 0 || a.MaxLength > MaxPathLength {
		return a, fault.New(fault.BadRequest, "the length is out of range").WithField("maxLength", "must be from 1 to %d", MaxPathLength)
	}
	a.Direction, err = direction(a.Direction)
	return a, err
}

func direction(d store.Direction) (store.Direction, error) {
	switch d {
	case "":
		return store.Both, nil
	case store.Out, store.Into, store.Both:
		return d, nil
	}
	return d, fault.New(fault.BadRequest, "there is no direction %q", d).WithField("direction", "must be out, in or both")
}

// Paths answers a PathQuestion from both ends at once, each time from the one that has fewer nodes to go on from. NotFound when an end isn't there.
func (q *Querier) Paths(ctx context.Context, p fleet.Principal, a PathQuestion) (*Paths, error) {
	a, err := a.complete()
	if err != nil {
		return nil, err
	}
	var out *Paths
	err = q.read(ctx, "paths", scope{p, fleet.Get, []fleet.ClusterID{a.Cluster}, a.At}, func(ctx context.Context, r *reading) error {
		f := &pathfinder{
			reading: r, ask: a, work: maxPathWork, edges: map[topo.EdgeID]store.EdgeRow{},
			from: newSide(a.From, a.Direction), to: newSide(a.To, opposite(a.Direction)),
		}
		out, err = f.run(ctx)
		return err
	})
	return out, err
}

func opposite(d store.Direction) store.Direction {
	switch d {
	case store.Out:
		return store.Into
	case store.Into:
		return store.Out
	}
	return d
}

// side is what one end has reached: each node's distance, and the edges that lead to it from the distance before.
type side struct {
	dir      store.Direction
	dist     map[topo.ID]int
	back     map[topo.ID][]step
	frontier []topo.ID
	depth    int
}

type step struct {
	from topo.ID
	edge topo.EdgeID
}

func newSide(start topo.ID, d store.Direction) *side {
	return &side{dir: d, dist: map[topo.ID]int{start: 0}, back: map[topo.ID][]step{}, frontier: []topo.ID{start}}
}

type pathfinder struct {
	*reading
	ask      PathQuestion
	from, to *side
	work     int // edges that may still be looked at
	looked   int // those that may be seen
	edges    map[topo.EdgeID]store.EdgeRow
}

func (f *pathfinder) run(ctx context.Context) (*Paths, error) {
	ends, err := f.rows(ctx, f.ask.Cluster, []topo.ID{f.ask.From, f.ask.To})
	if err != nil {
		return nil, err
	}
	if ends[f.ask.From] == nil {
		return nil, fault.New(fault.NotFound, "the node to begin at isn't in the graph").WithField("from", "isn't in the graph")
	}
	if ends[f.ask.To] == nil {
		return nil, fault.New(fault.NotFound, "the node to go to isn't in the graph").WithField("to", "isn't in the graph")
	}
	outcome, err := f.meet(ctx)
	if err != nil {
		return nil, err
	}
	out := &Paths{Outcome: outcome, Looked: f.looked, Paths: [][]string{}, Nodes: []GraphNode{}, Edges: []Edge{}, Meta: f.meta(nil), Total: Total{Exact: true}}
	return out, f.tell(ctx, out)
}

// meet goes on until the sides touch. Since each goes a whole distance at a time, the first touch is by a shortest path, and every shortest path
// passes one of the nodes where they touch then.
func (f *pathfinder) meet(ctx context.Context) (string, error) {
	for len(f.middle()) == 0 {
		switch {
		case len(f.from.frontier) == 0 || len(f.to.frontier) == 0:
			return PathsNone, nil
		case f.from.depth+f.to.depth == f.ask.MaxLength:
			return PathsTooLong, nil
		}
		near := f.from
		if cmp.Or(cmp.Compare(len(f.to.frontier), len(near.frontier)), cmp.Compare(f.to.depth, near.depth)) < 0 {
			near = f.to
		}
		whole, err := f.advance(ctx, near)
		if err != nil || !whole {
			return PathsGaveUp, err
		}
	}
	return PathsFound, nil
}

// middle is the nodes where the sides touch.
func (f *pathfinder) middle() []topo.ID {
	var out []topo.ID
	for _, id := range f.from.frontier {
		if d, ok := f.to.dist[id]; ok && d == f.to.depth {
			out = append(out, id)
		}
	}
	slices.SortFunc(out, topo.ID.Compare)
	return out
}

// advance takes a side one distance further; whole is false where it may not look at all the edges that go on from it.
func (f *pathfinder) advance(ctx context.Context, s *side) (whole bool, err error) {
	last := s.frontier
	s.frontier, s.depth = nil, s.depth+1
	for chunk := range slices.Chunk(last, chunkNodes) {
		edges, err := f.EdgesOf(ctx, f.scope(f.ask.Cluster), chunk, s.dir, f.ask.Types, f.work+1)
		if err != nil || len(edges) > f.work {
			f.work = 0
			return false, err
		}
		f.work -= len(edges)
		for i := range edges {
			if f.seesEdge(&edges[i]) {
				f.looked++
				f.take(s, &edges[i])
			}
		}
	}
	return true, nil
}

// take notes where an edge leads a side to.
func (f *pathfinder) take(s *side, e *store.EdgeRow) {
	source, target := e.ID.Source, e.Edge.Target.ID()
	if s.dir != store.Into {
		f.enter(s, source, target, e)
	}
	if s.dir != store.Out {
		f.enter(s, target, source, e)
	}
}

func (f *pathfinder) enter(s *side, from, to topo.ID, e *store.EdgeRow) {
	if d, ok := s.dist[from]; !ok || d != s.depth-1 {
		return
	}
	d, seen := s.dist[to]
	if seen && d != s.depth {
		return
	}
	if !seen {
		s.dist[to] = s.depth
		s.frontier = append(s.frontier, to)
	}
	s.back[to] = append(s.back[to], step{from, e.ID})
	f.edges[e.ID] = *e
}

// tell words what was found.
func (f *pathfinder) tell(ctx context.Context, out *Paths) error {
	switch out.Outcome {
	case PathsGaveUp:
		out.Total.Exact = false
		out.Truncated = &Truncation{
			Reason: "too many edges lead on from both ends; the search was given up before it was known whether a path exists",
			Hint:   "restrict by type or direction",
		}
		return nil
	case PathsTooLong:
		out.Total.Exact = false
		out.Truncated = &Truncation{Reason: "there is no path of that length", Hint: "raise maxLength, up to 12"}
		return nil
	case PathsNone:
		return nil
	}
	out.Length = f.from.depth + f.to.depth
	paths := f.enumerate(out)
	for _, p := range paths {
		ids := make([]string, len(p))
		for i, id := range p {
			ids[i] = id.String()
		}
		out.Paths = append(out.Paths, ids)
	}
	if len(paths) < out.Total.Count {
		out.Truncated = &Truncation{Reason: "there are more shortest paths than were asked for", Hint: "raise limit, or restrict by type", Total: &out.Total}
	}
	return f.show(ctx, out, paths)
}

// enumerate gives the paths, as many as were asked for, and counts them all.
func (f *pathfinder) enumerate(out *Paths) (paths [][]topo.ID) {
	starts, ends := tails{side: f.from}, tails{side: f.to}
	for _, m := range f.middle() {
		out.Total.Count = addUp(out.Total.Count, multiply(starts.count(m), ends.count(m)))
		for _, head := range starts.list(m, f.ask.Limit-len(paths)) {
			for _, tail := range ends.list(m, f.ask.Limit-len(paths)) {
				path := slices.Clone(head)
				slices.Reverse(path)
				paths = append(paths, append(path, tail[1:]...))
			}
		}
	}
	out.Total.Exact = out.Total.Count < math.MaxInt32
	return paths
}

// tails are the ways from nodes back to a side's start.
type tails struct {
	side    *side
	counted map[topo.ID]int
}

// before gives the nodes that lead to one, each once.
func (t *tails) before(id topo.ID) []topo.ID {
	var out []topo.ID
	for _, s := range t.side.back[id] {
		out = append(out, s.from)
	}
	slices.SortFunc(out, topo.ID.Compare)
	return slices.Compact(out)
}

func (t *tails) count(id topo.ID) int {
	if t.side.dist[id] == 0 {
		return 1
	}
	if n, ok := t.counted[id]; ok {
		return n
	}
	n := 0
	for _, from := range t.before(id) {
		n = addUp(n, t.count(from))
	}
	if t.counted == nil {
		t.counted = map[topo.ID]int{}
	}
	t.counted[id] = n
	return n
}

// list gives ways from a node to the start, the node first.
func (t *tails) list(id topo.ID, limit int) (out [][]topo.ID) {
	if limit <= 0 {
		return nil
	}
	if t.side.dist[id] == 0 {
		return [][]topo.ID{{id}}
	}
	for _, from := range t.before(id) {
		for _, rest := range t.list(from, limit-len(out)) {
			out = append(out, append([]topo.ID{id}, rest...))
		}
	}
	return out
}

func addUp(a, b int) int { return min(a+b, math.MaxInt32) }

func multiply(a, b int) int { return min(a*b, math.MaxInt32) } // neither is beyond an int32, so it fits

// show adds the nodes of the paths, and every edge between two that follow each other.
func (f *pathfinder) show(ctx context.Context, out *Paths, paths [][]topo.ID) error {
	depth := map[topo.ID]int{}
	follows := map[[2]topo.ID]bool{}
	var ids []topo.ID
	for _, p := range paths {
		for i, id := range p {
			if _, seen := depth[id]; !seen {
				depth[id] = i
				ids = append(ids, id)
			}
			if i > 0 {
				follows[[2]topo.ID{p[i-1], id}], follows[[2]topo.ID{id, p[i-1]}] = true, true
			}
		}
	}
	rows, err := f.rows(ctx, f.ask.Cluster, ids)
	if err != nil {
		return err
	}
	for _, id := range ids {
		if row := rows[id]; row != nil {
			out.Nodes = append(out.Nodes, GraphNode{Resource: resource(row), Depth: new(depth[id])})
		}
	}
	var on []store.EdgeRow
	for _, e := range f.edges {
		if follows[[2]topo.ID{e.ID.Source, e.Edge.Target.ID()}] {
			on = append(on, e)
		}
	}
	slices.SortFunc(on, compareEdges)
	for i := range on {
		out.Edges = append(out.Edges, edge(&on[i]))
	}
	return nil
}
