package query

import (
	"context"
	"slices"
	"strings"

	"github.com/kubilitics/kubilitics/hub/internal/fleet"
	"github.com/kubilitics/kubilitics/hub/internal/store"
	"github.com/kubilitics/kubilitics/shared/fault"
	"github.com/kubilitics/kubilitics/shared/topo"
)

// maxAdded bounds the edges and the findings that are told of one node.
const maxAdded = 500

// Added is what plugins add to a resource, as they say it now: it isn't bound to the position.
type Added struct {
	Meta
	Resource Ref        `json:"resource"`
	Plugins  []Addition `json:"plugins" doc:"by name"`
	More     bool       `json:"more,omitempty" doc:"there are more edges or findings than these"`
}

// Addition is what one plugin adds.
type Addition struct {
	Plugin   string            `json:"plugin"`
	Attrs    map[string]string `json:"attrs"`
	Edges    []Edge            `json:"edges"`
	Findings []Finding         `json:"findings"`
}

// Added gives what plugins add to a resource. NotFound where the resource isn't there; its At doesn't count.
func (q *Querier) Added(ctx context.Context, p fleet.Principal, w Which) (*Added, error) {
	var r *reading
	var row *store.Row
	err := q.read(ctx, "added", scope{p: p, verb: fleet.Get, clusters: []fleet.ClusterID{w.Cluster}}, func(ctx context.Context, of *reading) (err error) {
		r = of
		row, err = r.one(ctx, r.scope(w.Cluster), w.Ref.ID())
		return err
	})
	if err == nil && row == nil {
		err = fault.New(fault.NotFound, "there is no %s", w.Ref)
	}
	if err != nil {
		return nil, err
	}
	return r.added(ctx, row)
}

// added asks for what isn't in the snapshot, which is closed by now.
func (r *reading) added(ctx context.Context, row *store.Row) (*Added, error) {
	by := additions{}
	attrs, err := r.q.store.AddedAttrs(ctx, r.scope(row.Cluster), []topo.ID{row.ID})
	if err != nil {
		return nil, err
	}
	for _, a := range attrs {
		by.of(a.Plugin).Attrs = pairs(a.Attrs)
	}
	edges, err := r.q.store.AddedEdges(ctx, r.scope(row.Cluster), []topo.ID{row.ID}, store.Both, nil, maxAdded+1)
	if err != nil {
		return nil, err
	}
	found, err := r.q.store.Findings(ctx, store.FindingFilter{View: r.view, Clusters: []fleet.ClusterID{row.Cluster}, Nodes: []topo.ID{row.ID}}, nil, maxAdded+1)
	if err != nil {
		return nil, err
	}
	out := &Added{Meta: r.meta(nil), Resource: refOf(row.Node.Ref, row.ID), More: len(edges) > maxAdded || len(found) > maxAdded}
	for i := range edges[:min(len(edges), maxAdded)] {
		if e := &edges[i]; r.seesEdge(e) {
			a := by.of(strings.TrimPrefix(e.Edge.Rule, store.PluginRule))
			a.Edges = append(a.Edges, edge(e))
		}
	}
	for i := range found[:min(len(found), maxAdded)] {
		a := by.of(found[i].Key.Plugin)
		a.Findings = append(a.Findings, pluginFinding(&found[i]))
	}
	out.Plugins = by.sorted()
	return out, nil
}

// additions are what plugins add, by name.
type additions map[string]*Addition

func (a additions) of(plugin string) *Addition {
	if a[plugin] == nil {
		a[plugin] = &Addition{Plugin: plugin, Attrs: map[string]string{}, Edges: []Edge{}, Findings: []Finding{}}
	}
	return a[plugin]
}

func (a additions) sorted() []Addition {
	out := make([]Addition, 0, len(a))
	for _, one := range a {
		out = append(out, *one)
	}
	slices.SortFunc(out, func(x, y Addition) int { return strings.Compare(x.Plugin, y.Plugin) })
	return out
}

// pluginFinding words what a plugin found. Its confidence is a number; ours is a word.
func pluginFinding(r *store.FindingRow) Finding {
	x := Finding{
		Kind: PluginFinding, Severity: r.Finding.Severity.String(), Cluster: r.Key.Cluster.String(), Object: refOf(r.Ref, r.Key.Node), Related: []Ref{},
		Sentence: r.Finding.Sentence, SinceAt: instant(r.Since), Confidence: ConfidenceHigh, Plugin: r.Key.Plugin,
	}
	switch {
	case r.Finding.Confidence < 0.4:
		x.doubt(ConfidenceLow, "the plugin itself isn't certain")
	case r.Finding.Confidence < 0.8:
		x.doubt(ConfidenceMedium, "the plugin itself isn't certain")
	}
	return x
}
