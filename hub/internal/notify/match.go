package notify

import (
	"context"
	"fmt"

	"github.com/kubilitics/kubilitics/hub/internal/fleet"
	"github.com/kubilitics/kubilitics/hub/internal/store"
	"github.com/kubilitics/kubilitics/shared/fault"
	"github.com/kubilitics/kubilitics/shared/topo"
)

// entry puts what the rule is about in the group.
func (f *following) entry(ctx context.Context, e *store.Entry) error {
	switch e.Kind {
	case store.EntryDiff:
	case store.EntryLoaded:
		f.states.Purge() // of the whole tenant: it is rare
		fallthrough
	default:
		delete(f.names, e.Cluster)
		return nil
	}
	if !f.rule.feeds() || len(e.Diff.Nodes) == 0 {
		return nil
	}
	name, there, err := f.name(ctx, e.Cluster)
	if err != nil || !there || !fits(f.rule.clusters, name) {
		return err
	}
	before, err := f.lookUp(ctx, e)
	if err != nil {
		return err
	}
	for i := range e.Diff.Nodes {
		f.node(e, name, before, &e.Diff.Nodes[i])
	}
	return nil
}

// name gives a cluster's; there is false for one that was deleted meanwhile.
func (f *following) name(ctx context.Context, c fleet.ClusterID) (name string, there bool, err error) {
	if name, ok := f.names[c]; ok {
		return name, true, nil
	}
	cluster, err := f.service.cfg.Store.Cluster(ctx, store.Scope{Tenant: f.tenant.ID, Cluster: c})
	if fault.Is(err, fault.NotFound) {
		return "", false, nil
	}
	if err == nil {
		f.names[c] = cluster.Name
	}
	return cluster.Name, err == nil, err
}

// lookUp finds out what the nodes were that may match and of which that isn't known: it reads the position before. The map is the entry's own.
func (f *following) lookUp(ctx context.Context, e *store.Entry) (map[topo.ID]state, error) {
	var ids []topo.ID
	for i := range e.Diff.Nodes {
		c := &e.Diff.Nodes[i]
		if c.Op == topo.Remove || !f.rule.covers(c.Node.Ref) || !f.rule.may(stateOf(&c.Node)) {
			continue
		}
		if id := c.Node.Ref.ID(); !f.states.Contains(itemKey{cluster: e.Cluster, id: id}) {
			ids = append(ids, id)
		}
	}
	before := map[topo.ID]state{}
	if len(ids) == 0 || e.Position <= 1 {
		return before, nil
	}
	at := store.Scope{Tenant: f.tenant.ID, Cluster: e.Cluster}
	err := f.service.cfg.Store.ReadAt(ctx, f.tenant.ID, store.When{Position: e.Position - 1}, func(ctx context.Context, s store.Snapshot) error {
		rows, err := s.Nodes(ctx, at, ids)
		for i := range rows {
			before[rows[i].ID] = stateOf(&rows[i].Node)
		}
		return err
	})
	if fault.Is(err, fault.Gone) {
		return before, nil // history is kept shorter than the feed: what they were isn't known
	}
	return before, err
}

// node takes one change of a node.
func (f *following) node(e *store.Entry, cluster string, before map[topo.ID]state, c *topo.NodeChange) {
	if !f.rule.covers(c.Node.Ref) {
		return
	}
	key := itemKey{cluster: e.Cluster, id: c.Node.Ref.ID()}
	was, known := f.states.Get(key)
	if !known || !was.there {
		was = before[key.id]
	}
	now := stateOf(&c.Node)
	if c.Op == topo.Remove {
		before[key.id] = was // for what replaces it in the same entry
		now = state{}
	}
	f.states.Add(key, now)
	what := ""
	if now.there {
		what = f.rule.matches(was, now)
	}
	if what == "" {
		if f.group != nil {
			f.group.see(key, now, c.Node.Status)
		}
		return
	}
	change := Change{Cluster: e.Cluster.String(), Name: cluster, What: what, At: e.At, Position: e.Position, GapSince: e.GapSince}
	if what == onHealth {
		change.From, change.To, change.Status = was.health.String(), now.health.String(), c.Node.Status
	}
	f.open(fmt.Sprint(int64(e.Position))).add(key, c.Node.Ref, change, now)
}

// news takes what is new of findings.
func (f *following) news(ctx context.Context) error {
	for {
		page, _, err := f.service.cfg.Store.FindingNews(ctx, f.tenant.ID, f.note.News, newsPage)
		if err != nil {
			return err
		}
		for i := range page {
			if err := f.finding(ctx, &page[i]); err != nil {
				return err
			}
			f.note.News = page[i].Seq
		}
		if len(page) < newsPage {
			return nil
		}
	}
}

func (f *following) finding(ctx context.Context, n *store.FindingNews) error {
	what := f.rule.matchesNews(n)
	if what == "" {
		return nil
	}
	name, there, err := f.name(ctx, n.Cluster)
	if err != nil || !there || !fits(f.rule.clusters, name) {
		return err
	}
	f.open(fmt.Sprintf("%d.finding", n.Seq)).add(itemKey{cluster: n.Cluster, id: n.Ref.ID(), code: n.Plugin + "/" + n.Finding.Code}, n.Ref, Change{
		Cluster: n.Cluster.String(), Name: name, What: what, At: n.At,
		Finding: &Finding{Plugin: n.Plugin, Code: n.Finding.Code, Severity: n.Finding.Severity.String(), Sentence: n.Finding.Sentence, Confidence: n.Finding.Confidence},
	}, state{there: true})
	return nil
}
