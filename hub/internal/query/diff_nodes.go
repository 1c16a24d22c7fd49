package query

import (
	"cmp"
	"context"
	"slices"
	"time"

	"github.com/kubilitics/kubilitics/hub/internal/store"
	"github.com/kubilitics/kubilitics/shared/topo"
)

// nodes tells what became of resources. The first page also counts them.
func (t *teller) nodes(ctx context.Context, first bool) error {
	most := t.limit + 1
	if first {
		most = max(most, countedRows+1)
	}
	deltas, whole, err := t.deltas(ctx, most)
	if err != nil {
		return err
	}
	if first {
		t.place.Counts.Exact = whole
		for i := range deltas {
			t.place.Counts.node(deltas[i].op())
		}
	}
	if len(deltas) > t.limit {
		t.more, deltas = true, deltas[:t.limit]
	} else {
		t.place.Edges = true
	}
	if len(deltas) > 0 {
		t.place.After = &deltas[len(deltas)-1].key
	}
	return t.tellNodes(ctx, deltas)
}

// nodeDelta is what became of a resource: of itself, of its text, or of both.
type nodeDelta struct {
	key  store.Key
	row  *store.RowChange
	text *store.TextChange
}

func (d *nodeDelta) op() string {
	if d.row == nil {
		return opChanged
	}
	return rowOp(d.row)
}

// deltas reads what became of resources and of their texts, in one order; whole tells that there is no more.
func (t *teller) deltas(ctx context.Context, most int) (out []nodeDelta, whole bool, err error) {
	rows, err := t.RowChanges(ctx, t.filter, t.place.From.Position, t.place.After, most)
	if err != nil {
		return nil, false, err
	}
	texts, err := t.TextChanges(ctx, t.filter, t.place.From.Position, t.place.After, most)
	if err != nil {
		return nil, false, err
	}
	by := map[store.Key]*nodeDelta{}
	for i := range rows {
		by[rows[i].Key] = &nodeDelta{key: rows[i].Key, row: &rows[i]}
	}
	for i := range texts {
		d := by[texts[i].Key]
		if d == nil {
			d = &nodeDelta{key: texts[i].Key}
			by[texts[i].Key] = d
		}
		d.text = &texts[i]
	}
	for _, d := range by {
		out = append(out, *d)
	}
	slices.SortFunc(out, func(a, b nodeDelta) int { return compareKeys(a.key, b.key) })
	// Behind the end of a list that goes on, the other isn't in order with it.
	whole = true
	for _, end := range []*store.Key{lastKey(rows, most), lastText(texts, most)} {
		if end != nil {
			whole = false
			out = slices.DeleteFunc(out, func(d nodeDelta) bool { return compareKeys(d.key, *end) > 0 })
		}
	}
	return out, whole, nil
}

func compareKeys(a, b store.Key) int {
	return cmp.Or(a.Ref.Compare(b.Ref), cmp.Compare(a.Cluster, b.Cluster))
}

// lastKey and lastText are where a list was cut; nil where it is whole.
func lastKey(rows []store.RowChange, most int) *store.Key {
	if len(rows) < most {
		return nil
	}
	return &rows[len(rows)-1].Key
}

func lastText(texts []store.TextChange, most int) *store.Key {
	if len(texts) < most {
		return nil
	}
	return &texts[len(texts)-1].Key
}

func (t *teller) tellNodes(ctx context.Context, deltas []nodeDelta) error {
	gaps, err := t.endsOf(ctx, deltas)
	if err != nil {
		return err
	}
	for i := range deltas {
		n := deltas[i].word()
		n.GapSince = instant(gaps[deltas[i].key])
		n.Late = n.GapSince != nil
		t.out.Nodes = append(t.out.Nodes, n)
	}
	return nil
}

func (d *nodeDelta) word() NodeChange {
	n := NodeChange{Op: d.op(), Changed: []FieldChange{}}
	if c := d.row; c != nil {
		if c.Before != nil {
			n.Before = new(resource(c.Before))
		}
		if c.After != nil {
			n.After = new(resource(c.After))
		}
		if c.Before != nil && c.After != nil {
			n.Changed = nodeChanges(&c.Before.Node, &c.After.Node)
		}
	} else {
		n.Before, n.After = new(resource(&d.text.Row)), new(resource(&d.text.Row))
	}
	if d.text != nil && n.Op == opChanged {
		was, is := d.text.Before.String(), d.text.After.String()
		n.Changed = append(n.Changed, FieldChange{Field: "manifest", Before: &was, After: &is})
	}
	return n
}

func rowOp(c *store.RowChange) string {
	switch {
	case c.Before == nil:
		return opAdded
	case c.After == nil:
		return opRemoved
	}
	return opChanged
}

// endsOf gives, for changes whose last step was found late, when the gap began.
func (t *teller) endsOf(ctx context.Context, deltas []nodeDelta) (map[store.Key]time.Time, error) {
	at := map[store.Key]topo.Position{}
	for i := range deltas {
		d := &deltas[i]
		switch {
		case d.row == nil:
			at[d.key] = d.text.Since
		case d.row.After != nil:
			at[d.key] = d.row.After.Since
		default:
			versions, err := t.Snapshot.History(ctx, t.scope(d.key.Cluster), d.row.Before.ID, 0, 1)
			if err != nil {
				return nil, err
			}
			if len(versions) > 0 && versions[0].To != 0 {
				at[d.key] = versions[0].To
			}
		}
	}
	return t.gaps(ctx, at)
}

func (t *teller) gaps(ctx context.Context, at map[store.Key]topo.Position) (map[store.Key]time.Time, error) {
	var positions []topo.Position
	for _, p := range at {
		positions = append(positions, p)
	}
	slices.Sort(positions)
	instants, err := t.Instants(ctx, slices.Compact(positions))
	out := map[store.Key]time.Time{}
	for key, p := range at {
		out[key] = instants[p].GapSince
	}
	return out, err
}
