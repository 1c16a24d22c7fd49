package ops

import (
	"context"
	"fmt"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/labels"

	"github.com/kubilitics/kubilitics/hub/internal/fleet"
	"github.com/kubilitics/kubilitics/hub/internal/query"
	"github.com/kubilitics/kubilitics/hub/internal/store"
	"github.com/kubilitics/kubilitics/shared/fault"
	"github.com/kubilitics/kubilitics/shared/topo"
)

const (
	maxNodePods  = 1000
	podDepth     = 4 // steps from a Pod to what its loss may break: owners, Services, routes
	podsAffected = 50
)

// ImpactOfDrain tells what a drain would do with each Pod of a node, and what stops working meanwhile.
func (t *Target) ImpactOfDrain(ctx context.Context, node string, o DrainOptions) (*Touched, error) {
	selector, err := labels.Parse(o.PodSelector)
	if err != nil {
		return nil, fault.Wrap(err, fault.BadRequest, "the selector can't be read").WithField("podSelector", "%v", err)
	}
	f, err := t.known(ctx, nodePlace(node))
	if err != nil {
		return nil, err
	}
	if err := t.may(fleet.Patch, f.Kind, "", ""); err != nil {
		return nil, err
	}
	if err := t.may(fleet.Create, Kind{Kind: "Pod", Plural: "pods"}, "eviction", ""); err != nil { // of evictions
		return nil, err
	}
	one, err := t.impact(ctx, f, ActionDrain)
	if err != nil {
		return nil, err
	}
	one.Ties = []Tie{} // the Pods tell more
	if err := t.podsOf(ctx, f, o, selector, one); err != nil {
		return nil, err
	}
	return &Touched{Objects: []ObjectImpact{*one}}, nil
}

func (t *Target) podsOf(ctx context.Context, f found, o DrainOptions, selector labels.Selector, out *ObjectImpact) error {
	on, err := t.cfg.Query.Around(ctx, t.by.Principal, query.Neighbourhood{
		Cluster: t.cluster, Focus: f.ref("", f.name).ID(), Direction: store.Into, Types: []topo.EdgeType{topo.RunsOn}, Limit: maxNodePods,
	})
	if err != nil {
		return err
	}
	counts := map[string]int{}
	for i := range on.Nodes {
		n := &on.Nodes[i]
		if n.Kind != "Pod" || n.Group != "" || !selector.Matches(labels.Set(n.Labels)) {
			continue
		}
		p, err := t.planned(ctx, &n.Resource, o)
		if fault.Is(err, fault.NotFound) { // it went meanwhile
			continue
		}
		if err != nil {
			return err
		}
		counts[p.Action]++
		out.Pods = append(out.Pods, *p)
	}
	out.TiesMore = on.Truncated != nil
	out.Sentence = fmt.Sprintf("node %s is cordoned; %d Pods are evicted, %d stay, %d refuse the drain", f.name, counts[ActionEvict], counts[ActionSkip], counts[ActionRefuse])
	return nil
}

// planned decides on a Pod as far as it is known: by its manifest where the cluster shares it, else by who owns it.
func (t *Target) planned(ctx context.Context, pod *query.Resource, o DrainOptions) (*PodPlan, error) {
	ref := topo.Ref{Kind: "Pod", Namespace: pod.Namespace, Name: pod.Name}
	d, err := t.cfg.Query.Get(ctx, t.by.Principal, query.Which{Cluster: t.cluster, Ref: ref}, true)
	if err != nil {
		return nil, err
	}
	var p PodPlan
	if whole, err := read[corev1.Pod](d.Manifest); err == nil && d.Manifest != nil {
		p = o.plan(whole)
	} else {
		p = PodPlan{Ref: pod.Ref, UID: pod.UID, Owner: ownerIn(d)}
		p.Action, p.Reason = o.judge(p.Owner, false)
		if p.Action == ActionEvict && p.Reason == "" && !o.DeleteEmptyDirData {
			p.Reason = "unless it has an emptyDir, which isn't known here"
		}
	}
	if p.Action != ActionEvict {
		return &p, nil
	}
	lost, err := t.loss(ctx, ref.ID(), podsAffected, podDepth)
	if err != nil {
		return nil, err
	}
	p.Hits = lost.Hits
	return &p, nil
}

func ownerIn(d *query.Detail) *query.Ref {
	for i := range d.Edges {
		if e := &d.Edges[i]; e.Type == string(topo.Owns) && e.Target.ID == d.Resource.ID {
			return &e.Source
		}
	}
	return nil
}
