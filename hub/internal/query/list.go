package query

import (
	"context"

	"github.com/kubilitics/kubilitics/hub/internal/fleet"
	"github.com/kubilitics/kubilitics/hub/internal/store"
	"github.com/kubilitics/kubilitics/shared/fault"
)

// Bounds of a page.
const (
	DefaultLimit = 100
	MaxLimit     = 1000
	maxTotal     = 10_000 // lists are counted exactly up to here
)

// Page says which part of a list is wanted; zero is the first DefaultLimit rows.
type Page struct {
	Limit    int
	Continue string
}

func (p Page) limit(usual, most int) (int, error) {
	switch {
	case p.Limit == 0:
		return usual, nil
	case p.Limit < 0 || p.Limit > most:
		return 0, fault.New(fault.BadRequest, "the limit is out of range").WithField("limit", "must be from 1 to %d", most)
	}
	return p.Limit, nil
}

// ResourceList is a page of resources, in the order of group, kind, namespace, name, cluster.
type ResourceList struct {
	Meta
	Items    []Resource `json:"items"`
	Total    Total      `json:"total"`
	Continue string     `json:"continue,omitempty" doc:"gives the next page; absent on the last"`
}

// Total is how many there are in all, on all pages.
type Total struct {
	Count int  `json:"count"`
	Exact bool `json:"exact" doc:"false: there are at least that many"`
}

// listPlace is where a list goes on, with what its first page found.
type listPlace struct {
	pinned
	Total Total
	After store.Key
}

// List gives a page of the resources that are meant and may be seen.
func (q *Querier) List(ctx context.Context, p fleet.Principal, w Where, page Page) (*ResourceList, error) {
	limit, err := page.limit(DefaultLimit, MaxLimit)
	if err != nil {
		return nil, err
	}
	var place listPlace
	at, err := pin(p.Tenant, w.lasting(), page.Continue, w.At, &place)
	if err != nil {
		return nil, err
	}
	var out *ResourceList
	err = q.read(ctx, "list", scope{p, fleet.List, w.Clusters, at}, func(ctx context.Context, r *reading) error {
		f, err := w.filter(r.view)
		if err != nil {
			return err
		}
		out, err = r.list(ctx, f, place, w.lasting(), limit)
		return err
	})
	return out, late(page.Continue, err)
}

// list gives a page of what a filter means; question is what its continue token is bound to. A place without a position is the beginning.
func (r *reading) list(ctx context.Context, f store.Filter, place listPlace, question any, limit int) (*ResourceList, error) {
	rows, out, err := r.rowsOf(ctx, f, place, question, limit)
	if err != nil {
		return nil, err
	}
	for i := range rows {
		out.Items = append(out.Items, resource(&rows[i]))
	}
	return out, nil
}

// rowsOf gives the rows of a page, and the page without its items.
func (r *reading) rowsOf(ctx context.Context, f store.Filter, place listPlace, question any, limit int) ([]store.Row, *ResourceList, error) {
	after, first := &place.After, place.Position == 0
	if first {
		after, place.Position = nil, r.Position()
	}
	rows, err := r.Resources(ctx, f, after, limit+1)
	if err != nil {
		return nil, nil, err
	}
	switch {
	case first && len(rows) <= limit: // that is all
		place.Total = Total{Count: len(rows), Exact: true}
	case first:
		n, exact, err := r.Number(ctx, f, maxTotal)
		if err != nil {
			return nil, nil, err
		}
		place.Total = Total{Count: max(n, len(rows)), Exact: exact}
	}
	out := &ResourceList{Items: make([]Resource, 0, min(limit, len(rows))), Total: place.Total}
	if len(rows) > limit {
		rows = rows[:limit]
		place.After = keyOf(&rows[limit-1])
		out.Continue = seal(r.view.Tenant, question, place)
	}
	appear := map[fleet.ClusterID]bool{}
	for i := range rows {
		appear[rows[i].Cluster] = true
	}
	out.Meta = r.meta(appear)
	return rows, out, nil
}

func keyOf(row *store.Row) store.Key { return store.Key{Ref: row.Node.Ref, Cluster: row.Cluster} }
