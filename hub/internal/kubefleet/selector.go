package kubefleet

import (
	"context"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/selection"

	"github.com/kubilitics/kubilitics/hub/internal/fleet"
	"github.com/kubilitics/kubilitics/hub/internal/query"
	"github.com/kubilitics/kubilitics/hub/internal/store"
	"github.com/kubilitics/kubilitics/shared/topo"
)

// The annotations of every object that is told here. The first two may stand in label selectors, where each takes names and ids.
const (
	ClusterKey     = "kubilitics.io/cluster"
	ClusterNameKey = "kubilitics.io/cluster-name"
	StaleKey       = "kubilitics.io/stale-since"
	PartialKey     = "kubilitics.io/partial" // why the object is less than whole
)

// clusterField is the same in field selectors.
const clusterField = "cluster"

// clusterRules say which clusters are meant; all must hold.
type clusterRules []clusterRule

type clusterRule struct {
	not   bool
	words []string // names and ids; nil: every cluster
}

func (rules clusterRules) fit(id, name string) bool {
	return !slices.ContainsFunc(rules, func(r clusterRule) bool {
		return (r.words == nil || slices.Contains(r.words, id) || slices.Contains(r.words, name)) == r.not
	})
}

// selectors reads both, and parts what the index answers from what is looked at here.
func (a *ask) selectors(label, field string) error {
	if err := a.labelled(label); err != nil {
		return err
	}
	s, err := fields.ParseSelector(field)
	if err != nil {
		return badRequest("fieldSelector: %v", err)
	}
	for _, r := range s.Requirements() {
		not := r.Operator == selection.NotEquals
		if r.Field == clusterField {
			a.clusters = append(a.clusters, clusterRule{not, []string{r.Value}})
			continue
		}
		if a.kind.events() {
			c, err := eventCondition(r.Field, r.Value, not)
			if err != nil {
				return err
			}
			a.about = append(a.about, c)
			continue
		}
		f := a.kind.field(r.Field)
		if f == nil {
			return badRequest("fieldSelector: %s can't be selected by %q here, only by %s", a.kind.Plural, r.Field, strings.Join(a.kind.fieldNames(), ", "))
		}
		c := condition{f, r.Value, not}
		a.conditions = append(a.conditions, c)
		if f.push != nil {
			f.push(&a.where, c)
		}
	}
	return nil
}

func (a *ask) labelled(text string) error {
	s, err := query.ParseLabels(text)
	if err != nil || s == nil {
		return err
	}
	all, _ := s.Requirements()
	own, asked := labels.NewSelector(), labels.NewSelector()
	for _, r := range all {
		switch {
		case r.Key() == ClusterKey || r.Key() == ClusterNameKey:
			rule, err := clusterRuleOf(r)
			if err != nil {
				return err
			}
			a.clusters = append(a.clusters, rule)
			continue
		case r.Operator() == selection.GreaterThan || r.Operator() == selection.LessThan:
			op := map[selection.Operator]store.TermOp{selection.GreaterThan: store.Greater, selection.LessThan: store.Less}[r.Operator()]
			a.where.Terms = append(a.where.Terms, store.Term{Key: store.LabelKey + r.Key(), Op: op, Values: r.Values().UnsortedList()})
		default:
			asked = asked.Add(r)
		}
		own = own.Add(r)
	}
	if !own.Empty() {
		a.labels, a.where.Labels = own, asked.String()
	}
	return nil
}

func clusterRuleOf(r labels.Requirement) (clusterRule, error) {
	switch r.Operator() {
	case selection.In, selection.Equals, selection.DoubleEquals:
		return clusterRule{words: r.Values().UnsortedList()}, nil
	case selection.NotIn, selection.NotEquals:
		return clusterRule{not: true, words: r.Values().UnsortedList()}, nil
	case selection.Exists, selection.DoesNotExist:
		return clusterRule{not: r.Operator() == selection.DoesNotExist}, nil
	default:
		return clusterRule{}, badRequest("labelSelector: %q can't be compared by %q", r.Key(), r.Operator())
	}
}

// narrow gives the one who asks, with nothing to do outside the clusters that the rules mean.
func (f *Face) narrow(ctx context.Context, a *ask) (fleet.Principal, error) {
	if len(a.clusters) == 0 {
		return a.principal, nil
	}
	list, err := f.cfg.Query.Clusters(ctx, a.principal)
	if err != nil {
		return a.principal, err
	}
	var ids []fleet.ClusterID
	for _, c := range list.Items {
		if id, err := fleet.ParseClusterID(c.ID); err == nil && a.clusters.fit(c.ID, c.Name) {
			ids = append(ids, id)
		}
	}
	return a.principal.Within(ids), nil
}

// fits tells whether an object is selected, by what the index was not asked or by all.
func (a *ask) fits(o *query.Object, all bool) bool {
	if all && a.labels != nil && !a.labels.Matches(labelsOf(o.Node.Labels)) {
		return false
	}
	return !slices.ContainsFunc(a.conditions, func(c condition) bool { return (all || c.push == nil) && !c.fits(o) })
}

// settled tells that whether an object is selected never changes while it is there.
func (a *ask) settled() bool {
	return a.labels == nil && !slices.ContainsFunc(a.conditions, func(c condition) bool { return !c.constant })
}

// reads tells whether a selector needs to see the object's text.
func (a *ask) reads(n *topo.Node) bool {
	return slices.ContainsFunc(a.conditions, func(c condition) bool { return c.text != nil && c.text(n) })
}

// labelsOf lets a selector look at a node's labels.
type labelsOf []topo.Pair

func (l labelsOf) Has(key string) bool { _, ok := topo.Value(l, key); return ok }

func (l labelsOf) Get(key string) string { v, _ := topo.Value(l, key); return v }

func (l labelsOf) Lookup(key string) (string, bool) { return topo.Value(l, key) }
