package plugin

import (
	"context"
	"encoding/json"
	"time"

	"go.uber.org/zap"
	"golang.org/x/sync/errgroup"

	"github.com/kubilitics/kubilitics/hub/internal/fleet"
	"github.com/kubilitics/kubilitics/hub/internal/store"
	"github.com/kubilitics/kubilitics/hub/internal/turn"
	"github.com/kubilitics/kubilitics/shared/fault"
	"github.com/kubilitics/kubilitics/shared/topo"
)

// patience is how long a read of the feed waits for news.
const patience = 30 * time.Second

// batchNodes is how many nodes a plugin is asked about at once.
const batchNodes = 100

func followerOf(s Spec) string { return store.EnricherPrefix + s.Name }

// enricher has one plugin asked about each tenant's nodes.
type enricher struct {
	host   *Host
	plugin *runner
}

func newEnricher(h *Host, r *runner) *enricher { return &enricher{host: h, plugin: r} }

// run follows the feed of each tenant that the plugin may see.
func (e *enricher) run(ctx context.Context) {
	g, ctx := errgroup.WithContext(ctx)
	followed := map[fleet.TenantID]bool{}
	for ctx.Err() == nil {
		tenants, err := e.host.cfg.Store.Tenants(ctx)
		if err != nil && ctx.Err() == nil {
			e.plugin.log.Warn("the tenants can't be listed", zap.Error(err))
		}
		for _, t := range tenants {
			if followed[t.ID] || !e.plugin.spec.sees(t.Slug) {
				continue
			}
			followed[t.ID] = true
			f := &tenantEnricher{enricher: e, tenant: t, names: map[fleet.ClusterID]string{}}
			g.Go(func() error {
				e.host.cfg.Turns.Follow(ctx, store.Follower{Tenant: t.ID, Name: followerOf(e.plugin.spec)}, f.work)
				return nil
			})
		}
		sleep(ctx, e.host.cfg.Tenants)
	}
	_ = g.Wait() // they only end with ctx
}

// note is what an enricher keeps beside its position.
type note struct {
	Program string `json:"program"`        // which was asked: another one is asked about everything anew
	Walk    *walk  `json:"walk,omitempty"` // a walk through all nodes that is under way
}

// walk goes through all nodes of the kinds that a plugin wants.
type walk struct {
	After *store.Key `json:"after,omitempty"` // the last node that is done
}

// tenantEnricher goes through one tenant's nodes, then along its feed. One goroutine uses it.
type tenantEnricher struct {
	*enricher
	tenant fleet.Tenant
	place  *turn.Place
	kinds  map[topo.GroupKind]bool
	names  map[fleet.ClusterID]string
	note   note
	at     topo.Position
}

// work is one turn.
func (t *tenantEnricher) work(ctx context.Context, p *turn.Place) error {
	s, err := t.plugin.await(ctx)
	if err != nil {
		return nil // the hub stops, or the turn is over
	}
	t.place, t.kinds = p, map[topo.GroupKind]bool{}
	for _, k := range s.about.kinds {
		t.kinds[k] = true
	}
	if err := t.begin(ctx); err != nil {
		return err
	}
	for ctx.Err() == nil {
		if t.note.Walk != nil {
			err = t.walkOn(ctx)
		} else {
			err = t.follow(ctx)
		}
		if err != nil && ctx.Err() == nil {
			return err
		}
	}
	return nil
}

// begin takes up what was left, or begins with a walk from the feed's end: what changes meanwhile comes after it.
func (t *tenantEnricher) begin(ctx context.Context) error {
	kept := t.place.Progress()
	t.note = note{}
	err := json.Unmarshal([]byte(kept.Note), &t.note)
	if kept.Begun && err == nil && t.note.Program == t.plugin.spec.program() {
		t.at = kept.Position
		return nil
	}
	return t.startWalk(ctx)
}

func (t *tenantEnricher) startWalk(ctx context.Context) (err error) {
	if t.at, err = t.place.Head(ctx); err != nil {
		return err
	}
	t.note = note{Program: t.plugin.spec.program(), Walk: &walk{}}
	return t.advance(ctx)
}

func (t *tenantEnricher) progress() store.Progress {
	text, _ := json.Marshal(t.note) // plain texts and numbers always have a JSON form
	return store.Progress{Position: t.at, Note: string(text)}
}

func (t *tenantEnricher) advance(ctx context.Context) error {
	return t.place.Advance(ctx, t.progress())
}

// walkOn does a page of the walk.
func (t *tenantEnricher) walkOn(ctx context.Context) error {
	last, err := t.page(ctx, nil, t.note.Walk.After)
	if err != nil {
		return err
	}
	if last == nil {
		t.note.Walk = nil
	} else {
		t.note.Walk.After = last
	}
	return t.advance(ctx)
}

// page enriches the nodes after a key, of some clusters (nil: all), and gives the key of the last; nil when there are none.
func (t *tenantEnricher) page(ctx context.Context, clusters []fleet.ClusterID, after *store.Key) (last *store.Key, err error) {
	var rows []store.Row
	err = t.host.cfg.Store.Read(ctx, t.tenant.ID, func(ctx context.Context, s store.Snapshot) error {
		f := store.Filter{View: fleet.View{Tenant: t.tenant.ID, Everything: true}, Clusters: clusters}
		for k := range t.kinds {
			f.Kinds = append(f.Kinds, k)
		}
		rows, err = s.Resources(ctx, f, after, batchNodes)
		return err
	})
	if err != nil || len(rows) == 0 {
		return nil, err
	}
	due := map[fleet.ClusterID]map[topo.ID]topo.Ref{}
	for _, r := range rows {
		put(due, r.Cluster, r.ID, r.Node.Ref)
	}
	end := rows[len(rows)-1]
	return &store.Key{Ref: end.Node.Ref, Cluster: end.Cluster}, t.enrichAll(ctx, due)
}

func put(due map[fleet.ClusterID]map[topo.ID]topo.Ref, c fleet.ClusterID, id topo.ID, ref topo.Ref) {
	if due[c] == nil {
		due[c] = map[topo.ID]topo.Ref{}
	}
	due[c][id] = ref
}

// follow does a page of the feed.
func (t *tenantEnricher) follow(ctx context.Context) error {
	entries, err := t.place.Next(ctx, t.at, patience)
	if fault.Is(err, fault.Gone) {
		t.plugin.log.Warn("the plugin was away for longer than the feed is kept, and is asked about everything anew", zap.Stringer("tenant", t.tenant.ID))
		return t.startWalk(ctx)
	}
	if err != nil || len(entries) == 0 {
		return err
	}
	due := map[fleet.ClusterID]map[topo.ID]topo.Ref{}
	for i := range entries {
		if err := t.take(ctx, due, &entries[i]); err != nil {
			return err
		}
	}
	t.at = entries[len(entries)-1].Position
	if len(due) == 0 {
		return t.place.Pass(ctx, t.progress())
	}
	if err := t.enrichAll(ctx, due); err != nil {
		return err
	}
	return t.advance(ctx)
}

// take notes which nodes an entry touches; a cluster that was loaded is gone through at once.
func (t *tenantEnricher) take(ctx context.Context, due map[fleet.ClusterID]map[topo.ID]topo.Ref, e *store.Entry) error {
	switch e.Kind {
	case store.EntryLoaded:
		return t.loaded(ctx, e.Cluster)
	case store.EntryCluster, store.EntryDeleted:
		delete(t.names, e.Cluster)
	}
	touch := func(ref topo.Ref) {
		if t.kinds[ref.GroupKind()] {
			put(due, e.Cluster, ref.ID(), ref)
		}
	}
	for i := range e.Diff.Nodes {
		touch(e.Diff.Nodes[i].Node.Ref)
	}
	for i := range e.Diff.Edges {
		touch(e.Diff.Edges[i].Edge.Source)
		touch(e.Diff.Edges[i].Edge.Target)
	}
	return nil
}

func (t *tenantEnricher) loaded(ctx context.Context, c fleet.ClusterID) (err error) {
	last := &store.Key{}
	for after := (*store.Key)(nil); last != nil && err == nil; after = last {
		last, err = t.page(ctx, []fleet.ClusterID{c}, after)
	}
	return err
}
