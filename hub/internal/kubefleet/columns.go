package kubefleet

import (
	"slices"
	"strconv"
	"strings"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/duration"

	"github.com/kubilitics/kubilitics/hub/internal/fleet"
	"github.com/kubilitics/kubilitics/hub/internal/query"
	"github.com/kubilitics/kubilitics/shared/topo"
)

// column is one of a table; cell gives what stands in it.
type column struct {
	metav1.TableColumnDefinition
	cell func(*teller, *query.Object) any
}

const (
	none    = "<none>"
	unknown = "<unknown>"
)

func text(name string, get func(*topo.Node) string) column {
	return column{metav1.TableColumnDefinition{Name: name, Type: "string"}, func(_ *teller, o *query.Object) any { return orNone(get(&o.Node)) }}
}

func orNone(s string) string {
	if s == "" {
		return none
	}
	return s
}

// of shows an attribute.
func of(name, key string) column {
	return text(name, func(n *topo.Node) string { return attr(n, key) })
}

// counted shows an attribute that is a number, which is 0 where it isn't said.
func counted(name, key string) column {
	return number64(name, func(n *topo.Node) string { return attr(n, key) })
}

func number64(name string, get func(*topo.Node) string) column {
	return column{metav1.TableColumnDefinition{Name: name, Type: "integer"}, func(_ *teller, o *query.Object) any {
		n, _ := strconv.ParseInt(get(&o.Node), 10, 64)
		return n
	}}
}

// wide is a column that is shown only when all are asked for.
func wide(c column) column {
	c.Priority = 1
	return c
}

var (
	nameColumn = column{metav1.TableColumnDefinition{Name: "Name", Type: "string", Format: "name", Description: "Name of the object, unique within its cluster and namespace"},
		func(_ *teller, o *query.Object) any { return o.Node.Ref.Name }}
	clusterColumn = column{metav1.TableColumnDefinition{Name: "Cluster", Type: "string", Description: "Cluster of the object, and since when it is offline"},
		func(t *teller, o *query.Object) any { return t.clusterWord(o.Cluster) }}
	ageColumn = column{metav1.TableColumnDefinition{Name: "Age", Type: "string", Description: "Time since the object was made"},
		func(t *teller, o *query.Object) any { return t.age(o.Node.Created) }}
	madeColumn = text("Created At", func(n *topo.Node) string {
		if n.Created == 0 {
			return unknown
		}
		return created(n.Created)
	})
	statusColumn = text("Status", func(n *topo.Node) string { return n.Status })
	healthColumn = wide(text("Health", func(n *topo.Node) string { return n.Health.String() }))
	imagesColumn = wide(text("Images", func(n *topo.Node) string { return strings.ReplaceAll(attr(n, "images"), " ", ",") }))
)

// clusterWord is the cluster's name, and how long it has been offline.
func (t *teller) clusterWord(id fleet.ClusterID) string {
	c := t.clusters[id]
	if since, stale := staleSince(&c); stale {
		return c.Name + " (offline " + duration.HumanDuration(t.now.Sub(since)) + ")"
	}
	return c.Name
}

func (t *teller) age(unix int64) string {
	if unix == 0 {
		return unknown
	}
	return duration.HumanDuration(t.now.Sub(time.Unix(unix, 0)))
}

func group(name string, kinds ...string) (out []topo.GroupKind) {
	for _, k := range kinds {
		out = append(out, topo.GroupKind{Group: name, Kind: k})
	}
	return out
}

// tables are the columns of kinds between the name and the end, as kubectl shows them, as far as the index knows what stands in them.
var tables = []struct {
	kinds   []topo.GroupKind
	columns []column
}{
	{group("", "Pod"), []column{of("Ready", "ready"), statusColumn, counted("Restarts", "restarts"), ageColumn,
		wide(text("IP", func(n *topo.Node) string { return first(attr(n, "ip")) })), wide(of("Node", "node")), imagesColumn}},
	{group("apps", "Deployment"), []column{of("Ready", "ready"), counted("Up-to-date", "updated"), counted("Available", "available"), ageColumn, imagesColumn}},
	{group("apps", "StatefulSet"), []column{of("Ready", "ready"), ageColumn, imagesColumn}},
	{slices.Concat(group("apps", "ReplicaSet"), group("", "ReplicationController")), []column{counted("Desired", "replicas"),
		number64("Ready", func(n *topo.Node) string { return before(attr(n, "ready"), "/") }), ageColumn, imagesColumn}},
	{group("apps", "DaemonSet"), []column{counted("Desired", "replicas"), number64("Ready", func(n *topo.Node) string { return before(attr(n, "ready"), "/") }),
		counted("Up-to-date", "updated"), counted("Available", "available"), ageColumn, imagesColumn}},
	{group("batch", "Job"), []column{statusColumn, of("Completions", "completions"), ageColumn, imagesColumn}},
	{group("batch", "CronJob"), []column{of("Schedule", "schedule"), text("Suspend", suspended), ageColumn, imagesColumn}},
	{group("", "Service"), []column{of("Type", "type"), of("Cluster-IP", "clusterIP"), text("External-IP", externalIP), of("Port(s)", "ports"), ageColumn}},
	{group("", "Node"), []column{statusColumn, text("Roles", roles), ageColumn, of("Version", "kubelet"),
		wide(text("Internal-IP", func(n *topo.Node) string { return first(attr(n, "ip")) })), wide(of("OS", "os")), wide(of("Arch", "arch"))}},
	{group("", "Namespace"), []column{statusColumn, ageColumn}},
	{group("", "PersistentVolumeClaim"), []column{statusColumn, of("Capacity", "capacity"), of("StorageClass", "storageClass"), ageColumn}},
	{group("", "PersistentVolume"), []column{of("Capacity", "capacity"), statusColumn, of("StorageClass", "storageClass"), ageColumn}},
	{group("networking.k8s.io", "Ingress"), []column{of("Class", "class"), text("Hosts", func(n *topo.Node) string { return orWord(attr(n, "hosts"), "*") }),
		text("Address", func(n *topo.Node) string { return strings.ReplaceAll(attr(n, "ip"), " ", ",") }), ageColumn}},
	{group("autoscaling", "HorizontalPodAutoscaler"), []column{counted("MinPods", "min"), counted("MaxPods", "max"), counted("Replicas", "current"), ageColumn, wide(statusColumn)}},
	{group("policy", "PodDisruptionBudget"), []column{text("Min Available", orNA("minAvailable")), text("Max Unavailable", orNA("maxUnavailable")),
		counted("Allowed Disruptions", "allowed"), ageColumn}},
	{group("", "Secret"), []column{of("Type", "type"), ageColumn}},
	{slices.Concat(group("", "ConfigMap", "ServiceAccount", "Endpoints", "ResourceQuota", "LimitRange"), group("networking.k8s.io", "NetworkPolicy", "IngressClass"),
		group("discovery.k8s.io", "EndpointSlice"), group("coordination.k8s.io", "Lease"), group("storage.k8s.io", "StorageClass", "CSIDriver", "CSINode"),
		group("apps", "ControllerRevision"), group("scheduling.k8s.io", "PriorityClass")), []column{ageColumn}},
	{slices.Concat(group("rbac.authorization.k8s.io", "Role", "ClusterRole"), group("apiextensions.k8s.io", "CustomResourceDefinition")), []column{madeColumn}},
	{group("rbac.authorization.k8s.io", "RoleBinding", "ClusterRoleBinding"), []column{ageColumn}},
}

// otherColumns are those of kinds of which nobody knows what matters.
var otherColumns = []column{statusColumn, ageColumn}

// columnsOf gives all columns of the table that is asked for.
func (a *ask) columnsOf() []column {
	out := []column{nameColumn}
	if a.only == nil {
		out = []column{clusterColumn, nameColumn}
	}
	if c := a.kind.columns[a.Version]; len(c) > 0 {
		return append(out, append(printedColumns(c), healthColumn)...)
	}
	for i := range tables {
		if slices.Contains(tables[i].kinds, a.kind.kinds[0]) {
			return append(append(out, tables[i].columns...), healthColumn)
		}
	}
	return append(append(out, otherColumns...), healthColumn)
}

func orWord(s, word string) string {
	if s == "" {
		return word
	}
	return s
}

func orNA(key string) func(*topo.Node) string {
	return func(n *topo.Node) string { return orWord(attr(n, key), "N/A") }
}

func suspended(n *topo.Node) string {
	if n.Status == "Suspended" {
		return "True"
	}
	return "False"
}

func externalIP(n *topo.Node) string {
	switch at := attr(n, "loadBalancer"); attr(n, "type") {
	case "ExternalName":
		return attr(n, "externalName")
	case "LoadBalancer":
		return orWord(at, "<pending>")
	default:
		return at
	}
}

// roles are those that a node's labels name.
func roles(n *topo.Node) string {
	var out []string
	for _, l := range n.Labels {
		if role, ok := strings.CutPrefix(l.Key, "node-role.kubernetes.io/"); ok && role != "" {
			out = append(out, role)
		}
		if l.Key == "kubernetes.io/role" && l.Value != "" {
			out = append(out, l.Value)
		}
	}
	slices.Sort(out)
	return strings.Join(slices.Compact(out), ",")
}
