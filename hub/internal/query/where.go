package query

import (
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/selection"

	"github.com/kubilitics/kubilitics/hub/internal/fleet"
	"github.com/kubilitics/kubilitics/hub/internal/store"
	"github.com/kubilitics/kubilitics/shared/fault"
	"github.com/kubilitics/kubilitics/shared/topo"
)

// Where says which resources a question is about, and when; empty parts don't restrict. The selectors are in the syntax of Kubernetes, the terms
// those of the query language.
type Where struct {
	Clusters   []fleet.ClusterID
	Kinds      []topo.GroupKind
	Namespaces []string
	Names      []string
	Labels     string
	Fields     string
	Terms      []store.Term
	At         store.When // a continue token wins over it: the pages of an answer are all read at the position of the first
}

// lasting is the question without its moment: what a continue token is bound to. A moment or an age counted from now is another one at
// each page.
func (w Where) lasting() Where {
	w.At = store.When{}
	w.Terms = slices.Clone(w.Terms)
	for i := range w.Terms {
		if w.Terms[i].Key == store.AgeKey {
			w.Terms[i].Values = nil
		}
	}
	return w
}

// FieldKeys are the fields that a field selector may name, besides the long forms of Kubernetes.
var FieldKeys = []string{"name", "namespace", "kind", "status", "health", "presence", "uid"}

var longFields = map[string]string{"metadata.name": "name", "metadata.namespace": "namespace", "metadata.uid": "uid"}

func (w Where) filter(v fleet.View) (store.Filter, error) {
	f := plain{store.Filter{View: v, Clusters: w.Clusters, Kinds: w.Kinds, Namespaces: w.Namespaces, Names: w.Names, Terms: w.Terms}}
	var err error
	if f.Labels, err = labelRequirements(w.Labels); err != nil {
		return f.Filter, err
	}
	f.Fields, err = fieldRequirements(w.Fields)
	f.spaces()
	return f.Filter, err
}

// plain is a filter that says as plainly as it can what is meant.
type plain struct{ store.Filter }

// spaces makes a term that names namespaces in full a list of these, by which the store has an index. Their names have no capitals, so that letter
// case, which doesn't count in terms, makes no difference.
func (f *plain) spaces() {
	if len(f.Namespaces) > 0 {
		return
	}
	for i, t := range f.Terms {
		if t.Key != "namespace" || t.Op != store.Like || t.Not || slices.ContainsFunc(t.Values, func(v string) bool { return v == "" || strings.ContainsAny(v, `*?\`) }) {
			continue
		}
		for _, v := range t.Values {
			f.Namespaces = append(f.Namespaces, strings.ToLower(v))
		}
		f.Terms = slices.Delete(slices.Clone(f.Terms), i, i+1)
		return
	}
}

// ParseLabels reads a label selector; nil for an empty one.
func ParseLabels(selector string) (labels.Selector, error) {
	if selector == "" {
		return nil, nil
	}
	s, err := labels.Parse(selector)
	if err != nil {
		return nil, fault.Wrap(err, fault.BadRequest, "the label selector can't be read").WithField("labelSelector", "%v", err)
	}
	return s, nil
}

var labelOperators = map[selection.Operator]store.Operator{
	selection.In: store.In, selection.Equals: store.In, selection.DoubleEquals: store.In,
	selection.NotIn: store.NotIn, selection.NotEquals: store.NotIn,
	selection.Exists: store.Exists, selection.DoesNotExist: store.NotExists,
}

func labelRequirements(selector string) ([]store.Requirement, error) {
	s, err := ParseLabels(selector)
	if err != nil || s == nil {
		return nil, err
	}
	parsed, _ := s.Requirements()
	out := make([]store.Requirement, 0, len(parsed))
	for _, r := range parsed {
		op, ok := labelOperators[r.Operator()]
		if !ok {
			return nil, fault.New(fault.BadRequest, "the label selector can't be answered").WithField("labelSelector", "%q can't be compared by %q here", r.Key(), r.Operator())
		}
		out = append(out, store.Requirement{Key: r.Key(), Op: op, Values: sortedValues(r.Values().UnsortedList(), op)})
	}
	return out, nil
}

func sortedValues(values []string, op store.Operator) []string {
	if op == store.Exists || op == store.NotExists {
		return nil
	}
	slices.Sort(values)
	return values
}

func fieldRequirements(selector string) ([]store.Requirement, error) {
	if selector == "" {
		return nil, nil
	}
	s, err := fields.ParseSelector(selector)
	if err != nil {
		return nil, fault.Wrap(err, fault.BadRequest, "the field selector can't be read").WithField("fieldSelector", "%v", err)
	}
	var out []store.Requirement
	for _, r := range s.Requirements() {
		key, err := fieldKey(r.Field)
		if err != nil {
			return nil, err
		}
		op := store.In
		if r.Operator == selection.NotEquals {
			op = store.NotIn
		}
		out = append(out, store.Requirement{Key: key, Op: op, Values: []string{r.Value}})
	}
	return out, nil
}

func fieldKey(field string) (string, error) {
	if short, ok := longFields[field]; ok {
		return short, nil
	}
	if slices.Contains(FieldKeys, field) {
		return field, nil
	}
	return "", fault.New(fault.BadRequest, "the field selector can't be answered").
		WithField("fieldSelector", "names the field %q; those that can be selected by are %s", field, strings.Join(FieldKeys, ", "))
}
