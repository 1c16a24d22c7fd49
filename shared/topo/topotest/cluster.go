package topotest

import (
	"fmt"
	"strings"
)

// Cluster gives the JSON of a cluster's objects, about as many as asked for, as an API server would: mostly Pods, with
// what they run on, are owned by, mount and are selected by. Two more Deployments of a hundred Pods each, hot-0 and
// hot-1 in the namespace hot, are there to be selected.
func Cluster(objects int, give func(apiVersion, kind string, raw []byte)) {
	c := &cluster{give: give, nodes: max(objects/1000, 1)}
	for i := range c.nodes {
		c.object("v1", "Node", "", fmt.Sprintf("node-%d", i), "", "", `"status":{"conditions":[{"type":"Ready","status":"True"}]}`)
	}
	for i := range 2 {
		c.app("hot", fmt.Sprintf("hot-%d", i), 100)
	}
	for i := 0; c.made < objects; i++ {
		ns := fmt.Sprintf("team-%d", i%100)
		if i < 100 {
			c.object("v1", "Namespace", "", ns, "", "", `"status":{"phase":"Active"}`)
			c.object("v1", "ConfigMap", ns, "kube-root-ca.crt", "", "", `"data":{"ca.crt":"x"}`)
		}
		c.app(ns, fmt.Sprintf("app-%d", i), 6+i%14)
	}
}

type cluster struct {
	give  func(apiVersion, kind string, raw []byte)
	made  int
	nodes int
}

// UID is the UID of the n-th object that Cluster gives.
func UID(n int) string { return fmt.Sprintf("%08x-aaaa-4bbb-8ccc-%012x", n*2654435761&0xffffffff, n) }

// object gives an object and its UID; more are further metadata and the rest of the object, as JSON without braces.
func (c *cluster) object(apiVersion, kind, ns, name, labels, meta, rest string) string {
	c.made++
	uid := UID(c.made)
	var b strings.Builder
	fmt.Fprintf(&b, `{"kind":%q,"apiVersion":%q,"metadata":{"name":%q,`, kind, apiVersion, name)
	if ns != "" {
		fmt.Fprintf(&b, `"namespace":%q,`, ns)
	}
	fmt.Fprintf(&b, `"uid":%q,"resourceVersion":"%d","creationTimestamp":"2026-03-01T10:%02d:00Z"`, uid, c.made, c.made%60)
	if labels != "" {
		fmt.Fprintf(&b, `,"labels":{%s}`, labels)
	}
	b.WriteString(meta + "}")
	if rest != "" {
		b.WriteString("," + rest)
	}
	b.WriteString("}")
	c.give(apiVersion, kind, []byte(b.String()))
	return uid
}

func owner(apiVersion, kind, name, uid string) string {
	return fmt.Sprintf(`,"ownerReferences":[{"apiVersion":%q,"kind":%q,"name":%q,"uid":%q,"controller":true,"blockOwnerDeletion":true}]`, apiVersion, kind, name, uid)
}

// app gives a Deployment with all that belongs to it: two ReplicaSets, Pods, a Service with its slice, configuration.
func (c *cluster) app(ns, name string, pods int) {
	selector := fmt.Sprintf(`"app.kubernetes.io/name":%q`, name)
	labels := selector + fmt.Sprintf(`,"app.kubernetes.io/instance":%q,"app.kubernetes.io/part-of":"shop","app.kubernetes.io/version":"1.%d"`, name, c.made%5)
	spec := fmt.Sprintf(`"serviceAccountName":%[1]q,"containers":[{"name":"main","image":"registry.example.com/%[1]s:1.%[2]d","envFrom":[{"configMapRef":{"name":%[1]q}}],`+
		`"env":[{"name":"TOKEN","valueFrom":{"secretKeyRef":{"name":%[1]q,"key":"token"}}}]}],`+
		`"volumes":[{"name":"ca","projected":{"sources":[{"configMap":{"name":"kube-root-ca.crt"}}]}}]`, name, c.made%5)
	c.object("v1", "ServiceAccount", ns, name, labels, "", "")
	c.object("v1", "ConfigMap", ns, name, labels, "", `"data":{"LOG":"debug"}`)
	c.object("v1", "Secret", ns, name, labels, "", `"data":{"token":"eA=="}`)
	deployment := c.object("apps/v1", "Deployment", ns, name, labels, "", workload(pods, selector, labels, spec))
	for i := range 2 {
		hash := fmt.Sprintf("%08x", c.made*40503)
		stamped := labels + fmt.Sprintf(`,"pod-template-hash":%q`, hash)
		set := name + "-" + hash
		uid := c.object("apps/v1", "ReplicaSet", ns, set, stamped, owner("apps/v1", "Deployment", name, deployment),
			workload(i*pods, selector+fmt.Sprintf(`,"pod-template-hash":%q`, hash), stamped, spec))
		if i == 1 {
			c.pods(ns, name, set, uid, stamped, spec, pods)
		}
	}
	c.object("v1", "Service", ns, name, labels, "", fmt.Sprintf(`"spec":{"type":"ClusterIP","clusterIP":"10.0.0.1","selector":{%s},"ports":[{"port":80}]}`, selector))
	c.object("policy/v1", "PodDisruptionBudget", ns, name, labels, "", fmt.Sprintf(`"spec":{"selector":{"matchLabels":{%s}}}`, selector))
}

func workload(replicas int, selector, labels, podSpec string) string {
	return fmt.Sprintf(`"spec":{"replicas":%[1]d,"selector":{"matchLabels":{%[2]s}},"template":{"metadata":{"labels":{%[3]s}},"spec":{%[4]s}}},`+
		`"status":{"replicas":%[1]d,"readyReplicas":%[1]d,"availableReplicas":%[1]d,"updatedReplicas":%[1]d}`, replicas, selector, labels, podSpec)
}

// pods gives the Pods of a ReplicaSet, and the slice that lists them.
func (c *cluster) pods(ns, app, set, uid, labels, spec string, count int) {
	var endpoints []string
	for i := range count {
		name := fmt.Sprintf("%s-%05x", set, i*7919%1048576)
		c.object("v1", "Pod", ns, name, labels, owner("apps/v1", "ReplicaSet", set, uid), PodRest(spec, fmt.Sprintf("node-%d", c.made%c.nodes), c.made, 0))
		endpoints = append(endpoints, fmt.Sprintf(`{"addresses":["10.1.2.3"],"conditions":{"ready":true,"serving":true,"terminating":false},"targetRef":{"kind":"Pod","name":%q,"namespace":%q}}`, name, ns))
	}
	c.object("discovery.k8s.io/v1", "EndpointSlice", ns, app+"-x", `"kubernetes.io/service-name":"`+app+`"`, "",
		`"endpoints":[`+strings.Join(endpoints, ",")+`]`)
}

// PodRest is spec and status of a running Pod; restarts changes nothing but its status.
func PodRest(spec, node string, n, restarts int) string {
	return fmt.Sprintf(`"spec":{%s,"nodeName":%q},"status":{"phase":"Running","podIP":"10.%d.%d.%d","conditions":[{"type":"Ready","status":"True"}],`+
		`"containerStatuses":[{"name":"main","ready":true,"restartCount":%d,"state":{"running":{"startedAt":"2026-03-01T10:00:00Z"}}}]}`,
		spec, node, n>>16&255, n>>8&255, n&255, restarts)
}
