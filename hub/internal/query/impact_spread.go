package query

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/kubilitics/kubilitics/hub/internal/store"
	"github.com/kubilitics/kubilitics/shared/topo"
)

// blow is what the loss of one end of an edge may do to the other, by one row of the table.
type blow struct {
	on     topo.ID
	row    *effect
	edge   *store.EdgeRow
	lost   *victim
	others *tally // where it needs one of several
}

// tally is the several things of which one is needed.
type tally struct {
	all, left int
}

// blows reads the edges of the newest losses, and gives what they may do, in a stable order.
func (w *wave) blows(ctx context.Context) ([]blow, error) {
	var out []blow
	for _, way := range []struct {
		dir   store.Direction
		lost  end
		types []topo.EdgeType
	}{{store.Out, source, sourceLossTypes}, {store.Into, target, targetLossTypes}} {
		for chunk := range slices.Chunk(w.frontier, chunkNodes) {
			edges, err := w.EdgesOf(ctx, w.at, chunk, way.dir, way.types, w.budget+1)
			if err != nil {
				return nil, err
			}
			if len(edges) > w.budget {
				edges, w.cut = edges[:w.budget], true
			}
			w.budget -= len(edges)
			edges = w.visibleEdges(edges)
			for i := range edges {
				out = w.consider(out, &edges[i], way.lost)
			}
		}
	}
	slices.SortStableFunc(out, func(a, b blow) int { return compareEdges(*a.edge, *b.edge) })
	return out, nil
}

func (w *wave) consider(out []blow, e *store.EdgeRow, lost end) []blow {
	hit, on := e.ID.Source, e.Edge.Target.ID()
	if lost == target {
		hit, on = on, hit
	}
	v := w.victims[hit]
	if v == nil || on == w.ask.Focus {
		return out
	}
	for i := range effects {
		row := &effects[i]
		if row.applies(&e.Edge, lost, v.how) && (!row.Blocks || v.evicted) {
			out = append(out, blow{on: on, row: row, edge: e, lost: v})
		}
	}
	return out
}

// strike lets blows fall: it finds out what needs one of several, and keeps for each node the gravest.
func (w *wave) strike(ctx context.Context, blows []blow, depth int) error {
	needed, err := w.quorums(ctx, blows)
	if err != nil {
		return err
	}
	var unknown []topo.ID
	for i := range blows {
		b := &blows[i]
		if b.row.Of != "" {
			b.others = needed[need{b.on, b.row}]
		}
		if w.victims[b.on] == nil {
			unknown = append(unknown, b.on)
		}
	}
	slices.SortFunc(unknown, topo.ID.Compare)
	rows, err := w.rows(ctx, w.ask.Cluster, slices.Compact(unknown))
	if err != nil {
		return err
	}
	worse := map[topo.ID]bool{}
	for i := range blows {
		w.fall(&blows[i], rows[blows[i].on], depth, worse)
	}
	for _, id := range w.frontier {
		delete(worse, id)
	}
	again := slices.SortedFunc(maps.Keys(worse), topo.ID.Compare)
	w.frontier = append(w.frontier, again...)
	return nil
}

// fall applies one blow. Nodes that were known before and fare worse now are noted, to be followed again.
func (w *wave) fall(b *blow, row *store.Row, depth int, worse map[topo.ID]bool) {
	v := w.victims[b.on]
	how := b.result()
	if v != nil {
		row = v.row
	}
	if row == nil || row.Node.Presence == topo.Missing || (how == none && !b.row.Blocks) || (b.row.Blocks && !allowsNone(row)) {
		return
	}
	if v == nil {
		if len(w.order) >= w.ask.Limit {
			w.cut = true
			return
		}
		v = &victim{row: row, depth: depth}
		w.add(b.on, v)
	}
	if cause := [2]topo.ID{b.on, b.edge.ID.ID}; !w.causes[cause] {
		w.causes[cause] = true
		v.causes++
	}
	if how <= v.how && v.why != "" {
		return
	}
	v.how, v.blocks, v.why, v.edge, v.via = how, b.row.Blocks, b.why(), b.edge, b.lost.row.Node.Ref
	v.evicted = b.row.Type == topo.RunsOn && how == gone
	worse[b.on] = true
	w.note(b, v)
}

// allowsNone tells of a budget that it allows no disruption.
func allowsNone(row *store.Row) bool {
	n, _ := topo.Value(row.Node.Attrs, "allowed")
	return n == "0"
}

// result is what becomes of the other end.
func (b *blow) result() loss {
	how := b.row.Then
	switch {
	case b.others == nil:
	case b.others.left == b.others.all: // what is lost did nothing for it
		return none
	case b.others.left > 0:
		how = b.row.Rest
	}
	if optional, _ := topo.Value(b.edge.Edge.Attrs, "optional"); optional == "true" {
		how = min(how, degraded)
	}
	return how
}

// why words the reason, to go on from the name of what is affected.
func (b *blow) why() string {
	lost := nameOf(b.lost.row.Node.Ref)
	optional, _ := topo.Value(b.edge.Edge.Attrs, "optional")
	switch {
	case optional == "true":
		return fmt.Sprintf("names %s as optional, and goes without it", lost)
	case b.row.Blocks:
		return fmt.Sprintf("allows no disruption: the eviction of %s is refused", lost)
	case b.row.Why != "" && (b.others == nil || b.others.left == 0):
		return fmt.Sprintf(b.row.Why, lost)
	case b.others == nil || b.others.all <= 1:
		return fmt.Sprintf("loses its only %s, %s", b.row.Of, lost)
	case b.others.left == 0:
		return fmt.Sprintf("loses all its %d %ss, among them %s", b.others.all, b.row.Of, lost)
	}
	return fmt.Sprintf("is left with %d of %d %ss, without %s", b.others.left, b.others.all, b.row.Of, lost)
}

// nameOf words a reference for a sentence: the kind and the name.
func nameOf(r topo.Ref) string { return r.Kind + " " + r.Name }

// note keeps what deserves to be looked at first.
func (w *wave) note(b *blow, v *victim) {
	h := Hit{Resource: refOf(v.row.Node.Ref, v.row.ID)}
	switch {
	case b.row.Blocks:
		h.Kind = "budget"
	case b.row.Of == "replica" && b.others.all == 1 && b.others.left == 0:
		h.Kind = "single-replica"
	case b.row.Of == "ready Pod" && b.others.all == 1 && b.others.left == 0:
		h.Kind = "last-endpoint"
	default:
		return
	}
	h.why = v.why
	if !slices.ContainsFunc(w.hits, func(o Hit) bool { return o.Kind == h.Kind && o.Resource.ID == h.Resource.ID }) {
		w.hits = append(w.hits, h)
	}
}

// raise tells a hit of what owns the one it is of, up to the workload that people know, and words it.
func (w *wave) raise(h Hit) Hit {
	name := nameOf(topo.Ref{Kind: h.Resource.Kind, Name: h.Resource.Name})
	for range rollupDepth {
		i := slices.IndexFunc(w.order, func(v *victim) bool {
			return v.how == broken && v.edge != nil && v.edge.Edge.Type == topo.Owns && v.edge.Edge.Target.ID().String() == h.Resource.ID
		})
		if h.Kind != "single-replica" || i < 0 {
			break
		}
		owner := w.order[i].row
		h.Resource, name = refOf(owner.Node.Ref, owner.ID), nameOf(owner.Node.Ref)
	}
	h.Sentence = name + " " + h.why
	return h
}

// need is a node that needs one of several by a row of the table.
type need struct {
	on  topo.ID
	row *effect
}

// quorums counts, for each node that needs one of several, how many there were that worked and how many are left.
func (w *wave) quorums(ctx context.Context, blows []blow) (map[need]*tally, error) {
	out := map[need]*tally{}
	asked := map[*effect][]topo.ID{}
	for i := range blows {
		b := &blows[i]
		if b.row.Of == "" || out[need{b.on, b.row}] != nil {
			continue
		}
		out[need{b.on, b.row}] = &tally{}
		asked[b.row] = append(asked[b.row], b.on)
	}
	for i := range effects { // in the table's order
		if row := &effects[i]; asked[row] != nil {
			if err := w.count(ctx, row, asked[row], out); err != nil {
				return nil, err
			}
		}
	}
	return out, nil
}

// count looks at the several things that nodes need one of, by one row.
func (w *wave) count(ctx context.Context, row *effect, ids []topo.ID, into map[need]*tally) error {
	dir := store.Out
	if row.Lost == source {
		dir = store.Into
	}
	seen := map[[2]topo.ID]bool{}
	for chunk := range slices.Chunk(ids, chunkNodes) {
		edges, err := w.EdgesOf(ctx, w.at, chunk, dir, []topo.EdgeType{row.Type}, w.budget+1)
		if err != nil {
			return err
		}
		if len(edges) > w.budget {
			edges, w.cut = edges[:w.budget], true
		}
		w.budget -= len(edges)
		edges = slices.DeleteFunc(w.visibleEdges(edges), func(e store.EdgeRow) bool { return !row.applies(&e.Edge, row.Lost, gone) })
		several, err := w.rows(ctx, w.ask.Cluster, farEnds(edges, row.Lost))
		if err != nil {
			return err
		}
		for i := range edges {
			on, other := edges[i].ID.Source, edges[i].Edge.Target.ID()
			if row.Lost == source {
				on, other = other, on
			}
			if pair := [2]topo.ID{on, other}; !seen[pair] {
				seen[pair] = true
				w.tally(into[need{on, row}], several[other], row)
			}
		}
	}
	return nil
}

func farEnds(edges []store.EdgeRow, far end) []topo.ID {
	var ids []topo.ID
	for i := range edges {
		if far == source {
			ids = append(ids, edges[i].ID.Source)
		} else {
			ids = append(ids, edges[i].Edge.Target.ID())
		}
	}
	slices.SortFunc(ids, topo.ID.Compare)
	return slices.Compact(ids)
}

func (w *wave) tally(t *tally, row *store.Row, by *effect) {
	if t == nil || row == nil || row.Node.Presence != topo.Present || (by.Lost == target && !works(&row.Node)) {
		return // whether an owner works is nothing to what it owns
	}
	t.all++
	if v := w.victims[row.ID]; v == nil || v.how < broken {
		t.left++
	}
}

// works tells whether an object does what others need it for: one that has come to its end, isn't ready or is scaled to nothing doesn't.
func works(n *topo.Node) bool {
	switch n.Status {
	case "Completed", "Succeeded", "Failed", "Terminating":
		return false
	}
	if replicas, _ := topo.Value(n.Attrs, "replicas"); replicas == "0" {
		return false
	}
	ready, told := topo.Value(n.Attrs, "ready")
	have, want, _ := strings.Cut(ready, "/")
	switch {
	case !told:
		return n.Health != topo.Error
	case n.Ref.Kind == "Pod":
		return have == want && want != "0"
	}
	return have != "0"
}

func (c *ImpactCount) add(severity string) {
	switch severity {
	case Breaks:
		c.Breaks++
	case Degrades:
		c.Degrades++
	default:
		c.Blocked++
	}
}

func (c *ImpactCounts) sum(byKind map[topo.GroupKind]*ImpactCount) {
	c.ByKind = []ImpactCount{}
	for _, k := range byKind {
		c.ByKind = append(c.ByKind, *k)
		c.Breaks += k.Breaks
		c.Degrades += k.Degrades
		c.Blocked += k.Blocked
	}
	slices.SortFunc(c.ByKind, func(a, b ImpactCount) int { return cmp.Or(cmp.Compare(a.Group, b.Group), cmp.Compare(a.Kind, b.Kind)) })
}
