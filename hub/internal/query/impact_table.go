package query

import (
	"slices"

	"github.com/kubilitics/kubilitics/shared/topo"
)

// loss is how much of an object is lost, in the order of its gravity.
type loss uint8

const (
	none     loss = iota
	degraded      // it works, and lacks something
	broken        // it is there, and can't do what it is for, or can't start again
	gone          // it isn't there any more
)

// end is one of the ends of an edge.
type end uint8

const (
	source end = iota
	target
)

// effect is a row of the table of who depends on whom: what the loss of one end of an edge does to the other.
type effect struct {
	Type  topo.EdgeType
	Rules []string         // of the edge; nil: every rule of the type that no other row with this end names
	Lost  end              // whose loss is meant
	Kinds []topo.GroupKind // of the lost end; nil: any
	Least loss             // the other is affected from here on
	Then  loss             // what becomes of it
	Why   string           // in words; %s is the lost end
	// Unless is an attribute of the edge, "key=value", with which there is no effect.
	Unless string

	// Of marks what needs one of several: the name of one such thing. Rest is then what becomes of it while one is left that works; Why, where it is
	// given, is for when none is.
	Of   string
	Rest loss

	// Blocks marks a budget, which isn't affected but refuses evictions while it allows none.
	Blocks bool
}

// podKind and controllerKinds are what workloads own to do their work.
var podKind = []topo.GroupKind{{Kind: "Pod"}}

var controllerKinds = []topo.GroupKind{
	{Kind: "ReplicationController"}, {Group: "apps", Kind: "ReplicaSet"}, {Group: "apps", Kind: "Deployment"},
	{Group: "apps", Kind: "StatefulSet"}, {Group: "apps", Kind: "DaemonSet"}, {Group: "batch", Kind: "Job"}, {Group: "argoproj.io", Kind: "Rollout"},
}

// effects is the table. An edge whose loss no row tells of has no effect: that a NetworkPolicy, a budget or an intercepting webhook is gone stops nothing
// from working. References that are optional degrade what others break.
var effects = []effect{
	{Type: topo.Owns, Lost: source, Least: gone, Then: gone, Of: "owner", Rest: none, Why: "is deleted with its owner, %s"},
	{Type: topo.Owns, Lost: target, Kinds: podKind, Least: broken, Then: broken, Of: "replica", Rest: degraded},
	{Type: topo.Owns, Lost: target, Kinds: controllerKinds, Least: broken, Then: broken, Of: "part", Rest: degraded, Why: "has its Pods by way of %s"},
	{Type: topo.Owns, Lost: target, Kinds: controllerKinds, Least: degraded, Then: degraded, Why: "has its Pods by way of %s, which lacks some"},

	{Type: topo.RunsOn, Rules: []string{"pod-node"}, Lost: target, Least: broken, Then: gone, Why: "runs on %s"},
	{Type: topo.RunsOn, Lost: target, Least: broken, Then: broken, Why: "can be used on %s only"},

	{Type: topo.Mounts, Lost: target, Least: broken, Then: broken, Why: "mounts %s, and doesn't start without it"},
	{Type: topo.References, Rules: []string{"pod-configmap-envfrom", "pod-configmap-env", "pod-secret-envfrom", "pod-secret-env"}, Lost: target, Least: broken, Then: broken,
		Why: "takes environment variables from %s, and doesn't start without it"},
	{Type: topo.References, Rules: []string{"pod-serviceaccount"}, Lost: target, Least: broken, Then: broken, Why: "acts as %s, without which no such Pod is created and its token is worth nothing"},
	{Type: topo.References, Rules: []string{"pod-serviceaccount"}, Lost: target, Least: degraded, Then: degraded, Why: "acts as %s, which may do less"},
	{Type: topo.References, Rules: []string{"pod-secret-imagepull", "serviceaccount-secret-imagepull"}, Lost: target, Least: gone, Then: degraded, Why: "pulls its images with %s, and can't where they aren't there yet"},
	{Type: topo.References, Rules: []string{"pod-priorityclass", "pod-runtimeclass", "pod-resourceclaimtemplate"}, Lost: target, Least: gone, Then: degraded, Why: "names %s, without which no such Pod is created"},
	{Type: topo.References, Rules: []string{"volume-storageclass", "pod-storageclass", "statefulset-storageclass", "volume-volumeattributesclass", "resourceclaim-deviceclass", "snapshot-volumesnapshotclass"}, Lost: target,
		Least: broken, Then: degraded, Why: "is of %s: what is there stays, nothing new can be made or resized"},
	{Type: topo.References, Rules: []string{"statefulset-service"}, Lost: target, Least: gone, Then: degraded, Why: "has its Pods named by %s, which don't find each other by name without it"},
	{Type: topo.References, Rules: []string{"statefulset-persistentvolumeclaim"}, Lost: target, Least: broken, Then: broken, Why: "keeps the data of one of its Pods in %s"},
	{Type: topo.References, Rules: []string{"ingress-secret", "gateway-secret", "gateway-authority", "backendtlspolicy-authority"}, Lost: target, Least: gone, Then: degraded, Why: "shows the certificate in %s, and has none to show without it"},
	{Type: topo.References, Rules: []string{"ingress-ingressclass", "ingress-ingressclass-annotation", "gateway-gatewayclass"}, Lost: target, Least: broken, Then: broken, Why: "is served by %s, and by nobody without it"},
	{Type: topo.References, Rules: []string{"gatewayroute-parent"}, Lost: target, Least: broken, Then: broken, Of: "Gateway", Rest: degraded},
	{Type: topo.References, Rules: []string{"serviceaccount-secret"}, Lost: target, Least: gone, Then: degraded, Why: "has a token or a right to mount in %s"},
	{Type: topo.References, Rules: []string{"secret-serviceaccount"}, Lost: target, Least: gone, Then: gone, Why: "is a token of %s, and is deleted with it"},
	{Type: topo.References, Rules: []string{"binding-role"}, Lost: target, Least: gone, Then: broken, Why: "gives what %s allows, which is nothing without it"},
	{Type: topo.References, Rules: []string{"quota-namespace", "lease-node", "csinode-node"}, Lost: target, Least: gone, Then: gone, Why: "goes with %s"},
	{Type: topo.References, Rules: []string{"lease-holder", "certificatesigningrequest-requester", "backendtlspolicy-target"}, Lost: target, Least: gone, Then: none},
	{Type: topo.References, Rules: []string{"pod-image"}, Lost: target, Least: gone, Then: degraded, Why: "runs %s, and can't start where that isn't there yet"},
	{Type: topo.References, Rules: []string{"certificate-secret", "externalsecret-secret"}, Lost: source, Least: broken, Then: degraded, Why: "is written by %s, and isn't renewed without it"},
	{Type: topo.References, Lost: target, Least: gone, Then: degraded, Why: "refers to %s"},

	{Type: topo.Selects, Rules: []string{"service-pod", "istiogateway-pod", "serviceentry-pod"}, Lost: target, Least: broken, Then: broken, Of: "ready Pod", Rest: degraded},
	{Type: topo.Selects, Rules: []string{"clusterrole-clusterrole"}, Lost: target, Least: gone, Then: degraded, Why: "allows what %s allows, and no longer does"},

	{Type: topo.Routes, Rules: []string{"endpointslice-target", "service-endpointslice"}, Lost: target, Least: broken, Then: none}, // what the selector tells already
	{Type: topo.Routes, Rules: []string{"service-endpointslice"}, Lost: source, Least: gone, Then: gone, Why: "is made for %s"},
	{Type: topo.Routes, Rules: []string{"gatewayroute-mirror"}, Lost: target, Least: broken, Then: degraded, Why: "copies requests to %s"},
	{Type: topo.Routes, Rules: []string{"webhook-service"}, Lost: target, Least: broken, Then: broken, Unless: "failurePolicy=Ignore", Why: "asks %s, and has every request refused when it doesn't answer"},
	{Type: topo.Routes, Rules: []string{"customresourcedefinition-service"}, Lost: target, Least: broken, Then: degraded, Why: "has its objects converted by %s"},
	{Type: topo.Routes, Rules: []string{"apiservice-service"}, Lost: target, Least: broken, Then: broken, Why: "is answered by %s"},
	{Type: topo.Routes, Lost: target, Least: broken, Then: broken, Of: "backend", Rest: degraded},

	{Type: topo.Binds, Rules: []string{"persistentvolumeclaim-persistentvolume"}, Lost: target, Least: broken, Then: broken, Why: "has its data on %s"},
	{Type: topo.Binds, Rules: []string{"persistentvolumeclaim-persistentvolume"}, Lost: source, Least: gone, Then: degraded, Why: "is bound to %s: it is released, and deleted where its policy says so"},
	{Type: topo.Binds, Rules: []string{"persistentvolume-persistentvolumeclaim"}, Lost: target, Least: gone, Then: degraded, Why: "is bound to %s: it is released, and deleted where its policy says so"},
	{Type: topo.Binds, Lost: target, Least: broken, Then: broken, Why: "is bound to %s"},

	{Type: topo.Grants, Lost: source, Least: broken, Then: degraded, Why: "loses what %s lets it do"},
	{Type: topo.Scales, Lost: target, Least: gone, Then: broken, Why: "has nothing to scale without %s"},
	{Type: topo.Scales, Lost: source, Least: gone, Then: degraded, Why: "keeps its number of replicas, whatever the load, without %s"},
	{Type: topo.Defines, Rules: []string{"customresourcedefinition-instance"}, Lost: source, Least: gone, Then: gone, Why: "is deleted with its kind, %s"},
	{Type: topo.Defines, Rules: []string{"composite-resource"}, Lost: source, Least: gone, Then: gone, Why: "is a part of %s, and goes with it"},
	{Type: topo.Defines, Lost: source, Least: gone, Then: degraded, Why: "is kept as %s says: nobody does so any longer, and it is deleted where that prunes"},
	{Type: topo.Intercepts, Rules: []string{"webhook-namespace"}, Lost: source, Least: broken, Then: degraded, Unless: "failurePolicy=Ignore", Why: "has requests refused that %s intercepts"},
	{Type: topo.Intercepts, Rules: []string{"virtualservice-service"}, Lost: source, Least: broken, Then: degraded, Why: "has its requests answered as %s says"},
	{Type: topo.Protects, Lost: target, Least: gone, Blocks: true},
}

// named tells which rules have a row of their own, by type and end.
var named = func() map[ruleEnd]bool {
	m := map[ruleEnd]bool{}
	for _, e := range effects {
		for _, r := range e.Rules {
			m[ruleEnd{r, e.Lost}] = true
		}
	}
	return m
}()

type ruleEnd struct {
	rule string
	lost end
}

// lossTypes are the types of edges to follow from a lost end.
func lossTypes(lost end) []topo.EdgeType {
	var out []topo.EdgeType
	for _, e := range effects {
		if e.Lost == lost && !slices.Contains(out, e.Type) {
			out = append(out, e.Type)
		}
	}
	return out
}

var sourceLossTypes, targetLossTypes = lossTypes(source), lossTypes(target)

// covers tells whether the row is about an edge of that type and rule.
func (e *effect) covers(edge *topo.Edge) bool {
	if e.Type != edge.Type {
		return false
	}
	if e.Rules != nil {
		return slices.Contains(e.Rules, edge.Rule)
	}
	return !named[ruleEnd{edge.Rule, e.Lost}]
}

// applies tells whether the row tells what the loss of this end of the edge does.
func (e *effect) applies(edge *topo.Edge, lost end, how loss) bool {
	if e.Lost != lost || how < e.Least || !e.covers(edge) {
		return false
	}
	kind := edge.Source.GroupKind()
	if lost == target {
		kind = edge.Target.GroupKind()
	}
	if e.Kinds != nil && !slices.Contains(e.Kinds, kind) {
		return false
	}
	for _, a := range edge.Attrs {
		if e.Unless == a.Key+"="+a.Value {
			return false
		}
	}
	return e.Then > none || e.Blocks
}
