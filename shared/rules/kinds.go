package rules

import (
	"encoding/json"
	"slices"

	"github.com/kubilitics/kubilitics/shared/topo"
)

// linkInstances picks all objects of the kind that a definition defines: its fields are kind and group.
func linkInstances(v *variant, _ *topo.Resource, f facts, emit func(*topo.Link)) {
	to := topo.Ref{Kind: f.get(v.slots.fields[0]), Group: f.get(v.slots.fields[1])}
	if to.Kind != "" && to.Group != "" {
		emit(&topo.Link{To: to, Selector: &topo.Selector{}, Namespaces: []string{"*"}})
	}
}

// linkKind names a kind itself: its fields are kind and apiVersion. Which definition makes it known can't be told from that.
func linkKind(v *variant, _ *topo.Resource, f facts, emit func(*topo.Link)) {
	gk := topo.GroupKind{Kind: f.get(v.slots.fields[0]), Group: groupOf(f.get(v.slots.fields[1]))}
	if gk.Kind != "" {
		emit(&topo.Link{To: topo.Ref{Group: OwnGroup, Kind: "ResourceKind", Name: gk.String()}})
	}
}

// linkNamespaces picks the namespaces that a selector of them picks, by its field; the second one is only there to be absent
// never. A selector that names what a namespace must have picks them one by one. One that names at most what it must not have picks nearly
// all, those to come too: a set stands for them.
func linkNamespaces(v *variant, _ *topo.Resource, f facts, emit func(*topo.Link)) {
	sel, err := parseSelector(f.get(v.slots.fields[0]), LabelSelector)
	if err != nil {
		return
	}
	l := topo.Link{To: topo.Ref{Kind: "Namespace"}, Attrs: v.kept(f)}
	wanted := func(r topo.Requirement) bool { return r.Op == topo.In || r.Op == topo.Exists }
	if slices.ContainsFunc(sel, wanted) {
		l.Selector, l.Namespaces = &sel, []string{""}
	} else {
		text := selectorText(sel)
		l.To = topo.Ref{Group: OwnGroup, Kind: "NamespaceSet", Name: shortened(wordOr(text, "all namespaces"))}
		l.TargetAttrs = []topo.Pair{{Key: "namespaceSelector", Value: text}}
	}
	emit(&l)
}

// linkGrant names the namespace that a grant trusts, once for each kind it opens to it: its fields are group, kind and namespace of
// those who may refer, and the list of what they may refer to.
func linkGrant(v *variant, _ *topo.Resource, f facts, emit func(*topo.Link)) {
	var to []struct{ Group, Kind, Name string }
	from := topo.GroupKind{Group: f.get(v.slots.fields[0]), Kind: f.get(v.slots.fields[1])}
	space := f.get(v.slots.fields[2])
	if space == "" || from.Kind == "" || json.Unmarshal([]byte(wordOr(f.get(v.slots.fields[3]), "null")), &to) != nil {
		return
	}
	for _, t := range to {
		target := topo.GroupKind{Group: t.Group, Kind: t.Kind}.String()
		if t.Name != "" {
			target += "/" + t.Name
		}
		emit(&topo.Link{
			To: topo.Ref{Kind: "Namespace", Name: space}, Disc: from.String() + " " + target,
			Attrs: []topo.Pair{{Key: "from", Value: from.String()}, {Key: "to", Value: target}},
		})
	}
}
