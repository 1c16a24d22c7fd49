package query

import (
	"context"
	"time"

	"github.com/kubilitics/kubilitics/hub/internal/fleet"
	"github.com/kubilitics/kubilitics/hub/internal/store"
	"github.com/kubilitics/kubilitics/shared/topo"
)

// WhichEvents says which events are meant; empty parts don't restrict.
type WhichEvents struct {
	Clusters   []fleet.ClusterID
	Namespaces []string
	Regarding  *topo.Ref
	Types      []string // Normal, Warning
}

// EventList is a page of events, newest first.
type EventList struct {
	Meta
	Items    []Event `json:"items"`
	Continue string  `json:"continue,omitempty" doc:"gives the next page; absent on the last"`
}

type eventPlace struct {
	Position topo.Position
	At       time.Time
	Before   store.EventKey
}

// Events gives a page of the events that are meant and may be seen.
func (q *Querier) Events(ctx context.Context, p fleet.Principal, w WhichEvents, page Page) (*EventList, error) {
	limit, err := page.limit(DefaultLimit, MaxLimit)
	if err != nil {
		return nil, err
	}
	var out *EventList
	err = q.read(ctx, "events", scope{p: p, verb: fleet.List, clusters: w.Clusters}, func(ctx context.Context, r *reading) error {
		out, err = r.events(ctx, w, page.Continue, limit)
		return err
	})
	return out, err
}

func (r *reading) events(ctx context.Context, w WhichEvents, token string, limit int) (*EventList, error) {
	f := store.EventFilter{View: r.view, Clusters: w.Clusters, Namespaces: w.Namespaces, Regarding: w.Regarding, Types: w.Types, Limit: limit + 1}
	place := eventPlace{Position: r.Position(), At: r.At()}
	if token != "" {
		if err := open(r.view.Tenant, w, token, &place); err != nil {
			return nil, err
		}
		f.Before = &place.Before
	}
	rows, err := r.Events(ctx, f)
	if err != nil {
		return nil, err
	}
	out := &EventList{Items: make([]Event, 0, min(limit, len(rows)))}
	if len(rows) > limit {
		rows = rows[:limit]
		last := rows[limit-1]
		place.Before = store.EventKey{Last: last.Event.Last, Cluster: last.Cluster, UID: last.Event.UID}
		out.Continue = seal(r.view.Tenant, w, place)
	}
	appear := map[fleet.ClusterID]bool{}
	for i := range rows {
		out.Items = append(out.Items, EventOf(rows[i].Cluster, &rows[i].Event))
		appear[rows[i].Cluster] = true
	}
	out.Meta = r.meta(appear)
	out.Position, out.At = place.Position, place.At // events aren't read in the past: later pages hold at least everything up to there
	return out, nil
}
