package reduce_test

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/kubilitics/kubilitics/shared/topo"
)

// TestAttributes: those that graphs group by, searches look in and impact reckons with. "-" is none.
func TestAttributes(t *testing.T) {
	labelled := func(labels string) string { return "metadata: {labels: {" + labels + "}}" }
	helm := func(labels, more string) string {
		return "metadata: {namespace: ns, labels: {" + labels + "}, annotations: {meta.helm.sh/release-name: shop" + more + "}}"
	}
	tracked := func(id string) string {
		return "metadata: {annotations: {argocd.argoproj.io/tracking-id: '" + id + "'}}"
	}
	const template = "template: {spec: {initContainers: [{image: 'init:1'}], containers: [{image: 'web:2'}, {image: 'web:2'}, {image: 'log:1'}]}}"
	for _, c := range []struct{ apiVersion, kind, body, attr, want string }{
		{"v1", "ConfigMap", labelled("app.kubernetes.io/part-of: a, app.kubernetes.io/instance: b"), "app", "a"},
		{"v1", "ConfigMap", labelled("app.kubernetes.io/instance: b, app.kubernetes.io/name: c, app: d"), "app", "b"},
		{"v1", "ConfigMap", helm("app.kubernetes.io/managed-by: Helm, app: d", ""), "app", "shop"},
		{"v1", "ConfigMap", helm("app.kubernetes.io/part-of: a, app.kubernetes.io/managed-by: Helm", ""), "app", "a"},
		{"v1", "ConfigMap", helm("app: d", ""), "app", "d"},
		{"v1", "ConfigMap", tracked("guestbook:apps/Deployment:ns/web"), "app", "guestbook"},
		{"v1", "ConfigMap", labelled("argocd.argoproj.io/instance: e, app.kubernetes.io/name: c"), "app", "e"},
		{"v1", "ConfigMap", labelled("kustomize.toolkit.fluxcd.io/name: f, app.kubernetes.io/name: c"), "app", "f"},
		{"v1", "ConfigMap", labelled("helm.toolkit.fluxcd.io/name: g, k8s-app: h"), "app", "g"},
		{"v1", "ConfigMap", labelled("app.kubernetes.io/name: c, app: d"), "app", "c"},
		{"v1", "ConfigMap", labelled("app: d, k8s-app: h"), "app", "d"},
		{"v1", "ConfigMap", labelled("k8s-app: h"), "app", "h"},
		{"v1", "ConfigMap", labelled("app.kubernetes.io/part-of: '', tier: x"), "app", "-"},
		{"v1", "ConfigMap", helm("", ""), "release", "ns/shop"},
		{"v1", "ConfigMap", helm("", ", meta.helm.sh/release-namespace: other"), "release", "other/shop"},
		{"v1", "ConfigMap", "{}", "release", "-"},

		{"v1", "Pod", "spec: {initContainers: [{name: i, image: 'z:1'}], containers: [{name: c, image: 'y:1'}, {name: d, image: 'y:1'}], ephemeralContainers: [{name: e, image: 'a:1'}]}", "images", "a:1 y:1 z:1"},
		{"apps/v1", "Deployment", "spec: {" + template + "}", "images", "init:1 log:1 web:2"},
		{"apps/v1", "DaemonSet", "spec: {" + template + "}", "images", "init:1 log:1 web:2"},
		{"batch/v1", "Job", "spec: {" + template + "}", "images", "init:1 log:1 web:2"},
		{"batch/v1", "CronJob", "spec: {jobTemplate: {spec: {" + template + "}}}", "images", "init:1 log:1 web:2"},
		{"v1", "PodTemplate", template, "images", "init:1 log:1 web:2"},
		{"apps.kruise.io/v1alpha1", "CloneSet", "spec: {" + template + "}", "images", "init:1 log:1 web:2"},

		{"v1", "Pod", "status: {podIP: 10.1.2.3, podIPs: [{ip: 10.1.2.3}, {ip: 'fd00::3'}]}", "ip", "10.1.2.3 fd00::3"},
		{"v1", "Pod", "status: {podIP: 10.1.2.3}", "ip", "10.1.2.3"},
		{"v1", "Pod", "spec: {nodeName: n1}", "node", "n1"},
		{"v1", "Service", "spec: {clusterIP: 10.0.0.1, clusterIPs: [10.0.0.1, 'fd00::1'], externalIPs: [1.1.1.1]}\nstatus: {loadBalancer: {ingress: [{ip: 2.2.2.2}, {hostname: lb.example.com}]}}", "ip", "10.0.0.1 fd00::1 1.1.1.1 2.2.2.2 lb.example.com"},
		{"v1", "Service", "spec: {clusterIP: None, clusterIPs: [None]}", "ip", "-"},
		{"v1", "Service", "spec: {clusterIP: None, externalIPs: [1.1.1.1]}", "ip", "1.1.1.1"},
		{"v1", "Node", "status: {addresses: [{type: InternalIP, address: 10.0.0.1}, {type: ExternalIP, address: 1.2.3.4}]}", "ip", "10.0.0.1 1.2.3.4"},
		{"networking.k8s.io/v1", "Ingress", "status: {loadBalancer: {ingress: [{hostname: lb.example.com}]}}", "ip", "lb.example.com"},
		{"discovery.k8s.io/v1", "EndpointSlice", "endpoints: [{addresses: [10.1.2.3]}]", "ip", "-"},

		{"v1", "Service", "spec: {selector: {app: x}}", "selector", "yes"},
		{"v1", "Service", "spec: {selector: {}}", "selector", "-"},
		{"v1", "Service", "spec: {}", "selector", "-"},
		{"v1", "Service", "spec: {}", "type", "ClusterIP"},
		{"v1", "Service", "spec: {type: NodePort}", "type", "NodePort"},
		{"v1", "Secret", "type: kubernetes.io/tls", "type", "kubernetes.io/tls"},
		{"apps/v1", "Deployment", "spec: {}", "replicas", "1"},
		{"apps/v1", "StatefulSet", "spec: {replicas: 3}", "replicas", "3"},
		{"apps/v1", "ReplicaSet", "spec: {replicas: 0}", "replicas", "0"},
		{"apps/v1", "DaemonSet", "status: {desiredNumberScheduled: 5, numberReady: 4}", "replicas", "5"},
		{"apps/v1", "DaemonSet", "status: {desiredNumberScheduled: 5, numberReady: 4}", "ready", "4/5"},
		{"apps.kruise.io/v1alpha1", "CloneSet", "spec: {replicas: 3}\nstatus: {readyReplicas: 2}", "ready", "2/3"},
		{"apps.kruise.io/v1alpha1", "CloneSet", "spec: {replicas: many}", "replicas", "-"},
		{"policy/v1", "PodDisruptionBudget", "status: {disruptionsAllowed: 0}", "allowed", "0"},
		{"batch/v1", "Job", "spec: {parallelism: 3}\nstatus: {succeeded: 1}", "completions", "1/1 of 3"},
	} {
		r := reduced(t, c.apiVersion, c.kind, c.body).Resource
		if got, ok := topo.Value(r.Attrs, c.attr); got != c.want && (ok || c.want != "-") {
			t.Errorf("%s %s: %s is %q, want %q", c.kind, c.body, c.attr, got, c.want)
		}
	}
}

// TestAttributesAreBounded, in order, and hold no annotation that isn't a name: of a Secret, its tools keep copies there.
func TestAttributesAreBounded(t *testing.T) {
	var hosts []string
	for i := range 2000 {
		hosts = append(hosts, fmt.Sprintf(`{"host":"%d.example.com"}`, i))
	}
	for _, kind := range []string{"Secret", "Ingress", "Pod", "Service", "Deployment", "Widget"} {
		group := map[string]string{"Ingress": "networking.k8s.io/", "Deployment": "apps/", "Widget": "example.com/"}[kind]
		raw := `{"metadata":{"name":"x","namespace":"n","labels":{"app":"a"},"annotations":{"meta.helm.sh/release-name":"{\"data\":\"aHVzaA==\"}","meta.helm.sh/release-namespace":"aHVzaA==",` +
			`"argocd.argoproj.io/tracking-id":"{\"data\":\"aHVzaA==\"}:x","kubectl.kubernetes.io/last-applied-configuration":"{\"kind\":\"Secret\",\"data\":{\"a\":\"aHVzaA==\"}}"}},` +
			`"type":"Opaque","data":{"a":"aHVzaA=="},"spec":{"rules":[` + strings.Join(hosts, ",") + `]},"status":{"conditions":[{"type":"Ready","status":"False","reason":"` + strings.Repeat("é", 500) + `"}]}}`
		o, err := reducer(t).Reduce(kindOf(group+"v1", kind), []byte(raw), false)
		if err != nil {
			t.Fatal(err)
		}
		r := o.Resource
		said, _ := json.Marshal(r.Attrs)
		if len(said) > 8192 || len(r.Status) > 128 || strings.Contains(string(said), "aHVzaA") || strings.Contains(string(said)+r.Status, "\uFFFD") {
			t.Errorf("%s: %q, %s", kind, r.Status, said)
		}
		if !slices.IsSortedFunc(r.Attrs, func(a, b topo.Pair) int { return strings.Compare(a.Key, b.Key) }) {
			t.Errorf("%s: not in order: %s", kind, said)
		}
	}
}
