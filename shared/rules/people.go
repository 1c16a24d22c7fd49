package rules

import (
	"strings"

	"github.com/kubilitics/kubilitics/shared/topo"
)

// linkUser names the one that a user name means: its field is the name. Accounts and Nodes have user names of their own.
func linkUser(v *variant, _ *topo.Resource, f facts, emit func(*topo.Link)) {
	name := f.get(v.slots.fields[0])
	if name == "" {
		return
	}
	to := topo.Ref{Group: rbacGroup, Kind: "User", Name: name}
	if account, ok := strings.CutPrefix(name, "system:serviceaccount:"); ok {
		if space, short, ok := strings.Cut(account, ":"); ok {
			to = topo.Ref{Kind: "ServiceAccount", Namespace: space, Name: short}
		}
	} else if node, ok := strings.CutPrefix(name, "system:node:"); ok {
		to = topo.Ref{Kind: "Node", Name: node}
	}
	emit(&topo.Link{To: to})
}

// linkHolder names who holds a lease: its field is the holder's identity, by custom the name of its host, which for most Pods is
// the Pod's own, with something random after "_". Whether that is a Pod's or a Node's name it doesn't say, so that the holder is
// a node of its own, without the random part: that changes with each restart.
func linkHolder(v *variant, r *topo.Resource, f facts, emit func(*topo.Link)) {
	identity := f.get(v.slots.fields[0])
	name, _, _ := strings.Cut(identity, "_")
	if name == "" {
		return
	}
	emit(&topo.Link{
		To:    topo.Ref{Group: OwnGroup, Kind: "Holder", Namespace: r.Ref.Namespace, Name: shortened(name)},
		Attrs: []topo.Pair{{Key: "identity", Value: identity}},
	})
}
