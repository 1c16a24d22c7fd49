// Package query answers questions about a tenant's clusters, as they are or as they were, from the store: lists, single resources, graphs and
// their groups, paths, impact, findings, health, history and differences, summaries, events. It knows who asks, and nothing of how the answer
// travels.
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
	store.Reader
	Cluster(ctx context.Context, at store.Scope) (fleet.Cluster, error)
	Kinds(ctx context.Context, at store.Scope) ([]topo.KindReport, error)
	FleetKinds(ctx context.Context, tenant fleet.TenantID, clusters []fleet.ClusterID) ([]store.KindUse, error)
	Findings(ctx context.Context, f store.FindingFilter, after *store.FindingKey, limit int) ([]store.FindingRow, error)
	AddedAttrs(ctx context.Context, at store.Scope, ids []topo.ID) ([]store.AddedAttrs, error)
	AddedEdges(ctx context.Context, at store.Scope, ids []topo.ID, d store.Direction, after *topo.EdgeID, limit int) ([]store.EdgeRow, error)
}

// Querier answers. It is safe for concurrent use.
type Querier struct {
	store Store
	kinds *Kinds
	edges int // read for one graph at least, however few nodes are asked for
	auto  int // AutoNodes

	metrics *metrics
}

// New makes a Querier on a store.
func New(s Store) *Querier {
	return &Querier{store: s, kinds: newKinds(s), edges: minEdges, auto: AutoNodes, metrics: newMetrics(nil)}
}

// Resolver gives the resolver of kinds' names that the Querier itself uses.
func (q *Querier) Resolver() *Kinds { return q.kinds }

// Meta stands in every answer. Position is the one that the answer was read at: whoever subscribes from that of the newest misses nothing. The
// pages of one list are all read at the position of the first.
type Meta struct {
	Position topo.Position `json:"position" doc:"what the answer was read at; the pages of one list are all read at that of the first. A stream resumed from it misses nothing"`
	At       time.Time     `json:"at" doc:"the instant of the position"`
	// Freshness is by cluster: of those that were asked for by id, else of those in the answer.
	Freshness map[string]fleet.Freshness `json:"freshness" doc:"how old what is known was at that instant, by cluster: of those asked for, else of those in the answer"`
	// Fleet counts all clusters the answer covers, where they weren't asked for by id.
	Fleet *Freshnesses `json:"fleet,omitempty" doc:"the clusters that the answer covers, by freshness, where none was asked for by id"`
}

// ReadAt is the position the answer was read at.
func (m *Meta) ReadAt() topo.Position { return m.Position }

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

// scope is where and when a question is asked, and by whom.
type scope struct {
	p        fleet.Principal
	verb     fleet.Verb
	clusters []fleet.ClusterID // none: all that are visible
	at       store.When
}

// read opens a snapshot and looks up the clusters that the question covers. A cluster that isn't visible is as NotFound as one that
// isn't there.
func (q *Querier) read(ctx context.Context, what question, s scope, fn func(context.Context, *reading) error) error {
	defer q.metrics.asked(what, time.Now())
	view := fleet.ViewOf(s.p, s.verb)
	named, err := q.named(ctx, view, s.clusters)
	if err != nil {
		return err
	}
	return q.store.ReadAt(ctx, s.p.Tenant, s.at, func(ctx context.Context, shot store.Snapshot) error {
		r := &reading{Snapshot: shot, q: q, view: view, named: s.clusters, known: named}
		if len(s.clusters) == 0 || !s.at.Now() { // freshness as it was then is the snapshot's to tell
			if err := r.look(ctx); err != nil {
				return err
			}
		}
		return fn(ctx, r)
	})
}

// scope is that of one cluster.
func (r *reading) scope(c fleet.ClusterID) store.Scope {
	return store.Scope{Tenant: r.view.Tenant, Cluster: c}
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

// look has the snapshot tell the clusters that the question covers.
func (r *reading) look(ctx context.Context) error {
	clusters, err := r.Clusters(ctx)
	if err != nil {
		return err
	}
	known := make(map[fleet.ClusterID]fleet.Cluster, len(clusters))
	for _, c := range clusters {
		_, asked := r.known[c.ID]
		if _, _, ok := r.view.Namespaces(c.ID); ok && (asked || len(r.named) == 0) {
			known[c.ID] = c
		}
	}
	r.known = known
	return nil
}

// meta describes an answer in which those clusters appear.
func (r *reading) meta(appear map[fleet.ClusterID]bool) Meta {
	m := Meta{Position: r.Position(), At: r.At(), Freshness: map[string]fleet.Freshness{}}
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
