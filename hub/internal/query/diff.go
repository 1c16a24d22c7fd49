package query

import (
	"context"
	"slices"
	"time"

	"github.com/kubilitics/kubilitics/hub/internal/fleet"
	"github.com/kubilitics/kubilitics/hub/internal/store"
	"github.com/kubilitics/kubilitics/shared/fault"
	"github.com/kubilitics/kubilitics/shared/topo"
)

// Bounds of a difference.
const (
	MaxChanges    = 500
	countedRows   = 2000 // changes are counted exactly up to here
	countedEdges  = 4000
	scannedEdges  = 20   // batches of edges looked at for one page, where they are picked out
	edgeBatchSize = 1000 // the least of them
)

// DiffQuestion asks what of the graph differs between two moments: of a fleet, a cluster, a namespace or an object, as Where says. At is the later.
type DiffQuestion struct {
	Where
	From store.When
	Page
}

// Diff is what differs between two moments: resources first, then edges.
type Diff struct {
	Meta
	From      Moment       `json:"from" doc:"the earlier moment; position and at are those of the later"`
	Counts    DiffCounts   `json:"counts" doc:"of all pages"`
	Nodes     []NodeChange `json:"nodes"`
	Edges     []EdgeChange `json:"edges"`
	Continue  string       `json:"continue,omitempty" doc:"gives the next page; absent on the last"`
	Truncated *Truncation  `json:"truncated,omitempty" doc:"present where something is left out for good: what, and how to get it"`
}

// Moment is a position and its instant.
type Moment struct {
	Position topo.Position `json:"position"`
	At       time.Time     `json:"at"`
}

// DiffCounts is how much differs.
type DiffCounts struct {
	Added        int  `json:"added"`
	Removed      int  `json:"removed"`
	Changed      int  `json:"changed"`
	EdgesAdded   int  `json:"edgesAdded"`
	EdgesRemoved int  `json:"edgesRemoved"`
	EdgesChanged int  `json:"edgesChanged"`
	Exact        bool `json:"exact" doc:"false: there are at least that many"`
}

// NodeChange is what became of a resource.
type NodeChange struct {
	Op       string        `json:"op" enum:"added,removed,changed"`
	Before   *Resource     `json:"before,omitempty"`
	After    *Resource     `json:"after,omitempty"`
	Changed  []FieldChange `json:"changed" doc:"fields that differ"`
	Late     bool          `json:"late,omitempty" doc:"the last change was found late, after a gap in what was known"`
	GapSince *time.Time    `json:"gapSince,omitempty" doc:"where it was found late: when the gap began in which it happened"`
}

// EdgeChange is what became of an edge.
type EdgeChange struct {
	Op       string        `json:"op" enum:"added,removed,changed"`
	Before   *Edge         `json:"before,omitempty"`
	After    *Edge         `json:"after,omitempty"`
	Changed  []FieldChange `json:"changed" doc:"fields that differ"`
	Late     bool          `json:"late,omitempty" doc:"it was found late, after a gap in what was known; not told of those that were removed"`
	GapSince *time.Time    `json:"gapSince,omitempty"`
}

const (
	opAdded   = "added"
	opRemoved = "removed"
	opChanged = "changed"
)

// diffPlace is where a difference goes on: behind a resource, or, once Edges is set, behind an edge.
type diffPlace struct {
	pinned
	From      Moment
	Counts    DiffCounts
	After     *store.Key
	Edges     bool
	AfterEdge *store.EdgePlace
}

// Diff answers a DiffQuestion page by page.
func (q *Querier) Diff(ctx context.Context, p fleet.Principal, d DiffQuestion) (*Diff, error) {
	limit, err := d.limit(DefaultLimit, MaxChanges)
	if err != nil {
		return nil, err
	}
	var place diffPlace
	question := []any{d.lasting(), "diff"} // From is another position each time where it is counted from now
	at, err := pin(p.Tenant, question, d.Continue, d.At, &place)
	if err != nil {
		return nil, err
	}
	if d.Continue == "" {
		if place.From, err = q.from(ctx, p.Tenant, d.From); err != nil {
			return nil, err
		}
	}
	var out *Diff
	err = q.read(ctx, "diff", scope{p, fleet.List, d.Clusters, at}, func(ctx context.Context, r *reading) error {
		f, err := d.filter(r.view)
		if err != nil {
			return err
		}
		t := &teller{reading: r, ask: d, filter: f, place: place, limit: limit, out: &Diff{Nodes: []NodeChange{}, Edges: []EdgeChange{}}}
		if err := t.run(ctx); err != nil {
			return err
		}
		if t.more {
			t.place.pinned = pinned{r.Position()}
			t.out.Continue = seal(p.Tenant, question, t.place)
		}
		out = t.out
		return nil
	})
	return out, late(d.Continue, err)
}

// from finds the earlier moment.
func (q *Querier) from(ctx context.Context, tenant fleet.TenantID, when store.When) (Moment, error) {
	if when.Now() {
		return Moment{}, fault.New(fault.BadRequest, "a difference has a beginning").WithField("from", "must be given: a position, a time, or how long ago")
	}
	pos, at, err := q.store.Resolve(ctx, tenant, when)
	if err != nil && len(fault.Public(err).Fields) > 0 {
		told := fault.Wrap(err, fault.CodeOf(err), "%s", fault.Public(err).Message)
		for _, f := range fault.Public(err).Fields {
			told = told.WithField("from", "%s", f.Reason)
		}
		return Moment{}, told
	}
	return Moment{Position: pos, At: at.UTC()}, err
}

// teller tells one page of a difference.
type teller struct {
	*reading
	ask    DiffQuestion
	filter store.Filter
	place  diffPlace
	limit  int
	more   bool
	out    *Diff
}

func (t *teller) run(ctx context.Context) error {
	first := t.place.Position == 0
	t.out.Meta, t.out.From = t.meta(nil), t.place.From
	if first {
		t.place.Counts.Exact = true
	}
	if !t.place.Edges {
		if err := t.nodes(ctx, first); err != nil {
			return err
		}
	}
	if !t.edgesMeant() {
		t.out.Truncated = &Truncation{Reason: "which edges are meant by labels, fields or terms can't be told of the past; they are left out", Hint: "restrict by namespace, kind or name instead"}
	} else if err := t.edges(ctx, first); err != nil {
		return err
	}
	t.out.Counts = t.place.Counts
	return nil
}

func (t *teller) edgesMeant() bool {
	return t.ask.Labels == "" && t.ask.Fields == "" && len(t.ask.Terms) == 0
}

// edges tells what became of edges, with what is left of the page's room. The first page also counts them, even where it has no room for any.
func (t *teller) edges(ctx context.Context, first bool) error {
	room := t.limit - len(t.out.Nodes)
	if room <= 0 || t.more {
		t.more = t.more || !first
		room = 0
	}
	if !first && room == 0 {
		return nil
	}
	most := room + 1
	if first {
		most = max(most, countedEdges+1)
	}
	changes, upTo, err := t.edgeChanges(ctx, most)
	if err != nil {
		return err
	}
	if first {
		t.place.Counts.Exact = t.place.Counts.Exact && len(changes) < most && upTo == nil
		for i := range changes {
			t.place.Counts.edge(edgeOp(&changes[i]))
		}
	}
	switch {
	case len(changes) > room:
		t.more, changes = true, changes[:room]
		if room > 0 {
			t.place.AfterEdge = &store.EdgePlace{Cluster: changes[room-1].Cluster, ID: changes[room-1].ID}
		}
	case upTo != nil:
		t.more, t.place.AfterEdge = true, upTo
	}
	return t.tellEdges(ctx, changes)
}

// edgeChanges picks out the changes of edges that are meant, since the store knows clusters and namespaces only. Where it looked at too many to go
// on, upTo is where it stopped.
func (t *teller) edgeChanges(ctx context.Context, most int) (out []store.EdgeChange, upTo *store.EdgePlace, err error) {
	after := t.place.AfterEdge
	for range scannedEdges {
		size := max(most, edgeBatchSize)
		batch, err := t.EdgeChanges(ctx, t.filter, t.place.From.Position, after, size)
		if err != nil {
			return nil, nil, err
		}
		for i := range batch {
			if t.meansEdge(&batch[i]) {
				if out = append(out, batch[i]); len(out) == most {
					return out, nil, nil
				}
			}
		}
		if len(batch) < size {
			return out, nil, nil
		}
		last := &batch[len(batch)-1]
		after = &store.EdgePlace{Cluster: last.Cluster, ID: last.ID}
	}
	return out, after, nil
}

// meansEdge tells whether one of the ends is of the kinds and names.
func (t *teller) meansEdge(c *store.EdgeChange) bool {
	e := c.After
	if e == nil {
		e = c.Before
	}
	if !t.seesEdge(e) {
		return false
	}
	return slices.ContainsFunc([]topo.Ref{e.Edge.Source, e.Edge.Target}, func(r topo.Ref) bool {
		return (len(t.ask.Kinds) == 0 || slices.Contains(t.ask.Kinds, r.GroupKind())) && (len(t.ask.Names) == 0 || slices.Contains(t.ask.Names, r.Name)) &&
			(len(t.ask.Namespaces) == 0 || slices.Contains(t.ask.Namespaces, r.Namespace))
	})
}

func (t *teller) tellEdges(ctx context.Context, changes []store.EdgeChange) error {
	var positions []topo.Position
	for i := range changes {
		if changes[i].After != nil {
			positions = append(positions, changes[i].After.Since)
		}
	}
	slices.Sort(positions)
	instants, err := t.Instants(ctx, slices.Compact(positions))
	if err != nil {
		return err
	}
	for i := range changes {
		c := &changes[i]
		e := EdgeChange{Op: edgeOp(c), Changed: []FieldChange{}}
		if c.Before != nil {
			e.Before = new(edge(c.Before))
		}
		if c.After != nil {
			e.After = new(edge(c.After))
			e.GapSince = instant(instants[c.After.Since].GapSince)
			e.Late = e.GapSince != nil
		}
		if c.Before != nil && c.After != nil {
			e.Changed = edgeChanges(&c.Before.Edge, &c.After.Edge)
		}
		t.out.Edges = append(t.out.Edges, e)
	}
	return nil
}

func edgeOp(c *store.EdgeChange) string {
	switch {
	case c.Before == nil:
		return opAdded
	case c.After == nil:
		return opRemoved
	}
	return opChanged
}

func (c *DiffCounts) node(op string) {
	switch op {
	case opAdded:
		c.Added++
	case opRemoved:
		c.Removed++
	default:
		c.Changed++
	}
}

func (c *DiffCounts) edge(op string) {
	switch op {
	case opAdded:
		c.EdgesAdded++
	case opRemoved:
		c.EdgesRemoved++
	default:
		c.EdgesChanged++
	}
}
