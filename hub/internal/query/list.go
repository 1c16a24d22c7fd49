package query

import (
	"context"
	"time"

	"github.com/kubilitics/kubilitics/hub/internal/fleet"
	"github.com/kubilitics/kubilitics/hub/internal/store"
	"github.com/kubilitics/kubilitics/shared/fault"
	"github.com/kubilitics/kubilitics/shared/topo"
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
	Position topo.Position
	At       time.Time
	Total    Total
	After    store.Key
}

// List gives a page of the resources that are meant and may be seen.
func (q *Querier) List(ctx context.Context, p fleet.Principal, w Where, page Page) (*ResourceList, error) {
	limit, err := page.limit(DefaultLimit, MaxLimit)
	if err != nil {
		return nil, err
	}
	var out *ResourceList
	err = q.read(ctx, p, fleet.List, w.Clusters, func(ctx context.Context, r *reading) error {
		out, err = r.list(ctx, w, page.Continue, limit)
		return err
	})
	return out, err
}

func (r *reading) list(ctx context.Context, w Where, token string, limit int) (*ResourceList, error) {
	f, err := w.filter(r.view)
	if err != nil {
		return nil, err
	}
	place, after, err := r.listFrom(ctx, w, f, token)
	if err != nil {
		return nil, err
	}
	rows, err := r.Resources(ctx, f, after, limit+1)
	if err != nil {
		return nil, err
	}
	out := &ResourceList{Items: make([]Resource, 0, min(limit, len(rows))), Total: place.Total}
	if len(rows) > limit {
		rows = rows[:limit]
		place.After = keyOf(&rows[limit-1])
		out.Continue = seal(r.view.Tenant, w, place)
	}
	appear := map[fleet.ClusterID]bool{}
	for i := range rows {
		out.Items = append(out.Items, resource(&rows[i]))
		appear[rows[i].Cluster] = true
	}
	out.Meta = r.meta(appear)
	out.Position, out.At = place.Position, place.At
	return out, nil
}

func (r *reading) listFrom(ctx context.Context, w Where, f store.Filter, token string) (place listPlace, after *store.Key, err error) {
	if token != "" {
		err = open(r.view.Tenant, w, token, &place)
		return place, &place.After, err
	}
	place.Position, place.At = r.Position(), r.At()
	place.Total.Count, place.Total.Exact, err = r.Number(ctx, f, maxTotal)
	return place, nil, err
}

func keyOf(row *store.Row) store.Key { return store.Key{Ref: row.Node.Ref, Cluster: row.Cluster} }
