package ops

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/kubilitics/kubilitics/hub/internal/fleet"
	"github.com/kubilitics/kubilitics/hub/internal/query"
	"github.com/kubilitics/kubilitics/hub/internal/store"
	"github.com/kubilitics/kubilitics/shared/fault"
	"github.com/kubilitics/kubilitics/shared/topo"
)

// Bounds of what is told of one operation.
const (
	maxImpacts  = 200 // objects
	maxTies     = 200 // of one object
	maxAffected = 500 // by the loss of one object
)

// Touched is what the topology says an operation touches. Nothing was sent to the cluster for it; it also answers for one that isn't connected.
type Touched struct {
	Objects   []ObjectImpact `json:"objects"`
	Truncated string         `json:"truncated,omitempty" doc:"present where not all objects were looked at"`
}

// ObjectImpact is what an operation on one object touches.
type ObjectImpact struct {
	Object   query.Ref     `json:"object"`
	Action   string        `json:"action" enum:"create,change,delete,scale,drain,cordon,uncordon,trigger"`
	Presence string        `json:"presence" enum:"present,missing,unobserved,absent" doc:"as the topology knows the object; missing: it isn't there, and something refers to it; absent: nothing does"`
	Sentence string        `json:"sentence"`
	Ties     []Tie         `json:"ties" doc:"what selects, mounts, owns, routes to it or otherwise refers to it"`
	TiesMore bool          `json:"tiesMore,omitempty" doc:"there are more; the topology with this focus has them"`
	Loss     *query.Impact `json:"loss,omitempty" doc:"what stops working: if it goes, where the operation makes it go; otherwise if the change breaks it"`
	Pods     []PodPlan     `json:"pods,omitempty" doc:"of a drain: what becomes of each Pod of the node"`
}

// Tie is something that refers to an object.
type Tie struct {
	query.Ref
	Type   string `json:"type" doc:"of the relationship"`
	Rule   string `json:"rule"`
	Path   string `json:"path,omitempty" doc:"the field that says so"`
	Health string `json:"health"`
}

// Actions of an impact.
const (
	ActionCreate   = "create"
	ActionChange   = "change"
	ActionDelete   = "delete"
	ActionScale    = "scale"
	ActionDrain    = "drain"
	ActionCordon   = "cordon"
	ActionUncordon = "uncordon"
	ActionTrigger  = "trigger"
)

// known looks a place up without disturbing the cluster more than its discovery does; of one that isn't connected, the index knows the kinds.
func (t *Target) known(ctx context.Context, p Place) (found, error) {
	f, err := t.locate(ctx, p)
	if !fault.Is(err, fault.Unavailable) {
		return f, err
	}
	gk, unknown := t.cfg.Query.Resolver().ResolveIn(ctx, t.scope(), undash(p.Group), p.Kind)
	if unknown != nil {
		return f, err // that the cluster isn't connected says more
	}
	plural, singular := meta.UnsafeGuessKindToResource(schema.GroupVersionKind{Group: gk.Group, Kind: gk.Kind})
	k := Kind{
		Group: gk.Group, Kind: gk.Kind, Plural: plural.Resource, Singular: singular.Resource, Namespaced: undash(p.Namespace) != "", Subresources: []string{"scale"},
	}
	return k.in(p)
}

// ImpactOf tells what an operation on one object would touch; verb is what the caller needs to be allowed. Forbidden otherwise.
func (t *Target) ImpactOf(ctx context.Context, verb fleet.Verb, p Place, action string) (*Touched, error) {
	f, err := t.known(ctx, p)
	if err != nil {
		return nil, err
	}
	if err := t.may(verb, f.Kind, "", f.namespace); err != nil {
		return nil, err
	}
	one, err := t.impact(ctx, f, action)
	if err != nil {
		return nil, err
	}
	return &Touched{Objects: []ObjectImpact{*one}}, nil
}

// ImpactOfNew tells what making an object would touch.
func (t *Target) ImpactOfNew(ctx context.Context, p Place, b Body) (*Touched, error) {
	f, _, err := t.incoming(ctx, p, b)
	if err != nil {
		return nil, err
	}
	if f.name == "" {
		return nil, fault.New(fault.BadRequest, "an object without a name touches nothing that is known").WithField("metadata.name", "must be given with dryRun=impact")
	}
	return t.ImpactOf(ctx, fleet.Create, Place{Group: f.Group, Version: f.Version, Kind: f.Plural, Namespace: f.namespace, Name: f.name}, ActionCreate)
}

// ImpactOfScaling tells what another number of replicas would touch.
func (t *Target) ImpactOfScaling(ctx context.Context, p Place, replicas int32) (*Touched, error) {
	f, err := t.known(ctx, p)
	if err != nil {
		return nil, err
	}
	if !slices.Contains(f.Subresources, "scale") {
		return nil, fault.New(fault.BadRequest, "%s can't be scaled: they have no scale", f.Resource())
	}
	if err := t.may(fleet.Patch, f.Kind, "scale", f.namespace); err != nil {
		return nil, err
	}
	one, err := t.impact(ctx, f, ActionScale)
	if err != nil {
		return nil, err
	}
	one.Sentence = fmt.Sprintf("%s %s is to have %d replicas", f.Kind.Kind, f.name, replicas)
	switch {
	case one.Loss == nil:
	case replicas > 0:
		one.Loss = nil
	default:
		one.Sentence += ": all its Pods go"
		one.Loss = withoutPods(one.Loss)
	}
	return &Touched{Objects: []ObjectImpact{*one}}, nil
}

// ImpactOfDocuments tells what applying documents would touch.
func (t *Target) ImpactOfDocuments(ctx context.Context, a Application) (*Applied, error) {
	docs, err := parse(a.Text, a.JSON, or(a.Validation, "Strict") == "Strict")
	if err != nil {
		return nil, err
	}
	out := &Applied{DryRun: "impact", Documents: make([]AppliedDocument, len(docs)), Impact: &Touched{Objects: []ObjectImpact{}}}
	for i, d := range docs {
		out.Documents[i] = d.blank()
		one, err := t.impactOfDocument(ctx, d, a, &out.Documents[i], i < maxImpacts)
		switch {
		case fault.Is(err, fault.NotFound), fault.Is(err, fault.BadRequest):
			out.Documents[i].fail(err)
			out.Summary.Failed++
		case err != nil:
			return nil, err
		case one != nil:
			out.Impact.Objects = append(out.Impact.Objects, *one)
		default:
			out.Impact.Truncated = fmt.Sprintf("there are %d objects; the first %d were looked at", len(docs), maxImpacts)
		}
	}
	return out, nil
}

// impactOfDocument decides on every document, and looks at what it touches if there is room for that.
func (t *Target) impactOfDocument(ctx context.Context, d *document, a Application, out *AppliedDocument, look bool) (*ObjectImpact, error) {
	f, err := t.known(ctx, Place{Group: out.Group, Version: out.Version, Kind: out.Kind, Namespace: a.space(d), Name: out.Name})
	if fault.Is(err, fault.BadRequest) && a.space(d) != "" { // it has no namespace: a default isn't for it
		f, err = t.known(ctx, Place{Group: out.Group, Version: out.Version, Kind: out.Kind, Name: out.Name})
	}
	if err != nil {
		return nil, err
	}
	out.Namespace = f.namespace
	for _, verb := range []fleet.Verb{fleet.Patch, fleet.Create} { // what isn't there is created
		if err := t.may(verb, f.Kind, "", f.namespace); err != nil {
			return nil, err
		}
	}
	if !look {
		return nil, nil
	}
	return t.impact(ctx, f, ActionChange)
}

func (a Application) space(d *document) string {
	return or(or(d.header.Namespace, a.Namespace), "default")
}

// impact looks at one object in the topology.
func (t *Target) impact(ctx context.Context, f found, action string) (*ObjectImpact, error) {
	ref := f.ref(f.namespace, f.name)
	out := &ObjectImpact{Object: query.RefOf(ref), Action: action, Presence: "absent", Ties: []Tie{}}
	err := t.ties(ctx, ref, out)
	if err == nil && out.Presence == topo.Present.String() {
		out.Loss, err = t.loss(ctx, ref.ID(), maxAffected, 0)
	}
	if err != nil && !fault.Is(err, fault.NotFound) {
		return nil, err
	}
	if action == ActionChange && out.Presence != topo.Present.String() {
		out.Action = ActionCreate
	}
	out.Sentence = sentence(out, f)
	return out, nil
}

func (t *Target) loss(ctx context.Context, focus topo.ID, limit, depth int) (*query.Impact, error) {
	return t.cfg.Query.Impact(ctx, t.by.Principal, query.ImpactQuestion{Cluster: t.cluster, Focus: focus, Limit: limit, Depth: depth})
}

// ties finds what refers to an object, whether or not it is there.
func (t *Target) ties(ctx context.Context, ref topo.Ref, out *ObjectImpact) error {
	g, err := t.cfg.Query.Around(ctx, t.by.Principal, query.Neighbourhood{Cluster: t.cluster, Focus: ref.ID(), Direction: store.Into, Limit: maxTies})
	if err != nil {
		return err
	}
	health := map[string]string{}
	for i := range g.Nodes {
		n := &g.Nodes[i]
		health[n.ID] = n.Health
		if n.ID == out.Object.ID {
			out.Presence = n.Presence
		}
	}
	for i := range g.Edges {
		e := &g.Edges[i]
		if e.Target.ID == out.Object.ID && e.Source.ID != e.Target.ID {
			out.Ties = append(out.Ties, Tie{Ref: e.Source, Type: e.Type, Rule: e.Rule, Path: e.Path, Health: health[e.Source.ID]})
		}
	}
	out.TiesMore = g.Truncated != nil
	return nil
}

// sentence words an impact in short.
func sentence(o *ObjectImpact, f found) string {
	name := f.Kind.Kind + " " + f.name
	var parts []string
	switch {
	case o.Presence == topo.Present.String() && o.Action == ActionCreate:
		parts = append(parts, name+" is there already")
	case o.Action == ActionCreate:
		parts = append(parts, name+" is made")
	case o.Presence != topo.Present.String():
		parts = append(parts, name+" isn't known to be there")
	case o.Action == ActionDelete:
		parts = append(parts, name+" goes")
	default:
		parts = append(parts, name+" changes")
	}
	if n := len(o.Ties); n > 0 {
		parts = append(parts, fmt.Sprintf("%d refer to it", n))
	}
	if o.Loss != nil {
		c, cause := o.Loss.Counts, "if the change breaks it"
		if o.Action == ActionDelete {
			cause = "with it"
		}
		if c.Breaks+c.Degrades > 0 {
			parts = append(parts, fmt.Sprintf("%s, %d break and %d degrade", cause, c.Breaks, c.Degrades))
		}
	}
	return strings.Join(parts, "; ")
}

// withoutPods keeps of a workload's loss what comes of its Pods' going: the workload itself, and what else it owns, stay.
func withoutPods(i *query.Impact) *query.Impact {
	out := *i
	out.Affected, out.Hits = []query.Affected{}, []query.Hit{}
	kept := map[string]bool{}
	counts := map[topo.GroupKind]*query.ImpactCount{}
	out.Counts = query.ImpactCounts{ByKind: []query.ImpactCount{}}
	for _, a := range i.Affected {
		if (a.Group != "" || a.Kind != "Pod") && !kept[a.Via.ID] {
			continue
		}
		kept[a.ID] = true
		out.Affected = append(out.Affected, a)
		tally(&out.Counts, counts, &a)
	}
	for _, h := range i.Hits {
		if kept[h.Resource.ID] {
			out.Hits = append(out.Hits, h)
		}
	}
	for _, c := range counts {
		out.Counts.ByKind = append(out.Counts.ByKind, *c)
	}
	slices.SortFunc(out.Counts.ByKind, func(a, b query.ImpactCount) int { return strings.Compare(a.Group+"/"+a.Kind, b.Group+"/"+b.Kind) })
	return &out
}

func tally(all *query.ImpactCounts, byKind map[topo.GroupKind]*query.ImpactCount, a *query.Affected) {
	gk := topo.GroupKind{Group: a.Group, Kind: a.Kind}
	if byKind[gk] == nil {
		byKind[gk] = &query.ImpactCount{Group: a.Group, Kind: a.Kind}
	}
	switch one := byKind[gk]; a.Severity {
	case query.Breaks:
		all.Breaks++
		one.Breaks++
	case query.Degrades:
		all.Degrades++
		one.Degrades++
	default:
		all.Blocked++
		one.Blocked++
	}
}

// ImpactOfTrigger tells what a Job of a CronJob would touch: what it uses is what the CronJob itself refers to.
func (t *Target) ImpactOfTrigger(ctx context.Context, p Place) (*Touched, error) {
	f, err := t.known(ctx, p)
	if err != nil {
		return nil, err
	}
	if f.gk() != cronJobKind {
		return nil, fault.New(fault.BadRequest, "a %s can't be triggered; that is possible with CronJobs", f.Kind.Kind)
	}
	if err := t.may(fleet.Create, Kind{Group: "batch", Kind: "Job", Plural: "jobs"}, "", f.namespace); err != nil {
		return nil, err
	}
	one, err := t.impact(ctx, f, ActionTrigger)
	if err != nil {
		return nil, err
	}
	one.Loss, one.Sentence = nil, fmt.Sprintf("CronJob %s stays as it is; a Job is made of it", f.name)
	return &Touched{Objects: []ObjectImpact{*one}}, nil
}
