package bigstore

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/kubilitics/kubilitics/hub/internal/fleet"
	"github.com/kubilitics/kubilitics/hub/internal/store"
	"github.com/kubilitics/kubilitics/shared/topo"
)

const (
	clusters   = 200
	past       = 20 // clusters with a past, after the first
	versions   = 9  // rounds of change in them: ten versions an object
	perApp     = 20 // objects
	perSpace   = 25 // applications: 500 objects
	spaces     = 10 // namespaces a cluster: 5,000 objects and some more
	bigSpaces  = 40 // of the first cluster
	nodeCount  = 20
	pods       = 12
	batches    = 10 // a round's batches a cluster
	changeSize = spaces * perSpace * perApp / batches
)

// Namespace is the name of a cluster's n-th namespace.
func Namespace(n int) string { return fmt.Sprintf("team-%02d", n) }

// App is the name of an application: the same ones are in all clusters.
func App(n int) string { return fmt.Sprintf("app-%03d", n) }

// ClusterName is the name of the n-th cluster.
func ClusterName(n int) string { return fmt.Sprintf("%s-%03d", []string{"eu", "us", "ap"}[n%3], n) }

// shape makes a cluster's graph, sorted by key as agents send it.
func shapeOf(cluster, namespaces int) topo.Delta {
	m := maker{cluster: cluster}
	for n := range nodeCount {
		m.node(topo.Ref{Kind: "Node", Name: nodeName(n)}, "", topo.OK, "Ready", topo.Pair{Key: "ip", Value: fmt.Sprintf("10.%d.0.%d", cluster, n+1)})
	}
	for s := range namespaces {
		m.node(topo.Ref{Kind: "Namespace", Name: Namespace(s)}, "", topo.OK, "Active")
		for a := range perSpace {
			m.app(s, a)
		}
	}
	slices.SortFunc(m.d.Nodes, func(a, b topo.Node) int { return a.Ref.ID().Compare(b.Ref.ID()) })
	slices.SortFunc(m.d.Edges, func(a, b topo.Edge) int { return a.Key().Compare(b.Key()) })
	return m.d
}

type maker struct {
	cluster int
	d       topo.Delta
	count   int
}

func nodeName(n int) string { return fmt.Sprintf("node-%02d.example.internal", n) }

func (m *maker) node(ref topo.Ref, app string, h topo.Health, status string, attrs ...topo.Pair) topo.Ref {
	m.count++
	n := topo.Node{
		Ref: ref, UID: fmt.Sprintf("3f0c7a52-%04x-4000-8000-%012x", m.cluster, m.count), Version: "v1", Created: 1_700_000_000 + int64(m.count),
		Health: h, Status: status, Attrs: attrs,
	}
	if app != "" {
		n.Attrs = append(n.Attrs, topo.Pair{Key: "app", Value: app})
		n.Labels = []topo.Pair{
			{Key: "app.kubernetes.io/instance", Value: app + "-" + ref.Namespace}, {Key: "app.kubernetes.io/name", Value: app},
			{Key: "tier", Value: []string{"front", "back", "data"}[m.count%3]},
		}
		if m.count%1000 == 0 {
			n.Labels = append(n.Labels, topo.Pair{Key: "zz-canary", Value: "true"})
		}
	}
	slices.SortFunc(n.Attrs, func(a, b topo.Pair) int { return cmp.Compare(a.Key, b.Key) })
	m.d.Nodes = append(m.d.Nodes, n)
	return ref
}

func (m *maker) edge(from topo.Ref, t topo.EdgeType, to topo.Ref, rule, path string) {
	m.d.Edges = append(m.d.Edges, topo.Edge{Source: from, Target: to, Rule: rule, Type: t, Path: path})
}

// app makes twenty objects and forty edges.
func (m *maker) app(space, number int) {
	ns, app := Namespace(space), App(space*perSpace+number)
	in := func(group, kind, name string) topo.Ref {
		return topo.Ref{Group: group, Kind: kind, Namespace: ns, Name: name}
	}
	deployment := m.node(in("apps", "Deployment", app), app, topo.OK, "12/12", topo.Pair{Key: "ready", Value: "12/12"}, topo.Pair{Key: "replicas", Value: "12"})
	set := m.node(in("apps", "ReplicaSet", app+"-6d4f9b7c5d"), app, topo.OK, "", topo.Pair{Key: "ready", Value: "12/12"})
	service := m.node(in("", "Service", app), app, topo.OK, "ClusterIP", topo.Pair{Key: "ip", Value: fmt.Sprintf("172.16.%d.%d", space, number)}, topo.Pair{Key: "selector", Value: "yes"})
	slice := m.node(in("discovery.k8s.io", "EndpointSlice", app+"-x7k2p"), app, topo.OK, "")
	config := m.node(in("", "ConfigMap", app+"-config"), app, topo.OK, "")
	m.node(in("", "Secret", app+"-credentials"), app, topo.OK, "", topo.Pair{Key: "type", Value: "Opaque"})
	m.node(in("", "ServiceAccount", app), app, topo.OK, "")
	scaler := m.node(in("autoscaling", "HorizontalPodAutoscaler", app), app, topo.OK, "")
	m.edge(deployment, topo.Owns, set, "owner-dependent", "metadata.ownerReferences[0]")
	m.edge(service, topo.Routes, slice, "service-endpointslice", "metadata.labels")
	m.edge(scaler, topo.Scales, deployment, "horizontalpodautoscaler-target", "spec.scaleTargetRef")
	m.edge(deployment, topo.Mounts, config, "pod-configmap-volume", "spec.template.spec.volumes[0].configMap")
	for p := range pods {
		h, status := topo.OK, "Running"
		if (space*perSpace+number)%50 == 7 && p == 0 {
			h, status = topo.Error, "CrashLoopBackOff"
		}
		pod := m.node(in("", "Pod", fmt.Sprintf("%s-6d4f9b7c5d-%05x", app, (m.cluster*pods+p)*7919%0xfffff)), app, h, status,
			topo.Pair{Key: "images", Value: "registry.example.com/shop/" + app + ":1.4.2"}, topo.Pair{Key: "ip", Value: fmt.Sprintf("10.%d.%d.%d", m.cluster, space*perSpace+number, p+1)},
			topo.Pair{Key: "node", Value: nodeName((number + p) % nodeCount)}, topo.Pair{Key: "ready", Value: "1/1"}, topo.Pair{Key: "restarts", Value: "0"})
		m.edge(set, topo.Owns, pod, "owner-dependent", "metadata.ownerReferences[0]")
		m.edge(service, topo.Selects, pod, "service-pod", "spec.selector")
		m.edge(pod, topo.RunsOn, topo.Ref{Kind: "Node", Name: nodeName((number + p) % nodeCount)}, "pod-node", "spec.nodeName")
	}
}

// writer is the session that writes a cluster.
type writer struct {
	b     *Big
	at    store.Scope
	epoch int64
	seq   int64
	nodes []topo.Node
}

// load makes the n-th cluster and its first load.
func (b *Big) load(ctx context.Context, n int) (*writer, error) {
	c := fleet.Cluster{Tenant: b.Tenant, ID: fleet.NewClusterID(), Name: ClusterName(n), Created: time.Now()}
	w := &writer{b: b, at: store.Scope{Tenant: b.Tenant, Cluster: c.ID}}
	uid := "uid-of-" + c.ID.String()
	if err := b.CreateCluster(ctx, c); err != nil {
		return nil, err
	}
	token := store.JoinToken{ID: "join-" + c.ID.String(), Scope: w.at, SecretHash: []byte("x"), Expires: time.Now().Add(time.Hour), Created: time.Now(), CreatedBy: "bench"}
	if err := b.PutJoinToken(ctx, token); err != nil {
		return nil, err
	}
	cert := store.Certificate{Serial: c.ID.String(), Scope: w.at, Generation: 1, NotAfter: time.Now().Add(time.Hour), Created: time.Now()}
	if err := b.Enrol(ctx, token.ID, []byte("key"), store.Identity{KubeUID: uid, IdentityKey: []byte("key")}, cert); err != nil {
		return nil, err
	}
	opened, err := b.OpenSession(ctx, w.at, store.Hello{Instance: "bench", Agent: "v0", Version: "v1.37.2", Provider: "bench", Share: fleet.ShareTopology, KubeUID: uid})
	if err != nil {
		return nil, err
	}
	w.epoch = opened.Epoch
	namespaces := spaces
	if n == 0 {
		namespaces = bigSpaces
	}
	d := shapeOf(n, namespaces)
	if n > 0 && n <= past {
		w.nodes = d.Nodes
	}
	return w, w.load(ctx, d)
}

func (w *writer) load(ctx context.Context, d topo.Delta) error {
	load, err := w.b.BeginLoad(ctx, w.at, w.epoch)
	if err != nil {
		return err
	}
	if _, err := load.Add(ctx, d); err != nil {
		return err
	}
	w.seq++
	if _, err := load.Commit(ctx, w.seq, topo.Delta{}); err != nil {
		return err
	}
	return w.b.MarkLive(ctx, w.at, w.epoch)
}

// change gives every object of an application its next version, in some batches.
func (w *writer) change(ctx context.Context, round int) error {
	var d topo.Delta
	written := 0
	for i := range w.nodes {
		n := w.nodes[i]
		if n.Ref.Namespace == "" {
			continue
		}
		n.Attrs = append(slices.Clone(n.Attrs), topo.Pair{Key: "round", Value: fmt.Sprint(round)})
		slices.SortFunc(n.Attrs, func(a, b topo.Pair) int { return cmp.Compare(a.Key, b.Key) })
		if n.Ref.Kind == "Pod" {
			n.Health, n.Status = topo.Health(1+(round+i)%3), []string{"Running", "Pending", "ContainerCreating"}[(round+i)%3]
		}
		if d.Nodes = append(d.Nodes, n); len(d.Nodes) == changeSize {
			if err := w.apply(ctx, d); err != nil {
				return err
			}
			d.Nodes, written = nil, written+1
		}
	}
	if written != batches || len(d.Nodes) > 0 {
		return fmt.Errorf("a round had %d batches and %d rows more, not %d", written, len(d.Nodes), batches)
	}
	return nil
}

func (w *writer) apply(ctx context.Context, d topo.Delta) error {
	w.seq++
	_, err := w.b.Apply(ctx, store.Batch{Scope: w.at, Epoch: w.epoch, Seq: w.seq, Delta: d})
	return err
}
