package query

import (
	"context"
	"encoding/json"
	"slices"

	"github.com/kubilitics/kubilitics/hub/internal/fleet"
	"github.com/kubilitics/kubilitics/hub/internal/store"
	"github.com/kubilitics/kubilitics/shared/topo"
)

// ObjectsQuestion asks for rows together with the texts of their objects.
type ObjectsQuestion struct {
	Where
	Verb  fleet.Verb            // by which right they are seen
	Texts func(*store.Row) bool // whose manifests are wanted; nil: nobody's
	// Owners has those told of objects whose manifest is wanted and isn't there.
	Owners bool
}

// Object is a row and, where it was asked for and is shared, the text of its object.
type Object struct {
	store.Row
	Text   json.RawMessage
	Owners []Owner
}

// Owner is what an object says it is owned by.
type Owner struct {
	Ref        topo.Ref
	Version    string
	UID        string
	Controller bool
}

// ObjectList is a page of objects, in the order of group, kind, namespace, name, cluster.
type ObjectList struct {
	Meta
	Items    []Object
	Total    Total
	Continue string
	Clusters map[fleet.ClusterID]fleet.Cluster // all that the question covers
}

// Objects gives a page of the objects that are meant and may be seen.
func (q *Querier) Objects(ctx context.Context, p fleet.Principal, o ObjectsQuestion, page Page) (*ObjectList, error) {
	limit, err := page.limit(DefaultLimit, MaxLimit)
	if err != nil {
		return nil, err
	}
	var place listPlace
	at, err := pin(p.Tenant, o.lasting(), page.Continue, o.At, &place)
	if err != nil {
		return nil, err
	}
	var out *ObjectList
	err = q.read(ctx, "objects", scope{p, o.Verb, o.Clusters, at}, func(ctx context.Context, r *reading) error {
		f, err := o.filter(r.view)
		if err != nil {
			return err
		}
		rows, list, err := r.rowsOf(ctx, f, place, o.lasting(), limit)
		if err != nil {
			return err
		}
		out = &ObjectList{Meta: list.Meta, Total: list.Total, Continue: list.Continue, Clusters: r.known}
		for i := range rows {
			out.Items = append(out.Items, Object{Row: rows[i]})
		}
		return r.enrich(ctx, out.Items, o.Texts, o.Owners)
	})
	return out, late(page.Continue, err)
}

// Complete gives rows of one cluster, as the feed tells them, what Objects would: their texts as they are now.
func (q *Querier) Complete(ctx context.Context, p fleet.Principal, o ObjectsQuestion, rows []store.Row) ([]Object, error) {
	out := make([]Object, len(rows))
	for i := range rows {
		out[i].Row = rows[i]
	}
	view := fleet.ViewOf(p, o.Verb)
	err := q.store.Read(ctx, p.Tenant, func(ctx context.Context, shot store.Snapshot) error {
		return (&reading{Snapshot: shot, q: q, view: view}).enrich(ctx, out, o.Texts, o.Owners)
	})
	return out, err
}

// Named gives the objects of a cluster that have those names, are there and may be seen, as they are now.
func (q *Querier) Named(ctx context.Context, p fleet.Principal, o ObjectsQuestion, c fleet.ClusterID, refs []topo.Ref) (out []Object, err error) {
	ids := make([]topo.ID, len(refs))
	for i := range refs {
		ids[i] = refs[i].ID()
	}
	err = q.store.Read(ctx, p.Tenant, func(ctx context.Context, shot store.Snapshot) error {
		r := &reading{Snapshot: shot, q: q, view: fleet.ViewOf(p, o.Verb)}
		rows, err := r.rows(ctx, c, ids)
		if err != nil {
			return err
		}
		for _, id := range ids {
			if row := rows[id]; row != nil && row.Node.Presence == topo.Present {
				out = append(out, Object{Row: *row})
			}
		}
		return r.enrich(ctx, out, o.Texts, o.Owners)
	})
	return out, err
}

// enrich adds texts and owners, cluster by cluster.
func (r *reading) enrich(ctx context.Context, objects []Object, wanted func(*store.Row) bool, owners bool) error {
	if wanted == nil {
		return nil
	}
	byCluster := map[fleet.ClusterID][]*Object{}
	for i := range objects {
		if o := &objects[i]; wanted(&o.Row) && r.view.Sees(o.Cluster, o.Node.Ref.Namespace) {
			byCluster[o.Cluster] = append(byCluster[o.Cluster], o)
		}
	}
	for c, some := range byCluster {
		bare, err := r.texts(ctx, r.scope(c), some)
		if err != nil {
			return err
		}
		if owners && len(bare) > 0 {
			if err := r.owners(ctx, r.scope(c), bare); err != nil {
				return err
			}
		}
	}
	return nil
}

// texts gives objects of a cluster their texts, and gives those that have none.
func (r *reading) texts(ctx context.Context, at store.Scope, objects []*Object) (bare []*Object, err error) {
	ids := make([]topo.ID, len(objects))
	for i, o := range objects {
		ids[i] = o.ID
	}
	bodies, err := r.Bodies(ctx, at, ids)
	if err != nil {
		return nil, err
	}
	for _, o := range objects {
		body, ok := bodies[o.ID]
		if !ok {
			bare = append(bare, o)
			continue
		}
		if o.Text, err = unpack(body); err != nil {
			return nil, err
		}
	}
	return bare, nil
}

// owners tells whose the objects are, by the graph.
func (r *reading) owners(ctx context.Context, at store.Scope, objects []*Object) error {
	byID := make(map[topo.ID]*Object, len(objects))
	var ids, sources []topo.ID
	for _, o := range objects {
		byID[o.ID] = o
		ids = append(ids, o.ID)
	}
	edges, err := r.Fans(ctx, r.view, at, ids, store.Into, []topo.EdgeType{topo.Owns}, maxOwners, maxOwners*len(ids))
	if err != nil {
		return err
	}
	for i := range edges {
		sources = append(sources, edges[i].ID.Source)
	}
	rows, err := r.rows(ctx, at.Cluster, sources)
	if err != nil {
		return err
	}
	for i := range edges {
		e := &edges[i]
		o, row := byID[e.Edge.Target.ID()], rows[e.ID.Source]
		if o == nil || row == nil {
			continue
		}
		_, controller := topo.Value(e.Edge.Attrs, "controller")
		o.Owners = append(o.Owners, Owner{Ref: e.Edge.Source, Version: row.Node.Version, UID: row.Node.UID, Controller: controller})
	}
	return nil
}

// maxOwners bounds the owners told of one object; almost all have one.
const maxOwners = 8

// FleetKinds sums up how the clusters that may be seen in any way watch their kinds.
func (q *Querier) FleetKinds(ctx context.Context, p fleet.Principal) ([]store.KindUse, error) {
	all, ids := Visible(p)
	if !all && len(ids) == 0 {
		return nil, nil
	}
	return q.store.FleetKinds(ctx, p.Tenant, ids)
}

// Visible tells which clusters somebody sees anything of: all, or those.
func Visible(p fleet.Principal) (all bool, ids []fleet.ClusterID) {
	seen := map[fleet.ClusterID]bool{}
	for _, verb := range []fleet.Verb{fleet.Get, fleet.List, fleet.Watch} {
		v := fleet.ViewOf(p, verb)
		if v.Everything {
			return true, nil
		}
		for id := range v.Clusters {
			if _, _, ok := v.Namespaces(id); ok {
				seen[id] = true
			}
		}
	}
	if seen[0] {
		return true, nil
	}
	for id := range seen {
		ids = append(ids, id)
	}
	slices.Sort(ids)
	return false, ids
}

// definitionKind is what CRDs are.
var definitionKind = topo.GroupKind{Group: "apiextensions.k8s.io", Kind: "CustomResourceDefinition"}

// Definitions gives the texts of CustomResourceDefinitions of those names ("widgets.example.com"), one of each, as some cluster that may be seen in
// any way has it. They say how a kind is called, which is no secret to those who know the kind.
func (q *Querier) Definitions(ctx context.Context, p fleet.Principal, names []string) (map[string]json.RawMessage, error) {
	view := fleet.View{Tenant: p.Tenant, Clusters: map[fleet.ClusterID][]string{}}
	all, ids := Visible(p)
	view.Everything = all
	for _, id := range ids {
		view.Clusters[id] = nil
	}
	out := map[string]json.RawMessage{}
	err := q.store.Read(ctx, p.Tenant, func(ctx context.Context, shot store.Snapshot) error {
		r := &reading{Snapshot: shot, q: q, view: view}
		for _, name := range names {
			rows, err := r.Resources(ctx, store.Filter{View: view, Kinds: []topo.GroupKind{definitionKind}, Names: []string{name}}, nil, 1)
			if err != nil {
				return err
			}
			for i := range rows {
				text, _, err := r.manifest(ctx, r.scope(rows[i].Cluster), rows[i].ID)
				if err != nil {
					return err
				}
				out[name] = text
			}
		}
		return nil
	})
	return out, err
}
