package rules

import (
	"encoding/json"
	"slices"
	"strconv"

	"github.com/kubilitics/kubilitics/shared/topo"
)

// maxOrdinals keeps a mistaken number of replicas from filling the graph: beyond it no claims are drawn. Pods that are
// there show theirs by their own rule.
const maxOrdinals = 2000

// linkClaims names the claims that a StatefulSet makes from a template: its fields are the template's name, the number
// of replicas and the first ordinal.
func linkClaims(v *variant, r *topo.Resource, f facts, emit func(*topo.Link)) {
	name := f.get(v.slots.fields[0])
	replicas, err := strconv.Atoi(wordOr(f.get(v.slots.fields[1]), "1"))
	first, err2 := strconv.Atoi(wordOr(f.get(v.slots.fields[2]), "0"))
	if err != nil || err2 != nil || name == "" || replicas > maxOrdinals {
		return
	}
	for i := range max(replicas, 0) {
		claim := name + "-" + r.Ref.Name + "-" + strconv.Itoa(first+i)
		emit(&topo.Link{To: topo.Ref{Kind: "PersistentVolumeClaim", Name: claim}})
	}
}

// linkEphemeral names the claim that is made for a Pod's ephemeral volume: its field is the volume's name.
func linkEphemeral(v *variant, r *topo.Resource, f facts, emit func(*topo.Link)) {
	if name := f.get(v.slots.fields[0]); name != "" {
		emit(&topo.Link{To: topo.Ref{Kind: "PersistentVolumeClaim", Name: r.Ref.Name + "-" + name}})
	}
}

// nodeTerm is a requirement of a node selector. Those that compare numbers are none of labels' selectors.
type nodeTerm struct {
	Key      string
	Operator string
	Values   []string
}

const hostname = "kubernetes.io/hostname"

// linkVolumeNodes picks the Nodes of a term of a volume's affinity, if it means them one by one: its fields are matchExpressions,
// about labels, and matchFields, about the name.
func linkVolumeNodes(v *variant, _ *topo.Resource, f facts, emit func(*topo.Link)) {
	for _, t := range nodeTerms(f.get(v.slots.fields[1])) {
		if t.Key != "metadata.name" || t.Operator != "In" {
			continue
		}
		for _, name := range t.Values {
			emit(&topo.Link{To: topo.Ref{Kind: "Node", Name: name}})
		}
		return
	}
	expressions := f.get(v.slots.fields[0])
	one := func(t nodeTerm) bool { return t.Key == hostname && t.Operator == "In" }
	if !slices.ContainsFunc(nodeTerms(expressions), one) {
		return
	}
	sel, err := parseSelector(`{"matchExpressions":`+expressions+"}", LabelSelector)
	if err == nil {
		emit(&topo.Link{To: topo.Ref{Kind: "Node"}, Selector: &sel, Namespaces: []string{""}})
	}
}

func nodeTerms(raw string) []nodeTerm {
	var all []nodeTerm
	if raw == "" || json.Unmarshal([]byte(raw), &all) != nil {
		return nil
	}
	return all
}
