package kubefleet

import (
	"strconv"
	"strings"

	"github.com/kubilitics/kubilitics/shared/topo"
)

// outlines are what of spec and status the index knows, of objects whose text isn't shared.
var outlines = map[topo.GroupKind]func(*topo.Node) (spec, status map[string]any){
	{Kind: "Pod"}: func(n *topo.Node) (spec, status map[string]any) {
		return words("nodeName", attr(n, "node")), words("phase", phaseOf(n), "podIP", first(attr(n, "ip")))
	},
	{Group: "apps", Kind: "Deployment"}:  replicated,
	{Group: "apps", Kind: "StatefulSet"}: replicated,
	{Group: "apps", Kind: "ReplicaSet"}:  replicated,
	{Kind: "ReplicationController"}:      replicated,
	{Group: "apps", Kind: "DaemonSet"}: func(n *topo.Node) (spec, status map[string]any) {
		ready, want, _ := strings.Cut(attr(n, "ready"), "/")
		return nil, numbers("desiredNumberScheduled", want, "numberReady", ready, "numberAvailable", attr(n, "available"), "updatedNumberScheduled", attr(n, "updated"))
	},
	{Kind: "Service"}: func(n *topo.Node) (spec, status map[string]any) {
		return words("type", attr(n, "type"), "clusterIP", attr(n, "clusterIP"), "externalName", attr(n, "externalName")), nil
	},
	{Kind: "Node"}: func(n *topo.Node) (spec, status map[string]any) {
		ready := map[string]string{"Ready": "True", "NotReady": "False"}[before(n.Status, ",")]
		if ready == "" {
			ready = "Unknown"
		}
		status = map[string]any{"conditions": []any{map[string]any{"type": "Ready", "status": ready}}}
		status["nodeInfo"] = words("kubeletVersion", attr(n, "kubelet"), "operatingSystem", attr(n, "os"), "architecture", attr(n, "arch"))
		return map[string]any{"unschedulable": strings.Contains(n.Status, "SchedulingDisabled")}, status
	},
	{Kind: "Namespace"}:             phased,
	{Kind: "PersistentVolume"}:      phased,
	{Kind: "PersistentVolumeClaim"}: phased,
}

func replicated(n *topo.Node) (spec, status map[string]any) {
	return numbers("replicas", attr(n, "replicas")),
		numbers("readyReplicas", before(attr(n, "ready"), "/"), "availableReplicas", attr(n, "available"), "updatedReplicas", attr(n, "updated"))
}

func phased(n *topo.Node) (spec, status map[string]any) {
	return words("storageClassName", attr(n, "storageClass")), words("phase", n.Status)
}

func attr(n *topo.Node, key string) string {
	v, _ := topo.Value(n.Attrs, key)
	return v
}

func first(list string) string { return before(list, " ") }

func before(text, sep string) string {
	head, _, _ := strings.Cut(text, sep)
	return head
}

// words makes an object of those pairs that say something.
func words(pairs ...string) map[string]any {
	m := map[string]any{}
	for i := 0; i+1 < len(pairs); i += 2 {
		if pairs[i+1] != "" {
			m[pairs[i]] = pairs[i+1]
		}
	}
	return m
}

func numbers(pairs ...string) map[string]any {
	m := map[string]any{}
	for i := 0; i+1 < len(pairs); i += 2 {
		if n, err := strconv.ParseInt(pairs[i+1], 10, 64); err == nil {
			m[pairs[i]] = n
		}
	}
	return m
}
