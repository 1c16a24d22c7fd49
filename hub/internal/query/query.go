// Package query answers questions about the present state of a tenant's clusters from the store: lists, single resources,
// graphs, summaries, events. It knows who asks, and nothing of how the answer travels.
package query

import (
	"cmp"
	"context"
	"maps"
	"slices"
	"time"

	"github.com/kubilitics/kubilitics/hub/internal/fleet"
	"github.com/kubilitics/kubilitics/hub/internal/store"
	"github.com/kubilitics/kubilitics/shared/fault"
	"github.com/kubilitics/kubilitics/shared/topo"
)

// Store is what of the store the answers come from.
type Store interface {
	Read(ctx context.Context, tenant fleet.TenantID, fn func(context.Context, store.Snapshot) error) error
	Cluster(ctx context.Context, at store.Scope) (fleet.Cluster, error)
	Kinds(ctx context.Context, at store.Scope) ([]topo.KindReport, error)
}

// Querier answers. It is safe for concurrent use.
type Querier struct {
	store Store
	kinds *Kinds
	edges int // read for one graph at least, however few nodes are asked for
}

// New makes a Querier on a store.
func New(s Store) *Querier { return &Querier{store: s, kinds: newKinds(s), edges: minEdges} }

// Resolver gives the resolver of kinds' names that the Querier itself uses.
func (q *Querier) Resolver() *Kinds { return q.kinds }

// Meta stands in every answer. Position tells that at least everything up to it is in the answer: whoever subscribes from it
// misses nothing. The pages of one list all carry the position of the first.
type Meta struct {
	Position topo.Position `json:"position" doc:"the answer holds at least everything up to this position; a stream resumed from it misses nothing"`
	At       time.Time     `json:"at" doc:"the instant of the position"`
	// Freshness is by cluster: of those that were asked for by id, else of those in the answer.
	Freshness map[string]fleet.Freshness `json:"freshness" doc:"how old what is known is, by cluster: of those asked for, else of those in the answer"`
	// Fleet counts all clusters the answer covers, where they weren't asked for by id.
	Fleet *Freshnesses `json:"fleet,omitempty" doc:"the clusters that the answer covers, by freshness, where none was asked for by id"`

	read topo.Position
}

// ReadAt is the position the answer was read at, which a later page of a list doesn't show.
func (m *Meta) ReadAt() topo.Position { return m.read }

// Freshnesses counts clusters by freshness.
type Freshnesses struct {
	Live  int `json:"live"`
	Stale int `json:"stale"`
	Never int `json:"never"`
}

func (f *Freshnesses) add(s fleet.FreshnessState) {
	switch s {
	case fleet.Live:
		f.Live++
	case fleet.Stale:
		f.Stale++
	default:
		f.Never++
	}
}

// Position gives the newest position of a tenant: what tells, before any work, whether an answer given earlier still holds.
func (q *Querier) Position(ctx context.Context, tenant fleet.TenantID) (at topo.Position, err error) {
	err = q.store.Read(ctx, tenant, func(_ context.Context, s store.Snapshot) error {
		at = s.Position()
		return nil
	})
	return at, err
}

// reading is one snapshot under one pair of eyes.
type reading struct {
	store.Snapshot
	q     *Querier
	view  fleet.View
	named []fleet.ClusterID                 // those asked for by id; none: all that are visible
	known map[fleet.ClusterID]fleet.Cluster // the visible clusters within the question
}

// read opens a snapshot and looks up the clusters that the question covers. A cluster that isn't visible is as NotFound as one that
// isn't there.
func (q *Querier) read(ctx context.Context, p fleet.Principal, verb fleet.Verb, clusters []fleet.ClusterID, fn func(context.Context, *reading) error) error {
	view := fleet.ViewOf(p, verb)
	named, err := q.named(ctx, view, clusters)
	if err != nil {
		return err
	}
	return q.store.Read(ctx, p.Tenant, func(ctx context.Context, s store.Snapshot) error {
		r := &reading{Snapshot: s, q: q, view: view, named: clusters, known: named}
		if len(clusters) == 0 {
			if err := r.all(ctx); err != nil {
				return err
			}
		}
		return fn(ctx, r)
	})
}

// maxNamed bounds the clusters of one question: each costs a look-up.
const maxNamed = 100

func (q *Querier) named(ctx context.Context, view fleet.View, ids []fleet.ClusterID) (map[fleet.ClusterID]fleet.Cluster, error) {
	if len(ids) > maxNamed {
		return nil, fault.New(fault.BadRequest, "at most %d clusters can be asked for by id at once", maxNamed).WithField("cluster", "names %d clusters", len(ids))
	}
	known := make(map[fleet.ClusterID]fleet.Cluster, len(ids))
	for _, id := range ids {
		c, err := q.visible(ctx, view, id)
		if err != nil {
			return nil, err
		}
		known[id] = c
	}
	return known, nil
}

func (q *Querier) visible(ctx context.Context, view fleet.View, id fleet.ClusterID) (fleet.Cluster, error) {
	if _, _, ok := view.Namespaces(id); !ok {
		return fleet.Cluster{}, noCluster(id)
	}
	c, err := q.store.Cluster(ctx, store.Scope{Tenant: view.Tenant, Cluster: id})
	if fault.Is(err, fault.NotFound) {
		return fleet.Cluster{}, noCluster(id)
	}
	return c, err
}

func noCluster(id fleet.ClusterID) error {
	return fault.New(fault.NotFound, "there is no cluster %s", id)
}

func (r *reading) all(ctx context.Context) error {
	clusters, err := r.Clusters(ctx)
	if err != nil {
		return err
	}
	r.known = make(map[fleet.ClusterID]fleet.Cluster, len(clusters))
	for _, c := range clusters {
		if _, _, ok := r.view.Namespaces(c.ID); ok {
			r.known[c.ID] = c
		}
	}
	return nil
}

// meta describes an answer in which those clusters appear.
func (r *reading) meta(appear map[fleet.ClusterID]bool) Meta {
	m := Meta{Position: r.Position(), At: r.At(), Freshness: map[string]fleet.Freshness{}, read: r.Position()}
	if len(r.named) > 0 {
		for id, c := range r.known {
			m.Freshness[id.String()] = freshness(c)
		}
		return m
	}
	m.Fleet = &Freshnesses{}
	for id, c := range r.known {
		m.Fleet.add(freshness(c).State)
		if appear[id] {
			m.Freshness[id.String()] = freshness(c)
		}
	}
	return m
}

// freshness never says nothing: a cluster whose agent never came is "never".
func freshness(c fleet.Cluster) fleet.Freshness {
	f := c.Freshness
	if f.State == "" {
		f.State = fleet.Never
	}
	return f
}

// sorted gives the clusters of the reading by name, then id.
func (r *reading) sorted() []fleet.Cluster {
	return slices.SortedFunc(maps.Values(r.known), func(a, b fleet.Cluster) int {
		return cmp.Or(cmp.Compare(a.Name, b.Name), cmp.Compare(a.ID, b.ID))
	})
}
