package agenttest

import (
	"encoding/base64"
	"fmt"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"

	"github.com/kubilitics/kubilitics/shared/topo"
)

// place is where an object belongs: which part of which application.
type place struct {
	app  int32
	part uint8
	copy uint8 // of parts that an application has several of
}

// part is one kind of object of an application. Its text has the words of texts() in it.
type part struct {
	kind       topo.GroupKind
	version    string
	plural     string
	cluster    bool // it has no namespace
	every      int32
	copies     uint8
	name, text string
}

// parts is what an application is made of, what is referred to before what refers. Some stand only once in so many applications. The mix is that
// of clusters that have been in use for a while: many ConfigMaps, Secrets and old ReplicaSets beside each Pod, about two edges an object.
var parts = []part{
	{topo.GroupKind{Kind: "Namespace"}, "v1", "namespaces", true, 10, 1, "NS", `"status":{"phase":"Active"}`},
	{topo.GroupKind{Kind: "Node"}, "v1", "nodes", true, 25, 1, "NODE", `"spec":{"providerID":"synthetic://NODE"},"status":{"conditions":[{"type":"Ready","status":"True","reason":"KubeletReady"}],"nodeInfo":{"kubeletVersion":"v1.37.2"}}`},
	{topo.GroupKind{Kind: "ServiceAccount"}, "v1", "serviceaccounts", false, 1, 1, "APP", `"automountServiceAccountToken":false`},
	{topo.GroupKind{Kind: "ConfigMap"}, "v1", "configmaps", false, 1, 6, "APP-config-COPY", `"data":{"app.yaml":"logging:\n  level: info\nserver:\n  port: 8080\n","mode":"production","noise":"FILLER"}`},
	{topo.GroupKind{Kind: "Secret"}, "v1", "secrets", false, 1, 4, "APP-secret-COPY", `"type":"Opaque","data":{"password":"bm90LXRvLWJlLXNlZW4="}`},
	{topo.GroupKind{Group: "apps", Kind: "Deployment"}, "v1", "deployments", false, 1, 1, "APP", `"spec":{"replicas":4,"selector":{"matchLabels":{"app":"APP"}},"template":{"metadata":{"labels":{"app":"APP"}},"spec":{PODSPEC}}},"status":{"observedGeneration":1,"replicas":4,"updatedReplicas":4,"readyReplicas":4,"availableReplicas":4}`},
	{topo.GroupKind{Group: "apps", Kind: "ReplicaSet"}, "v1", "replicasets", false, 1, 3, "APP-HASHCOPY", `"spec":{"replicas":0,"selector":{"matchLabels":{"app":"APP","pod-template-hash":"HASHCOPY"}},"template":{"metadata":{"labels":{"app":"APP"}},"spec":{PODSPEC}}},"status":{"replicas":0}`},
	{topo.GroupKind{Kind: "Pod"}, "v1", "pods", false, 1, 4, "APP-HASH0-COPYSUFFIX", `"spec":{"nodeName":"NODE",PODSPEC},"status":STATUS`},
	{topo.GroupKind{Kind: "Service"}, "v1", "services", false, 1, 1, "APP", `"spec":{"type":"ClusterIP","clusterIP":"10.96.0.1","selector":{"app":"APP"},"ports":[{"port":80,"targetPort":8080}]}`},
	{topo.GroupKind{Group: "discovery.k8s.io", Kind: "EndpointSlice"}, "v1", "endpointslices", false, 1, 1, "APP-SUFFIX", `"addressType":"IPv4","ports":[{"port":8080}],"endpoints":[ENDPOINTS]`},
	{topo.GroupKind{Group: "autoscaling", Kind: "HorizontalPodAutoscaler"}, "v2", "horizontalpodautoscalers", false, 1, 1, "APP", `"spec":{"minReplicas":2,"maxReplicas":8,"scaleTargetRef":{"apiVersion":"apps/v1","kind":"Deployment","name":"APP"}},"status":{"currentReplicas":4,"desiredReplicas":4}`},
	{topo.GroupKind{Group: "policy", Kind: "PodDisruptionBudget"}, "v1", "poddisruptionbudgets", false, 1, 1, "APP", `"spec":{"minAvailable":1,"selector":{"matchLabels":{"app":"APP"}}},"status":{"currentHealthy":4,"desiredHealthy":1,"disruptionsAllowed":3,"expectedPods":4}`},
	{topo.GroupKind{Group: "networking.k8s.io", Kind: "NetworkPolicy"}, "v1", "networkpolicies", false, 1, 1, "APP", `"spec":{"podSelector":{"matchLabels":{"app":"APP"}},"policyTypes":["Ingress"]}`},
	{topo.GroupKind{Group: "networking.k8s.io", Kind: "Ingress"}, "v1", "ingresses", false, 1, 1, "APP", `"spec":{"rules":[{"host":"APP.example.com","http":{"paths":[{"path":"/","pathType":"Prefix","backend":{"service":{"name":"APP","port":{"number":80}}}}]}}]}`},
	{topo.GroupKind{Group: "rbac.authorization.k8s.io", Kind: "Role"}, "v1", "roles", false, 1, 1, "APP", `"rules":[{"apiGroups":[""],"resources":["configmaps"],"verbs":["get","list","watch"]}]`},
	{topo.GroupKind{Group: "rbac.authorization.k8s.io", Kind: "RoleBinding"}, "v1", "rolebindings", false, 1, 1, "APP", `"roleRef":{"apiGroup":"rbac.authorization.k8s.io","kind":"Role","name":"APP"},"subjects":[{"kind":"ServiceAccount","name":"APP"}]`},
}

const podSpec = `"serviceAccountName":"APP","volumes":[{"name":"config","configMap":{"name":"APP-config-0"}},{"name":"scratch","emptyDir":{}}],` +
	`"containers":[{"name":"main","image":"registry.example.com/shop/APP:1.4.2","ports":[{"containerPort":8080,"name":"http"}],` +
	`"env":[{"name":"LOG_LEVEL","value":"info"},{"name":"PASSWORD","valueFrom":{"secretKeyRef":{"name":"APP-secret-0","key":"password"}}}],` +
	`"resources":{"requests":{"cpu":"50m","memory":"64Mi"},"limits":{"memory":"128Mi"}},"volumeMounts":[{"name":"config","mountPath":"/etc/app"}]}]`

const podStatus = `{"phase":"Running","podIP":"10.1.2.3","hostIP":"10.0.0.1","startTime":"2026-01-01T00:00:00Z",` +
	`"conditions":[{"type":"PodScheduled","status":"True"},{"type":"Ready","status":"READY"}],"containerStatuses":[{"name":"main","ready":NOW,` +
	`"restartCount":RESTARTS,"image":"registry.example.com/shop/APP:1.4.2","state":STATE}]}`

func kindReports() []topo.KindReport {
	out := make([]topo.KindReport, len(parts))
	for i := range parts {
		p := &parts[i]
		out[i] = topo.KindReport{GroupKind: p.kind, Version: p.version, Plural: p.plural, Namespaced: !p.cluster, Observed: true}
	}
	return out
}

// following is the place after this one: the next copy, the next part that this application has, or the next application.
func (p place) following() place {
	if p.copy++; p.copy < parts[p.part].copies {
		return p
	}
	for p.copy = 0; ; {
		if p.part++; int(p.part) == len(parts) {
			p.part = 0
			p.app++
		}
		if p.app%parts[p.part].every == 0 {
			return p
		}
	}
}

// words are what stands in the names and texts of an application's objects.
func (c *cluster) words(p place) []string {
	app := fmt.Sprintf("%s-%d", appNames[int(p.app)%len(appNames)], p.app)
	r := rand.New(rand.NewPCG(c.seed, uint64(p.app)<<8|uint64(p.copy)))
	hash := rand.New(rand.NewPCG(c.seed, uint64(p.app)<<8|0xff)).Uint32()
	return []string{
		"APP", app, "NS", fmt.Sprintf("team-%d", p.app/10), "NODE", fmt.Sprintf("node-%d", p.app/25), "COPY", strconv.Itoa(int(p.copy)),
		"HASH", fmt.Sprintf("%08x", hash), "SUFFIX", fmt.Sprintf("%04x", r.Uint32()&0xffff),
	}
}

var appNames = []string{"checkout", "catalogue", "payments", "search-indexer", "session-store", "mailer", "pricing", "gateway", "ledger-export", "recommendations"}

func (c *cluster) ref(p place) topo.Ref {
	at := &parts[p.part]
	words := strings.NewReplacer(c.words(p)...)
	r := topo.Ref{Group: at.kind.Group, Kind: at.kind.Kind, Name: words.Replace(at.name)}
	if !at.cluster {
		r.Namespace = words.Replace("NS")
	}
	return r
}

// text is an object as an API server would give it. What never changes it depends on nothing but its place, so that reading it again gives what
// was told before.
func (c *cluster) text(o object) []byte {
	at, ref := &parts[o.part], c.ref(o.place)
	meta := fmt.Sprintf(`{"metadata":{"name":%q,"namespace":%q,"uid":%q,"resourceVersion":"%d","creationTimestamp":"2026-01-0%dT00:00:00Z",`+
		`"labels":{"app":"APP","app.kubernetes.io/name":"APP","app.kubernetes.io/part-of":"NS"%s}%s},`,
		ref.Name, ref.Namespace, uid(ref, o.life), o.turns, 1+o.life%9, labels(at.kind.Kind), c.owners(o.place))
	body := strings.NewReplacer("PODSPEC", podSpec, "STATUS", status(o.turns), "ENDPOINTS", c.endpoints(o)).Replace(at.text)
	words := strings.NewReplacer(append(c.words(o.place), "FILLER", c.noise(o))...)
	return []byte(words.Replace(meta + body + "}"))
}

func uid(r topo.Ref, life int32) string {
	id := r.ID()
	return fmt.Sprintf("%x-%x-4%03x-8000-%x", id[:4], id[4:6], life&0xfff, id[6:12])
}

func labels(kind string) string {
	if kind == "EndpointSlice" {
		return `,"kubernetes.io/service-name":"APP"`
	}
	return ""
}

// owners words the owner reference of what a workload made. It is to the owner's first life: one that was made anew since is not the owner.
func (c *cluster) owners(p place) string {
	var owner place
	switch parts[p.part].kind.Kind {
	case "Pod":
		owner = place{app: p.app, part: partOf("ReplicaSet")}
	case "ReplicaSet":
		owner = place{app: p.app, part: partOf("Deployment")}
	default:
		return ""
	}
	ref := c.ref(owner)
	return fmt.Sprintf(`,"ownerReferences":[{"apiVersion":"apps/v1","kind":%q,"name":%q,"uid":%q,"controller":true}]`, ref.Kind, ref.Name, uid(ref, 1))
}

func partOf(kind string) uint8 {
	return uint8(slices.IndexFunc(parts, func(p part) bool { return p.kind.Kind == kind }))
}

// status is that of a pod after so many turns: it crashes and recovers by turns, and every crash is a restart.
func status(turns int32) string {
	ready, now, state := "True", "true", `{"running":{"startedAt":"2026-01-01T00:00:00Z"}}`
	if turns%2 == 1 {
		ready, now, state = "False", "false", `{"waiting":{"reason":"CrashLoopBackOff"}}`
	}
	return strings.NewReplacer("READY", ready, "NOW", now, "RESTARTS", strconv.Itoa(int(turns+1)/2), "STATE", state).Replace(podStatus)
}

func (c *cluster) endpoints(o object) string {
	if parts[o.part].kind.Kind != "EndpointSlice" {
		return ""
	}
	pods := partOf("Pod")
	var all []string
	for i := range parts[pods].copies {
		ref := c.ref(place{app: o.app, part: pods, copy: i})
		all = append(all, fmt.Sprintf(`{"addresses":["10.1.2.%d"],"conditions":{"ready":true},"targetRef":{"kind":"Pod","namespace":%q,"name":%q}}`, i, ref.Namespace, ref.Name))
	}
	return strings.Join(all, ",")
}

// noise is text that hardly compresses.
func (c *cluster) noise(o object) string {
	if c.filler == 0 || parts[o.part].kind.Kind != "ConfigMap" {
		return ""
	}
	raw := make([]byte, c.filler*3/4)
	var seed [32]byte
	copy(seed[:], fmt.Sprint(c.seed, o.app, o.copy))
	_, _ = rand.NewChaCha8(seed).Read(raw) // never fails
	return base64.StdEncoding.EncodeToString(raw)
}
